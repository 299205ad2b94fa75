//! A shard as this node hosts it: its Raft group, its proposer's queue, its in-memory tail.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;
use tokio::sync::{mpsc, oneshot, watch};
use weir_log::{BatchHeader, Tail};
use weir_raft::{Index, Leadership, NodeId, Outcome, Payload, ProposeError, ShardId};

use super::entry::{Body, Entry, PartitionId};
use super::proposer::Submit;
use crate::clock::Clock;
use crate::partition::{Partition, Stage};

pub struct ShardHost {
    pub id: ShardId,
    node_id: NodeId,
    clock: Arc<dyn Clock>,
    raft: OnceLock<weir_raft::Shard>,
    queue: mpsc::UnboundedSender<Submit>,
    tail: Mutex<Tail>,
    /// What the extents of all its partitions take.
    extent_bytes: AtomicUsize,
    /// The greatest time of any applied or proposed entry.
    time_ms: AtomicI64,
    next_handle: AtomicU64,
    /// Set when recovery is over: from then on applied batches are kept in the tail.
    live: AtomicBool,
    /// Replicas within the stated lag of this node, while it leads.
    in_sync: AtomicU32,
}

impl ShardHost {
    /// The host and the queue that its proposer drains.
    pub fn new(
        id: ShardId,
        node_id: NodeId,
        clock: Arc<dyn Clock>,
        tail_bytes: usize,
    ) -> (Arc<ShardHost>, mpsc::UnboundedReceiver<Submit>) {
        // Not bounded here: what waits is request frames, and those are bounded where they are read.
        let (queue, receiver) = mpsc::unbounded_channel();
        let host = ShardHost {
            id,
            node_id,
            clock,
            raft: OnceLock::new(),
            queue,
            tail: Mutex::new(Tail::new(tail_bytes)),
            extent_bytes: AtomicUsize::new(0),
            time_ms: AtomicI64::new(0),
            next_handle: AtomicU64::new(1),
            live: AtomicBool::new(false),
            in_sync: AtomicU32::new(1),
        };
        (Arc::new(host), receiver)
    }

    /// Recovery is over: the group takes proposals from here on.
    pub fn started(&self, raft: weir_raft::Shard) {
        assert!(self.raft.set(raft).is_ok(), "a shard is started once");
        self.live.store(true, Ordering::Release);
    }

    /// As if it were started, without a group.
    #[cfg(test)]
    pub fn keep_what_is_applied(&self) {
        self.live.store(true, Ordering::Release);
    }

    pub fn raft(&self) -> &weir_raft::Shard {
        self.raft
            .get()
            .expect("requests are served after the shards have started")
    }

