//! A shard's state machine: what committed entries do to the partitions that it carries.
//!
//! `apply` is the only writer of partition logs, live and at recovery, and reads nothing but the
//! entry and its own state, so every replica decides the same. A mismatch is a rejection of that
//! item; the entry's other items stand.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use weir_log::{BatchHeader, BlockReader, Extent, Misfit, PartitionLog, Pos, ReadRequest};
use weir_raft::{Committed, Index, Outcome, StateMachine};

use super::arrivals::{Arrivals, Arrived};
use super::entry::{
    AppendItem, ArriveItem, AttachItem, Body, Entry, HEADER_LEN, OpenItem, PartitionId, Role,
    TrimItem,
};
use super::host::{Partitions, ShardHost};
use super::snapshot::{self, RestoredPartition};
use crate::meta::MetaFold;
use crate::partition::{Partition, Stage};

/// State folded from a partition's records as they are applied, on every replica.
pub trait Fold: Send + Sync {
    /// One committed batch of a partition, in offset order.
    fn apply(&self, partition: PartitionId, header: &BatchHeader, batch: &Bytes, time_ms: i64);
    /// The partition left this node: its folded state goes.
    fn detach(&self, partition: PartitionId);
}

/// Who folds what, by the partition's role.
#[derive(Clone)]
pub struct Folds {
    pub offsets: Option<Arc<dyn Fold>>,
    pub schemas: Option<Arc<dyn Fold>>,
    /// Only the metadata shard has one.
    pub metadata: Option<MetaFold>,
}

impl Folds {
    fn of(&self, role: Role) -> Option<&dyn Fold> {
        match role {
            Role::Data => None,
            Role::Offsets => self.offsets.as_deref(),
            Role::Schemas => self.schemas.as_deref(),
        }
    }
}

/// The `epoch_base` of what arrives: no batch gets an epoch of it.
const ARRIVING: i32 = -1;

/// Bytes that are read at a time where a partition is folded again.
const FOLD_AGAIN_BYTES: usize = 1 << 20;

pub struct Machine {
    shard: Arc<ShardHost>,
    partitions: Arc<Partitions>,
    folds: Folds,
    /// Reads records back where a restored partition is folded again.
    blocks: Arc<dyn BlockReader + Send + Sync>,
    /// What was brought here for snapshots of peers.
    arrivals: Arc<Arrivals>,
    /// The greatest time of any entry so far; expiry goes by it.
    time_ms: i64,
    /// Partitions whose readers are woken after this run of applies.
    touched: Vec<Arc<Partition>>,
    membership_changed: bool,
}

impl Machine {
    pub fn new(
        shard: Arc<ShardHost>,
        partitions: Arc<Partitions>,
        folds: Folds,
        blocks: Arc<dyn BlockReader + Send + Sync>,
        arrivals: Arc<Arrivals>,
    ) -> Machine {
        Machine {
            shard,
            partitions,
            folds,
            blocks,
            arrivals,
            time_ms: 0,
            touched: Vec::new(),
            membership_changed: false,
        }
    }

    /// Appends what was proposed to partitions that are open, or what is carried to those that arrive.
    fn append(
        &mut self,
        committed: &Committed,
        items: &[AppendItem],
        head_len: usize,
        stage: Stage,
    ) -> Outcome {
        let mut start = head_len;
        let mut rejected = Vec::new();
        // Memory that batches from here back to the last one that was kept share with it.
        let mut held_bytes = 0;
        // The leader's own payload has a piece per item: no search for each.
        let pieces = committed.payload.pieces();
        let pieces = if pieces.len() == items.len() + 1 {
            &pieces[1..]
        } else {
            &[]
        };
        for (index, item) in items.iter().enumerate() {
            let range = start..start + item.len as usize;
            if range.end > committed.payload.len() {
                return Outcome::Rejected("the entry is shorter than its items".into());
            }
            let offset = u32::try_from(range.start).expect("an entry is smaller than 4 GiB");
            let pos = Pos {
                file: committed.pos.file,
                offset: committed.pos.offset + offset,
            };
            start = range.end;
            let piece = pieces
                .get(index)
                .filter(|piece| piece.bytes.len() == range.len());
            let bytes = match piece {
                Some(piece) => piece.bytes.clone(),
                None => committed.payload.slice(range),
            };
            held_bytes += match piece {
                Some(piece) => piece.held_bytes,
                // All items share the bytes of the entry.
                None if index + 1 == items.len() => committed.payload.len(),
                None => 0,
            };
            if let Err(reason) = self.append_item(item, stage, bytes, pos, &mut held_bytes) {
                tracing::debug!(
                    shard = self.shard.id.0,
                    index = committed.index,
                    reason,
                    "append rejected"
                );
                rejected.push(u32::try_from(index).expect("items fit a u32"));
            }
        }
        outcome(rejected)
    }

