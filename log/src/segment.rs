//! Segments: where a partition's batches lie once they have left the write-ahead log.
//!
//! A segment is an immutable run of one partition's batches in a segment file, which may hold the
//! segments of many partitions. All integers are little-endian. A file starts with a header:
//!
//! ```text
//! offset  size  field     encoding
//! 0       8     magic     "WEIRSEG" and 0x0a
//! 8       2     version   u16 = 1 (0 reserved)
//! 10      6     zero
//! 16      8     file      u64, the number in the file's name
//! 24      4     zero
//! 28      4     crc       CRC32C of bytes 0..28
//! ```
//!
//! Segments follow without gaps. Each one is its blocks (consecutive whole batches, a new block once
//! 64 KiB are reached) and behind them its index:
//!
//! ```text
//! 0       4     crc       CRC32C of what follows in the index
//! 4       4     blocks    u32, number of blocks
//! 8       20    owner     the partition: topic id 16, index i32
//! 28      4     zero
//! 32      8     file      u64
//! 40      8     at        u64, of the first block's first byte in the file
//! 48      n·24            per block:
//!   0     8     base      i64, first offset of its first batch; of the first block, that of the segment
//!   8     8     max_time  i64, the highest max_timestamp of its batches
//!   16    4     len       u32, bytes
//!   20    4     crc       CRC32C of its bytes
//! ```
//!
//! Whoever lists a segment keeps the CRC of its index, and the index has those of its blocks, so bytes
//! that belong to another segment, or to another time, are told apart from damage to nobody's notice.

use crate::batch::{BatchHeader, Offset};
use crate::read::{BlockReader, Damage, ReadError};

/// Batches are gathered into blocks up to this size: a read starts at a block.
pub const BLOCK_BYTES: usize = 64 * 1024;
pub const FILE_HEADER_LEN: usize = 32;
pub const OWNER_LEN: usize = 20;

const MAGIC: [u8; 8] = *b"WEIRSEG\n";
const VERSION: u16 = 1;
const INDEX_HEADER_LEN: usize = 48;
const ENTRY_LEN: usize = 24;

/// Names the partition of a segment; opaque here.
pub type Owner = [u8; OWNER_LEN];

/// What compaction has made of a segment. It is this replica's alone, and not in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SegmentState {
    /// Nothing: it may hold records that later ones supersede.
    #[default]
    Dirty,
    /// No record of it is superseded by one of a segment that is clean too.
    Clean {
        /// Until when its tombstones are kept; `None` where it has none.
        tombstones_until_ms: Option<i64>,
    },
}

/// A run of one partition's batches in a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where the segment before it ends; its first batch may start later, where compaction took some away.
    pub base_offset: Offset,
    /// That of its last batch, inclusive.
    pub last_offset: Offset,
    /// The highest max_timestamp of its batches.
    pub max_timestamp: i64,
    pub file: u64,
    /// Where the first block is in the file.
    pub at: u64,
    /// Of the blocks; the index follows them.
    pub bytes: u64,
    pub blocks: u32,
    pub index_crc: u32,
    pub state: SegmentState,
}

/// Consecutive batches that are read and checked as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    pub base_offset: Offset,
    /// Inclusive; up to the next block's base.
    pub last_offset: Offset,
    pub max_timestamp: i64,
    /// In the file.
    pub at: u64,
    pub len: u32,
    pub crc: u32,
}

/// A segment's blocks, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentIndex {
    blocks: Vec<Block>,
}

impl Segment {
    /// Bytes of its index.
    pub fn index_len(&self) -> usize {
        INDEX_HEADER_LEN + self.blocks as usize * ENTRY_LEN
    }

    /// One past its last byte in the file.
    pub fn end(&self) -> u64 {
        self.at + self.bytes + self.index_len() as u64
    }

    /// Whether the fields fit each other, whatever the file holds.
    pub(crate) fn is_sound(&self) -> bool {
        let spans = self.base_offset <= self.last_offset && self.last_offset < Offset::MAX;
        let end = self.at.checked_add(self.bytes);
        let whole = end.is_some_and(|end| end.checked_add(self.index_len() as u64).is_some());
        spans && whole && self.blocks > 0
    }
}

impl SegmentIndex {
    /// Reads a segment's index from its file.
    pub fn read<R: BlockReader + ?Sized>(
        reader: &R,
        segment: &Segment,
    ) -> Result<SegmentIndex, ReadError> {
        let (file, at, len) = (
            segment.file,
            segment.at + segment.bytes,
            segment.index_len(),
        );
        let bytes = reader.read_segment(file, at, len).map_err(|source| {
            let len = len as u64;
            ReadError::SegmentIo {
                file,
                at,
                len,
                source,
            }
        })?;
        Self::decode(segment, &bytes).map_err(|source| ReadError::SegmentCorrupt {
            file,
            at,
            source,
        })
    }

