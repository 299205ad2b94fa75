//! One partition's log: what is committed, where it lies, and who wrote it.
//!
//! Only committed batches enter, so the end of the log is the high watermark. An idle partition is this
//! struct alone, without anything on the heap.

use crate::batch::{BatchHeader, LeaderEpoch, Offset};
use crate::epochs::{EpochEnd, Epochs};
use crate::extent::{Extent, Extents};
use crate::planted::{self, Bug};
use crate::producer::{ProducerCheck, ProducerError, ProducerState, Producers};
use crate::segment::{Segment, Segments};
use smallvec::SmallVec;

/// See the module's description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionLog {
    // Invariant: log_start_offset <= next_offset; segments come before extents, without a hole; the last
    // of them ends at next_offset, and the first one reaches log_start_offset.
    log_start_offset: Offset,
    next_offset: Offset,
    epochs: Epochs,
    producers: Producers,
    segments: Segments,
    extents: Extents,
}

// 100,000 idle partitions have to fit a node.
const _: () = assert!(size_of::<PartitionLog>() <= 128);

/// Why batches do not continue a partition's log. The same on every replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("no batches to append")]
    Empty,
    #[error("batch starts at offset {found} where {expected} comes next")]
    BaseOffset { expected: Offset, found: Offset },
    #[error("batch claims {records_count} records up to offset delta {last_offset_delta}")]
    Count {
        records_count: i32,
        last_offset_delta: i32,
    },
    #[error("batch has leader epoch {found}, {latest} has written already")]
    LeaderEpoch {
        latest: LeaderEpoch,
        found: LeaderEpoch,
    },
    #[error("batch of producer {producer_id} is there already, at offset {base_offset}")]
    Duplicate {
        producer_id: i64,
        base_offset: Offset,
    },
    #[error(transparent)]
    Producer(#[from] ProducerError),
}

impl PartitionLog {
    pub fn new() -> PartitionLog {
        PartitionLog::default()
    }

    /// An empty log whose first record gets `offset`.
    pub fn starting_at(offset: Offset) -> PartitionLog {
        PartitionLog {
            log_start_offset: offset,
            next_offset: offset,
            ..PartitionLog::default()
        }
    }

