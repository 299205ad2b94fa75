//! Stock clients, and Kafka itself, as the judges of a running broker.
//!
//! Everything here speaks to the binary over TCP and HTTP as a user's program would; none of the product's crates is
//! linked, so that a mistake in them cannot hide itself. [`weir`] starts the binary, [`cluster`] several of it, [`kafka`]
//! Kafka, [`clients`] plays the matrix of stock clients, [`differential`] compares the binary's answers with Kafka's,
//! [`librdkafka`] plays that client's own tests, [`writers`] write while it is killed, and [`lossy`] is
//! a file system that loses what was not synced.

pub mod cache;
pub mod calls;
pub mod certificates;
pub mod clients;
pub mod clock;
pub mod cluster;
pub mod differential;
pub mod http;
pub mod kafka;
pub mod librdkafka;
pub mod lossy;
pub mod luck;
pub mod ports;
pub mod process;
pub mod weir;
pub mod writers;
