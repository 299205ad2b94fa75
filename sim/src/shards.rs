//! Replicated shards without anything on top: the simulation of `weir-raft` itself.

mod app;
mod chores;
mod client;
mod run;

pub use app::{Hosted, Shards, ShardsSettings};
pub use run::{Plan, run};
