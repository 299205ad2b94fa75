//! Bugs of the product that are planted one at a time, each of which some seed has to catch.

use std::process::ExitCode;

use weir_sim::harness::{Hunt, Planted, named};

/// Those of `weir-log`, of the broker, and the one of `weir-raft` that only records show.
const BUGS: &[Planted] = &[
    Planted::new("ProducersNotStored", 20, &["L4", "L6"]),
    Planted::new("SequenceWraps", 20, &["L"]),
    Planted::new("EndNotStored", 20, &["L"]),
    Planted::new("TrimNotStored", 20, &["L"]),
    Planted::new("LastOfSegmentDropped", 20, &["L10"]),
    Planted::new("TombstonesDropped", 20, &["L10"]),
    Planted::new("ChecksumNotChecked", 60, &["D4"]),
    Planted::new("PendingKept", 20, &["L"]),
    Planted::new("SegmentNotSynced", 60, &["L"]),
    Planted::new("ManifestBeforeMove", 20, &["L"]),
    Planted::new("FilesBeforeTrim", 20, &["L"]),
    Planted::new("AckBeforeCommit", 20, &["L1", "L8"]),
    Planted::new("TruncatedToCommitted", 20, &["L"]),
];

/// Gives this process a bug; false where none has the name.
fn plant(name: &str) -> bool {
    let log = named(weir_log::planted::Bug::ALL, name).map(weir_log::planted::plant);
    let broker = named(weir_broker::planted::Bug::ALL, name).map(weir_broker::planted::plant);
    let raft = [weir_raft::planted::Bug::TruncatedToCommitted];
    let raft = named(&raft, name).map(weir_raft::planted::plant);
    log.or(broker).or(raft).is_some()
}

fn main() -> ExitCode {
    let hunt = Hunt {
        package: "weir-broker-sim",
        bugs: BUGS,
        plant,
        run: weir_broker_sim::run,
    };
    hunt.main()
}
