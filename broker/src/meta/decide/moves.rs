//! Partitions on their way to other nodes: which shard each goes to.
//!
//! What clients ask for names nodes. A partition goes to a shard that lies on just these, which is made where there is
//! none.

use super::super::command::MetaCommand;
use super::super::epochs::MAX_BASE;
use super::super::placement::{self, shard_for};
use super::super::state::MetaState;
use super::super::topics::{Move, PartitionPlace, Topic};
use super::topics::{Shards, TopicError, check_replicas};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Why a partition does not move as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    #[error("there is no partition {topic}-{partition}")]
    Unknown { topic: String, partition: i32 },
    #[error("{0}")]
    Invalid(String),
    #[error("{topic}-{partition} does not move")]
    NothingToCancel { topic: String, partition: i32 },
    #[error("{topic}-{partition} is about to arrive: ask again in a moment")]
    AboutToArrive { topic: String, partition: i32 },
}

/// Why a node is not drained, or not removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    #[error("there is no broker {0}")]
    Unknown(i32),
    #[error(
        "topic `{topic}` has {factor} replicas, and {left} other nodes would be left for them: add a node, or give the \
         topic fewer replicas"
    )]
    TooFewNodes {
        topic: String,
        factor: usize,
        left: usize,
    },
    #[error(
        "broker {broker} replicates {partitions} partitions, one of topic `{topic}`: drain it first"
    )]
    HasReplicas {
        broker: i32,
        partitions: usize,
        topic: String,
    },
    #[error("broker {0} is running: drain it first, or stop it")]
    Running(i32),
}

/// A partition, and the brokers that it is to lie on; `None`: it is to stay where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    pub topic: String,
    pub partition: i32,
    pub replicas: Option<Vec<i32>>,
}

/// A partition that is on its way.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Underway {
    pub topic: String,
    pub partition: i32,
    /// Where it lies, in order of preference, and where it will.
    pub from: Vec<i32>,
    pub to: Vec<i32>,
}

type Decided = (Vec<MetaCommand>, Vec<Result<(), MoveError>>);

/// Decides each of these by itself; one answer for each, in their order.
///
/// `keep_factor`: the number of replicas may not change.
pub fn reassign(state: &MetaState, asked: &[Reassignment], keep_factor: bool) -> Decided {
    let mut shards = Shards::of(state);
    let mut moves = Vec::new();
    let mut results = Vec::with_capacity(asked.len());
    for one in asked {
        let decided = reassign_one(state, &mut shards, one, keep_factor);
        results.push(decided.map(|command| moves.extend(command)));
    }
    let mut commands = match moves.is_empty() {
        true => Vec::new(),
        false => shards.commands(),
    };
    commands.extend(moves);
    (commands, results)
}

fn reassign_one(
    state: &MetaState,
    shards: &mut Shards<'_>,
    one: &Reassignment,
    keep_factor: bool,
) -> Result<Option<MetaCommand>, MoveError> {
    let (topic, place) = find(state, &one.topic, one.partition)?;
    let (id, partition) = (topic.id, one.partition);
    let (name, now) = (topic.name.to_string(), topic.moves.get(&partition).copied());
    let about_to_arrive = now.is_some_and(|now| now.sealing);
    if about_to_arrive {
        let topic = name;
        return Err(MoveError::AboutToArrive { topic, partition });
    }
    let cancel = now.map(|_| MetaCommand::CancelMove { id, partition });
    let Some(replicas) = &one.replicas else {
        let topic = name;
        let cancel = cancel.ok_or(MoveError::NothingToCancel { topic, partition })?;
        return Ok(Some(cancel));
    };
    let invalid = |error: TopicError| MoveError::Invalid(error.to_string());
    check_replicas(state, replicas, replicas.len()).map_err(invalid)?;
    check_may_move(state, topic, place)?;
    let lies = state.replicas_of(place.shard);
    if keep_factor && lies.len() != replicas.len() {
        return Err(MoveError::Invalid(format!(
            "{name}-{partition} has {} replicas, {} are asked for, and the request allows no change of that",
            lies.len(),
            replicas.len()
        )));
    }
    if lies == *replicas {
        return Ok(cancel);
    }
    let index = usize::try_from(partition).unwrap_or(0);
    let to = shard_for(&name, index, &shards.on(replicas));
    Ok((now != Some(Move::to(to))).then_some(MetaCommand::StartMove { id, partition, to }))
}

pub(super) fn check_may_move(
    state: &MetaState,
    topic: &Topic,
    place: PartitionPlace,
) -> Result<(), MoveError> {
    let name = &topic.name;
    let reason = if !state.shards().contains_key(&place.shard) {
        format!("`{name}` lies with the metadata, on every broker")
    } else if place.epoch_base > MAX_BASE {
        format!("the leader epochs of `{name}` are used up")
    } else {
        return Ok(());
    };
    Err(MoveError::Invalid(reason))
}

