//! How far the replicas of the metadata are: only its leader knows, and any node asks it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_raft::{Index, MemberProgress, NodeId};

use super::leaders::Leaders;
use super::message::{Answer, Question};
use super::peers::Peers;
use crate::broker::Broker;
use crate::meta::Meta;
use crate::shard::host::ShardHost;

/// How often a node without a leader asks whether it is still a member.
const LOOK: Duration = Duration::from_secs(2);

/// The metadata's replicas as their leader sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// The Raft node that leads.
    pub leader: u64,
    pub term: u64,
    pub committed: Option<Index>,
    pub replicas: Vec<Replica>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The Raft node.
    pub node: u64,
    pub votes: bool,
    /// The last entry that it is known to hold.
    pub holds: Option<Index>,
    /// Since it last answered; `None` for one that has not answered this leader.
    pub silent_ms: Option<u64>,
    /// Since it was last known to hold all that the leader held; `None` for one of which that was never known.
    pub behind_ms: Option<u64>,
}

/// Asks whoever leads the metadata; `None` where nobody does, or does not answer.
pub async fn ask(broker: &Broker) -> Option<Quorum> {
    let metadata = broker.shards.metadata();
    if let Some(quorum) = look(&metadata, &broker.leaders) {
        return Some(quorum);
    }
    let leader = metadata.leadership().leader?;
    match broker.peers.look(leader, &Question::Quorum).await {
        Ok(Answer::Quorum(quorum)) => Some(quorum),
        _ => None,
    }
}

/// `None` unless this node leads the metadata.
pub fn look(metadata: &ShardHost, leaders: &Leaders) -> Option<Quorum> {
    if !metadata.leadership().open {
        return None;
    }
    let progress = metadata.raft().progress()?;
    let replica = |member: MemberProgress| {
        let behind = match member.holds >= progress.last {
            true => member.silent,
            false => leaders.since_caught_up(member.node),
        };
        Replica {
            node: member.node.0,
            votes: member.votes,
            holds: member.holds,
            silent_ms: member.silent.map(millis),
            behind_ms: behind.map(millis),
        }
    };
    Some(Quorum {
        leader: metadata.node_id().0,
        term: progress.term,
        committed: progress.committed,
        replicas: progress.members.into_iter().map(replica).collect(),
    })
}

/// Returns when this node, a member by what it has stored, finds that the others go on without it.
///
/// They send it nothing any more, so it would look for a leader for ever.
pub async fn excluded(metadata: &ShardHost, meta: &Meta, peers: &Peers) {
    let own = metadata.node_id().0;
    loop {
        tokio::time::sleep(LOOK).await;
        if meta.read().is_former(own) {
            return;
        }
        if metadata.raft().members().voters.is_empty() {
            // It is about to join.
            continue;
        }
        for (_, answer) in peers.look_round(&Question::Quorum).await {
            if let Answer::Quorum(quorum) = answer
                && quorum.replicas.iter().all(|replica| replica.node != own)
            {
                return;
            }
        }
    }
}

/// The replicas that hold all that the leader holds.
pub fn caught_up(metadata: &ShardHost) -> Vec<NodeId> {
    let Some(progress) = metadata.raft().progress() else {
        return Vec::new();
    };
    let members = progress.members.iter();
    let whole = members.filter(|member| member.holds >= progress.last);
    whole.map(|member| member.node).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
