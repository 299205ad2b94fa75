use super::*;
use crate::builder::BatchBuilder;
use crate::compression::Codec;
use crate::extent::Pos;

/// A batch of `records` records at `base_offset`, all at `timestamp`, in `epoch`.
fn batch(base_offset: Offset, records: usize, timestamp: i64, epoch: LeaderEpoch) -> BatchHeader {
    let mut builder = BatchBuilder::new(Codec::None);
    for _ in 0..records {
        builder.append(timestamp, None, Some(b"value"), &[]);
    }
    let mut header = BatchHeader::parse(&builder.build().unwrap()).unwrap();
    header.base_offset = base_offset;
    header.partition_leader_epoch = epoch;
    header
}

fn produced(base_offset: Offset, base_sequence: i32) -> BatchHeader {
    let mut header = batch(base_offset, 1, 0, 1);
    header.producer_id = 5;
    header.producer_epoch = 0;
    header.base_sequence = base_sequence;
    header
}

fn append(log: &mut PartitionLog, batches: &[BatchHeader]) -> Result<(), Misfit> {
    // Far apart, so that nothing is merged.
    let offset = (log.next_offset() as u32).wrapping_mul(1000);
    let extent = Extent::of(batches, Pos { file: 1, offset }).unwrap();
    let result = log.append(batches, &extent, 0);
    assert!(log.validate());
    result
}

#[test]
fn offsets_are_dense_from_the_start_on() {
    let mut log = PartitionLog::starting_at(100);
    append(&mut log, &[batch(100, 3, 0, 1), batch(103, 2, 0, 1)]).unwrap();
    assert_eq!((log.log_start_offset(), log.next_offset()), (100, 105));
    let before = log.clone();
    for found in [104, 106, 0] {
        let expected = 105;
        assert_eq!(
            append(&mut log, &[batch(found, 1, 0, 1)]),
            Err(Misfit::BaseOffset { expected, found })
        );
    }
    let hole = [batch(105, 1, 0, 1), batch(107, 1, 0, 1)];
    assert!(append(&mut log, &hole).is_err());
    assert_eq!(log, before, "a refusal changes nothing");
    assert_eq!(log.verify(&[]), Err(Misfit::Empty));
}

#[test]
fn a_leader_epoch_below_the_latest_is_refused() {
    let mut log = PartitionLog::new();
    append(&mut log, &[batch(0, 1, 0, 4)]).unwrap();
    assert_eq!(
        append(&mut log, &[batch(1, 1, 0, 3)]),
        Err(Misfit::LeaderEpoch {
            latest: 4,
            found: 3
        })
    );
}

#[test]
fn producers_are_checked_within_one_append_too() {
    let mut log = PartitionLog::new();
    append(&mut log, &[produced(0, 0), produced(1, 1)]).unwrap();
    let duplicate = Misfit::Duplicate {
        producer_id: 5,
        base_offset: 1,
    };
    assert_eq!(append(&mut log, &[produced(2, 1)]), Err(duplicate));
    let gap = [produced(2, 2), produced(3, 4)];
    assert!(matches!(
        append(&mut log, &gap),
        Err(Misfit::Producer(ProducerError::OutOfOrderSequence {
            expected: 3,
            ..
        }))
    ));
    append(&mut log, &[produced(2, 2), produced(3, 3)]).unwrap();
}

#[test]
fn headers_that_would_overflow_offsets_are_refused() {
    let mut log = PartitionLog::starting_at(i64::MAX - 1);
    let result = append(&mut log, &[batch(i64::MAX - 1, 2, 0, 1)]);
    assert!(matches!(result, Err(Misfit::Count { .. })));
    let mut negative = batch(0, 1, 0, 1);
    negative.last_offset_delta = -1;
    let result = PartitionLog::new().verify(&[negative]);
    assert!(matches!(result, Err(Misfit::Count { .. })));
}

#[test]
fn trim_remembers_a_start_inside_a_batch() {
    let mut log = PartitionLog::new();
    append(&mut log, &[batch(0, 10, 0, 1)]).unwrap();
    append(&mut log, &[batch(10, 10, 0, 2)]).unwrap();
    log.trim(15);
    assert_eq!(log.log_start_offset(), 15);
    assert_eq!(log.extents().len(), 1);
    assert_eq!(log.epochs().at(15), Some(2));
    log.trim(3);
    assert_eq!(log.log_start_offset(), 15, "never down");
    log.trim(1000);
    assert_eq!((log.log_start_offset(), log.next_offset()), (20, 20));
    assert_eq!(log.retained_bytes(), 0);
    append(&mut log, &[batch(20, 1, 0, 2)]).unwrap();
}

