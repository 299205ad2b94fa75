//! What a producer may write: checks one batch and corrects the fields that are the broker's to set.
//!
//! The checks come in Kafka's order, so that a batch with two faults gets Kafka's answer. One CRC pass,
//! a second one only after a correction, and no allocation for a good batch that is not compressed.
//!
//! Every record is walked, as Kafka does: a batch that does not decompress, or that holds other
//! records than its header announces, would stop each consumer that meets it, and a header's
//! max_timestamp decides what a search by time finds. Where this is more than Kafka: record offsets
//! must be consecutive, also uncompressed.

use crate::batch::{
    BatchError, BatchHeader, LENGTH_PREFIX_LEN, NO_TIMESTAMP, Offset, RECORD_BATCH_HEADER_LEN,
    TimestampType, verify_crc_by,
};
use crate::builder::assemble;
use crate::compression::{Codec, CompressionError};
use crate::records::BatchRecords;
use bytes::BytesMut;

/// Answers stay small: records beyond this many get no error of their own.
const MAX_RECORD_ERRORS: usize = 10_000;
/// The first version of Produce whose clients know zstd (KIP-110).
const FIRST_PRODUCE_VERSION_WITH_ZSTD: i16 = 7;

/// What the topic, the request and the clock ask of a batch.
#[derive(Debug, Clone, Copy)]
pub struct ProduceRules {
    /// `max.message.bytes`: the largest batch, header included, as it is stored.
    pub max_message_bytes: usize,
    /// Whether `cleanup.policy` holds `compact`, so that every record needs a key.
    pub compacted: bool,
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`; `i64::MAX` is no bound.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`; `i64::MAX` is no bound.
    pub timestamp_after_max_ms: i64,
    /// `compression.type`; `None` keeps the producer's codec.
    pub compression: Option<Codec>,
    pub now_ms: i64,
    /// The version of the Produce request.
    pub produce_version: i16,
    pub max_decompressed_bytes: usize,
}

/// A batch that may be appended once its first 16 bytes are assigned.
#[derive(Debug, Clone)]
pub struct ValidBatch {
    /// The fields as they are in `bytes`.
    pub header: BatchHeader,
    pub bytes: BytesMut,
}

/// One refused record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// The record's place in its batch, from 0.
    pub batch_index: i32,
    pub message: String,
}

/// Why a batch must not be appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    #[error("a produce request must carry exactly one record batch per partition")]
    NotOneBatch,
    #[error("record batch has magic {0}, only 2 is accepted")]
    UnknownMagic(i8),
    #[error("record batch has the codec {codec}, which produce version {version} does not allow")]
    UnsupportedCodec { codec: u8, version: i16 },
    #[error("record batch starts at offset {0}, a producer's must start at 0")]
    BaseOffset(Offset),
    #[error("record batch of {size} bytes exceeds max.message.bytes = {max}")]
    TooLarge { size: usize, max: usize },
    #[error("records of the batch exceed {limit} bytes decompressed")]
    DecompressedTooLarge { limit: usize },
    /// Length or CRC say that the bytes were damaged on their way.
    #[error("record batch arrived damaged")]
    Corrupt(#[source] BatchError),
    #[error("record batch has last offset delta {last_offset_delta} but {records_count} records")]
    Count {
        last_offset_delta: i32,
        records_count: i32,
    },
    #[error("producers must not write control batches")]
    Control,
    #[error("record batch of producer {producer_id} has the sequence number {base_sequence}")]
    NegativeSequence {
        producer_id: i64,
        base_sequence: i32,
    },
    /// The bytes are those that were sent, but they are not the records that the header announces.
    #[error("records of the batch are malformed")]
    Malformed(#[source] BatchError),
    #[error("{} records were refused", .0.len())]
    Records(Vec<RecordError>),
    /// At least one of the records was refused for its timestamp.
    #[error("{} records were refused, for their timestamp at least one", .0.len())]
    Timestamps(Vec<RecordError>),
}

impl InvalidBatch {
    /// The records that were refused one by one.
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            InvalidBatch::Records(errors) | InvalidBatch::Timestamps(errors) => errors,
            _ => &[],
        }
    }
}

