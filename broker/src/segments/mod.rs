//! The files that records lie in for good: where they come from, how they are read, when they go.
//!
//! Which segments a partition has is part of its shard's snapshot, so the snapshot is the manifest: it is
//! published atomically, and a segment that no snapshot names is a leftover. Formats: `weir_log::segment`.

mod blocks;
mod compact;
mod files;
mod retention;
mod retire;
mod round;
mod tidy;
mod time;

pub use blocks::Blocks;
pub use compact::Compact;
pub use files::{FileWriter, SegmentFiles};
pub use retention::Retention;
pub use retire::{Parts, Retire, wait_below_bytes};
pub use time::BelievedTime;
