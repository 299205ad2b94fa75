//! Seeds of simulated clusters that run `weir-raft`.

use std::process::ExitCode;

use weir_sim::harness::Simulation;
use weir_sim::planted::Mistake;
use weir_sim::shards;

/// What the seeds together must have met.
const CLASSES: &[&str] = &[
    "bad weather",
    "changed voters",
    "clean stop",
    "crash within a disk operation",
    "damage that was refused",
    "flapping link",
    "flipped bit",
    "full disk",
    "isolated node",
    "leader transfer",
    "link cut both ways",
    "link cut one way",
    "lost disk",
    "lost file",
    "lost message",
    "message into a cut",
    "message that arrives twice",
    "misdirected write",
    "node that is not heard",
    "overtaking message",
    "power loss",
    "power loss of all nodes",
    "process crash",
    "read error",
    "retired files",
    "slow disk",
    "stalled disk",
    "swapped files",
    "sync error",
    "torn tail",
    "write error",
];

/// Mistakes of operators, and how many seeds may pass until what comes of each is caught.
const MISTAKES: &[(&str, u64)] = &[("LostNodeKeepsId", 50), ("OldImageRestored", 50)];

/// Bugs of `weir-raft`, likewise.
#[cfg(feature = "planted-bugs")]
const BUGS: &[(&str, u64)] = &[
    ("AckBeforeSync", 50),
    ("AckOnMinority", 50),
    ("VoteNotSynced", 50),
    ("VoteAfterLog", 50),
    ("SyncErrorIgnored", 50),
    ("SyncErrorRetried", 50),
    ("NoDirectorySync", 50),
    ("TornTailKept", 50),
    ("TailCutBelowWatermark", 50),
    ("ChecksumNotChecked", 50),
    ("IndexOverLog", 50),
    ("FilesNotChecked", 50),
    ("AppliedBeforeCommit", 50),
    ("ControlRecordsRetired", 50),
    ("SnapshotBeforeSync", 50),
    ("TruncationNotRecorded", 50),
];
#[cfg(not(feature = "planted-bugs"))]
const BUGS: &[(&str, u64)] = &[];

fn plant(name: &str) -> bool {
    let mistake = Mistake::ALL.iter().find(|one| format!("{one:?}") == name);
    if let Some(mistake) = mistake {
        mistake.make();
        return true;
    }
    plant_in_raft(name)
}

#[cfg(feature = "planted-bugs")]
fn plant_in_raft(name: &str) -> bool {
    use weir_raft::planted::{Bug, plant};
    let bug = Bug::ALL.iter().find(|bug| format!("{bug:?}") == name);
    bug.map(|bug| plant(*bug)).is_some()
}

#[cfg(not(feature = "planted-bugs"))]
fn plant_in_raft(_name: &str) -> bool {
    false
}

fn main() -> ExitCode {
    let simulation = Simulation {
        package: "weir-sim",
        target: "raft",
        seeds: 40,
        classes: CLASSES,
        bugs: &[MISTAKES, BUGS].concat(),
        plant,
        run: shards::run,
    };
    simulation.main()
}
