//! What a reader that has fallen behind does to those that keep up: it reads from the disk what they never need.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{TOPIC, mb_per_second};
use crate::load::{Paced, create_topic};
use crate::machine::check_space;
use crate::report::number;
use crate::results::{Better, Figure, percentile};
use crate::servers::{Broker, Server};
use crate::tools::Burst;
use crate::turns::{Case, Plan, Setting, Size};

const PARTITIONS: i32 = 10;
const STORED_RECORD_BYTES: u64 = 1024;
const PER_SECOND: u32 = 2_000;
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

pub fn plan(size: Size) -> Plan {
    Plan {
        name: "behind",
        title: "Readers that fall behind",
        notes: vec![format!(
            "{} records of 100 bytes a second over {PARTITIONS} partitions, linger 0, are written and read as they arrive, at \
             first alone, then while one reader of another topic reads {} from the disk again and again, as fast as it can, by \
             librdkafka's rdkafka_performance. Latencies are counted from when a record was due; the clients share the machine.",
            number(f64::from(PER_SECOND)),
            size.of("16 MB", "2 GB", "2 GB"),
        )],
        cases: vec![Case {
            name: "beside a reader from the disk".to_owned(),
            servers: vec![Server::Weir, Server::KafkaFsync],
            seconds: size.of(10, 60, 120),
            run: Box::new(run),
        }],
    }
}

fn run(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    let bytes: u64 = setting.size.of(16 << 20, 2 << 30, 2 << 30);
    check_space(3 * bytes)?;
    let broker = Broker::start(server)?;
    let (kafka, processes) = (broker.address(), broker.processes()?);
    create_topic(&kafka, "stored", PARTITIONS)?;
    let burst = Burst {
        kafka: &kafka,
        topic: "stored",
        record_bytes: STORED_RECORD_BYTES,
        records: bytes / STORED_RECORD_BYTES,
    };
    setting.tools.rdkafka_produce(burst)?;
    processes.settle(SETTLE_LIMIT)?;
    create_topic(&kafka, TOPIC, PARTITIONS)?;
    let paced = Paced {
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
        record_bytes: 100,
        per_second: PER_SECOND,
        seconds: setting.size.of(2, 10, 30),
        linger_ms: 0,
    };
    let warm = Paced {
        seconds: paced.seconds.div_ceil(3),
        ..paced.clone()
    };
    warm.run_and_read(&kafka)?;
    let mut figures = latencies("alone", &paced.run_and_read(&kafka)?);
    broker.forget_pages()?;
    let (stop, tools) = (AtomicBool::new(false), &setting.tools);
    let (beside, took) = thread::scope(|scope| {
        let behind = scope.spawn(|| -> Result<Vec<Duration>> {
            let mut took = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let group = format!("behind-{}", took.len());
                took.push(tools.rdkafka_consume(&kafka, "stored", &group, burst.records)?);
                broker.forget_pages()?;
            }
            Ok(took)
        });
        let beside = paced.run_and_read(&kafka);
        stop.store(true, Ordering::Relaxed);
        (beside, behind.join().expect("no panic"))
    });
    figures.extend(latencies("beside it", &beside?));
    let took = took?;
    let all = burst.bytes() * took.len() as u64;
    figures.push(mb_per_second("the reader", all, took.iter().sum()));
    figures.push(Figure::new(
        "memory at most",
        "MB",
        Better::Lower,
        processes.peak_mb()?,
    ));
    Ok(figures)
}

fn latencies(when: &str, (acks, arrivals): &(Vec<Duration>, Vec<Duration>)) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (what, sorted) in [("ack", acks), ("arrival", arrivals)] {
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let value = percentile(sorted, share).as_secs_f64() * 1e3;
            let what = format!("{what} {name}, {when}");
            figures.push(Figure::new(what, "ms", Better::Lower, value));
        }
    }
    figures
}
