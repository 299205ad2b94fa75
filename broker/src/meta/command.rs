//! What can happen to the metadata.

use super::partitioners::PartitionerSet;
use super::state::{NodeInfo, ShardInfo};
use super::topics::{PartitionPlace, Topic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Settings to set (`Some`) and to remove (`None`).
pub type ConfigChanges = BTreeMap<String, Option<String>>;

/// One change. Stored as JSON, so fields and variants are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetaCommand {
    /// Names the cluster and its data shards, once.
    InitCluster {
        cluster_id: String,
        shards: BTreeMap<u64, ShardInfo>,
        #[serde(default = "default_shards_per_node")]
        shards_per_node: u64,
    },
    /// More data shards, with ids that were never used.
    AddShards {
        shards: BTreeMap<u64, ShardInfo>,
    },
    /// A broker has started, or its addresses have changed.
    RegisterNode {
        broker_id: i32,
        node: NodeInfo,
    },
    CreateTopic(Topic),
    /// `highest_epoch`: no leader epoch above it had been issued for the topic when the deletion was decided.
    DeleteTopic {
        id: Uuid,
        highest_epoch: i32,
    },
    /// `from`: the number of partitions that the decision saw.
    AddPartitions {
        id: Uuid,
        from: u32,
        partitions: Vec<PartitionPlace>,
    },
    AlterTopic {
        id: Uuid,
        changes: ConfigChanges,
    },
    /// The topic becomes a table.
    MakeTable {
        id: Uuid,
        table: serde_json::Value,
        partitioners: PartitionerSet,
    },
    /// A partition begins to move to shard `to`, or goes there rather than where it is going.
    StartMove {
        id: Uuid,
        partition: i32,
        to: u64,
    },
    /// A partition stays where it is.
    CancelMove {
        id: Uuid,
        partition: i32,
    },
    /// Nearly all of a partition has come: it ends where it is. There is no way back from here.
    SealMove {
        id: Uuid,
        partition: i32,
        to: u64,
    },
    /// A partition is served by the shard that it moved to.
    FinishMove {
        id: Uuid,
        partition: i32,
        to: u64,
        epoch_base: i32,
    },
    /// A node gets nothing more (`true`), or again (`false`).
    DrainNode {
        broker_id: i32,
        draining: bool,
    },
    /// A node is no member any more; what it replicated lies elsewhere.
    RemoveNode {
        broker_id: i32,
    },
    /// Settings of one broker, or of all (`None`).
    AlterBroker {
        broker_id: Option<i32>,
        changes: ConfigChanges,
    },
    /// Hands `first..first + count` to whoever decided it.
    TakeProducerIds {
        first: i64,
        count: i64,
    },
    /// A table's candidates were `from` and are now `to`.
    NarrowPartitioners {
        id: Uuid,
        from: PartitionerSet,
        to: PartitionerSet,
    },
}

fn default_shards_per_node() -> u64 {
    2
}
