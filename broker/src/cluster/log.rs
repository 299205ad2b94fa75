//! The metadata's log on every node: what is decided here is appended by whoever leads it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::Instant;
use weir_raft::{NodeId, Outcome, ProposeError};

use super::message::{Answer, Question};
use super::peers::Peers;
use crate::meta::{MetaCommitError, MetaLog};
use crate::shard::entry::Body;
use crate::shard::host::ShardHost;

/// How long a change of the metadata may wait for a leader and for its outcome.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long an answer of the leader is waited for; less than a silent connection is kept.
const ANSWER: Duration = Duration::from_secs(4);
/// How often a leader is looked for.
const AGAIN: Duration = Duration::from_millis(20);

/// The metadata's shard here, and the way to its leader.
pub struct ClusterLog {
    pub shard: Arc<ShardHost>,
    pub peers: Peers,
}

/// What became of an entry, or that it was definitely not appended and can be tried elsewhere.
enum Tried {
    Done(Result<(), MetaCommitError>),
    NotLeader,
}

impl MetaLog for ClusterLog {
    fn commit(&self, entry: Bytes) -> BoxFuture<'static, Result<(), MetaCommitError>> {
        let (shard, peers) = (self.shard.clone(), self.peers.clone());
        Box::pin(async move {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let leadership = shard.leadership();
                let tried = match leadership.leader {
                    _ if leadership.open => here(&shard, entry.clone()).await,
                    Some(leader) if leader != shard.node_id() => {
                        there(&shard, &peers, leader, &entry).await
                    }
                    _ => Tried::NotLeader,
                };
                match tried {
                    Tried::Done(result) => return result,
                    Tried::NotLeader if !peers.possible() || Instant::now() >= deadline => {
                        return Err(MetaCommitError::NotLeader);
                    }
                    Tried::NotLeader => tokio::time::sleep(AGAIN).await,
                }
            }
        })
    }
}

async fn here(shard: &ShardHost, entry: Bytes) -> Tried {
    Tried::Done(match shard.change(Body::Metadata, Some(entry)).await {
        Ok((_, Outcome::Applied)) => Ok(()),
        Ok((_, Outcome::Rejected(reason))) => Err(MetaCommitError::Rejected(reason)),
        Ok((_, Outcome::Partly(_))) => unreachable!("a metadata entry has one item"),
        Err(ProposeError::NotLeader { .. }) => return Tried::NotLeader,
        Err(ProposeError::Unknown) => Err(MetaCommitError::Unknown),
        Err(error) => Err(MetaCommitError::Fatal(error.to_string())),
    })
}

/// Has the leader append it, and waits until it is applied here too: also an entry without effect, since the one
/// that came before it is what the decision lacked.
///
/// An entry may be sent again after a question without an answer: its revision lets it take effect once.
async fn there(shard: &ShardHost, peers: &Peers, leader: NodeId, entry: &Bytes) -> Tried {
    let asked = peers.ask(leader, &Question::Commit, entry);
    let answer = match tokio::time::timeout(ANSWER, asked).await {
        Ok(Ok((answer, _))) => answer,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a change of the metadata is tried again");
            return Tried::NotLeader;
        }
        Err(_) => return Tried::Done(Err(MetaCommitError::Unknown)),
    };
    Tried::Done(match answer {
        Answer::Committed { index, rejected } => match shard.raft().wait_applied(index).await {
            Ok(()) => match rejected {
                None => Ok(()),
                Some(reason) => Err(MetaCommitError::Rejected(reason.into())),
            },
            Err(reason) => Err(MetaCommitError::Fatal(reason)),
        },
        Answer::Unknown => Err(MetaCommitError::Unknown),
        Answer::Refused(reason) => Err(MetaCommitError::Fatal(reason)),
        _ => return Tried::NotLeader,
    })
}

/// Answers [`Question::ReadIndex`].
pub async fn answer_read_index(shard: &ShardHost) -> Answer {
    match shard.raft().read_index().await {
        Ok(index) => Answer::Index(index),
        Err(_) => Answer::NotLeader,
    }
}

/// Answers [`Question::Commit`].
pub async fn answer_commit(shard: &ShardHost, entry: Bytes) -> Answer {
    match shard.change(Body::Metadata, Some(entry)).await {
        Ok((index, outcome)) => Answer::Committed {
            index,
            rejected: match outcome {
                Outcome::Rejected(reason) => Some(reason.to_string()),
                Outcome::Applied | Outcome::Partly(_) => None,
            },
        },
        Err(ProposeError::NotLeader { .. }) => Answer::NotLeader,
        Err(ProposeError::Unknown) => Answer::Unknown,
        Err(error @ (ProposeError::TooLarge { .. } | ProposeError::Fatal(_))) => {
            Answer::Refused(error.to_string())
        }
    }
}
