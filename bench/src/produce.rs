//! Records into a topic of several partitions, with librdkafka's own batching.

use std::time::Instant;

use anyhow::{Result, bail};
use compat_tests::weir::Weir;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::BaseRecord;

use crate::load::Load;
use crate::machine::pressure;
use crate::server::Server;

const TOPIC: &str = "records";

#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 10)]
    partitions: i32,
    /// Bytes of a record's value
    #[arg(long, default_value_t = 1024)]
    size: usize,
    #[arg(long, default_value_t = 2_000_000)]
    records: u64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

pub fn run(args: &Args) -> Result<()> {
    for _ in 0..args.rounds {
        round(args)?;
    }
    println!("CPU pressure after: {}", pressure());
    Ok(())
}

/// One round, on a broker and a directory of its own.
fn round(args: &Args) -> Result<()> {
    let weir = Weir::start()?;
    let server = Server::of(&weir)?;
    let kafka = weir.kafka.to_string();
    create(&kafka, args.partitions)?;
    let load = Load::start(&kafka, 5)?;
    let value = vec![b'x'; args.size];
    let (started, cpu) = (Instant::now(), server.cpu()?);
    for number in 0..args.records {
        let record: BaseRecord<'_, (), _> = BaseRecord::to(TOPIC)
            .payload(&value)
            .partition((number % args.partitions as u64) as i32);
        load.send(record)?;
    }
    load.finish()?;
    let (took, spent) = (started.elapsed(), server.cpu()?.saturating_sub(cpu));
    let bytes = args.records as f64 * args.size as f64;
    println!(
        "produce {} B, {} partitions, fsynced: {:.0} MB/s, {:.0} records/s, {:.2} CPU-s/GB, {:.0} MB resident",
        args.size,
        args.partitions,
        bytes / 1e6 / took.as_secs_f64(),
        args.records as f64 / took.as_secs_f64(),
        spent.as_secs_f64() / (bytes / 1e9),
        server.memory()?.1
    );
    Ok(())
}

fn create(kafka: &str, partitions: i32) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .create()?;
    let topic = NewTopic::new(TOPIC, partitions, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let results = runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new()))?;
    for result in results {
        if let Err((name, code)) = result {
            bail!("creating {name}: {code}");
        }
    }
    Ok(())
}
