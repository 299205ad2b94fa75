//! Answers what other nodes ask above Raft.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use uuid::Uuid;
use weir_raft::{Caller, NodeId};

use super::founding::Formation;
use super::leaders::Leaders;
use super::log::{answer_commit, answer_read_index};
use super::message::{self, Answer, Question};
use super::moves::Moves;
use super::peers::Peers;
use super::{failover, members, overview, quorum, transfer};
use crate::broker::Broker;
use crate::http::forward;
use crate::meta::{Meta, NodeInfo};
use crate::shard::hosted::HostedShards;
use crate::shard::hosting::METADATA;
use crate::tables::gather;

/// How long the metadata here may take to be as new as the asker's.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(5);
/// How long partitions may take to be attached.
const ATTACH_PATIENCE: Duration = Duration::from_secs(10);

/// This node as others ask it; what it cannot answer yet it refuses.
pub struct Service {
    pub formation: Formation,
    pub peers: Peers,
    pub leaders: Arc<Leaders>,
    pub shards: Arc<HostedShards>,
    meta: OnceLock<Arc<Meta>>,
    broker: OnceLock<Arc<Broker>>,
    moves: OnceLock<Arc<Moves>>,
    surfaces: OnceLock<forward::Surfaces>,
}

impl Service {
    pub fn new(
        formation: Formation,
        peers: Peers,
        leaders: Arc<Leaders>,
        shards: Arc<HostedShards>,
    ) -> Service {
        Service {
            formation,
            peers,
            leaders,
            shards,
            meta: OnceLock::new(),
            broker: OnceLock::new(),
            moves: OnceLock::new(),
            surfaces: OnceLock::new(),
        }
    }

    /// The metadata is here.
    pub fn has_metadata(&self, meta: Arc<Meta>) {
        assert!(self.meta.set(meta).is_ok(), "it is started once");
    }

    /// The broker is here.
    pub fn has_broker(&self, broker: Arc<Broker>, moves: Arc<Moves>, surfaces: forward::Surfaces) {
        assert!(self.broker.set(broker).is_ok(), "it is started once");
        assert!(self.moves.set(moves).is_ok(), "they are made once");
        assert!(self.surfaces.set(surfaces).is_ok(), "they are made once");
    }

    async fn answer(&self, caller: Caller, question: Question, body: Bytes) -> (Answer, Bytes) {
        if let Err(reason) = self.caught_up(question.revision()).await {
            return (Answer::Refused(reason), Bytes::new());
        }
        let answer = match question {
            Question::Introduce => Answer::Introduction(self.formation.introduction()),
            Question::Promise(founding) => match self.formation.promise(&founding).await {
                Ok(()) => Answer::Done,
                Err(reason) => Answer::Refused(reason),
            },
            Question::Register { broker_id, node } => self.register(broker_id, node).await,
            Question::Commit => match self.shards.get(METADATA) {
                Some(shard) => answer_commit(&shard, body).await,
                None => Answer::NotLeader,
            },
            Question::ReadIndex { shard } => self.read_index(shard).await,
            Question::Led(said) => {
                self.leaders.hear(said);
                Answer::Done
            }
            Question::Leaving => {
                self.leaders.leaves(caller.node);
                Answer::Done
            }
            Question::HandOver { shard, to } => match self.broker.get() {
                Some(broker) => {
                    Answer::HandedOver(transfer::answer(broker, shard, NodeId(to)).await)
                }
                None => Answer::NotLeader,
            },
            Question::Quorum => self.quorum(),
            Question::Figures => match self.broker.get() {
                Some(broker) => Answer::Figures(overview::own_figures(broker)),
                None => Answer::NotLeader,
            },
            Question::Rejects { topic } => match self.broker.get() {
                Some(broker) => Answer::Rejects(broker.rejects.of(topic)),
                None => Answer::NotLeader,
            },
            Question::Reaches { node } => Answer::Reaches(self.peers.is_connected(NodeId(node))),
            Question::Succession { shard, leader } => {
                failover::answer(&self.shards, &self.peers, shard, NodeId(leader))
            }
            Question::Attached { topic } => self.attached(topic).await,
            question @ (Question::Records(_) | Question::Seal { .. }) => {
                return self.of_partition(question).await;
            }
            Question::Rows(question) => match self.broker.get() {
                Some(broker) => match gather::answer(broker, question).await {
                    Ok((answer, rows)) => return (Answer::Rows(answer), rows),
                    Err(reason) => Answer::Refused(reason),
                },
                None => Answer::NotLeader,
            },
            Question::Http(request) => match self.surfaces.get() {
                Some(surfaces) => match surfaces.answer(request, body).await {
                    Ok((response, body)) => return (Answer::Http(response), body),
                    Err(reason) => Answer::Refused(reason),
                },
                None => Answer::NotLeader,
            },
        };
        (answer, Bytes::new())
    }

    /// Returns once the metadata here is of this revision; at once for 0, which asks for none.
    async fn caught_up(&self, revision: u64) -> Result<(), String> {
        if revision == 0 {
            return Ok(());
        }
        let meta = self.meta.get();
        let meta = meta.ok_or("the node that was asked is starting itself")?;
        let reached = tokio::time::timeout(CATCH_UP_PATIENCE, meta.reaches(revision)).await;
        reached.map_err(|_| "the metadata of the node that was asked is behind".to_owned())
    }

    async fn register(&self, broker_id: i32, node: NodeInfo) -> Answer {
        let Some(meta) = self.meta.get() else {
            return Answer::Refused("the node that was asked is starting itself".to_owned());
        };
        let own = self.formation.raft.id();
        members::answer(meta, &self.peers, own, (broker_id, node)).await
    }

    async fn read_index(&self, shard: u64) -> Answer {
        match self.shards.get(shard) {
            Some(shard) => answer_read_index(&shard).await,
            None => Answer::NotLeader,
        }
    }

    fn quorum(&self) -> Answer {
        let metadata = self.shards.get(METADATA);
        let quorum = metadata.and_then(|metadata| quorum::look(&metadata, &self.leaders));
        quorum.map_or(Answer::NotLeader, Answer::Quorum)
    }

    async fn of_partition(&self, question: Question) -> (Answer, Bytes) {
        let refused = |reason: String| (Answer::Refused(reason), Bytes::new());
        let Some(moves) = self.moves.get() else {
            return refused("the node that was asked is starting itself".to_owned());
        };
        let answered = moves.answer(&question).await;
        answered.unwrap_or_else(refused)
    }

    async fn attached(&self, topic: Uuid) -> Answer {
        let Some(broker) = self.broker.get() else {
            return Answer::NotLeader;
        };
        let attached = broker.admin.partitions.attached_here(topic);
        match tokio::time::timeout(ATTACH_PATIENCE, attached).await {
            Ok(Ok(())) => Answer::Done,
            Ok(Err(error)) => Answer::Refused(error.to_string()),
            Err(_) => Answer::Refused("the partitions are not attached yet".to_owned()),
        }
    }
}

/// The transport's end of a [`Service`].
pub struct Answering(pub Arc<Service>);

impl weir_raft::Service for Answering {
    fn answer(&self, caller: Caller, question: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let service = self.0.clone();
        Box::pin(async move {
            let (question, body) = message::decode(question)?;
            let (answer, body) = service.answer(caller, question, body).await;
            Ok(message::encode(&answer, &body))
        })
    }
}
