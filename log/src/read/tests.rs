use super::*;
use crate::batch::{BatchHeader, assign};
use crate::builder::BatchBuilder;
use crate::compression::Codec;
use crate::segment::{self, SegmentBuilder};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;

const PARTITION: u64 = 3;

/// A partition whose batches are in files, a tail and a plain list.
pub(crate) struct Fixture {
    pub log: PartitionLog,
    pub tail: Tail,
    pub disk: Disk,
    pub batches: Vec<(BatchHeader, Bytes)>,
    epoch: i32,
}

#[derive(Default)]
pub(crate) struct Disk {
    files: HashMap<u64, Vec<u8>>,
    pub segments: HashMap<u64, Vec<u8>>,
    reads: RefCell<Vec<(Pos, usize)>>,
}

impl BlockReader for Disk {
    fn read(&self, pos: Pos, len: usize) -> io::Result<Bytes> {
        self.reads.borrow_mut().push((pos, len));
        let start = pos.offset as usize;
        let file = &self.files[&pos.file];
        Ok(Bytes::copy_from_slice(&file[start..start + len]))
    }

    fn read_segment(&self, file: u64, at: u64, len: usize) -> io::Result<Bytes> {
        let start = at as usize;
        let bytes = self.segments[&file].get(start..start + len);
        Ok(Bytes::copy_from_slice(bytes.unwrap_or_default()))
    }
}

impl Fixture {
    pub fn new(start: Offset, tail_budget: usize) -> Fixture {
        Fixture {
            log: PartitionLog::starting_at(start),
            tail: Tail::new(tail_budget),
            disk: Disk::default(),
            batches: Vec::new(),
            epoch: 1,
        }
    }

    /// Appends one entry of several batches, `gap` bytes behind what the file holds.
    pub fn append(&mut self, file: u64, gap: usize, entry: Vec<bytes::BytesMut>) {
        let mut next = self.log.next_offset();
        let mut headers = Vec::new();
        let mut bytes = Vec::new();
        for mut batch in entry {
            assign(&mut batch, next, self.epoch);
            let header = BatchHeader::parse(&batch).unwrap();
            next = header.last_offset() + 1;
            headers.push(header);
            bytes.extend_from_slice(&batch);
            self.batches.push((header, batch.freeze()));
        }
        let content = self.disk.files.entry(file).or_default();
        content.resize(content.len() + gap, 0xee);
        let offset = content.len() as u32;
        content.extend_from_slice(&bytes);
        let extent = Extent::of(&headers, Pos { file, offset }).unwrap();
        self.log.append(&headers, &extent, 0).unwrap();
        let cost = bytes.len();
        let (base, last) = (extent.base_offset, extent.last_offset);
        self.tail.push(PARTITION, base, last, bytes.into(), cost);
    }

    /// Moves what lies in WAL files up to `file` into a segment.
    pub fn retire(&mut self, file: u64) {
        let Some(end) = self.log.end_in_wal(file) else {
            return;
        };
        let start = self.log.extents().iter().next().unwrap().base_offset;
        let number = self.disk.segments.len() as u64 + 1;
        let mut content = segment::file_header(number).to_vec();
        let at = content.len() as u64;
        let mut builder = SegmentBuilder::new([7; segment::OWNER_LEN], number, at);
        for (header, bytes) in &self.batches {
            if (start..end).contains(&header.base_offset) {
                builder.push(header, bytes, &mut content);
            }
        }
        assert!(self.log.move_to(builder.finish(&mut content).unwrap()));
        assert!(self.log.validate());
        self.disk.segments.insert(number, content);
    }

    pub fn next_epoch(&mut self) {
        self.epoch += 1;
    }

    pub fn read(&self, request: &ReadRequest) -> Result<Vec<Bytes>, ReadError> {
        read(&self.log, &self.tail, PARTITION, &self.disk, request)
    }

    pub fn search(
        &self,
        search: crate::search::TimestampSearch,
    ) -> Result<Option<crate::search::TimestampHit>, ReadError> {
        crate::search::search(search, &self.log, &self.tail, PARTITION, &self.disk)
    }
}

pub(crate) fn batch(codec: Codec, timestamps: &[i64]) -> bytes::BytesMut {
    let mut builder = BatchBuilder::new(codec);
    for timestamp in timestamps {
        builder.append(*timestamp, None, Some(b"some value"), &[]);
    }
    builder.build().unwrap()
}

fn of(records: usize) -> bytes::BytesMut {
    batch(Codec::None, &vec![5; records])
}

fn from(from: Offset) -> ReadRequest {
    ReadRequest {
        from,
        upper: Offset::MAX,
        max_bytes: usize::MAX,
        at_least_one: false,
    }
}

