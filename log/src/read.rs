//! Reads a partition's batches: from the tail while it has them, from disk below it.
//!
//! A read has two steps. The plan is made while the partition is held still and touches no disk; it is
//! run without any lock. What comes from a disk is compared with what should be there before it leaves.

use crate::batch::{BatchError, Offset, batches, verify_crc};
use crate::extent::{Extent, Pos};
use crate::gather::Gather;
pub use crate::gather::ReadRequest;
use crate::partition::PartitionLog;
use crate::tail::{Run, Tail};
use bytes::Bytes;
use std::io;

/// Extents this close on disk are read as one: a few bytes too many are cheaper than another call.
const MAX_GAP_BYTES: u32 = 4096;

/// Reads bytes that were written to the write-ahead log.
pub trait BlockReader {
    /// Exactly `len` bytes from `pos` on. They may span several entries of the file and what lies
    /// between those.
    fn read(&self, pos: Pos, len: usize) -> io::Result<Bytes>;
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("offset {from} is not in {log_start_offset} to {next_offset}")]
    OutOfRange {
        from: Offset,
        log_start_offset: Offset,
        next_offset: Offset,
    },
    /// The log holds the offset, and no extent does.
    #[error("batch with offset {0} is not on this disk")]
    Missing(Offset),
    #[error("cannot read {len} bytes at {pos:?}")]
    Io {
        pos: Pos,
        len: usize,
        source: io::Error,
    },
    /// The disk holds something else than what was written there.
    #[error("batch {base_offset} is damaged at {pos:?}")]
    Corrupt {
        pos: Pos,
        base_offset: Offset,
        source: Damage,
    },
    /// Records that were accepted cannot be read.
    #[error("records of batch {base_offset} cannot be read")]
    Records {
        base_offset: Offset,
        source: BatchError,
    },
}

/// What is wrong with bytes from a disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("{found} bytes were read instead of {expected}")]
    Length { expected: usize, found: usize },
    #[error("it starts at offset {found} instead of {expected}")]
    Offset { expected: Offset, found: Offset },
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// What a read will return, as far as it is known without touching the disk.
#[derive(Debug)]
pub struct ReadPlan {
    request: ReadRequest,
    disk: Vec<DiskRun>,
    memory: Vec<Run>,
}

/// One call to the reader: extents close to each other.
#[derive(Debug)]
struct DiskRun {
    pos: Pos,
    len: u32,
    extents: Vec<Extent>,
}

impl ReadPlan {
    /// Plans a read of the partition whose handle in the tail is `partition`.
    ///
    /// A `from` at the upper bound or at the log's end gives an empty plan, one outside of the log
    /// [`ReadError::OutOfRange`].
    pub fn new(
        log: &PartitionLog,
        tail: &Tail,
        partition: u64,
        request: &ReadRequest,
    ) -> Result<ReadPlan, ReadError> {
        let request = ReadRequest {
            upper: request.upper.min(log.next_offset()),
            ..*request
        };
        let mut plan = ReadPlan {
            request,
            disk: Vec::new(),
            memory: Vec::new(),
        };
        let from = request.from;
        if !(log.log_start_offset()..=log.next_offset()).contains(&from) {
            return Err(ReadError::OutOfRange {
                from,
                log_start_offset: log.log_start_offset(),
                next_offset: log.next_offset(),
            });
        }
        let nothing_fits = request.max_bytes == 0 && !request.at_least_one;
        if from >= request.upper || nothing_fits {
            return Ok(plan);
        }
        let tail_start = tail.start_offset(partition).unwrap_or(Offset::MAX);
        let mut planned = 0;
        let mut next = from;
        if from < tail_start {
            (next, planned) = plan.add_disk(log, tail_start)?;
        }
        for run in tail.starting_with(partition, next) {
            if planned >= request.max_bytes.max(1) || run.base_offset >= request.upper {
                break;
            }
            planned = planned.saturating_add(run.bytes.len());
            plan.memory.push(run.clone());
        }
        Ok(plan)
    }

