//! Bugs that a simulation switches on, to see that it catches each. Without the feature `planted-bugs`, which
//! no product is built with, there are none, and asking for one is a constant.

/// A bug in this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// What is stored of a partition says nothing of its producers.
    ProducersNotStored,
    /// After the greatest sequence number comes another one than 0.
    SequenceWraps,
    /// Where a log ends is taken from what lies in it, and nothing may.
    EndNotStored,
    /// What is stored of a partition begins with the oldest batch that is there.
    TrimNotStored,
    /// Compaction loses the last batch of each segment but the newest.
    LastOfSegmentDropped,
    /// Tombstones go as soon as they are found.
    TombstonesDropped,
    /// What is read from a segment is not compared with its checksum.
    ChecksumNotChecked,
    /// What the leaders of earlier terms knew of producers is forgotten with the first batch of a later one.
    ProducersOfOneLeader,
}

impl Bug {
    pub const ALL: &[Bug] = &[
        Bug::ProducersNotStored,
        Bug::SequenceWraps,
        Bug::EndNotStored,
        Bug::TrimNotStored,
        Bug::LastOfSegmentDropped,
        Bug::TombstonesDropped,
        Bug::ChecksumNotChecked,
        Bug::ProducersOfOneLeader,
    ];
}

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;

    /// One more than the bug; 0 for none.
    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// From now on this process has the bug.
    pub fn plant(bug: Bug) {
        PLANTED.store(bug as u8 + 1, Ordering::Relaxed);
    }

    pub(crate) fn has(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as u8 + 1
    }
}

#[cfg(feature = "planted-bugs")]
pub(crate) use switch::has;
#[cfg(feature = "planted-bugs")]
pub use switch::plant;

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn has(_bug: Bug) -> bool {
    false
}
