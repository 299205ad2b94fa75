use super::*;
use crate::batch::{CRC_FROM, LENGTH_PREFIX_LEN, assign, verify_crc};
use crate::builder::BatchBuilder;
use proptest::prelude::*;

const NOW: i64 = 1_000_000_000;
const HOUR: i64 = 3_600_000;

fn rules() -> ProduceRules {
    ProduceRules {
        max_message_bytes: 1_048_588,
        compacted: false,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: HOUR,
        compression: None,
        now_ms: NOW,
        produce_version: 9,
        max_decompressed_bytes: 1 << 20,
    }
}

fn builder(codec: Codec, timestamps: &[i64]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(codec);
    for timestamp in timestamps {
        builder.append(*timestamp, Some(b"key"), Some(&[7; 50]), &[]);
    }
    builder
}

fn batch(codec: Codec, timestamps: &[i64]) -> BytesMut {
    builder(codec, timestamps).build().unwrap()
}

/// Changes the header and seals it, as a client with other ideas would.
fn edited(mut batch: BytesMut, edit: impl FnOnce(&mut BatchHeader)) -> BytesMut {
    let mut header = BatchHeader::parse(&batch).unwrap();
    edit(&mut header);
    header.seal(&mut batch);
    batch
}

/// Validates; what comes out must be a sound batch whose bytes are what `header` says.
fn accepted(batch: BytesMut, rules: &ProduceRules) -> ValidBatch {
    let valid = validate(batch, rules).unwrap();
    assert_eq!(BatchHeader::parse(&valid.bytes), Ok(valid.header));
    assert_eq!(valid.header.total_len(), valid.bytes.len());
    assert_eq!(verify_crc(&valid.bytes), Ok(()));
    valid
}

fn refused(batch: BytesMut, rules: &ProduceRules) -> InvalidBatch {
    validate(batch, rules).unwrap_err()
}

fn refused_indexes(error: &InvalidBatch) -> Vec<i32> {
    let errors = error.record_errors().iter();
    errors.map(|error| error.batch_index).collect()
}

#[test]
fn a_good_batch_keeps_its_bytes() {
    for codec in Codec::ALL {
        let sent = batch(codec, &[NOW, NOW + 5, NOW - 5]);
        let valid = accepted(sent.clone(), &rules());
        assert_eq!(valid.bytes, sent, "{codec:?}");
    }
}

#[test]
fn exactly_one_batch_of_magic_2() {
    let one = batch(Codec::None, &[NOW]);
    let two = BytesMut::from([one.as_ref(), one.as_ref()].concat().as_slice());
    for bytes in [two, BytesMut::new(), BytesMut::from(&one[..one.len() - 1])] {
        assert_eq!(refused(bytes, &rules()), InvalidBatch::NotOneBatch);
    }
    let mut old = one.clone();
    old[16] = 1;
    assert_eq!(refused(old, &rules()), InvalidBatch::UnknownMagic(1));
}

#[test]
fn a_checksum_that_is_told_is_the_one_that_counts() {
    let sent = batch(Codec::None, &[NOW]);
    let crc = weir_crc::crc32c(&sent[CRC_FROM..]);
    let tell = |told: u32| {
        try_validate(&mut sent.clone(), &rules(), |at, bytes| {
            assert_eq!((at, bytes), (CRC_FROM, &sent[CRC_FROM..]));
            told
        })
    };
    assert!(tell(crc).is_ok());
    assert!(matches!(
        tell(crc ^ 1),
        Err(InvalidBatch::Corrupt(BatchError::CrcMismatch { .. }))
    ));
}

#[test]
fn damage_is_told_from_wrong_records() {
    let mut damaged = batch(Codec::None, &[NOW]);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let error = refused(damaged, &rules());
    assert!(matches!(
        error,
        InvalidBatch::Corrupt(BatchError::CrcMismatch { .. })
    ));

    let mut short = batch(Codec::None, &[NOW]);
    short[8..12].copy_from_slice(&48i32.to_be_bytes());
    let error = refused(short, &rules());
    assert_eq!(error, InvalidBatch::Corrupt(BatchError::BadLength(48)));

    let mut wrong = batch(Codec::None, &[NOW]);
    wrong[RECORD_BATCH_HEADER_LEN] = 0x7e;
    let error = refused(edited(wrong, |_| ()), &rules());
    assert!(matches!(error, InvalidBatch::Malformed(_)), "{error:?}");
}