fn base_offsets(read: &[Bytes]) -> Vec<Offset> {
    let headers = read.iter().flat_map(|run| batches(run));
    headers.map(|found| found.unwrap().0.base_offset).collect()
}

#[test]
fn a_read_starts_with_the_batch_that_contains_the_offset() {
    for budget in [0, 1 << 20] {
        let mut fixture = Fixture::new(0, budget);
        fixture.append(1, 9, vec![of(4), of(6)]);
        fixture.append(1, 9, vec![of(1)]);
        assert_eq!(base_offsets(&fixture.read(&from(3)).unwrap()), [0, 4, 10]);
        assert_eq!(base_offsets(&fixture.read(&from(9)).unwrap()), [4, 10]);
        assert_eq!(base_offsets(&fixture.read(&from(10)).unwrap()), [10]);
        assert!(fixture.read(&from(11)).unwrap().is_empty());
    }
}

#[test]
fn offsets_outside_of_the_log_are_named() {
    let mut fixture = Fixture::new(0, 0);
    fixture.append(1, 0, vec![of(10)]);
    fixture.log.trim(5);
    for outside in [4, 11, -1, i64::MIN, i64::MAX] {
        let result = fixture.read(&from(outside));
        assert!(matches!(result, Err(ReadError::OutOfRange { .. })));
    }
    assert_eq!(base_offsets(&fixture.read(&from(5)).unwrap()), [0]);
}

#[test]
fn the_first_batch_may_exceed_max_bytes_only_when_asked() {
    for budget in [0, 1 << 20] {
        let mut fixture = Fixture::new(0, budget);
        fixture.append(1, 9, vec![of(4), of(6)]);
        for max_bytes in [0, 10] {
            let mut request = ReadRequest {
                max_bytes,
                ..from(0)
            };
            assert!(fixture.read(&request).unwrap().is_empty());
            request.at_least_one = true;
            assert_eq!(base_offsets(&fixture.read(&request).unwrap()), [0]);
        }
    }
}

#[test]
fn the_tail_needs_no_disk() {
    let mut fixture = Fixture::new(0, 1 << 20);
    fixture.append(1, 0, vec![of(1)]);
    fixture.append(1, 0, vec![of(1)]);
    let plan = ReadPlan::new(&fixture.log, &fixture.tail, PARTITION, &from(0)).unwrap();
    assert!(plan.is_in_memory());
    assert_eq!(fixture.read(&from(0)).unwrap().len(), 2);
    assert!(fixture.disk.reads.borrow().is_empty());
}

#[test]
fn neighbours_on_disk_are_one_call() {
    let mut fixture = Fixture::new(0, 0);
    let gap = MAX_GAP_BYTES as usize;
    for gap in [0, gap, gap, gap + 1] {
        fixture.append(1, gap, vec![of(1)]);
    }
    fixture.append(2, 0, vec![of(1)]);
    let read = fixture.read(&from(0)).unwrap();
    assert_eq!(base_offsets(&read), [0, 1, 2, 3, 4]);
    let len = of(1).len();
    let lens: Vec<_> = fixture.disk.reads.borrow().iter().map(|r| r.1).collect();
    assert_eq!(lens, [3 * len + 2 * gap, len, len]);
    // The three small ones do not keep what lies between them.
    let lens: Vec<_> = read.iter().map(Bytes::len).collect();
    assert_eq!(lens, [3 * len, len, len]);
}

#[test]
fn what_is_read_at_once_is_bounded_however_many_small_neighbours_there_are() {
    let mut fixture = Fixture::new(0, 0);
    let (gap, count) = (MAX_GAP_BYTES as usize, 600);
    for _ in 0..count {
        fixture.append(1, gap, vec![of(1)]);
    }
    let read = fixture.read(&from(0)).unwrap();
    assert_eq!(base_offsets(&read), (0..count).collect::<Vec<_>>());
    let reads = fixture.disk.reads.borrow();
    assert_eq!(reads.len(), 3);
    assert!(reads.iter().all(|(_, len)| *len <= READ_BYTES));
    assert_eq!(read.len(), 3);
}

#[test]
fn large_neighbours_are_not_copied() {
    let mut fixture = Fixture::new(0, 0);
    for _ in 0..2 {
        fixture.append(1, 9, vec![of(COPIED_BELOW_BYTES / 10)]);
    }
    assert_eq!(fixture.read(&from(0)).unwrap().len(), 2);
    assert_eq!(fixture.disk.reads.borrow().len(), 1);
}

