//! The record batch of Kafka's message format v2: its header, and a run of batches.
//!
//! ```text
//! offset  size  field                   encoding
//! 0       8     base_offset             i64, big-endian like all of them
//! 8       4     batch_length            i32, bytes after this field
//! 12      4     partition_leader_epoch  i32
//! 16      1     magic                   i8 = 2
//! 17      4     crc                     u32, CRC-32C over bytes 21..end
//! 21      2     attributes              i16: 0-2 codec, 3 timestamp type, 4 transactional, 5 control
//! 23      4     last_offset_delta       i32
//! 27      8     base_timestamp          i64, ms
//! 35      8     max_timestamp           i64, ms
//! 43      8     producer_id             i64, -1 = none
//! 51      2     producer_epoch          i16
//! 53      4     base_sequence           i32
//! 57      4     records_count           i32
//! 61      n     records                 compressed as one block when a codec is set
//! ```

use crate::compression::{Codec, CompressionError};
use std::ops::Range;

/// A position in a partition.
pub type Offset = i64;
/// The number of a partition's leadership, rising with each change.
pub type LeaderEpoch = i32;

pub const RECORD_BATCH_HEADER_LEN: usize = 61;
/// Bytes in front of those that `batch_length` counts.
pub const LENGTH_PREFIX_LEN: usize = 12;
/// The only message format there is since Kafka 4.0.
pub const MAGIC: i8 = 2;
/// What a record or a batch without a timestamp carries.
pub const NO_TIMESTAMP: i64 = -1;
/// What a batch of a producer that is not idempotent carries.
pub const NO_PRODUCER_ID: i64 = -1;

const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
/// A batch's CRC is of its bytes from here on.
pub const CRC_FROM: usize = 21;
const MIN_BATCH_LENGTH: i32 = (RECORD_BATCH_HEADER_LEN - LENGTH_PREFIX_LEN) as i32;
const CODEC_BITS: i16 = 0b111;
const TIMESTAMP_TYPE_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;

const _: () = assert!(MIN_BATCH_LENGTH == 49);

/// Why bytes are no sound record batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("record batch needs {needed} bytes, {available} are there")]
    Truncated { needed: usize, available: usize },
    #[error("record batch length {0} is below the header's")]
    BadLength(i32),
    #[error("record batch has magic {0}, only 2 is known")]
    UnknownMagic(i8),
    #[error("record batch has the unknown codec {0}")]
    UnknownCodec(u8),
    #[error("record batch carries crc {stored:#010x}, its bytes have {computed:#010x}")]
    CrcMismatch { stored: u32, computed: u32 },
    #[error("record batch claims {0} records")]
    BadCount(i32),
    #[error("record {index} of the batch is malformed: {reason}")]
    MalformedRecord { index: i32, reason: &'static str },
    #[error("records of the batch do not decompress")]
    Compression(#[from] CompressionError),
}

/// Who sets a batch's timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer, for each record.
    #[default]
    CreateTime,
    /// The broker, one for the batch.
    LogAppendTime,
}

