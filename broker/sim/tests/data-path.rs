//! Seeds of simulated clusters of brokers.

use std::process::ExitCode;

use weir_sim::harness::Simulation;

/// What the seeds together must have met.
const CLASSES: &[&str] = &[
    "clean stop",
    "crash within a disk operation",
    "crash within a long write",
    "flipped bit",
    "partition that moved",
    "power loss",
    "power loss of all nodes",
    "process crash",
    "read error",
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