#[test]
fn a_small_read_does_not_plan_the_whole_log() {
    let mut fixture = Fixture::new(0, 0);
    for _ in 0..10 {
        fixture.append(1, 8000, vec![of(1)]);
    }
    let max_bytes = of(1).len() * 2;
    let request = ReadRequest {
        max_bytes,
        ..from(0)
    };
    assert_eq!(fixture.read(&request).unwrap().len(), 2);
    assert_eq!(fixture.disk.reads.borrow().len(), 2);
}

#[test]
fn damage_on_disk_is_never_served() {
    let mut fixture = Fixture::new(0, 0);
    fixture.append(1, 0, vec![of(2), of(3)]);
    let good = fixture.disk.files[&1].clone();
    for bit in 0..good.len() * 8 {
        let byte = bit / 8;
        let in_batch = if byte < of(2).len() {
            byte
        } else {
            byte - of(2).len()
        };
        // The leader epoch is the one field without a check.
        if (12..16).contains(&in_batch) {
            continue;
        }
        let mut damaged = good.clone();
        damaged[byte] ^= 1 << (bit % 8);
        fixture.disk.files.insert(1, damaged);
        let result = fixture.read(&from(0));
        assert!(
            matches!(result, Err(ReadError::Corrupt { .. })),
            "bit {bit}"
        );
    }
}

#[test]
fn another_batch_in_the_same_place_is_never_served() {
    let mut fixture = Fixture::new(0, 0);
    fixture.append(1, 0, vec![of(2)]);
    let mut other = of(2);
    assign(&mut other, 700, 1);
    fixture.disk.files.insert(1, other.to_vec());
    assert!(matches!(
        fixture.read(&from(0)),
        Err(ReadError::Corrupt {
            source: Damage::Offset {
                expected: 0,
                found: 700
            },
            ..
        })
    ));
}

#[test]
fn a_short_read_is_an_error() {
    struct Short;
    impl BlockReader for Short {
        fn read(&self, _: Pos, len: usize) -> io::Result<Bytes> {
            Ok(Bytes::from(vec![0; len - 1]))
        }

        fn read_segment(&self, _: u64, _: u64, len: usize) -> io::Result<Bytes> {
            Ok(Bytes::from(vec![0; len - 1]))
        }
    }
    let mut fixture = Fixture::new(0, 0);
    fixture.append(1, 0, vec![of(2)]);
    let result = read(&fixture.log, &fixture.tail, PARTITION, &Short, &from(0));
    assert!(matches!(
        result,
        Err(ReadError::Corrupt {
            source: Damage::Length { .. },
            ..
        })
    ));
}

fn entry() -> impl Strategy<Value = (Vec<usize>, usize, bool)> {
    let gap = prop_oneof![Just(0usize), Just(30), Just(5000)];
    (prop::collection::vec(1usize..4, 1..4), gap, any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_read_is_what_was_appended(
        entries in prop::collection::vec(entry(), 1..20),
        budget in 0usize..4000,
        trimmed in 0i64..30,
        (early, late, retired) in (0u64..20, 0u64..20, any::<bool>()),
        (start, limit) in (0i64..60, 0i64..60),
        max_bytes in prop_oneof![0usize..2000, Just(usize::MAX)],
        at_least_one: bool,
    ) {
        let mut fixture = Fixture::new(0, budget);
        let mut file = 0;
        for (records, gap, next_file) in entries {
            file += u64::from(next_file);
            fixture.append(file, gap, records.into_iter().map(of).collect());
        }
        if retired {
            fixture.retire(early);
        }
        fixture.log.trim(trimmed);
        if retired {
            fixture.retire(late);
        }
        let (low, high) = (fixture.log.log_start_offset(), fixture.log.next_offset());
        let request = ReadRequest {
            from: start.clamp(low, high),
            upper: limit,
            max_bytes,
            at_least_one,
        };

        let mut left = max_bytes;
        let mut expected = Vec::new();
        for (header, bytes) in &fixture.batches {
            if header.last_offset() < request.from {
                continue;
            }
            let fits = bytes.len() <= left || expected.is_empty() && at_least_one;
            if header.last_offset() >= limit || !fits {
                break;
            }
            left = left.saturating_sub(bytes.len());
            expected.push(bytes.clone());
        }
        let found = fixture.read(&request).unwrap().concat();
        let expected = expected.concat();
        // A read may stop early, but it is a prefix, and not empty when there is something to read.
        prop_assert!(expected.starts_with(&found));
        prop_assert_eq!(found.is_empty(), expected.is_empty());
        if max_bytes == usize::MAX {
            prop_assert_eq!(found, expected);
        }
    }
}
