//! Memory when idle, after load, and with many partitions that nobody uses.

use std::time::Duration;

use anyhow::Result;
use compat_tests::clock;

use super::TOPIC;
use crate::load::{Paced, create_topic, create_topics};
use crate::report::number;
use crate::results::{Aim, Better, Figure};
use crate::servers::{Broker, Server};
use crate::tools::Burst;
use crate::turns::{Case, Plan, Setting, Size};

const PARTITIONS_OF_A_TOPIC: i32 = 1000;
const SINGLE_PER_SECOND: u32 = 10_000;

/// Kafka maps two files for each partition, of which a system allows 65,530.
fn idle_partitions(size: Size, server: Server) -> u32 {
    match server {
        Server::Weir => size.of(1_000, 10_000, 100_000),
        _ => size.of(1_000, 2_000, 10_000),
    }
}

pub fn plan(size: Size) -> Plan {
    let case = |name: &str, seconds, run| Case {
        name: name.to_owned(),
        servers: vec![Server::Weir, Server::KafkaFsync],
        seconds,
        run,
    };
    Plan {
        name: "memory",
        title: "Memory",
        notes: vec![format!(
            "Resident memory of the server. After load: {} of 1 KB records into 10 partitions, then 10 s of rest. Single records: \
             {} of 100 bytes a second into 10 partitions, linger 0, for {} s. Many idle partitions: {} of Weir, {} of Kafka.",
            size.of("16 MB", "0.5 GB", "2 GB"),
            number(f64::from(SINGLE_PER_SECOND)),
            single_seconds(size),
            number(f64::from(idle_partitions(size, Server::Weir))),
            number(f64::from(idle_partitions(size, Server::KafkaFsync)))
        )],
        cases: vec![
            case("idle", 2 * rest(size).as_secs() + 3, Box::new(run_idle)),
            case("load", size.of(6, 20, 30), Box::new(run_load)),
            case(
                "single records",
                single_seconds(size) + 15,
                Box::new(run_single),
            ),
            case(
                "idle partitions",
                size.of(8, 30, 90),
                Box::new(run_partitions),
            ),
        ],
    }
}

/// How long a server is left alone before it is looked at.
fn rest(size: Size) -> Duration {
    Duration::from_secs(size.of(1, 10, 10))
}

/// How long single records are written.
fn single_seconds(size: Size) -> u64 {
    size.of(2, 60, 600)
}

fn mb(what: &str, value: f64) -> Figure {
    Figure::new(what, "MB", Better::Lower, value)
}

fn run_idle(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    let broker = Broker::start(server)?;
    let processes = broker.processes()?;
    let rest = rest(setting.size);
    clock::pause(rest);
    let before = processes.cpu()?;
    clock::pause(rest);
    let spent = processes.cpu()?.saturating_sub(before);
    let share = 100.0 * spent.as_secs_f64() / rest.as_secs_f64();
    Ok(vec![
        mb("idle", processes.resident_mb()?).aiming(&[Aim::AtMost(30.0)]),
        Figure::new("idle", "% of a core", Better::Lower, share),
    ])
}

fn run_load(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    let broker = Broker::start(server)?;
    let (kafka, processes) = (broker.address(), broker.processes()?);
    create_topic(&kafka, TOPIC, 10)?;
    let bytes: u64 = setting.size.of(16 << 20, 512 << 20, 2 << 30);
    setting.tools.rdkafka_produce(Burst {
        kafka: &kafka,
        topic: TOPIC,
        record_bytes: 1024,
        records: bytes / 1024,
    })?;
    let peak = processes.peak_mb()?;
    clock::pause(rest(setting.size));
    Ok(vec![
        mb("at most under load", peak),
        mb("after load", processes.resident_mb()?).aiming(&[Aim::AtMost(96.0)]),
    ])
}

/// Many small entries: what is known of each weighs more than in a load of large batches.
fn run_single(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    let broker = Broker::start(server)?;
    let (kafka, processes) = (broker.address(), broker.processes()?);
    create_topic(&kafka, TOPIC, 10)?;
    let paced = Paced {
        topic: TOPIC.to_owned(),
        partitions: 10,
        record_bytes: 100,
        per_second: SINGLE_PER_SECOND,
        seconds: single_seconds(setting.size),
        linger_ms: 0,
    };
    paced.run(&kafka)?;
    let peak = processes.peak_mb()?;
    clock::pause(rest(setting.size));
    Ok(vec![
        mb("at most under single records", peak),
        mb("after single records", processes.resident_mb()?).aiming(&[Aim::AtMost(96.0)]),
    ])
}

fn run_partitions(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    let broker = Broker::start(server)?;
    let (kafka, processes) = (broker.address(), broker.processes()?);
    let topics = idle_partitions(setting.size, server) / PARTITIONS_OF_A_TOPIC as u32;
    let names: Vec<String> = (0..topics).map(|topic| format!("idle-{topic}")).collect();
    create_topics(&kafka, &names, PARTITIONS_OF_A_TOPIC, 1, &[])?;
    processes.settle(Duration::from_secs(60))?;
    clock::pause(rest(setting.size));
    let files = processes.open_files()? as f64;
    Ok(vec![
        mb("many idle partitions", processes.resident_mb()?).aiming(&[Aim::AtMost(160.0)]),
        Figure::new("many idle partitions", "open files", Better::Lower, files),
    ])
}
