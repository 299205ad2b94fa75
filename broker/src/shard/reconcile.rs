//! A shard's leader makes the shard carry what the metadata says: it attaches what is missing and
//! detaches what is gone, on election and at each metadata change.
//!
//! On election it looks at every partition, later only at those of topics that changed: there may be very many, and
//! it runs on the data thread.
//!
//! It may know less of the metadata than the leader before it, who attached a topic that is not heard of here yet. To
//! detach that would delete its records, and to attach a partition that has moved to another shard meanwhile would begin
//! a second log of it. So before anything is attached or detached the metadata is caught up with, and what is decided then
//! has its effect in the same term or not at all.
//!
//! A partition on its way here is attached by who brings it (`cluster::moves`); here it only stays.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use uuid::Uuid;
use weir_raft::{ProposeError, ReadError};

use super::entry::{AttachItem, Body, PartitionId, Role};
use super::host::{Partitions, ShardHost};
use crate::meta::{Meta, Topic, names};

/// Items per entry, so that a topic of many partitions does not make one huge entry.
const ITEMS: usize = 10_000;

/// How soon it is tried again after nobody could say whether the metadata here is the latest.
const AGAIN: Duration = Duration::from_millis(200);

/// Returns once the metadata here holds all that was acknowledged before the call; an error says that nobody could
/// tell.
pub type CatchUp = Arc<dyn Fn() -> BoxFuture<'static, Result<(), ReadError>> + Send + Sync>;

/// The topics, by id, for which a shard carries what the metadata said of them.
type Known = BTreeMap<Uuid, Arc<Topic>>;

#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Refused(#[from] ProposeError),
    #[error("the metadata may be behind: {0}")]
    Behind(#[from] ReadError),
}

/// Runs as long as the shard.
pub async fn run(
    shard: Arc<ShardHost>,
    partitions: Arc<Partitions>,
    meta: Arc<Meta>,
    catch_up: CatchUp,
) {
    let mut metadata = meta.changed();
    let mut leadership = shard.watch_leadership();
    // `None` while the shard may carry anything.
    let mut known: Option<Known> = None;
    let mut term = 0;
    loop {
        let now = *leadership.borrow_and_update();
        metadata.borrow_and_update();
        if now.term != term || !now.open {
            known = None;
        }
        term = now.term;
        let mut again = false;
        if now.open {
            let carried = Carried {
                shard: &shard,
                partitions: &partitions,
                meta: &meta,
                term,
            };
            known = match carried.reconcile(known, &catch_up).await {
                Ok(known) => Some(known),
                Err(error) => {
                    // Not the leader any more, or not known: the next change of leadership starts again.
                    tracing::debug!(shard = shard.id.0, %error, "reconciliation stopped");
                    again = matches!(error, Stopped::Behind(_));
                    None
                }
            };
        }
        let ended = tokio::select! {
            biased;
            changed = metadata.changed() => changed.is_err(),
            changed = leadership.changed() => changed.is_err(),
            () = tokio::time::sleep(AGAIN), if again => false,
        };
        if ended {
            return;
        }
    }
}

/// What a shard carries, as its leader of a term sees it.
struct Carried<'a> {
    shard: &'a ShardHost,
    partitions: &'a Partitions,
    meta: &'a Meta,
    term: u64,
}

impl Carried<'_> {
    async fn reconcile(&self, known: Option<Known>, catch_up: &CatchUp) -> Result<Known, Stopped> {
        let (topics, difference) = self.compare(known.as_ref());
        if difference == Difference::default() {
            return Ok(topics);
        }
        catch_up().await?;
        loop {
            let (topics, Difference { missing, mut gone }) = self.compare(known.as_ref());
            if gone.is_empty() {
                for items in missing.chunks(ITEMS) {
                    self.change(Body::Attach(items.to_vec())).await?;
                }
                return Ok(topics);
            }
            // At once, while nothing comes back that is gone; the rest is compared again.
            gone.truncate(ITEMS);
            self.change(Body::Detach(gone)).await?;
        }
    }

    async fn change(&self, body: Body) -> Result<(), ProposeError> {
        self.shard.change_in(self.term, body, None).await?;
        Ok(())
    }

    /// What the metadata names now, and what the shard lacks of it and has beyond it.
    fn compare(&self, known: Option<&Known>) -> (Known, Difference) {
        let topics: Known = {
            let state = self.meta.read();
            let topics = state.topics().iter();
            topics.map(|topic| (topic.id, topic.clone())).collect()
        };
        let id = self.shard.id;
        let carries = |partition: &PartitionId| self.partitions.get_in(id, *partition).is_some();
        let difference = match known {
            None => {
                let attached = self.partitions.of_shard(self.shard);
                let attached = attached.iter().map(|partition| partition.id);
                all(id.0, &topics, attached.collect())
            }
            Some(known) => changed(id.0, known, &topics, carries),
        };
        (topics, difference)
    }
}

/// What is to be attached and detached.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    missing: Vec<AttachItem>,
    gone: Vec<PartitionId>,
}

/// Between all topics and all that is attached.
fn all(shard: u64, topics: &Known, mut attached: HashSet<PartitionId>) -> Difference {
    let wanted = topics.values().flat_map(|topic| wanted(shard, topic));
    // What is left in the set afterwards is not wanted.
    let missing = wanted.filter(|item| !attached.remove(&item.partition));
    let missing = missing.collect();
    for id in topics.values().flat_map(|topic| comes(shard, topic)) {
        attached.remove(&id);
    }
    let mut gone: Vec<PartitionId> = attached.into_iter().collect();
    gone.sort_unstable();
    Difference { missing, gone }
}

