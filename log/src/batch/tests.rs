use super::*;
use crate::builder::BatchBuilder;
use proptest::prelude::*;

fn batch_of(records: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None).producer(7, 3, 40);
    for n in 0..records {
        builder.append(1000 + n as i64, Some(b"key"), Some(b"value"), &[]);
    }
    builder.build().unwrap().to_vec()
}

#[test]
fn header_fields_are_where_kafka_has_them() {
    let mut batch = batch_of(3);
    assign(&mut batch, 500, 9);
    let header = BatchHeader::parse(&batch).unwrap();
    assert_eq!(header.base_offset, 500);
    assert_eq!(header.last_offset(), 502);
    assert_eq!(header.partition_leader_epoch, 9);
    assert_eq!(header.producer_id, 7);
    assert_eq!(header.producer_epoch, 3);
    assert_eq!((header.base_sequence, header.last_sequence()), (40, 42));
    assert_eq!((header.base_timestamp, header.max_timestamp), (1000, 1002));
    assert_eq!(header.records_count, 3);
    assert_eq!(header.total_len(), batch.len());
    assert_eq!(header.codec(), Ok(Codec::None));
    assert!(!header.is_control() && !header.is_transactional());
}

#[test]
fn assigning_leaves_the_crc_valid() {
    let mut batch = batch_of(2);
    let before = BatchHeader::parse(&batch).unwrap().crc;
    assign(&mut batch, i64::MAX - 5, i32::MAX);
    assert_eq!(verify_crc(&batch), Ok(()));
    assert_eq!(BatchHeader::parse(&batch).unwrap().crc, before);
}

#[test]
fn sequences_wrap_after_two_to_the_31_minus_1() {
    let mut header = BatchHeader::parse(&batch_of(1)).unwrap();
    for (base, delta, last) in [
        (i32::MAX, 0, i32::MAX),
        (i32::MAX, 1, 0),
        (i32::MAX - 1, 3, 1),
        (i32::MAX, i32::MAX, i32::MAX - 1),
        (-1, 5, -1),
    ] {
        header.base_sequence = base;
        header.last_offset_delta = delta;
        assert_eq!(header.last_sequence(), last, "{base} + {delta}");
    }
}

#[test]
fn extreme_header_fields_do_not_overflow() {
    let mut header = BatchHeader::parse(&batch_of(1)).unwrap();
    header.base_offset = i64::MAX;
    header.last_offset_delta = i32::MAX;
    header.base_timestamp = i64::MAX;
    assert_eq!(header.last_offset(), i64::MAX);
    assert_eq!(header.timestamp_of(1), i64::MIN);
    header.base_offset = i64::MIN;
    header.last_offset_delta = i32::MIN;
    assert_eq!(header.last_offset(), i64::MIN);
}

#[test]
fn length_and_magic_are_checked() {
    let good = batch_of(1);
    let mut bad = good.clone();
    bad[16] = 1;
    assert_eq!(BatchHeader::parse(&bad), Err(BatchError::UnknownMagic(1)));
    for length in [48, 0, -1, i32::MIN] {
        let mut bad = good.clone();
        bad[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(BatchHeader::parse(&bad), Err(BatchError::BadLength(length)));
    }
    let mut long = good.clone();
    long[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    let mut over_it = batches(&long);
    assert!(matches!(
        over_it.next(),
        Some(Err(BatchError::Truncated { .. }))
    ));
    assert!(over_it.next().is_none());
}

#[test]
fn consecutive_batches_are_found() {
    let (first, second) = (batch_of(1), batch_of(4));
    let both = [first.clone(), second.clone()].concat();
    let found: Vec<_> = batches(&both).map(|found| found.unwrap()).collect();
    assert_eq!(found.len(), 2);
    assert_eq!(both[found[0].1.clone()], first);
    assert_eq!(both[found[1].1.clone()], second);
    assert_eq!(found[1].0.records_count, 4);
}

proptest! {
    #[test]
    fn header_round_trip(fields: (i64, i32, i16, i32, i64, i64, i64, i16, i32, i32)) {
        let mut header = BatchHeader::parse(&batch_of(1)).unwrap();
        (
            header.base_offset,
            header.partition_leader_epoch,
            header.attributes,
            header.last_offset_delta,
            header.base_timestamp,
            header.max_timestamp,
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            header.records_count,
        ) = fields;
        let mut bytes = [0; RECORD_BATCH_HEADER_LEN];
        header.put(&mut bytes);
        prop_assert_eq!(BatchHeader::parse(&bytes), Ok(header));
    }

    #[test]
    fn every_truncation_is_an_error(records in 1usize..5, cut: prop::sample::Index) {
        let batch = batch_of(records);
        let cut = cut.index(batch.len());
        let found = batches(&batch[..cut]).next();
        prop_assert!(cut == 0 || matches!(found, Some(Err(_))));
    }

    #[test]
    fn the_crc_catches_every_flipped_bit_that_it_covers(bit in CRC_AT * 8..84 * 8) {
        let mut batch = batch_of(2);
        prop_assert!(batch.len() >= 84);
        batch[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify_crc(&batch).is_err());
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        for (header, _) in batches(&noise).flatten() {
            let _ = (header.last_offset(), header.last_sequence(), header.codec());
        }
    }
}
