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
pub use compact::{Compact, CompactParts};
pub use files::{FileWriter, SegmentFiles, Unnamed};
pub use retention::Retention;
pub use retire::owner;
pub use retire::{HeldByAll, Retire, RetireParts, wait_below_bytes};
pub use time::BelievedTime;

/// How large files become.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// A partition with so many bytes to be written gets a file of its own, so that its retention frees it.
    pub own_file_bytes: u64,
    /// A shared file of rewritten segments is finished at this size, and with it the segments in it come into use.
    pub shared_file_bytes: u64,
    /// Rewritten segments grow up to this size.
    pub segment_bytes: u64,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes {
            own_file_bytes: 16 << 20,
            shared_file_bytes: 64 << 20,
            segment_bytes: 256 << 20,
        }
    }
}
