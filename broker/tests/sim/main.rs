//! Clusters of brokers without their edges under the simulator of `weir-sim`: from the proposer to the segment
//! files, with clients that know what they were told. `model` says what is checked.
//!
//! `cargo test --release -p weir --test sim` runs some seeds; a failing one prints how it is run again. With
//! `--features planted-bugs` it also looks for bugs that are planted.

mod app;
mod clients;
mod model;
mod planted;
mod run;
mod watch;

use std::process::ExitCode;

use weir_sim::harness::Simulation;

/// What the seeds together must have met.
const CLASSES: &[&str] = &[
    "clean stop",
    "crash within a disk operation",
    "flipped bit",
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
        package: "weir",
        target: "sim",
        // Each takes a quarter of a minute.
        seeds: 4,
        classes: CLASSES,
        bugs: planted::BUGS,
        plant: planted::plant,
        run: run::run,
    };
    simulation.main()
}
