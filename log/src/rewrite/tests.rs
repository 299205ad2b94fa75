//! A partition is written, moved into segments, compacted and trimmed in any order, beside a plain list of its
//! records: what a reader sees must fold to the same map, and be where it was.

use super::*;
use crate::builder::BatchBuilder;
use crate::compact::NothingLater;
use crate::compression::Codec;
use crate::dirtiness::Dirtiness;
use crate::key_map::KeyMap;
use crate::read::ReadRequest;
use crate::read::tests::Fixture;
use crate::records::BatchRecords;
use crate::search::TimestampSearch;
use crate::segment::{FILE_HEADER_LEN, OWNER_LEN, file_header};
use proptest::prelude::*;
use std::collections::BTreeMap;

const LIMIT: usize = 1 << 20;
const RETENTION_MS: i64 = 100;
/// A map of so few keys that it is often full.
const SMALL_MAP: usize = 4 * 50;

#[derive(Debug, Clone)]
enum Step {
    /// A batch: producer or none, and its records' keys, each with a value or a tombstone.
    Append(Codec, Option<i64>, Vec<(u8, bool)>),
    /// What lies in the write-ahead log becomes a segment.
    Retire,
    /// So much time passes, and then it is compacted with a map of so many bytes.
    Clean(i64, usize),
    /// Segments become one: the number of the first, and how many.
    Join(usize, usize),
    /// A part of what is there goes, in hundredths.
    Trim(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    offset: Offset,
    timestamp: i64,
    key: u8,
    value: Option<Vec<u8>>,
    headers: Vec<Vec<u8>>,
}

struct File {
    number: u64,
    bytes: Vec<u8>,
}

impl SegmentFile for File {
    fn number(&self) -> u64 {
        self.number
    }
    fn at(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

struct Model {
    fixture: Fixture,
    /// Every record that was ever written.
    written: Vec<Seen>,
    /// Last batch of each producer: base offset and sequence.
    producers: BTreeMap<i64, (Offset, i32)>,
    now_ms: i64,
    /// When each tombstone came out of a compaction first.
    cleaned: BTreeMap<Offset, i64>,
    wal_file: u64,
    max_segment_bytes: u64,
}

impl Model {
    fn new(max_segment_bytes: u64) -> Model {
        Model {
            fixture: Fixture::new(0, 0),
            written: Vec::new(),
            producers: BTreeMap::new(),
            now_ms: 1000,
            cleaned: BTreeMap::new(),
            wal_file: 1,
            max_segment_bytes,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(codec, producer, records) => self.append(*codec, *producer, records),
            Step::Retire => {
                self.fixture.retire(self.wal_file);
                self.wal_file += 1;
            }
            Step::Clean(passed_ms, map_bytes) => {
                self.now_ms += passed_ms;
                self.clean(*map_bytes);
            }
            Step::Join(first, count) => self.join(*first, *count),
            Step::Trim(part) => {
                let log = &mut self.fixture.log;
                let (start, end) = (log.log_start_offset(), log.next_offset());
                log.trim(start + (end - start) * part / 100);
            }
        }
        assert!(self.fixture.log.validate());
        self.check();
    }

    fn append(&mut self, codec: Codec, producer: Option<i64>, records: &[(u8, bool)]) {
        let base = self.fixture.log.next_offset();
        let mut builder = BatchBuilder::new(codec);
        if let Some(id) = producer {
            let (_, sequence) = self.producers.get(&id).copied().unwrap_or_default();
            builder = builder.producer(id, 0, sequence);
            self.producers
                .insert(id, (base, sequence + records.len() as i32));
        }
        for (offset, (key, has_value)) in (base..).zip(records) {
            // Times that go up and down.
            let timestamp = self.now_ms + offset * 7 % 11;
            let value = has_value.then(|| format!("{key} at {offset}").into_bytes());
            let header = offset.to_be_bytes();
            let headers: [(&[u8], Option<&[u8]>); 1] = [(b"at", Some(&header))];
            builder.append(timestamp, Some(&[*key]), value.as_deref(), &headers);
            self.written.push(Seen {
                offset,
                timestamp,
                key: *key,
                value,
                headers: vec![header.to_vec()],
            });
        }
        let batch = builder.build().unwrap();
        self.fixture.append(self.wal_file, 3, vec![batch]);
    }

    fn file(&self) -> File {
        let number = self.fixture.disk.segments.len() as u64 + 1;
        let bytes = file_header(number).to_vec();
        assert_eq!(bytes.len(), FILE_HEADER_LEN);
        File { number, bytes }
    }

    fn clean(&mut self, map_bytes: usize) {
        let all = self.fixture.log.segments().as_slice().to_vec();
        let found = Dirtiness::of(&all, self.now_ms, 0, Offset::MAX);
        if found.cleanable == 0 {
            return;
        }
        let dirty = &all[found.clean..];
        let from = dirty.first().map_or(Offset::MAX, |first| first.base_offset);
        let mut map = KeyMap::new([1, 2], map_bytes, from, 100);
        'full: for segment in dirty {
            for block in self.blocks(segment) {
                if !map.note(&block, LIMIT).unwrap() {
                    break 'full;
                }
            }
        }
        let below = map.known_below();
        let old = &all[..all.partition_point(|segment| segment.base_offset < below)];
        let producers = self.producers.clone();
        let is_last = |header: &BatchHeader| producers[&header.producer_id].0 == header.base_offset;
        let mut nothing = NothingLater;
        let latest: &mut dyn Latest = if dirty.is_empty() {
            &mut nothing
        } else {
            &mut map
        };
        let mut cleaning = Cleaning {
            latest,
            clean_below: below,
            now_ms: self.now_ms,
            tombstones_until_ms: self.now_ms + RETENTION_MS,
            is_last_of_producer: &is_last,
            max_decompressed_bytes: LIMIT,
        };
        let new = self.rewrite(old, Some(&mut cleaning));
        let states = new.segments.iter().map(|segment| segment.state);
        let states: Vec<_> = states.collect();
        assert!(self.fixture.log.replace(old, &new.segments));

        let clean_below = below.min(old.last().unwrap().last_offset + 1);
        let seen = self.read();
        let clean = seen.iter().filter(|seen| seen.offset < clean_below);
        let mut keys: Vec<u8> = clean.map(|seen| seen.key).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "a key is once in what is clean");
        // What is clean comes first, or the next tombstones could go too early.
        assert!(states.is_sorted_by_key(|state| *state == SegmentState::Dirty));
        for seen in seen.iter().filter(|seen| seen.offset < clean_below) {
            if seen.value.is_none() {
                let first = *self.cleaned.entry(seen.offset).or_insert(self.now_ms);
                assert!(self.now_ms < first + RETENTION_MS, "tombstones go in time");
            }
        }
    }

