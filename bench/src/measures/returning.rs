//! What a node that was away does to the acks of others while it is sent what it lacks.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use compat_tests::calls::{self, Described};
use compat_tests::clock;

use super::{TOPIC, mb_per_second};
use crate::cluster::{Cluster, NODES, all_in_sync};
use crate::load::Paced;
use crate::machine::check_space;
use crate::report::number;
use crate::results::{Aim, Better, Figure, percentile};
use crate::servers::Server;
use crate::turns::{Case, Plan, Setting, Size};

const PARTITIONS: i32 = 10;
/// What the node lacks is written here.
const STORED: &str = "stored";
const STORED_RECORD_BYTES: usize = 1024;
const STORED_PER_SECOND: u32 = 50_000;
const SINGLE_PER_SECOND: u32 = 1_000;
/// How long the others may take to notice that a node is gone.
const NOTICE_LIMIT: Duration = Duration::from_secs(90);
/// How long it may take to have all that it lacks.
const RETURN_LIMIT: Duration = Duration::from_secs(240);
const STEP: Duration = Duration::from_millis(100);

/// What the node lacks, and single records in parts of so many seconds.
fn loads(size: Size) -> (Paced, Paced) {
    let stored = Paced {
        topic: STORED.to_owned(),
        partitions: PARTITIONS,
        record_bytes: STORED_RECORD_BYTES,
        per_second: size.of(5_000, STORED_PER_SECOND, STORED_PER_SECOND),
        seconds: size.of(1, 10, 100),
        linger_ms: 5,
    };
    let single = Paced {
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
        record_bytes: 100,
        per_second: SINGLE_PER_SECOND,
        seconds: size.of(1, 3, 5),
        linger_ms: 0,
    };
    (stored, single)
}

pub fn plan(size: Size) -> Plan {
    let (stored, single) = loads(size);
    Plan {
        name: "returning",
        title: "A node that comes back",
        notes: vec![format!(
            "Three nodes on this machine, three replicas of each partition; Kafka with fsync, min.insync.replicas=2 and a \
             heap of 512 MB each. A node is killed (kill -9), {} MB of 1 KB records are written at {} MB/s, and it is \
             started again. {} records of 100 bytes a second over {PARTITIONS} partitions, linger 0, are acknowledged before \
             that, while the others are alone and nothing else is written, and from the start of the node's process until \
             Metadata names it in sync again (in parts of {} s); latencies are counted from when a record was due. A replica \
             of Weir is in sync from 1,024 entries before the end on, one of Kafka at the end.",
            number(stored.bytes() as f64 / 1e6),
            number(f64::from(stored.per_second) * STORED_RECORD_BYTES as f64 / 1e6),
            number(f64::from(SINGLE_PER_SECOND)),
            single.seconds,
        )],
        cases: vec![Case {
            name: "after kill -9".to_owned(),
            servers: vec![Server::Weir, Server::KafkaFsync],
            seconds: size.of(15, 40, 240),
            run: Box::new(run),
        }],
    }
}

fn run(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    let (stored, _) = loads(setting.size);
    check_space(6 * stored.bytes() + (1 << 30))?;
    Cluster::run(server, |cluster| measure(setting, cluster))
}

fn measure(setting: &Setting, cluster: &mut Cluster) -> Result<Vec<Figure>> {
    let (stored, single) = loads(setting.size);
    let topics = [TOPIC, STORED].map(str::to_owned);
    cluster.create_topics(&topics, PARTITIONS, &[])?;
    let kafka = cluster.bootstrap();
    let longer = Paced {
        seconds: 2 * single.seconds,
        ..single.clone()
    };
    single.run(&kafka)?;
    let before = longer.run(&kafka)?;
    let stays = cluster.controller()?;
    let (away, asked) = ((stays + 1) % NODES, cluster.address(stays));
    cluster.kill(away)?;
    stored.run(&kafka)?;
    let is_missed = |partitions: &[Described]| partitions.iter().all(|one| one.in_sync < NODES);
    await_replicas(asked, NOTICE_LIMIT, is_missed).context("the node is not missed")?;
    let alone = longer.run(&kafka)?;
    let started = Instant::now();
    cluster.spawn(away)?;
    let (mut returning, took) = until_in_sync(&single, &kafka, asked, started)?;
    returning.sort_unstable();
    let p99 = |sorted: &[Duration]| percentile(sorted, 0.99).as_secs_f64() * 1e3;
    let mut figures = Vec::new();
    for (when, sorted) in [
        ("before", &before),
        ("two alone", &alone),
        ("it comes back", &returning),
    ] {
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let value = percentile(sorted, share).as_secs_f64() * 1e3;
            let what = format!("ack {name}, {when}");
            figures.push(Figure::new(what, "ms", Better::Lower, value));
        }
    }
    let times = p99(&returning) / p99(&before);
    figures.extend([
        Figure::new("ack p99, of before", "times", Better::Lower, times)
            .aiming(&[Aim::AtMost(2.0)]),
        Figure::new("in sync again", "s", Better::Lower, took.as_secs_f64()),
        mb_per_second("what it lacked", stored.bytes(), took),
    ]);
    let peaks = cluster.each()?.into_iter().map(|node| node.peak_mb());
    let most = peaks.collect::<Result<Vec<_>>>()?.into_iter();
    let what = "memory at most, the largest node";
    let most = most.fold(0.0, f64::max);
    figures.push(Figure::new(what, "MB", Better::Lower, most));
    Ok(figures)
}

/// Writes single records until all replicas are in sync; returns their latencies, and how long it took.
fn until_in_sync(
    single: &Paced,
    kafka: &str,
    asked: SocketAddr,
    started: Instant,
) -> Result<(Vec<Duration>, Duration)> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let back = scope.spawn(|| -> Result<Duration> {
            let back = await_replicas(asked, RETURN_LIMIT, all_in_sync);
            done.store(true, Ordering::Relaxed);
            back.context("the node is not in sync again")?;
            Ok(started.elapsed())
        });
        let mut latencies = Vec::new();
        while !done.load(Ordering::Relaxed) {
            latencies.extend(single.run(kafka)?);
        }
        let took = back.join().expect("no panic")?;
        Ok((latencies, took))
    })
}

/// Asks one node until the partitions of both topics are as wanted.
fn await_replicas(
    asked: SocketAddr,
    limit: Duration,
    wanted: impl Fn(&[Described]) -> bool,
) -> Result<()> {
    let all = || {
        let as_wanted = |topic| calls::describe(asked, topic).is_ok_and(|found| wanted(&found));
        [TOPIC, STORED].into_iter().all(as_wanted).then_some(())
    };
    clock::wait_for(limit, STEP, all).with_context(|| format!("not within {limit:?}"))
}
