//! A shard's leader makes its members those that the metadata names, one step at a time: a node that is missing
//! first receives the log, and votes once it has caught up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use weir_raft::{ChangeError, Members, NodeId};

use super::message::Answer;
use super::peers::Peers;
use crate::meta::decide::cluster::register;
use crate::meta::{self, Meta, MetaState, NodeInfo};
use crate::planted::{self, Bug};
use crate::shard::host::ShardHost;
use crate::shard::hosting::METADATA;

/// Nodes that vote on the metadata; the others only receive it.
const MAX_METADATA_VOTERS: usize = 5;
/// How long a node may take to catch up before it is asked for again.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How soon a step that failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Who is to be a member.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Add(NodeId),
    Vote(BTreeSet<NodeId>),
    Remove(BTreeSet<NodeId>),
}

/// Runs as long as the shard, on a node that may have peers.
pub async fn run(shard: Arc<ShardHost>, meta: Arc<Meta>, peers: Peers) {
    let Some(mut connected) = peers.watch() else {
        return;
    };
    let mut metadata = meta.changed();
    let mut leadership = shard.watch_leadership();
    loop {
        let open = leadership.borrow_and_update().open;
        metadata.borrow_and_update();
        connected.borrow_and_update();
        let step = if open {
            let now = shard.raft().members();
            let wanted = wanted(&meta.read(), shard.id.0, &now.voters);
            let changing = shard.raft().is_changing_voters();
            wanted.and_then(|wanted| {
                next(&now, changing, &wanted, |node| {
                    node == shard.node_id() || peers.is_connected(node)
                })
            })
        } else {
            None
        };
        if let Some(step) = step {
            tracing::info!(shard = shard.id.0, ?step, "the members of a shard change");
            if let Err(error) = take(&shard, step).await {
                tracing::info!(shard = shard.id.0, %error, "the members did not change");
                tokio::time::sleep(AGAIN).await;
            }
            continue;
        }
        let ended = tokio::select! {
            changed = metadata.changed() => changed.is_err(),
            changed = leadership.changed() => changed.is_err(),
            changed = connected.changed() => changed.is_err(),
        };
        if ended {
            return;
        }
    }
}

/// Answers [`super::message::Question::Register`]: takes a node into the cluster, with whatever leads the metadata.
pub async fn answer(
    meta: &Meta,
    peers: &Peers,
    own: NodeId,
    (broker_id, node): (i32, NodeInfo),
) -> Answer {
    let is_up = |raft_id| raft_id == own.0 || peers.is_connected(NodeId(raft_id));
    let decided = meta.change(|state| register(state, broker_id, &node, is_up));
    match decided.await {
        Ok(()) => Answer::Done,
        Err(meta::ChangeError::Refused(error)) => Answer::Refused(error.to_string()),
        Err(meta::ChangeError::Commit(error)) => Answer::Refused(error.to_string()),
    }
}

/// Who is to be a member. A voter that the metadata knows nothing of has not registered yet, and stays. `None` for a
/// shard that the metadata does not name.
fn wanted(state: &MetaState, shard: u64, voters: &BTreeSet<NodeId>) -> Option<Wanted> {
    let is_former = |node: &NodeId| state.is_former(node.0) && !planted::has(Bug::FormerVotes);
    let unknown = |node: &&NodeId| state.broker_of(node.0).is_none() && !is_former(node);
    let unknown: BTreeSet<NodeId> = voters.iter().filter(unknown).copied().collect();
    let node = |broker: &i32| Some(NodeId(state.nodes().get(broker)?.raft_id));
    if shard != METADATA {
        let replicas = state.shards().get(&shard)?.replicas.iter();
        return Some(Wanted {
            voters: replicas.filter_map(node).chain(unknown).collect(),
            learners: BTreeSet::new(),
        });
    }
    let mut all: Vec<NodeId> = state.nodes().keys().filter_map(node).collect();
    // Who votes goes on to.
    all.sort_by_key(|node| !voters.contains(node));
    let places = MAX_METADATA_VOTERS.saturating_sub(unknown.len());
    let (vote, learn) = all.split_at(all.len().min(places));
    Some(Wanted {
        voters: vote.iter().copied().chain(unknown).collect(),
        learners: learn.iter().copied().collect(),
    })
}

