//! Looks at what every broker serves, and compares it with what is known of the partitions.

mod members;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use weir_broker::clock::Clock;
use weir_broker::meta::MetaState;
use weir_broker::meta::decide::moves::underway;
use weir_broker::partition::{Partition, Stage};
use weir_broker::shard::entry::PartitionId;
use weir_log::{ReadError, ReadRequest};
use weir_raft::{Index, NodeId, Seat, ShardId};
use weir_sim::{Cluster, Life};

use crate::app::{Brokers, DataNode};
use crate::model::{Bounds, PartitionModel, ServedBatch, Violation, take_apart};

/// How far the time of a decision and that of a look at it may be apart.
const SKEW_MS: i64 = 50;
const READ_BYTES: usize = 8 << 10;

/// How far a broker's partition was looked at in one life.
#[derive(Clone, Copy, Default)]
struct Looked {
    /// Where the next look begins.
    next: i64,
    bounds: Bounds,
}

/// A partition while it is in a shard: of two shards that it was in, a follower may be behind in one.
type Stay = (PartitionId, ShardId, Index);

/// What open leaders of a partition have shown, and in which epoch.
#[derive(Clone, Copy, Default)]
struct Session {
    epoch: i32,
    floor: Bounds,
}

struct State {
    models: BTreeMap<PartitionId, (String, PartitionModel)>,
    sessions: BTreeMap<PartitionId, Session>,
    /// By life of a broker.
    looked: BTreeMap<Seat, (Life, BTreeMap<Stay, Looked>)>,
    /// Who voted on a shard when its leader was last looked at.
    voters: BTreeMap<u64, BTreeSet<NodeId>>,
    /// Brokers whose stored bytes were changed behind their backs: reads may fail, and nothing else.
    rotten: BTreeSet<Seat>,
}

/// What is known of all partitions. Clones share it.
#[derive(Clone)]
pub struct Watch {
    pub cluster: Cluster<Brokers>,
    state: Arc<Mutex<State>>,
}

impl Watch {
    pub fn new(cluster: Cluster<Brokers>) -> Watch {
        Watch {
            cluster,
            state: Arc::new(Mutex::new(State {
                models: BTreeMap::new(),
                sessions: BTreeMap::new(),
                looked: BTreeMap::new(),
                voters: BTreeMap::new(),
                rotten: BTreeSet::new(),
            })),
        }
    }

    pub fn now_ms(&self) -> i64 {
        self.cluster.app().clock.now_ms()
    }

    pub fn nodes(&self) -> Vec<Arc<DataNode>> {
        let running = self.cluster.all_running().into_iter();
        running.map(|(_, _, node)| node).collect()
    }

    /// The broker that leads the shard, as far as one says so of itself; the one of the latest term.
    pub fn leader(&self, shard: u64) -> Option<Arc<DataNode>> {
        let open = self.nodes().into_iter().filter_map(|node| {
            let leadership = node.shards.get(shard)?.leadership();
            leadership.open.then_some((leadership.term, node))
        });
        open.max_by_key(|(term, _)| *term).map(|(_, node)| node)
    }

    /// Looks at the newest metadata that a broker has.
    pub fn newest<T>(&self, look: impl FnOnce(&MetaState) -> T) -> Option<T> {
        let nodes = self.nodes();
        let revision = |node: &&Arc<DataNode>| node.meta.read().revision();
        let newest = nodes.iter().max_by_key(revision)?;
        Some(look(&newest.meta.read()))
    }

    /// Where a partition lies.
    pub fn shard_of(&self, id: PartitionId) -> Option<u64> {
        let shard = |state: &MetaState| {
            let topic = state.topics().by_id(id.topic)?;
            topic.partition(id.index).map(|place| place.shard)
        };
        self.newest(shard)?
    }

    /// The brokers that a partition lies on.
    fn lies_on(&self, id: PartitionId) -> Vec<i32> {
        let replicas = self.shard_of(id).and_then(|shard| {
            let replicas = |state: &MetaState| state.replicas_of(shard);
            self.newest(replicas)
        });
        replicas.unwrap_or_default()
    }

    pub fn is_rotten(&self, seat: Seat) {
        self.state.lock().rotten.insert(seat);
    }

    pub fn add(&self, topic: &str, id: PartitionId, model: PartitionModel) {
        let name = format!("{topic}-{}", id.index);
        self.state.lock().models.insert(id, (name, model));
    }

    pub fn remove(&self, id: PartitionId) {
        self.state.lock().models.remove(&id);
    }

    pub fn is_there(&self, id: PartitionId) -> bool {
        self.state.lock().models.contains_key(&id)
    }

    fn partitions(&self) -> Vec<PartitionId> {
        self.state.lock().models.keys().copied().collect()
    }

