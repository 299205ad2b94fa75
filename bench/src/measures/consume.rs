//! Reading: as records arrive, from memory, and from disk.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{TOPIC, cpu_per_gb, mb_per_second};
use crate::load::{Paced, create_topic};
use crate::machine::check_space;
use crate::report::number;
use crate::results::{Aim, Better, Figure};
use crate::servers::{Broker, Server};
use crate::tools::{Burst, java_consume};
use crate::turns::{Case, Plan, Setting, Size};

const PARTITIONS: i32 = 10;
const RECORD_BYTES: u64 = 1024;
const THROUGHPUT: &[Aim] = &[Aim::TimesPeer(1.0)];
const CPU: &[Aim] = &[Aim::AtMost(0.25), Aim::PartOfPeer(2.0 / 3.0)];
/// How long a server may take to put what it wrote in its place.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);
const TAIL_PER_SECOND: u32 = 50_000;

pub fn plan(size: Size) -> Plan {
    let case = |name: &str, seconds, run| Case {
        name: name.to_owned(),
        servers: vec![Server::Weir, Server::KafkaFsync],
        seconds,
        run,
    };
    Plan {
        name: "consume",
        title: "Consume",
        notes: vec![format!(
            "One member of one group reads {PARTITIONS} partitions, {} of 1 KB records, by librdkafka's \
             rdkafka_performance. Cold: the system's page cache has forgotten the server's files; warm: they were read \
             before. Arriving: {} records a second are written meanwhile, and CPU is for writing and \
             reading them.",
            size.of("16 MB", "1 GB", "4 GB"),
            number(f64::from(TAIL_PER_SECOND))
        )],
        cases: vec![
            case("stored", size.of(8, 25, 80), Box::new(run_stored)),
            case("arriving", size.of(8, 20, 40), Box::new(run_arriving)),
        ],
    }
}

fn run_stored(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    let bytes: u64 = setting.size.of(16 << 20, 1 << 30, 4 << 30);
    check_space(3 * bytes)?;
    let broker = Broker::start(server)?;
    let (kafka, processes) = (broker.address(), broker.processes()?);
    create_topic(&kafka, TOPIC, PARTITIONS)?;
    let burst = Burst {
        kafka: &kafka,
        topic: TOPIC,
        record_bytes: RECORD_BYTES,
        records: bytes / RECORD_BYTES,
    };
    setting.tools.rdkafka_produce(burst)?;
    processes.settle(SETTLE_LIMIT)?;
    // What a JVM compiles, it compiles now.
    let consume = |group: &str| {
        let tools = &setting.tools;
        tools.rdkafka_consume(&kafka, TOPIC, group, burst.records)
    };
    consume("warm-up")?;
    broker.forget_pages()?;
    let mut figures = Vec::new();
    for what in ["cold", "warm"] {
        let before = processes.cpu()?;
        let took = consume(what)?;
        figures.push(mb_per_second(what, burst.bytes(), took).aiming(THROUGHPUT));
        figures.push(cpu_per_gb(what, &processes, before, burst.bytes())?.aiming(CPU));
    }
    let before = processes.cpu()?;
    let what = "warm, Java client";
    let rate = java_consume(&kafka, TOPIC, "java", burst.records)?;
    figures.push(Figure::new(what, "MB/s", Better::Higher, rate));
    figures.push(cpu_per_gb(what, &processes, before, burst.bytes())?);
    Ok(figures)
}

/// A reader keeps up with a writer.
fn run_arriving(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    let broker = Broker::start(server)?;
    let (kafka, processes) = (broker.address(), broker.processes()?);
    create_topic(&kafka, TOPIC, PARTITIONS)?;
    let paced = Paced {
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
        record_bytes: RECORD_BYTES as usize,
        per_second: TAIL_PER_SECOND,
        seconds: setting.size.of(1, 10, 30),
        linger_ms: 5,
    };
    let warm = Paced {
        seconds: setting.size.of(1, 5, 10),
        ..paced.clone()
    };
    read_along(setting, &kafka, &warm, "warm-up")?;
    let measured = Paced {
        topic: "arriving".to_owned(),
        ..paced
    };
    create_topic(&kafka, &measured.topic, PARTITIONS)?;
    let before = processes.cpu()?;
    read_along(setting, &kafka, &measured, "measured")?;
    let what = "arriving, written and read";
    Ok(vec![cpu_per_gb(
        what,
        &processes,
        before,
        measured.bytes(),
    )?])
}

/// Writes and reads at once, and returns when all is read.
fn read_along(setting: &Setting, kafka: &str, paced: &Paced, group: &str) -> Result<()> {
    thread::scope(|scope| {
        // With the records that the writer starts with.
        let records = paced.records() + paced.partitions as u64;
        let reader = scope.spawn(move || {
            let tools = &setting.tools;
            tools.rdkafka_consume(kafka, &paced.topic, group, records)
        });
        paced.run(kafka)?;
        reader.join().expect("no panic")?;
        Ok(())
    })
}
