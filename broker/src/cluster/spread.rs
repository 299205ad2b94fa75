//! Partitions move by themselves to nodes that have fewer, so that a node that joins gets its share.
//!
//! The metadata's leader begins the moves, few at a time, and the shards bring them at their pace (`cluster::moves`). It
//! does so only while all is well: every node is there, every replica in sync, no node drains, and nobody else moves
//! anything. It begins when nodes are far apart and goes on until they are close, so that a topic more or less begins
//! nothing. `auto.partition.rebalance.enable` allows it.
//!
//! What is decided is in `meta::decide::spread`.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::overview;
use crate::broker::Broker;
use crate::meta::decide::spread::{self, Plan, Wanted};
use crate::meta::{ChangeError, MetaCommand, MetaState};

/// How often it is looked at what is left to do.
const LOOK: Duration = Duration::from_secs(1);
/// Looks at which nothing was in the way, one after the other, before anything begins.
const STEADY: u32 = 10;
/// Moves that are underway at a time.
const MOVES: usize = 8;
/// The part of a disk that stays free, to a node with less nothing goes;
const FREE_PART: i64 = 10;
/// and what is enough of a large disk.
const FREE_BYTES: i64 = 10 << 30;

/// A partition on its way to a shard: its topic, its index, and the shard.
type Going = (Uuid, i32, u64);

/// Runs until the node stops, on a node that may have peers.
pub async fn run(broker: Arc<Broker>) {
    let mut balance = Balance::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = broker.stopping.cancelled() => return,
        }
        match broker.shards.metadata().leadership().open && allowed(&broker) {
            true => balance.look(&broker).await,
            false => balance = Balance::default(),
        }
    }
}

/// Whether partitions move by themselves.
pub fn allowed(broker: &Broker) -> bool {
    let state = broker.meta.read();
    let layers = broker.admin.layers(&state);
    layers.broker_flag("auto.partition.rebalance.enable")
}

/// What one leader of the metadata has begun.
#[derive(Default)]
struct Balance {
    /// Looks, one after the other, at which there was something to do, and nothing in the way.
    steady: u32,
    /// Whether nodes were far apart, and are not close yet.
    goes_on: bool,
    begun: BTreeSet<Going>,
    /// The revision of the metadata at which nodes were as close as they can be.
    done_at: Option<u64>,
}

impl Balance {
    async fn look(&mut self, broker: &Broker) {
        let room = self.room(&broker.meta.read());
        if room == Some(0) {
            return;
        }
        let well = match room {
            Some(_) => is_well(broker).await,
            None => Err("there is nothing to do".to_owned()),
        };
        let (Some(room), Ok(full)) = (room, well) else {
            self.steady = 0;
            return;
        };
        self.steady += 1;
        if self.steady < STEADY {
            return;
        }
        match begin(broker, room, &full).await {
            Ok(plan) if plan.moves.is_empty() && self.begun.is_empty() => {
                *self = Balance {
                    done_at: full.is_empty().then_some(plan.revision),
                    ..Balance::default()
                };
            }
            Ok(plan) => {
                self.goes_on = true;
                self.begun.extend(plan.commands.iter().filter_map(going));
            }
            Err(error) => tracing::info!(%error, "the next moves did not begin"),
        }
    }

    /// How many moves may begin; `None` where there is nothing to do, or others move something.
    fn room(&mut self, state: &MetaState) -> Option<usize> {
        if self.done_at == Some(state.revision()) {
            return None;
        }
        let underway = underway(state);
        self.begun.retain(|one| underway.contains(one));
        if underway.len() > self.begun.len() {
            return None;
        }
        let loads = spread::loads(state);
        let left_alone = match self.goes_on {
            true => spread::close(&loads),
            false => spread::far(&loads),
        };
        if spread::difference(&loads) <= left_alone {
            self.goes_on = !self.begun.is_empty();
            return None;
        }
        Some(MOVES.saturating_sub(self.begun.len()))
    }
}

fn underway(state: &MetaState) -> BTreeSet<Going> {
    let topics = state.topics().iter();
    let moves = topics.flat_map(|topic| {
        let moves = topic.moves.iter();
        moves.map(|(index, going)| (topic.id, *index, going.to))
    });
    moves.collect()
}

fn going(command: &MetaCommand) -> Option<Going> {
    match command {
        MetaCommand::StartMove { id, partition, to } => Some((*id, *partition, *to)),
        _ => None,
    }
}

