//! Clusters of brokers without their edges under the simulator of `weir-sim`: from the proposer to the segment
//! files, and from the metadata to the members and leaders of shards, with clients that know what they were told.
//! `model` says what is checked of records, `watch` of replicas and members.
//!
//! `cargo test --release -p weir-broker-sim` runs some seeds; a failing one prints how it is run again.

mod app;
mod clients;
mod model;
mod run;
mod watch;

pub use run::run;
