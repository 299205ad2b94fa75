//! How long single records wait for their ack at a fixed rate.

use std::time::Duration;

use anyhow::Result;

use super::TOPIC;
use crate::load::{Paced, create_topic};
use crate::report::number;
use crate::results::{Aim, Better, Figure, percentile};
use crate::servers::{Broker, Server};
use crate::tools::{Burst, java_produce};
use crate::turns::{Case, Plan, Setting, Size};

const PER_SECOND: u32 = 10_000;
const RECORD_BYTES: usize = 100;
const PARTITIONS: i32 = 10;

pub fn plan(size: Size) -> Plan {
    let seconds = size.of(2, 10, 60);
    let case = |name: &str, run| Case {
        name: name.to_owned(),
        servers: vec![Server::Weir, Server::KafkaFsync],
        seconds: 12 + seconds + seconds / 2,
        run,
    };
    Plan {
        name: "latency",
        title: "Acks of single records, fsynced",
        notes: vec![format!(
            "{} records of {RECORD_BYTES} bytes a second over {PARTITIONS} partitions for {seconds} s, linger 0, \
             acks=all, after a warm-up of half that. librdkafka's latencies are counted from when a record was due, so \
             that a slow ack also counts for the records that waited behind it (corrected for coordinated omission). \
             Kafka's Java tool counts in whole milliseconds from when it got round to sending.",
            number(f64::from(PER_SECOND))
        )],
        cases: vec![
            case("librdkafka", Box::new(run_rdkafka)),
            case("Java client", Box::new(run_java)),
        ],
    }
}

fn run_rdkafka(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    let broker = Broker::start(server)?;
    let (kafka, processes) = (broker.address(), broker.processes()?);
    create_topic(&kafka, TOPIC, PARTITIONS)?;
    let seconds = setting.size.of(2, 10, 60);
    let paced = Paced {
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
        record_bytes: RECORD_BYTES,
        per_second: PER_SECOND,
        seconds,
        linger_ms: 0,
    };
    let warm = Paced {
        seconds: seconds / 2,
        ..paced.clone()
    };
    warm.run(&kafka)?;
    let before = processes.cpu()?;
    let latencies = paced.run(&kafka)?;
    let spent = processes.cpu()?.saturating_sub(before);
    let ms = |what: &str, share: f64, aims: &[Aim]| {
        let value = percentile(&latencies, share).as_secs_f64() * 1e3;
        Figure::new(what, "ms", Better::Lower, value).aiming(aims)
    };
    let each = spent.as_secs_f64() * 1e6 / paced.records() as f64;
    Ok(vec![
        ms("p50", 0.5, &[Aim::AtMost(0.5)]),
        ms("p99", 0.99, &[Aim::AtMost(2.0), Aim::PartOfPeer(0.1)]),
        ms("p99.9", 0.999, &[]),
        Figure::new("CPU of each", "us", Better::Lower, each).aiming(&[Aim::AtMost(20.0)]),
    ])
}

fn run_java(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    let broker = Broker::start(server)?;
    let (kafka, processes) = (broker.address(), broker.processes()?);
    create_topic(&kafka, TOPIC, PARTITIONS)?;
    let seconds: u64 = setting.size.of(2, 10, 60);
    let rate = u64::from(PER_SECOND);
    let burst = Burst {
        kafka: &kafka,
        topic: TOPIC,
        record_bytes: RECORD_BYTES as u64,
        records: rate * seconds,
    };
    let warm = Burst {
        records: rate * seconds.div_ceil(2),
        ..burst
    };
    java_produce(warm, Some(rate), 0)?;
    processes.settle(Duration::from_secs(10))?;
    let before = processes.cpu()?;
    let report = java_produce(burst, Some(rate), 0)?;
    let spent = processes.cpu()?.saturating_sub(before);
    let figure = |what: &str, unit, value| {
        Figure::new(format!("{what}, Java client"), unit, Better::Lower, value)
    };
    let each = spent.as_secs_f64() * 1e6 / burst.records as f64;
    Ok(vec![
        figure("p50", "ms", report.p50_ms),
        figure("p99", "ms", report.p99_ms),
        figure("p99.9", "ms", report.p999_ms),
        figure("CPU of each", "us", each),
    ])
}
