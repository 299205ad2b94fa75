//! Shards: Raft groups that carry many partitions each, as the broker hosts them.

pub mod arrivals;
pub mod entry;
pub mod host;
pub mod hosted;
pub mod hosting;
pub mod machine;
mod pending;
pub mod proposer;
pub mod reconcile;
pub mod refusals;
pub(crate) mod snapshot;
