//! How replicas of a shard talk to each other: one question, one answer. Within a process nothing is
//! encoded; between processes `tcp` carries what `message` encodes.

mod memory;
pub(crate) mod message;
mod network;
pub(crate) mod tcp;

use bytes::Bytes;
use futures::future::BoxFuture;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use crate::group::types::{SnapshotMeta, TypeConfig, Vote};
use crate::ids::{NodeId, ShardId};
pub use memory::MemNetwork;
pub(crate) use network::Network;
pub use tcp::{Caller, Guard, Open, Service, TcpTransport, Wire};

/// Carries requests to other nodes.
pub trait Transport: Send + Sync + 'static {
    /// Asks a shard's replica on `to`. The caller bounds the time.
    fn call(
        &self,
        to: NodeId,
        shard: ShardId,
        request: Request,
    ) -> BoxFuture<'_, Result<Reply, Unreachable>>;
}

/// A request that got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node {node} is unreachable: {reason}")]
pub struct Unreachable {
    pub node: NodeId,
    pub reason: String,
}

/// What one replica asks another.
#[derive(Clone)]
pub struct Request(pub(crate) Ask);

/// The answer to a `Request`.
#[derive(Clone)]
pub struct Reply(pub(crate) Answer);

/// Which traffic a request belongs to. Votes and heartbeats must not wait behind the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Control,
    Entries,
    Snapshot,
}

#[derive(Clone)]
pub(crate) enum Ask {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    Snapshot {
        vote: Vote,
        meta: Box<SnapshotMeta>,
        state: Bytes,
    },
    TransferLeader(TransferLeaderRequest<TypeConfig>),
}

#[derive(Clone)]
pub(crate) enum Answer {
    Append(AppendEntriesResponse<TypeConfig>),
    Vote(VoteResponse<TypeConfig>),
    Snapshot(SnapshotResponse<TypeConfig>),
    TransferLeader(TransferLeaderResponse<TypeConfig>),
}

impl Request {
    pub fn lane(&self) -> Lane {
        match &self.0 {
            Ask::Append(append) if !append.entries.is_empty() => Lane::Entries,
            Ask::Snapshot { .. } => Lane::Snapshot,
            _ => Lane::Control,
        }
    }
}

/// The transport of a node that has no peers.
pub struct NoPeers;

impl Transport for NoPeers {
    fn call(
        &self,
        to: NodeId,
        _shard: ShardId,
        _request: Request,
    ) -> BoxFuture<'_, Result<Reply, Unreachable>> {
        let reason = "this node runs without peers".to_owned();
        Box::pin(async move { Err(Unreachable { node: to, reason }) })
    }
}