#[test]
fn a_leader_knows_the_end_of_epochs_without_records() {
    let mut log = PartitionLog::new();
    append(&mut log, &[batch(0, 10, 0, 3)]).unwrap();
    append(&mut log, &[batch(10, 10, 0, 5)]).unwrap();
    let end = |epoch, end_offset| Some(EpochEnd { epoch, end_offset });
    assert_eq!(log.end_offset_for_epoch(3), end(3, 10));
    assert_eq!(log.end_offset_for_epoch(5), end(5, 20));
    assert_eq!(log.end_offset_for_epoch(6), None);
    assert_eq!(log.end_offset_as_leader(4, 8), end(3, 10));
    assert_eq!(log.end_offset_as_leader(6, 8), end(5, 20));
    assert_eq!(log.end_offset_as_leader(8, 8), end(8, 20));
    assert_eq!(log.end_offset_as_leader(9, 8), None);
    assert_eq!(PartitionLog::new().end_offset_as_leader(1, 1), end(1, 0));
}

#[test]
fn retention_takes_whole_extents_from_the_front() {
    let mut log = PartitionLog::new();
    for (n, timestamp) in [(0, 100), (1, 300), (2, 200), (3, 900)] {
        append(&mut log, &[batch(n, 1, timestamp, 1)]).unwrap();
    }
    let each = log.retained_bytes() / 4;
    assert_eq!(log.retention_start(1000, None, None), 0);
    assert_eq!(log.retention_start(1000, Some(899), None), 1);
    assert_eq!(log.retention_start(1000, Some(750), None), 1);
    assert_eq!(log.retention_start(1000, Some(500), None), 3);
    assert_eq!(log.retention_start(1000, Some(50), None), 4);
    assert_eq!(log.retention_start(1000, None, Some(each * 2)), 2);
    assert_eq!(log.retention_start(1000, None, Some(each * 2 + 1)), 1);
    assert_eq!(log.retention_start(1000, None, Some(0)), 4);
    // A clock before the records keeps them.
    assert_eq!(log.retention_start(i64::MIN, Some(0), None), 0);
}

#[test]
fn records_without_timestamps_do_not_expire() {
    let mut log = PartitionLog::new();
    append(&mut log, &[batch(0, 1, -1, 1)]).unwrap();
    assert_eq!(log.retention_start(i64::MAX, Some(1), None), 0);
}

#[test]
fn an_idle_partition_holds_nothing_on_the_heap() {
    assert_eq!(PartitionLog::starting_at(7).heap_bytes(), 0);
}

#[test]
fn a_stored_epoch_that_starts_past_the_end_is_refused() {
    let restored = |start_offset| {
        let epoch = crate::epochs::EpochStart {
            epoch: 1,
            start_offset,
        };
        let epochs = Epochs::restore(vec![epoch]).expect("one epoch rises");
        let (producers, segments) = (Producers::default(), Segments::default());
        PartitionLog::restore(5, 5, epochs, producers, segments, Extents::default())
    };
    assert!(restored(5).is_some());
    assert!(restored(6).is_none());
}

fn segment(base_offset: Offset, last_offset: Offset, file: u64) -> Segment {
    Segment {
        base_offset,
        last_offset,
        max_timestamp: 0,
        file,
        at: 32,
        bytes: 100,
        blocks: 1,
        index_crc: 0,
        state: Default::default(),
    }
}

#[test]
fn a_replica_that_was_away_takes_over_its_peers_log_with_segments_of_its_own() {
    let mut peer = PartitionLog::new();
    for base in (0..100).step_by(10) {
        append(&mut peer, &[batch(base, 10, 0, 1)]).unwrap();
    }
    append(&mut peer, &[produced(100, 7)]).unwrap();
    peer.trim(15);
    let mut log = PartitionLog::new();
    append(&mut log, &[batch(0, 10, 0, 1)]).unwrap();
    assert!(log.move_to(segment(0, 9, 1)));
    append(&mut log, &[batch(10, 10, 0, 1)]).unwrap();
    assert!(log.move_to(segment(10, 19, 2)));
    append(&mut log, &[batch(20, 10, 0, 1)]).unwrap();
    let before = log.clone();

    for hole in [&[segment(20, 99, 3)][..], &[segment(30, 100, 3)], &[]] {
        assert!(!log.adopt(&peer, hole), "{hole:?} leaves a hole");
        assert_eq!(log, before);
    }
    assert!(log.adopt(&peer, &[segment(20, 49, 3), segment(50, 100, 4)]));
    assert!(log.validate());
    assert_eq!((log.log_start_offset(), log.next_offset()), (15, 101));
    let files = log.segments().iter().map(|segment| segment.file);
    assert_eq!(files.collect::<Vec<_>>(), [2, 3, 4]);
    assert!(log.extents().is_empty());
    assert_eq!(log.producers(), peer.producers());
    // What was on its way into a segment when the log changed is there already.
    assert!(!log.move_to(segment(20, 29, 5)));
    append(&mut log, &[produced(101, 8)]).expect("it goes on where the peer's goes on");
}

