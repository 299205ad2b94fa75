//! What the admin APIs ask of the running shards. Nothing here assumes that a shard's leader is this node.

use super::decide::TableDraft;
use super::settings::TopicSettings;
use super::state::MetaState;
use super::topics::PartitionPlace;
use futures::future::BoxFuture;
use uuid::Uuid;

/// A shard as this node knows it now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardView {
    /// The Raft node that leads it; `None` while nobody is known to.
    pub leader: Option<u64>,
    pub term: u64,
    /// The Raft nodes whose replicas are within the stated lag.
    pub in_sync: Vec<u64>,
}

impl ShardView {
    /// The leader epoch of a partition that this shard carries.
    pub fn leader_epoch(&self, place: PartitionPlace) -> i32 {
        i32::try_from(self.term)
            .ok()
            .and_then(|term| place.epoch_base.checked_add(term))
            .unwrap_or(i32::MAX)
    }
}

/// One data directory of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    /// Absolute.
    pub path: String,
    pub total_bytes: i64,
    pub usable_bytes: i64,
}

/// Why a wait for a topic's partitions ended without them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    #[error("the partitions of the topic were not ready in time")]
    TimedOut,
    #[error("the topic was deleted meanwhile")]
    Deleted,
}

/// Callers of the plain functions hold the metadata's read lock, so an implementation does not take it: a second read
/// waits behind a writer that waits for the first.
pub trait PartitionView: Send + Sync + 'static {
    fn shard(&self, shard: u64) -> ShardView;

    /// The brokers that clients are told as a shard's replicas: those that count for it. A node that holds the metadata
    /// without a vote is never in sync, and not among them.
    fn replicas(&self, state: &MetaState, shard: u64) -> Vec<i32> {
        state.replicas_of(shard)
    }

    /// Whether a Raft node is up and stays, as this node knows it now.
    fn is_up(&self, node: u64) -> bool;

    /// Waits until every partition of the topic is attached to its shard, so that whoever asks for its leaders gets them.
    /// The caller bounds the wait.
    fn attached(&self, topic_id: Uuid) -> BoxFuture<'static, Result<(), AttachError>>;

    /// As [`PartitionView::attached`], for the partitions that are to be on this node.
    fn attached_here(&self, topic_id: Uuid) -> BoxFuture<'static, Result<(), AttachError>>;

    /// Waits until no partition of a deleted topic is on this node, so that nobody reads it here any more.
    /// The caller bounds the wait.
    fn detached(&self, topic_id: Uuid, partitions: i32) -> BoxFuture<'static, ()>;

    fn log_dir(&self) -> LogDir;

    /// Bytes of the partition's log on this node; `None` when this node has no replica of it.
    fn log_size_bytes(&self, topic_id: Uuid, partition: i32) -> Option<i64>;
}

/// The part of the broker that knows what a table is.
pub trait TableDesigner: Send + Sync + 'static {
    /// The definition of the table that these settings ask for.
    ///
    /// `existing`: the topic that shall become a table; its log is folded first. `Err` says why it cannot be one, for the
    /// person who asked.
    fn design(
        &self,
        topic: &str,
        existing: Option<Uuid>,
        partitions: i32,
        settings: &TopicSettings,
    ) -> BoxFuture<'static, Result<TableDraft, String>>;
}
