//! openraft's network on top of a `Transport`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::{Answer, Ask, Lane, Request, Transport};
use crate::group::types::{Snapshot, TypeConfig, Vote};
use crate::ids::{NodeId, ShardId};
use crate::planted::{self, Bug};

/// Makes clients for a shard's replicas elsewhere.
pub struct Network {
    pub transport: Arc<dyn Transport>,
    pub shard: ShardId,
}

pub struct Peer {
    transport: Arc<dyn Transport>,
    shard: ShardId,
    node: NodeId,
}

/// How long a message with entries may take: it may have to wait for a slow disk, and to give up on
/// it and send it again would only add to the load.
const ENTRIES_TIMEOUT: Duration = Duration::from_secs(10);

type Rpc<T> = Result<T, RPCError<TypeConfig>>;

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _node: &EmptyNode) -> Peer {
        Peer {
            transport: self.transport.clone(),
            shard: self.shard,
            node: NodeId(target),
        }
    }
}

impl Peer {
    async fn call(&self, ask: Ask, option: &RPCOption) -> Rpc<Answer> {
        let request = Request(ask);
        let limit = match request.lane() {
            Lane::Entries => ENTRIES_TIMEOUT,
            Lane::Control | Lane::Snapshot => option.hard_ttl(),
        };
        let call = self.transport.call(self.node, self.shard, request);
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(reply)) => Ok(reply.0),
            Ok(Err(error)) => Err(unreachable(&error)),
            Err(_) => Err(unreachable(&super::Unreachable {
                node: self.node,
                reason: format!("no answer within {limit:?}"),
            })),
        }
    }

    fn mismatch<T>(&self) -> Rpc<T> {
        Err(unreachable(&super::Unreachable {
            node: self.node,
            reason: "it answered another question".to_owned(),
        }))
    }
}

fn unreachable(error: &super::Unreachable) -> RPCError<TypeConfig> {
    RPCError::Unreachable(openraft::errors::Unreachable::new(error))
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<TypeConfig>> {
        let answer = match self.call(Ask::Append(rpc), &option).await {
            Err(_) if planted::has(Bug::AckOnMinority) => {
                Answer::Append(AppendEntriesResponse::Success)
            }
            answer => answer?,
        };
        match answer {
            Answer::Append(response) => Ok(response),
            _ => self.mismatch(),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        match self.call(Ask::Vote(rpc), &option).await? {
            Answer::Vote(response) => Ok(response),
            _ => self.mismatch(),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        match self.call(Ask::PreVote(rpc), &option).await? {
            Answer::Vote(response) => Ok(response),
            _ => self.mismatch(),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let ask = Ask::Snapshot {
            vote,
            meta: Box::new(snapshot.meta),
            state: snapshot.snapshot,
        };
        let answer = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            answer = self.call(ask, &option) => answer?,
        };
        match answer {
            Answer::Snapshot(response) => Ok(response),
            _ => self.mismatch().map_err(StreamingError::from),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<TypeConfig>> {
        match self.call(Ask::TransferLeader(req), &option).await? {
            Answer::TransferLeader(response) => Ok(response),
            _ => self.mismatch(),
        }
    }
}
