//! All coordinators of a node, and the one task that keeps their time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::coordinator::Coordinator;
use super::error::GroupError;
use super::settings::GroupSettings;
use super::store::GroupStore;
use super::turn::Turn;
use crate::clock::Clock;
use crate::meta::{Admin, Meta, names};
use crate::random::Random;
use crate::shard::entry::{PartitionId, Role};
use crate::shard::host::{Partitions, ShardHost};
use crate::shard::hosted::HostedShards;

mod expiry;
mod timer;

/// What every coordinator of the node needs.
pub struct Env {
    pub settings: GroupSettings,
    pub clock: Arc<dyn Clock>,
    /// The largest batch of `__consumer_offsets`.
    pub max_batch_bytes: usize,
    /// Timer time counts from here.
    started: Instant,
    alarm: Notify,
    /// Timer time at which the timer task wakes up by itself.
    wakes_at: AtomicU64,
}

impl Env {
    fn new(settings: GroupSettings, clock: Arc<dyn Clock>, max_batch_bytes: usize) -> Env {
        Env {
            settings,
            clock,
            max_batch_bytes,
            started: Instant::now(),
            alarm: Notify::new(),
            wakes_at: AtomicU64::new(u64::MAX),
        }
    }

    /// Ms since the start, by a clock that nobody sets: sessions do not end because the wall clock jumps.
    pub fn timer_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn turn(&self) -> Turn<'_> {
        Turn::new(&self.settings, self.timer_ms(), self.clock.now_ms())
    }

    /// Has the timer task awake at `at`, or earlier.
    pub fn wake_by(&self, at: u64) {
        if at < self.wakes_at.load(Ordering::Acquire) {
            self.alarm.notify_one();
        }
    }
}

pub struct Groups {
    env: Arc<Env>,
    store: Arc<GroupStore>,
    meta: Arc<Meta>,
    partitions: Arc<Partitions>,
    random: Arc<dyn Random>,
    coordinators: RwLock<HashMap<PartitionId, Arc<Coordinator>>>,
}

impl Groups {
    pub fn new(
        admin: &Admin,
        store: Arc<GroupStore>,
        clock: &Arc<dyn Clock>,
        random: &Arc<dyn Random>,
        partitions: &Arc<Partitions>,
    ) -> Arc<Groups> {
        let env = {
            let state = admin.meta.read();
            let layers = admin.layers(&state);
            let max_batch_bytes =
                usize::try_from(layers.broker_int("message.max.bytes")).unwrap_or(0);
            Env::new(
                GroupSettings::resolve(layers),
                clock.clone(),
                max_batch_bytes,
            )
        };
        Arc::new(Groups {
            env: Arc::new(env),
            store,
            meta: admin.meta.clone(),
            partitions: partitions.clone(),
            random: random.clone(),
            coordinators: RwLock::default(),
        })
    }

    pub fn settings(&self) -> &GroupSettings {
        &self.env.settings
    }

    pub fn clock(&self) -> &dyn Clock {
        &*self.env.clock
    }

    /// An id for a member: what it calls itself, and something that nobody else has.
    pub fn member_id(&self, name: &str) -> Arc<str> {
        format!("{name}-{}", self.random.uuid()).into()
    }

    /// The partition of the offsets topic that a group belongs to, once that topic exists.
    pub fn partition_of(&self, group: &str) -> Option<PartitionId> {
        let (topic, count) = self.offsets_topic()?;
        Some(PartitionId {
            topic,
            index: partition_for(group, count),
        })
    }

    fn offsets_topic(&self) -> Option<(Uuid, i32)> {
        let state = self.meta.read();
        let topic = state.topics().get(names::CONSUMER_OFFSETS)?;
        Some((topic.id, topic.partition_count()))
    }

    /// The coordinator of a group, where its partition is on this node.
    pub fn coordinator(&self, group: &str) -> Result<Arc<Coordinator>, GroupError> {
        let id = self.partition_of(group).ok_or(GroupError::NotCoordinator)?;
        self.of_partition(id).ok_or(GroupError::NotCoordinator)
    }

    /// Every partition's coordinator on this node, by partition.
    pub fn all(&self) -> Vec<Arc<Coordinator>> {
        let Some((topic, count)) = self.offsets_topic() else {
            return Vec::new();
        };
        (0..count)
            .filter_map(|index| self.of_partition(PartitionId { topic, index }))
            .collect()
    }

    fn of_partition(&self, id: PartitionId) -> Option<Arc<Coordinator>> {
        let partition = self.partitions.get(id)?;
        let current =
            |coordinator: &&Arc<Coordinator>| Arc::ptr_eq(coordinator.partition(), &partition);
        if let Some(coordinator) = self.coordinators.read().get(&id).filter(current) {
            return Some(coordinator.clone());
        }
        assert_eq!(
            partition.role,
            Role::Offsets,
            "the offsets topic's partitions are attached as such"
        );
        let mut coordinators = self.coordinators.write();
        if let Some(coordinator) = coordinators.get(&id).filter(current) {
            return Some(coordinator.clone());
        }
        let coordinator = Arc::new(Coordinator::new(
            partition,
            self.store.partition(id),
            self.env.clone(),
        ));
        coordinators.insert(id, coordinator.clone());
        Some(coordinator)
    }

    /// Starts what runs beside the requests: one task that keeps the time of all groups, and one for each shard that
    /// tells it of changes in leadership.
    pub fn start(self: &Arc<Self>, shards: &Arc<HostedShards>) {
        let (shards, env) = (shards.clone(), self.env.clone());
        tokio::spawn(async move {
            let watch = |shard: &Arc<ShardHost>| {
                let (mut leadership, env) = (shard.watch_leadership(), env.clone());
                tokio::spawn(async move {
                    while leadership.changed().await.is_ok() {
                        env.alarm.notify_one();
                    }
                });
            };
            shards.for_each(watch).await;
        });
        let (mut attached, env) = (self.partitions.watch(), self.env.clone());
        tokio::spawn(async move {
            // A partition that has moved on is not coordinated here any more.
            while attached.changed().await.is_ok() {
                env.alarm.notify_one();
            }
        });
        tokio::spawn(timer::run(self.clone()));
    }
}

/// Kafka's partition of a group: Java's hash of the id, without its sign, over the number of partitions.
pub fn partition_for(group: &str, partitions: i32) -> i32 {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // Java has no absolute value of its least integer; Kafka takes 0 for it.
    let hash = if hash == i32::MIN { 0 } else { hash.abs() };
    hash % partitions
}

/// The time until a moment of timer time.
fn until(env: &Env, at: u64) -> Duration {
    Duration::from_millis(at.saturating_sub(env.timer_ms()))
}

#[cfg(test)]
mod tests {
    use super::partition_for;

    #[test]
    fn groups_are_placed_as_kafka_places_them() {
        assert_eq!(partition_for("", 50), 0);
        assert_eq!(partition_for("a", 50), 97 % 50);
        // "polygenelubricants" is a text whose hash in Java is the least integer.
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        // 99162322, as Java says for "hello".
        assert_eq!(partition_for("hello", 50), 22);
        for id in [
            "gruppe-\u{e4}",
            "\u{1f600}",
            "my-consumer-group",
            "zzzzzzzz",
        ] {
            assert!((0..50).contains(&partition_for(id, 50)), "{id}");
        }
    }
}
