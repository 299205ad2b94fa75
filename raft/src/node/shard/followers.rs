//! The first voters of a shard, and how far its leader's followers are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use openraft::{EmptyNode, Instant};

use super::{ChangeError, Shard};
use crate::ids::{Index, NodeId, Term};

/// A follower is in sync while it has answered its leader within this time,
const IN_SYNC_SILENCE: Duration = Duration::from_secs(3);
/// lacks no more entries than these, and none that the leader has forgotten.
const IN_SYNC_ENTRIES: u64 = 1024;

/// How far the members of a shard are, as its leader sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followers {
    /// The voters within the stated lag, the leader among them.
    pub in_sync: BTreeSet<NodeId>,
    /// The last entry that every member is known to hold.
    pub held_by_all: Option<Index>,
}

/// A shard's members, as its leader sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub term: Term,
    /// The leader's last entry, and the last one that is committed.
    pub last: Option<Index>,
    pub committed: Option<Index>,
    pub members: Vec<MemberProgress>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberProgress {
    pub node: NodeId,
    pub votes: bool,
    /// The last entry that it is known to hold.
    pub holds: Option<Index>,
    /// Since its last answer; zero for the leader, `None` for one that has never answered.
    pub silent: Option<Duration>,
}

impl Shard {
    /// Gives a shard that has no history its first voters, this node among them. Nodes that do so at the
    /// same time must name the same ones. Does nothing where there is a history.
    pub async fn found(&self, voters: &BTreeSet<NodeId>) -> Result<(), ChangeError> {
        let members: BTreeMap<u64, EmptyNode> = voters
            .iter()
            .map(|node| (node.0, EmptyNode::new()))
            .collect();
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(refused @ InitializeError::NotInMembers(_))) => {
                Err(ChangeError::Refused(refused.to_string()))
            }
            Err(RaftError::Fatal(fatal)) => Err(ChangeError::Fatal(fatal.to_string())),
        }
    }

    /// Whether the replica holds a history, or has voted in one.
    pub fn has_history(&self) -> bool {
        !self.group.is_new()
    }

    /// Returns once a member holds all entries that this node, which leads, holds now.
    pub async fn wait_caught_up(&self, node: NodeId) -> Result<(), ChangeError> {
        let mut metrics = self.raft.metrics();
        let last = metrics.borrow_watched().last_log_index;
        loop {
            {
                let now = metrics.borrow_watched();
                let Some(replication) = now.replication.as_ref() else {
                    let leader = now.current_leader.map(NodeId);
                    return Err(ChangeError::NotLeader { leader });
                };
                let matched = replication.get(&node.0).and_then(Option::as_ref);
                if matched.map(|id| id.index) >= last {
                    return Ok(());
                }
            }
            let changed = metrics.changed().await;
            changed.map_err(|_| ChangeError::Fatal("it was shut down".to_owned()))?;
        }
    }

    /// How far each member is; `None` unless this node leads.
    pub fn progress(&self) -> Option<Progress> {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let (heartbeat, replication) = (now.heartbeat.as_ref()?, now.replication.as_ref()?);
        let voters: BTreeSet<u64> = now.membership_config.voter_ids().collect();
        let member = |node: u64| {
            let leads = node == self.node.0;
            let matched = || replication.get(&node)?.as_ref().map(|id| id.index);
            let answered = || heartbeat.get(&node)?.as_ref().map(|at| at.elapsed());
            MemberProgress {
                node: NodeId(node),
                votes: voters.contains(&node),
                holds: if leads { now.last_log_index } else { matched() },
                silent: if leads {
                    Some(Duration::ZERO)
                } else {
                    answered()
                },
            }
        };
        let members = now.membership_config.nodes().map(|(id, _)| member(*id));
        Some(Progress {
            term: now.current_term,
            last: now.last_log_index,
            committed: now.cluster_committed.as_ref().map(|id| id.index),
            members: members.collect(),
        })
    }

    /// `None` unless this node leads.
    pub fn followers(&self) -> Option<Followers> {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let (heartbeat, replication) = (now.heartbeat.as_ref()?, now.replication.as_ref()?);
        let last = now.last_log_index;
        let matched = |node: u64| match node == self.node.0 {
            true => last,
            false => replication.get(&node)?.as_ref().map(|id| id.index),
        };
        let purged = now.purged.as_ref().map(|id| id.index);
        let is_in_sync = |node: &u64| {
            let answered = heartbeat.get(node).and_then(Option::as_ref);
            let heard = answered.is_some_and(|at| at.elapsed() < IN_SYNC_SILENCE);
            let has = matched(*node);
            let lag = last.unwrap_or(0).saturating_sub(has.unwrap_or(0));
            let follows = has.is_some() && has >= purged && lag <= IN_SYNC_ENTRIES;
            *node == self.node.0 || heard && follows
        };
        // While voters change, those that come do not count yet: without those that go there is no majority.
        let sets = now.membership_config.membership().get_joint_config();
        let stays = |node: &u64| sets.iter().all(|voters| voters.contains(node));
        let voters = now.membership_config.voter_ids().filter(stays);
        let members = now.membership_config.nodes().map(|(id, _)| *id);
        Some(Followers {
            in_sync: voters.filter(is_in_sync).map(NodeId).collect(),
            held_by_all: members.map(matched).min().flatten(),
        })
    }
}
