//! What the WAL tells about itself, for metrics and for the operator.

use std::path::PathBuf;
use std::time::Duration;

use crate::ids::{ShardId, WalPos};

/// Receives the WAL's measurements; called on the WAL's own thread, so it must not block.
pub trait WalObserver: Send + Sync + 'static {
    /// A group of records became durable.
    fn fsynced(&self, _took: Duration, _bytes: u64) {}

    /// Bytes were lost or writing has stalled. Also logged.
    fn reported(&self, _damage: &Damage) {}
}

/// An observer that ignores everything.
pub struct Unobserved;

impl WalObserver for Unobserved {}

/// Something that an operator should know about the WAL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// A crash left records behind that were never acknowledged as durable; they were cut off.
    TornTail {
        path: PathBuf,
        /// The first byte that was cut.
        at: WalPos,
        bytes: u64,
        /// Shards with records among the cut bytes, as far as they can be told.
        shards: Vec<ShardId>,
    },
    /// The disk is full; writing is retried until there is space.
    DiskFull { path: PathBuf },
}
