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