    fn join(&mut self, first: usize, count: usize) {
        let all = self.fixture.log.segments().as_slice().to_vec();
        let Some(old) = all.get(first..(first + count).min(all.len())) else {
            return;
        };
        if old.is_empty() {
            return;
        }
        let before = self.read();
        let new = self.rewrite(old, None);
        assert!(self.fixture.log.replace(old, &new.segments));
        // A small size splits what a larger one joins.
        let size_is_small = self.max_segment_bytes < 1 << 20;
        assert!(size_is_small || new.segments.len() <= old.len());
        assert_eq!(self.read(), before);
    }

    fn rewrite(&mut self, old: &[Segment], mut cleaning: Option<&mut Cleaning<'_>>) -> Rewritten {
        let mut file = self.file();
        let log_start = self.fixture.log.log_start_offset();
        let mut rewrite = Rewrite::new([7; OWNER_LEN], old, log_start, self.max_segment_bytes);
        for segment in old {
            let blocks = self.blocks(segment);
            rewrite
                .take(segment, &blocks, cleaning.as_deref_mut(), &mut file)
                .unwrap();
        }
        let new = rewrite.finish(&mut file);
        self.fixture.disk.segments.insert(file.number, file.bytes);
        new
    }

    fn blocks(&self, segment: &Segment) -> Vec<Bytes> {
        let mut reader = SegmentReader::open(segment, &self.fixture.disk).unwrap();
        let mut blocks = Vec::new();
        loop {
            let helping = reader.next(&self.fixture.disk).unwrap();
            if helping.is_empty() {
                return blocks;
            }
            blocks.extend(helping);
        }
    }