#[test]
fn a_replica_may_take_over_everything() {
    let mut peer = PartitionLog::new();
    append(&mut peer, &[batch(0, 100, 0, 3)]).unwrap();
    let mut log = PartitionLog::new();
    append(&mut log, &[batch(0, 10, 0, 1)]).unwrap();
    assert!(log.move_to(segment(0, 9, 1)));
    assert!(log.adopt(&peer, &[segment(0, 99, 2)]));
    assert_eq!(log.segments().as_slice(), [segment(0, 99, 2)]);
    let empty = PartitionLog::starting_at(200);
    assert!(log.adopt(&empty, &[]));
    assert_eq!((log.log_start_offset(), log.next_offset()), (200, 200));
    assert!(log.segments().is_empty());
}

/// Batches as another replica holds them, carried one extent each.
fn carry(log: &mut PartitionLog, batches: &[BatchHeader]) -> Result<(), Misfit> {
    let offset = (log.next_offset() as u32).wrapping_mul(1000);
    let extent = Extent::of(batches, Pos { file: 7, offset }).unwrap();
    let carried = log.carry(batches, &extent);
    assert!(log.validate());
    carried
}

#[test]
fn a_log_that_was_carried_knows_what_the_one_knew_that_it_comes_from() {
    let mut source = PartitionLog::new();
    append(&mut source, &[produced(0, 0), produced(1, 1)]).unwrap();
    append(&mut source, &[produced(2, 2)]).unwrap();
    let mut log = PartitionLog::starting_at(0);
    carry(&mut log, &[produced(0, 0), produced(1, 1)]).unwrap();
    assert!(log.producers().is_empty());
    assert!(!log.take_over(&source), "a batch is missing");
    let again = carry(&mut log, &[produced(1, 1)]);
    let (expected, found) = (2, 1);
    assert_eq!(again, Err(Misfit::BaseOffset { expected, found }));
    carry(&mut log, &[produced(2, 2)]).unwrap();
    source.trim(1);
    assert!(log.take_over(&source.without_batches()));
    assert_eq!(log.log_start_offset(), 1);
    assert_eq!(log.producers(), source.producers());
    assert_eq!(log.epochs(), source.epochs());
    let duplicate = Misfit::Duplicate {
        producer_id: 5,
        base_offset: 2,
    };
    assert_eq!(append(&mut log, &[produced(3, 2)]), Err(duplicate));
    append(&mut log, &[produced(3, 3)]).unwrap();
}

#[test]
fn of_a_log_that_was_trimmed_to_its_end_nothing_is_carried() {
    let mut source = PartitionLog::new();
    append(&mut source, &[produced(0, 0), produced(1, 1)]).unwrap();
    source.trim(2);
    let mut log = PartitionLog::starting_at(0);
    carry(&mut log, &[produced(0, 0)]).unwrap();
    assert!(log.take_over(&source.without_batches()));
    assert_eq!((log.log_start_offset(), log.next_offset()), (2, 2));
    assert!(log.extents().is_empty() && log.validate());
    append(&mut log, &[produced(2, 2)]).unwrap();
}

#[test]
fn an_empty_batch_stands_for_what_was_compacted_away() {
    let filler = crate::builder::empty_batch(3, 9, 4).unwrap();
    crate::batch::verify_crc(&filler).unwrap();
    let header = BatchHeader::parse(&filler).unwrap();
    assert_eq!((header.last_offset(), header.records_count), (9, 0));
    let mut log = PartitionLog::starting_at(3);
    carry(&mut log, &[header, batch(10, 1, 0, 4)]).unwrap();
    assert_eq!(log.next_offset(), 11);
    assert_eq!(crate::builder::empty_batch(3, 2, 4), None);
}
