//! Makes new segments of consecutive old ones: without what compaction takes away, and fewer of them.
//!
//! The new ones span the same offsets, so the last batch of the old ones stays, if only as a header. Where a
//! segment ends is up to the size, and to the state of what it would hold: what is clean and what is
//! dirty, and tombstones of different times, lie apart.

use crate::batch::{BatchError, BatchHeader, Offset, batches};
use crate::compact::{FilterError, Filtered, Latest, Left, Rules, filter};
use crate::planted::{self, Bug};
use crate::read::{BlockReader, ReadError, read_blocks};
use crate::segment::{Owner, Segment, SegmentBuilder, SegmentIndex, SegmentState};
use bytes::Bytes;
use std::sync::Arc;

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// A segment file that is being written.
pub trait SegmentFile {
    fn number(&self) -> u64;
    /// Where the next byte goes.
    fn at(&self) -> u64;
    /// What is added here is written behind what the file has.
    fn buffer(&mut self) -> &mut Vec<u8>;
}

#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("batch at offset {base_offset}: {source}")]
    Batch {
        base_offset: Offset,
        source: FilterError,
    },
}

/// Reads a segment's blocks one helping after the other.
#[derive(Debug)]
pub struct SegmentReader {
    segment: Segment,
    index: Arc<SegmentIndex>,
    next: usize,
}

impl SegmentReader {
    pub fn open(segment: &Segment, reader: &dyn BlockReader) -> Result<SegmentReader, ReadError> {
        Ok(SegmentReader {
            segment: *segment,
            index: reader.index(segment)?,
            next: 0,
        })
    }

    /// The next blocks, checked: consecutive whole batches. Empty at the end.
    pub fn next(&mut self, reader: &dyn BlockReader) -> Result<Vec<Bytes>, ReadError> {
        let rest = &self.index.blocks()[self.next..];
        let mut len = 0;
        let fits = |block: &&crate::segment::Block| {
            len += block.len as usize;
            len <= READ_BYTES
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        self.next += count;
        read_blocks(self.segment.file, &rest[..count], reader)
    }
}

/// What compaction takes away.
pub struct Cleaning<'a> {
    pub latest: &'a mut dyn Latest,
    /// `latest` knows every key of the records below, so that what is left of them is clean.
    pub clean_below: Offset,
    pub now_ms: i64,
    /// Until when tombstones are kept that are found for the first time.
    pub tombstones_until_ms: i64,
    /// Whether no later batch of its producer is known.
    pub is_last_of_producer: &'a dyn Fn(&BatchHeader) -> bool,
    pub max_decompressed_bytes: usize,
}

/// A rewriting under way, see the module's description.
pub struct Rewrite {
    owner: Owner,
    /// Segments grow up to this size.
    max_bytes: u64,
    /// What lies below is left out.
    log_start: Offset,
    /// The last offset of the old segments.
    last_offset: Offset,
    /// Where the next new segment begins.
    base_offset: Offset,
    open: Option<(SegmentBuilder, SegmentState)>,
    rewritten: Rewritten,
}

/// What became of the old segments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewritten {
    pub segments: Vec<Segment>,
    pub records_removed: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
}

impl Rewrite {
    /// Of the consecutive segments `old`; those are to be taken in this order.
    pub fn new(owner: Owner, old: &[Segment], log_start: Offset, max_bytes: u64) -> Rewrite {
        let (first, last) = (old.first(), old.last());
        let (first, last) = first.zip(last).expect("there is something to rewrite");
        Rewrite {
            owner,
            max_bytes,
            log_start,
            last_offset: last.last_offset,
            base_offset: first.base_offset,
            open: None,
            rewritten: Rewritten::default(),
        }
    }

    /// Takes blocks of the old segment `of`; they are only copied where there is no cleaning.
    pub fn take(
        &mut self,
        of: &Segment,
        blocks: &[Bytes],
        mut cleaning: Option<&mut Cleaning<'_>>,
        file: &mut dyn SegmentFile,
    ) -> Result<(), RewriteError> {
        for block in blocks {
            self.rewritten.bytes_read += block.len() as u64;
            for found in batches(block) {
                let (header, range) = found.map_err(|source| in_segment(of, source))?;
                let (batch, is_end) = (&block[range], header.last_offset() == self.last_offset);
                if header.last_offset() < self.log_start && !is_end {
                    continue;
                }
                match &mut cleaning {
                    None => self.push(of.state, &header, batch, file),
                    Some(cleaning) => self.clean(of, &header, batch, cleaning, file)?,
                }
            }
        }
        Ok(())
    }