fn find<'a>(
    state: &'a MetaState,
    topic: &str,
    partition: i32,
) -> Result<(&'a Topic, PartitionPlace), MoveError> {
    let unknown = || MoveError::Unknown {
        topic: topic.to_owned(),
        partition,
    };
    let found = state.topics().get(topic).ok_or_else(unknown)?;
    let place = found.partition(partition).ok_or_else(unknown)?;
    Ok((found, place))
}

/// All that is on its way.
pub fn underway(state: &MetaState) -> Vec<Underway> {
    let topics = state.topics().iter();
    let moves = topics.flat_map(|topic| topic.moves.iter().map(move |going| (topic, going)));
    let underway = moves.filter_map(|(topic, (partition, going))| {
        Some(Underway {
            topic: topic.name.to_string(),
            partition: *partition,
            from: state.replicas_of(topic.partition(*partition)?.shard),
            to: state.replicas_of(going.to),
        })
    });
    underway.collect()
}

/// A partition ends where it is, if it is still on its way to `to`; says whether it is.
pub fn seal(state: &MetaState, id: Uuid, partition: i32, to: u64) -> (Vec<MetaCommand>, bool) {
    let topic = state.topics().by_id(id);
    match topic.and_then(|topic| topic.moves.get(&partition)) {
        Some(going) if going.to == to && going.sealing => (Vec::new(), true),
        Some(going) if going.to == to => (vec![MetaCommand::SealMove { id, partition, to }], true),
        _ => (Vec::new(), false),
    }
}

/// A partition has arrived at `to`, if nobody has said so yet.
pub fn finish(
    state: &MetaState,
    id: Uuid,
    partition: i32,
    to: u64,
    epoch_base: i32,
) -> Vec<MetaCommand> {
    let topic = state.topics().by_id(id);
    let going = topic.and_then(|topic| topic.moves.get(&partition));
    let sealing = true;
    match going == Some(&Move { to, sealing }) {
        true => vec![MetaCommand::FinishMove {
            id,
            partition,
            to,
            epoch_base,
        }],
        false => Vec::new(),
    }
}

/// Begins or ends the draining of a node.
pub fn drain(
    state: &MetaState,
    broker_id: i32,
    draining: bool,
) -> Result<(Vec<MetaCommand>, ()), NodeError> {
    if !state.nodes().contains_key(&broker_id) {
        return Err(NodeError::Unknown(broker_id));
    }
    if state.draining().contains(&broker_id) == draining {
        return Ok((Vec::new(), ()));
    }
    if draining {
        let left = placement::places(state).len() - 1;
        for topic in state.topics().iter() {
            for place in &topic.partitions {
                let replicas = state.replicas_of(place.shard);
                let is_data = state.shards().contains_key(&place.shard);
                let lies_there = is_data && replicas.contains(&broker_id);
                if lies_there && replicas.len() > left {
                    return Err(NodeError::TooFewNodes {
                        topic: topic.name.to_string(),
                        factor: replicas.len(),
                        left,
                    });
                }
            }
        }
    }
    let command = MetaCommand::DrainNode {
        broker_id,
        draining,
    };
    Ok((vec![command], ()))
}

/// Partitions that lie on a node or are on their way there, and the topic of one of them.
pub fn replicas_on(state: &MetaState, broker_id: i32) -> (usize, Option<String>) {
    let is_on = |shard: u64| {
        let info = state.shards().get(&shard);
        info.is_some_and(|info| info.replicas.contains(&broker_id))
    };
    let mut count = 0;
    let mut first = None;
    for topic in state.topics().iter() {
        let lies = topic.partitions.iter().map(|place| place.shard);
        let goes = topic.moves.values().map(|going| going.to);
        let here = lies.chain(goes).filter(|shard| is_on(*shard)).count();
        if here > 0 {
            first = first.or_else(|| Some(topic.name.to_string()));
        }
        count += here;
    }
    (count, first)
}

/// Makes a node without replicas no member any more.
pub fn remove_node(
    state: &MetaState,
    broker_id: i32,
    is_up: impl Fn(u64) -> bool,
) -> Result<(Vec<MetaCommand>, ()), NodeError> {
    let node = state.nodes().get(&broker_id);
    let node = node.ok_or(NodeError::Unknown(broker_id))?;
    if let (partitions, Some(topic)) = replicas_on(state, broker_id) {
        return Err(NodeError::HasReplicas {
            broker: broker_id,
            partitions,
            topic,
        });
    }
    // Of one that is not drained, new topics may come to lie there before it stops.
    if is_up(node.raft_id) && !state.draining().contains(&broker_id) {
        return Err(NodeError::Running(broker_id));
    }
    Ok((vec![MetaCommand::RemoveNode { broker_id }], ()))
}

