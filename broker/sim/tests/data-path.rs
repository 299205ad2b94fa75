//! Seeds of simulated clusters of brokers.

use std::process::ExitCode;

use weir_sim::harness::Simulation;

/// What the seeds together must have met.
const CLASSES: &[&str] = &[
    "changed voters",
    "clean stop",
    "crash within a disk operation",
    "crash within a long write",
    "drained node",
    "flipped bit",
    "hand-over of a node that stops or drains",
    "hand-over that was asked for",
    "hand-over to the first replica",
    "leader that others have lost too",
    "lost disk",
    "partition that moved",
    "power loss",
    "power loss of all nodes",
    "process crash",
    "read error",
    "reassigned partition",
    "removed node",
    "slow disk",
    "sync error",
    "write error",
    "write to a full disk",
];

fn main() -> ExitCode {
    let simulation = Simulation {
        package: "weir-broker-sim",
        target: "data-path",
        seeds: 24,
        classes: CLASSES,
        run: weir_broker_sim::run,
    };
    simulation.main()
}
