//! The cluster's metadata: nodes, topics, where each partition lives, settings, producer ids.
//!
//! It is the fold of one Raft log, shard 0, of which every node is a member:
//!
//! - `decide_*` (in [`decide`]) are plain functions that read a [`MetaState`] and answer with commands;
//! - [`MetaState::apply_entry`] is the only writer, live and at recovery;
//! - [`Meta`] joins the two: it serialises decide and commit, and tells watchers of each change.
//!
//! Invariants:
//! - an entry carries the revision that its decision saw and is rejected on any other, so it applies whole or not at all;
//! - a topic id is never used twice;
//! - a leader epoch is never issued twice for one topic name ([`epochs`]);
//! - no clock, randomness or node-local setting is read in `apply`: the entry carries them.
//!
//! Left out: reading partitions and their logs (the shards do), and the Kafka wire (`kafka/`).

pub mod admin;
pub mod broker_config;
pub mod command;
pub mod config;
pub mod decide;
pub mod effective;
pub mod epochs;
pub mod format;
pub mod handle;
pub mod names;
pub mod partitioners;
pub mod placement;
pub mod settings;
pub mod state;
pub mod topic_config;
pub mod topics;
pub mod view;

mod apply;

pub use admin::{Admin, AdminError};
pub use command::MetaCommand;
pub use decide::TableDraft;
pub use handle::{ChangeError, Meta, MetaCommitError, MetaEnv, MetaFold, MetaLog};
pub use partitioners::{Partitioner, PartitionerSet};
pub use settings::TopicSettings;
pub use state::{Endpoint, MetaState, NodeInfo, ShardInfo};
pub use topics::{PartitionPlace, Topic, Topics};
pub use view::{PartitionView, ShardView, TableDesigner};
