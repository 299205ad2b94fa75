//! Bugs of `weir-raft` that are planted one at a time, and mistakes of operators, each of which some seed has to catch.

use std::process::ExitCode;

use weir_sim::harness::{Hunt, Planted, named};
use weir_sim::planted::Mistake;
use weir_sim::shards;

const BUGS: &[Planted] = &[
    Planted::new("LostNodeKeepsId", 4, &["has promised"]),
    Planted::new("OldImageRestored", 4, &["has promised", "and starts with"]),
    Planted::new(
        "AckBeforeSync",
        4,
        &["its disk would not keep it", "would keep it"],
    ),
    Planted::new("AckOnMinority", 4, &["would keep it"]),
    Planted::new("VoteNotSynced", 4, &["voted for"]),
    Planted::new("VoteAfterLog", 4, &["voted for"]),
    Planted::new(
        "SyncErrorIgnored",
        8,
        &["would not keep it", "would keep it"],
    ),
    Planted::new(
        "SyncErrorRetried",
        8,
        &["would not keep it", "would keep it"],
    ),
    Planted::new(
        "NoDirectorySync",
        8,
        &["would not keep it", "would keep it"],
    ),
    Planted::new("TornTailKept", 20, &["is damaged at offset"]),
    Planted::new(
        "TailCutBelowWatermark",
        40,
        &["has promised", "and starts with"],
    ),
    Planted::new("ChecksumNotChecked", 20, &["and is"]),
    Planted::new(
        "IndexOverLog",
        20,
        &[
            "is the first after",
            "both have the same entry",
            "follow those of",
        ],
    ),
    Planted::new("FilesNotChecked", 20, &["has promised", "and starts with"]),
    Planted::new("AppliedBeforeCommit", 4, &["would keep it"]),
    Planted::new("ControlRecordsRetired", 4, &["has promised"]),
    Planted::new("SnapshotBeforeSync", 4, &["snapshot"]),
    Planted::new(
        "TruncationNotRecorded",
        40,
        // Terms that fall are refused when a log is read.
        &[
            "follow those of",
            "both have the same entry",
            "does not start",
        ],
    ),
    Planted::new("TruncatedToCommitted", 4, &["and starts with"]),
    Planted::new("OpenedEarly", 20, &["has applied up to"]),
];

/// Gives this process a bug; false where none has the name.
fn plant(name: &str) -> bool {
    let mistake = named(Mistake::ALL, name).map(Mistake::make);
    let bug = named(weir_raft::planted::Bug::ALL, name).map(weir_raft::planted::plant);
    mistake.or(bug).is_some()
}

fn main() -> ExitCode {
    let hunt = Hunt {
        package: "weir-sim",
        bugs: BUGS,
        plant,
        run: shards::run,
    };
    hunt.main()
}
