//! Bugs of the product that are planted one at a time, each of which some seed has to catch.

/// The bugs of `weir-log`, of the broker, and the one of `weir-raft` that only records show; and how many seeds may
/// pass until one catches each.
#[cfg(feature = "planted-bugs")]
pub const BUGS: &[(&str, u64)] = &[
    ("ProducersNotStored", 20),
    ("SequenceWraps", 20),
    ("EndNotStored", 20),
    ("TrimNotStored", 20),
    ("LastOfSegmentDropped", 20),
    ("TombstonesDropped", 20),
    ("ChecksumNotChecked", 60),
    ("PendingKept", 20),
    ("SegmentNotSynced", 60),
    ("ManifestBeforeMove", 20),
    ("FilesBeforeTrim", 20),
    ("AckBeforeCommit", 20),
    ("TruncatedToCommitted", 20),
];
#[cfg(not(feature = "planted-bugs"))]
pub const BUGS: &[(&str, u64)] = &[];

/// Gives this process a bug; false where none has the name.
#[cfg(feature = "planted-bugs")]
pub fn plant(name: &str) -> bool {
    fn named<B: std::fmt::Debug + Copy>(bugs: &[B], name: &str) -> Option<B> {
        bugs.iter().find(|bug| format!("{bug:?}") == name).copied()
    }
    let log = named(weir_log::planted::Bug::ALL, name).map(weir_log::planted::plant);
    let broker = named(weir_broker::planted::Bug::ALL, name).map(weir_broker::planted::plant);
    let raft = [weir_raft::planted::Bug::TruncatedToCommitted];
    let raft = named(&raft, name).map(weir_raft::planted::plant);
    log.or(broker).or(raft).is_some()
}

#[cfg(not(feature = "planted-bugs"))]
pub fn plant(_name: &str) -> bool {
    false
}
