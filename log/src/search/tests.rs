use super::*;
use crate::builder::BatchBuilder;
use crate::compression::Codec;
use crate::read::tests::{Fixture, batch};
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

fn at_least(timestamp: i64) -> TimestampSearch {
    TimestampSearch::at_least(timestamp, Offset::MAX, LIMIT)
}

fn highest() -> TimestampSearch {
    TimestampSearch::highest(Offset::MAX, LIMIT)
}

fn hit(offset: Offset, timestamp: i64, leader_epoch: i32) -> Option<TimestampHit> {
    Some(TimestampHit {
        offset,
        timestamp,
        leader_epoch,
    })
}

#[test]
fn the_record_is_found_inside_its_batch() {
    for codec in Codec::ALL {
        let mut fixture = Fixture::new(100, 0);
        fixture.append(1, 9, vec![batch(codec, &[10, 30, 20])]);
        fixture.next_epoch();
        fixture.append(1, 9, vec![batch(codec, &[25, 40])]);
        let find = |timestamp| fixture.search(at_least(timestamp)).unwrap();
        assert_eq!(find(0), hit(100, 10, 1));
        assert_eq!(find(11), hit(101, 30, 1));
        assert_eq!(find(31), hit(104, 40, 2));
        assert_eq!(find(41), None);
        assert_eq!(fixture.search(highest()).unwrap(), hit(104, 40, 2));
    }
}

#[test]
fn log_append_time_names_the_first_record_of_the_batch() {
    let mut sent = BatchBuilder::new(Codec::Lz4).log_append_time(500);
    sent.append(1, None, None, &[]);
    sent.append(900, None, None, &[]);
    let mut fixture = Fixture::new(0, 0);
    fixture.append(1, 0, vec![sent.build().unwrap()]);
    assert_eq!(fixture.search(at_least(2)).unwrap(), hit(0, 500, 1));
    assert_eq!(fixture.search(at_least(501)).unwrap(), None);
    assert_eq!(fixture.search(highest()).unwrap(), hit(0, 500, 1));
    fixture.log.trim(1);
    assert_eq!(fixture.search(at_least(2)).unwrap(), hit(1, 500, 1));
}

#[test]
fn records_below_log_start_do_not_count() {
    let mut fixture = Fixture::new(0, 0);
    fixture.append(1, 9, vec![batch(Codec::Zstd, &[90, 50, 60])]);
    fixture.append(1, 9, vec![batch(Codec::None, &[70, 10])]);
    fixture.log.trim(1);
    assert_eq!(fixture.search(at_least(55)).unwrap(), hit(2, 60, 1));
    assert_eq!(fixture.search(at_least(65)).unwrap(), hit(3, 70, 1));
    assert_eq!(fixture.search(at_least(80)).unwrap(), None);
    assert_eq!(fixture.search(highest()).unwrap(), hit(3, 70, 1));
}

#[test]
fn an_empty_log_has_no_timestamps() {
    let fixture = Fixture::new(5, 0);
    assert_eq!(fixture.search(at_least(0)).unwrap(), None);
    assert_eq!(fixture.search(highest()).unwrap(), None);
}

#[test]
fn records_without_timestamps_are_never_the_highest() {
    let mut fixture = Fixture::new(0, 0);
    fixture.append(1, 0, vec![batch(Codec::None, &[-1, -1])]);
    assert_eq!(fixture.search(highest()).unwrap(), None);
}

#[test]
fn a_record_that_decompresses_above_the_cap_is_an_error() {
    let mut builder = BatchBuilder::new(Codec::Zstd);
    builder.append(9, None, Some(&vec![0; LIMIT + 1]), &[]);
    let mut fixture = Fixture::new(0, 0);
    fixture.append(1, 0, vec![builder.build().unwrap()]);
    let result = fixture.search(at_least(1));
    assert!(matches!(
        result,
        Err(ReadError::Records { base_offset: 0, .. })
    ));
}

proptest! {
    #[test]
    fn searches_agree_with_a_scan(
        entries in prop::collection::vec(
            (prop::collection::vec(prop::collection::vec(0i64..100, 1..4), 1..4), 0usize..2),
            1..15,
        ),
        codec in prop::sample::select(vec![Codec::None, Codec::Lz4]),
        budget in 0usize..3000,
        trimmed in 0i64..30,
        retired in prop::option::of(0u64..15),
        upper_at: prop::sample::Index,
        timestamp in 0i64..110,
    ) {
        let mut fixture = Fixture::new(0, budget);
        let mut times = Vec::new();
        let mut ends = vec![0];
        for (file, (entry, gap)) in (0u64..).zip(entries) {
            let mut batches = Vec::new();
            for timestamps in entry {
                batches.push(batch(codec, &timestamps));
                times.extend(timestamps);
                ends.push(times.len() as Offset);
            }
            fixture.append(file, gap, batches);
        }
        if let Some(file) = retired {
            fixture.retire(file / 2);
        }
        fixture.log.trim(trimmed);
        if let Some(file) = retired {
            fixture.retire(file);
        }
        let upper = *upper_at.get(&ends);
        let counts = fixture.log.log_start_offset()..upper;
        let known = || (0..).zip(times.iter().copied()).filter(|(offset, _)| counts.contains(offset));

        let first = known().find(|(_, time)| *time >= timestamp);
        let found = fixture.search(TimestampSearch::at_least(timestamp, upper, LIMIT)).unwrap();
        prop_assert_eq!(found.map(|hit| (hit.offset, hit.timestamp)), first);

        let best = known().map(|(_, time)| time).max();
        let first_best = known().find(|(_, time)| Some(*time) == best);
        let found = fixture.search(TimestampSearch::highest(upper, LIMIT)).unwrap();
        prop_assert_eq!(found.map(|hit| (hit.offset, hit.timestamp)), first_best);
    }
}
