//! What readers were given.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Bytes of batches, by what this node is to their partitions.
pub struct FetchedBytes {
    as_leader: IntCounter,
    as_follower: IntCounter,
}

impl FetchedBytes {
    /// Registers the metric too.
    pub fn new(registry: &Registry) -> FetchedBytes {
        let opts = Opts::new(
            "weir_fetched_bytes_total",
            "Bytes of records that clients fetched here, by what this node is to the partition: leader or follower.",
        );
        let bytes = IntCounterVec::new(opts, &["role"]).expect("a legal metric");
        registry
            .register(Box::new(bytes.clone()))
            .expect("names differ");
        FetchedBytes {
            as_leader: bytes.with_label_values(&["leader"]),
            as_follower: bytes.with_label_values(&["follower"]),
        }
    }

    pub fn count(&self, by_follower: bool, bytes: u64) {
        match by_follower {
            true => self.as_follower.inc_by(bytes),
            false => self.as_leader.inc_by(bytes),
        }
    }
}
