//! Reads a partition's batches: from the tail while it has them, below it from the write-ahead log, and
//! below that from segments.
//!
//! A read has two steps. The plan is made while the partition is held still and touches no disk; it is
//! run without any lock. What comes from a disk is compared with what should be there before it leaves.

use crate::batch::{BatchError, Offset, batches, verify_crc};
use crate::extent::{Extent, Pos};
use crate::gather::Gather;
pub use crate::gather::ReadRequest;
use crate::partition::PartitionLog;
use crate::planted::{self, Bug};
use crate::segment::{Block, Segment, SegmentIndex};
use crate::tail::{Run, Tail};
use bytes::Bytes;
use std::io;
use std::sync::Arc;

/// Extents this close on disk are read as one: a few bytes too many are cheaper than another call.
const MAX_GAP_BYTES: u32 = 4096;

/// Neighbouring extents, or blocks of a segment, are read as one up to this size.
const READ_BYTES: usize = 1 << 20;

/// Pieces that are smaller than this on average are copied out of what was read: else each would keep all of that in
/// memory, with what lies between them, until its reader has it.
const COPIED_BELOW_BYTES: usize = 16 << 10;

/// Reads bytes that were written to the write-ahead log or to segment files.
pub trait BlockReader {
    /// Exactly `len` bytes from `pos` on. They may span several entries of the file and what lies
    /// between those.
    fn read(&self, pos: Pos, len: usize) -> io::Result<Bytes>;

    /// Exactly `len` bytes of the segment file with the number `file`, from `at` on.
    fn read_segment(&self, file: u64, at: u64, len: usize) -> io::Result<Bytes>;

    /// A segment's index. A reader may remember it: it never changes.
    fn index(&self, segment: &Segment) -> Result<Arc<SegmentIndex>, ReadError> {
        SegmentIndex::read(self, segment).map(Arc::new)
    }
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
    #[error("cannot read {len} bytes at {} of {:020}.wal: {source}", .pos.offset, .pos.file)]
    Io {
        pos: Pos,
        len: usize,
        source: io::Error,
    },
    #[error(
        "cannot read {len} bytes at {at} of segment file {file:020}.seg: {source}; where the file is missing or \
         short, restore it from a copy of the directory"
    )]
    SegmentIo {
        file: u64,
        at: u64,
        len: u64,
        source: io::Error,
    },
    /// A segment file holds something else than what was written there.
    #[error(
        "segment file {file:020}.seg is damaged at {at}: {source}; restore it from a copy of the directory"
    )]
    SegmentCorrupt { file: u64, at: u64, source: Damage },
    /// The disk holds something else than what was written there.
    #[error(
        "batch {base_offset} is damaged at {} of {:020}.wal: {source}; restore the whole directory from a copy",
        .pos.offset, .pos.file
    )]
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

impl ReadError {
    /// Whether the file has gone since the read was planned: its batches were moved, or trimmed. A new
    /// plan knows.
    pub fn is_gone(&self) -> bool {
        match self {
            ReadError::Io { source, .. } | ReadError::SegmentIo { source, .. } => {
                source.kind() == io::ErrorKind::NotFound
            }
            _ => false,
        }
    }
}

/// What is wrong with bytes from a disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("{found} bytes were read instead of {expected}")]
    Length { expected: usize, found: usize },
    #[error("it starts at offset {found} instead of {expected}")]
    Offset { expected: Offset, found: Offset },
    #[error("its checksum is {found:#010x} instead of {expected:#010x}")]
    Checksum { expected: u32, found: u32 },
    #[error("its index contradicts itself")]
    Index,
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// What a read will return, as far as it is known without touching the disk.
#[derive(Debug)]
pub struct ReadPlan {
    request: ReadRequest,
    segments: Vec<Segment>,
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
            segments: Vec::new(),
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
            (next, planned) = plan.add_segments(log, tail_start);
            (next, planned) = plan.add_disk(log, tail_start, next, planned)?;
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

    /// Adds the segments below `tail_start`; returns where they end and about how many bytes they have.
    fn add_segments(&mut self, log: &PartitionLog, tail_start: Offset) -> (Offset, usize) {
        let ReadRequest {
            from,
            upper,
            max_bytes,
            ..
        } = self.request;
        let (mut next, mut planned) = (from, 0);
        for segment in log.segments().starting_with(from) {
            let enough = planned >= max_bytes.max(1);
            if enough || segment.base_offset >= upper.min(tail_start) {
                break;
            }
            planned = planned.saturating_add(bytes_from(segment, next));
            next = segment.last_offset + 1;
            self.segments.push(*segment);
        }
        (next, planned)
    }