    fn batches(&self, from: Offset) -> Vec<(BatchHeader, Bytes)> {
        let request = ReadRequest {
            from,
            upper: Offset::MAX,
            max_bytes: usize::MAX,
            at_least_one: true,
        };
        let runs = self.fixture.read(&request).unwrap();
        let of_run = |run: Bytes| {
            let found: Vec<_> = batches(&run).map(|found| found.unwrap()).collect();
            let with_bytes = |(header, range)| (header, run.slice(range));
            found.into_iter().map(with_bytes).collect::<Vec<_>>()
        };
        runs.into_iter().flat_map(of_run).collect()
    }

    /// What a consumer sees from log start on.
    fn read(&self) -> Vec<Seen> {
        let start = self.fixture.log.log_start_offset();
        let mut seen = Vec::new();
        for (_, bytes) in self.batches(start) {
            let records = BatchRecords::open(&bytes, LIMIT).unwrap();
            for record in &records {
                let record = record.unwrap();
                let offset = records.offset_of(&record);
                if offset >= start {
                    seen.push(Seen {
                        offset,
                        timestamp: records.timestamp_of(&record),
                        key: record.key.unwrap()[0],
                        value: record.value.map(<[u8]>::to_vec),
                        headers: record.headers.map(|h| h.value.unwrap().to_vec()).collect(),
                    });
                }
            }
        }
        seen
    }

    fn check(&self) {
        let (start, end) = (
            self.fixture.log.log_start_offset(),
            self.fixture.log.next_offset(),
        );
        let seen = self.read();
        assert!(seen.is_sorted_by(|a, b| a.offset < b.offset));
        for seen in &seen {
            assert_eq!(
                seen, &self.written[seen.offset as usize],
                "as it was written"
            );
        }
        let kept = &self.written[start as usize..];
        assert_eq!(fold(&seen), fold(kept), "the same rows");
        self.check_tombstones(&seen, kept);
        self.check_batches(start, end);
        self.check_search(&seen, end);
    }

    /// The latest tombstone of a key is there for its time.
    fn check_tombstones(&self, seen: &[Seen], kept: &[Seen]) {
        let latest: BTreeMap<u8, &Seen> = kept.iter().map(|record| (record.key, record)).collect();
        for tombstone in latest.values().filter(|record| record.value.is_none()) {
            let first = self.cleaned.get(&tombstone.offset);
            let over = first.is_some_and(|first| first + RETENTION_MS <= self.now_ms);
            let there = seen.iter().any(|seen| seen.offset == tombstone.offset);
            assert!(there || over, "{tombstone:?} went too early");
        }
    }

    /// Reads go on from every offset, up to the end; producers' last batches are there.
    fn check_batches(&self, start: Offset, end: Offset) {
        let all = self.batches(start);
        if end > start {
            let last = all.last().expect("a batch").0;
            assert_eq!(last.last_offset(), end - 1, "the end is reached");
        }
        for from in start..end {
            let next = all.iter().find(|(header, _)| header.last_offset() >= from);
            let read = self.batches(from);
            assert_eq!(read.first(), next, "from {from}");
        }
        for (id, (base, sequence)) in &self.producers {
            let found = all.iter().find(|(header, _)| header.base_offset == *base);
            if let Some((header, _)) = found {
                assert_eq!(
                    (header.producer_id, header.last_sequence() + 1),
                    (*id, *sequence)
                );
            } else {
                assert!(*base < start, "the last batch of producer {id} is there");
            }
        }
    }