    /// Adds the extents below `tail_start`; returns where they end and how many bytes they have.
    fn add_disk(
        &mut self,
        log: &PartitionLog,
        tail_start: Offset,
    ) -> Result<(Offset, usize), ReadError> {
        let ReadRequest {
            from,
            upper,
            max_bytes,
            ..
        } = self.request;
        let mut next = from;
        let mut planned = 0usize;
        for extent in log.extents().starting_with(from) {
            // The first batch is read in any case, or nobody knows whether it fits.
            let enough = planned >= max_bytes.max(1);
            if extent.base_offset > next || enough || extent.base_offset >= upper.min(tail_start) {
                break;
            }
            planned = planned.saturating_add(extent.len as usize);
            next = extent.last_offset + 1;
            self.add_extent(extent);
        }
        if self.disk.is_empty() {
            return Err(ReadError::Missing(from));
        }
        Ok((next, planned))
    }

    fn add_extent(&mut self, extent: Extent) {
        if let Some(run) = self.disk.last_mut()
            && let Some(len) = run.len_with(&extent)
        {
            run.len = len;
            run.extents.push(extent);
            return;
        }
        self.disk.push(DiskRun {
            pos: extent.pos,
            len: extent.len,
            extents: vec![extent],
        });
    }

    /// Whether running the plan leaves the disk alone, so that it may be done on the spot.
    pub fn is_in_memory(&self) -> bool {
        self.disk.is_empty()
    }

    /// Consecutive whole batches; the slices share the memory that they come from.
    pub fn run(self, reader: &dyn BlockReader) -> Result<Vec<Bytes>, ReadError> {
        let mut gather = Gather::new(&self.request);
        for run in &self.disk {
            if gather.is_full() {
                break;
            }
            run.read_into(reader, &mut gather)?;
        }
        for run in &self.memory {
            gather
                .take(&run.bytes, run.base_offset, run.last_offset)
                .map_err(|source| ReadError::Records {
                    base_offset: run.base_offset,
                    source,
                })?;
        }
        Ok(gather.into_batches())
    }
}

impl DiskRun {
    /// The run's length with `next` in it, when that lies close behind.
    fn len_with(&self, next: &Extent) -> Option<u32> {
        let end = self.pos.offset.checked_add(self.len)?;
        let gap = next.pos.offset.checked_sub(end)?;
        if next.pos.file != self.pos.file || gap > MAX_GAP_BYTES {
            return None;
        }
        self.len.checked_add(gap)?.checked_add(next.len)
    }

    fn read_into(&self, reader: &dyn BlockReader, gather: &mut Gather) -> Result<(), ReadError> {
        let (pos, len) = (self.pos, self.len as usize);
        let bytes = reader
            .read(pos, len)
            .map_err(|source| ReadError::Io { pos, len, source })?;
        for extent in &self.extents {
            let corrupt = |source| ReadError::Corrupt {
                pos: extent.pos,
                base_offset: extent.base_offset,
                source,
            };
            if bytes.len() != len {
                let (expected, found) = (len, bytes.len());
                return Err(corrupt(Damage::Length { expected, found }));
            }
            let start = (extent.pos.offset - pos.offset) as usize;
            let run = bytes.slice(start..start + extent.len as usize);
            check(&run, extent).map_err(corrupt)?;
            gather
                .take(&run, extent.base_offset, extent.last_offset)
                .map_err(|error| corrupt(error.into()))?;
        }
        Ok(())
    }
}

/// Whether `run` holds the batches of `extent`, whole and undamaged.
fn check(run: &[u8], extent: &Extent) -> Result<(), Damage> {
    let mut expected = extent.base_offset;
    for found in batches(run) {
        let (header, range) = found?;
        // The CRC does not cover the base offset.
        if header.base_offset != expected {
            let found = header.base_offset;
            return Err(Damage::Offset { expected, found });
        }
        verify_crc(&run[range])?;
        expected = header.last_offset().saturating_add(1);
    }
    if expected != extent.last_offset + 1 {
        return Err(Damage::Offset {
            expected: extent.last_offset + 1,
            found: expected,
        });
    }
    Ok(())
}

/// Plans a read and runs it at once.
pub fn read(
    log: &PartitionLog,
    tail: &Tail,
    partition: u64,
    reader: &dyn BlockReader,
    request: &ReadRequest,
) -> Result<Vec<Bytes>, ReadError> {
    ReadPlan::new(log, tail, partition, request)?.run(reader)
}

#[cfg(test)]
pub(crate) mod tests;
