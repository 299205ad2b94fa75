//! The matrix: stock clients, each a program of its own, times the scenarios that each of them plays.
//!
//! A client is started by `scripts/clients --start NAME` (Rust's by this crate's own binary) with the broker's addresses
//! in its environment, and prints one JSON line about itself and one for each scenario. [`report`] makes a table of them.

pub mod matrix;
pub mod rdkafka;
pub mod report;
pub mod run;
pub mod stored;
