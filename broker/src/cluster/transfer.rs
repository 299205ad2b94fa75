//! Handing a shard over to another of its replicas: a clean stop, the balance and people have that done.
//!
//! Only the leader can hand a shard over, and it does so only to a replica that is in sync, connected and stays: a leader
//! that hands over takes no more proposals until somebody has taken over.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use weir_raft::NodeId;

use super::message::{Answer, Question};
use crate::broker::Broker;
use crate::shard::host::ShardHost;
use crate::shard::hosting::METADATA;

/// How long one heir is waited for.
const ATTEMPT: Duration = Duration::from_millis(700);
/// How soon it is tried again where nobody leads, or nobody has taken over.
const AGAIN: Duration = Duration::from_millis(100);

/// Why a shard is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// This node stops.
    Stop,
    /// The heir is the first of the replicas.
    Preferred,
    /// Somebody asked for it.
    Asked,
}

/// Why a shard is not led by the node that was to lead it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum TransferError {
    #[error("there is no shard {0}")]
    NoShard(u64),
    #[error("there is no node {0}")]
    NoNode(i32),
    #[error("the node has no replica")]
    NoReplica,
    #[error("the node's replica has no vote")]
    NoVote,
    #[error("the node is away")]
    Away,
    #[error("the node is about to stop")]
    Leaving,
    #[error("the node drains, and gives up what it leads")]
    Draining,
    #[error("the node's replica is not in sync")]
    NotInSync,
    #[error("nobody leads the shard now")]
    NoLeader,
    #[error("the node has not taken over in time")]
    NotTaken,
}

impl TransferError {
    /// Whether trying again is of use by itself.
    fn passes(&self) -> bool {
        matches!(self, TransferError::NoLeader | TransferError::NotTaken)
    }
}

/// Hands over a shard that this node leads; returns when somebody else leads it.
pub async fn hand_over(
    broker: &Broker,
    shard: &ShardHost,
    to: NodeId,
    reason: Reason,
) -> Result<(), TransferError> {
    is_fit(broker, shard, to)?;
    let mut leadership = shard.watch_leadership();
    if let Err(error) = shard.raft().transfer_leader(to).await {
        // What Raft says of it; the caller says the rest.
        tracing::debug!(shard = shard.id.0, %to, %error, "leadership was not transferred");
        return Err(TransferError::NotTaken);
    }
    let elsewhere = |leader: NodeId| leader != shard.node_id();
    let taken = leadership.wait_for(|now| now.leader.is_some_and(elsewhere));
    match tokio::time::timeout(ATTEMPT, taken).await {
        Ok(Ok(_)) => {
            tracing::info!(shard = shard.id.0, %to, ?reason, "the shard was handed over");
            broker.leaders.handed_over(reason);
            Ok(())
        }
        Ok(Err(_)) | Err(_) => Err(TransferError::NotTaken),
    }
}

/// Whether a node may be handed a shard that this node leads.
pub fn is_fit(broker: &Broker, shard: &ShardHost, to: NodeId) -> Result<(), TransferError> {
    let Some(followers) = shard.raft().followers() else {
        return Err(TransferError::NoLeader);
    };
    if !shard.raft().members().voters.contains(&to) {
        return Err(TransferError::NoVote);
    }
    if to != shard.node_id() && !broker.peers.is_connected(to) {
        return Err(TransferError::Away);
    }
    if broker.leaders.is_leaving(to) {
        return Err(TransferError::Leaving);
    }
    if drains(broker, to) {
        return Err(TransferError::Draining);
    }
    match followers.in_sync.contains(&to) {
        true => Ok(()),
        false => Err(TransferError::NotInSync),
    }
}

fn drains(broker: &Broker, node: NodeId) -> bool {
    let state = broker.meta.read();
    let id = state.broker_of(node.0);
    id.is_some_and(|id| state.draining().contains(&id))
}

/// Has a broker lead a shard, whoever leads it now; returns once this node knows that it does. Where nobody leads the
/// shard, somebody is waited for.
pub async fn transfer(
    broker: &Broker,
    shard: u64,
    to: i32,
    patience: Duration,
) -> Result<(), TransferError> {
    let to = replica(broker, shard, to)?;
    let deadline = Instant::now() + patience;
    loop {
        let tried = attempt(broker, shard, to).await;
        if broker.admin.partitions.shard(shard).leader == Some(to.0) {
            return Ok(());
        }
        let error = tried.err().unwrap_or(TransferError::NotTaken);
        if !error.passes() || Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn attempt(broker: &Broker, shard: u64, to: NodeId) -> Result<(), TransferError> {
    let leader = broker.admin.partitions.shard(shard).leader;
    let leader = NodeId(leader.ok_or(TransferError::NoLeader)?);
    if leader == to {
        return Ok(());
    }
    match broker.shards.get(shard) {
        Some(host) if host.node_id() == leader => hand_over(broker, &host, to, Reason::Asked).await,
        _ => {
            let question = Question::HandOver { shard, to: to.0 };
            match broker.peers.look(leader, &question).await {
                Ok(Answer::HandedOver(result)) => result,
                _ => Err(TransferError::NoLeader),
            }
        }
    }
}

/// Answers [`Question::HandOver`].
pub async fn answer(broker: &Broker, shard: u64, to: NodeId) -> Result<(), TransferError> {
    let host = broker.shards.get(shard).ok_or(TransferError::NoLeader)?;
    hand_over(broker, &host, to, Reason::Asked).await
}

/// The Raft node of a broker that has a replica of the shard.
fn replica(broker: &Broker, shard: u64, to: i32) -> Result<NodeId, TransferError> {
    let state = broker.meta.read();
    if shard != METADATA && !state.shards().contains_key(&shard) {
        return Err(TransferError::NoShard(shard));
    }
    let node = state.nodes().get(&to).ok_or(TransferError::NoNode(to))?;
    match state.replicas_of(shard).contains(&to) {
        true => Ok(NodeId(node.raft_id)),
        false => Err(TransferError::NoReplica),
    }
}
