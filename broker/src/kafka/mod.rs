//! The Kafka edge: TCP connections, frames, and one file per Kafka API.
//!
//! A byte's way in: [`listener`] accepts, [`connection`] cuts frames ([`frame`]) within a budget of bytes
//! ([`budget`]), [`dispatch`] checks each one ([`bounds`]), decodes it and starts its handler. Replies leave in the
//! order of their requests. Kafka's wire types and error codes stop at this module.
//!
//! An API is added in three places: its request in [`bounds`], its file with the [`Api`] (or [`RawApi`]), and its
//! row in [`dispatch::APIS`].
//!
//! Invariants: no length on the wire is believed before its bytes are there; requests of a connection start in
//! order and are answered in order; what one connection sends, or a handler's panic, ends that connection alone.

pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod api_versions;
pub mod authorized;
pub mod bounds;
pub mod budget;
pub mod cluster_view;
pub mod codec;
pub mod config_resource;
pub mod connection;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod dispatch;
pub mod elect_leaders;
pub mod error;
pub mod fetch;
pub mod find_coordinator;
pub mod frame;
pub mod group_wire;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod listener;
pub mod log_limit;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod patience;
pub mod produce;
pub mod request_metrics;
pub mod session;
pub mod sums;
pub mod sync_group;
#[cfg(test)]
mod test_rig;
pub mod unregister_broker;

#[cfg(test)]
pub mod testing;

pub use dispatch::{Api, Body, Dispatch, Entry, RawApi, Reply, RequestHead};
pub use error::{ErrorCode, KafkaError};
pub use session::Session;
