use super::*;
use crate::builder::BatchBuilder;
use crate::compression::Codec;
use proptest::prelude::*;

fn header(epoch: i16, base_sequence: i32, records: i32) -> BatchHeader {
    let mut builder = BatchBuilder::new(Codec::None).producer(9, epoch, base_sequence);
    builder.append(1000, None, None, &[]);
    let mut header = BatchHeader::parse(&builder.build().unwrap()).unwrap();
    header.records_count = records;
    header.last_offset_delta = records - 1;
    header.max_timestamp = i64::from(base_sequence) * 10;
    header
}

fn with(batches: &[BatchHeader]) -> ProducerState {
    let mut state = ProducerState::default();
    for (n, header) in batches.iter().enumerate() {
        assert_eq!(state.check(header), Ok(ProducerCheck::Append), "{n}");
        state.record(header, n as Offset * 100);
    }
    state
}

fn out_of_order(expected: i32, found: i32) -> Result<ProducerCheck, ProducerError> {
    Err(ProducerError::OutOfOrderSequence {
        producer_id: 9,
        expected,
        found,
    })
}

#[test]
fn an_unknown_producer_may_start_anywhere() {
    with(&[header(4, 1234, 1), header(4, 1235, 1)]);
}

#[test]
fn a_gap_is_out_of_order() {
    let state = with(&[header(0, 0, 3)]);
    assert_eq!(state.check(&header(0, 3, 1)), Ok(ProducerCheck::Append));
    assert_eq!(state.check(&header(0, 4, 1)), out_of_order(3, 4));
    assert_eq!(state.check(&header(0, 0, 2)), out_of_order(3, 0));
}

#[test]
fn the_last_five_batches_answer_as_they_did_before() {
    let sent: Vec<_> = (0..7).map(|n| header(0, n * 2, 2)).collect();
    let state = with(&sent);
    for (n, header) in sent.iter().enumerate() {
        let duplicate = Ok(ProducerCheck::Duplicate {
            base_offset: n as Offset * 100,
            timestamp: header.max_timestamp,
        });
        if n < 2 {
            assert_eq!(state.check(header), out_of_order(14, n as i32 * 2));
        } else {
            assert_eq!(state.check(header), duplicate);
        }
    }
}

#[test]
fn epochs_rise_and_start_at_sequence_0() {
    let mut state = with(&[header(2, 0, 1), header(2, 1, 1)]);
    assert_eq!(state.check(&header(3, 2, 1)), out_of_order(0, 2));
    assert_eq!(
        state.check(&header(1, 2, 1)),
        Err(ProducerError::InvalidEpoch {
            producer_id: 9,
            current: 2,
            found: 1
        })
    );
    let first = header(3, 0, 1);
    assert_eq!(state.check(&first), Ok(ProducerCheck::Append));
    state.record(&first, 700);
    assert_eq!(state.batches().len(), 1);
    assert!(state.check(&header(2, 1, 1)).is_err());
}

#[test]
fn sequences_wrap_to_0() {
    let state = with(&[header(0, i32::MAX - 1, 2)]);
    assert_eq!(state.check(&header(0, 0, 1)), Ok(ProducerCheck::Append));
    let state = with(&[header(0, i32::MAX, 3)]);
    assert_eq!(state.check(&header(0, 2, 1)), Ok(ProducerCheck::Append));
}

#[test]
fn expiry_follows_the_times_that_came_with_the_batches() {
    let mut producers = Producers::default();
    let mut other = header(0, 0, 1);
    other.producer_id = 3;
    producers.record(&header(0, 0, 1), 0, 1000);
    producers.record(&other, 1, 2000);
    assert_eq!(producers.expire(1999, 1000), 0);
    assert_eq!(producers.expire(2000, 1000), 1);
    assert!(producers.get(9).is_none());
    assert_eq!(
        producers.check(&header(0, 77, 1)),
        Ok(ProducerCheck::Append)
    );
    assert_eq!(producers.iter().map(|(id, _)| id).collect::<Vec<_>>(), [3]);
}

#[test]
fn an_overlay_leaves_the_original_alone() {
    let mut producers = Producers::default();
    producers.record(&header(0, 0, 1), 0, 0);
    let mut overlay = producers.overlay(9);
    overlay.record(&header(0, 1, 1), 1);
    assert_eq!(overlay.check(&header(0, 2, 1)), Ok(ProducerCheck::Append));
    assert_eq!(producers.check(&header(0, 2, 1)), out_of_order(1, 2));
    assert_eq!(producers.overlay(10), ProducerState::default());
}

#[test]
fn batches_without_a_producer_leave_no_trace() {
    let mut producers = Producers::default();
    let mut plain = header(0, 0, 1);
    plain.producer_id = -1;
    assert_eq!(producers.check(&plain), Ok(ProducerCheck::Append));
    producers.record(&plain, 0, 0);
    assert!(producers.is_empty());
}

proptest! {
    // Retries in any pattern within the last five batches append each sequence exactly once.
    #[test]
    fn retries_append_each_sequence_once(sends in prop::collection::vec(0usize..5, 1..60)) {
        let mut state = ProducerState::default();
        let mut appended: Vec<(i32, Offset)> = Vec::new();
        for back in sends {
            let first = appended.len().saturating_sub(back) as i32;
            let header = header(0, first, 1);
            match state.check(&header).unwrap() {
                ProducerCheck::Append => {
                    let offset = appended.len() as Offset;
                    prop_assert_eq!(first as usize, appended.len());
                    state.record(&header, offset);
                    appended.push((first, offset));
                }
                ProducerCheck::Duplicate { base_offset, .. } => {
                    prop_assert_eq!(appended[first as usize], (first, base_offset));
                }
            }
        }
    }
}