    fn clean(
        &mut self,
        of: &Segment,
        header: &BatchHeader,
        batch: &[u8],
        cleaning: &mut Cleaning<'_>,
        file: &mut dyn SegmentFile,
    ) -> Result<(), RewriteError> {
        let is_last_here = header.last_offset() == of.last_offset;
        if planted::has(Bug::LastOfSegmentDropped)
            && is_last_here
            && of.last_offset != self.last_offset
        {
            return Ok(());
        }
        let until = match of.state {
            SegmentState::Dirty => None,
            SegmentState::Clean {
                tombstones_until_ms,
            } => tombstones_until_ms,
        };
        let is_last = header.has_producer_id() && (cleaning.is_last_of_producer)(header);
        let rules = Rules {
            drop_tombstones: until.is_some_and(|until| until <= cleaning.now_ms)
                || planted::has(Bug::TombstonesDropped),
            keep_empty: is_last || header.last_offset() == self.last_offset,
            max_decompressed_bytes: cleaning.max_decompressed_bytes,
        };
        let Filtered {
            left,
            has_tombstones,
            removed,
        } = filter(header, batch, cleaning.latest, &rules).map_err(|source| {
            RewriteError::Batch {
                base_offset: header.base_offset,
                source,
            }
        })?;
        self.rewritten.records_removed += removed;
        let state = if header.last_offset() < cleaning.clean_below {
            let until = until.unwrap_or(cleaning.tombstones_until_ms);
            SegmentState::Clean {
                tombstones_until_ms: has_tombstones.then_some(until),
            }
        } else {
            SegmentState::Dirty
        };
        match left {
            Left::All => self.push(state, header, batch, file),
            Left::Part(header, batch) => self.push(state, &header, &batch, file),
            Left::Nothing => {}
        }
        Ok(())
    }

    fn push(
        &mut self,
        state: SegmentState,
        header: &BatchHeader,
        batch: &[u8],
        file: &mut dyn SegmentFile,
    ) {
        let joined = match &self.open {
            Some((open, of)) if open.bytes() < self.max_bytes => join(*of, state),
            _ => None,
        };
        if joined.is_none() {
            self.close(file);
        }
        let state = joined.unwrap_or(state);
        let (open, of) = self.open.get_or_insert_with(|| {
            let open = SegmentBuilder::new(self.owner, file.number(), file.at());
            (open.starting_at(self.base_offset), state)
        });
        *of = state;
        open.set_state(state);
        open.push(header, batch, file.buffer());
        self.rewritten.bytes_written += batch.len() as u64;
    }

    fn close(&mut self, file: &mut dyn SegmentFile) {
        let Some((open, _)) = self.open.take() else {
            return;
        };
        let segment = open.finish(file.buffer()).expect("it has a batch");
        self.base_offset = segment.last_offset + 1;
        self.rewritten.segments.push(segment);
    }

    /// The new segments, once all blocks of the old ones were taken.
    pub fn finish(mut self, file: &mut dyn SegmentFile) -> Rewritten {
        self.close(file);
        self.rewritten
    }
}

/// The state of a segment that holds batches of both.
fn join(one: SegmentState, other: SegmentState) -> Option<SegmentState> {
    use SegmentState::{Clean, Dirty};
    match (one, other) {
        (Dirty, Dirty) => Some(Dirty),
        (
            Clean {
                tombstones_until_ms: one,
            },
            Clean {
                tombstones_until_ms: other,
            },
        ) if one.is_none() || other.is_none() || one == other => Some(Clean {
            tombstones_until_ms: one.or(other),
        }),
        _ => None,
    }
}

fn in_segment(segment: &Segment, source: BatchError) -> RewriteError {
    RewriteError::Read(ReadError::SegmentCorrupt {
        file: segment.file,
        at: segment.at,
        source: source.into(),
    })
}

#[cfg(test)]
mod tests;
