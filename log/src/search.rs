//! Finds a record by its time. Source: ListOffsets; KIP-734 for the highest timestamp.
//!
//! A search goes in rounds: under the partition's lock it names the next extent or segment that may hold
//! the record, without any lock the caller has the search read and scan it.

use crate::batch::{BatchError, BatchHeader, LeaderEpoch, Offset, TimestampType, batches};
use crate::extent::{Extent, Pos};
use crate::partition::PartitionLog;
use crate::read::{BlockReader, ReadError, ReadPlan, ReadRequest, read_blocks};
use crate::records::BatchRecords;
use crate::segment::{Block, Segment};
use crate::tail::Tail;
use bytes::Bytes;
use std::ops::Range;

/// The record that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampHit {
    pub offset: Offset,
    pub timestamp: i64,
    pub leader_epoch: LeaderEpoch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The first record with at least this timestamp.
    AtLeast(i64),
    /// The first record with the highest timestamp.
    Highest,
}

/// What a search looks at next.
#[derive(Debug)]
pub enum SearchStep {
    Extent(ReadPlan),
    Segment(Segment),
}

/// A part of the log that may hold the record.
#[derive(Clone, Copy)]
enum Candidate {
    Extent(Extent),
    Segment(Segment),
}

/// Where a part lies: its offsets do not name it, since segments are rewritten into larger ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Wal(Pos),
    Segment { file: u64, at: u64 },
}

impl Candidate {
    fn place(&self) -> Place {
        match self {
            Candidate::Extent(extent) => Place::Wal(extent.pos),
            Candidate::Segment(Segment { file, at, .. }) => Place::Segment {
                file: *file,
                at: *at,
            },
        }
    }

    fn range(&self) -> (Offset, Offset) {
        match self {
            Candidate::Extent(extent) => (extent.base_offset, extent.last_offset),
            Candidate::Segment(segment) => (segment.base_offset, segment.last_offset),
        }
    }

    fn max_timestamp(&self) -> i64 {
        match self {
            Candidate::Extent(extent) => extent.max_timestamp,
            Candidate::Segment(segment) => segment.max_timestamp,
        }
    }
}

/// One search through a partition, see the module's description.
#[derive(Debug)]
pub struct TimestampSearch {
    wanted: Wanted,
    /// Exclusive: records from here on do not count.
    upper: Offset,
    max_decompressed_bytes: usize,
    best: Option<TimestampHit>,
    /// The extents and segments that were looked at.
    scanned: Vec<Place>,
    scanning: Range<Offset>,
}

impl TimestampSearch {
    /// For the first record below `upper` with a timestamp of at least `timestamp`.
    pub fn at_least(timestamp: i64, upper: Offset, max_decompressed_bytes: usize) -> Self {
        Self::new(Wanted::AtLeast(timestamp), upper, max_decompressed_bytes)
    }

    /// For the first record with the highest timestamp below `upper`.
    pub fn highest(upper: Offset, max_decompressed_bytes: usize) -> Self {
        Self::new(Wanted::Highest, upper, max_decompressed_bytes)
    }

    fn new(wanted: Wanted, upper: Offset, max_decompressed_bytes: usize) -> Self {
        TimestampSearch {
            wanted,
            upper,
            max_decompressed_bytes,
            best: None,
            scanned: Vec::new(),
            scanning: 0..0,
        }
    }

    /// What to [`TimestampSearch::take`] next; `None` when [`TimestampSearch::result`] stands.
    pub fn next(
        &mut self,
        log: &PartitionLog,
        tail: &Tail,
        partition: u64,
    ) -> Result<Option<SearchStep>, ReadError> {
        let Some(candidate) = self.candidate(log) else {
            return Ok(None);
        };
        let (base_offset, last_offset) = candidate.range();
        self.scanned.push(candidate.place());
        let from = base_offset.max(log.log_start_offset());
        let upper = self.upper.min(last_offset + 1);
        self.scanning = from..upper;
        if let Candidate::Segment(segment) = candidate {
            return Ok(Some(SearchStep::Segment(segment)));
        }
        let request = ReadRequest {
            from,
            upper,
            max_bytes: usize::MAX,
            at_least_one: true,
        };
        let plan = ReadPlan::new(log, tail, partition, &request)?;
        Ok(Some(SearchStep::Extent(plan)))
    }

    /// Reads what the last step names and looks through it. Blocks.
    pub fn take(&mut self, step: SearchStep, reader: &dyn BlockReader) -> Result<(), ReadError> {
        match step {
            SearchStep::Extent(plan) => self.scan(&plan.run(reader)?),
            SearchStep::Segment(segment) => self.scan_segment(&segment, reader),
        }
    }

    /// Starts over: what the last step named has gone, and another part of the log holds it now.
    pub fn again(&mut self) {
        self.best = None;
        self.scanned.clear();
        self.scanning = 0..0;
    }

