//! The end of the file that is being written, in whole blocks: they go to the disk without a copy
//! in the page cache, whose upkeep would cost more than all the rest of a write.
//!
//! The block that the last record ends in is kept, and written again when it has grown. Its bytes
//! that were durable are written unchanged.

use std::io;

use memmap2::MmapMut;

use super::format::{ALIGN, RECORD_HEADER_LEN, RecordHeader};
use crate::disk::{BLOCK, DiskFile, direct_memory};
use crate::payload::Piece;

/// Bytes that one write takes to the disk.
pub const CAPACITY: usize = 4 << 20;
/// A body's checksum is taken part by part while its bytes are in the processor's cache.
const PART: usize = 16 << 10;

pub struct Blocks {
    buffer: MmapMut,
    /// What the file is written in multiples of: less is written again with small blocks.
    block: usize,
    /// Where the buffer's first byte lies in the file.
    start: u32,
    /// Bytes in the buffer.
    len: usize,
    /// Those of them that the disk has.
    written: usize,
}

impl Blocks {
    pub fn new() -> Blocks {
        Blocks {
            buffer: direct_memory(CAPACITY),
            block: BLOCK,
            start: 0,
            len: 0,
            written: 0,
        }
    }

    /// Goes on at an offset of a file, whose block is read as far as the offset.
    pub fn resume(&mut self, file: &dyn DiskFile, offset: u32) -> io::Result<()> {
        self.block = file.block();
        let keep = offset as usize % self.block;
        let start = offset - keep as u32;
        file.pread(&mut self.buffer[..keep], u64::from(start))?;
        self.start = start;
        self.len = keep;
        self.written = keep;
        Ok(())
    }

    /// Where in the file the next byte goes.
    pub fn end(&self) -> u32 {
        self.start + self.len as u32
    }

    /// Whether a record with this body can be added before something has to be written.
    pub fn fits(&self, body_len: usize) -> bool {
        let len = RECORD_HEADER_LEN as usize + body_len + ALIGN as usize;
        len <= self.room()
    }

    /// Whether there is something that the disk does not have.
    pub fn is_dirty(&self) -> bool {
        self.written < self.len
    }

    /// Adds a record that fits; the header's checksum of the body is filled in.
    pub fn add(&mut self, header: &RecordHeader, salt: u64, body: &[Piece]) {
        let header_at = self.len;
        self.len += RECORD_HEADER_LEN as usize;
        let mut body_crc = 0;
        for piece in body {
            body_crc = self.copy_piece(piece, body_crc);
        }
        self.copy_gap(header);
        let header = RecordHeader {
            body_crc,
            ..*header
        };
        self.buffer[header_at..header_at + RECORD_HEADER_LEN as usize]
            .copy_from_slice(&header.encode(salt));
    }

    /// Copies as much of `bytes` as there is room for, and says how much that was.
    pub fn copy_some(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.room());
        self.copy(&bytes[..len]);
        len
    }

    /// The zeros between a record and the next multiple of `ALIGN`.
    pub fn copy_gap(&mut self, header: &RecordHeader) {
        let gap = header.body_len.next_multiple_of(ALIGN) - header.body_len;
        self.copy(&[0; ALIGN as usize][..gap as usize]);
    }

    /// Writes what there is, and keeps the last block when it is not full. After an error all is as
    /// it was before.
    pub fn write_out(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        if !self.is_dirty() {
            return Ok(());
        }
        let whole = self.len.next_multiple_of(self.block);
        self.buffer[self.len..whole].fill(0);
        file.pwrite(&self.buffer[..whole], u64::from(self.start))?;
        let kept = self.len % self.block;
        let from = self.len - kept;
        self.buffer.copy_within(from..self.len, 0);
        self.start += from as u32;
        self.len = kept;
        self.written = kept;
        Ok(())
    }

    fn room(&self) -> usize {
        CAPACITY - self.len
    }

    /// Returns the sum of what had the sum `crc` with these bytes behind it.
    fn copy_piece(&mut self, piece: &Piece, crc: u32) -> u32 {
        if piece.to_sum().1.is_some() {
            self.copy(&piece.bytes);
            return piece.append_crc(crc);
        }
        piece.bytes.chunks(PART).fold(crc, |crc, part| {
            self.copy(part);
            weir_crc::append(crc, part)
        })
    }

    fn copy(&mut self, bytes: &[u8]) {
        self.buffer[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;

    use super::*;
    use crate::disk::{Disk, MemDisk};
    use crate::ids::{ShardId, WalPos};
    use crate::wal::format::Kind;

    fn header(offset: u32, body_len: usize) -> RecordHeader {
        RecordHeader {
            kind: Kind::Truncate { after: None },
            shard: ShardId(1),
            at: WalPos { file: 1, offset },
            body_len: body_len as u32,
            body_crc: 0,
            durable: WalPos::ZERO,
        }
    }

    #[test]
    fn a_block_that_is_not_full_is_written_again_with_what_follows() {
        let disk = MemDisk::new();
        let path = Path::new("/wal");
        let file = disk.create(path).unwrap();
        file.pwrite(&[7; BLOCK], 0).unwrap();
        let mut blocks = Blocks::new();
        blocks.resume(&*file, 64).unwrap();
        let bodies = [vec![1; 100], vec![2; 3 * BLOCK], vec![3; 5]];
        for body in &bodies {
            let at = blocks.end();
            let header = header(at, body.len());
            blocks.add(&header, 9, &[Bytes::from(body.clone()).into()]);
            blocks.write_out(&*file).unwrap();
            assert_eq!(blocks.end(), header.end());
        }
        let bytes = disk.bytes(path);
        assert_eq!(bytes.len() % BLOCK, 0);
        assert_eq!(bytes[..64], [7; 64]);
        let mut at = 64;
        for body in &bodies {
            let written = bytes[at..at + 64].try_into().unwrap();
            let place = WalPos {
                file: 1,
                offset: at as u32,
            };
            let header = RecordHeader::decode(written, 9, place).expect("a header");
            assert_eq!(header.body_crc, weir_crc::crc32c(body));
            assert_eq!(bytes[at + 64..at + 64 + body.len()], body[..]);
            at = header.end() as usize;
        }
        assert!(bytes[at..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn nothing_is_dirty_after_a_write_until_something_is_added() {
        let disk = MemDisk::new();
        let file = disk.create(Path::new("/wal")).unwrap();
        file.pwrite(&[0; 64], 0).unwrap();
        let mut blocks = Blocks::new();
        blocks.resume(&*file, 64).unwrap();
        assert!(!blocks.is_dirty());
        blocks.add(&header(64, 8), 1, &[Bytes::from_static(b"12345678").into()]);
        assert!(blocks.is_dirty());
        blocks.write_out(&*file).unwrap();
        assert!(!blocks.is_dirty());
    }
}
