//! The other nodes, as this one asks them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use tokio::sync::watch;
use weir_raft::{Index, NodeId, ReadError, Seat, TcpTransport, Unreachable};

use super::message::{self, Answer, Question};
use crate::meta::Meta;
use crate::shard::host::ShardHost;
use crate::shard::hosted::HostedShards;
use crate::shard::reconcile::CatchUp;

/// How long an answer is waited for that needs no more than a look.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long each node is waited for where all are asked.
const BRIEF: Duration = Duration::from_secs(1);

/// How a question reaches another node.
pub trait Wire: Send + Sync {
    /// The caller bounds the time.
    fn ask(&self, to: NodeId, question: Bytes) -> BoxFuture<'_, Result<Bytes, Unreachable>>;

    /// The peers that are connected, as they come and go.
    fn peers(&self) -> watch::Receiver<BTreeMap<NodeId, Seat>>;

    /// The connections that it is made of, where it is.
    fn connections(&self) -> Option<&TcpTransport> {
        None
    }
}

impl Wire for TcpTransport {
    fn ask(&self, to: NodeId, question: Bytes) -> BoxFuture<'_, Result<Bytes, Unreachable>> {
        Box::pin(TcpTransport::ask(self, to, question))
    }

    fn peers(&self) -> watch::Receiver<BTreeMap<NodeId, Seat>> {
        TcpTransport::peers(self)
    }

    fn connections(&self) -> Option<&TcpTransport> {
        Some(self)
    }
}

/// A node that runs alone has none.
#[derive(Clone, Default)]
pub struct Peers {
    wire: Option<Arc<dyn Wire>>,
}

/// A question without an answer. Whether it arrived is not known.
#[derive(Debug, Clone, thiserror::Error)]
#[error("node {node} did not answer: {reason}")]
pub struct NoAnswer {
    pub node: NodeId,
    pub reason: String,
}

impl Peers {
    pub fn over(wire: impl Wire + 'static) -> Peers {
        Peers {
            wire: Some(Arc::new(wire)),
        }
    }

    /// Whether this node is part of a cluster that may have others.
    pub fn possible(&self) -> bool {
        self.wire.is_some()
    }

    pub fn transport(&self) -> Option<&TcpTransport> {
        self.wire.as_ref()?.connections()
    }

    /// The peers that are connected, as they come and go; `None` on a node that runs alone.
    pub fn watch(&self) -> Option<watch::Receiver<BTreeMap<NodeId, Seat>>> {
        self.wire.as_ref().map(|wire| wire.peers())
    }

    /// The peers that are connected now.
    pub fn connected(&self) -> BTreeSet<NodeId> {
        match self.watch() {
            Some(peers) => peers.borrow().keys().copied().collect(),
            None => BTreeSet::new(),
        }
    }

    /// Which brokers are connected now, for people.
    pub fn connections(&self) -> String {
        let seats = self.watch().map(|peers| {
            let seats: BTreeSet<i32> = peers.borrow().values().map(|seat| seat.0).collect();
            seats
        });
        let seats: Vec<String> = seats.iter().flatten().map(i32::to_string).collect();
        match seats.as_slice() {
            [] => "no other node is connected".to_owned(),
            seats => format!("connected are the nodes {}", seats.join(", ")),
        }
    }

    pub fn is_connected(&self, node: NodeId) -> bool {
        let peers = self.watch();
        peers.is_some_and(|peers| peers.borrow().contains_key(&node))
    }

    /// Asks a node, for as long as the caller waits.
    pub async fn ask(
        &self,
        node: NodeId,
        question: &Question,
        body: &[u8],
    ) -> Result<(Answer, Bytes), NoAnswer> {
        let no_answer = |reason| NoAnswer { node, reason };
        let wire = self.wire.as_ref();
        let wire = wire.ok_or_else(|| no_answer("this node runs alone".to_owned()))?;
        let answered = wire.ask(node, message::encode(question, body)).await;
        let answered = answered.map_err(|error| no_answer(error.reason))?;
        message::decode(answered).map_err(no_answer)
    }

    /// Asks what needs no more than a look.
    pub async fn look(&self, node: NodeId, question: &Question) -> Result<Answer, NoAnswer> {
        match tokio::time::timeout(PATIENCE, self.ask(node, question, b"")).await {
            Ok(answered) => answered.map(|(answer, _)| answer),
            Err(_) => Err(NoAnswer {
                node,
                reason: format!("no answer within {PATIENCE:?}"),
            }),
        }
    }

    /// Asks each node that is connected; those that do not answer at once are left out.
    pub async fn look_round(&self, question: &Question) -> Vec<(NodeId, Answer)> {
        let asked = self.connected().into_iter().map(|node| async move {
            let asked = tokio::time::timeout(BRIEF, self.ask(node, question, b"")).await;
            let (answer, _) = asked.ok()?.ok()?;
            Some((node, answer))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// A barrier for linearizable reads of this node's replica, whoever leads: everything that was acknowledged before
    /// the call is at or below the answer, and applied here.
    pub async fn read_index(&self, shard: &ShardHost) -> Result<Index, ReadError> {
        let refused = match shard.raft().read_index().await {
            Err(ReadError::NotLeader {
                leader: Some(leader),
            }) if leader != shard.node_id() => leader,
            answered => return answered,
        };
        let question = Question::ReadIndex { shard: shard.id.0 };
        let Ok(Answer::Index(index)) = self.look(refused, &question).await else {
            let leader = Some(refused);
            return Err(ReadError::NotLeader { leader });
        };
        let applied = shard.raft().wait_applied(index).await;
        applied.map_err(ReadError::Fatal)?;
        Ok(index)
    }

    /// Has the metadata here catch up by what its leader says, whoever leads.
    pub fn catch_up(&self, shards: &HostedShards) -> CatchUp {
        let (metadata, peers) = (shards.metadata(), self.clone());
        Arc::new(move || {
            let (metadata, peers) = (metadata.clone(), peers.clone());
            Box::pin(async move { peers.read_index(&metadata).await.map(drop) })
        })
    }

    /// Keeps connections to every node that the metadata names, until the node stops.
    pub async fn keep_connected(self, meta: Arc<Meta>) {
        let Some(transport) = self.transport() else {
            return;
        };
        let mut changed = meta.changed();
        loop {
            changed.borrow_and_update();
            let addresses: Vec<String> = {
                let state = meta.read();
                let nodes = state.nodes().values();
                nodes.filter_map(|node| node.cluster.clone()).collect()
            };
            addresses
                .into_iter()
                .for_each(|address| transport.connect(address));
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}