    /// Looks through the blocks that may hold the record, the most promising first.
    fn scan_segment(
        &mut self,
        segment: &Segment,
        reader: &dyn BlockReader,
    ) -> Result<(), ReadError> {
        let index = reader.index(segment)?;
        let reaching = index.starting_with(self.scanning.start).iter();
        let mut blocks: Vec<&Block> = reaching
            .filter(|block| block.base_offset < self.scanning.end)
            .collect();
        if self.wanted == Wanted::Highest {
            blocks.sort_by_key(|block| std::cmp::Reverse(block.max_timestamp));
        }
        for block in blocks {
            if self.is_better(block.max_timestamp, block.base_offset) {
                self.scan(&read_blocks(segment.file, &[*block], reader)?)?;
            }
        }
        Ok(())
    }

    /// Looks through batches that were read.
    fn scan(&mut self, runs: &[Bytes]) -> Result<(), ReadError> {
        for run in runs {
            for found in batches(run) {
                let (header, range) = found.map_err(|source| ReadError::Records {
                    base_offset: self.scanning.start,
                    source,
                })?;
                if !self.is_better(header.max_timestamp, header.base_offset) {
                    continue;
                }
                self.scan_batch(&header, &run[range])
                    .map_err(|source| ReadError::Records {
                        base_offset: header.base_offset,
                        source,
                    })?;
            }
        }
        Ok(())
    }

    /// The record, once there is nothing more to read.
    pub fn result(&self) -> Option<TimestampHit> {
        self.best
    }

    fn candidate(&self, log: &PartitionLog) -> Option<Candidate> {
        let segments = log.segments().iter().copied().map(Candidate::Segment);
        match self.wanted {
            Wanted::AtLeast(_) if self.best.is_some() || self.scanning.end >= self.upper => None,
            Wanted::AtLeast(timestamp) => {
                let from = self.scanning.end.max(log.log_start_offset());
                let mut segments = segments.filter(|segment| {
                    segment.range().1 >= from && segment.max_timestamp() >= timestamp
                });
                let in_wal = || {
                    let extent = log.extents().first_with_timestamp(timestamp, from)?;
                    Some(Candidate::Extent(extent))
                };
                let first = segments.next().or_else(in_wal);
                first.filter(|first| first.range().0 < self.upper)
            }
            // A part's maximum may lie below log start or above the end, so the best one may
            // disappoint.
            Wanted::Highest => segments
                .chain(log.extents().iter().map(Candidate::Extent))
                .filter(|part| part.range().0 < self.upper)
                .filter(|part| !self.scanned.contains(&part.place()))
                .filter(|part| self.is_better(part.max_timestamp(), part.range().0))
                .reduce(|best, part| {
                    if part.max_timestamp() > best.max_timestamp() {
                        part
                    } else {
                        best
                    }
                }),
        }
    }

    /// Whether a record with this timestamp would be the result among those that were seen.
    fn is_better(&self, timestamp: i64, offset: Offset) -> bool {
        match (self.wanted, self.best) {
            (Wanted::AtLeast(wanted), None) => timestamp >= wanted,
            (Wanted::AtLeast(_), Some(_)) => false,
            (Wanted::Highest, Some(best)) => {
                let is_first = offset < best.offset;
                timestamp > best.timestamp || timestamp == best.timestamp && is_first
            }
            // Batches without timestamps have no highest one.
            (Wanted::Highest, None) => timestamp >= 0,
        }
    }

    fn scan_batch(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), BatchError> {
        let hit = |offset, timestamp| TimestampHit {
            offset,
            timestamp,
            leader_epoch: header.partition_leader_epoch,
        };
        // All its records have the batch's time, so the first one that counts is known unseen.
        let dense = i64::from(header.last_offset_delta) + 1 == i64::from(header.records_count);
        if header.timestamp_type() == TimestampType::LogAppendTime && dense {
            let offset = header.base_offset.max(self.scanning.start);
            self.best = Some(hit(offset, header.max_timestamp));
            return Ok(());
        }
        let records = BatchRecords::open(batch, self.max_decompressed_bytes)?;
        for record in &records {
            let record = record?;
            let offset = records.offset_of(&record);
            let timestamp = records.timestamp_of(&record);
            if self.scanning.contains(&offset) && self.is_better(timestamp, offset) {
                self.best = Some(hit(offset, timestamp));
            }
        }
        Ok(())
    }
}

/// Runs a search at once.
pub fn search(
    mut search: TimestampSearch,
    log: &PartitionLog,
    tail: &Tail,
    partition: u64,
    reader: &dyn BlockReader,
) -> Result<Option<TimestampHit>, ReadError> {
    while let Some(step) = search.next(log, tail, partition)? {
        search.take(step, reader)?;
    }
    Ok(search.result())
}

#[cfg(test)]
mod tests;
