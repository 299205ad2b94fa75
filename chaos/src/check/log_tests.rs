//! One history for each anomaly, made from a good one by one change.

use super::*;
use crate::history::{Bump, Whole};

fn send(producer: u64, value: Value, began: Micros, outcome: Outcome<Option<i64>>) -> Send {
    Send {
        producer,
        in_order: true,
        partition: 0,
        value,
        began,
        ended: began + 1,
        outcome,
    }
}

fn poll(offset: i64, value: Value) -> Poll {
    Poll {
        consumer: 1,
        assignment: 1,
        partition: 0,
        offset,
        value,
        at: 50 + offset as Micros,
    }
}

fn end(offset: i64, began: Micros) -> End {
    End {
        node: 0,
        partition: 0,
        offset,
        began,
        ended: began + 1,
    }
}

/// Six records, of which one's outcome is unknown and in the log, one's is unknown and is not, and one was refused.
fn good() -> History {
    let unknown = || Outcome::Unknown("no answer".to_owned());
    History {
        sends: vec![
            send(1, 10, 0, Outcome::Done(Some(0))),
            send(2, 11, 2, Outcome::Done(Some(1))),
            send(1, 12, 4, unknown()),
            send(1, 13, 6, unknown()),
            send(2, 14, 8, Outcome::Refused("not the leader".to_owned())),
            send(1, 15, 10, Outcome::Done(Some(3))),
        ],
        polls: vec![poll(0, 10), poll(1, 11), poll(2, 12), poll(3, 15)],
        ends: vec![end(0, 0), end(2, 5), end(4, 20)],
        logs: vec![Whole {
            node: 0,
            partition: 0,
            end: 4,
            records: vec![(0, 10), (1, 11), (2, 12), (3, 15)],
        }],
        ..History::default()
    }
}

/// The kinds of anomalies after a change.
fn kinds(change: impl FnOnce(&mut History)) -> BTreeSet<&'static str> {
    let mut history = good();
    change(&mut history);
    check(&history).iter().map(|found| found.kind).collect()
}

#[test]
fn good_histories_are_good() {
    assert_eq!(check(&good()), []);
    assert_eq!(check(&History::default()), []);
    // Nobody knows whether it is there.
    let shorter = kinds(|history| {
        history.polls.pop();
        history.sends.pop();
        history.ends.pop();
        history.logs[0].records.pop();
    });
    assert_eq!(shorter, [].into());
}

#[test]
fn an_acknowledged_record_that_is_gone_is_lost() {
    let lost = kinds(|history| {
        history.logs[0].records.pop();
        history.polls.pop();
    });
    assert_eq!(lost, ["lost-write"].into());
}

#[test]
fn a_record_that_was_acknowledged_without_an_offset_must_be_there_too() {
    let there = kinds(|history| history.sends[2].outcome = Outcome::Done(None));
    assert_eq!(there, [].into());
    let lost = kinds(|history| history.sends[3].outcome = Outcome::Done(None));
    assert_eq!(lost, ["lost-write"].into());
}

#[test]
fn a_record_that_was_read_and_is_gone_is_lost_though_it_was_not_acknowledged() {
    let lost = kinds(|history| {
        history.polls.push(poll(4, 13));
    });
    assert_eq!(lost, ["lost-write"].into());
}

#[test]
fn a_record_at_two_offsets_is_a_duplicate() {
    let doubled = kinds(|history| history.logs[0].records.push((4, 12)));
    assert_eq!(doubled, ["duplicate"].into());
}

#[test]
fn a_record_that_its_producer_sent_again_in_a_new_epoch_may_be_doubled() {
    let doubled = |producer, at| {
        kinds(|history| {
            history.logs[0].records.push((4, 12));
            history.bumps.push(Bump { producer, at });
        })
    };
    assert_eq!(doubled(1, 5), [].into());
    assert_eq!(doubled(1, 9), ["duplicate"].into(), "it was over by then");
    assert_eq!(doubled(2, 5), ["duplicate"].into(), "another producer");
}

#[test]
fn a_refused_record_that_is_read_is_an_aborted_read() {
    let read = kinds(|history| history.logs[0].records.push((4, 14)));
    assert_eq!(read, ["aborted-read"].into());
}

#[test]
fn a_record_that_nobody_sent_is_made_up() {
    let read = kinds(|history| history.logs[0].records.push((4, 99)));
    assert_eq!(read, ["made-up-read"].into());
}

#[test]
fn two_values_of_one_offset_are_inconsistent() {
    let two = kinds(|history| history.polls[2].value = 13);
    assert_eq!(two, ["inconsistent-offsets"].into());
}

#[test]
fn two_replicas_that_hold_different_values_are_inconsistent() {
    let two = kinds(|history| {
        let mut other = history.logs[0].clone();
        other.node = 1;
        other.records[2].1 = 13;
        history.logs.push(other);
    });
    assert_eq!(two, ["inconsistent-offsets"].into());
}

#[test]
fn a_consumer_that_goes_back_or_skips_is_found() {
    let back = kinds(|history| history.polls.push(poll(2, 12)));
    assert_eq!(back, ["nonmonotonic-poll"].into());
    let skipped = kinds(|history| {
        history.polls.remove(1);
    });
    assert_eq!(skipped, ["skipped-poll"].into());
    // It was assigned anew.
    let again = kinds(|history| {
        let mut again = poll(0, 10);
        again.assignment = 2;
        history.polls.push(again);
    });
    assert_eq!(again, [].into());
}

#[test]
fn a_producer_whose_records_change_places_is_found() {
    let swapped = kinds(|history| {
        // Concurrent, so that only their producer knows of an order.
        history.sends[0].ended = 40;
        history.sends[5].began = 3;
        history.sends[0].outcome = Outcome::Done(Some(3));
        history.sends[5].outcome = Outcome::Done(Some(0));
        history.polls = Vec::new();
        history.ends = Vec::new();
        history.logs[0].records = vec![(0, 15), (1, 11), (2, 12), (3, 10)];
    });
    assert_eq!(swapped, ["nonmonotonic-send"].into());
}

#[test]
fn a_record_before_one_that_was_acknowledged_earlier_is_found() {
    let swapped = kinds(|history| {
        history.sends[0].outcome = Outcome::Done(Some(1));
        history.sends[1].outcome = Outcome::Done(Some(0));
        history.polls = Vec::new();
        history.ends = Vec::new();
        history.logs[0].records = vec![(0, 11), (1, 10), (2, 12), (3, 15)];
    });
    assert_eq!(swapped, ["external-order"].into());
}

#[test]
fn an_end_before_what_was_acknowledged_is_stale() {
    let stale = kinds(|history| history.ends[2].offset = 3);
    assert_eq!(stale, ["stale-end"].into());
}

#[test]
fn an_end_before_an_earlier_one_is_found() {
    let back = kinds(|history| {
        history.ends[1].offset = 9;
    });
    assert_eq!(back, ["nonmonotonic-end"].into());
}

#[test]
fn a_missing_offset_is_a_hole() {
    let hole = kinds(|history| {
        history.polls = Vec::new();
        history.logs[0].records.remove(2);
    });
    assert_eq!(hole, ["hole"].into());
}
