//! Bugs that a simulation switches on, to see that it catches each. Without the feature `planted-bugs`, which
//! no product is built with, there are none, and asking for one is a constant.

/// A bug in this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Entries count as durable as soon as they are queued.
    AckBeforeSync,
    /// A follower that does not answer counts as one that has everything.
    AckOnMinority,
    /// A vote is not waited for.
    VoteNotSynced,
    /// A vote is written later than the entries that follow it.
    VoteAfterLog,
    SyncErrorIgnored,
    SyncErrorRetried,
    /// The names of files after the first are not made durable.
    NoDirectorySync,
    /// A record of which a part did not reach the disk is taken for whole.
    TornTailKept,
    /// Damage below what was durable is cut like a torn tail.
    TailCutBelowWatermark,
    /// Checksums of entries are not looked at.
    ChecksumNotChecked,
    /// What cut off or overwrote an entry is not looked at in recovery.
    IndexOverLog,
    /// Nobody notices that files of the log are missing or exchanged.
    FilesNotChecked,
    /// A follower applies what it has received.
    AppliedBeforeCommit,
    /// Votes in files that are retired are not written again.
    ControlRecordsRetired,
    /// A snapshot gets its name before it is synced.
    SnapshotBeforeSync,
    /// What was cut off comes back behind what replaced it.
    TruncationNotRecorded,
    /// A start cuts a log where it was last known to be committed (KIP-101).
    TruncatedToCommitted,
    /// A new leader answers before it has applied what it held when it was elected.
    OpenedEarly,
}

impl Bug {
    pub const ALL: &[Bug] = &[
        Bug::AckBeforeSync,
        Bug::AckOnMinority,
        Bug::VoteNotSynced,
        Bug::VoteAfterLog,
        Bug::SyncErrorIgnored,
        Bug::SyncErrorRetried,
        Bug::NoDirectorySync,
        Bug::TornTailKept,
        Bug::TailCutBelowWatermark,
        Bug::ChecksumNotChecked,
        Bug::IndexOverLog,
        Bug::FilesNotChecked,
        Bug::AppliedBeforeCommit,
        Bug::ControlRecordsRetired,
        Bug::SnapshotBeforeSync,
        Bug::TruncationNotRecorded,
        Bug::TruncatedToCommitted,
        Bug::OpenedEarly,
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