/// The brokers that vote on the metadata, or are about to, the least id first.
pub fn voting_brokers(state: &MetaState, voters: &BTreeSet<NodeId>) -> Vec<i32> {
    let wanted = wanted(state, METADATA, voters);
    let wanted = wanted.map(|wanted| wanted.voters).unwrap_or_default();
    let brokers = wanted.iter().filter_map(|node| state.broker_of(node.0));
    let mut brokers: Vec<i32> = brokers.collect();
    brokers.sort_unstable();
    brokers
}

/// A voter goes only when all that shall vote are members, so that there are never fewer on the way. While voters change,
/// `now` names those of before and of after: also where these are the wanted ones, the change has to come to its end.
fn next(
    now: &Members,
    changing: bool,
    wanted: &Wanted,
    is_up: impl Fn(NodeId) -> bool,
) -> Option<Step> {
    let members: BTreeSet<NodeId> = now.voters.union(&now.learners).copied().collect();
    let all: BTreeSet<NodeId> = wanted.voters.union(&wanted.learners).copied().collect();
    if let Some(missing) = all.difference(&members).find(|node| is_up(**node)) {
        return Some(Step::Add(*missing));
    }
    let waits = wanted.voters.difference(&now.voters);
    let mut waits = waits.filter(|node| !members.contains(*node) || !is_up(**node));
    let differ = changing || now.voters != wanted.voters;
    if differ && waits.next().is_none() && !wanted.voters.is_empty() {
        return Some(Step::Vote(wanted.voters.clone()));
    }
    let gone: BTreeSet<NodeId> = now.learners.difference(&all).copied().collect();
    (!gone.is_empty()).then_some(Step::Remove(gone))
}

async fn take(shard: &ShardHost, step: Step) -> Result<(), ChangeError> {
    match step {
        Step::Add(node) => catch_up(shard, node).await,
        Step::Vote(voters) => {
            let now = shard.raft().members().voters;
            for node in voters.difference(&now) {
                catch_up(shard, *node).await?;
            }
            shard.raft().change_voters(voters).await
        }
        Step::Remove(learners) => shard.raft().remove_learners(learners).await,
    }
}