/// Moves that get nodes empty that drain, `most` at a time with those that are underway; `is_up` as in
/// [`super::topics::create`].
pub fn drain_moves(
    state: &MetaState,
    most: usize,
    is_up: &dyn Fn(u64) -> bool,
) -> Vec<MetaCommand> {
    let drains = |shard: u64| {
        let info = state.shards().get(&shard);
        let mut replicas = info.iter().flat_map(|info| &info.replicas);
        replicas.any(|broker| state.draining().contains(broker))
    };
    let underway: usize = state.topics().iter().map(|topic| topic.moves.len()).sum();
    let mut left = most.saturating_sub(underway);
    let mut shards = Shards::of(state);
    let mut moves = Vec::new();
    for topic in state.topics().iter() {
        let mut carriers: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for (index, place) in topic.partitions.iter().enumerate() {
            let partition = i32::try_from(index).unwrap_or(i32::MAX);
            let going = topic.moves.get(&partition);
            let lies = going.map_or(place.shard, |going| going.to);
            let stays = !drains(lies) || going.is_some_and(|going| going.sealing);
            if left == 0 || stays {
                continue;
            }
            let factor = state.replicas_of(lies).len();
            if factor > placement::places(state).len() {
                continue;
            }
            let carriers = carriers.entry(factor).or_insert_with(|| {
                let all = shards.of_factor(factor, is_up);
                match topic.table {
                    Some(_) => shards.beside(topic, all),
                    None => all,
                }
            });
            if carriers.is_empty() {
                continue;
            }
            let to = shard_for(&topic.name, index, carriers);
            let id = topic.id;
            moves.push(MetaCommand::StartMove { id, partition, to });
            left -= 1;
        }
    }
    let mut commands = match moves.is_empty() {
        true => Vec::new(),
        false => shards.commands(),
    };
    commands.extend(moves);
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::NodeInfo;
    use crate::meta::state::ShardInfo;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    /// Three brokers; topic `t` with one partition on 1 and 2, in shard 1.
    fn state() -> MetaState {
        state_of(3, &[&[1, 2]], None)
    }

    /// Brokers from 1 on; topic `t` with a partition in a shard on each of these sets.
    fn state_of(brokers: i32, sets: &[&[i32]], table: Option<serde_json::Value>) -> MetaState {
        let mut state = MetaState::default();
        let mut commands: Vec<MetaCommand> = (1..=brokers)
            .map(|broker_id| MetaCommand::RegisterNode {
                broker_id,
                node: NodeInfo {
                    raft_id: broker_id as u64,
                    listeners: Default::default(),
                    rack: None,
                    cluster: None,
                },
            })
            .collect();
        let info = |set: &&[i32]| ShardInfo {
            replicas: set.to_vec(),
            founders: set.iter().map(|id| *id as u64).collect(),
        };
        commands.push(MetaCommand::AddShards {
            shards: (1..).zip(sets.iter().map(info)).collect(),
        });
        let place = |(shard, _)| PartitionPlace {
            shard,
            epoch_base: 0,
        };
        commands.push(MetaCommand::CreateTopic(Topic {
            name: Arc::from("t"),
            id: Uuid::from_u128(7),
            partitions: (1..).zip(sets).map(place).collect(),
            configs: BTreeMap::new(),
            created_at_ms: 0,
            table,
            partitioners: None,
            moves: BTreeMap::new(),
        }));
        apply(&mut state, &commands);
        state
    }

    fn apply(state: &mut MetaState, commands: &[MetaCommand]) {
        for command in commands {
            state.apply(command).expect("what is decided applies");
        }
    }

    fn ask(replicas: Option<&[i32]>) -> [Reassignment; 1] {
        [Reassignment {
            topic: "t".to_owned(),
            partition: 0,
            replicas: replicas.map(<[i32]>::to_vec),
        }]
    }

    fn decide(state: &mut MetaState, replicas: Option<&[i32]>) -> Result<(), MoveError> {
        let (commands, mut results) = reassign(state, &ask(replicas), false);
        apply(state, &commands);
        results.remove(0)
    }

    /// The topic's partition goes on where it moves to.
    fn arrive(state: &mut MetaState) {
        let id = Uuid::from_u128(7);
        let to = state.topics().get("t").unwrap().moves[&0].to;
        let (commands, _) = seal(state, id, 0, to);
        apply(state, &commands);
        let commands = finish(state, id, 0, to, 5);
        apply(state, &commands);
    }

    #[test]
    fn a_move_can_be_given_up_until_it_is_sealed() {
        let mut state = state();
        let id = Uuid::from_u128(7);
        decide(&mut state, Some(&[2, 3])).expect("decided");
        assert_eq!(underway(&state)[0].to, [2, 3]);
        decide(&mut state, None).expect("given up");
        assert!(underway(&state).is_empty());
        decide(&mut state, Some(&[2, 3])).expect("decided");
        assert!(finish(&state, id, 0, 2, 5).is_empty(), "it is not sealed");
        let (commands, goes) = seal(&state, id, 0, 2);
        assert!(goes);
        apply(&mut state, &commands);
        assert!(matches!(
            decide(&mut state, None),
            Err(MoveError::AboutToArrive { .. })
        ));
        let commands = finish(&state, id, 0, 2, 5);
        apply(&mut state, &commands);
        let place = state.topics().get("t").unwrap().partition(0).unwrap();
        assert_eq!((place.shard, place.epoch_base), (2, 5));
        assert!(finish(&state, id, 0, 2, 5).is_empty());
        assert_eq!(seal(&state, id, 0, 2), (Vec::new(), false));
    }

    #[test]
    fn a_factor_is_kept_where_that_is_asked() {
        let state = state();
        let (commands, results) = reassign(&state, &ask(Some(&[1, 2, 3])), true);
        assert!(commands.is_empty() && results[0].is_err());
        let (_, results) = reassign(&state, &ask(Some(&[1, 2, 3])), false);
        assert!(results[0].is_ok());
    }

    #[test]
    fn a_node_goes_once_it_is_empty() {
        let mut state = state();
        let everybody = |_| true;
        let refused = remove_node(&state, 2, everybody);
        assert!(matches!(refused, Err(NodeError::HasReplicas { .. })));
        assert_eq!(
            remove_node(&state, 3, everybody),
            Err(NodeError::Running(3))
        );
        let (commands, ()) = drain(&state, 2, true).expect("decided");
        apply(&mut state, &commands);
        let commands = drain_moves(&state, 10, &|_| true);
        apply(&mut state, &commands);
        let going = underway(&state).remove(0);
        assert!(!going.to.contains(&2), "{going:?}");
        assert!(drain_moves(&state, 10, &|_| true).is_empty());
        arrive(&mut state);
        let (commands, ()) = remove_node(&state, 2, everybody).expect("decided");
        apply(&mut state, &commands);
        assert!(state.is_former(2) && !state.nodes().contains_key(&2));
        assert_eq!(state.shards()[&1].replicas, [1]);
        assert!(!state.open_shards().contains_key(&1));
    }

    #[test]
    fn a_node_is_not_drained_whose_replicas_have_no_other_place() {
        let mut state = state();
        decide(&mut state, Some(&[1, 2, 3])).expect("decided");
        arrive(&mut state);
        let refused = drain(&state, 3, true);
        assert!(matches!(refused, Err(NodeError::TooFewNodes { .. })));
    }

    #[test]
    fn a_table_moves_as_any_topic_does() {
        let mut state = state_of(3, &[&[1, 2]], Some(serde_json::json!({})));
        decide(&mut state, Some(&[3, 1])).expect("decided");
        assert_eq!(underway(&state)[0].to, [3, 1]);
        decide(&mut state, None).expect("given up");
        drain(&state, 2, true).expect("its rows have another place");
    }

    /// Else whoever reads all of it has to ask several nodes from then on.
    #[test]
    fn what_a_table_has_on_a_node_that_drains_goes_to_one_set_of_nodes() {
        let lies: [&[i32]; 6] = [&[1, 2], &[2, 1], &[1, 2], &[2, 1], &[1, 2], &[2, 1]];
        let mut state = state_of(5, &lies, Some(serde_json::json!({})));
        let (commands, ()) = drain(&state, 2, true).expect("decided");
        apply(&mut state, &commands);
        for most in [1, 4, 10] {
            let commands = drain_moves(&state, most, &|_| true);
            apply(&mut state, &commands);
            assert_eq!(underway(&state).len(), most.min(lies.len()));
        }
        let set = |going: &Underway| going.to.iter().copied().collect();
        let sets: BTreeSet<BTreeSet<i32>> = underway(&state).iter().map(set).collect();
        assert_eq!(sets.len(), 1, "{sets:?}");
        assert!(!sets.first().expect("one").contains(&2));

        // What lies there already is joined.
        let lies: [&[i32]; 3] = [&[4, 5], &[2, 4], &[5, 2]];
        let mut state = state_of(5, &lies, Some(serde_json::json!({})));
        let (commands, ()) = drain(&state, 2, true).expect("decided");
        apply(&mut state, &commands);
        let commands = drain_moves(&state, 10, &|_| true);
        apply(&mut state, &commands);
        for going in underway(&state) {
            assert!(going.to.iter().all(|id| [4, 5].contains(id)), "{going:?}");
        }
    }
}