#[test]
fn zstd_needs_produce_7_and_codecs_above_it_do_not_exist() {
    let mut old = rules();
    old.produce_version = 6;
    let error = refused(batch(Codec::Zstd, &[NOW]), &old);
    assert_eq!(
        error,
        InvalidBatch::UnsupportedCodec {
            codec: 4,
            version: 6
        }
    );
    accepted(batch(Codec::Lz4, &[NOW]), &old);

    let unknown = edited(batch(Codec::None, &[NOW]), |header| header.attributes = 5);
    assert_eq!(
        refused(unknown, &rules()),
        InvalidBatch::UnsupportedCodec {
            codec: 5,
            version: 9
        }
    );
}

#[test]
fn max_message_bytes_counts_the_whole_batch() {
    let sent = batch(Codec::None, &[NOW]);
    let mut rules = rules();
    rules.max_message_bytes = sent.len();
    accepted(sent.clone(), &rules);
    rules.max_message_bytes -= 1;
    let (size, max) = (sent.len(), rules.max_message_bytes);
    assert_eq!(refused(sent, &rules), InvalidBatch::TooLarge { size, max });
}

#[test]
fn header_fields_that_no_producer_may_send() {
    let sent = || batch(Codec::None, &[NOW, NOW]);
    let mut offset = sent();
    assign(&mut offset, 3, 0);
    assert_eq!(refused(offset, &rules()), InvalidBatch::BaseOffset(3));

    for (last_offset_delta, records_count) in [(1, 1), (0, 2), (-1, 0), (-2, -1), (1, i32::MIN)] {
        let wrong = edited(sent(), |header| {
            header.last_offset_delta = last_offset_delta;
            header.records_count = records_count;
        });
        assert_eq!(
            refused(wrong, &rules()),
            InvalidBatch::Count {
                last_offset_delta,
                records_count
            }
        );
    }

    let control = edited(sent(), BatchHeader::set_control);
    assert_eq!(refused(control, &rules()), InvalidBatch::Control);

    let sequence = edited(sent(), |header| header.producer_id = 5);
    assert_eq!(
        refused(sequence, &rules()),
        InvalidBatch::NegativeSequence {
            producer_id: 5,
            base_sequence: -1
        }
    );
}

#[test]
fn record_offsets_must_be_consecutive() {
    let mut sent = batch(Codec::None, &[NOW, NOW]);
    // length, attributes, timestamp delta, offset delta
    sent[RECORD_BATCH_HEADER_LEN + 4] = 2;
    let error = refused(edited(sent, |_| ()), &rules());
    assert!(
        matches!(
            error,
            InvalidBatch::Malformed(BatchError::MalformedRecord { index: 0, .. })
        ),
        "{error:?}"
    );
}

#[test]
fn a_compacted_topic_names_each_record_without_a_key() {
    let mut compacted = rules();
    compacted.compacted = true;
    for codec in Codec::ALL {
        let mut builder = builder(codec, &[NOW]);
        builder.append(NOW, None, Some(b"v"), &[]);
        builder.append(NOW, Some(b""), None, &[]);
        builder.append(NOW, None, None, &[]);
        let error = refused(builder.build().unwrap(), &compacted);
        assert!(matches!(error, InvalidBatch::Records(_)), "{error:?}");
        assert_eq!(refused_indexes(&error), [1, 3], "{codec:?}");
    }
}