/// Raft takes a learner that lacks few entries for one that has caught up, but they may be large, or forgotten.
async fn catch_up(shard: &ShardHost, node: NodeId) -> Result<(), ChangeError> {
    let caught_up = async {
        if !shard.raft().members().learners.contains(&node) {
            shard.raft().add_learner(node).await?;
        }
        shard.raft().wait_caught_up(node).await
    };
    match tokio::time::timeout(CATCH_UP, caught_up).await {
        Ok(added) => added,
        Err(_) => Err(ChangeError::Refused(format!(
            "node {node} has not caught up within {CATCH_UP:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::MetaCommand;
    use crate::meta::NodeInfo;
    use crate::meta::format::{MetaEntry, encode_entry};

    fn nodes(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn check(voters: &[u64], learners: &[u64], wanted: &[u64], expected: Option<Step>) {
        check_next(voters, learners, false, wanted, expected);
    }

    fn check_next(
        voters: &[u64],
        learners: &[u64],
        changing: bool,
        wanted: &[u64],
        expected: Option<Step>,
    ) {
        let now = Members {
            voters: nodes(voters),
            learners: nodes(learners),
        };
        let wanted = Wanted {
            voters: nodes(wanted),
            learners: nodes(&[]),
        };
        let next = next(&now, changing, &wanted, |node| node != NodeId(9));
        assert_eq!(next, expected);
    }

    #[test]
    fn members_are_added_then_vote_then_others_go() {
        check(&[1], &[], &[1], None);
        check(&[1], &[], &[1, 2, 3], Some(Step::Add(NodeId(2))));
        check(&[1], &[2], &[1, 2, 3], Some(Step::Add(NodeId(3))));
        check(
            &[1],
            &[2, 3],
            &[1, 2, 3],
            Some(Step::Vote(nodes(&[1, 2, 3]))),
        );
        check(
            &[1, 2, 3],
            &[4],
            &[1, 2, 3],
            Some(Step::Remove(nodes(&[4]))),
        );
    }

    #[test]
    fn an_incarnation_is_replaced_once_the_new_one_is_there() {
        check(&[1, 2, 3], &[], &[1, 2, 9], None);
        check(&[1, 2, 3], &[9], &[1, 2, 9], None);
        check(&[1, 2, 3], &[], &[1, 2, 4], Some(Step::Add(NodeId(4))));
        check(
            &[1, 2, 3],
            &[4],
            &[1, 2, 4],
            Some(Step::Vote(nodes(&[1, 2, 4]))),
        );
    }

    #[test]
    fn a_change_that_a_leader_left_behind_comes_to_its_end() {
        let all = Some(Step::Vote(nodes(&[1, 2, 3])));
        check_next(&[1, 2, 3], &[], true, &[1, 2, 3], all.clone());
        // Also before those that are in nobody's way leave,
        check_next(&[1, 2, 3], &[4], true, &[1, 2, 3], all);
        // and with a new member first, where another one is wanted by now.
        check_next(
            &[1, 2, 3],
            &[],
            true,
            &[1, 2, 4],
            Some(Step::Add(NodeId(4))),
        );
        check_next(&[1, 2, 3], &[], true, &[1, 2, 9], None);
    }

    fn state(registered: &[(i32, u64)]) -> MetaState {
        let mut state = MetaState::default();
        for (broker_id, raft_id) in registered.iter().copied() {
            let node = NodeInfo {
                raft_id,
                listeners: Default::default(),
                rack: None,
                cluster: None,
            };
            let entry = MetaEntry {
                revision: state.revision(),
                commands: vec![MetaCommand::RegisterNode { broker_id, node }],
            };
            state.apply_entry(&encode_entry(&entry)).unwrap();
        }
        state
    }

    #[test]
    fn founders_that_have_not_registered_yet_keep_their_vote() {
        let founders = nodes(&[1, 2, 3]);
        let one = wanted(&state(&[(1, 1)]), METADATA, &founders).unwrap();
        assert_eq!(one.voters, founders);
        let replaced = wanted(&state(&[(1, 1), (2, 2), (2, 4)]), METADATA, &founders).unwrap();
        assert_eq!(replaced.voters, nodes(&[1, 3, 4]));
    }

    #[test]
    fn five_nodes_vote_on_the_metadata_and_the_others_learn() {
        let seven: Vec<(i32, u64)> = (1..8).map(|id| (id, id as u64)).collect();
        let wanted = wanted(&state(&seven), METADATA, &nodes(&[5, 6, 7])).unwrap();
        assert_eq!(wanted.voters, nodes(&[1, 2, 5, 6, 7]));
        assert_eq!(wanted.learners, nodes(&[3, 4]));
    }

    /// Who only learns is no replica that could be in sync, or out of it.
    #[test]
    fn brokers_of_the_metadata_are_those_that_vote() {
        let seven: Vec<(i32, u64)> = (1..8).map(|id| (id, 100 - id as u64)).collect();
        let check = |registered: &[(i32, u64)], voters: &[u64], expected: &[i32]| {
            let found = voting_brokers(&state(registered), &nodes(voters));
            assert_eq!(found, expected);
        };
        check(&seven, &[93, 94, 95, 96, 97], &[3, 4, 5, 6, 7]);
        check(&seven[..3], &[97, 98, 99], &[1, 2, 3]);
        // One with a new directory has no vote yet, and is missing until it has.
        check(&[(1, 1), (2, 2), (2, 4)], &[1, 2], &[1, 2]);
    }
}
