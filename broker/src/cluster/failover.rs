//! Elections without waiting, where a leader's connections broke: a process that was killed closes them at once, long
//! before its followers would miss it.
//!
//! A follower that alone has lost its leader must not take over, for the leader may be well. So it asks the other voters;
//! when a majority has lost the leader's connection, one of them takes over as if the leader had asked it to. Raft
//! decides all the same: this is about when an election begins, not about who may win it. Where there is no such
//! majority, Raft's own timers have to find out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use weir_raft::NodeId;

use super::message::{Answer, Question};
use super::peers::Peers;
use crate::random::Random;
use crate::shard::host::ShardHost;
use crate::shard::hosted::HostedShards;

/// How often a shard is looked at; after that Raft's own timers are enough.
const ATTEMPTS: u32 = 10;
/// The voters take their turns one after the other, so that they do not split the votes.
const TURN: Duration = Duration::from_millis(80);
const JITTER_MS: u64 = 20;
/// How long another voter's word is waited for.
const WORD: Duration = Duration::from_millis(200);

/// Runs until the node stops, on a node that may have peers.
pub async fn run(
    shards: Arc<HostedShards>,
    peers: Peers,
    random: Arc<dyn Random>,
    stop: CancellationToken,
) {
    let Some(mut connected) = peers.watch() else {
        return;
    };
    let mut before = peers.connected();
    loop {
        tokio::select! {
            changed = connected.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
        connected.borrow_and_update();
        let now = peers.connected();
        let gone: BTreeSet<NodeId> = before.difference(&now).copied().collect();
        before = now;
        for shard in shards.all().iter() {
            let leader = shard.leadership().leader;
            if let Some(leader) = leader.filter(|leader| gone.contains(leader)) {
                let (shard, peers, random) = (shard.clone(), peers.clone(), random.clone());
                tokio::spawn(replace(shard, peers, random, leader));
            }
        }
    }
}

/// Has somebody lead in the place of a leader that is gone.
async fn replace(shard: Arc<ShardHost>, peers: Peers, random: Arc<dyn Random>, gone: NodeId) {
    let mut pause = TURN * turn(&shard, gone);
    for _ in 0..ATTEMPTS {
        let jitter = Duration::from_millis(random.next_u64() % JITTER_MS);
        tokio::time::sleep(pause + jitter).await;
        pause = 2 * TURN;
        // None while somebody stands, perhaps in vain.
        let leader = shard.leadership().leader;
        if leader.is_some_and(|leader| leader != gone) || peers.is_connected(gone) {
            return;
        }
        let stood = match chance(&shard, &peers, gone).await {
            Chance::Own => shard.raft().succeed().await,
            Chance::OfAnother => continue,
            Chance::Unknown => shard.raft().stand().await,
        };
        if let Err(error) = stood {
            tracing::debug!(shard = shard.id.0, %error, "this node cannot stand for election");
        }
    }
}

/// Answers [`Question::Succession`].
pub fn answer(shards: &HostedShards, peers: &Peers, shard: u64, leader: NodeId) -> Answer {
    match shards.get(shard) {
        Some(shard) => Answer::Succession {
            gone: !peers.is_connected(leader),
            last: shard.raft().last_entry(),
        },
        None => Answer::NotLeader,
    }
}

/// Which voter's turn it is first differs from shard to shard, so that one node does not get all that another one led.
fn turn(shard: &ShardHost, gone: NodeId) -> u32 {
    let voters = shard.raft().members().voters;
    let left: Vec<NodeId> = voters.into_iter().filter(|node| *node != gone).collect();
    let place = left.iter().position(|node| *node == shard.node_id());
    let turn = (place.unwrap_or(0) as u64 + shard.id.0) % left.len().max(1) as u64;
    u32::try_from(turn).expect("there are few voters")
}

/// Who may take over.
#[derive(Debug, PartialEq, Eq)]
enum Chance {
    /// This node: a majority of the voters, it among them, has no connection to the leader, and no log of theirs goes
    /// further.
    Own,
    /// One whose log goes further.
    OfAnother,
    /// The leader may be well.
    Unknown,
}

/// Never its own while voters change: there are two majorities then.
async fn chance(shard: &ShardHost, peers: &Peers, gone: NodeId) -> Chance {
    let voters = shard.raft().members().voters;
    if !voters.contains(&shard.node_id()) || shard.raft().is_changing_voters() {
        return Chance::Unknown;
    }
    let others = voters.iter().copied();
    let others = others.filter(|other| *other != gone && *other != shard.node_id());
    let words = others.map(|other| async move {
        let question = Question::Succession {
            shard: shard.id.0,
            leader: gone.0,
        };
        let asked = tokio::time::timeout(WORD, peers.look(other, &question)).await;
        match asked {
            Ok(Ok(Answer::Succession { gone: true, last })) => Some(last),
            _ => None,
        }
    });
    let agree: Vec<Option<(u64, u64)>> = join_all(words).await.into_iter().flatten().collect();
    judge(voters.len(), shard.raft().last_entry(), &agree)
}

/// By the last entry here, and those of the other voters that have lost the leader; with this one they have to be a majority.
fn judge(voters: usize, here: Option<(u64, u64)>, others: &[Option<(u64, u64)>]) -> Chance {
    if others.len() < voters / 2 {
        return Chance::Unknown;
    }
    match others.iter().any(|last| *last > here) {
        true => Chance::OfAnother,
        false => Chance::Own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_log_of_a_majority_takes_over() {
        let (here, longer, newer) = (Some((3, 10)), Some((3, 11)), Some((4, 2)));
        for (voters, others, expected) in [
            (3, &[][..], Chance::Unknown),
            (5, &[here], Chance::Unknown),
            (3, &[here], Chance::Own),
            (3, &[None], Chance::Own),
            (3, &[longer], Chance::OfAnother),
            (3, &[newer], Chance::OfAnother),
            (5, &[here, Some((2, 99))], Chance::Own),
            (5, &[here, longer], Chance::OfAnother),
        ] {
            assert_eq!(
                judge(voters, here, others),
                expected,
                "{voters}, {others:?}"
            );
        }
    }
}
