use super::*;
use crate::batch::BatchHeader;
use crate::builder::BatchBuilder;
use crate::compression::Codec;
use proptest::prelude::*;

/// Appends one batch of one record; the gap on disk keeps extents apart.
fn append(
    log: &mut PartitionLog,
    epoch: i32,
    producer: Option<(i64, i32)>,
    gap: u32,
    at: u32,
) -> u32 {
    let mut builder = BatchBuilder::new(Codec::None);
    if let Some((id, sequence)) = producer {
        builder = builder.producer(id, 2, sequence);
    }
    builder.append(1000 + i64::from(at), None, None, &[]);
    let mut header = BatchHeader::parse(&builder.build().unwrap()).unwrap();
    header.base_offset = log.next_offset();
    header.partition_leader_epoch = epoch;
    let pos = Pos {
        file: 9,
        offset: at + gap,
    };
    let extent = Extent::of(&[header], pos).unwrap();
    log.append(&[header], &extent, 77).unwrap();
    pos.offset + extent.len
}

/// A segment with these offsets, inclusive.
fn segment(base_offset: Offset, last_offset: Offset) -> Segment {
    Segment {
        base_offset,
        last_offset,
        max_timestamp: 1000,
        file: 12,
        at: 32,
        bytes: 68,
        blocks: 1,
        index_crc: 0xabcd,
        state: SegmentState::Clean {
            tombstones_until_ms: Some(258),
        },
    }
}

fn encoded(log: &PartitionLog) -> Vec<u8> {
    let mut out = Vec::new();
    encode(log, &mut out);
    out
}

#[test]
fn golden_bytes() {
    let mut log = PartitionLog::starting_at(5);
    let at = append(&mut log, 3, None, 0, 0);
    assert!(log.move_to(segment(5, 5)));
    append(&mut log, 3, Some((17, 4)), 256, at);
    #[rustfmt::skip]
    let expected = [
        1, 4, // kind, version
        0, 0, 0, 199, // length
        0x1a, 0x14, 0x67, 0xed, // crc
        0, 0, 0, 0, 0, 0, 0, 5, // log_start_offset
        0, 0, 0, 0, 0, 0, 0, 7, // next_offset
        0, 0, 0, 1, // epochs
        0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5,
        0, 0, 0, 1, // producers
        0, 0, 0, 0, 0, 0, 0, 17, // producer_id
        0, 2, // epoch
        0, 0, 0, 0, 0, 0, 0, 77, // last_append_ms
        1, // batches
        0, 0, 0, 0, 0, 0, 0, 6, // base_offset
        0, 0, 0, 0, 0, 0, 0x04, 0x2c, // timestamp
        0, 0, 0, 4, 0, 0, 0, 4, // sequences
        0, 0, 0, 1, // segments
        0, 0, 0, 0, 0, 0, 0, 5, // base_offset
        0, 0, 0, 0, 0, 0, 0, 5, // last_offset
        0, 0, 0, 0, 0, 0, 0x03, 0xe8, // max_timestamp
        0, 0, 0, 0, 0, 0, 0, 12, // file
        0, 0, 0, 0, 0, 0, 0, 32, // at
        0, 0, 0, 0, 0, 0, 0, 68, // bytes
        0, 0, 0, 1, // blocks
        0, 0, 0xab, 0xcd, // index_crc
        0, 0, 0, 0, 0, 0, 1, 2, // state
        0, 0, 0, 1, // runs
        0, 0, 0, 0, 0, 0, 0, 6, // base_offset
        0, 0, 0, 0, 0, 0, 0x04, 0x2c, // base_timestamp
        0, 0, 0, 0, 0, 0, 0, 9, // file
        0, 0, 0, 3, // leader_epoch
        0, 0, 0, 1, // extents
        0, 0, 0, 0, // last offset
        0, 0, 0, 0, // max_timestamp
        0, 0, 1, 0x44, // offset
        0, 0, 0, 68, // len
    ];
    assert_eq!(encoded(&log), expected);
    assert_eq!(decode(&mut expected.as_slice()), Ok(log));
}