#[test]
fn timestamps_out_of_bounds_are_named_one_by_one() {
    let mut bounded = rules();
    bounded.timestamp_before_max_ms = HOUR;
    for codec in Codec::ALL {
        let times = [
            NOW,
            NOW + HOUR,
            NOW + HOUR + 1,
            NOW - HOUR,
            NOW - HOUR - 1,
            NO_TIMESTAMP,
        ];
        let error = refused(batch(codec, &times), &bounded);
        assert!(matches!(error, InvalidBatch::Timestamps(_)), "{error:?}");
        assert_eq!(refused_indexes(&error), [2, 4], "{codec:?}");

        let error = refused(batch(codec, &[0, NOW + HOUR + 1]), &rules());
        assert_eq!(refused_indexes(&error), [1], "{codec:?}");
    }
    bounded.timestamp_type = TimestampType::LogAppendTime;
    accepted(batch(Codec::None, &[0, i64::MAX]), &bounded);
}

#[test]
fn a_key_error_beside_a_timestamp_error_counts_as_timestamp_error() {
    let mut compacted = rules();
    compacted.compacted = true;
    let mut builder = builder(Codec::None, &[NOW + HOUR + 1]);
    builder.append(NOW + HOUR + 1, None, None, &[]);
    let error = refused(builder.build().unwrap(), &compacted);
    assert!(matches!(error, InvalidBatch::Timestamps(_)), "{error:?}");
    assert_eq!(refused_indexes(&error), [0, 1]);
}

#[test]
fn extreme_timestamps_and_bounds_do_not_overflow() {
    let mut wide = rules();
    (wide.timestamp_before_max_ms, wide.timestamp_after_max_ms) = (i64::MAX, i64::MAX);
    accepted(batch(Codec::None, &[i64::MAX, 0]), &wide);
    (wide.timestamp_before_max_ms, wide.now_ms) = (i64::MAX - 1, i64::MAX);
    let error = refused(batch(Codec::None, &[i64::MIN]), &wide);
    assert_eq!(refused_indexes(&error), [0]);
}

#[test]
fn max_timestamp_is_that_of_the_records() {
    for codec in Codec::ALL {
        for wrong in [-1, 0, NOW, NOW + 8, NOW + 10] {
            let sent = edited(batch(codec, &[NOW, NOW + 9, NOW + 2]), |header| {
                header.max_timestamp = wrong;
            });
            let valid = accepted(sent, &rules());
            assert_eq!(valid.header.max_timestamp, NOW + 9, "{codec:?}");
        }
        let far = edited(batch(codec, &[NOW]), |header| {
            header.max_timestamp = i64::MAX
        });
        assert_eq!(accepted(far, &rules()).header.max_timestamp, NOW);
    }
}