    /// Tells the model; nothing is checked where the topic was deleted.
    pub fn check(
        &self,
        id: PartitionId,
        check: impl FnOnce(&mut PartitionModel) -> Result<(), Violation>,
    ) {
        let mut state = self.state.lock();
        let Some((name, model)) = state.models.get_mut(&id) else {
            return;
        };
        if let Err(violation) = check(model) {
            self.cluster
                .judge()
                .violated(&format!("{name}: {violation}"));
        }
    }

    fn for_each(
        &self,
        missing: impl Fn(Seat, PartitionId),
        check: impl Fn(Seat, &DataNode, &Partition) -> Result<(), Violation>,
    ) {
        for (seat, _, node) in self.cluster.all_running() {
            for id in self.partitions() {
                let Some(partition) = node.plane.partitions.get(id) else {
                    missing(seat, id);
                    continue;
                };
                // What is on its way here nobody is served.
                if partition.stage() == Stage::Arriving {
                    continue;
                }
                if let Err(violation) = check(seat, &node, &partition) {
                    let name = self.state.lock().models[&id].0.clone();
                    let found = format!("{name} on {seat}: {violation}");
                    self.cluster.judge().violated(&found);
                }
            }
        }
    }

    /// Looks at what was not there before.
    pub fn look(&self) {
        self.look_at_voters();
        self.for_each(
            |_, _| {},
            |seat, node, partition| self.look_at(seat, node, partition),
        );
    }

    fn look_at(&self, seat: Seat, node: &DataNode, partition: &Partition) -> Result<(), Violation> {
        let bounds = bounds(partition);
        let leadership = partition.leadership();
        let mut state = self.state.lock();
        let State {
            models,
            sessions,
            looked,
            rotten,
            ..
        } = &mut *state;
        let Some((_, model)) = models.get_mut(&partition.id) else {
            return Ok(());
        };
        let new = || (node.life.clone(), BTreeMap::new());
        let (life, partitions) = looked.entry(seat).or_insert_with(new);
        if !life.is(&node.life) {
            (*life, *partitions) = new();
        }
        let stay = (partition.id, partition.shard.id, partition.stay);
        let looked = partitions.entry(stay).or_default();
        never_back(looked.bounds, bounds, "this life of the broker")?;
        looked.bounds = bounds;
        if leadership.open {
            let session = sessions.entry(partition.id).or_default();
            let epoch = partition.epoch_in(leadership.term);
            if epoch >= session.epoch {
                never_back(session.floor, bounds, "an earlier look at a leader")?;
                never_back(model.floor(epoch), bounds, "what was acknowledged")?;
                session.epoch = epoch;
                session.floor = bounds;
            }
        }
        if !is_durable_here(node, partition) {
            return Ok(());
        }
        let from = looked.next.max(bounds.log_start);
        let is_rotten = rotten.contains(&seat);
        let upper = bounds.high_watermark;
        let disk = self.cluster.disk(seat);
        let served = disk.unnoticed(|| self.read(node, partition, from, upper, is_rotten))?;
        if let Some(served) = served {
            model.saw(&served)?;
            looked.next = bounds.high_watermark;
            model.started_at(bounds, self.now_ms(), SKEW_MS)?;
        }
        Ok(())
    }

    /// Reads on the path of consumers; `None` where the disk failed, as it may, or where what is missing was trimmed: a
    /// replica that took a leader's snapshot lacks what the leader trimmed after that, until it has applied that, too.
    fn read(
        &self,
        node: &DataNode,
        partition: &Partition,
        mut from: i64,
        upper: i64,
        is_rotten: bool,
    ) -> Result<Option<Vec<ServedBatch>>, Violation> {
        let mut all = Vec::new();
        while from < upper {
            let request = ReadRequest {
                from,
                upper,
                max_bytes: READ_BYTES,
                at_least_one: true,
            };
            let runs = match partition.read(&request, &*node.plane.blocks) {
                Ok(runs) => runs,
                Err(error) if may_fail(&error) || is_rotten || node.life.is_over() => {
                    return Ok(None);
                }
                Err(ReadError::Missing(at)) if self.is_trimmed(partition.id, at) => {
                    return Ok(None);
                }
                Err(error) => return Err(format!("L1: a read from {from} below {upper}: {error}")),
            };
            let served = take_apart(&runs)?;
            let Some(last) = served.last() else {
                return Err(format!(
                    "L1: a read from {from} below {upper} returns nothing"
                ));
            };
            from = last.last_offset + 1;
            all.extend(served);
        }
        Ok(Some(all))
    }

    /// Whether the log of some replica begins behind an offset.
    fn is_trimmed(&self, id: PartitionId, offset: i64) -> bool {
        let nodes = self.nodes();
        let mut replicas = nodes
            .iter()
            .filter_map(|node| node.plane.partitions.get(id));
        replicas.any(|replica| replica.log_start_offset() > offset)
    }