/// Checks the one batch in `batch` and corrects timestamp type, max_timestamp and codec.
pub fn validate(mut batch: BytesMut, rules: &ProduceRules) -> Result<ValidBatch, InvalidBatch> {
    try_validate(&mut batch, rules, |_, bytes| weir_crc::crc32c(bytes))
}

/// The same; a batch that is refused stays where it is, to be checked by other rules. `crc` tells the CRC-32C of the
/// batch's bytes from an index of it on, for who knows it without looking at them again.
pub fn try_validate(
    batch: &mut BytesMut,
    rules: &ProduceRules,
    crc: impl FnOnce(usize, &[u8]) -> u32,
) -> Result<ValidBatch, InvalidBatch> {
    let header = only_batch(batch)?;
    batch.truncate(header.total_len());
    let codec = allowed_codec(&header, rules)?;
    check_size(header.total_len(), rules)?;
    verify_crc_by(batch, crc).map_err(InvalidBatch::Corrupt)?;
    check_header(&header)?;

    let target = rules.compression.unwrap_or(codec);
    let mut corrected = header;
    corrected.set_timestamp_type(rules.timestamp_type);
    let records = BatchRecords::open(batch, rules.max_decompressed_bytes).map_err(malformed)?;
    corrected.max_timestamp = check_records(&records, rules)?;
    if rules.timestamp_type == TimestampType::LogAppendTime {
        corrected.max_timestamp = rules.now_ms;
    }
    if target != codec {
        return recompress(corrected, target, records.payload(), rules);
    }
    if corrected != header {
        corrected.seal(batch);
    }
    Ok(ValidBatch {
        header: corrected,
        bytes: std::mem::take(batch),
    })
}

fn only_batch(bytes: &[u8]) -> Result<BatchHeader, InvalidBatch> {
    let header = BatchHeader::parse(bytes).map_err(|error| match error {
        BatchError::UnknownMagic(magic) => InvalidBatch::UnknownMagic(magic),
        BatchError::Truncated { .. } => InvalidBatch::NotOneBatch,
        error => InvalidBatch::Corrupt(error),
    })?;
    if header.total_len() > bytes.len() || starts_with_a_batch(&bytes[header.total_len()..]) {
        return Err(InvalidBatch::NotOneBatch);
    }
    Ok(header)
}

/// Whether a whole batch follows. Bytes that are less are dropped, as Kafka does.
fn starts_with_a_batch(bytes: &[u8]) -> bool {
    let Some(length) = bytes.get(8..LENGTH_PREFIX_LEN) else {
        return false;
    };
    let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
    usize::try_from(length).is_ok_and(|length| bytes.len() - LENGTH_PREFIX_LEN >= length)
}

fn allowed_codec(header: &BatchHeader, rules: &ProduceRules) -> Result<Codec, InvalidBatch> {
    let version = rules.produce_version;
    match header.codec() {
        Ok(Codec::Zstd) if version < FIRST_PRODUCE_VERSION_WITH_ZSTD => {
            let codec = Codec::Zstd.id();
            Err(InvalidBatch::UnsupportedCodec { codec, version })
        }
        Ok(codec) => Ok(codec),
        Err(BatchError::UnknownCodec(codec)) => {
            Err(InvalidBatch::UnsupportedCodec { codec, version })
        }
        Err(error) => Err(InvalidBatch::Malformed(error)),
    }
}

fn check_size(size: usize, rules: &ProduceRules) -> Result<(), InvalidBatch> {
    let max = rules.max_message_bytes;
    if size > max {
        return Err(InvalidBatch::TooLarge { size, max });
    }
    Ok(())
}

fn check_header(header: &BatchHeader) -> Result<(), InvalidBatch> {
    let BatchHeader {
        base_offset,
        last_offset_delta,
        records_count,
        producer_id,
        base_sequence,
        ..
    } = *header;
    if base_offset != 0 {
        return Err(InvalidBatch::BaseOffset(base_offset));
    }
    if records_count <= 0 || last_offset_delta != records_count - 1 {
        return Err(InvalidBatch::Count {
            last_offset_delta,
            records_count,
        });
    }
    if header.is_control() {
        return Err(InvalidBatch::Control);
    }
    if header.has_producer_id() && base_sequence < 0 {
        return Err(InvalidBatch::NegativeSequence {
            producer_id,
            base_sequence,
        });
    }
    Ok(())
}

