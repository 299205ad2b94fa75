//! Bugs that a simulation switches on, to see that it catches each. Without the feature `planted-bugs`, which
//! no product is built with, there are none, and asking for one is a constant.

/// A bug in this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// What was predicted of a batch stays though the batch was refused.
    PendingKept,
    /// A segment file has its name before it is durable.
    SegmentNotSynced,
    /// The snapshots that let a file of the write-ahead log go are stored before its records are moved.
    ManifestBeforeMove,
    /// Files are deleted before log starts move up.
    FilesBeforeTrim,
    /// Batches are acknowledged once they are written here.
    AckBeforeCommit,
    /// A node whose disk was lost, or that was removed, is taken for one that has not registered yet, and keeps its vote.
    FormerVotes,
}

impl Bug {
    pub const ALL: &[Bug] = &[
        Bug::PendingKept,
        Bug::SegmentNotSynced,
        Bug::ManifestBeforeMove,
        Bug::FilesBeforeTrim,
        Bug::AckBeforeCommit,
        Bug::FormerVotes,
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
