use weir_log::{BatchBuilder, BatchHeader, Codec, Extent, Pos, assign};

use super::*;

const EPOCH: i32 = 3;

fn record(offset: i64) -> Bytes {
    let mut batch = BatchBuilder::new(Codec::None);
    batch.append(1000, Some(b"key"), Some(b"value"), &[]);
    let mut batch = batch.build().expect("a batch");
    assign(&mut batch, offset, EPOCH);
    batch.freeze()
}

/// Carries what is dense into a log.
fn carry(log: &mut PartitionLog, dense: &[u8]) {
    let headers: Vec<BatchHeader> = weir_log::batches(dense)
        .map(|batch| batch.expect("legal").0)
        .collect();
    let pos = Pos { file: 1, offset: 0 };
    let extent = Extent::of(&headers, pos).expect("there are some");
    log.carry(&headers, &extent).expect("it follows");
}

/// Compaction takes the first batches of a log away, and its start stays.
#[test]
fn a_log_whose_first_batches_were_compacted_away_arrives_as_a_whole() {
    let id = PartitionId {
        topic: uuid::Uuid::from_u128(1),
        index: 0,
    };
    let mut theirs = PartitionLog::new();
    (0..10).for_each(|offset| carry(&mut theirs, &record(offset)));
    let left = [record(6), record(9)].concat();
    let mut here = PartitionLog::starting_at(start(theirs.log_start_offset(), &left));
    let (items, batches) = dense(id, here.next_offset(), &left).expect("dense");
    assert_eq!((items.len(), items[0].base_offset), (1, 0));
    carry(&mut here, &batches);
    assert!(here.take_over(&theirs), "{here:?}");
}

#[test]
fn a_log_that_starts_within_a_batch_arrives_with_that_batch() {
    let batch = record(4);
    assert_eq!(start(7, &batch), 4);
    assert_eq!(start(7, &[]), 7);
}
