//! Upserts and lookups of small rows: Weir by Kafka produce and HTTP, Fluss by its client, RocksDB by its `db_bench`.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::report::number;
use crate::results::{Aim, Better, Figure};
use crate::servers::Server;
use crate::turns::{Case, Plan, Setting, Size};

mod fluss;
mod rocksdb;
mod weir;

/// Buckets of the table.
const BUCKETS: u32 = 3;
/// Keys of a batched lookup.
const BATCH: usize = 1000;
/// The bytes of a row's text; with its number a row takes about 100 bytes.
const NAME_LEN: usize = 86;
/// Rows are written twice, and each time the text begins with one of these.
const PASSES: [&str; 2] = ["insert", "overwrite"];

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Volume {
    rows: u64,
    /// Of each kind of lookup.
    seconds: u64,
}

impl Volume {
    fn of(size: Size) -> Volume {
        Volume {
            rows: size.of(10_000, 300_000, 1_000_000),
            seconds: size.of(1, 5, 15),
        }
    }
}

pub fn plan(size: Size) -> Plan {
    let Volume { rows, seconds } = Volume::of(size);
    Plan {
        name: "tables",
        title: "Tables",
        notes: vec![
            format!(
                "{} rows of 100 bytes (a text of {NAME_LEN} characters and a number) with keys of 13, in {BUCKETS} \
                 buckets, written twice; then {seconds} s each of batched lookups, all over the keys, and of lookups one \
                 after the other. Weir: Kafka produce by librdkafka, acked after the fsync, CPU with the table applied; \
                 lookups over HTTP with JSON, {BATCH} keys a batch, two connections. Fluss: its own Java client as it comes, \
                 20,000 lookups in flight, which it batches; a lookup alone waits until the client's batch is full or \
                 100 ms have passed; CPU is that of its three processes.",
                number(rows as f64)
            ),
            "RocksDB's db_bench has no server: one thread of its own process, rows of 100 bytes, lz4, no write-ahead log; \
             lookups by MultiGet of a batch. It bounds what a table on RocksDB can do for each core."
                .to_owned(),
        ],
        cases: vec![Case {
            name: "rows".to_owned(),
            servers: vec![Server::Weir, Server::Fluss, Server::Rocksdb],
            seconds: 15 + rows / 40_000 + 2 * seconds,
            run: Box::new(run),
        }],
    }
}

fn run(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    let volume = Volume::of(setting.size);
    match server {
        Server::Weir => weir::run(volume),
        Server::Fluss => fluss::run(&setting.tools, volume),
        Server::Rocksdb => rocksdb::run(&setting.tools, volume),
        Server::WeirWriteCaching => bail!("tables are measured fsynced"),
        Server::KafkaFsync | Server::KafkaCache => bail!("Kafka has no tables"),
    }
}

/// Rows written in `took` for `cpu` of the server's time.
fn upserts(pass: &str, rows: u64, took: Duration, cpu: Duration) -> [Figure; 2] {
    let what = match pass {
        "insert" => "upserts of new keys",
        _ => "upserts of keys that exist",
    };
    [
        per_second(what, rows, took).aiming(&[Aim::TimesPeer(1.0)]),
        cpu_of_each(what, rows, cpu).aiming(&[Aim::AtMost(5.0)]),
    ]
}

fn lookups(keys: u64, took: Duration, cpu: Duration) -> [Figure; 2] {
    let what = "lookups, batched";
    [
        per_second(what, keys, took).aiming(&[Aim::TimesPeer(1.5)]),
        cpu_of_each(what, keys, cpu).aiming(&[Aim::AtMost(4.5)]),
    ]
}

fn alone(p50_ms: f64, p99_ms: f64) -> [Figure; 2] {
    let figure = |what: &str, value| Figure::new(what, "ms", Better::Lower, value);
    [
        figure("lookups, one after the other, p50", p50_ms),
        figure("lookups, one after the other, p99", p99_ms),
    ]
}

fn memory(mb: f64) -> Figure {
    Figure::new("memory after all that", "MB", Better::Lower, mb)
}

fn per_second(what: &str, count: u64, took: Duration) -> Figure {
    let value = count as f64 / took.as_secs_f64();
    Figure::new(what, "/s", Better::Higher, value)
}

fn cpu_of_each(what: &str, count: u64, cpu: Duration) -> Figure {
    let value = cpu.as_secs_f64() * 1e6 / count as f64;
    Figure::new(what, "us CPU each", Better::Lower, value)
}
