//! Builds the batches that the server itself writes.

use crate::batch::{
    BatchHeader, LENGTH_PREFIX_LEN, LeaderEpoch, MAGIC, NO_PRODUCER_ID, NO_TIMESTAMP, Offset,
    RECORD_BATCH_HEADER_LEN, TimestampType,
};
use crate::compression::{self, Codec, CompressionError};
use crate::varint::{put_i32, put_i64};
use bytes::{Bytes, BytesMut};

/// Collects records and turns them into one batch with base offset 0 and no leader epoch.
///
/// Its producer is not idempotent unless [`BatchBuilder::producer`] says otherwise.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    header: BatchHeader,
    codec: Codec,
    payload: Vec<u8>,
    record: Vec<u8>,
}

impl BatchBuilder {
    pub fn new(codec: Codec) -> BatchBuilder {
        BatchBuilder {
            header: BatchHeader {
                base_offset: 0,
                batch_length: 0,
                partition_leader_epoch: -1,
                magic: MAGIC,
                crc: 0,
                attributes: 0,
                last_offset_delta: -1,
                base_timestamp: NO_TIMESTAMP,
                max_timestamp: NO_TIMESTAMP,
                producer_id: NO_PRODUCER_ID,
                producer_epoch: -1,
                base_sequence: -1,
                records_count: 0,
            },
            codec,
            payload: Vec::new(),
            record: Vec::new(),
        }
    }

    /// Names the idempotent producer and the sequence number of the first record.
    pub fn producer(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Self {
        self.header.producer_id = producer_id;
        self.header.producer_epoch = producer_epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Makes it a control batch, which consumers skip.
    pub fn control(mut self) -> Self {
        self.header.set_control();
        self
    }

    pub fn transactional(mut self) -> Self {
        self.header.set_transactional();
        self
    }

    /// The records' own timestamps stay in place but `append_time_ms` is what consumers see.
    pub fn log_append_time(mut self, append_time_ms: i64) -> Self {
        self.header.set_timestamp_type(TimestampType::LogAppendTime);
        self.header.max_timestamp = append_time_ms;
        self
    }

    /// Adds one record; `timestamp` is in ms since the epoch. Headers keep order and duplicates.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> &mut Self {
        let header = &mut self.header;
        if header.records_count == 0 {
            header.base_timestamp = timestamp;
        }
        if header.timestamp_type() == TimestampType::CreateTime {
            header.max_timestamp = header.max_timestamp.max(timestamp);
        }
        let timestamp_delta = timestamp.wrapping_sub(header.base_timestamp);

        let record = &mut self.record;
        record.clear();
        record.push(0);
        put_i64(record, timestamp_delta);
        put_i32(record, header.records_count);
        put_nullable(record, key);
        put_nullable(record, value);
        put_i32(record, length(headers.len()));
        for (key, value) in headers {
            put_nullable(record, Some(key));
            put_nullable(record, *value);
        }
        put_i32(&mut self.payload, length(record.len()));
        self.payload.extend_from_slice(record);

        header.last_offset_delta = header.records_count;
        header.records_count = header.records_count.checked_add(1).expect("2^31 records");
        self
    }

    pub fn records_count(&self) -> i32 {
        self.header.records_count
    }

    pub fn is_empty(&self) -> bool {
        self.header.records_count == 0
    }

    /// The batch's length if it were not compressed.
    pub fn uncompressed_len(&self) -> usize {
        RECORD_BATCH_HEADER_LEN + self.payload.len()
    }

    pub fn build(self) -> Result<BytesMut, CompressionError> {
        let (_, batch) = assemble(self.header, self.codec, &self.payload)?;
        Ok(batch)
    }
}

/// A batch without records that stands for the offsets `base` to `last`, inclusive, as what compaction leaves of one
/// does. `None` where they are more than a batch spans.
pub fn empty_batch(base: Offset, last: Offset, epoch: LeaderEpoch) -> Option<Bytes> {
    let mut header = BatchBuilder::new(Codec::None).header;
    header.base_offset = base;
    header.partition_leader_epoch = epoch;
    header.last_offset_delta = i32::try_from(last.checked_sub(base)?).ok()?;
    let (_, batch) = assemble(header, Codec::None, &[]).expect("nothing is compressed");
    (last >= base).then(|| batch.freeze())
}

/// Makes a batch of `header`'s fields and uncompressed records; codec, length and CRC are set.
pub(crate) fn assemble(
    mut header: BatchHeader,
    codec: Codec,
    records: &[u8],
) -> Result<(BatchHeader, BytesMut), CompressionError> {
    let compressed;
    let payload = match codec {
        Codec::None => records,
        codec => {
            compressed = compression::compress(codec, records)?;
            &compressed
        }
    };
    header.set_codec(codec);
    header.batch_length = length(RECORD_BATCH_HEADER_LEN - LENGTH_PREFIX_LEN + payload.len());
    let mut batch = BytesMut::with_capacity(RECORD_BATCH_HEADER_LEN + payload.len());
    batch.resize(RECORD_BATCH_HEADER_LEN, 0);
    batch.extend_from_slice(payload);
    header.seal(&mut batch);
    Ok((header, batch))
}

fn put_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_i32(out, -1),
        Some(field) => {
            put_i32(out, length(field.len()));
            out.extend_from_slice(field);
        }
    }
}

/// Callers bound what they write far below 2 GiB.
fn length(length: usize) -> i32 {
    i32::try_from(length).expect("a batch's fields are below 2 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::verify_crc;

    #[test]
    fn golden_batch() {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.append(1000, Some(b"k"), Some(b"v"), &[(b"h", None)]);
        builder.append(1005, None, None, &[]);
        let batch = builder.build().unwrap();
        #[rustfmt::skip]
        let expected = [
            0, 0, 0, 0, 0, 0, 0, 0, // base_offset
            0, 0, 0, 68, // batch_length
            0xff, 0xff, 0xff, 0xff, // partition_leader_epoch
            2, // magic
            batch[17], batch[18], batch[19], batch[20], // crc, see below
            0, 0, // attributes
            0, 0, 0, 1, // last_offset_delta
            0, 0, 0, 0, 0, 0, 0x03, 0xe8, // base_timestamp
            0, 0, 0, 0, 0, 0, 0x03, 0xed, // max_timestamp
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // producer_id
            0xff, 0xff, // producer_epoch
            0xff, 0xff, 0xff, 0xff, // base_sequence
            0, 0, 0, 2, // records_count
            22, 0, 0, 0, 2, b'k', 2, b'v', 2, 2, b'h', 1, // length, attributes, deltas, key, value, headers
            12, 0, 10, 2, 1, 1, 0,
        ];
        assert_eq!(batch.as_ref(), expected.as_slice());
        assert_eq!(verify_crc(&batch), Ok(()));
    }

    #[test]
    fn an_empty_builder_gives_a_batch_without_records() {
        let batch = BatchBuilder::new(Codec::None).build().unwrap();
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.records_count, 0);
        assert_eq!(header.total_len(), RECORD_BATCH_HEADER_LEN);
    }
}
