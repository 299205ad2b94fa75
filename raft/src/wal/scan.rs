//! Reads one WAL file's records for recovery.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use super::files::OpenFile;
use super::format::{ALIGN, FILE_HEADER_LEN, Kind, MAX_BODY_LEN, RECORD_HEADER_LEN, RecordHeader};
use crate::ids::{ShardId, WalPos};
use crate::planted::{self, Bug};

const WINDOW: usize = 1 << 20;
/// What is read where a body was passed over: the next header.
const NARROW_WINDOW: usize = 4 << 10;
/// Bodies from this length on are passed over where they are known to be durable: reading them takes longer than
/// finding the one after.
const LONG_BODY: u32 = 128 << 10;

/// A file being scanned, through a window of its bytes.
pub struct Scan {
    pub file: OpenFile,
    pub path: PathBuf,
    len: u64,
    window: Bytes,
    window_at: u64,
    /// How much is read at a time.
    window_len: usize,
}

/// What lies at an offset.
pub enum Found {
    /// No header of this use of the file.
    Nothing,
    /// A header whose body does not match it.
    Torn,
    Record(RecordHeader),
}

/// What was found past the last good record.
#[derive(Default)]
pub struct Beyond {
    /// The highest durable position that any record claims.
    pub durable: WalPos,
    /// Where the first of them lies.
    pub first_file: Option<u64>,
    pub bytes: u64,
    pub shards: BTreeSet<ShardId>,
}

impl Scan {
    pub fn new(file: OpenFile, path: PathBuf) -> io::Result<Scan> {
        let len = file.file.size()?;
        Ok(Scan {
            file,
            path,
            len,
            window: Bytes::new(),
            window_at: 0,
            window_len: WINDOW,
        })
    }

    /// The record at an offset, compared with its checksums.
    pub fn record(&mut self, offset: u32) -> io::Result<Found> {
        self.window_len = WINDOW;
        let Some(header) = self.header(offset)? else {
            return Ok(Found::Nothing);
        };
        if !self.has_room_for(&header) {
            return Ok(Found::Torn);
        }
        let end = body_end(&header);
        let mut crc = 0;
        let mut at = u64::from(offset + RECORD_HEADER_LEN);
        while at < end {
            let len = WINDOW.min((end - at) as usize);
            crc = weir_crc::append(crc, self.bytes(at, len)?);
            at += len as u64;
        }
        let gap = (u64::from(header.end()) - end) as usize;
        let gap_is_zero =
            end + gap as u64 <= self.len && self.bytes(end, gap)?.iter().all(|byte| *byte == 0);
        let unchecked = planted::has(Bug::TornTailKept) || planted::has(Bug::ChecksumNotChecked);
        if (crc != header.body_crc || !gap_is_zero) && !unchecked {
            return Ok(Found::Torn);
        }
        Ok(Found::Record(header))
    }

    /// The same in a file that is durable up to its end. A long body is not looked at: whoever reads it compares it with
    /// its checksum then.
    pub fn durable_record(&mut self, offset: u32) -> io::Result<Found> {
        let Some(header) = self.header(offset)? else {
            return Ok(Found::Nothing);
        };
        if header.body_len < LONG_BODY || !self.has_room_for(&header) {
            return self.record(offset);
        }
        self.window_len = NARROW_WINDOW;
        Ok(Found::Record(header))
    }

    fn has_room_for(&self, header: &RecordHeader) -> bool {
        header.body_len <= MAX_BODY_LEN && body_end(header) <= self.len
    }

    /// The start record: the previous file and the end of its records.
    pub fn start(&mut self) -> io::Result<Option<(u64, u32)>> {
        Ok(match self.record(FILE_HEADER_LEN)? {
            Found::Record(header) => match header.kind {
                Kind::Start {
                    previous_file,
                    previous_end,
                } => Some((previous_file, previous_end)),
                _ => None,
            },
            _ => None,
        })
    }

    /// Looks for records at every offset from `from` on.
    pub fn beyond(&mut self, from: u32, found: &mut Beyond) -> io::Result<()> {
        let mut last_end = u64::from(from);
        let mut at = u64::from(from);
        while let Some(candidate) = self.resembling_header(at)? {
            at = candidate + u64::from(ALIGN);
            found.first_file.get_or_insert(self.file.seq);
            if let Some(header) = self.header(candidate as u32)? {
                found.durable = found.durable.max(header.durable);
                if !matches!(header.kind, Kind::Watermark { .. } | Kind::Start { .. }) {
                    found.shards.insert(header.shard);
                }
                let len = u64::from(RECORD_HEADER_LEN) + u64::from(header.body_len);
                last_end = last_end.max((candidate + len).min(self.len));
            } else if candidate == u64::from(from) {
                // A header of which a part did not reach the disk.
                last_end = last_end.max(candidate + u64::from(RECORD_HEADER_LEN));
            }
        }
        found.bytes += last_end - u64::from(from);
        Ok(())
    }

    /// The first offset from `at` on whose bytes claim to be a header, written there in this use of
    /// the file. Most of what a file holds past its records is told apart by this alone.
    fn resembling_header(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        let seq = self.file.seq.to_le_bytes();
        let header_len = u64::from(RECORD_HEADER_LEN);
        while at + header_len <= self.len {
            let len = (self.len - at).min(WINDOW as u64) as usize;
            let bytes = self.bytes(at, len)?;
            let claims = |offset: &usize| {
                bytes[offset + 8..offset + 16] == seq
                    && bytes[offset + 16..offset + 20] == (at as u32 + *offset as u32).to_le_bytes()
            };
            let last = len - RECORD_HEADER_LEN as usize;
            let mut offsets = (0..=last).step_by(ALIGN as usize);
            if let Some(offset) = offsets.find(claims) {
                return Ok(Some(at + offset as u64));
            }
            at += (last as u64 + 1).next_multiple_of(u64::from(ALIGN));
        }
        Ok(None)
    }

    fn header(&mut self, offset: u32) -> io::Result<Option<RecordHeader>> {
        let at = WalPos {
            file: self.file.seq,
            offset,
        };
        if u64::from(offset) + u64::from(RECORD_HEADER_LEN) > self.len {
            return Ok(None);
        }
        let salt = self.file.salt;
        let bytes = self.header_bytes(offset)?;
        Ok(RecordHeader::decode(bytes, salt, at))
    }

    fn header_bytes(&mut self, offset: u32) -> io::Result<&[u8; RECORD_HEADER_LEN as usize]> {
        let bytes = self.bytes(u64::from(offset), RECORD_HEADER_LEN as usize)?;
        Ok(bytes.try_into().expect("as many bytes as asked for"))
    }

    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let inside =
            at >= self.window_at && at + len as u64 <= self.window_at + self.window.len() as u64;
        if !inside {
            let take = (self.window_len as u64).max(len as u64).min(self.len - at);
            self.window = self.file.file.read(at, take as usize)?;
            self.window_at = at;
        }
        let start = (at - self.window_at) as usize;
        Ok(&self.window[start..start + len])
    }
}

/// Where a record's body ends in its file.
fn body_end(header: &RecordHeader) -> u64 {
    u64::from(header.at.offset) + u64::from(RECORD_HEADER_LEN) + u64::from(header.body_len)
}
