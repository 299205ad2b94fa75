//! The records inside a batch, walked in place.
//!
//! ```text
//! field            encoding
//! length           varint, bytes after this field
//! attributes       i8, unused
//! timestamp_delta  varlong, from the batch's base_timestamp
//! offset_delta     varint, from the batch's base_offset
//! key              varint length (-1 = null), bytes
//! value            varint length (-1 = null), bytes
//! headers          varint count, then each: varint key length, key, varint value length (-1 = null), value
//! ```

use crate::batch::{BatchError, BatchHeader, Offset, RECORD_BATCH_HEADER_LEN};
use crate::compression::{self, Codec};
use crate::varint::{take_i32, take_i64};
use std::borrow::Cow;

/// One record, borrowed from its batch's uncompressed payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub attributes: i8,
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    /// `None` is Kafka's null, which is not the empty key.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// One header of a record. Kafka demands no unique and no UTF-8 keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader<'a> {
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// A record's headers in their order, duplicates kept; decoded as they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    // Invariant: `bytes` holds exactly `count` well-formed headers.
    count: i32,
    bytes: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = RecordHeader<'a>;

    fn next(&mut self) -> Option<RecordHeader<'a>> {
        if self.count == 0 {
            return None;
        }
        self.count -= 1;
        take_header(&mut self.bytes).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count as usize, Some(self.count as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// One batch's records; owns the payload when it had to be decompressed.
#[derive(Debug)]
pub struct BatchRecords<'a> {
    header: BatchHeader,
    payload: Cow<'a, [u8]>,
}

impl<'a> BatchRecords<'a> {
    /// Opens one whole batch. The payload must not exceed `limit` bytes decompressed.
    ///
    /// The CRC is not checked: whoever brought the bytes in has done so.
    pub fn open(batch: &'a [u8], limit: usize) -> Result<BatchRecords<'a>, BatchError> {
        let header = BatchHeader::parse(batch)?;
        let payload = batch
            .get(RECORD_BATCH_HEADER_LEN..header.total_len())
            .ok_or(BatchError::Truncated {
                needed: header.total_len(),
                available: batch.len(),
            })?;
        let payload = match header.codec()? {
            Codec::None => Cow::Borrowed(payload),
            codec => Cow::Owned(compression::decompress(codec, payload, limit)?),
        };
        Ok(BatchRecords { header, payload })
    }

    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The uncompressed payload: the records' bytes, one after the other.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(&self.payload, self.header.records_count)
    }

    /// The offset of one of this batch's records.
    pub fn offset_of(&self, record: &Record<'_>) -> Offset {
        self.header
            .base_offset
            .saturating_add(i64::from(record.offset_delta))
    }

    /// The timestamp that a consumer sees on one of this batch's records.
    pub fn timestamp_of(&self, record: &Record<'_>) -> i64 {
        self.header.timestamp_of(record.timestamp_delta)
    }
}

impl<'a> IntoIterator for &'a BatchRecords<'_> {
    type Item = Result<Record<'a>, BatchError>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

/// Walks an uncompressed payload. Ends after the first error; bytes past the last record are one.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    bytes: &'a [u8],
    index: i32,
    count: i32,
}

impl<'a> RecordIter<'a> {
    pub fn new(payload: &'a [u8], records_count: i32) -> RecordIter<'a> {
        RecordIter {
            bytes: payload,
            index: 0,
            count: records_count,
        }
    }

    /// The bytes of the records that are still to come.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    fn fail(&mut self, reason: &'static str) -> BatchError {
        let index = self.index;
        self.index = self.count;
        self.bytes = &[];
        BatchError::MalformedRecord { index, reason }
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.count {
            if self.count < 0 {
                let count = std::mem::take(&mut self.count);
                self.bytes = &[];
                return Some(Err(BatchError::BadCount(count)));
            }
            if self.bytes.is_empty() {
                return None;
            }
            return Some(Err(self.fail("bytes are left after the last record")));
        }
        Some(match take_record(&mut self.bytes) {
            Ok(record) => {
                self.index += 1;
                Ok(record)
            }
            Err(reason) => Err(self.fail(reason)),
        })
    }
}

type Reason = &'static str;

fn take_record<'a>(bytes: &mut &'a [u8]) -> Result<Record<'a>, Reason> {
    let length = take_i32(bytes).ok_or("its length is cut off")?;
    let length = usize::try_from(length).map_err(|_| "its length is negative")?;
    let (mut body, rest) = bytes
        .split_at_checked(length)
        .ok_or("it is longer than the batch")?;
    *bytes = rest;

    let (attributes, after) = body.split_first().ok_or("its attributes are cut off")?;
    body = after;
    let timestamp_delta = take_i64(&mut body).ok_or("its timestamp is cut off")?;
    let offset_delta = take_i32(&mut body).ok_or("its offset is cut off")?;
    let key = take_nullable(&mut body).ok_or("its key is cut off")?;
    let value = take_nullable(&mut body).ok_or("its value is cut off")?;
    let count = take_i32(&mut body).ok_or("its header count is cut off")?;
    if count < 0 {
        return Err("its header count is negative");
    }
    let headers = body;
    for _ in 0..count {
        take_header(&mut body)?;
    }
    if !body.is_empty() {
        return Err("its length is not that of its fields");
    }
    Ok(Record {
        attributes: *attributes as i8,
        timestamp_delta,
        offset_delta,
        key,
        value,
        headers: Headers {
            count,
            bytes: headers,
        },
    })
}

fn take_header<'a>(bytes: &mut &'a [u8]) -> Result<RecordHeader<'a>, Reason> {
    let key = take_nullable(bytes).ok_or("a header's key is cut off")?;
    let key = key.ok_or("a header's key is null")?;
    let value = take_nullable(bytes).ok_or("a header's value is cut off")?;
    Ok(RecordHeader { key, value })
}

/// A length-prefixed field; any negative length is null, as Kafka has it.
fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Ok(length) = usize::try_from(take_i32(bytes)?) else {
        return Some(None);
    };
    let (field, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Some(field))
}

#[cfg(test)]
mod tests;