    /// Adds the extents from `next` to `tail_start`; returns where they end and how many bytes are planned.
    fn add_disk(
        &mut self,
        log: &PartitionLog,
        tail_start: Offset,
        mut next: Offset,
        mut planned: usize,
    ) -> Result<(Offset, usize), ReadError> {
        let ReadRequest {
            from,
            upper,
            max_bytes,
            ..
        } = self.request;
        for extent in log.extents().starting_with(next) {
            // The first batch is read in any case, or nobody knows whether it fits.
            let len = extent.len as usize;
            let enough = planned >= max_bytes.max(1) || planned > 0 && planned + len > max_bytes;
            if extent.base_offset > next || enough || extent.base_offset >= upper.min(tail_start) {
                break;
            }
            planned = planned.saturating_add(len);
            next = extent.last_offset + 1;
            self.add_extent(extent);
        }
        if self.is_in_memory() {
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
        self.segments.is_empty() && self.disk.is_empty()
    }

    /// Consecutive whole batches; the slices share the memory that they come from.
    pub fn run(self, reader: &dyn BlockReader) -> Result<Vec<Bytes>, ReadError> {
        let mut gather = Gather::new(&self.request);
        for segment in &self.segments {
            if gather.is_full() {
                break;
            }
            read_segment_into(segment, reader, &mut gather)?;
        }
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
        let len = self.len.checked_add(gap)?.checked_add(next.len)?;
        (len as usize <= READ_BYTES).then_some(len)
    }

    fn read_into(&self, reader: &dyn BlockReader, gather: &mut Gather) -> Result<(), ReadError> {
        let (pos, len) = (self.pos, self.len as usize);
        let bytes = reader
            .read(pos, len)
            .map_err(|source| ReadError::Io { pos, len, source })?;
        let mut runs = Vec::with_capacity(self.extents.len());
        for extent in &self.extents {
            if bytes.len() != len {
                let (expected, found) = (len, bytes.len());
                return Err(corrupt(extent, Damage::Length { expected, found }));
            }
            let start = (extent.pos.offset - pos.offset) as usize;
            let run = bytes.slice(start..start + extent.len as usize);
            check(&run, extent).map_err(|source| corrupt(extent, source))?;
            runs.push(run);
        }
        drop(bytes);
        self.offer(runs, gather)
    }

    /// Has the batches of the extents taken, which are checked.
    fn offer(&self, runs: Vec<Bytes>, gather: &mut Gather) -> Result<(), ReadError> {
        let mut offer = |run: &Bytes, first: &Extent, last: &Extent| {
            let taken = gather.take(run, first.base_offset, last.last_offset);
            taken.map_err(|error| corrupt(first, error.into()))
        };
        let wanted: usize = runs.iter().map(Bytes::len).sum();
        if let [first, .., last] = &self.extents[..]
            && wanted < COPIED_BELOW_BYTES * runs.len()
        {
            let copied = Bytes::from(runs.concat());
            drop(runs);
            return offer(&copied, first, last);
        }
        let mut each = runs.iter().zip(&self.extents);
        each.try_for_each(|(run, extent)| offer(run, extent, extent))
    }
}

fn corrupt(extent: &Extent, source: Damage) -> ReadError {
    ReadError::Corrupt {
        pos: extent.pos,
        base_offset: extent.base_offset,
        source,
    }
}

/// About how many bytes of a segment lie at or above `offset`: exact for the whole.
fn bytes_from(segment: &Segment, offset: Offset) -> usize {
    let all = segment.last_offset - segment.base_offset + 1;
    let part = segment.last_offset - offset.max(segment.base_offset) + 1;
    let bytes = u128::from(segment.bytes) * part as u128 / all as u128;
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn read_segment_into(
    segment: &Segment,
    reader: &dyn BlockReader,
    gather: &mut Gather,
) -> Result<(), ReadError> {
    let index = reader.index(segment)?;
    while !gather.is_full() {
        let rest = index.starting_with(gather.next());
        let below = rest.partition_point(|block| block.base_offset < gather.upper());
        let wanted = READ_BYTES.min(gather.left());
        let mut len = 0;
        let fits = |block: &&Block| {
            len += block.len as usize;
            len <= wanted
        };
        // The first block is read in any case, or nobody knows whether a batch of it fits.
        let count = rest[..below].iter().take_while(fits).count().max(1);
        let Some(blocks) = rest[..below].get(..count) else {
            break;
        };
        if !gather.wants(blocks[0].len as usize) {
            break;
        }
        for (block, bytes) in blocks
            .iter()
            .zip(read_blocks(segment.file, blocks, reader)?)
        {
            gather
                .take(&bytes, block.base_offset, block.last_offset)
                .map_err(|error| ReadError::SegmentCorrupt {
                    file: segment.file,
                    at: block.at,
                    source: error.into(),
                })?;
            // A block's range may end behind its last batch.
            gather.pass(block.last_offset);
        }
    }
    Ok(())
}

/// Reads neighbouring blocks with one call and checks each.
pub(crate) fn read_blocks(
    file: u64,
    blocks: &[Block],
    reader: &dyn BlockReader,
) -> Result<Vec<Bytes>, ReadError> {
    let Some(first) = blocks.first() else {
        return Ok(Vec::new());
    };
    let at = first.at;
    let len: usize = blocks.iter().map(|block| block.len as usize).sum();
    let read = reader.read_segment(file, at, len);
    let mut rest = read.map_err(|source| {
        let len = len as u64;
        ReadError::SegmentIo {
            file,
            at,
            len,
            source,
        }
    })?;
    let mut read = Vec::with_capacity(blocks.len());
    for block in blocks {
        let corrupt = |source| ReadError::SegmentCorrupt {
            file,
            at: block.at,
            source,
        };
        let (expected, found) = (block.len as usize, rest.len());
        if found < expected {
            return Err(corrupt(Damage::Length { expected, found }));
        }
        let bytes = rest.split_to(expected);
        let (expected, found) = (block.crc, weir_crc::crc32c(&bytes));
        if expected != found && !planted::has(Bug::ChecksumNotChecked) {
            return Err(corrupt(Damage::Checksum { expected, found }));
        }
        read.push(bytes);
    }
    Ok(read)
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
