//! Kafka as the judge: every case is asked of Kafka and of Weir, and the decoded answers must be equal once ids, times
//! and addresses are words. What is meant to differ is a list with reasons, [`differences`].

pub mod alone;
pub mod batches;
pub mod build;
pub mod cases;
pub mod diff;
pub mod differences;
pub mod normal;
pub mod play;
pub mod record;
pub mod report;
pub mod run;
pub mod target;
pub mod topics;
pub mod tree;
pub mod trial;
pub mod wire;
