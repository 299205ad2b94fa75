//! ListOffsets: the offset that a timestamp, or an end of the log, names.

use std::ops::RangeInclusive;

use anyhow::Result;
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::Cases;
use super::common::{BAD_NAMES, append, nowhere, trim};
use crate::differential::batches::{Batch, CODECS, Codec, PAST_MS, Record, batch, record, several};
use crate::differential::build::{self, CONSUMER};
use crate::differential::topics::Topic;
use crate::differential::trial::Trial;

const ALL: RangeInclusive<i16> = 1..=10;
/// The first, one in between and the last, for what is about the log more than the request.
const SHAPES: [i16; 3] = [1, 7, 10];
const HAS_ISOLATION: RangeInclusive<i16> = 2..=10;
const HAS_EPOCHS: RangeInclusive<i16> = 4..=10;

/// Earliest, latest, largest timestamp, earliest local, latest tiered, earliest pending upload, and numbers without
/// a meaning.
const SPECIAL: [i64; 9] = [-1, -2, -3, -4, -5, -6, -7, -100, i64::MIN];

pub fn cases(c: &mut Cases) {
    for special in SPECIAL {
        c.each(format!("timestamp {special}"), ALL, move |t, v| {
            let topic = t.topic("t", 1)?;
            fill(t, &topic)?;
            ask(t, v, &topic, special)
        });
        c.each(
            format!("timestamp {special}, empty log"),
            ALL,
            move |t, v| {
                let topic = t.topic("t", 1)?;
                ask(t, v, &topic, special)
            },
        );
        c.each(
            format!("timestamp {special}, trimmed log"),
            SHAPES,
            move |t, v| {
                let topic = t.topic("t", 1)?;
                fill(t, &topic)?;
                trim(t, &topic, 4)?;
                ask(t, v, &topic, special)
            },
        );
    }
    by_time(c);
    wrong(c);
    for isolation in [0, 1, 2, -1] {
        c.each(
            format!("isolation {isolation}"),
            HAS_ISOLATION,
            move |t, v| {
                let topic = t.topic("t", 1)?;
                fill(t, &topic)?;
                for timestamp in [-1, -2, PAST_MS + 1] {
                    t.ask(
                        v,
                        request(&topic, &[(0, timestamp, -1)]).with_isolation_level(isolation),
                    )?;
                }
                Ok(())
            },
        );
    }
}

/// Three batches of 3 records, each of them ten seconds after the one before.
fn fill(t: &mut Trial, topic: &Topic) -> Result<()> {
    filled_with(t, topic, |codec: Batch| codec)
}

fn filled_with(t: &mut Trial, topic: &Topic, change: impl Fn(Batch) -> Batch) -> Result<()> {
    for at in 0..3 {
        append(t, topic, 0, &change(several(3).at(PAST_MS + at * 10_000)))?;
    }
    Ok(())
}

fn by_time(c: &mut Cases) {
    for codec in CODECS {
        c.each(format!("timestamps, {codec:?}"), SHAPES, move |t, v| {
            let topic = t.topic("t", 1)?;
            filled_with(t, &topic, |batch| batch.codec(codec))?;
            for after in [
                -1, 0, 1, 1000, 2000, 2001, 10_000, 11_500, 22_000, 22_001, 1_000_000,
            ] {
                ask(t, v, &topic, PAST_MS + after)?;
            }
            ask(t, v, &topic, 0)?;
            ask(t, v, &topic, i64::MAX)
        });
        c.each(
            format!("the largest timestamp is not the last, {codec:?}"),
            SHAPES,
            move |t, v| {
                let topic = t.topic("t", 1)?;
                let deltas = [0, 9000, 3000];
                let records = deltas.map(|timestamp_delta| Record {
                    timestamp_delta,
                    ..record("k", "v")
                });
                append(t, &topic, 0, &batch(records.to_vec()).codec(codec))?;
                append(t, &topic, 0, &several(2).codec(codec))?;
                for timestamp in [
                    PAST_MS + 1,
                    PAST_MS + 3000,
                    PAST_MS + 9000,
                    PAST_MS + 9001,
                    -3,
                ] {
                    ask(t, v, &topic, timestamp)?;
                }
                Ok(())
            },
        );
    }
    c.each("timestamps after a trim", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        fill(t, &topic)?;
        trim(t, &topic, 4)?;
        for after in [0, 10_000, 11_000, 12_000, 30_000] {
            ask(t, v, &topic, PAST_MS + after)?;
        }
        Ok(())
    });
    c.each("log append time", ALL, |t, v| {
        let topic = t.topic_with("t", 1, &[("message.timestamp.type", "LogAppendTime")])?;
        append(t, &topic, 0, &several(3))?;
        for timestamp in [PAST_MS, t.now_ms() + 60_000, -3] {
            ask(t, v, &topic, timestamp)?;
        }
        Ok(())
    });
    c.each("the same timestamp in two batches", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        append(t, &topic, 0, &several(2))?;
        append(t, &topic, 0, &several(2).codec(Codec::Gzip))?;
        for timestamp in [PAST_MS, PAST_MS + 1000, -3] {
            ask(t, v, &topic, timestamp)?;
        }
        Ok(())
    });
}