    /// Appends one partition's batches to its log; all or none. What they hold in memory goes into the tail's account.
    fn append_item(
        &mut self,
        item: &AppendItem,
        stage: Stage,
        bytes: Bytes,
        pos: Pos,
        held_bytes: &mut usize,
    ) -> Result<(), String> {
        let partition = self
            .find(item.partition)
            .ok_or("the partition is not attached")?;
        if partition.stage() != stage {
            return Err(format!("the partition is {:?}", partition.stage()));
        }
        let mut headers = SmallVec::<[BatchHeader; 1]>::new();
        let mut batches = SmallVec::<[Bytes; 1]>::new();
        for batch in weir_log::batches(&bytes) {
            let (header, range) = batch.map_err(|error| error.to_string())?;
            headers.push(header);
            batches.push(bytes.slice(range));
        }
        let extent = Extent::of(&headers, pos).ok_or("the item has no batches")?;
        let appended = partition.change(|log| {
            match stage {
                Stage::Arriving => log.carry(&headers, &extent)?,
                Stage::Open | Stage::Sealed => log.append(&headers, &extent, self.time_ms)?,
            }
            // While the log is held, so that no reader finds a batch in neither.
            let held_bytes = std::mem::take(held_bytes);
            self.shard
                .keep_in_tail(&partition, &headers, &batches, held_bytes);
            Ok(())
        });
        appended.map_err(|misfit: Misfit| misfit.to_string())?;
        self.fold(&partition, &headers, &batches);
        self.touched.push(partition);
        Ok(())
    }

    /// This shard's replica of a partition.
    fn find(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.partitions.get_in(self.shard.id, id)
    }

    fn fold(&self, partition: &Arc<Partition>, headers: &[BatchHeader], batches: &[Bytes]) {
        let Some(fold) = self.folds.of(partition.role) else {
            return;
        };
        // Of what arrives all is folded in the end, and what moved on is folded elsewhere.
        if !self.partitions.is_served(partition) {
            return;
        }
        for (header, batch) in headers.iter().zip(batches) {
            fold.apply(partition.id, header, batch, self.time_ms);
        }
    }

    /// Folds all records of a partition whose log was restored, where it is the one that is served. Blocks.
    fn fold_again(&self, partition: &Arc<Partition>) -> Result<(), String> {
        let Some(fold) = self.folds.of(partition.role) else {
            return Ok(());
        };
        if !self.partitions.is_served(partition) {
            return Ok(());
        }
        fold.detach(partition.id);
        let upper = partition.high_watermark();
        let mut from = partition.log_start_offset();
        while from < upper {
            let request = ReadRequest {
                from,
                upper,
                max_bytes: FOLD_AGAIN_BYTES,
                at_least_one: true,
            };
            let read = partition.read(&request, &*self.blocks);
            for bytes in read.map_err(|error| error.to_string())? {
                for batch in weir_log::batches(&bytes) {
                    let (header, range) = batch.map_err(|error| error.to_string())?;
                    fold.apply(partition.id, &header, &bytes.slice(range), self.time_ms);
                    from = header.last_offset() + 1;
                }
            }
        }
        Ok(())
    }

    fn attach(&mut self, items: Vec<AttachItem>, term: u64) {
        for item in items {
            if self.find(item.partition).is_none() {
                let log = PartitionLog::new();
                let (id, base) = (item.partition, item.epoch_base);
                let partition = Partition::new(id, base, item.role, self.shard.clone(), log);
                self.partitions.insert(Arc::new(partition.of_term(term)));
            }
        }
        self.membership_changed = true;
    }

