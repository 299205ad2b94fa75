//! What a producer sends as records: batches are walked, validated, decompressed under a cap, and built again.
//!
//! Input: switches (u8), the codec of `compression.type` (u8), then the batch. Two switches have length and CRC made
//! right first, since chance never does.
#![no_main]

use bytes::BytesMut;
use weir_fuzz::{Bounds, Input};
use weir_log::batch::{LENGTH_PREFIX_LEN, TimestampType, verify_crc};
use weir_log::compression::{compress, decompress};
use weir_log::{
    BatchBuilder, BatchHeader, BatchRecords, CRC_FROM, Codec, Extent, KeyMap, PartitionLog, Pos,
    ProduceRules, RECORD_BATCH_HEADER_LEN, ValidBatch, assign, batches, validate,
};

/// As the broker's, in small.
const DECOMPRESSED_BYTES: usize = 256 << 10;
/// Several blocks of four megabytes, which an LZ4 frame may ask for; else a few times what is decompressed.
const BASE_BYTES: usize = (16 << 20) + 8 * DECOMPRESSED_BYTES;

const RIGHT_LENGTH: u8 = 1;
const RIGHT_CRC: u8 = 2;
const COMPACTED: u8 = 4;
const APPEND_TIME: u8 = 8;
const OLD_CLIENT: u8 = 16;
const TIME_BOUNDS: u8 = 32;

weir_fuzz::target!(Bounds::new(BASE_BYTES, 128, 2000), seeds, run);

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let switches = input.u8();
    let rules = rules(switches, input.u8());
    let mut batch = BytesMut::from(input.rest());
    put_right(&mut batch, switches);
    walk(&batch);
    if let Ok(valid) = validate(batch.clone(), &rules) {
        stored(valid, &rules);
    }
}

fn rules(switches: u8, codec: u8) -> ProduceRules {
    let on = |switch| switches & switch != 0;
    let bound = if on(TIME_BOUNDS) { 1000 } else { i64::MAX };
    ProduceRules {
        max_message_bytes: 1 << 20,
        compacted: on(COMPACTED),
        timestamp_type: match on(APPEND_TIME) {
            true => TimestampType::LogAppendTime,
            false => TimestampType::CreateTime,
        },
        timestamp_before_max_ms: bound,
        timestamp_after_max_ms: bound,
        compression: codec.checked_sub(1).and_then(|id| Codec::from_id(id % 8)),
        now_ms: 1_700_000_000_000,
        produce_version: if on(OLD_CLIENT) { 3 } else { 9 },
        max_decompressed_bytes: DECOMPRESSED_BYTES,
    }
}

