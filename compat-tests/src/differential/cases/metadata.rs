//! Metadata: brokers, topics, leaders, and topics made by asking.

use std::ops::RangeInclusive;

use anyhow::Result;
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use uuid::Uuid;

use super::Cases;
use super::common::{BAD_NAMES, long_name};
use crate::differential::trial::Trial;
use crate::differential::{build, tree};

const ALL: RangeInclusive<i16> = 0..=13;
/// Before and after names could be null, and the last.
const SHAPES: [i16; 4] = [4, 9, 12, 13];
/// An empty list asks for no topic, null for all.
const EMPTY_IS_NONE: RangeInclusive<i16> = 1..=13;
const CHOOSES_CREATION: RangeInclusive<i16> = 4..=13;
const TOPIC_OPERATIONS: RangeInclusive<i16> = 8..=13;
const CLUSTER_OPERATIONS: RangeInclusive<i16> = 8..=10;
const HAS_IDS: RangeInclusive<i16> = 10..=13;

pub fn cases(c: &mut Cases) {
    topics_that_exist(c);
    topics_that_do_not(c);
    by_id(c);
    c.each("all topics", ALL, all_topics);
    c.each("no topics", EMPTY_IS_NONE, |t, v| {
        t.ask(v, MetadataRequest::default().with_topics(Some(vec![])))?;
        Ok(())
    });
    c.each(
        "authorized operations of topics",
        TOPIC_OPERATIONS,
        |t, v| {
            let topic = t.topic("t", 1)?;
            t.ask(
                v,
                asking(v, &[&topic.name]).with_include_topic_authorized_operations(true),
            )?;
            Ok(())
        },
    );
    c.each(
        "authorized operations of the cluster",
        CLUSTER_OPERATIONS,
        |t, v| {
            t.ask(
                v,
                asking(v, &[]).with_include_cluster_authorized_operations(true),
            )?;
            Ok(())
        },
    );
}

fn topics_that_exist(c: &mut Cases) {
    c.each("one topic", ALL, |t, v| {
        let topic = t.topic("t", 3)?;
        ask(t, v, &[&topic.name])
    });
    c.each("one topic twice", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        ask(t, v, &[&topic.name, &topic.name])
    });
    c.each(
        "known, unknown and invalid topics",
        CHOOSES_CREATION,
        |t, v| {
            let (topic, nowhere) = (t.topic("t", 1)?, t.name("nowhere"));
            ask(t, v, &[&nowhere, &topic.name, "a b"])
        },
    );
    c.each("internal topic", ALL, |t, v| {
        t.led_topic("__consumer_offsets", 50)?;
        ask(t, v, &["__consumer_offsets"])
    });
    c.each("deleted topic", CHOOSES_CREATION, |t, v| {
        let topic = t.topic("t", 1)?;
        t.delete(&topic)?;
        ask(t, v, &[&topic.name])
    });
}

fn topics_that_do_not(c: &mut Cases) {
    c.each("unknown topic", CHOOSES_CREATION, |t, v| {
        let name = t.name("nowhere");
        ask(t, v, &[&name])
    });
    c.each("unknown topic is made", ALL, |t, v| {
        let name = t.name("made");
        t.ask(v, making(v, &[&name]))?;
        t.led_topic(&name, 1)?;
        ask(t, v, &[&name])
    });
    c.each("unknown topic twice is made", ALL, |t, v| {
        let name = t.name("made");
        t.ask(v, making(v, &[&name, &name]))?;
        Ok(())
    });
    c.each(
        "a name that collides with an existing one is not made",
        ALL,
        |t, v| {
            t.topic("a.b", 1)?;
            let name = t.name("a_b");
            t.ask(v, making(v, &[&name]))?;
            Ok(())
        },
    );
    let long = long_name();
    let long = [("250 characters", long.as_str())];
    for (label, name) in BAD_NAMES.iter().chain(&long) {
        let name = name.to_string();
        let made = name.clone();
        c.each(format!("invalid name, {label}"), SHAPES, move |t, v| {
            ask(t, v, &[&name])
        });
        c.each(
            format!("invalid name is not made, {label}"),
            SHAPES,
            move |t, v| {
                t.ask(v, making(v, &[&made]))?;
                Ok(())
            },
        );
    }
    c.each("null name", HAS_IDS, |t, v| {
        let topic = MetadataRequestTopic::default().with_name(None);
        t.ask(v, MetadataRequest::default().with_topics(Some(vec![topic])))?;
        Ok(())
    });
}

fn by_id(c: &mut Cases) {
    c.each("by id", HAS_IDS, |t, v| {
        let topic = t.topic("t", 2)?;
        ask_id(t, v, topic.id, None)
    });
    c.each("by id and its name", HAS_IDS, |t, v| {
        let topic = t.topic("t", 1)?;
        ask_id(t, v, topic.id, Some(&topic.name))
    });
    c.each("by id and another name", HAS_IDS, |t, v| {
        let (topic, other) = (t.topic("t", 1)?, t.name("other"));
        ask_id(t, v, topic.id, Some(&other))
    });
    c.each("unknown id", HAS_IDS, |t, v| {
        ask_id(t, v, Uuid::from_u128(0xbad), None)
    });
    c.each("id of a deleted topic", HAS_IDS, |t, v| {
        let topic = t.topic("t", 1)?;
        t.delete(&topic)?;
        ask_id(t, v, topic.id, None)
    });
    c.each("an id and a name of two topics", HAS_IDS, |t, v| {
        let (left, right) = (t.topic("left", 1)?, t.topic("right", 1)?);
        let left = MetadataRequestTopic::default()
            .with_topic_id(left.id)
            .with_name(None);
        let right = MetadataRequestTopic::default().with_name(Some(build::topic(&right.name)));
        let topics = Some(vec![left, right]);
        t.ask(
            v,
            MetadataRequest::default()
                .with_topics(topics)
                .with_allow_auto_topic_creation(false),
        )?;
        Ok(())
    });
}

/// Other cases run beside this one, so only its own topics count.
fn all_topics(t: &mut Trial, v: i16) -> Result<()> {
    t.topic("left", 1)?;
    t.topic("right", 2)?;
    let own = t.name("");
    let topics = if v == 0 { Some(vec![]) } else { None };
    let mut answer = t.quietly(v, &MetadataRequest::default().with_topics(topics))?;
    answer.topics.retain(|topic| {
        topic
            .name
            .as_ref()
            .is_some_and(|name| name.starts_with(&own))
    });
    t.note("all topics, those of the case", tree::of(&answer)?);
    Ok(())
}

/// Topics by name; only versions before the choice make them.
fn asking(v: i16, names: &[&str]) -> MetadataRequest {
    making(v, names).with_allow_auto_topic_creation(!CHOOSES_CREATION.contains(&v))
}

fn making(_: i16, names: &[&str]) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic::default().with_name(Some(build::topic(name)));
    MetadataRequest::default().with_topics(Some(names.iter().map(topic).collect()))
}

fn ask(t: &mut Trial, v: i16, names: &[&str]) -> Result<()> {
    t.ask(v, asking(v, names))?;
    Ok(())
}

fn ask_id(t: &mut Trial, v: i16, id: Uuid, name: Option<&str>) -> Result<()> {
    let topic = MetadataRequestTopic::default()
        .with_topic_id(id)
        .with_name(name.map(build::topic));
    t.ask(
        v,
        MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(false),
    )?;
    Ok(())
}
