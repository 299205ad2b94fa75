//! A segment file, and what a snapshot says of it: its header, its indexes, and the reading of its blocks.
//!
//! Input: what the snapshot says (offsets, place, number of blocks), a switch that makes the checksums right, then the
//! file from the first block on.
#![no_main]

use std::io;

use bytes::Bytes;
use weir_fuzz::{Bounds, Input};
use weir_log::rewrite::SegmentReader;
use weir_log::segment::{FILE_HEADER_LEN, OWNER_LEN, check_file_header, file_header};
use weir_log::{
    BatchBuilder, BatchHeader, BlockReader, Codec, Pos, Segment, SegmentBuilder, SegmentIndex,
    SegmentState,
};

weir_fuzz::target!(Bounds::new(128 << 10, 64, 500), seeds, run);

const FILE: u64 = 7;
const INDEX_HEADER_LEN: usize = 48;
const ENTRY_LEN: usize = 24;

fn run(bytes: &[u8]) {
    if let Some(header) = bytes.first_chunk::<FILE_HEADER_LEN>() {
        let right = check_file_header(header, FILE).is_ok();
        assert_eq!(
            right,
            *header == file_header(FILE),
            "one header is the file's"
        );
    }
    let mut input = Input(bytes);
    let mut segment = Segment {
        base_offset: input.i64(),
        last_offset: input.i64(),
        max_timestamp: input.i64(),
        file: FILE,
        at: input.u64(),
        bytes: input.u32().into(),
        blocks: input.u16().into(),
        index_crc: input.u32(),
        state: SegmentState::Dirty,
    };
    let right = input.u8() & 1 != 0;
    let mut file = input.rest().to_vec();
    if right && segment.blocks > 0 {
        put_right(&mut segment, &mut file);
    }
    // A snapshot that says what cannot be is refused before: see `partition_state`.
    let sound = segment
        .at
        .checked_add(segment.bytes)
        .and_then(|end| end.checked_add(segment.index_len() as u64));
    if sound.is_none()
        || segment.blocks == 0
        || segment.base_offset > segment.last_offset
        || segment.last_offset == i64::MAX
    {
        return;
    }
    read(
        &segment,
        &File {
            at: segment.at,
            bytes: file.into(),
        },
    );
}

struct File {
    at: u64,
    bytes: Bytes,
}

impl BlockReader for File {
    fn read(&self, _: Pos, _: usize) -> io::Result<Bytes> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_segment(&self, file: u64, at: u64, len: usize) -> io::Result<Bytes> {
        assert_eq!(file, FILE);
        let from = usize::try_from(at - self.at).map_err(io::Error::other)?;
        let end = from.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(self.bytes.slice(from..end))
    }
}

fn read(segment: &Segment, file: &File) {
    let Ok(index) = SegmentIndex::read(file, segment) else {
        return;
    };
    let mut next = segment.base_offset;
    for block in index.blocks() {
        assert_eq!(block.base_offset, next, "blocks follow each other");
        assert!(block.base_offset <= block.last_offset);
        next = block.last_offset + 1;
    }
    assert_eq!(next, segment.last_offset + 1);
    let mut reader = SegmentReader::open(segment, file).expect("read before");
    let mut total = 0;
    while let Ok(blocks) = reader.next(file) {
        let bytes: usize = blocks.iter().map(Bytes::len).sum();
        if bytes == 0 {
            break;
        }
        total += bytes as u64;
    }
    assert!(total <= segment.bytes);
}

/// Has the snapshot agree with the file: the last `blocks` entries are the index, and each block has the CRC of its
/// bytes.
fn put_right(segment: &mut Segment, file: &mut [u8]) {
    let index_len = segment.index_len();
    let Some(blocks_len) = file.len().checked_sub(index_len).filter(|len| *len > 0) else {
        return;
    };
    segment.bytes = blocks_len as u64;
    let (blocks, index) = file.split_at_mut(blocks_len);
    let mut at = 0;
    let count = segment.blocks as usize;
    for (number, entry) in index[INDEX_HEADER_LEN..]
        .chunks_exact_mut(ENTRY_LEN)
        .enumerate()
    {
        let len = u32::from_le_bytes(entry[16..20].try_into().expect("four bytes")) as usize;
        let left = blocks_len - at;
        let len = if number + 1 == count {
            left
        } else {
            len.min(left)
        };
        entry[16..20].copy_from_slice(&(len as u32).to_le_bytes());
        entry[20..24].copy_from_slice(&crc32c::crc32c(&blocks[at..at + len]).to_le_bytes());
        at += len;
    }
    index[INDEX_HEADER_LEN..INDEX_HEADER_LEN + 8]
        .copy_from_slice(&segment.base_offset.to_le_bytes());
    let crc = crc32c::crc32c(&index[4..]);
    index[..4].copy_from_slice(&crc.to_le_bytes());
    segment.index_crc = crc;
}

fn seeds() -> Vec<Vec<u8>> {
    [(1, 10), (3, 40_000), (9, 30_000)]
        .map(|(count, value_len)| seed(count, value_len))
        .into()
}

fn seed(count: i64, value_len: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let mut builder = SegmentBuilder::new([3; OWNER_LEN], FILE, 32);
    for offset in 0..count {
        // Compressed, so that it is small here.
        let mut records = BatchBuilder::new(Codec::Gzip);
        let value: Vec<u8> = (0..value_len)
            .map(|n| (n as u8).wrapping_mul(n as u8))
            .collect();
        records.append(1000 + offset, Some(b"k"), Some(&value), &[]);
        let mut batch = records.build().expect("fits");
        weir_log::assign(&mut batch, offset, 1);
        let header = BatchHeader::parse(&batch).expect("our own");
        builder.push(&header, &batch, &mut file);
    }
    let segment = builder.finish(&mut file).expect("batches");
    let mut seed = Vec::new();
    seed.extend(segment.base_offset.to_le_bytes());
    seed.extend(segment.last_offset.to_le_bytes());
    seed.extend(segment.max_timestamp.to_le_bytes());
    seed.extend(segment.at.to_le_bytes());
    seed.extend((segment.bytes as u32).to_le_bytes());
    seed.extend((segment.blocks as u16).to_le_bytes());
    seed.extend(segment.index_crc.to_le_bytes());
    seed.push(1);
    seed.extend(file);
    seed
}