fn put_right(batch: &mut [u8], switches: u8) {
    if batch.len() < RECORD_BATCH_HEADER_LEN {
        return;
    }
    if switches & RIGHT_LENGTH != 0 {
        let length = (batch.len() - LENGTH_PREFIX_LEN) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[..8].fill(0);
        batch[16] = 2;
    }
    if switches & RIGHT_CRC != 0 {
        let crc = crc32c::crc32c(&batch[CRC_FROM..]);
        batch[17..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    }
}

/// Any bytes are walked to their end, and what is walked lies within them.
fn walk(bytes: &[u8]) {
    let mut at = 0;
    for batch in batches(bytes) {
        let Ok((header, range)) = batch else { break };
        assert_eq!(range.start, at, "batches follow each other");
        at = range.end;
        let Ok(records) = BatchRecords::open(&bytes[range], DECOMPRESSED_BYTES) else {
            continue;
        };
        assert!(records.payload().len() <= DECOMPRESSED_BYTES.max(bytes.len()));
        let mut count = 0;
        for record in records.iter().flatten() {
            records.offset_of(&record);
            records.timestamp_of(&record);
            assert_eq!(record.headers.count(), record.headers.len());
            count += 1;
        }
        assert!(count <= header.records_count.max(0));
    }
}

/// A batch that passed may be stored: it is whole, passes again as it is, and goes into a log.
fn stored(valid: ValidBatch, rules: &ProduceRules) {
    let ValidBatch { header, mut bytes } = valid;
    assert_eq!(
        BatchHeader::parse(&bytes),
        Ok(header),
        "the header given is the one in the bytes"
    );
    assert_eq!(header.total_len(), bytes.len());
    assert_eq!(verify_crc(&bytes), Ok(()));
    if rules.timestamp_type == TimestampType::CreateTime {
        // An old client's batch may be stored in a codec that it could not have sent: the topic's.
        let of_a_new_client = ProduceRules {
            produce_version: 9,
            ..*rules
        };
        let again = validate(bytes.clone(), &of_a_new_client).expect("it passed before");
        assert_eq!(again.bytes, bytes, "there is nothing left to correct");
    }
    rebuilt(&header, &bytes);

    let mut log = PartitionLog::starting_at(5);
    assign(&mut bytes, 5, 3);
    assert_eq!(
        verify_crc(&bytes),
        Ok(()),
        "the CRC does not cover what is assigned"
    );
    let header = BatchHeader::parse(&bytes).expect("as before");
    let pos = Pos {
        file: 1,
        offset: 64,
    };
    let extent = Extent::of(&[header], pos).expect("one batch");
    if log.append(&[header], &extent, 7).is_ok() {
        assert_eq!(log.next_offset(), 5 + i64::from(header.records_count));
    }
    let mut keys = KeyMap::new([1, 2], 4096, 0, 16);
    keys.note(&bytes, DECOMPRESSED_BYTES)
        .expect("readable, as it was validated");
}

/// The records, written by our own builder, are the same records.
fn rebuilt(header: &BatchHeader, bytes: &[u8]) {
    let records = BatchRecords::open(bytes, DECOMPRESSED_BYTES).expect("validated");
    let codec = header.codec().expect("validated");
    let mut builder = BatchBuilder::new(codec);
    for record in &records {
        let record = record.expect("validated");
        let headers: Vec<_> = record.headers.map(|h| (h.key, h.value)).collect();
        let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
        builder.append(timestamp, record.key, record.value, &headers);
    }
    let built = builder.build().expect("fits");
    let again = BatchRecords::open(&built, 2 * DECOMPRESSED_BYTES).expect("our own");
    let mut count = 0;
    for (before, after) in records.iter().zip(again.iter()) {
        let (before, after) = (before.expect("validated"), after.expect("our own"));
        assert_eq!((before.key, before.value), (after.key, after.value));
        assert_eq!(before.offset_delta, after.offset_delta);
        assert!(before.headers.eq(after.headers));
        count += 1;
    }
    assert_eq!(count, header.records_count);

    let packed = compress(codec, records.payload()).expect("compresses");
    let unpacked = decompress(codec, &packed, records.payload().len()).expect("our own");
    assert_eq!(unpacked, records.payload());
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for codec in Codec::ALL {
        for count in [1, 12] {
            let mut builder = BatchBuilder::new(codec).producer(7, 0, 3);
            for number in 0..count {
                let value = vec![b'a' + number as u8; 20];
                let headers: [(&[u8], Option<&[u8]>); 2] = [(b"h", None), (b"g", Some(b"x"))];
                let timestamp = 1_700_000_000_000 + number;
                builder.append(timestamp, Some(b"key"), Some(&value), &headers);
            }
            let batch = builder.build().expect("fits");
            for (switches, target) in [(3, 0), (3, 1), (7, 5), (63, 3)] {
                seeds.push([&[switches, target], &batch[..]].concat());
            }
        }
    }
    let mut tombstone = BatchBuilder::new(Codec::None);
    tombstone.append(-1, Some(b"k"), None, &[]);
    let tombstone = tombstone.build().expect("fits");
    seeds.push([&[0, 0], &tombstone[..], &tombstone[..]].concat());
    let bomb = compress(Codec::Gzip, &vec![0; 1 << 20]).expect("compresses");
    seeds.push(
        [
            &[3, 0],
            &tombstone[..21],
            &[0, 1],
            &tombstone[23..61],
            &bomb[..],
        ]
        .concat(),
    );
    seeds
}
