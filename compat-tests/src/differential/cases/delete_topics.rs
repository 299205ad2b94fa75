//! DeleteTopics and DeleteRecords: topics go, and the starts of their logs move.

use std::ops::RangeInclusive;

use anyhow::Result;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteTopicsRequest};
use uuid::Uuid;

use super::Cases;
use super::common::{BAD_NAMES, append, nowhere, show_log};
use crate::differential::batches::several;
use crate::differential::build;
use crate::differential::topics::Topic;
use crate::differential::trial::Trial;

const ALL: RangeInclusive<i16> = 1..=6;
const HAS_IDS: RangeInclusive<i16> = 6..=6;
const RECORDS: RangeInclusive<i16> = 0..=2;

pub fn cases(c: &mut Cases) {
    c.each("one topic", ALL, |t, v| {
        let topic = t.topic("t", 2)?;
        by_name(t, v, &[&topic.name])?;
        by_name(t, v, &[&topic.name])
    });
    c.each("known and unknown topics", ALL, |t, v| {
        let (left, right, nowhere) = (t.topic("left", 1)?, t.topic("right", 1)?, nowhere(t));
        by_name(t, v, &[&left.name, &nowhere.name, &right.name])
    });
    c.each("a topic twice", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        by_name(t, v, &[&topic.name, &topic.name])
    });
    for (label, name) in BAD_NAMES {
        c.each(format!("invalid name, {label}"), ALL, move |t, v| {
            by_name(t, v, &[name])
        });
    }
    c.each("no topics", ALL, |t, v| by_name(t, v, &[]));
    c.each("made again", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        by_name(t, v, &[&topic.name])?;
        let again = t.topic("t", 1)?;
        t.note("it has another id", (again.id != topic.id).into());
        show_log(t, &again)
    });
    c.each("by id", HAS_IDS, |t, v| {
        let topic = t.topic("t", 1)?;
        by_id(t, v, &[(None, topic.id)])?;
        by_id(t, v, &[(None, topic.id)])
    });
    c.each("unknown id", HAS_IDS, |t, v| {
        by_id(t, v, &[(None, Uuid::from_u128(0xbad))])
    });
    c.each("id and name", HAS_IDS, |t, v| {
        let topic = t.topic("t", 1)?;
        by_id(t, v, &[(Some(&topic.name), topic.id)])
    });
    c.each("neither id nor name", HAS_IDS, |t, v| {
        by_id(t, v, &[(None, Uuid::nil())])
    });
    c.each("a topic by id and by name", HAS_IDS, |t, v| {
        let topic = t.topic("t", 1)?;
        by_id(t, v, &[(None, topic.id), (Some(&topic.name), Uuid::nil())])
    });
    c.each("an id twice", HAS_IDS, |t, v| {
        let topic = t.topic("t", 1)?;
        by_id(t, v, &[(None, topic.id), (None, topic.id)])
    });
}

fn by_name(t: &mut Trial, v: i16, names: &[&str]) -> Result<()> {
    let request = DeleteTopicsRequest::default().with_timeout_ms(20_000);
    let state = |name: &&str| DeleteTopicState::default().with_name(Some(build::topic(name)));
    let request = match v {
        6.. => request.with_topics(names.iter().map(state).collect()),
        _ => request.with_topic_names(names.iter().map(|name| build::topic(name)).collect()),
    };
    t.ask(v, request)?;
    Ok(())
}

fn by_id(t: &mut Trial, v: i16, topics: &[(Option<&str>, Uuid)]) -> Result<()> {
    let state = |(name, id): &(Option<&str>, Uuid)| {
        DeleteTopicState::default()
            .with_name(name.map(build::topic))
            .with_topic_id(*id)
    };
    let topics = topics.iter().map(state).collect();
    t.ask(
        v,
        DeleteTopicsRequest::default()
            .with_timeout_ms(20_000)
            .with_topics(topics),
    )?;
    Ok(())
}

pub fn record_cases(c: &mut Cases) {
    for offset in [0, 1, 2, 4, 6, 7, -1, -2] {
        c.each(format!("up to {offset} of 6"), RECORDS, move |t, v| {
            let topic = filled(t, &[])?;
            trim(t, v, &[(&topic, 0, offset)])?;
            t.ask(11, super::common::fetch_one(11, &topic, 4))?;
            Ok(())
        });
    }
    c.each("back to an earlier start", RECORDS, |t, v| {
        let topic = filled(t, &[])?;
        trim(t, v, &[(&topic, 0, 5)])?;
        trim(t, v, &[(&topic, 0, 2)])
    });
    c.each("no time to wait", RECORDS, |t, v| {
        let topic = filled(t, &[])?;
        trim_within(t, v, &[(&topic, 0, 4)], 0)
    });
    c.each("empty log", RECORDS, |t, v| {
        let topic = t.topic("t", 1)?;
        trim(t, v, &[(&topic, 0, 0)])?;
        trim(t, v, &[(&topic, 0, -1)])
    });
    c.each("unknown topic and partition", RECORDS, |t, v| {
        let (topic, nowhere) = (filled(t, &[])?, nowhere(t));
        trim(t, v, &[(&topic, 0, 3), (&topic, 7, 3), (&nowhere, 0, 0)])
    });
    for (label, policy) in [
        ("compacted", "compact"),
        ("compacted and deleted", "compact,delete"),
    ] {
        c.each(format!("{label} topic"), RECORDS, move |t, v| {
            let topic = filled(t, &[("cleanup.policy", policy)])?;
            trim(t, v, &[(&topic, 0, 3)])
        });
    }
    c.each("no topics", RECORDS, |t, v| trim(t, v, &[]));
    c.each("internal topic", RECORDS, |t, v| {
        let internal = Topic {
            name: "__consumer_offsets".into(),
            ..nowhere(t)
        };
        trim(t, v, &[(&internal, 0, 0)])
    });
    for (label, name) in [("empty", ""), ("with a space", "a b")] {
        c.each(
            format!("invalid topic name, {label}"),
            RECORDS,
            move |t, v| {
                let topic = Topic {
                    name: name.into(),
                    ..nowhere(t)
                };
                trim(t, v, &[(&topic, 0, 0)])
            },
        );
    }
}

/// A topic with batches of 3, 2 and 1 records.
fn filled(t: &mut Trial, configs: &[(&str, &str)]) -> Result<Topic> {
    let topic = t.topic_with("t", 1, configs)?;
    for count in [3, 2, 1] {
        append(t, &topic, 0, &several(count))?;
    }
    Ok(topic)
}

/// Each partition and the offset that becomes its first.
fn trim(t: &mut Trial, v: i16, partitions: &[(&Topic, i32, i64)]) -> Result<()> {
    trim_within(t, v, partitions, 10_000)
}

fn trim_within(
    t: &mut Trial,
    v: i16,
    partitions: &[(&Topic, i32, i64)],
    timeout_ms: i32,
) -> Result<()> {
    let partition = |(_, partition, offset): &(&Topic, i32, i64)| {
        DeleteRecordsPartition::default()
            .with_partition_index(*partition)
            .with_offset(*offset)
    };
    let topic = |partitions: &[(&Topic, i32, i64)]| {
        DeleteRecordsTopic::default()
            .with_name(build::topic(&partitions[0].0.name))
            .with_partitions(partitions.iter().map(partition).collect())
    };
    let topics = partitions
        .chunk_by(|(left, ..), (right, ..)| left.name == right.name)
        .map(topic)
        .collect();
    t.ask(
        v,
        DeleteRecordsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(timeout_ms),
    )?;
    Ok(())
}