/// Between what was wanted of the topics that changed, which the shard carries, and what is wanted now.
fn changed(
    shard: u64,
    before: &Known,
    now: &Known,
    carries: impl Fn(&PartitionId) -> bool,
) -> Difference {
    let is_same = |one: &Arc<Topic>, topics: &Known| {
        let other = topics.get(&one.id);
        other.is_some_and(|other| Arc::ptr_eq(one, other))
    };
    let mut difference = Difference::default();
    let mut still_wanted = HashSet::new();
    for topic in now.values().filter(|topic| !is_same(topic, before)) {
        for item in wanted(shard, topic) {
            still_wanted.insert(item.partition);
            if !carries(&item.partition) {
                difference.missing.push(item);
            }
        }
        still_wanted.extend(comes(shard, topic));
    }
    for topic in before.values().filter(|topic| !is_same(topic, now)) {
        let was_wanted = wanted(shard, topic).map(|item| item.partition);
        let was_wanted = was_wanted.chain(comes(shard, topic));
        difference
            .gone
            .extend(was_wanted.filter(|id| !still_wanted.contains(id) && carries(id)));
    }
    difference
}

/// The partitions of a topic that the shard is to carry.
fn wanted(shard: u64, topic: &Topic) -> impl Iterator<Item = AttachItem> {
    let role = role(&topic.name);
    let places = (0..).zip(&topic.partitions);
    let here = places.filter(move |(_, place)| place.shard == shard);
    here.map(move |(index, place)| AttachItem {
        partition: PartitionId {
            topic: topic.id,
            index,
        },
        epoch_base: place.epoch_base,
        role,
    })
}

/// The partitions of a topic that are on their way to the shard.
fn comes(shard: u64, topic: &Topic) -> impl Iterator<Item = PartitionId> {
    let moves = topic.moves.iter().filter(move |(_, to)| to.to == shard);
    moves.map(|(index, _)| PartitionId {
        topic: topic.id,
        index: *index,
    })
}

/// What is folded from a topic's records.
pub fn role(topic: &str) -> Role {
    match topic {
        names::CONSUMER_OFFSETS => Role::Offsets,
        names::SCHEMAS => Role::Schemas,
        _ => Role::Data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::topics::{Move, PartitionPlace};

    /// A topic whose partitions lie in these shards.
    fn topic(number: u128, shards: &[u64]) -> Arc<Topic> {
        let place = |shard: &u64| PartitionPlace {
            shard: *shard,
            epoch_base: 7,
        };
        Arc::new(Topic {
            name: format!("topic-{number}").into(),
            id: Uuid::from_u128(number),
            partitions: shards.iter().map(place).collect(),
            configs: BTreeMap::new(),
            created_at_ms: 0,
            table: None,
            partitioners: None,
            moves: BTreeMap::new(),
        })
    }

    fn known(topics: &[&Arc<Topic>]) -> Known {
        let topics = topics.iter().map(|topic| (topic.id, (*topic).clone()));
        topics.collect()
    }

    fn id(number: u128, index: i32) -> PartitionId {
        PartitionId {
            topic: Uuid::from_u128(number),
            index,
        }
    }

    fn missing(difference: &Difference) -> Vec<PartitionId> {
        let missing = difference.missing.iter();
        missing.map(|item| item.partition).collect()
    }

    #[test]
    fn after_an_election_everything_is_compared() {
        let (one, two) = (topic(1, &[1, 2, 1]), topic(2, &[2]));
        let attached = HashSet::from([id(1, 0), id(3, 0)]);
        let found = all(1, &known(&[&one, &two]), attached);
        assert_eq!(missing(&found), [id(1, 2)]);
        assert_eq!(found.gone, [id(3, 0)]);
    }

    #[test]
    fn later_only_topics_that_changed_are_looked_at() {
        let (same, grows, goes) = (topic(1, &[1]), topic(2, &[1, 2]), topic(3, &[1, 1]));
        let (grown, new) = (topic(2, &[1, 2, 1]), topic(4, &[2, 1]));
        let before = known(&[&same, &grows, &goes]);
        let now = known(&[&same, &grown, &new]);
        // Of the one that stays the same nobody asks.
        let carries = |asked: &PartitionId| {
            assert_ne!(asked.topic, same.id);
            [id(2, 0), id(3, 0), id(3, 1)].contains(asked)
        };
        let found = changed(1, &before, &now, carries);
        assert_eq!(missing(&found), [id(2, 2), id(4, 1)]);
        assert_eq!(found.gone, [id(3, 0), id(3, 1)]);
        let nothing = changed(1, &now, &now, |_| panic!("nothing changed"));
        assert_eq!(nothing, Difference::default());
    }

    #[test]
    fn a_partition_that_moves_to_another_shard_goes() {
        let (before, now) = (topic(1, &[1, 1]), topic(1, &[1, 2]));
        let found = changed(1, &known(&[&before]), &known(&[&now]), |_| true);
        assert_eq!((missing(&found), found.gone), (vec![], vec![id(1, 1)]));
    }

    #[test]
    fn a_partition_on_its_way_here_stays_until_that_is_given_up() {
        let before = topic(1, &[1]);
        let mut moving = Topic::clone(&before);
        moving.moves.insert(0, Move::to(2));
        let moving = Arc::new(moving);
        let found = changed(2, &known(&[&before]), &known(&[&moving]), |_| false);
        assert_eq!(found, Difference::default());
        let found = all(2, &known(&[&moving]), HashSet::from([id(1, 0)]));
        assert_eq!(found, Difference::default());
        let found = changed(2, &known(&[&moving]), &known(&[&before]), |_| true);
        assert_eq!((missing(&found), found.gone), (vec![], vec![id(1, 0)]));
    }
}
