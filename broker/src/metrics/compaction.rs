//! What compaction and the joining of segments have done.

use prometheus::{Gauge, IntCounter, Registry};
use weir_log::Rewritten;

pub struct Compaction {
    removed_records: IntCounter,
    removed_bytes: IntCounter,
    written_bytes: IntCounter,
    /// Of the partitions that are compacted, the dirtiest one's.
    pub max_dirty_ratio: Gauge,
    /// How long the last run that had something to do took.
    pub last_run_seconds: Gauge,
    /// When it ended, in seconds since 1970.
    pub last_run_time: Gauge,
}

impl Compaction {
    /// Registers the metrics too.
    pub fn new(registry: &Registry) -> Compaction {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("a legal metric");
            registry
                .register(Box::new(counter.clone()))
                .expect("names differ");
            counter
        };
        let gauge = |name: &str, help: &str| {
            let gauge = Gauge::new(name, help).expect("a legal metric");
            registry
                .register(Box::new(gauge.clone()))
                .expect("names differ");
            gauge
        };
        Compaction {
            removed_records: counter(
                "weir_compaction_removed_records_total",
                "Records that compaction took away.",
            ),
            removed_bytes: counter(
                "weir_compaction_removed_bytes_total",
                "Bytes of batches that compaction took away.",
            ),
            written_bytes: counter(
                "weir_compaction_written_bytes_total",
                "Bytes of batches written to new segments by compaction, or to have fewer segments.",
            ),
            max_dirty_ratio: gauge(
                "weir_compaction_max_dirty_ratio",
                "The part that is to be compacted of the partition that has the most.",
            ),
            last_run_seconds: gauge(
                "weir_compaction_last_run_seconds",
                "How long the last run of compaction took.",
            ),
            last_run_time: gauge(
                "weir_compaction_last_run_timestamp_seconds",
                "When the last run of compaction ended, in seconds since 1970.",
            ),
        }
    }

    /// Segments were replaced by these.
    pub fn rewrote(&self, new: &Rewritten) {
        self.removed_records.inc_by(new.records_removed);
        self.removed_bytes
            .inc_by(new.bytes_read.saturating_sub(new.bytes_written));
        self.written_bytes.inc_by(new.bytes_written);
    }
}