    fn detach(&mut self, ids: Vec<PartitionId>) {
        for id in ids {
            let Some(partition) = self.find(id) else {
                continue;
            };
            if partition.stage() == Stage::Open {
                partition.was_detached();
            }
            let was_served = self.partitions.is_served(&partition);
            self.partitions.remove(self.shard.id, id);
            if let Some(fold) = self.folds.of(partition.role)
                && was_served
            {
                fold.detach(id);
            }
            self.shard.forget_tail(&partition);
            self.touched.push(partition);
        }
        self.membership_changed = true;
    }

    fn trim(&mut self, items: Vec<TrimItem>) -> Outcome {
        let mut rejected = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let partition = self.find(item.partition);
            let Some(partition) = partition.filter(|found| found.stage() == Stage::Open) else {
                rejected.push(u32::try_from(index).expect("items fit a u32"));
                continue;
            };
            partition.change(|log| log.trim(item.start));
            self.touched.push(partition);
        }
        outcome(rejected)
    }

    /// Makes the partitions those of a snapshot that was made here.
    fn restore_partitions(&mut self, stored: Vec<RestoredPartition>) -> Result<(), String> {
        let here = self.partitions.of_shard(&self.shard);
        self.detach(here.iter().map(|partition| partition.id).collect());
        for item in stored {
            let (id, base) = (item.id, item.epoch_base);
            let partition = Partition::new(id, base, item.role, self.shard.clone(), item.log);
            let partition = Arc::new(partition.in_stage(item.stage).of_stay(item.stay));
            self.partitions.insert(partition.clone());
            self.fold_again(&partition)?;
        }
        Ok(())
    }

    /// Makes the partitions those of a peer's snapshot, whose records lie where `arrived` says. A partition that is here
    /// stays the same for those who wait for it.
    fn take_over(
        &mut self,
        theirs: Vec<RestoredPartition>,
        mut arrived: Arrived,
    ) -> Result<(), String> {
        let here = self.partitions.of_shard(&self.shard);
        let gone = here.iter().map(|partition| partition.id);
        let gone = gone.filter(|id| theirs.iter().all(|item| item.id != *id));
        self.detach(gone.collect());
        for item in theirs {
            let id = item.id;
            let partition = self.taken_over(&item);
            let brought = arrived.partitions.remove(&id).unwrap_or_default();
            let adopted = partition.change(|log| {
                *log = PartitionLog::new();
                log.adopt(&item.log, &brought.segments)
            });
            if !adopted {
                let (topic, index) = (id.topic, id.index);
                return Err(format!("what was brought of {topic}-{index} has a hole"));
            }
            self.shard.forget_tail(&partition);
            if brought.whole {
                partition.was_replaced();
            }
            self.fold_again(&partition)?;
            self.touched.push(partition);
        }
        Ok(())
    }

    /// The partition that becomes one of a peer's snapshot.
    fn taken_over(&mut self, item: &RestoredPartition) -> Arc<Partition> {
        let here = self.find(item.id).filter(|here| here.stay == item.stay);
        let partition = here.unwrap_or_else(|| {
            self.detach(vec![item.id]);
            let (id, base) = (item.id, item.epoch_base);
            let log = PartitionLog::new();
            let new = Partition::new(id, base, item.role, self.shard.clone(), log);
            Arc::new(new.of_stay(item.stay))
        });
        partition.enter_with(item.stage, item.epoch_base);
        // The stage says which one is served.
        self.partitions.insert(partition.clone());
        partition
    }

    /// Partitions of other shards begin to arrive here, with the entry that has the index `stay`.
    fn arrive(&mut self, items: Vec<ArriveItem>, stay: Index) -> Outcome {
        let mut rejected = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            if self.find(item.partition).is_some() {
                rejected.push(u32::try_from(index).expect("items fit a u32"));
                continue;
            }
            let log = PartitionLog::starting_at(item.start);
            let shard = self.shard.clone();
            let partition = Partition::new(item.partition, ARRIVING, item.role, shard, log);
            let partition = partition.in_stage(Stage::Arriving).of_stay(stay);
            self.partitions.insert(Arc::new(partition));
        }
        self.membership_changed = true;
        outcome(rejected)
    }

    /// Partitions come to their end here. Says it of those that already have as well.
    fn seal(&mut self, ids: Vec<PartitionId>) -> Outcome {
        let mut rejected = Vec::new();
        for (index, id) in ids.into_iter().enumerate() {
            let partition = self.find(id);
            match partition.filter(|found| found.stage() != Stage::Arriving) {
                Some(partition) => {
                    partition.enter(Stage::Sealed);
                    self.touched.push(partition);
                }
                None => rejected.push(u32::try_from(index).expect("items fit a u32")),
            }
        }
        self.membership_changed = true;
        outcome(rejected)
    }

    /// A partition of which everything has come is served here from now on.
    fn open(&mut self, item: &OpenItem, mut theirs: &[u8]) -> Outcome {
        let here = self.find(item.partition);
        let Some(here) = here.filter(|here| here.stage() == Stage::Arriving) else {
            return Outcome::Rejected("the partition does not arrive here".into());
        };
        let theirs = match weir_log::format::decode(&mut theirs) {
            Ok(theirs) => theirs,
            Err(error) => return Outcome::Rejected(error.to_string().into()),
        };
        if !here.change(|log| log.take_over(&theirs)) {
            return Outcome::Rejected("the partition has not arrived as a whole".into());
        }
        self.shard.forget_tail(&here);
        let before = self.partitions.get(item.partition);
        here.enter_with(Stage::Open, item.epoch_base);
        self.partitions.insert(here.clone());
        self.fold_again(&here)
            .expect("what was applied here can be read here");
        // Who waits for the one that was served finds that it is not any more.
        self.touched.extend(before);
        self.touched.push(here);
        self.membership_changed = true;
        Outcome::Applied
    }

    fn command(&mut self, committed: &Committed) -> Outcome {
        let Some(metadata) = &self.folds.metadata else {
            return Outcome::Rejected("a metadata command in a data shard".into());
        };
        let command = committed.payload.slice(HEADER_LEN..committed.payload.len());
        match metadata.apply(&command) {
            Ok(()) => Outcome::Applied,
            Err(reason) => Outcome::Rejected(reason.into()),
        }
    }
}

