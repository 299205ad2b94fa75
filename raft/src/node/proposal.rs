//! An entry on its way to being applied.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use tokio::sync::oneshot;

use crate::group::types::{Applied, TypeConfig};
use crate::ids::{Index, NodeId};
use crate::state_machine::Outcome;

/// Why a proposal has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Definitely not appended.
    #[error("this node does not lead the shard in that term")]
    NotLeader { leader: Option<NodeId> },
    /// Definitely not appended.
    #[error("the payload has {len} bytes, but an entry takes at most {max}")]
    TooLarge { len: usize, max: usize },
    /// Appended, and its fate is unknown: it may still be applied.
    #[error("leadership was lost while the entry was in flight; its outcome is unknown")]
    Unknown,
    /// Definitely not appended: the replica has stopped for good.
    #[error("the shard's replica has stopped: {0}")]
    Fatal(String),
}

/// The outcome to come of an entry that was queued.
pub struct Proposal {
    pub(super) answer: oneshot::Receiver<ClientWriteResult<TypeConfig>>,
}

impl Future for Proposal {
    type Output = Result<(Index, Outcome), ProposeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        Poll::Ready(match answer {
            Ok(Ok(response)) => {
                let Applied(outcome) = response.data;
                Ok((response.log_id.index, outcome))
            }
            Ok(Err(ClientWriteError::ForwardToLeader(forward))) => Err(ProposeError::NotLeader {
                leader: forward.leader_id.map(NodeId),
            }),
            // Dropped by a replica that has stopped: it may have written the entry.
            Err(_) => Err(ProposeError::Unknown),
            Ok(Err(ClientWriteError::LogEntryDiscarded(_))) => Err(ProposeError::Unknown),
            Ok(Err(
                error @ (ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::PreconditionFailed(_)),
            )) => unreachable!("an entry is no membership change: {error}"),
        })
    }
}
