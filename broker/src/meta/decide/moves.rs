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
use std::collections::{BTreeMap, BTreeSet};
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
    #[error("broker {0} is running: stop it first")]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
        let together = check_together(state, one, asked);
        let decided = together.and_then(|()| reassign_one(state, &mut shards, one, keep_factor));
        results.push(decided.map(|command| moves.extend(command)));
    }
    let mut commands = match moves.is_empty() {
        true => Vec::new(),
        false => shards.commands(),
    };
    commands.extend(moves);
    (commands, results)
}

/// A node has all rows of a table or none, so all partitions of a table go to the same nodes.
fn check_together(
    state: &MetaState,
    one: &Reassignment,
    asked: &[Reassignment],
) -> Result<(), MoveError> {
    let Some(topic) = state.topics().get(&one.topic) else {
        return Ok(());
    };
    let Some(replicas) = one.replicas.as_ref().filter(|_| topic.table.is_some()) else {
        return Ok(());
    };
    let set = |replicas: &[i32]| replicas.iter().copied().collect::<BTreeSet<i32>>();
    let wanted = set(replicas);
    let together = (0..topic.partition_count()).all(|partition| {
        let mut same = asked.iter();
        let same = same.find(|other| other.topic == one.topic && other.partition == partition);
        same.is_some_and(|other| other.replicas.as_deref().map(set).as_ref() == Some(&wanted))
    });
    match together {
        true => Ok(()),
        false => Err(MoveError::Invalid(format!(
            "`{}` is a table, and a node has all of its rows or none: move all of its partitions to the same brokers in \
             one request",
            one.topic
        ))),
    }
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
    check_may_move(state, &name, place)?;
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
    let to = shard_for(&name, index, &shards.exactly_on(replicas));
    Ok((now != Some(Move::to(to))).then_some(MetaCommand::StartMove { id, partition, to }))
}

fn check_may_move(state: &MetaState, name: &str, place: PartitionPlace) -> Result<(), MoveError> {
    if !state.shards().contains_key(&place.shard) {
        return Err(MoveError::Invalid(format!(
            "`{name}` lies with the metadata, on every broker"
        )));
    }
    if place.epoch_base > MAX_BASE {
        return Err(MoveError::Invalid(format!(
            "the leader epochs of `{name}` are used up"
        )));
    }
    Ok(())
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
                if is_data && replicas.contains(&broker_id) && replicas.len() > left {
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

/// Moves that get nodes empty that drain, `most` at a time with those that are underway.
pub fn drain_moves(state: &MetaState, most: usize) -> Vec<MetaCommand> {
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
            let carriers = carriers.entry(factor).or_insert_with(|| {
                let all = shards.of_factor(factor);
                match topic.table.is_some() {
                    true => shards.together(&topic.name, all),
                    false => all,
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
