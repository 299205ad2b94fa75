//! The broker: what every edge reads and changes. Edges are thin; they hold an `Arc` of this.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weir_log::BlockReader;
use weir_raft::{Leadership, NodeId};

use crate::clock::Clock;
use crate::cluster::leaders::Led;
use crate::cluster::{Leaders, Peers};
use crate::groups::Groups;
use crate::kafka::ErrorCode;
use crate::kafka::cluster_view::CLIENT_LISTENER;
use crate::kafka::fetch::session::FetchSessions;
use crate::kafka::produce::request::TopicRef;
use crate::meta::{Admin, Meta, Topic};
use crate::metrics::Metrics;
use crate::partition::Partition;
use crate::producer_ids::ProducerIds;
use crate::random::Random;
use crate::registry::SchemaRegistry;
use crate::rejects::Rejects;
use crate::shard::entry::PartitionId;
use crate::shard::host::{Partitions, ShardHost};
use crate::shard::hosted::HostedShards;
use crate::space::Space;
use crate::tables::hub::TableHub;
use crate::topic::{TopicView, TopicViews};

/// What a replica here is worth to a reader. Each holds committed records only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This node leads the partition.
    Leads,
    /// It follows the leader, which counts it as in sync.
    Follows,
    /// More may be committed, and not come here soon: nobody is known to lead, the leader is not connected, or does not
    /// count this node as in sync.
    Behind,
}

/// Whether a client's leader epoch is the one here; a negative one does not say.
fn fence(epoch: i32, asked: i32) -> Result<(), ErrorCode> {
    match asked {
        asked if asked < 0 || asked == epoch => Ok(()),
        asked if asked < epoch => Err(ErrorCode::FencedLeaderEpoch),
        _ => Err(ErrorCode::UnknownLeaderEpoch),
    }
}

pub struct Broker {
    pub broker_id: i32,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub meta: Arc<Meta>,
    /// What people do to the cluster.
    pub admin: Arc<Admin>,
    /// Consumer groups and their offsets.
    pub groups: Arc<Groups>,
    /// The shards of this node.
    pub shards: Arc<HostedShards>,
    pub partitions: Arc<Partitions>,
    /// The other nodes.
    pub peers: Peers,
    /// What they have said of themselves.
    pub leaders: Arc<Leaders>,
    /// Reads records back from the WAL; blocks.
    pub blocks: Arc<dyn BlockReader + Send + Sync>,
    pub fetch_sessions: FetchSessions,
    pub producer_ids: ProducerIds,
    pub metrics: Arc<Metrics>,
    pub registry: Arc<SchemaRegistry>,
    pub tables: Arc<TableHub>,
    pub rejects: Rejects,
    pub space: Arc<Space>,
    /// Cancelled when the node stops: what waits for others, or for records to come, is answered then.
    pub stopping: CancellationToken,
    topics: Arc<TopicViews>,
}

/// What the broker is made of.
pub struct Parts {
    pub broker_id: i32,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub meta: Arc<Meta>,
    pub admin: Arc<Admin>,
    pub groups: Arc<Groups>,
    pub shards: Arc<HostedShards>,
    pub partitions: Arc<Partitions>,
    pub peers: Peers,
    pub leaders: Arc<Leaders>,
    pub blocks: Arc<dyn BlockReader + Send + Sync>,
    pub topics: Arc<TopicViews>,
    pub metrics: Arc<Metrics>,
    pub registry: Arc<SchemaRegistry>,
    pub tables: Arc<TableHub>,
    pub space: Arc<Space>,
    pub stopping: CancellationToken,
}

impl Broker {
    pub fn new(parts: Parts) -> Broker {
        let Parts {
            broker_id,
            clock,
            random,
            meta,
            admin,
            groups,
            shards,
            partitions,
            peers,
            leaders,
            blocks,
            topics,
            metrics,
            registry,
            tables,
            space,
            stopping,
        } = parts;
        Broker {
            broker_id,
            clock,
            random,
            meta,
            admin,
            groups,
            shards,
            partitions,
            peers,
            leaders,
            blocks,
            topics,
            metrics,
            registry,
            tables,
            space,
            stopping,
            fetch_sessions: FetchSessions::default(),
            producer_ids: ProducerIds::default(),
            rejects: Rejects::default(),
        }
    }

    /// The topic that a request names, as the data path sees it.
    pub fn topic_view(&self, topic: &TopicRef) -> Option<Arc<TopicView>> {
        self.topics.get(topic)
    }