#[test]
fn log_append_time_is_the_brokers() {
    let mut append = rules();
    append.timestamp_type = TimestampType::LogAppendTime;
    for codec in Codec::ALL {
        let valid = accepted(batch(codec, &[5, 6]), &append);
        assert_eq!(valid.header.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(valid.header.max_timestamp, NOW);
        assert_eq!(valid.header.base_timestamp, 5);
    }
}

#[test]
fn the_producers_timestamp_type_is_replaced_by_create_time() {
    for codec in Codec::ALL {
        let mut sent = BatchBuilder::new(codec).log_append_time(NOW - 50);
        sent.append(NOW - 10, None, None, &[]);
        sent.append(NOW - 20, None, None, &[]);
        let sent = sent.build().unwrap();
        let valid = accepted(sent.clone(), &rules());
        assert_eq!(valid.header.timestamp_type(), TimestampType::CreateTime);
        assert_eq!(valid.header.max_timestamp, NOW - 10);

        let mut append = rules();
        append.timestamp_type = TimestampType::LogAppendTime;
        let error = refused(sent, &append);
        assert!(matches!(error, InvalidBatch::Timestamps(_)), "{error:?}");
        assert_eq!(refused_indexes(&error), [0, 1]);
    }
}

#[test]
fn compression_type_recompresses_the_same_record_bytes() {
    for from in Codec::ALL {
        for to in Codec::ALL {
            let mut rules = rules();
            rules.compression = Some(to);
            let sent = builder(from, &[NOW, NOW + 1]).producer(3, 1, 7);
            let sent = sent.build().unwrap();
            let valid = accepted(sent.clone(), &rules);
            assert_eq!(valid.header.codec(), Ok(to));
            assert_eq!(
                (valid.header.producer_id, valid.header.base_sequence),
                (3, 7)
            );
            let before = BatchRecords::open(&sent, 1 << 20).unwrap();
            let after = BatchRecords::open(&valid.bytes, 1 << 20).unwrap();
            assert_eq!(before.payload(), after.payload(), "{from:?} to {to:?}");
            if from == to {
                assert_eq!(valid.bytes, sent);
            }
        }
    }
}

#[test]
fn the_size_is_checked_again_after_recompression() {
    let mut builder = BatchBuilder::new(Codec::Zstd);
    builder.append(NOW, None, Some(&[0; 5000]), &[]);
    let sent = builder.build().unwrap();
    let mut rules = rules();
    rules.max_message_bytes = 1000;
    accepted(sent.clone(), &rules);
    rules.compression = Some(Codec::None);
    let error = refused(sent, &rules);
    assert!(matches!(error, InvalidBatch::TooLarge { max: 1000, .. }));
}

#[test]
fn a_decompression_bomb_stops_at_the_cap() {
    let mut builder = BatchBuilder::new(Codec::Gzip);
    builder.append(NOW, Some(b"k"), Some(&vec![0; 3 << 20]), &[]);
    let rules = rules();
    let limit = rules.max_decompressed_bytes;
    assert_eq!(
        refused(builder.build().unwrap(), &rules),
        InvalidBatch::DecompressedTooLarge { limit }
    );
}

#[test]
fn a_payload_that_does_not_decompress_is_malformed() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut sent = batch(codec, &[NOW, NOW]);
        let end = sent.len();
        sent[RECORD_BATCH_HEADER_LEN..end].fill(0x5a);
        let error = refused(edited(sent, |_| ()), &rules());
        assert!(matches!(error, InvalidBatch::Malformed(_)), "{codec:?}");
    }
}

#[test]
fn compressed_records_are_those_that_the_header_announces() {
    for codec in Codec::ALL {
        for count in [1, 3] {
            let sent = edited(batch(codec, &[NOW, NOW]), |header| {
                header.records_count = count;
                header.last_offset_delta = count - 1;
            });
            let error = refused(sent, &rules());
            assert!(matches!(error, InvalidBatch::Malformed(_)), "{codec:?}");
        }
    }
}

#[test]
fn record_errors_are_bounded() {
    let times = vec![NOW + HOUR + 1; MAX_RECORD_ERRORS + 10];
    let error = refused(batch(Codec::None, &times), &rules());
    assert_eq!(error.record_errors().len(), MAX_RECORD_ERRORS);
}

proptest! {
    #[test]
    fn every_truncation_and_flip_is_an_error(cut: prop::sample::Index, bit: prop::sample::Index) {
        let sent = batch(Codec::None, &[NOW, NOW + 1]);
        let kept = cut.index(sent.len());
        prop_assert!(validate(BytesMut::from(&sent[..kept]), &rules()).is_err());

        // The leader epoch is the broker's to set and means nothing yet.
        let bit = bit.index(sent.len() * 8);
        if !(LENGTH_PREFIX_LEN..16).contains(&(bit / 8)) {
            let mut flipped = sent.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(validate(flipped, &rules()).is_err(), "bit {}", bit);
        }
    }

    #[test]
    fn a_sealed_lie_never_panics(
        codec in prop::sample::select(Codec::ALL.to_vec()),
        fields: (i16, i32, i64, i64, i64, i32, i32),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut sent = batch(codec, &[NOW, NOW + 1]);
        let payload = sent.len() - RECORD_BATCH_HEADER_LEN;
        sent[RECORD_BATCH_HEADER_LEN + at.index(payload)] = byte;
        let sent = edited(sent, |header| {
            (
                header.attributes,
                header.last_offset_delta,
                header.base_timestamp,
                header.max_timestamp,
                header.producer_id,
                header.base_sequence,
                header.records_count,
            ) = fields;
        });
        let mut strict = rules();
        strict.compacted = true;
        let _ = validate(sent.clone(), &strict);
        let _ = validate(sent, &rules());
    }
}
