//! librdkafka's own tests, as it carries them, against three nodes.
//!
//! `scripts/librdkafka` builds its test runner; [`run`] starts the nodes and a process for each test, and [`verdict`] reads
//! what it printed. A test that fails for want of something that is known to be missing is excused by what it says.

pub mod run;
pub mod verdict;
