use super::*;
use crate::Codec;
use crate::batch::{BatchHeader, batches};
use crate::read::tests::{Fixture, batch};
use crate::read::{ReadError, ReadRequest};

fn all() -> ReadRequest {
    ReadRequest {
        from: 0,
        upper: Offset::MAX,
        max_bytes: usize::MAX,
        at_least_one: true,
    }
}

/// A partition with three entries in one segment.
fn moved() -> Fixture {
    let mut fixture = Fixture::new(0, 0);
    for time in [5, 9, 7] {
        fixture.append(1, 9, vec![batch(Codec::None, &[time, time])]);
    }
    fixture.retire(1);
    fixture
}

#[test]
fn golden_bytes() {
    let header = "574549525345470a01000000000000000700000000000000000000005b3a149a";
    assert_eq!(hex(&file_header(7)), header);
    assert_eq!(check_file_header(&file_header(7), 7), Ok(()));

    let fixture = moved();
    let segment = *fixture.log.segments().iter().next().expect("a segment");
    let file = &fixture.disk.segments[&1];
    let index = &file[(segment.at + segment.bytes) as usize..];
    assert_eq!(
        hex(index),
        concat!(
            "f4b42f99", // crc
            "01000000", // blocks
            "0707070707070707070707070707070707070707",
            "00000000",
            "0100000000000000", // file
            "2000000000000000", // at
            "0000000000000000", // base offset
            "0900000000000000", // max time
            "1d010000",         // len
            "3a0ebeb3",         // crc
        )
    );
    assert_eq!(segment.end() as usize, file.len());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_byte_that_is_flipped_or_missing_is_noticed() {
    let mut fixture = moved();
    let good = fixture.disk.segments[&1].clone();
    let expected = fixture.read(&all()).expect("sound").concat();
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 0x10;
        if at < FILE_HEADER_LEN {
            let head = flipped[..FILE_HEADER_LEN].try_into().expect("a header");
            assert!(check_file_header(head, 1).is_err(), "byte {at}");
        } else {
            fixture.disk.segments.insert(1, flipped);
            let read = fixture.read(&all());
            let noticed = matches!(read, Err(ReadError::SegmentCorrupt { file: 1, .. }));
            assert!(noticed, "byte {at}");
        }
        fixture.disk.segments.insert(1, good[..at].to_vec());
        assert!(
            at < FILE_HEADER_LEN || fixture.read(&all()).is_err(),
            "length {at}"
        );
    }
    fixture.disk.segments.insert(1, good);
    assert_eq!(fixture.read(&all()).expect("sound").concat(), expected);
}

#[test]
fn another_segments_bytes_are_never_served() {
    let mut fixture = moved();
    let mut other = Fixture::new(0, 0);
    for time in [5, 9, 8] {
        other.append(1, 9, vec![batch(Codec::None, &[time, time])]);
    }
    other.retire(1);
    let bytes = other.disk.segments[&1].clone();
    assert_eq!(bytes.len(), fixture.disk.segments[&1].len());
    fixture.disk.segments.insert(1, bytes);
    assert!(fixture.read(&all()).is_err());
}

#[test]
fn a_read_starts_at_the_block_that_holds_its_offset() {
    let mut out = Vec::new();
    let mut builder = SegmentBuilder::new([1; OWNER_LEN], 3, 32);
    let mut headers = Vec::new();
    for base in 0..40 {
        let mut bytes = batch(Codec::None, &vec![base; 300]);
        crate::assign(&mut bytes, base * 300, 1);
        let header = BatchHeader::parse(&bytes).expect("a batch");
        builder.push(&header, &bytes, &mut out);
        headers.push(header);
    }
    let data = out.len();
    let segment = builder.finish(&mut out).expect("not empty");
    assert_eq!((segment.base_offset, segment.last_offset), (0, 11_999));
    assert_eq!((segment.max_timestamp, segment.bytes), (39, data as u64));
    let index = SegmentIndex::decode(&segment, &out[data..]).expect("sound");
    assert!(index.blocks().len() > 2);
    for block in index.blocks() {
        assert!(block.len as usize <= BLOCK_BYTES);
        let start = (block.at - segment.at) as usize;
        let first = batches(&out[start..])
            .next()
            .expect("a batch")
            .expect("whole");
        assert_eq!(first.0.base_offset, block.base_offset);
        assert_eq!(index.starting_with(block.base_offset)[0], *block);
        assert_eq!(index.starting_with(block.last_offset)[0], *block);
    }
    assert!(index.starting_with(12_000).is_empty());
}

#[test]
fn nothing_is_no_segment() {
    let builder = SegmentBuilder::new([1; OWNER_LEN], 3, 32);
    assert_eq!(builder.finish(&mut Vec::new()), None);
}

#[test]
fn what_was_trimmed_while_it_was_moved_is_not_taken() {
    let mut fixture = moved();
    let segment = *fixture.log.segments().iter().next().expect("a segment");
    fixture.log.trim(6);
    assert!(fixture.log.segments().is_empty());
    assert!(!fixture.log.move_to(segment));
    assert_eq!(fixture.log.retained_bytes(), 0);
}

#[test]
fn an_index_with_impossible_numbers_is_refused() {
    let mut segment = Segment {
        base_offset: 0,
        last_offset: 9,
        max_timestamp: 0,
        file: 3,
        at: u64::MAX - 200,
        bytes: 100,
        blocks: 2,
        index_crc: 0,
        state: SegmentState::Dirty,
    };
    assert!(segment.is_sound());
    for (second_base, second_len) in [(i64::MIN, 50), (5, u32::MAX)] {
        let mut index = vec![0; segment.index_len()];
        let (first, second) = index[INDEX_HEADER_LEN..].split_at_mut(ENTRY_LEN);
        first[16..20].copy_from_slice(&50u32.to_le_bytes());
        second[0..8].copy_from_slice(&second_base.to_le_bytes());
        second[16..20].copy_from_slice(&second_len.to_le_bytes());
        segment.index_crc = weir_crc::crc32c(&index[4..]);
        index[..4].copy_from_slice(&segment.index_crc.to_le_bytes());
        let decoded = SegmentIndex::decode(&segment, &index);
        assert_eq!(decoded, Err(Damage::Index), "{second_base} {second_len}");
    }
}

#[test]
fn segments_with_more_bytes_than_there_can_be_are_refused() {
    let segment = |base_offset, bytes| Segment {
        base_offset,
        last_offset: base_offset,
        max_timestamp: 0,
        file: 3,
        at: 32,
        bytes,
        blocks: 1,
        index_crc: 0,
        state: SegmentState::Dirty,
    };
    assert!(Segments::restore(vec![segment(0, 1 << 61), segment(1, 1 << 61)]).is_some());
    assert!(Segments::restore(vec![segment(0, 1 << 62), segment(1, 1 << 62)]).is_none());
    assert!(Segments::restore(vec![segment(0, 1 << 63), segment(1, 1 << 63)]).is_none());
}