    /// The index of `segment`, if these are its bytes.
    pub fn decode(segment: &Segment, bytes: &[u8]) -> Result<SegmentIndex, Damage> {
        let (expected, found) = (segment.index_len(), bytes.len());
        if expected != found {
            return Err(Damage::Length { expected, found });
        }
        let (expected, found) = (segment.index_crc, weir_crc::crc32c(&bytes[4..]));
        if u32_at(bytes, 0) != expected || expected != found {
            return Err(Damage::Checksum { expected, found });
        }
        let mut blocks = Vec::with_capacity(segment.blocks as usize);
        let mut at = segment.at;
        for entry in bytes[INDEX_HEADER_LEN..].chunks_exact(ENTRY_LEN) {
            blocks.push(Block {
                base_offset: u64_at(entry, 0) as i64,
                last_offset: segment.last_offset,
                max_timestamp: u64_at(entry, 8) as i64,
                at,
                len: u32_at(entry, 16),
                crc: u32_at(entry, 20),
            });
            let len = u64::from(u32_at(entry, 16));
            at = at.checked_add(len).ok_or(Damage::Index)?;
        }
        let rises = blocks
            .windows(2)
            .all(|pair| pair[0].base_offset < pair[1].base_offset)
            && blocks
                .last()
                .is_some_and(|last| last.base_offset <= last.last_offset);
        let first = blocks.first().map(|block| block.base_offset);
        if !rises || first != Some(segment.base_offset) || at != segment.at + segment.bytes {
            return Err(Damage::Index);
        }
        for next in 1..blocks.len() {
            blocks[next - 1].last_offset = blocks[next].base_offset - 1;
        }
        Ok(SegmentIndex { blocks })
    }

    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The blocks from the one that reaches `offset` on.
    pub fn starting_with(&self, offset: Offset) -> &[Block] {
        let at = self
            .blocks
            .partition_point(|block| block.last_offset < offset);
        &self.blocks[at..]
    }

    /// Memory held.
    pub fn heap_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>()
    }
}

/// The first bytes of the segment file with this number.
pub fn file_header(file: u64) -> [u8; FILE_HEADER_LEN] {
    let mut bytes = [0; FILE_HEADER_LEN];
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&file.to_le_bytes());
    let crc = weir_crc::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Whether a file that starts with `bytes` is the segment file with this number; `Err` says why not.
pub fn check_file_header(bytes: &[u8; FILE_HEADER_LEN], file: u64) -> Result<(), &'static str> {
    if bytes[0..8] != MAGIC {
        return Err("it does not start with the magic bytes of a segment file");
    }
    if u32_at(bytes, 28) != weir_crc::crc32c(&bytes[..28]) {
        return Err("the checksum of its header does not match");
    }
    if bytes[8..10] != VERSION.to_le_bytes() {
        return Err("its format version is not known to this release");
    }
    if u64_at(bytes, 16) != file {
        return Err("its header has the number of another file");
    }
    Ok(())
}

/// Lays out one segment. Bytes are appended to a buffer that the caller writes to the file.
#[derive(Debug)]
pub struct SegmentBuilder {
    owner: Owner,
    file: u64,
    at: u64,
    base_offset: Option<Offset>,
    state: SegmentState,
    bytes: u64,
    max_timestamp: i64,
    blocks: Vec<Block>,
}

impl SegmentBuilder {
    /// A segment that starts at byte `at` of the file.
    pub fn new(owner: Owner, file: u64, at: u64) -> SegmentBuilder {
        SegmentBuilder {
            owner,
            file,
            at,
            base_offset: None,
            state: SegmentState::Dirty,
            bytes: 0,
            max_timestamp: i64::MIN,
            blocks: Vec::new(),
        }
    }

    /// Has the segment begin at `base_offset`, even if its first batch begins later.
    pub fn starting_at(mut self, base_offset: Offset) -> SegmentBuilder {
        self.base_offset = Some(base_offset);
        self
    }

    /// What compaction has made of the batches; dirty unless it is said.
    pub fn set_state(&mut self, state: SegmentState) {
        self.state = state;
    }

    /// Adds the next batch. Batches come in order; a hole before one belongs to the batch before it, and one
    /// before the first to that.
    pub fn push(&mut self, header: &BatchHeader, batch: &[u8], out: &mut Vec<u8>) {
        let len = u32::try_from(batch.len()).expect("a batch is below 4 GiB");
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        match self.blocks.last_mut() {
            Some(block) if block.len as usize + batch.len() <= BLOCK_BYTES => {
                block.crc = weir_crc::append(block.crc, batch);
                block.len += len;
                block.last_offset = header.last_offset();
                block.max_timestamp = block.max_timestamp.max(header.max_timestamp);
            }
            _ => self.blocks.push(Block {
                base_offset: self.base_offset.take().unwrap_or(header.base_offset),
                last_offset: header.last_offset(),
                max_timestamp: header.max_timestamp,
                at: self.at + self.bytes,
                len,
                crc: weir_crc::crc32c(batch),
            }),
        }
        self.bytes += u64::from(len);
        out.extend_from_slice(batch);
    }

