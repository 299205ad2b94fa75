//! How a broker reaches the others, what it answers them, and how it comes into their cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use weir_broker::broker::Broker;
use weir_broker::cluster::log::{answer_commit, answer_read_index};
use weir_broker::cluster::message::{self, Answer, Question};
use weir_broker::cluster::moves::Moves;
use weir_broker::cluster::peers::Wire;
use weir_broker::cluster::{Founding, Peers, failover, members, overview, transfer};
use weir_broker::meta::decide::cluster::{self, cluster_id};
use weir_broker::meta::{ChangeError, Meta, MetaFold, MetaState, NodeInfo};
use weir_broker::random::Random;
use weir_broker::shard::host::ShardHost;
use weir_broker::shard::hosting::{Founding as FoundingOf, Hosting};
use weir_raft::{Caller, NodeId, Seat, Service, Unreachable};
use weir_sim::{Port, Site, Trace, seat_of};

/// Replicas of a partition, where there are as many founders.
pub const REPLICAS: usize = 3;
/// How soon what failed is tried again.
const AGAIN: Duration = Duration::from_millis(300);

/// A broker's way to the others.
pub struct SimWire(pub Port);

impl Wire for SimWire {
    fn ask(&self, to: NodeId, question: Bytes) -> BoxFuture<'_, Result<Bytes, Unreachable>> {
        Box::pin(self.0.ask(to, question))
    }

    fn peers(&self) -> watch::Receiver<BTreeMap<NodeId, Seat>> {
        self.0.peers()
    }
}

/// A broker as the others ask it.
pub struct Answering {
    pub broker: Arc<Broker>,
    /// Once the shards have started.
    pub moves: Arc<OnceLock<Arc<Moves>>>,
    pub trace: Arc<Trace>,
}

impl Service for Answering {
    fn answer(&self, caller: Caller, question: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let (broker, moves, trace) = (self.broker.clone(), self.moves.clone(), self.trace.clone());
        Box::pin(async move {
            let (question, body) = message::decode(question)?;
            let metadata = broker.shards.metadata();
            let answer = match question {
                Question::Register { broker_id, node } => {
                    let (own, node) = (metadata.node_id(), (broker_id, node));
                    members::answer(&broker.meta, &broker.peers, own, node).await
                }
                Question::Commit => answer_commit(&metadata, body).await,
                Question::ReadIndex { shard } => match broker.shards.get(shard) {
                    Some(shard) => answer_read_index(&shard).await,
                    None => Answer::NotLeader,
                },
                Question::Led(said) => {
                    broker.leaders.hear(said);
                    Answer::Done
                }
                Question::Leaving => {
                    broker.leaders.leaves(caller.node);
                    Answer::Done
                }
                Question::HandOver { shard, to } if moves.get().is_some() => {
                    Answer::HandedOver(transfer::answer(&broker, shard, NodeId(to)).await)
                }
                Question::Figures => Answer::Figures(overview::own_figures(&broker)),
                Question::Succession { shard, leader } => {
                    let leader = NodeId(leader);
                    let answer = failover::answer(&broker.shards, &broker.peers, shard, leader);
                    if matches!(answer, Answer::Succession { gone: true, .. }) {
                        trace.fault("leader that others have lost too", [shard, leader.0]);
                    }
                    answer
                }
                question => match moves.get() {
                    Some(moves) => {
                        let answered = moves.answer(&question).await;
                        let refused = |reason| (Answer::Refused(reason), Bytes::new());
                        let (answer, body) = answered.unwrap_or_else(refused);
                        return Ok(message::encode(&answer, &body));
                    }
                    None => Answer::NotLeader,
                },
            };
            Ok(message::encode(&answer, b""))
        })
    }
}

/// Starts the metadata's shard, and founds it where the cluster begins with this node.
pub async fn start_metadata(
    site: &Site,
    hosting: &Hosting,
    fold: &MetaFold,
) -> Result<Arc<ShardHost>, String> {
    let started = hosting.start_metadata(fold.clone(), FoundingOf::Later);
    let shard = started.await.map_err(|error| error.to_string())?;
    if !site.founders.is_empty() {
        let founders = site.founders.iter().copied().collect();
        let founded = shard.raft().found(&founders).await;
        founded.map_err(|error| error.to_string())?;
    }
    Ok(shard)
}

/// A node on its way into its cluster.
pub struct Entering {
    pub site: Site,
    pub meta: Arc<Meta>,
    pub peers: Peers,
    pub hosting: Arc<Hosting>,
    pub random: Arc<dyn Random>,
}

impl Entering {
    /// Registers, as `weir_broker::node` does, and starts the shards that the metadata gives to this node.
    pub async fn run(self) -> Result<(), String> {
        let metadata = self.hosting.shards.metadata();
        if self.site.founders.is_empty() {
            self.join(&metadata).await;
        }
        self.led(&metadata).await;
        self.register().await?;
        let synced = self.hosting.sync(&self.meta).await;
        synced.map_err(|error| error.to_string())
    }

    /// Waits until the metadata has a leader.
    async fn led(&self, metadata: &ShardHost) {
        let own = metadata.node_id();
        let mut leadership = metadata.watch_leadership();
        while !self.site.life.is_over() {
            let led = leadership.wait_for(|now| now.open || now.leader.is_some_and(|id| id != own));
            if timeout(AGAIN, led).await.is_ok() {
                return;
            }
        }
    }

    /// Asks those who are there, until a leader has sent the metadata.
    async fn join(&self, metadata: &ShardHost) {
        let register = Question::Register {
            broker_id: self.site.seat.0,
            node: self.info(),
        };
        while !metadata.raft().has_history() && !self.site.life.is_over() {
            for peer in self.peers.connected() {
                if let Ok(Answer::Done) = self.peers.look(peer, &register).await {
                    break;
                }
            }
            sleep(AGAIN).await;
        }
    }

    /// Returns when this node is a member.
    async fn register(&self) -> Result<(), String> {
        let (seat, info) = (self.site.seat.0, self.info());
        let id = cluster_id(self.random.uuid());
        let founders = &self.site.founders;
        let founding = match founders.as_slice() {
            [] => Founding::alone(id, seat, &info),
            founders => Founding {
                cluster_id: id,
                nodes: founders
                    .iter()
                    .map(|one| (seat_of(*one).0, one.0))
                    .collect(),
                racks: BTreeMap::new(),
            },
        };
        let shards_per_node = if founders.len() == 1 { 2 } else { 1 };
        let new = founding.new_cluster(REPLICAS, shards_per_node);
        while !self.site.life.is_over() {
            if founders.is_empty() && self.meta.read().cluster_id().is_none() {
                // Who joins a cluster does not say what it is.
                sleep(AGAIN).await;
                continue;
            }
            let decide = |state: &MetaState| cluster::start(state, &new, seat, &info);
            match self.meta.change(decide).await {
                Ok(_) => return Ok(()),
                // It was removed, and starts again in vain until its disk is emptied.
                Err(ChangeError::Refused(_)) => sleep(AGAIN).await,
                Err(ChangeError::Commit(_)) => sleep(AGAIN).await,
            }
        }
        Err("it is over".to_owned())
    }

    fn info(&self) -> NodeInfo {
        NodeInfo {
            raft_id: self.site.node.0,
            listeners: BTreeMap::new(),
            rack: None,
            cluster: None,
        }
    }
}
