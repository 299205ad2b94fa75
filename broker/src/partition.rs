//! A partition on this node: its log, and the readers that wait for it to grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use weir_log::{
    BlockReader, PartitionLog, ReadError, ReadPlan, ReadRequest, TimestampHit, TimestampSearch,
};
use weir_raft::{Index, Leadership};

use crate::shard::entry::{PartitionId, Role};
use crate::shard::host::ShardHost;

/// Plans that may be overtaken by a move of the records, for one read: each move takes seconds.
const PLAN_AGAIN: u32 = 3;

/// What a shard does with a partition that it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// It serves it.
    Open = 0,
    /// It has come to its end here, and goes on in another shard.
    Sealed = 1,
    /// It comes from another shard, which serves it.
    Arriving = 2,
}

impl Stage {
    pub fn from_number(number: u8) -> Option<Stage> {
        [Stage::Open, Stage::Sealed, Stage::Arriving]
            .into_iter()
            .find(|stage| *stage as u8 == number)
    }
}

/// One partition's replica on this node. It is idle state only: no task, timer or open file.
pub struct Partition {
    pub id: PartitionId,
    /// Names the partition in its shard's in-memory tail; unique for the life of the process.
    pub handle: u64,
    /// Kafka's leader epoch = this + Raft term. Changed by the shard's apply only.
    epoch_base: AtomicI32,
    pub role: Role,
    /// Which of its stays in the shard this is: the index of the entry with which it came, and 0 where it began here.
    pub stay: Index,
    /// The shard's term in which it began here, and 0 where that is not known any more.
    began_in: u64,
    pub shard: Arc<ShardHost>,
    /// Changed by [`Partition::change`] only; everything in it is committed.
    pub log: RwLock<PartitionLog>,
    /// Changed by the shard's apply only.
    stage: AtomicU8,
    waiters: Mutex<Vec<Arc<Notify>>>,
    /// Its records are other ones than before, though they come to the same,
    replaced: AtomicBool,
    /// and the rows of its table may not be what they come to.
    rows_differ: AtomicBool,
    detached: AtomicBool,
}

impl Partition {
    pub fn new(
        id: PartitionId,
        epoch_base: i32,
        role: Role,
        shard: Arc<ShardHost>,
        log: PartitionLog,
    ) -> Partition {
        let handle = shard.next_handle();
        shard.extents_grew(0, log.extents().heap_bytes());
        Partition {
            id,
            handle,
            epoch_base: AtomicI32::new(epoch_base),
            role,
            stay: 0,
            began_in: 0,
            shard,
            log: RwLock::new(log),
            stage: AtomicU8::new(Stage::Open as u8),
            waiters: Mutex::default(),
            replaced: AtomicBool::new(false),
            rows_differ: AtomicBool::new(false),
            detached: AtomicBool::new(false),
        }
    }

    /// The same in another stay.
    pub fn of_stay(mut self, stay: Index) -> Partition {
        self.stay = stay;
        self
    }

    /// The same, begun in a term.
    pub fn of_term(mut self, term: u64) -> Partition {
        self.began_in = term;
        self
    }

    /// Whether it had leaders before that of the shard's term.
    pub fn had_other_leaders(&self, term: u64) -> bool {
        self.stay != 0 || self.began_in != term
    }

    /// Whether those were all on this node.
    pub fn is_led_here_only(&self) -> bool {
        self.stay == 0 && self.shard.raft().has_one_voter()
    }

    /// The same in another stage.
    pub fn in_stage(self, stage: Stage) -> Partition {
        self.enter(stage);
        self
    }

    pub fn stage(&self) -> Stage {
        let number = self.stage.load(Ordering::Acquire);
        Stage::from_number(number).expect("only stages are stored")
    }

    pub fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    /// It is this far in its stay. That it stays the same one is what those rely on who move its batches meanwhile.
    pub fn enter_with(&self, stage: Stage, epoch_base: i32) {
        self.epoch_base.store(epoch_base, Ordering::Release);
        self.enter(stage);
    }

    pub fn epoch_base(&self) -> i32 {
        self.epoch_base.load(Ordering::Acquire)
    }

    /// Who leads the partition, as this node knows it: the leader of its shard, while that serves it.
    pub fn leadership(&self) -> Leadership {
        let shard = self.shard.leadership();
        match self.stage() {
            Stage::Open => shard,
            Stage::Sealed | Stage::Arriving => Leadership {
                leader: None,
                open: false,
                ..shard
            },
        }
    }

