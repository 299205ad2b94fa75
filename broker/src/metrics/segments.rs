//! What moving records from the write-ahead log into segment files has done, and which files there are.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

/// Seconds; a round moves up to a gigabyte.
const BUCKETS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

pub struct Segments {
    rounds: Histogram,
    early_rounds: IntCounter,
    moved_bytes: IntCounter,
    files: IntGauge,
    file_bytes: IntGauge,
    index_budget_bytes: IntGauge,
}

impl Segments {
    /// Registers the metrics too.
    pub fn new(registry: &Registry) -> Segments {
        let register = |metric: Box<dyn prometheus::core::Collector>| {
            registry.register(metric).expect("names differ");
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("a legal metric");
            register(Box::new(counter.clone()));
            counter
        };
        let gauge = |name: &str, help: &str| {
            let gauge = super::exporter::gauge(name, help);
            register(Box::new(gauge.clone()));
            gauge
        };
        let rounds = HistogramOpts::new(
            "weir_retire_duration_seconds",
            "One round of moving records from the write-ahead log into segment files.",
        );
        let rounds = Histogram::with_opts(rounds.buckets(BUCKETS.to_vec()));
        let rounds = rounds.expect("a legal metric");
        register(Box::new(rounds.clone()));
        Segments {
            rounds,
            early_rounds: counter(
                "weir_retire_early_rounds_total",
                "Rounds that ran for the memory of the write-ahead log's index.",
            ),
            moved_bytes: counter(
                "weir_retire_moved_bytes_total",
                "Bytes of batches moved into segment files.",
            ),
            files: gauge("weir_segment_files", "Segment files on the disk."),
            file_bytes: gauge(
                "weir_segment_file_bytes",
                "Bytes of the segment files on the disk, with what nobody names any more.",
            ),
            index_budget_bytes: gauge(
                "weir_wal_index_budget_bytes",
                "Memory that the write-ahead log's index takes before records are moved early.",
            ),
        }
    }

    /// Records were moved.
    pub fn retired(&self, took: Duration, bytes: u64, early: bool) {
        self.rounds.observe(took.as_secs_f64());
        self.moved_bytes.inc_by(bytes);
        self.early_rounds.inc_by(u64::from(early));
    }

    pub fn set_files(&self, (count, bytes): (usize, u64)) {
        self.files.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.file_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub fn set_index_budget(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.index_budget_bytes.set(bytes);
    }
}
