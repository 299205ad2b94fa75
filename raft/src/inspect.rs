//! What a simulator looks at to judge a cluster from outside. Nothing else uses it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use openraft::raft::AppendEntriesResponse;

use crate::disk::Disk;
use crate::group::LogState;
use crate::group::types::{LogId, Vote, term_and_index};
use crate::ids::{Index, NodeId, ShardId, Term, WalPos};
use crate::node::Shard;
use crate::observer::Unobserved;
use crate::transport::{Answer, Ask, Reply, Request};
pub use crate::wal::file_path;
use crate::wal::{self, OpenError};

/// An entry's name.
pub type Id = (Term, Index);

/// For whom a replica has voted, and whether that node has won.
pub type Voted = (Term, NodeId, bool);

/// A replica's log as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    pub vote: Option<Voted>,
    /// The last entry that was forgotten.
    pub purged: Option<Id>,
    /// The last entry, or the last one that was forgotten.
    pub last: Option<Id>,
    pub committed: Option<Id>,
    /// The first entries of runs that have the same term, ascending.
    pub runs: Vec<Id>,
}

/// Where an entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub term: Term,
    /// Of its payload's first byte.
    pub pos: WalPos,
    /// Of its payload, in bytes.
    pub len: u32,
}

impl Log {
    /// The term of an entry that is in the log.
    pub fn term(&self, index: Index) -> Option<Term> {
        if self.last.is_none_or(|(_, last)| last < index) {
            return None;
        }
        let run = self.runs.iter().rfind(|(_, first)| *first <= index);
        run.map(|(term, _)| *term)
    }

    fn of(log: &LogState) -> Log {
        let mut runs: Vec<Id> = Vec::new();
        for (term, first) in log.index.runs() {
            if runs.last().is_none_or(|(before, _)| *before != term) {
                runs.push((term, first));
            }
        }
        Log {
            vote: log
                .vote
                .map(|vote| (vote.term, NodeId(vote.node), vote.won)),
            purged: log.purged,
            last: log.last(),
            committed: log.committed,
            runs,
        }
    }
}

pub fn log(shard: &Shard) -> Log {
    shard.group().look(Log::of)
}

/// The sets of voters each of which decides by its majority: one, or two while they change; `None` until the entry
/// that says so is applied here.
pub fn voters(shard: &Shard) -> Option<Vec<BTreeSet<NodeId>>> {
    let (at, sets) = shard.voters();
    (shard.applied() >= at).then_some(sets)
}

/// Where a replica has an entry.
pub fn place(shard: &Shard, index: Index) -> Option<Place> {
    let located = shard.group().look(|log| log.index.get(index))?;
    Some(Place {
        term: located.term,
        pos: located.pos,
        len: located.len,
    })
}

/// What a start of this node would find in a directory. It may cut and remove files, as a start does.
pub fn recover(
    disk: &dyn Disk,
    dir: &Path,
    node: NodeId,
) -> Result<BTreeMap<ShardId, Log>, OpenError> {
    let mut logs: HashMap<ShardId, LogState> = HashMap::new();
    let mut replay =
        |header: &wal::format::RecordHeader| logs.entry(header.shard).or_default().replay(header);
    wal::recover(disk, &dir.join("wal"), node, &Unobserved, &mut replay)?;
    Ok(logs
        .iter()
        .map(|(shard, log)| (*shard, Log::of(log)))
        .collect())
}

/// What a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Append {
        term: Term,
        leader: NodeId,
        prev: Option<Id>,
        /// The last of the entries.
        last: Option<Id>,
        commit: Option<Id>,
    },
    Vote {
        term: Term,
        candidate: NodeId,
        last: Option<Id>,
        /// Whether it only asks what would be.
        pre: bool,
    },
    Snapshot {
        term: Term,
        leader: NodeId,
        upto: Option<Id>,
    },
    Transfer {
        term: Term,
        to: NodeId,
    },
}

/// What a reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Everything up to the last entry that was sent is stored.
    Appended,
    /// Everything up to here is.
    Partly(Option<Id>),
    Conflict,
    HigherVote(Voted),
    Vote {
        vote: Voted,
        granted: bool,
    },
    Snapshot(Voted),
    Transfer(bool),
}

pub fn asked(request: &Request) -> Asked {
    match &request.0 {
        Ask::Append(append) => Asked::Append {
            term: append.vote.leader_id.term,
            leader: NodeId(append.vote.leader_id.voted_for),
            prev: id(append.prev_log_id.as_ref()),
            last: id(append.entries.last().map(|entry| &entry.log_id)),
            commit: id(append.leader_commit.as_ref()),
        },
        Ask::Vote(ask) | Ask::PreVote(ask) => Asked::Vote {
            term: ask.vote.leader_id.term,
            candidate: NodeId(ask.vote.leader_id.voted_for),
            last: id(ask.last_log_id.as_ref()),
            pre: matches!(request.0, Ask::PreVote(_)),
        },
        Ask::Snapshot { vote, meta, .. } => Asked::Snapshot {
            term: vote.leader_id.term,
            leader: NodeId(vote.leader_id.voted_for),
            upto: id(meta.last_log_id.as_ref()),
        },
        Ask::TransferLeader(transfer) => Asked::Transfer {
            term: transfer.from_leader().leader_id.term,
            to: NodeId(*transfer.to_node_id()),
        },
    }
}

pub fn answered(reply: &Reply) -> Answered {
    match &reply.0 {
        Answer::Append(AppendEntriesResponse::Success) => Answered::Appended,
        Answer::Append(AppendEntriesResponse::PartialSuccess(upto)) => {
            Answered::Partly(id(upto.as_ref()))
        }
        Answer::Append(AppendEntriesResponse::Conflict) => Answered::Conflict,
        Answer::Append(AppendEntriesResponse::HigherVote(vote)) => {
            Answered::HigherVote(voted(vote))
        }
        Answer::Vote(answer) => Answered::Vote {
            vote: voted(&answer.vote),
            granted: answer.vote_granted,
        },
        Answer::Snapshot(answer) => Answered::Snapshot(voted(&answer.vote)),
        Answer::TransferLeader(answer) => Answered::Transfer(answer.is_ok()),
    }
}

fn id(id: Option<&LogId>) -> Option<Id> {
    id.map(term_and_index)
}

fn voted(vote: &Vote) -> Voted {
    (
        vote.leader_id.term,
        NodeId(vote.leader_id.voted_for),
        vote.committed,
    )
}
