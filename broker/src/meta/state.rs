//! What the metadata log folds into.

use super::epochs::EpochMarks;
use super::topics::Topics;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An address that clients are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Empty for a listener on a wildcard address without an advertised one: then clients are told the local address on
    /// which they connected.
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The Raft incarnation that this broker id stands for now.
    pub raft_id: u64,
    /// Listener name -> advertised Kafka address.
    pub listeners: BTreeMap<String, Endpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
    /// Where other nodes reach it, `HOST:PORT`; `None` for one that runs alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

/// A data shard and the brokers that replicate it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardInfo {
    /// In order of preference.
    pub replicas: Vec<i32>,
    /// The Raft nodes that are its first voters, in the same order; never changed, so that whoever founds
    /// the shard, and whenever, names the same ones.
    #[serde(default)]
    pub founders: Vec<u64>,
}

/// Settings by name, as they were given.
pub type Configs = BTreeMap<String, String>;

/// The cluster as one node has applied it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetaState {
    /// How many entries changed this state; decisions are fenced by it.
    pub(super) revision: u64,
    pub(super) cluster_id: Option<String>,
    pub(super) nodes: BTreeMap<i32, NodeInfo>,
    /// Raft incarnations whose broker id stands for another one now; they never come back.
    pub(super) former: BTreeSet<u64>,
    pub(super) shards: BTreeMap<u64, ShardInfo>,
    /// No shard up to this id is made any more, though it is not there.
    pub(super) retired_shard: u64,
    /// Shards of nodes that left; they carry nothing any more.
    pub(super) closed: BTreeSet<u64>,
    /// Nodes that get nothing more, by broker id.
    pub(super) draining: BTreeSet<i32>,
    /// Shards of each replication factor that a node is the first to lead.
    pub(super) shards_per_node: u64,
    pub(super) topics: Topics,
    pub(super) cluster_configs: Configs,
    pub(super) broker_configs: BTreeMap<i32, Configs>,
    pub(super) next_producer_id: i64,
    pub(super) epochs: EpochMarks,
}

impl MetaState {
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Kafka's cluster id; `None` until the first leader has initialised the cluster.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// By broker id.
    pub fn nodes(&self) -> &BTreeMap<i32, NodeInfo> {
        &self.nodes
    }

    /// The Kafka broker id of a Raft node.
    pub fn broker_of(&self, raft_id: u64) -> Option<i32> {
        self.nodes
            .iter()
            .find(|(_, node)| node.raft_id == raft_id)
            .map(|(id, _)| *id)
    }

    /// Whether a Raft incarnation was replaced by another one of its broker.
    pub fn is_former(&self, raft_id: u64) -> bool {
        self.former.contains(&raft_id)
    }

    /// The data shards, by id. Shard 0, the metadata, is not among them.
    pub fn shards(&self) -> &BTreeMap<u64, ShardInfo> {
        &self.shards
    }

    /// The id of a new shard; none had it before.
    pub fn next_shard(&self) -> u64 {
        let last = self.shards.last_key_value().map_or(0, |(id, _)| *id);
        last.max(self.retired_shard) + 1
    }

    /// Shards that carry nothing any more.
    pub fn closed(&self) -> &BTreeSet<u64> {
        &self.closed
    }

    /// The shards that new partitions may go to.
    pub fn open_shards(&self) -> BTreeMap<u64, ShardInfo> {
        let drains = |info: &ShardInfo| info.replicas.iter().any(|id| self.draining.contains(id));
        let open = self.shards.iter();
        let open = open.filter(|(id, info)| !self.closed.contains(id) && !drains(info));
        open.map(|(id, info)| (*id, info.clone())).collect()
    }

    /// Nodes that get nothing more.
    pub fn draining(&self) -> &BTreeSet<i32> {
        &self.draining
    }

    /// Shards of each replication factor that a node is the first to lead.
    pub fn shards_per_node(&self) -> u64 {
        self.shards_per_node
    }

    /// The brokers that carry a shard; the metadata shard is carried by all.
    pub fn replicas_of(&self, shard: u64) -> Vec<i32> {
        match self.shards.get(&shard) {
            Some(info) => info.replicas.clone(),
            None => self.nodes.keys().copied().collect(),
        }
    }

    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Broker settings that hold for every broker.
    pub fn cluster_configs(&self) -> &Configs {
        &self.cluster_configs
    }

    /// Broker settings of one broker.
    pub fn broker_configs(&self, broker: i32) -> Option<&Configs> {
        self.broker_configs.get(&broker)
    }

    /// The first producer id that was never given out.
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// The `epoch_base` of a new topic's partitions.
    pub fn epoch_base_for(&self, topic: &str) -> i32 {
        self.epochs.base_for(topic)
    }
}