    /// Changes the log, and keeps the shard's account of what its extents take. Its offsets are changed by the
    /// shard's apply only, where its batches lie also by who moves them.
    pub fn change<T>(&self, change: impl FnOnce(&mut PartitionLog) -> T) -> T {
        let mut log = self.log.write();
        let before = log.extents().heap_bytes();
        let changed = change(&mut log);
        self.shard.extents_grew(before, log.extents().heap_bytes());
        changed
    }

    /// One past the last committed record; also the log end, as only committed batches enter the log.
    pub fn high_watermark(&self) -> i64 {
        self.log.read().next_offset()
    }

    pub fn log_start_offset(&self) -> i64 {
        self.log.read().log_start_offset()
    }

    /// Kafka's leader epoch under the shard's current term, as this node knows it.
    pub fn leader_epoch(&self) -> i32 {
        self.epoch_in(self.shard.leadership().term)
    }

    /// Kafka's leader epoch for a Raft term.
    pub fn epoch_in(&self, term: u64) -> i32 {
        let term = i32::try_from(term).expect("a shard has fewer than 2^31 elections");
        self.epoch_base()
            .checked_add(term)
            .expect("leader epochs stay below 2^31")
    }

    /// What a read will return, planned under the log's lock; running the plan takes none.
    pub fn plan_read(&self, request: &ReadRequest) -> Result<ReadPlan, ReadError> {
        let log = self.log.read();
        self.shard
            .with_tail(|tail| ReadPlan::new(&log, tail, self.handle, request))
    }

    /// Plans a read and runs it; blocks where it reads a disk.
    pub fn read(
        &self,
        request: &ReadRequest,
        blocks: &dyn BlockReader,
    ) -> Result<Vec<Bytes>, ReadError> {
        self.run_read(self.plan_read(request)?, request, blocks)
    }

    /// Runs the plan of `request`, or a newer one where what it names was moved or trimmed meanwhile.
    pub fn run_read(
        &self,
        mut plan: ReadPlan,
        request: &ReadRequest,
        blocks: &dyn BlockReader,
    ) -> Result<Vec<Bytes>, ReadError> {
        for _ in 0..PLAN_AGAIN {
            match plan.run(blocks) {
                Err(error) if error.is_gone() => plan = self.plan_read(request)?,
                result => return result,
            }
        }
        plan.run(blocks)
    }

    /// The record that a timestamp search ends at; reads the disk where it has to.
    pub fn search(
        &self,
        mut search: TimestampSearch,
        blocks: &dyn BlockReader,
    ) -> Result<Option<TimestampHit>, ReadError> {
        let mut again = 0;
        loop {
            let next = {
                let log = self.log.read();
                self.shard
                    .with_tail(|tail| search.next(&log, tail, self.handle))?
            };
            match next {
                None => return Ok(search.result()),
                Some(step) => match search.take(step, blocks) {
                    Err(error) if error.is_gone() && again < PLAN_AGAIN => {
                        again += 1;
                        search.again();
                    }
                    taken => taken?,
                },
            }
        }
    }

    /// It is taken out of the shard that served it: its topic is gone. What moves is sealed before.
    pub fn was_detached(&self) {
        self.detached.store(true, Ordering::Release);
    }

    pub fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Acquire)
    }

    /// Its records were replaced by those of a replica that had compacted them further.
    pub fn was_replaced(&self) {
        self.rows_differ.store(true, Ordering::Release);
        self.replaced.store(true, Ordering::Release);
    }

    /// Whether its records were replaced since this was last asked.
    pub fn take_replaced(&self) -> bool {
        self.replaced.swap(false, Ordering::AcqRel)
    }

    /// Whether the rows of its table cannot tell which of its records are the latest.
    pub fn rows_differ(&self) -> bool {
        self.rows_differ.load(Ordering::Acquire)
    }

    /// The rows of its table are what its records come to, but for those that came since.
    pub fn was_folded_again(&self) {
        self.rows_differ.store(false, Ordering::Release);
    }

    /// Registers a reader that is told of every change of the log until `forget`.
    pub fn watch(&self, waiter: &Arc<Notify>) {
        self.waiters.lock().push(waiter.clone());
    }

    pub fn forget(&self, waiter: &Arc<Notify>) {
        let mut waiters = self.waiters.lock();
        waiters.retain(|other| !Arc::ptr_eq(other, waiter));
        if waiters.is_empty() {
            *waiters = Vec::new();
        }
    }

    /// Tells every waiting reader that the log changed: it grew, was trimmed, or is gone.
    pub fn wake(&self) {
        for waiter in self.waiters.lock().iter() {
            waiter.notify_one();
        }
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        let held = self.log.get_mut().extents().heap_bytes();
        self.shard.extents_grew(held, 0);
    }
}
