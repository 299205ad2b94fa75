//! The log of records: the anomalies that Jepsen's Kafka workload looks for, as far as there are no transactions.
//!
//! | kind | what |
//! |---|---|
//! | `lost-write` | a record that was acknowledged, or read by anyone, is not in the log at the end |
//! | `duplicate` | a value is at several offsets, though its producer kept its epoch while it was on its way |
//! | `aborted-read` | a record that was refused is there |
//! | `made-up-read` | a value that nobody sent is there |
//! | `inconsistent-offsets` | an offset has several values |
//! | `nonmonotonic-poll`, `skipped-poll` | a consumer goes back, or leaves out an offset |
//! | `nonmonotonic-send` | a producer's records change their order |
//! | `external-order` | a record that was sent after another one was acknowledged is before it |
//! | `stale-end`, `nonmonotonic-end` | a partition ends before what was acknowledged, or before where it ended |
//! | `hole` | offsets are missing at the end |
//!
//! Source: <https://github.com/jepsen-io/kafka>, `jepsen.tests.kafka`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Anomaly;
use crate::history::{End, History, Outcome, Poll, Send, Value};
use crate::time::Micros;

type Place = (i32, i64);

pub fn check(history: &History) -> Vec<Anomaly> {
    let mut found = Vec::new();
    places(history, &mut found);
    sent(history, &mut found);
    final_log(history, &mut found);
    polls(&history.polls, &mut found);
    sends(&history.sends, &mut found);
    external_order(&history.sends, &mut found);
    ends(history, &mut found);
    found
}

/// Everything that anyone said of what is where, with who said it.
fn sightings(history: &History) -> impl Iterator<Item = (Place, Value, &'static str)> {
    let acked = history.sends.iter().filter_map(|send| {
        let offset = send.offset()?;
        Some(((send.partition, offset), send.value, "acknowledged"))
    });
    let polled = history.polls.iter();
    let polled = polled.map(|poll| ((poll.partition, poll.offset), poll.value, "polled"));
    let logs = history.logs.iter().flat_map(|log| {
        let records = log.records.iter();
        records.map(|(offset, value)| ((log.partition, *offset), *value, "in the log"))
    });
    acked.chain(polled).chain(logs)
}

/// One value for each offset, and one offset for each value.
fn places(history: &History, found: &mut Vec<Anomaly>) {
    let mut values: BTreeMap<Place, BTreeSet<(Value, &str)>> = BTreeMap::new();
    let mut places: BTreeMap<Value, BTreeSet<Place>> = BTreeMap::new();
    for (place, value, who) in sightings(history) {
        values.entry(place).or_default().insert((value, who));
        places.entry(value).or_default().insert(place);
    }
    for (place, values) in values {
        let different: BTreeSet<Value> = values.iter().map(|(value, _)| *value).collect();
        if different.len() > 1 {
            let what = format!("{place:?} has {values:?}");
            found.push(Anomaly::new("inconsistent-offsets", what));
        }
    }
    let again = sent_again(history);
    for (value, places) in places {
        if places.len() > 1 && !again.contains(&value) {
            let what = format!("{value} is at {places:?}");
            found.push(Anomaly::new("duplicate", what));
        }
    }
}

/// What was on its way when its producer began a new epoch.
fn sent_again(history: &History) -> BTreeSet<Value> {
    let mut bumps: BTreeMap<u64, Vec<Micros>> = BTreeMap::new();
    for bump in &history.bumps {
        bumps.entry(bump.producer).or_default().push(bump.at);
    }
    let on_its_way = |send: &&Send| {
        let bumps = bumps.get(&send.producer).into_iter().flatten();
        bumps
            .copied()
            .any(|at| (send.began..=send.ended).contains(&at))
    };
    let sends = history.sends.iter().filter(on_its_way);
    sends.map(|send| send.value).collect()
}

/// What was read was sent, and not refused.
fn sent(history: &History, found: &mut Vec<Anomaly>) {
    let sent: HashMap<Value, &Send> = history
        .sends
        .iter()
        .map(|send| (send.value, send))
        .collect();
    let mut told = BTreeSet::new();
    for (place, value, who) in sightings(history) {
        let anomaly = match sent.get(&value).map(|send| (&send.outcome, send.partition)) {
            None => Anomaly::new("made-up-read", format!("{value} is {who} at {place:?}")),
            Some((Outcome::Refused(why), _)) => Anomaly::new(
                "aborted-read",
                format!("{value} was refused ({why}) and is {who} at {place:?}"),
            ),
            Some((_, partition)) if partition != place.0 => Anomaly::new(
                "made-up-read",
                format!("{value} was sent to {partition} and is {who} at {place:?}"),
            ),
            Some(_) => continue,
        };
        if told.insert(value) {
            found.push(anomaly);
        }
    }
}

