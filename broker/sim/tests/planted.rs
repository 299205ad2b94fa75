//! Bugs of the product that are planted one at a time, each of which some seed has to catch.

use std::process::ExitCode;

use weir_sim::harness::{Hunt, Planted, named};
use weir_sim::planted::Mistake;

/// Those of `weir-log` and of the broker, those of `weir-raft` that records show, too, and a mistake of operators.
/// `PendingKept` is not among them: it shows only where a broker leads, is refused, and leads again without a start, which
/// ten seeds did not meet.
const BUGS: &[Planted] = &[
    // A producer whose right batch was refused begins anew, and what it was not told of comes twice.
    Planted::new("ProducersNotStored", 4, &["L4"]),
    Planted::new("SequenceWraps", 4, &["L4"]),
    Planted::new("ProducersOfOneLeader", 20, &["L4", "L6"]),
    Planted::new("EndNotStored", 20, &["L1", "L3", "L5", "L8"]),
    Planted::new("TrimNotStored", 4, &["L5", "L8"]),
    Planted::new("LastOfSegmentDropped", 4, &["L10"]),
    Planted::new("TombstonesDropped", 4, &["L10"]),
    Planted::new("ChecksumNotChecked", 20, &["D4", "L12"]),
    Planted::new("SegmentNotSynced", 10, &["L1"]),
    Planted::new("ManifestBeforeMove", 20, &["L1"]),
    Planted::new("FilesBeforeTrim", 20, &["L1"]),
    Planted::new("AckBeforeCommit", 10, &["L1", "L3", "L8"]),
    Planted::new(
        "TruncatedToCommitted",
        10,
        &["L1", "L3", "L8", "and starts with"],
    ),
    Planted::new("FormerVotes", 20, &["the members of shard"]),
    Planted::new("LostNodeKeepsId", 20, &["has promised", "and starts with"]),
];

/// Gives this process a bug; false where none has the name.
fn plant(name: &str) -> bool {
    let log = named(weir_log::planted::Bug::ALL, name).map(weir_log::planted::plant);
    let broker = named(weir_broker::planted::Bug::ALL, name).map(weir_broker::planted::plant);
    let raft = [weir_raft::planted::Bug::TruncatedToCommitted];
    let raft = named(&raft, name).map(weir_raft::planted::plant);
    let mistake = named(&[Mistake::LostNodeKeepsId], name).map(Mistake::make);
    log.or(broker).or(raft).or(mistake).is_some()
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
