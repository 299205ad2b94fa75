//! Reading: as records arrive, from memory, and from disk.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{TOPIC, cpu_per_gb, mb_per_second};
use crate::load::{Paced, create_topic};
use crate::machine::check_space;
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
        servers: vec![Server::Weir, Server::KafkaCache],
        seconds,
        run,
    };
    Plan {
        name: "consume",
        title: "Consume",
        notes: vec![format!(
            "One member of one group reads {PARTITIONS} partitions, {} of 1 KB records, by librdkafka's \
             rdkafka_performance. Cold: the system's page cache has forgotten the server's files; warm: they were read \
             before. Arriving: {TAIL_PER_SECOND} records a second are written meanwhile, and CPU is for writing and \
             reading them, so Weir's part of it includes its fsyncs, and Kafka has none.",
            size.of("16 MB", "1 GB", "4 GB")
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
    let behind = read_along(setting, &kafka, &measured, "measured")?;
    let what = "arriving, written and read";
    Ok(vec![
        cpu_per_gb(what, &processes, before, measured.bytes())?,
        Figure::new(
            "arriving, last record read after its ack",
            "ms",
            Better::Lower,
            behind.as_secs_f64() * 1e3,
        ),
    ])
}

/// Writes and reads at once; returns how long after the last ack the reader was done.
fn read_along(setting: &Setting, kafka: &str, paced: &Paced, group: &str) -> Result<Duration> {
    thread::scope(|scope| {
        // With the records that the writer starts with.
        let records = paced.records() + paced.partitions as u64;
        let reader = scope.spawn(move || -> Result<Instant> {
            let tools = &setting.tools;
            tools.rdkafka_consume(kafka, &paced.topic, group, records)?;
            Ok(Instant::now())
        });
        paced.run(kafka)?;
        let acked = Instant::now();
        let read = reader.join().expect("no panic")?;
        Ok(read.saturating_duration_since(acked))
    })
}