/// Of an entry some items of which were rejected.
fn outcome(rejected: Vec<u32>) -> Outcome {
    match rejected.is_empty() {
        true => Outcome::Applied,
        false => Outcome::Partly(rejected.into()),
    }
}

impl StateMachine for Machine {
    fn apply(&mut self, committed: &Committed) -> Outcome {
        // The head is within the first piece: it is encoded as one, and a payload that was read
        // back from the WAL or came from a peer is one piece.
        let first = committed
            .payload
            .pieces()
            .first()
            .map_or(&[][..], |piece| &piece.bytes[..]);
        let entry = match Entry::decode(first) {
            Ok(entry) => entry,
            Err(error) => return Outcome::Rejected(error.to_string().into()),
        };
        self.time_ms = self.time_ms.max(entry.time_ms);
        self.shard.saw_time(self.time_ms);
        let head_len = entry.head_len();
        match entry.body {
            Body::Append(items) => self.append(committed, &items, head_len, Stage::Open),
            Body::Carry(items) => self.append(committed, &items, head_len, Stage::Arriving),
            Body::Arrive(items) => self.arrive(items, committed.index),
            Body::Seal(ids) => self.seal(ids),
            Body::Open(item) => {
                let theirs = committed.payload.slice(head_len..committed.payload.len());
                self.open(&item, &theirs)
            }
            Body::Trim(items) => self.trim(items),
            Body::Metadata => self.command(committed),
            Body::Attach(items) => {
                self.attach(items, committed.term);
                Outcome::Applied
            }
            Body::Detach(ids) => {
                self.detach(ids);
                Outcome::Applied
            }
        }
    }

    fn applied(&mut self, _last: Index) {
        for partition in self.touched.drain(..) {
            partition.wake();
        }
        if std::mem::take(&mut self.membership_changed) {
            self.partitions.changed();
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        let partitions = self.partitions.of_shard(&self.shard);
        snapshot::encode(self.time_ms, &partitions, self.folds.metadata.as_ref())
    }

    /// Folds of records (offsets, schemas) are not in a snapshot: they are folded again from their
    /// partitions' records, which compaction keeps the last of.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (arrived, bytes) = self.arrivals.take(bytes)?;
        let restored = snapshot::decode(bytes)?;
        self.time_ms = restored.time_ms;
        self.shard.saw_time(restored.time_ms);
        match arrived {
            None => self.restore_partitions(restored.partitions)?,
            Some(arrived) => self.take_over(restored.partitions, arrived)?,
        }
        if let Some(metadata) = &self.folds.metadata {
            metadata.restore(&restored.metadata)?;
        }
        self.membership_changed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