    fn check_search(&self, seen: &[Seen], end: Offset) {
        for timestamp in [self.now_ms - 50, self.now_ms, self.now_ms + 5] {
            let expected = seen.iter().find(|seen| seen.timestamp >= timestamp);
            let found = TimestampSearch::at_least(timestamp, end, LIMIT);
            let found = self.fixture.search(found).unwrap();
            let found = found.map(|hit| (hit.offset, hit.timestamp));
            assert_eq!(found, expected.map(|seen| (seen.offset, seen.timestamp)));
        }
        let found = self.fixture.search(TimestampSearch::highest(end, LIMIT));
        let highest = seen.iter().map(|seen| seen.timestamp).max();
        let first = seen.iter().find(|seen| Some(seen.timestamp) == highest);
        let found = found.unwrap().map(|hit| hit.offset);
        assert_eq!(found, first.map(|seen| seen.offset));
    }
}

fn fold(records: &[Seen]) -> BTreeMap<u8, &[u8]> {
    let mut rows = BTreeMap::new();
    for record in records {
        match &record.value {
            Some(value) => rows.insert(record.key, &value[..]),
            None => rows.remove(&record.key),
        };
    }
    rows
}

fn step() -> impl Strategy<Value = Step> {
    let codec = prop::sample::select(Codec::ALL.to_vec());
    let producer = prop::option::of(1i64..4);
    let records = prop::collection::vec((0u8..9, prop::bool::weighted(0.7)), 1..8);
    prop_oneof![
        6 => (codec, producer, records).prop_map(|(c, p, r)| Step::Append(c, p, r)),
        3 => Just(Step::Retire),
        3 => (0..RETENTION_MS, prop::sample::select(vec![SMALL_MAP, 1 << 20]))
            .prop_map(|(ms, bytes)| Step::Clean(ms, bytes)),
        1 => (0usize..4, 1usize..5).prop_map(|(first, count)| Step::Join(first, count)),
        1 => (0i64..40).prop_map(Step::Trim),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn compaction_changes_no_row_and_moves_no_record(
        steps in prop::collection::vec(step(), 1..40),
        max_segment_bytes in prop::sample::select(vec![1, 500, 1 << 20]),
    ) {
        let mut model = Model::new(max_segment_bytes);
        for step in &steps {
            model.step(step);
        }
    }
}

fn append(keys: &[(u8, bool)]) -> Step {
    Step::Append(Codec::Lz4, None, keys.to_vec())
}

#[test]
fn a_tombstone_does_not_go_before_what_it_deletes() {
    let mut model = Model::new(1 << 20);
    model.step(&append(&[(1, true), (2, true)]));
    model.step(&Step::Retire);
    model.step(&Step::Clean(1, 1 << 20));
    model.step(&append(&[(1, false)]));
    model.step(&Step::Retire);
    for passed in [1, RETENTION_MS - 1] {
        model.step(&Step::Clean(passed, 1 << 20));
        let offsets: Vec<_> = model.read().iter().map(|seen| seen.offset).collect();
        assert_eq!(offsets, [1, 2]);
    }
    model.step(&Step::Clean(1, 1 << 20));
    let offsets: Vec<_> = model.read().iter().map(|seen| seen.offset).collect();
    assert_eq!(offsets, [1]);
}

#[test]
fn many_segments_become_one_and_what_goes_leaves_its_offsets() {
    let mut model = Model::new(1 << 20);
    for _ in 0..20 {
        model.step(&append(&[(1, true), (2, true), (3, true)]));
        model.step(&Step::Retire);
    }
    assert_eq!(model.fixture.log.segments().len(), 20);
    let before = model.fixture.log.retained_bytes();
    model.step(&Step::Clean(0, 1 << 20));
    let log = &model.fixture.log;
    assert_eq!(log.segments().len(), 1);
    let only = *log.segments().iter().next().unwrap();
    assert_eq!((only.base_offset, only.last_offset), (0, 59));
    assert!(log.retained_bytes() < before / 10);
    assert_eq!(model.batches(0)[0].0.base_offset, 57);
}

#[test]
fn segments_that_are_gone_are_not_replaced() {
    let mut model = Model::new(1 << 20);
    for _ in 0..3 {
        model.step(&append(&[(1, true)]));
        model.step(&Step::Retire);
    }
    let all = model.fixture.log.segments().as_slice().to_vec();
    let new = model.rewrite(&all, None);
    let middle = model.rewrite(&all[1..], None);
    // What was trimmed meanwhile stays away.
    model.fixture.log.trim(1);
    assert!(model.fixture.log.replace(&all, &new.segments));
    assert!(model.fixture.log.validate());
    // Others were faster.
    let before = model.fixture.log.clone();
    assert!(!model.fixture.log.replace(&all[1..], &middle.segments));
    assert!(!model.fixture.log.replace(&all, &new.segments));
    assert_eq!(model.fixture.log, before);
    model.fixture.log.trim(3);
    assert!(!model.fixture.log.replace(&new.segments, &new.segments));
    assert!(model.fixture.log.segments().is_empty());
}
