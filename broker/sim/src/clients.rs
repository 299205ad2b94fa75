//! Clients: producers of all kinds, and whoever trims partitions, creates topics and deletes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use uuid::Uuid;
use weir_broker::meta::placement::shard_for;
use weir_broker::meta::{MetaCommand, MetaState, PartitionPlace, Topic};
use weir_broker::shard::entry::{Body, PartitionId, TrimItem};
use weir_raft::Outcome;
use weir_sim::Rng;

use crate::app::DataNode;
use crate::model::{Bounds, PartitionModel, Policy, UNORDERED};
use crate::watch::{Watch, bounds};

mod operator;
mod producers;

pub use operator::operator;
use producers::{Source, plain_send};
pub use producers::{idempotent_producer, plain_producer};

const TIMEOUT: Duration = Duration::from_secs(4);

/// What clients share.
pub struct Clients {
    pub watch: Watch,
    /// Nothing new is begun; what was begun is brought to its end.
    finishing: AtomicBool,
    /// Clients that are still at it.
    busy: AtomicU32,
    rng: Rng,
    next_producer: AtomicU32,
}

/// A topic as its clients know it.
#[derive(Clone)]
pub struct TopicHere {
    pub id: Uuid,
    pub policy: Policy,
    pub partitions: Vec<PartitionId>,
}

impl Clients {
    pub fn new(watch: &Watch, rng: Rng) -> Arc<Clients> {
        Arc::new(Clients {
            watch: watch.clone(),
            finishing: AtomicBool::new(false),
            busy: AtomicU32::new(0),
            rng,
            next_producer: AtomicU32::new(1),
        })
    }

    pub fn finish(&self) {
        self.finishing.store(true, Ordering::Relaxed);
    }

    fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::Relaxed)
    }

    pub fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    /// Begins anew with producers that nobody knows.
    pub fn go_on(&self) {
        self.finishing.store(false, Ordering::Relaxed);
    }

    /// Starts a client that ends by itself once it is asked to.
    pub fn spawn(self: &Arc<Self>, client: impl Future<Output = ()> + Send + 'static) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let this = self.clone();
        tokio::spawn(async move {
            client.await;
            this.busy.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Returns once topics can be created.
    pub async fn wait_for_shards(&self) {
        while self.watch.newest(carriers).is_none_or(|all| all.is_empty()) {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Creates a topic and returns once the metadata has it; `None` also where no shard may carry it now.
    pub async fn create_topic(
        &self,
        name: &str,
        policy: Policy,
        partitions: u64,
    ) -> Option<TopicHere> {
        let bits = |rng: &Rng| u128::from(weir_raft::Random::next(rng));
        let id = Uuid::from_u128(bits(&self.rng) << 64 | bits(&self.rng));
        let topic = Topic {
            name: name.into(),
            id,
            partitions: Vec::new(),
            configs: settings(policy),
            created_at_ms: 0,
            table: None,
            partitioners: None,
            moves: Default::default(),
        };
        let here = TopicHere {
            id,
            policy,
            partitions: (0..partitions)
                .map(|index| PartitionId {
                    topic: id,
                    index: index as i32,
                })
                .collect(),
        };
        for partition in &here.partitions {
            self.watch
                .add(name, *partition, PartitionModel::new(policy));
        }
        let create = |state: &MetaState| {
            let shards = carriers(state);
            if state.topics().by_id(id).is_some() || shards.is_empty() {
                return Vec::new();
            }
            let place = |index| PartitionPlace {
                shard: shard_for(name, index as usize, &shards),
                epoch_base: 0,
            };
            vec![MetaCommand::CreateTopic(Topic {
                partitions: (0..partitions).map(place).collect(),
                ..topic.clone()
            })]
        };
        let is_there = |state: &MetaState| state.topics().by_id(id).is_some();
        let created =
            self.change_metadata(create).await && self.watch.newest(is_there).unwrap_or_default();
        if !created {
            for partition in &here.partitions {
                self.watch.remove(*partition);
            }
        }
        created.then_some(here)
    }

    pub async fn delete_topic(&self, topic: &TopicHere) {
        let id = topic.id;
        for partition in &topic.partitions {
            self.watch.remove(*partition);
        }
        let delete = |state: &MetaState| {
            if state.topics().by_id(id).is_none() {
                return Vec::new();
            }
            vec![MetaCommand::DeleteTopic {
                id,
                highest_epoch: 0,
            }]
        };
        self.change_metadata(delete).await;
    }

    /// Tries until it is done; says whether it is.
    async fn change_metadata(&self, decide: impl Fn(&MetaState) -> Vec<MetaCommand>) -> bool {
        for _ in 0..200 {
            if let Some(leader) = self.watch.leader(0) {
                let change = leader
                    .meta
                    .change(|state| Ok::<_, String>((decide(state), ())));
                if let Ok(Ok(())) = timeout(TIMEOUT, change).await {
                    return true;
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
        false
    }

    /// The broker that a client takes for the leader: mostly it is.
    fn find(&self, id: PartitionId, rng: &Rng) -> Option<Arc<DataNode>> {
        let nodes = self.watch.nodes();
        if rng.chance(100) && !nodes.is_empty() {
            return Some(rng.pick(&nodes).clone());
        }
        self.watch.leader(self.watch.shard_of(id)?)
    }
}

/// The shards that a new partition may go to.
fn carriers(state: &MetaState) -> Vec<u64> {
    state.open_shards().keys().copied().collect()
}

fn settings(policy: Policy) -> BTreeMap<String, String> {
    let text = |name: &str, value: &dyn ToString| (name.to_owned(), value.to_string());
    match policy {
        Policy::Delete {
            retention_ms,
            retention_bytes,
        } => [
            text("retention.ms", &retention_ms.unwrap_or(-1)),
            text(
                "retention.bytes",
                &retention_bytes.map_or(-1, |bytes| bytes as i64),
            ),
        ]
        .into(),
        Policy::Compact {
            delete_retention_ms,
        } => [
            text("cleanup.policy", &"compact"),
            text("delete.retention.ms", &delete_retention_ms),
            text("min.cleanable.dirty.ratio", &"0.01"),
        ]
        .into(),
    }
}

async fn pause(rng: &Rng, ms: std::ops::Range<u64>) {
    sleep(Duration::from_millis(rng.within(ms))).await;
}

/// Moves log starts up, as DeleteRecords does.
pub async fn trimmer(clients: Arc<Clients>, topics: Vec<TopicHere>) {
    let rng = clients.rng.fork();
    while !clients.is_finishing() {
        pause(&rng, 300..2500).await;
        let id = *rng.pick(&rng.pick(&topics).partitions);
        let within = |bounds: Bounds| {
            let behind = rng.within(1..(bounds.high_watermark - bounds.log_start) as u64 + 1);
            bounds.log_start + behind as i64
        };
        trim(&clients, id, within).await;
    }
}

/// Writes a little and has all of it deleted, so that for a while nothing but the end of the log is left.
pub async fn emptier(clients: Arc<Clients>, topic: TopicHere) {
    let rng = clients.rng.fork();
    let mut source = Source::new(&clients, false);
    source.producer |= UNORDERED;
    let id = topic.partitions[0];
    while !clients.is_finishing() {
        for _ in 0..rng.within(1..4) {
            plain_send(&clients, &rng, &mut source, id).await;
        }
        trim(&clients, id, |bounds| bounds.high_watermark).await;
        pause(&rng, 500..4000).await;
    }
}

/// Moves a log start to where `start` says, if there is anything below.
async fn trim(clients: &Clients, id: PartitionId, start: impl FnOnce(Bounds) -> i64) {
    let shard = clients.watch.shard_of(id);
    let Some(node) = shard.and_then(|shard| clients.watch.leader(shard)) else {
        return;
    };
    let Some(partition) = node.plane.partitions.get(id) else {
        return;
    };
    let bounds = bounds(&partition);
    if bounds.log_start >= bounds.high_watermark {
        return;
    }
    let start = start(bounds);
    clients.watch.check(id, |model| {
        model.ask_start(start);
        Ok(())
    });
    let items = vec![TrimItem {
        partition: id,
        start,
    }];
    let (host, life) = (partition.shard.clone(), node.life.clone());
    let epoch = partition.leader_epoch();
    drop((node, partition));
    let changed = timeout(TIMEOUT, host.change(Body::Trim(items), None)).await;
    if matches!(changed, Ok(Ok((_, Outcome::Applied)))) && !life.is_over() {
        clients.watch.check(id, |model| {
            model.ack_start(epoch, start);
            Ok(())
        });
    }
}

/// Moves partitions to other shards, and calls some back.
pub async fn mover(clients: Arc<Clients>, topics: Vec<TopicHere>) {
    let rng = clients.rng.fork();
    let mut lay = BTreeMap::new();
    while !clients.is_finishing() {
        pause(&rng, 300..3000).await;
        let id = *rng.pick(&rng.pick(&topics).partitions);
        let PartitionId { topic, index } = id;
        let calls_back = rng.chance(300);
        if let Some(shard) = clients.watch.shard_of(id)
            && lay.insert(id, shard).is_some_and(|before| before != shard)
        {
            let trace = clients.watch.cluster.trace();
            trace.fault("partition that moved", [shard]);
        }
        let change = |state: &MetaState| {
            let (id, partition) = (topic, index);
            let topic = state.topics().by_id(id);
            let Some((topic, place)) = topic.and_then(|one| Some((one, one.partition(partition)?)))
            else {
                return Vec::new();
            };
            let command = match topic.moves.get(&partition) {
                Some(going) if calls_back && !going.sealing => {
                    MetaCommand::CancelMove { id, partition }
                }
                Some(_) => return Vec::new(),
                None => {
                    let shards = carriers(state);
                    let later = shards.iter().find(|shard| **shard > place.shard);
                    match later.or(shards.first()) {
                        Some(to) if *to != place.shard => MetaCommand::StartMove {
                            id,
                            partition,
                            to: *to,
                        },
                        _ => return Vec::new(),
                    }
                }
            };
            vec![command]
        };
        clients.change_metadata(change).await;
    }
}

/// Creates topics, has them written to, and deletes them while they are.
pub async fn administrator(clients: Arc<Clients>, round: u32) {
    let rng = clients.rng.fork();
    let policy = Policy::Delete {
        retention_ms: None,
        retention_bytes: None,
    };
    let mut number = 0;
    while !clients.is_finishing() {
        pause(&rng, 500..3000).await;
        number += 1;
        let name = format!("short-{round}-{number}");
        let Some(topic) = clients.create_topic(&name, policy, 2).await else {
            continue;
        };
        clients.spawn(plain_producer(clients.clone(), topic.clone()));
        clients.spawn(idempotent_producer(clients.clone(), topic.clone(), 0));
        pause(&rng, 500..4000).await;
        clients.delete_topic(&topic).await;
    }
}
