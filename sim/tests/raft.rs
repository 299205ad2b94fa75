//! Seeds of simulated clusters that run `weir-raft`.

use std::process::ExitCode;

use weir_sim::harness::Simulation;
use weir_sim::shards;

/// What the seeds together must have met.
const CLASSES: &[&str] = &[
    "bad weather",
    "changed voters",
    "clean stop",
    "crash of a node that comes back",
    "crash within a disk operation",
    "crash within a long write",
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

fn main() -> ExitCode {
    let simulation = Simulation {
        package: "weir-sim",
        target: "raft",
        // More than twenty simulated hours.
        seeds: 265,
        classes: CLASSES,
        run: shards::run,
    };
    simulation.main()
}
