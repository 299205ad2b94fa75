//! Clusters of production code under a seeded simulator. Time, disks, networks, threads and randomness are
//! not real: one seed is one run, and one run is one process (`harness`).
//!
//! A `Cluster` holds seats; on each an `App`, which is production code and what runs on top of it, is started
//! with an `Env` of simulated parts. A `Nemesis` crashes, cuts and damages; a `Judge` is told of everything
//! that replicas do and say, and ends the run at the first broken invariant.
//!
//! Invariants
//! - Everything that happens enters the `Trace`, whose hash is the same for the same seed.
//! - Nothing in a run asks the operating system for time, randomness or threads (`entropy`).
//! - A crashed node's code may run on for a while, on a dead disk and a dead network: it has no effect.
//!
//! Left out: real sockets and files; what an entry means.

mod app;
mod cluster;
mod disk;
mod entropy;
mod env;
pub mod harness;
mod judge;
mod life;
mod machine;
mod nemesis;
mod network;
pub mod planted;
mod random;
pub mod shards;
mod threads;
mod trace;

pub use app::{App, Site, StartFailure};
pub use cluster::{Cluster, Crash, DIR, Settings, seat_of};
pub use disk::{DiskFault, SimDisk};
pub use env::SimClock;
pub use judge::{Fed, Judge};
pub use life::Life;
pub use machine::{Recorder, State, hash};
pub use nemesis::{Dose, Nemesis};
pub use network::{Port, SimNetwork, Weather};
pub use random::Rng;
pub use threads::SimThreads;
pub use trace::Trace;