    /// Bytes of its blocks so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds the index and says where the segment is; `None` without any batch.
    pub fn finish(self, out: &mut Vec<u8>) -> Option<Segment> {
        let (first, last) = (self.blocks.first()?, self.blocks.last()?);
        let start = out.len();
        out.extend([0; 4]);
        let blocks = u32::try_from(self.blocks.len()).expect("blocks fit a u32");
        out.extend(blocks.to_le_bytes());
        out.extend(self.owner);
        out.extend([0; 4]);
        out.extend(self.file.to_le_bytes());
        out.extend(self.at.to_le_bytes());
        for block in &self.blocks {
            out.extend(block.base_offset.to_le_bytes());
            out.extend(block.max_timestamp.to_le_bytes());
            out.extend(block.len.to_le_bytes());
            out.extend(block.crc.to_le_bytes());
        }
        let index_crc = weir_crc::crc32c(&out[start + 4..]);
        out[start..start + 4].copy_from_slice(&index_crc.to_le_bytes());
        let segment = Segment {
            base_offset: first.base_offset,
            last_offset: last.last_offset,
            max_timestamp: self.max_timestamp,
            file: self.file,
            at: self.at,
            bytes: self.bytes,
            blocks,
            index_crc,
            state: self.state,
        };
        assert_eq!(
            out.len() - start,
            segment.index_len(),
            "the index is as long as the table says"
        );
        Some(segment)
    }
}

/// A partition's segments, sorted by offset and without holes between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segments {
    list: Vec<Segment>,
}

impl Segments {
    /// Adds the segment behind the last one.
    pub(crate) fn push(&mut self, segment: Segment) {
        if self.list.is_empty() {
            self.list.reserve_exact(1);
        }
        self.list.push(segment);
    }

    /// Drops the segments that lie below `offset` as a whole.
    pub(crate) fn drop_below(&mut self, offset: Offset) {
        let gone = self
            .list
            .partition_point(|segment| segment.last_offset < offset);
        self.list.drain(..gone);
        if gone > 0 {
            self.list.shrink_to_fit();
        }
    }

    /// Puts `new`, which has the records of the consecutive segments `old` as they are to be now, in their
    /// place. What lies below `log_start` is left out. Changes nothing when `old` is not what is there: the
    /// segments of it that are gone must be those below log start.
    ///
    /// # Panics
    /// When `new` does not span the offsets of `old`.
    pub(crate) fn replace(&mut self, old: &[Segment], new: &[Segment], log_start: Offset) -> bool {
        let span = |list: &[Segment]| Some((list.first()?.base_offset, list.last()?.last_offset));
        assert!(
            span(old).is_some() && span(old) == span(new) && follow(new),
            "new segments span the offsets of the old ones"
        );
        let last = old.last().expect("not empty");
        let Some(at) = self.list.iter().position(|segment| segment == last) else {
            return false;
        };
        let here = self.list[..=at].iter().rev();
        let same = here.zip(old.iter().rev()).take_while(|(a, b)| a == b);
        let first = at + 1 - same.count();
        if at + 1 - first < old.len() && first > 0 {
            return false;
        }
        let kept = new
            .iter()
            .filter(|segment| segment.last_offset >= log_start);
        self.list.splice(first..=at, kept.copied());
        self.list.shrink_to_fit();
        true
    }

    /// The segments from the one that reaches `offset` on.
    pub fn starting_with(&self, offset: Offset) -> impl Iterator<Item = &Segment> {
        let at = self
            .list
            .partition_point(|segment| segment.last_offset < offset);
        self.list[at..].iter()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Segment> + DoubleEndedIterator {
        self.list.iter()
    }

    pub fn as_slice(&self) -> &[Segment] {
        &self.list
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sum of the bytes of their batches.
    pub fn bytes(&self) -> u64 {
        self.list.iter().map(|segment| segment.bytes).sum()
    }

    /// `None` when they are not sound, not consecutive, or more bytes than there can be.
    pub(crate) fn restore(list: Vec<Segment>) -> Option<Segments> {
        let sound = list.iter().all(Segment::is_sound);
        let bytes = list
            .iter()
            .try_fold(0u64, |sum, segment| sum.checked_add(segment.bytes));
        let countable = bytes.is_some_and(|bytes| i64::try_from(bytes).is_ok());
        (sound && countable && follow(&list)).then_some(Segments { list })
    }

    /// Memory held beside the struct itself.
    pub fn heap_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Segment>()
    }
}

/// Whether each segment begins where the one before it ends.
fn follow(list: &[Segment]) -> bool {
    list.windows(2)
        .all(|pair| pair[0].last_offset + 1 == pair[1].base_offset)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests;