/// Walks the records and returns their highest timestamp.
fn check_records(records: &BatchRecords<'_>, rules: &ProduceRules) -> Result<i64, InvalidBatch> {
    let header = records.header();
    let mut max_timestamp = NO_TIMESTAMP;
    let mut errors = RecordErrors::default();
    for (index, record) in (0i32..).zip(records) {
        let record = record.map_err(malformed)?;
        if record.offset_delta != index {
            let reason = "its offset does not follow the one before";
            return Err(InvalidBatch::Malformed(BatchError::MalformedRecord {
                index,
                reason,
            }));
        }
        // The record's own time, which is what consumers see once the type is the topic's.
        let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
        max_timestamp = max_timestamp.max(timestamp);
        if rules.compacted && record.key.is_none() {
            errors.key(index);
        } else if rules.timestamp_type == TimestampType::CreateTime && timestamp != NO_TIMESTAMP {
            if is_out_of_bounds(timestamp, rules) {
                errors.out_of_bounds(index, timestamp, rules);
            }
        } else if header.timestamp_type() == TimestampType::LogAppendTime {
            errors.timestamp_type(index);
        }
    }
    errors.into_result()?;
    Ok(max_timestamp)
}

fn is_out_of_bounds(timestamp: i64, rules: &ProduceRules) -> bool {
    let age = i128::from(rules.now_ms) - i128::from(timestamp);
    let too_old =
        rules.timestamp_before_max_ms < i64::MAX && age > i128::from(rules.timestamp_before_max_ms);
    let too_new =
        rules.timestamp_after_max_ms < i64::MAX && -age > i128::from(rules.timestamp_after_max_ms);
    too_old || too_new
}

fn recompress(
    header: BatchHeader,
    target: Codec,
    records: &[u8],
    rules: &ProduceRules,
) -> Result<ValidBatch, InvalidBatch> {
    if target == Codec::None {
        check_size(RECORD_BATCH_HEADER_LEN + records.len(), rules)?;
    }
    let (header, bytes) =
        assemble(header, target, records).map_err(|error| malformed(error.into()))?;
    check_size(bytes.len(), rules)?;
    Ok(ValidBatch { header, bytes })
}

fn malformed(error: BatchError) -> InvalidBatch {
    match error {
        BatchError::Compression(CompressionError::TooLarge { limit }) => {
            InvalidBatch::DecompressedTooLarge { limit }
        }
        error => InvalidBatch::Malformed(error),
    }
}

#[derive(Default)]
struct RecordErrors {
    errors: Vec<RecordError>,
    any_timestamp: bool,
}

impl RecordErrors {
    fn key(&mut self, batch_index: i32) {
        self.push(batch_index, || {
            "a compacted topic needs a key in every record".to_owned()
        });
    }

    fn out_of_bounds(&mut self, batch_index: i32, timestamp: i64, rules: &ProduceRules) {
        self.any_timestamp = true;
        self.push(batch_index, || {
            let from = rules.now_ms.saturating_sub(rules.timestamp_before_max_ms);
            let to = rules.now_ms.saturating_add(rules.timestamp_after_max_ms);
            format!(
                "timestamp {timestamp} is outside {from} to {to}, \
                 which message.timestamp.before.max.ms and message.timestamp.after.max.ms allow"
            )
        });
    }

    fn timestamp_type(&mut self, batch_index: i32) {
        self.any_timestamp = true;
        self.push(batch_index, || {
            "producers must not set the timestamp type LogAppendTime".to_owned()
        });
    }

    fn push(&mut self, batch_index: i32, message: impl FnOnce() -> String) {
        if self.errors.len() < MAX_RECORD_ERRORS {
            let message = message();
            self.errors.push(RecordError {
                batch_index,
                message,
            });
        }
    }

    fn into_result(self) -> Result<(), InvalidBatch> {
        match self {
            RecordErrors { errors, .. } if errors.is_empty() => Ok(()),
            RecordErrors {
                errors,
                any_timestamp: true,
            } => Err(InvalidBatch::Timestamps(errors)),
            RecordErrors { errors, .. } => Err(InvalidBatch::Records(errors)),
        }
    }
}

#[cfg(test)]
mod tests;