    /// The metadata's topic that a request names.
    pub fn topic(&self, topic: &TopicRef) -> Option<Arc<Topic>> {
        let state = self.meta.read();
        match topic {
            TopicRef::Name(name) => state.topics().get(name).cloned(),
            TopicRef::Id(id) => state.topics().by_id(*id).cloned(),
        }
    }

    /// This node's replica of a partition.
    pub fn find_partition(&self, topic: &TopicRef, index: i32) -> Option<Arc<Partition>> {
        let topic = match topic {
            TopicRef::Id(id) => *id,
            TopicRef::Name(name) => self.meta.read().topics().get(name)?.id,
        };
        self.partitions.get(PartitionId { topic, index })
    }

    /// A partition that this node leads, for a client that knows `current_epoch` (-1: it does not say).
    pub fn led_partition(
        &self,
        topic: &TopicRef,
        index: i32,
        current_epoch: i32,
    ) -> Result<Arc<Partition>, ErrorCode> {
        let partition = self
            .find_partition(topic, index)
            .ok_or_else(|| self.missing_code(topic, index))?;
        let leadership = partition.leadership();
        if !leadership.open {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        fence(partition.epoch_in(leadership.term), current_epoch)?;
        Ok(partition)
    }

    /// This node's replica of a partition, whoever leads it, for a reader that knows `current_epoch` (-1: it does not
    /// say), and what the replica is worth to it.
    pub fn replica(
        &self,
        topic: &TopicRef,
        index: i32,
        current_epoch: i32,
    ) -> Result<(Arc<Partition>, Standing), ErrorCode> {
        let partition = self
            .find_partition(topic, index)
            .ok_or_else(|| self.missing_code(topic, index))?;
        let leadership = partition.leadership();
        fence(partition.epoch_in(leadership.term), current_epoch)?;
        let standing = match leadership.open {
            true => Standing::Leads,
            false if self.is_fed(&partition.shard, leadership) => Standing::Follows,
            false => Standing::Behind,
        };
        Ok((partition, standing))
    }

    /// Whether a replica here receives what its leader appends, as far as is known here: the leader is connected, and
    /// has not said that this node is out of sync.
    fn is_fed(&self, shard: &ShardHost, leadership: Leadership) -> bool {
        let own = shard.node_id();
        let is_in_sync = |led: &Led| led.term != leadership.term || led.in_sync.contains(&own.0);
        match leadership.leader {
            Some(leader) if leader != own => {
                self.peers.is_connected(leader)
                    && self.leaders.look(shard.id.0, is_in_sync).unwrap_or(true)
            }
            _ => false,
        }
    }

    /// The code for a partition that is not here: it is on other nodes, or not attached yet, or does not exist, and
    /// then how the request named the topic decides it.
    pub fn missing_code(&self, topic: &TopicRef, index: i32) -> ErrorCode {
        match (self.topic(topic), topic) {
            (Some(found), _) if found.partition(index).is_some() => ErrorCode::NotLeaderOrFollower,
            (None, TopicRef::Id(_)) => ErrorCode::UnknownTopicId,
            _ => ErrorCode::UnknownTopicOrPartition,
        }
    }

    /// Kafka's broker id of a Raft node.
    pub fn broker_id_of(&self, node: NodeId) -> Option<i32> {
        self.meta.read().broker_of(node.0)
    }

    /// Leader's broker id and leader epoch of a partition, as this node knows them.
    pub fn leader_of(&self, topic: &TopicRef, index: i32) -> Option<(i32, i32)> {
        let place = self.topic(topic)?.partition(index)?;
        let view = self.admin.partitions.shard(place.shard);
        let leader = self.broker_id_of(NodeId(view.leader?))?;
        Some((leader, view.leader_epoch(place)))
    }

    /// A session id; sessions that are open keep theirs, so a taken one is passed over.
    pub fn random_session_id(&self) -> i32 {
        (self.random.next_u64() >> 33) as i32
    }

    /// Where the brokers are: id, host, port, rack.
    pub fn endpoints(&self) -> Vec<(i32, String, i32, Option<String>)> {
        let state = self.meta.read();
        let nodes = state.nodes().iter().filter_map(|(id, node)| {
            let endpoint = node.listeners.get(CLIENT_LISTENER)?;
            Some((
                *id,
                endpoint.host.clone(),
                i32::from(endpoint.port),
                node.rack.clone(),
            ))
        });
        nodes.collect()
    }

    /// Replicas of a partition that are within the stated lag of its leader.
    pub fn in_sync_replicas(&self, partition: &Partition) -> u32 {
        partition.shard.in_sync()
    }
}