    /// Reads the whole log of every partition on every broker. `healed`: all have caught up.
    pub fn scan(&self, healed: bool) {
        let missing = |seat: Seat, id| {
            if healed && self.lies_on(id).contains(&seat.0) {
                let missing = format!("partition {id:?} is not on {seat} after healing");
                self.cluster.judge().violated(&missing);
            }
        };
        self.for_each(missing, |seat, node, partition| {
            self.scan_partition(seat, node, partition, healed)
        });
    }

    fn scan_partition(
        &self,
        seat: Seat,
        node: &DataNode,
        partition: &Partition,
        healed: bool,
    ) -> Result<(), Violation> {
        if !is_durable_here(node, partition) {
            return Ok(());
        }
        let bounds = bounds(partition);
        let mut state = self.state.lock();
        let is_rotten = state.rotten.contains(&seat);
        let Some((_, model)) = state.models.get_mut(&partition.id) else {
            return Ok(());
        };
        let (from, upper) = (bounds.log_start, bounds.high_watermark);
        let disk = self.cluster.disk(seat);
        let served = disk.unnoticed(|| self.read(node, partition, from, upper, is_rotten))?;
        let Some(served) = served else {
            return Ok(());
        };
        model.saw(&served)?;
        model.scanned(bounds, &served, self.now_ms(), healed)
    }

    /// What tells the replicas of a partition apart, apart from how they store it.
    pub fn differences(&self) -> Option<String> {
        let nodes = self.cluster.all_running();
        for (seat, _, node) in &nodes {
            let underway = underway(&node.meta.read()).len();
            if underway > 0 {
                return Some(format!("{underway} partitions move, as {seat} knows it"));
            }
        }
        if let Some(unsettled) = self.unsettled() {
            return Some(unsettled);
        }
        let closed = self
            .newest(|state| state.closed().clone())
            .unwrap_or_default();
        for id in self.partitions() {
            let mut first = None;
            let lies_on = self.lies_on(id);
            for (seat, _, node) in &nodes {
                // A shard that is closed may have lost its majority, and then what had moved on stays in it.
                let replicas = node.plane.partitions.replicas(id);
                let counts = |shard: u64| !closed.contains(&shard);
                let replicas = replicas.iter().filter(|one| counts(one.shard.id.0)).count();
                if !lies_on.contains(&seat.0) {
                    if replicas > 0 {
                        return Some(format!("{id:?} is on {seat}, and lies on {lies_on:?}"));
                    }
                    continue;
                }
                let Some(partition) = node.plane.partitions.get(id) else {
                    return Some(format!("partition {id:?} is not on {seat}"));
                };
                if partition.stage() != Stage::Open || replicas > 1 {
                    let stage = partition.stage();
                    return Some(format!("{id:?} is {stage:?} on {seat}, {replicas} times"));
                }
                let log = partition.log.read();
                let producers = log.producers().iter().map(|(id, producer)| {
                    let (epoch, last_ms) = (producer.epoch(), producer.last_append_ms());
                    (id, epoch, last_ms, producer.batches())
                });
                let producers: Vec<_> = producers.collect();
                let facts = format!(
                    "{} {} {}..{} {:?} {producers:?}",
                    partition.shard.id,
                    partition.stay,
                    log.log_start_offset(),
                    log.next_offset(),
                    log.epochs(),
                );
                drop(log);
                let first = first.get_or_insert_with(|| facts.clone());
                if *first != facts {
                    return Some(format!("{id:?}: {first} and on {seat} {facts}"));
                }
            }
        }
        None
    }

    /// Records that were acknowledged.
    pub fn acked(&self) -> u64 {
        let state = self.state.lock();
        let models = state.models.values();
        models.map(|(_, model)| model.acked_count() as u64).sum()
    }

    pub fn check_order(&self) {
        for id in self.partitions() {
            self.check(id, |model| model.is_in_order());
        }
    }
}

pub fn bounds(partition: &Partition) -> Bounds {
    let log = partition.log.read();
    Bounds {
        log_start: log.log_start_offset(),
        high_watermark: log.next_offset(),
    }
}

fn never_back(before: Bounds, now: Bounds, what: &str) -> Result<(), Violation> {
    if now.high_watermark < before.high_watermark || now.log_start < before.log_start {
        return Err(format!("L8: {now:?} after {before:?} in {what}"));
    }
    Ok(())
}

/// A read of what the log has not written yet would wait for it, and here for ever.
fn is_durable_here(node: &DataNode, partition: &Partition) -> bool {
    let durable = node.plane.raft.wal_usage().durable;
    let log = partition.log.read();
    let last = log.extents().iter().next_back();
    last.is_none_or(|last| {
        (last.pos.file, last.pos.offset + last.len) <= (durable.file, durable.offset)
    })
}

/// Whether a read has failed for an error of the disk that is not about what is stored.
fn may_fail(error: &ReadError) -> bool {
    match error {
        ReadError::Io { source, .. } | ReadError::SegmentIo { source, .. } => {
            use std::io::ErrorKind::{NotFound, UnexpectedEof};
            !matches!(source.kind(), NotFound | UnexpectedEof)
        }
        _ => false,
    }
}
