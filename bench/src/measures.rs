//! What is measured: one file per table.

use anyhow::Result;
use clap::ValueEnum;

use crate::processes::Processes;
use crate::results::{Better, Figure};
use crate::turns::{Plan, Size};

pub mod behind;
pub mod consume;
pub mod failover;
pub mod idle;
pub mod latency;
pub mod memory;
pub mod produce;
pub mod replicated;
pub mod returning;
pub mod start;
pub mod tables;
pub mod writes;

/// The topic that a run writes.
const TOPIC: &str = "records";

/// The parts of a run that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// Throughput and processor time of writing, by class of durability
    Produce,
    /// Acks of single records at a fixed rate
    Latency,
    /// Reading as records arrive, from memory, and from disk
    Consume,
    /// What a reader from the disk does to those that keep up
    Behind,
    /// Memory when idle, after load, and with many idle partitions
    Memory,
    /// Start to the first ack, on a new directory and after kill -9
    Start,
    /// Bytes that reach the disk for each byte of records
    Writes,
    /// Upserts and lookups beside Fluss and RocksDB
    Tables,
    /// Throughput and processor time of writing to three nodes, by class of durability
    Replicated,
    /// Until partitions of a node that is killed or hangs are written again, and what becomes of records
    Failover,
    /// Processor time and memory of three nodes with many partitions and nothing to do
    Idle,
    /// Acks of others while a node that was away catches up
    Returning,
}

impl Measure {
    pub fn plans(self, size: Size) -> Vec<Plan> {
        match self {
            Measure::Produce => produce::plans(size),
            Measure::Latency => vec![latency::plan(size)],
            Measure::Consume => vec![consume::plan(size)],
            Measure::Behind => vec![behind::plan(size)],
            Measure::Memory => vec![memory::plan(size)],
            Measure::Start => vec![start::plan(size)],
            Measure::Writes => vec![writes::plan(size)],
            Measure::Tables => vec![tables::plan(size)],
            Measure::Replicated => replicated::plans(size),
            Measure::Failover => vec![failover::plan(size)],
            Measure::Idle => vec![idle::plan(size)],
            Measure::Returning => vec![returning::plan(size)],
        }
    }
}

/// Processor time over bytes of records, from a reading of before.
fn cpu_per_gb(
    what: impl Into<String>,
    processes: &Processes,
    before: std::time::Duration,
    bytes: u64,
) -> Result<Figure> {
    let spent = processes.cpu()?.saturating_sub(before);
    let value = spent.as_secs_f64() / (bytes as f64 / 1e9);
    Ok(Figure::new(what, "CPU-s/GB", Better::Lower, value))
}

fn mb_per_second(what: impl Into<String>, bytes: u64, took: std::time::Duration) -> Figure {
    let value = bytes as f64 / 1e6 / took.as_secs_f64();
    Figure::new(what, "MB/s", Better::Higher, value)
}