/// Nothing that anyone was told of is missing, nor any offset.
fn final_log(history: &History, found: &mut Vec<Anomaly>) {
    for log in &history.logs {
        let there: BTreeSet<i64> = log.records.iter().map(|(offset, _)| *offset).collect();
        let mut lost = BTreeSet::new();
        for (place, value, who) in sightings(history) {
            if place.0 == log.partition && !there.contains(&place.1) && lost.insert(place) {
                let what = format!(
                    "{value}, {who} at {place:?}, is not on node {}",
                    log.node + 1
                );
                found.push(Anomaly::new("lost-write", what));
            }
        }
        let values: BTreeSet<Value> = log.records.iter().map(|(_, value)| *value).collect();
        for send in &history.sends {
            // Acknowledged, though nobody was told where it is.
            let acked = send.partition == log.partition && send.outcome.done() == Some(&None);
            if acked && !values.contains(&send.value) {
                let what = format!("{send:?} is not on node {}", log.node + 1);
                found.push(Anomaly::new("lost-write", what));
            }
        }
        let dense = there.iter().zip(0..).all(|(offset, next)| *offset == next);
        if !dense {
            let what = format!("offsets of {} on node {}", log.partition, log.node);
            found.push(Anomaly::new("hole", what));
        }
    }
}

/// What a consumer gets of a partition are the next offsets, while it is assigned the same.
fn polls(polls: &[Poll], found: &mut Vec<Anomaly>) {
    let mut last: HashMap<(u64, u64, i32), i64> = HashMap::new();
    for poll in polls {
        let reader = (poll.consumer, poll.assignment, poll.partition);
        let before = last.insert(reader, poll.offset);
        let Some(before) = before else { continue };
        let kind = match poll.offset - before {
            1 => continue,
            ..=0 => "nonmonotonic-poll",
            _ => "skipped-poll",
        };
        let what = format!("consumer {reader:?}: {} after {before}", poll.offset);
        found.push(Anomaly::new(kind, what));
    }
}

/// The records of a producer that keeps their order are in the order in which it sent them.
fn sends(sends: &[Send], found: &mut Vec<Anomaly>) {
    let mut ordered: Vec<&Send> = sends.iter().filter(|send| send.in_order).collect();
    // Values are drawn in the order of sending.
    ordered.sort_by_key(|send| send.value);
    let mut last: HashMap<(u64, i32), i64> = HashMap::new();
    for send in ordered {
        let Some(offset) = send.offset() else {
            continue;
        };
        let before = last.insert((send.producer, send.partition), offset);
        if before.is_some_and(|before| before >= offset) {
            let what = format!("{send:?} is behind {before:?}");
            found.push(Anomaly::new("nonmonotonic-send", what));
        }
    }
}

/// Whoever sends after another one was acknowledged comes behind it.
fn external_order(sends: &[Send], found: &mut Vec<Anomaly>) {
    for (partition, acked) in by_partition(sends) {
        let highest = Highest::new(acked.iter().map(|(send, offset)| (send.ended, *offset)));
        for (send, offset) in acked {
            let before = highest.before(send.began);
            if before.is_some_and(|before| before > offset) {
                let what =
                    format!("{partition}: {send:?}, though {before:?} was acknowledged before");
                found.push(Anomaly::new("external-order", what));
            }
        }
    }
}

/// A partition's end is behind all that was acknowledged, and all ends that were told, before it was asked for.
fn ends(history: &History, found: &mut Vec<Anomaly>) {
    let mut told: BTreeMap<i32, Vec<&End>> = BTreeMap::new();
    for end in &history.ends {
        told.entry(end.partition).or_default().push(end);
    }
    let acked = by_partition(&history.sends);
    let polled = |partition: i32| {
        let polls = history.polls.iter();
        let polls = polls.filter(move |poll| poll.partition == partition);
        polls.map(|poll| (poll.at, poll.offset))
    };
    for (partition, ends) in told {
        let acked = acked.get(&partition).into_iter().flatten();
        let acked = acked.map(|(send, offset)| (send.ended, *offset));
        let seen = Highest::new(acked.chain(polled(partition)));
        let highest = Highest::new(ends.iter().map(|end| (end.ended, end.offset)));
        for end in ends {
            if let Some(before) = seen
                .before(end.began)
                .filter(|before| *before >= end.offset)
            {
                let what = format!("{end:?}, though {before} had been seen");
                found.push(Anomaly::new("stale-end", what));
            }
            if let Some(before) = highest
                .before(end.began)
                .filter(|before| *before > end.offset)
            {
                let what = format!("{end:?}, though it had been {before}");
                found.push(Anomaly::new("nonmonotonic-end", what));
            }
        }
    }
}

fn by_partition(sends: &[Send]) -> BTreeMap<i32, Vec<(&Send, i64)>> {
    let mut acked: BTreeMap<i32, Vec<(&Send, i64)>> = BTreeMap::new();
    for send in sends {
        if let Some(offset) = send.offset() {
            acked
                .entry(send.partition)
                .or_default()
                .push((send, offset));
        }
    }
    acked
}

/// The highest offset that was known at each time.
struct Highest(Vec<(Micros, i64)>);

impl Highest {
    fn new(known: impl Iterator<Item = (Micros, i64)>) -> Highest {
        let mut known: Vec<(Micros, i64)> = known.collect();
        known.sort();
        let mut highest = i64::MIN;
        for (_, offset) in &mut known {
            highest = highest.max(*offset);
            *offset = highest;
        }
        Highest(known)
    }

    /// What was known before that time.
    fn before(&self, time: Micros) -> Option<i64> {
        let behind = self.0.partition_point(|(at, _)| *at < time);
        Some(self.0[..behind].last()?.1)
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