    /// Lowest offset that may be read; may lie inside a batch.
    pub fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    /// The offset that the next record gets: log end and high watermark, exclusive.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    pub fn high_watermark(&self) -> Offset {
        self.next_offset
    }

    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// What lies in segment files; older than all extents.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// What lies in the write-ahead log.
    pub fn extents(&self) -> &Extents {
        &self.extents
    }

    /// Bytes of the batches that are kept.
    pub fn retained_bytes(&self) -> u64 {
        self.segments.bytes() + self.extents.bytes()
    }

    /// Whether these batches, in this order, continue the log. Changes nothing.
    ///
    /// An entry that carries several partitions is verified for all of them before any is appended.
    pub fn verify(&self, batches: &[BatchHeader]) -> Result<(), Misfit> {
        let mut overlay = SmallVec::<[(i64, ProducerState); 1]>::new();
        self.verify_order(batches, |batch| match batch.has_producer_id() {
            true => self.verify_producer(batch, &mut overlay),
            false => Ok(()),
        })
    }

    /// Whether offsets and epochs go on where the log ends, and `also` has nothing against any batch.
    fn verify_order(
        &self,
        batches: &[BatchHeader],
        mut also: impl FnMut(&BatchHeader) -> Result<(), Misfit>,
    ) -> Result<(), Misfit> {
        if batches.is_empty() {
            return Err(Misfit::Empty);
        }
        let mut expected = self.next_offset;
        let mut latest = self.epochs.latest();
        for batch in batches {
            let (found, epoch) = (batch.base_offset, batch.partition_leader_epoch);
            if found != expected {
                return Err(Misfit::BaseOffset { expected, found });
            }
            // Also keeps `last_offset` from running over.
            if batch.last_offset_delta < 0 || batch.last_offset() == Offset::MAX {
                return Err(Misfit::Count {
                    records_count: batch.records_count,
                    last_offset_delta: batch.last_offset_delta,
                });
            }
            if let Some(latest) = latest.filter(|latest| epoch < *latest) {
                let found = epoch;
                return Err(Misfit::LeaderEpoch { latest, found });
            }
            also(batch)?;
            expected = batch.last_offset() + 1;
            latest = Some(epoch);
        }
        Ok(())
    }

    fn verify_producer(
        &self,
        batch: &BatchHeader,
        overlay: &mut SmallVec<[(i64, ProducerState); 1]>,
    ) -> Result<(), Misfit> {
        let producer_id = batch.producer_id;
        let at = match overlay.iter().position(|(id, _)| *id == producer_id) {
            Some(at) => at,
            None => {
                overlay.push((producer_id, self.producers.overlay(producer_id)));
                overlay.len() - 1
            }
        };
        let state = &mut overlay[at].1;
        match state.check(batch)? {
            ProducerCheck::Append => {
                state.record(batch, batch.base_offset);
                Ok(())
            }
            ProducerCheck::Duplicate { base_offset, .. } => Err(Misfit::Duplicate {
                producer_id,
                base_offset,
            }),
        }
    }

    /// Appends committed batches that lie in `extent`, or changes nothing and says why.
    ///
    /// `append_time_ms` comes with the entry; producer expiry counts from it. Panics when `extent` is
    /// not that of `batches` (see [`Extent::of`]).
    pub fn append(
        &mut self,
        batches: &[BatchHeader],
        extent: &Extent,
        append_time_ms: i64,
    ) -> Result<(), Misfit> {
        self.verify(batches)?;
        for batch in batches {
            if planted::has(Bug::ProducersOfOneLeader)
                && self.epochs.latest() != Some(batch.partition_leader_epoch)
            {
                self.producers = Producers::default();
            }
            self.epochs
                .note(batch.partition_leader_epoch, batch.base_offset);
            self.producers
                .record(batch, batch.base_offset, append_time_ms);
        }
        self.place(batches, extent);
        Ok(())
    }

    fn place(&mut self, batches: &[BatchHeader], extent: &Extent) {
        assert_eq!(
            Extent::of(batches, extent.pos).as_ref(),
            Some(extent),
            "the extent is that of its batches"
        );
        self.extents.push(extent);
        self.next_offset = extent.last_offset + 1;
    }

    /// Appends batches that another replica holds, which decided all about them when they were written. Who wrote them
    /// is told by [`PartitionLog::take_over`] in the end.
    ///
    /// Panics when `extent` is not that of `batches` (see [`Extent::of`]).
    pub fn carry(&mut self, batches: &[BatchHeader], extent: &Extent) -> Result<(), Misfit> {
        self.verify_order(batches, |_| Ok(()))?;
        for batch in batches {
            self.epochs
                .note(batch.partition_leader_epoch, batch.base_offset);
        }
        self.place(batches, extent);
        Ok(())
    }

    /// All of the log but where its batches lie.
    pub fn without_batches(&self) -> PartitionLog {
        PartitionLog {
            segments: Segments::default(),
            extents: Extents::default(),
            ..self.clone()
        }
    }

    /// Makes the log, whose batches were carried here, the one that they come from: `theirs` is that one at its end.
    ///
    /// Changes nothing and answers `false` where batches are missing.
    pub fn take_over(&mut self, theirs: &PartitionLog) -> bool {
        let is_empty = theirs.log_start_offset == theirs.next_offset;
        if is_empty {
            *self = theirs.without_batches();
            return true;
        }
        if self.next_offset != theirs.next_offset || self.log_start_offset > theirs.log_start_offset
        {
            return false;
        }
        self.trim(theirs.log_start_offset);
        self.epochs = theirs.epochs.clone();
        self.producers = theirs.producers.clone();
        true
    }

    /// Moves log start up to `new_start` (never down, never past the end) and forgets what lies below.
    pub fn trim(&mut self, new_start: Offset) {
        let new_start = new_start.min(self.next_offset);
        if new_start <= self.log_start_offset {
            return;
        }
        self.log_start_offset = new_start;
        self.segments.drop_below(new_start);
        self.extents.drop_below(new_start);
        self.epochs.trim(new_start);
    }

    /// The end, exclusive, of what lies in files of the write-ahead log up to `file`; `None` where nothing does.
    pub fn end_in_wal(&self, file: u64) -> Option<Offset> {
        let in_wal = self.extents.iter();
        let last = in_wal.take_while(|extent| extent.pos.file <= file).last()?;
        Some(last.last_offset + 1)
    }

    /// Has a segment take the place of the extents that hold the same batches: those below its end.
    ///
    /// A segment is not taken when it lies below log start by now, or its batches in segments, as after
    /// [`PartitionLog::adopt`]; says whether it was.
    ///
    /// # Panics
    /// When an extent lies across the segment's end, or one that it does not hold lies before it.
    pub fn move_to(&mut self, segment: Segment) -> bool {
        let stored = self.segments.as_slice().last();
        let is_stored = stored.is_some_and(|stored| stored.last_offset >= segment.base_offset);
        if segment.last_offset < self.log_start_offset || is_stored {
            return false;
        }
        let first = self.extents.iter().next();
        let first = first.map_or(self.next_offset, |extent| extent.base_offset);
        assert!(
            segment.base_offset <= first.max(self.log_start_offset),
            "the segment starts with the first extent, or reaches log start"
        );
        self.extents.drop_below(segment.last_offset + 1);
        let next = self.extents.iter().next().map(|extent| extent.base_offset);
        let follows = next.unwrap_or(self.next_offset);
        assert_eq!(
            follows,
            segment.last_offset + 1,
            "the segment ends where an extent does"
        );
        self.segments.push(segment);
        true
    }

    /// Takes over a peer's log as it stood at its end, but for where its batches lie. `brought` are segments of this
    /// replica with the batches up to that end, and what it has in segments of its own before them stays.
    ///
    /// Changes nothing and answers `false` when that leaves a hole.
    pub fn adopt(&mut self, theirs: &PartitionLog, brought: &[Segment]) -> bool {
        let begin = brought
            .first()
            .map_or(theirs.next_offset, |first| first.base_offset);
        let is_kept = |segment: &&Segment| {
            segment.last_offset < begin && segment.last_offset >= theirs.log_start_offset
        };
        let kept = self.segments.iter().filter(is_kept).chain(brought);
        let Some(segments) = Segments::restore(kept.copied().collect()) else {
            return false;
        };
        let adopted = PartitionLog::restore(
            theirs.log_start_offset,
            theirs.next_offset,
            theirs.epochs.clone(),
            theirs.producers.clone(),
            segments,
            Extents::default(),
        );
        match adopted {
            Some(adopted) => {
                *self = adopted;
                true
            }
            None => false,
        }
    }

    /// Has segments that were rewritten take the place of those that they were made of; says whether they did.
    ///
    /// They do not when the old ones are gone, as by a restore. Panics when the offsets differ.
    pub fn replace(&mut self, old: &[Segment], new: &[Segment]) -> bool {
        self.segments.replace(old, new, self.log_start_offset)
    }

    /// Forgets producers without an append for `expiration_ms`; returns how many.
    pub fn expire_producers(&mut self, now_ms: i64, expiration_ms: i64) -> usize {
        self.producers.expire(now_ms, expiration_ms)
    }

    /// Where `epoch` ends, among the epochs that have records here; `None` for one above them all.
    ///
    /// A leader asks [`PartitionLog::end_offset_as_leader`], for its own epoch may have no records yet.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.epochs.end_of(epoch, self.next_offset)
    }

    /// What a leader of epoch `leader_epoch` answers to OffsetForLeaderEpoch.
    pub fn end_offset_as_leader(
        &self,
        epoch: LeaderEpoch,
        leader_epoch: LeaderEpoch,
    ) -> Option<EpochEnd> {
        let end_offset = self.next_offset;
        if epoch > leader_epoch {
            return None;
        }
        if epoch == leader_epoch {
            return Some(EpochEnd { epoch, end_offset });
        }
        // An epoch between the last one with records and ours ends where ours starts: at the end.
        self.end_offset_for_epoch(epoch).or(Some(EpochEnd {
            epoch: self.epochs.latest().unwrap_or(epoch),
            end_offset,
        }))
    }

    /// The log start that retention asks for: whole segments and extents go, oldest first.
    ///
    /// One goes when all its timestamps are older than `retention_ms`, or when what is left still holds
    /// `retention_bytes`. Those without timestamps are kept by time. `None` is no bound.
    pub fn retention_start(
        &self,
        now_ms: i64,
        retention_ms: Option<i64>,
        retention_bytes: Option<u64>,
    ) -> Offset {
        let mut start = self.log_start_offset;
        let mut left = self.retained_bytes();
        let segments = self.segments.iter();
        let segments = segments.map(|part| (part.bytes, part.max_timestamp, part.last_offset));
        let extents = self.extents.iter();
        let extents =
            extents.map(|part| (u64::from(part.len), part.max_timestamp, part.last_offset));
        for (bytes, max_timestamp, last_offset) in segments.chain(extents) {
            let rest = left - bytes;
            let expired = retention_ms.is_some_and(|keep| {
                max_timestamp >= 0 && now_ms.saturating_sub(max_timestamp) > keep
            });
            let spare = retention_bytes.is_some_and(|keep| rest >= keep);
            if !expired && !spare {
                break;
            }
            left = rest;
            start = last_offset + 1;
        }
        start
    }

    /// Memory held beside the struct itself.
    pub fn heap_bytes(&self) -> usize {
        let places = self.segments.heap_bytes() + self.extents.heap_bytes();
        places + self.epochs.heap_bytes() + self.producers.heap_bytes()
    }

    /// Puts stored parts together; `None` when they contradict each other.
    pub(crate) fn restore(
        log_start_offset: Offset,
        next_offset: Offset,
        epochs: Epochs,
        producers: Producers,
        segments: Segments,
        extents: Extents,
    ) -> Option<PartitionLog> {
        let latest = epochs.iter().last();
        if latest.is_some_and(|latest| latest.start_offset > next_offset) {
            return None;
        }
        let log = PartitionLog {
            log_start_offset,
            next_offset,
            epochs,
            producers,
            segments,
            extents,
        };
        log.validate().then_some(log)
    }

    /// Whether the struct's invariant holds.
    pub(crate) fn validate(&self) -> bool {
        let segments = self.segments.iter();
        let ranges = segments.map(|part| (part.base_offset, part.last_offset));
        let extents = self.extents.iter();
        let ranges = ranges.chain(extents.map(|part| (part.base_offset, part.last_offset)));
        let ranges: SmallVec<[_; 4]> = ranges.collect();
        let first_reaches_start = ranges
            .first()
            .is_none_or(|(_, last)| *last >= self.log_start_offset);
        let last_ends_the_log = ranges
            .last()
            .is_none_or(|(_, last)| *last + 1 == self.next_offset);
        let no_hole = ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0);
        let within = self.log_start_offset <= self.next_offset;
        within && first_reaches_start && last_ends_the_log && no_hole
    }
}

#[cfg(test)]
mod tests;