/// The header's fields as they were on the wire; nothing but magic and length is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: Offset,
    pub batch_length: i32,
    pub partition_leader_epoch: LeaderEpoch,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records_count: i32,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`; the records need not be there.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        let truncated = |needed| BatchError::Truncated {
            needed,
            available: bytes.len(),
        };
        if bytes.len() <= MAGIC_AT {
            return Err(truncated(RECORD_BATCH_HEADER_LEN));
        }
        let magic = bytes[MAGIC_AT] as i8;
        if magic != MAGIC {
            return Err(BatchError::UnknownMagic(magic));
        }
        let batch_length = i32::from_be_bytes(field(bytes, 8));
        if batch_length < MIN_BATCH_LENGTH {
            return Err(BatchError::BadLength(batch_length));
        }
        if bytes.len() < RECORD_BATCH_HEADER_LEN {
            return Err(truncated(RECORD_BATCH_HEADER_LEN));
        }
        Ok(BatchHeader {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            batch_length,
            partition_leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            magic,
            crc: u32::from_be_bytes(field(bytes, CRC_AT)),
            attributes: i16::from_be_bytes(field(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            records_count: i32::from_be_bytes(field(bytes, 57)),
        })
    }

    /// Writes every field, the CRC as it stands here.
    pub(crate) fn put(&self, bytes: &mut [u8]) {
        bytes[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        bytes[MAGIC_AT] = self.magic as u8;
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.records_count.to_be_bytes());
    }

    /// Length of the whole batch in bytes, header included.
    pub fn total_len(&self) -> usize {
        // `parse` refused a length below the header's.
        LENGTH_PREFIX_LEN + self.batch_length.max(MIN_BATCH_LENGTH) as usize
    }

    /// Offset of the last record, inclusive.
    pub fn last_offset(&self) -> Offset {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// Sequence number of the last record; after 2^31 - 1 comes 0. -1 for a batch without any.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta.max(0));
        (last & i64::from(i32::MAX)) as i32
    }

    pub fn codec(&self) -> Result<Codec, BatchError> {
        let id = (self.attributes & CODEC_BITS) as u8;
        Codec::from_id(id).ok_or(BatchError::UnknownCodec(id))
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & TIMESTAMP_TYPE_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether the producer is idempotent, so that its sequence numbers count.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// The timestamp that a consumer sees on a record of this batch.
    pub fn timestamp_of(&self, timestamp_delta: i64) -> i64 {
        match self.timestamp_type() {
            TimestampType::LogAppendTime => self.max_timestamp,
            // Clients wrap here too.
            TimestampType::CreateTime => self.base_timestamp.wrapping_add(timestamp_delta),
        }
    }

    pub(crate) fn set_codec(&mut self, codec: Codec) {
        self.attributes = self.attributes & !CODEC_BITS | i16::from(codec.id());
    }

    pub(crate) fn set_timestamp_type(&mut self, timestamp_type: TimestampType) {
        match timestamp_type {
            TimestampType::CreateTime => self.attributes &= !TIMESTAMP_TYPE_BIT,
            TimestampType::LogAppendTime => self.attributes |= TIMESTAMP_TYPE_BIT,
        }
    }

    pub(crate) fn set_control(&mut self) {
        self.attributes |= CONTROL_BIT;
    }

    pub(crate) fn set_transactional(&mut self) {
        self.attributes |= TRANSACTIONAL_BIT;
    }

    /// Writes the header into its batch with a CRC that fits, and keeps that CRC.
    pub(crate) fn seal(&mut self, batch: &mut [u8]) {
        self.put(batch);
        self.crc = weir_crc::crc32c(&batch[CRC_FROM..]);
        batch[CRC_AT..CRC_FROM].copy_from_slice(&self.crc.to_be_bytes());
    }
}

/// Sets base offset and leader epoch in a batch's first 16 bytes, which its CRC does not cover.
pub fn assign(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    batch[0..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Compares the CRC that one whole batch carries with that of its bytes.
pub fn verify_crc(batch: &[u8]) -> Result<(), BatchError> {
    verify_crc_by(batch, |_, bytes| weir_crc::crc32c(bytes))
}

/// The same, with the CRC-32C of the bytes from an index on told by `crc`.
pub(crate) fn verify_crc_by(
    batch: &[u8],
    crc: impl FnOnce(usize, &[u8]) -> u32,
) -> Result<(), BatchError> {
    if batch.len() < RECORD_BATCH_HEADER_LEN {
        return Err(BatchError::Truncated {
            needed: RECORD_BATCH_HEADER_LEN,
            available: batch.len(),
        });
    }
    let stored = u32::from_be_bytes(field(batch, CRC_AT));
    let computed = crc(CRC_FROM, &batch[CRC_FROM..]);
    if stored == computed {
        Ok(())
    } else {
        Err(BatchError::CrcMismatch { stored, computed })
    }
}

/// Goes over consecutive batches: each one's header and where it lies in `bytes`.
///
/// Ends after the first error; a batch that is not there in full is one. CRCs are not checked.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { bytes, at: 0 }
}

/// See [`batches`].
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Batches<'_> {
    type Item = Result<(BatchHeader, Range<usize>), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return None;
        }
        let parsed = BatchHeader::parse(rest).and_then(|header| {
            let needed = header.total_len();
            if needed > rest.len() {
                let available = rest.len();
                return Err(BatchError::Truncated { needed, available });
            }
            Ok(header)
        });
        Some(match parsed {
            Ok(header) => {
                let range = self.at..self.at + header.total_len();
                self.at = range.end;
                Ok((header, range))
            }
            Err(error) => {
                self.at = self.bytes.len();
                Err(error)
            }
        })
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

#[cfg(test)]
mod tests;