#[test]
fn states_stand_one_after_the_other() {
    let (first, mut second) = (PartitionLog::starting_at(1), PartitionLog::new());
    append(&mut second, 1, None, 0, 0);
    let both = [encoded(&first), encoded(&second)].concat();
    let mut bytes = both.as_slice();
    assert_eq!(decode(&mut bytes), Ok(first));
    assert_eq!(decode(&mut bytes), Ok(second));
    assert!(bytes.is_empty());
    assert_eq!(decode(&mut bytes), Err(FormatError::Truncated));
}

#[test]
fn reserved_and_unknown_versions_are_refused() {
    let good = encoded(&PartitionLog::new());
    for (kind, version) in [(0, 4), (1, 0), (1, 1), (1, 2), (1, 3), (1, 5), (2, 4)] {
        let mut bad = good.clone();
        (bad[0], bad[1]) = (kind, version);
        let refused = decode(&mut bad.as_slice());
        assert_eq!(refused, Err(FormatError::Unknown { kind, version }));
    }
}

#[test]
fn a_sound_crc_over_a_contradiction_is_refused() {
    let mut log = PartitionLog::new();
    append(&mut log, 1, None, 0, 0);
    let mut bad = encoded(&log);
    // next_offset
    bad[HEADER_LEN + 15] = 9;
    let crc = crc_of(&bad);
    bad[CRC_AT..HEADER_LEN].copy_from_slice(&crc.to_be_bytes());
    let refused = decode(&mut bad.as_slice());
    assert!(matches!(refused, Err(FormatError::Inconsistent(_))));
}

fn any_log() -> impl Strategy<Value = PartitionLog> {
    let steps = prop::collection::vec((0i32..2, prop::option::of(1i64..4), 0u32..2), 0..40);
    (0i64..1000, steps, 0i64..50, 0i64..50).prop_map(|(start, steps, moved, trimmed)| {
        let mut log = PartitionLog::starting_at(start);
        let (mut epoch, mut at, mut sequences) = (0, 0, [0; 4]);
        for (epoch_step, producer, gap) in steps {
            epoch += epoch_step;
            let producer = producer.map(|id| {
                sequences[id as usize] += 1;
                (id, sequences[id as usize])
            });
            at = append(&mut log, epoch, producer, gap, at);
        }
        let extents: Vec<_> = log.extents().iter().collect();
        if let Some(last) = extents
            .iter()
            .rfind(|last| last.last_offset < start + moved)
        {
            assert!(log.move_to(segment(start, last.last_offset)));
        }
        log.trim(start + trimmed);
        log
    })
}

proptest! {
    #[test]
    fn round_trip(log in any_log()) {
        let bytes = encoded(&log);
        let decoded = decode(&mut bytes.as_slice()).unwrap();
        prop_assert_eq!(encoded(&decoded), bytes);
        prop_assert_eq!(decoded.producers(), log.producers());
        prop_assert_eq!(decoded.epochs(), log.epochs());
        prop_assert_eq!(decoded.retained_bytes(), log.retained_bytes());
    }

    #[test]
    fn every_truncation_and_flip_is_refused(
        log in any_log(),
        cut: prop::sample::Index,
        bit: prop::sample::Index,
    ) {
        let bytes = encoded(&log);
        prop_assert!(decode(&mut &bytes[..cut.index(bytes.len())]).is_err());
        let bit = bit.index(bytes.len() * 8);
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode(&mut flipped.as_slice()).is_err());
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut sealed = [vec![KIND, VERSION, 0, 0, 0, noise.len() as u8, 0, 0, 0, 0], noise].concat();
        let crc = crc_of(&sealed);
        sealed[CRC_AT..HEADER_LEN].copy_from_slice(&crc.to_be_bytes());
        let _ = decode(&mut sealed.as_slice());
    }
}