    /// The Raft node id of this replica.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    pub fn watch_leadership(&self) -> watch::Receiver<Leadership> {
        self.raft().leadership()
    }

    /// While it recovers it knows of no leader.
    pub fn leadership(&self) -> Leadership {
        let raft = self.raft.get();
        raft.map_or_else(Leadership::default, |raft| *raft.leadership().borrow())
    }

    pub fn next_handle(&self) -> u64 {
        self.next_handle.fetch_add(1, Ordering::Relaxed)
    }

    /// Puts a produce request into the proposer's queue, behind what came before it.
    pub fn submit(&self, submit: Submit) {
        // The proposer ends with the process only; the reply's sender is dropped then.
        let _ = self.queue.send(submit);
    }

    /// Returns when every batch that was submitted before has its outcome.
    pub async fn settled(&self) {
        let (reply, settled) = oneshot::channel();
        self.submit(Submit {
            parts: Vec::new(),
            frame_bytes: 0,
            term: None,
            refusals: Arc::default(),
            reply,
        });
        // The proposer ends with the process only.
        let _ = settled.await;
    }

    /// The time for the next entry: the clock's, but never before an earlier entry's.
    pub fn entry_time_ms(&self) -> i64 {
        let now = self.clock.now_ms();
        self.time_ms.fetch_max(now, Ordering::AcqRel).max(now)
    }

    pub fn saw_time(&self, time_ms: i64) {
        self.time_ms.fetch_max(time_ms, Ordering::AcqRel);
    }

    /// How many replicas were within the stated lag when it was last looked at; 0 unless this node leads.
    pub fn in_sync(&self) -> u32 {
        match self.leadership().open {
            true => self.in_sync.load(Ordering::Relaxed),
            false => 0,
        }
    }

    /// Notes how many replicas, the leader among them, are within the stated lag.
    pub fn set_in_sync(&self, replicas: u32) {
        self.in_sync.store(replicas, Ordering::Relaxed);
    }

    /// Proposes a change of what the shard carries, and waits until it is applied here.
    pub async fn change(
        &self,
        body: Body,
        rest: Option<Bytes>,
    ) -> Result<(Index, Outcome), ProposeError> {
        self.change_in(self.leadership().term, body, rest).await
    }

    /// The same for what was decided in a term: it has its effect in that term or not at all.
    pub async fn change_in(
        &self,
        term: u64,
        body: Body,
        rest: Option<Bytes>,
    ) -> Result<(Index, Outcome), ProposeError> {
        let leadership = self.leadership();
        if !leadership.open || leadership.term != term {
            return Err(ProposeError::NotLeader {
                leader: leadership.leader,
            });
        }
        let head = Entry {
            time_ms: self.entry_time_ms(),
            body,
        }
        .encode_head();
        let payload = Payload::new(std::iter::once(head).chain(rest));
        self.raft().propose(term, payload).await?.await
    }

    /// Keeps an item's batches in memory; the last one answers for `held_bytes`.
    pub fn keep_in_tail(
        &self,
        partition: &Partition,
        headers: &[BatchHeader],
        batches: &[Bytes],
        held_bytes: usize,
    ) {
        if !self.live.load(Ordering::Acquire) {
            return;
        }
        let mut tail = self.tail.lock();
        for (number, (header, bytes)) in (1..).zip(headers.iter().zip(batches)) {
            let (base, last) = (header.base_offset, header.last_offset());
            let held_bytes = if number == headers.len() {
                held_bytes
            } else {
                0
            };
            tail.push(partition.handle, base, last, bytes.clone(), held_bytes);
        }
    }

    /// Forgets the batches of a partition that has left.
    pub fn forget_tail(&self, partition: &Partition) {
        self.tail.lock().remove(partition.handle);
    }

    /// A partition's extents took `before` bytes of memory, and take `now`.
    pub fn extents_grew(&self, before: usize, now: usize) {
        if before != now {
            // Wraps, and so does what is taken away.
            self.extent_bytes
                .fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// What the extents of its partitions take.
    pub fn extent_bytes(&self) -> usize {
        self.extent_bytes.load(Ordering::Relaxed)
    }

    /// Memory that is held to know where in the write-ahead log the shard's entries and batches lie.
    pub fn index_bytes(&self) -> usize {
        self.extent_bytes() + self.raft().index_bytes()
    }

    /// Runs `read` with the shard's in-memory tail.
    pub fn with_tail<T>(&self, read: impl FnOnce(&Tail) -> T) -> T {
        read(&self.tail.lock())
    }
}

/// Every partition that this node holds a replica of. While one moves between shards, several of them may carry it.
#[derive(Default)]
pub struct Partitions {
    map: RwLock<HashMap<PartitionId, Replicas>>,
    changed: watch::Sender<u64>,
}

/// One for each shard that carries the partition here; the one that is served is the first.
type Replicas = SmallVec<[Arc<Partition>; 1]>;

impl Partitions {
    /// The replica of the shard that serves the partition, or did so before it moved on.
    pub fn get(&self, id: PartitionId) -> Option<Arc<Partition>> {
        let map = self.map.read();
        let first = map.get(&id)?.first()?;
        (first.stage() != Stage::Arriving).then(|| first.clone())
    }

    /// The replica of a shard.
    pub fn get_in(&self, shard: ShardId, id: PartitionId) -> Option<Arc<Partition>> {
        let map = self.map.read();
        let replicas = map.get(&id)?;
        replicas.iter().find(|one| one.shard.id == shard).cloned()
    }

    /// All replicas of a partition here.
    pub fn replicas(&self, id: PartitionId) -> Vec<Arc<Partition>> {
        let map = self.map.read();
        let replicas = map.get(&id).into_iter().flatten();
        replicas.cloned().collect()
    }

    /// Whether nothing else here is served in this one's place.
    pub fn is_served(&self, partition: &Arc<Partition>) -> bool {
        let served = self.get(partition.id);
        served.is_some_and(|served| Arc::ptr_eq(&served, partition))
    }

    /// Adds the replica of a shard, in the place of an earlier one of that shard.
    pub fn insert(&self, partition: Arc<Partition>) {
        let mut map = self.map.write();
        let replicas = map.entry(partition.id).or_default();
        replicas.retain(|one| one.shard.id != partition.shard.id);
        replicas.push(partition);
        // Leader epochs rise from shard to shard.
        replicas.sort_by_key(|one| {
            std::cmp::Reverse((one.stage() != Stage::Arriving, one.epoch_base()))
        });
    }

    pub fn remove(&self, shard: ShardId, id: PartitionId) -> Option<Arc<Partition>> {
        let mut map = self.map.write();
        let replicas = map.get_mut(&id)?;
        let at = replicas.iter().position(|one| one.shard.id == shard)?;
        let removed = replicas.remove(at);
        if replicas.is_empty() {
            map.remove(&id);
        }
        Some(removed)
    }

    /// Ticks after partitions were attached or detached.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub fn changed(&self) {
        self.changed.send_modify(|ticks| *ticks += 1);
    }

    /// In the order of their ids, so that what is made of them is the same on every run.
    pub fn of_shard(&self, shard: &ShardHost) -> Vec<Arc<Partition>> {
        let map = self.map.read();
        let here = map.values().flatten();
        let here = here.filter(|partition| partition.shard.id == shard.id);
        let mut here: Vec<_> = here.cloned().collect();
        drop(map);
        here.sort_unstable_by_key(|partition| partition.id);
        here
    }
}

/// Sends a batch to a partition's proposer and waits for its outcome. What was decided by state of
/// `term` is appended in that term or not at all.
pub async fn append(
    partition: Arc<Partition>,
    batch: weir_log::ValidBatch,
    term: u64,
) -> super::proposer::PartResult {
    let (reply, outcome) = oneshot::channel();
    let frame_bytes = batch.bytes.capacity();
    let shard = partition.shard.clone();
    let part = super::proposer::Part {
        partition,
        batch,
        ack: super::proposer::Ack::Committed,
    };
    let parts = vec![part];
    shard.submit(Submit {
        parts,
        frame_bytes,
        term: Some(term),
        refusals: Arc::default(),
        reply,
    });
    let mut results = outcome
        .await
        .map_err(|_| super::proposer::AppendError::Unknown)?;
    results.pop().expect("one part, one result")
}
