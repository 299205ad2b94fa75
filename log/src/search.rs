//! Finds a record by its time. Source: ListOffsets; KIP-734 for the highest timestamp.
//!
//! A search goes in rounds: under the partition's lock it names the next extent that may hold the
//! record, without any lock the caller reads it and lets the search scan it.

use crate::batch::{BatchError, BatchHeader, LeaderEpoch, Offset, TimestampType, batches};
use crate::extent::Extent;
use crate::partition::PartitionLog;
use crate::read::{BlockReader, ReadError, ReadPlan, ReadRequest};
use crate::records::BatchRecords;
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

/// One search through a partition, see the module's description.
#[derive(Debug)]
pub struct TimestampSearch {
    wanted: Wanted,
    /// Exclusive: records from here on do not count.
    upper: Offset,
    max_decompressed_bytes: usize,
    best: Option<TimestampHit>,
    /// Base offsets of the extents that were looked at.
    scanned: Vec<Offset>,
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

    /// What to read and [`TimestampSearch::scan`] next; `None` when [`TimestampSearch::result`] stands.
    pub fn next(
        &mut self,
        log: &PartitionLog,
        tail: &Tail,
        partition: u64,
    ) -> Result<Option<ReadPlan>, ReadError> {
        let Some(extent) = self.candidate(log) else {
            return Ok(None);
        };
        self.scanned.push(extent.base_offset);
        let from = extent.base_offset.max(log.log_start_offset());
        let upper = self.upper.min(extent.last_offset + 1);
        self.scanning = from..upper;
        let request = ReadRequest {
            from,
            upper,
            max_bytes: usize::MAX,
            at_least_one: true,
        };
        ReadPlan::new(log, tail, partition, &request).map(Some)
    }

    /// Looks through what the last plan gave.
    pub fn scan(&mut self, runs: &[Bytes]) -> Result<(), ReadError> {
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

    fn candidate(&self, log: &PartitionLog) -> Option<Extent> {
        match self.wanted {
            Wanted::AtLeast(_) if self.best.is_some() || self.scanning.end >= self.upper => None,
            Wanted::AtLeast(timestamp) => {
                let from = self.scanning.end.max(log.log_start_offset());
                log.extents()
                    .first_with_timestamp(timestamp, from)
                    .filter(|extent| extent.base_offset < self.upper)
            }
            // An extent's maximum may lie below log start or above the end, so the best one may
            // disappoint.
            Wanted::Highest => log
                .extents()
                .iter()
                .filter(|extent| extent.base_offset < self.upper)
                .filter(|extent| !self.scanned.contains(&extent.base_offset))
                .filter(|extent| self.is_better(extent.max_timestamp, extent.base_offset))
                .reduce(|best, extent| {
                    if extent.max_timestamp > best.max_timestamp {
                        extent
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
    while let Some(plan) = search.next(log, tail, partition)? {
        search.scan(&plan.run(reader)?)?;
    }
    Ok(search.result())
}

#[cfg(test)]
mod tests;
