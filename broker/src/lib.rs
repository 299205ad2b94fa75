//! The broker: its edges, and what stands behind them.

pub mod broker;
pub mod cli;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod connections;
pub mod data_plane;
pub mod demo;
pub mod groups;
pub mod http;
pub mod identity;
pub mod kafka;
pub mod meta;
pub mod metrics;
pub mod node;
pub mod options;
pub mod partition;
pub mod partitions_here;
pub mod planted;
pub mod producer_ids;
pub mod random;
#[doc(hidden)]
pub mod readers;
pub mod registry;
pub mod rejects;
pub mod segments;
pub mod shard;
pub mod space;
pub mod startup;
pub mod tables;
pub mod tls;
pub mod topic;