/// Whether anything may begin. Answers the nodes whose disks have no room for more; an error says what is in the way.
pub async fn is_well(broker: &Broker) -> Result<BTreeSet<i32>, String> {
    if let Some(node) = broker.meta.read().draining().first() {
        return Err(format!("node {node} drains"));
    }
    let seen = overview::look(broker).await;
    if !seen.health.problems.is_empty() {
        return Err(seen.health.problems.join("; "));
    }
    let mut full = BTreeSet::new();
    for node in &seen.nodes {
        if node.leaving {
            return Err(format!("node {} is about to stop", node.id));
        }
        let no_answer = || format!("node {} does not say how full its disk is", node.id);
        let figures = node.figures.as_ref().ok_or_else(no_answer)?;
        let (total, free) = (figures.disk_total_bytes, figures.disk_free_bytes);
        if total > 0 && free < FREE_BYTES.min(total / FREE_PART) {
            full.insert(node.id);
        }
    }
    Ok(full)
}

/// Begins moves so that nodes come close, as many as there is room for beside those that are underway; somebody asked
/// for it.
pub async fn begin_as_asked(
    broker: &Broker,
    full: &BTreeSet<i32>,
) -> Result<Plan, ChangeError<Infallible>> {
    let underway = underway(&broker.meta.read()).len();
    begin(broker, MOVES.saturating_sub(underway), full).await
}

async fn begin(
    broker: &Broker,
    most: usize,
    full: &BTreeSet<i32>,
) -> Result<Plan, ChangeError<Infallible>> {
    let decide = |state: &MetaState| {
        let plan = spread::plan(state, &wanted(state, most, full));
        Ok::<_, Infallible>((plan.commands.clone(), plan))
    };
    let plan = broker.meta.change(decide).await?;
    broker.metrics.balance_moves.inc_by(plan.moves.len() as u64);
    for one in &plan.moves {
        tracing::info!(topic = one.topic, index = one.partition, from = ?one.from, to = ?one.to,
            "a partition moves so that nodes have their share");
    }
    Ok(plan)
}

/// What brings nodes close.
pub fn wanted<'a>(state: &MetaState, most: usize, full: &'a BTreeSet<i32>) -> Wanted<'a> {
    Wanted {
        difference: spread::close(&spread::loads(state)),
        most,
        full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::NodeInfo;
    use crate::meta::decide::topics::{NewTopic, create};
    use crate::meta::effective::Layers;
    use crate::meta::format::{MetaEntry, encode_entry};
    use crate::meta::state::Configs;

    fn apply(state: &mut MetaState, commands: Vec<MetaCommand>) {
        let entry = MetaEntry {
            revision: state.revision(),
            commands,
        };
        let applied = state.apply_entry(&encode_entry(&entry));
        applied.expect("what is decided applies");
    }

    fn register(state: &mut MetaState, broker_id: i32) {
        let node = NodeInfo {
            raft_id: broker_id as u64,
            listeners: Default::default(),
            rack: None,
            cluster: None,
        };
        apply(state, vec![MetaCommand::RegisterNode { broker_id, node }]);
    }

    /// Ten partitions on the first of two nodes.
    fn unequal() -> MetaState {
        let mut state = MetaState::default();
        register(&mut state, 1);
        let new = NewTopic {
            partitions: 10,
            replication_factor: 1,
            ..NewTopic::with_defaults("t", Uuid::from_u128(7), 0)
        };
        let layers = Layers {
            state: &state,
            broker_id: 1,
            node: &Configs::new(),
        };
        let (commands, _) = create(layers, &new, &|_| true).expect("created");
        apply(&mut state, commands);
        register(&mut state, 2);
        state
    }

    /// Begins so many moves.
    fn begin(state: &mut MetaState, most: usize) -> Vec<Going> {
        let none = BTreeSet::new();
        let plan = spread::plan(state, &wanted(state, most, &none));
        let begun = plan.commands.iter().filter_map(going).collect();
        apply(state, plan.commands);
        begun
    }

    #[test]
    fn few_moves_are_underway_at_a_time_and_nobody_elses() {
        let mut state = unequal();
        let mut balance = Balance::default();
        assert_eq!(balance.room(&state), Some(MOVES));
        balance.begun.extend(begin(&mut state, 3));
        assert_eq!(balance.room(&state), Some(MOVES - 3));
        // Another leader does not know who began them.
        assert_eq!(Balance::default().room(&state), None);
        // What is on its way counts as if it had arrived.
        balance.begun.extend(begin(&mut state, 9));
        assert_eq!((balance.begun.len(), balance.room(&state)), (5, None));
    }

    #[test]
    fn it_begins_where_nodes_are_far_apart_and_goes_on_until_they_are_close() {
        let mut state = unequal();
        let begun: BTreeSet<Going> = begin(&mut state, 4).into_iter().collect();
        // There are six and four.
        let mut balance = Balance {
            begun: begun.clone(),
            ..Balance::default()
        };
        assert_eq!(balance.room(&state), None);
        let mut balance = Balance {
            goes_on: true,
            begun,
            ..Balance::default()
        };
        assert_eq!(balance.room(&state), Some(MOVES - 4));
        balance.done_at = Some(state.revision());
        assert_eq!(balance.room(&state), None);
        register(&mut state, 2);
        assert_eq!(balance.room(&state), Some(MOVES - 4));
    }
}