fn wrong(c: &mut Cases) {
    c.each("unknown topic", ALL, |t, v| {
        let topic = nowhere(t);
        ask(t, v, &topic, -1)
    });
    for (label, name) in BAD_NAMES {
        c.each(
            format!("invalid topic name, {label}"),
            [1, 10],
            move |t, v| {
                let topic = Topic {
                    name: name.into(),
                    ..nowhere(t)
                };
                ask(t, v, &topic, -1)
            },
        );
    }
    for partition in [-1, 1, i32::MAX] {
        c.each(
            format!("unknown partition {partition}"),
            ALL,
            move |t, v| {
                let topic = t.topic("t", 1)?;
                t.ask(v, request(&topic, &[(partition, -1, -1), (0, -1, -1)]))?;
                Ok(())
            },
        );
    }
    for (label, over) in [("the present", 0), ("a later", 1), ("a much later", 100)] {
        c.each(format!("{label} epoch"), HAS_EPOCHS, move |t, v| {
            let topic = t.topic("t", 1)?;
            t.ask(v, request(&topic, &[(0, -1, topic.epoch + over)]))?;
            Ok(())
        });
    }
    c.each("no topics", ALL, |t, v| {
        t.ask(v, ListOffsetsRequest::default().with_replica_id(CONSUMER))?;
        Ok(())
    });
    c.each("no partitions", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        t.ask(v, request(&topic, &[]))?;
        Ok(())
    });
    c.each("a partition twice", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        fill(t, &topic)?;
        t.ask(v, request(&topic, &[(0, -1, -1), (0, -2, -1)]))?;
        Ok(())
    });
    c.each("a topic twice", ALL, |t, v| {
        let topic = t.topic("t", 2)?;
        let mut asked = request(&topic, &[(0, -1, -1)]);
        asked.topics.extend(request(&topic, &[(1, -2, -1)]).topics);
        t.ask(v, asked)?;
        Ok(())
    });
    c.each("as a debugging replica", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        fill(t, &topic)?;
        t.ask(
            v,
            request(&topic, &[(0, -1, -1)]).with_replica_id((-2).into()),
        )?;
        Ok(())
    });
}

/// Each partition with the timestamp and leader epoch that it asks with.
fn request(topic: &Topic, partitions: &[(i32, i64, i32)]) -> ListOffsetsRequest {
    let partition = |(index, timestamp, epoch): &(i32, i64, i32)| {
        ListOffsetsPartition::default()
            .with_partition_index(*index)
            .with_timestamp(*timestamp)
            .with_current_leader_epoch(*epoch)
    };
    let asked = ListOffsetsTopic::default()
        .with_name(build::topic(&topic.name))
        .with_partitions(partitions.iter().map(partition).collect());
    ListOffsetsRequest::default()
        .with_replica_id(CONSUMER)
        .with_topics(vec![asked])
}

fn ask(t: &mut Trial, v: i16, topic: &Topic, timestamp: i64) -> Result<()> {
    t.ask(v, request(topic, &[(0, timestamp, -1)]))?;
    Ok(())
}
