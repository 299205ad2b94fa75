//! OffsetFetch: committed offsets of one group or several.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::Result;
use kafka_protocol::messages::OffsetFetchRequest;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};

use super::Cases;
use super::common::nowhere;
use super::members::{commit, committed, stable};
use crate::clock;
use crate::differential::build::{self, group, text};
use crate::differential::topics::Topic;
use crate::differential::trial::Trial;

const ALL: RangeInclusive<i16> = 1..=9;
const HAS_ALL_TOPICS: RangeInclusive<i16> = 2..=9;
const HAS_STABLE: RangeInclusive<i16> = 7..=9;
const HAS_GROUPS: RangeInclusive<i16> = 8..=9;
const HAS_MEMBER: RangeInclusive<i16> = 9..=9;

/// A group and its topics with partitions; no list asks for all.
type Asked<'a> = (&'a str, Option<&'a [(&'a str, &'a [i32])]>);

pub fn cases(c: &mut Cases) {
    c.each("committed and not committed", ALL, |t, v| {
        let (g, topic) = filled(t)?;
        ask(t, v, &[(&g, Some(&[(&topic.name, &[1, 0, 2, 9, -1])]))])
    });
    c.each("all topics", HAS_ALL_TOPICS, |t, v| {
        let (g, _) = filled(t)?;
        ask(t, v, &[(&g, None)])
    });
    c.each("all topics of an unknown group", HAS_ALL_TOPICS, |t, v| {
        let g = t.name("g");
        ask(t, v, &[(&g, None)])
    });
    c.each("no topics", ALL, |t, v| {
        let (g, _) = filled(t)?;
        ask(t, v, &[(&g, Some(&[]))])
    });
    c.each("no partitions", ALL, |t, v| {
        let (g, topic) = filled(t)?;
        ask(t, v, &[(&g, Some(&[(&topic.name, &[])]))])
    });
    c.each("a partition twice", ALL, |t, v| {
        let (g, topic) = filled(t)?;
        ask(t, v, &[(&g, Some(&[(&topic.name, &[0, 0])]))])
    });
    c.each("unknown group", ALL, |t, v| {
        let (g, topic) = (t.name("g"), t.topic("t", 1)?);
        ask(t, v, &[(&g, Some(&[(&topic.name, &[0])]))])
    });
    c.each("empty group", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        ask(t, v, &[("", Some(&[(&topic.name, &[0])]))])
    });
    c.each("unknown topic", ALL, |t, v| {
        let ((g, _), nowhere) = (filled(t)?, nowhere(t));
        ask(t, v, &[(&g, Some(&[(&nowhere.name, &[0])]))])
    });
    c.each("deleted topic", ALL, |t, v| {
        let (g, topic) = filled(t)?;
        t.delete(&topic)?;
        await_no_offset(t, &g, &topic)?;
        ask(t, v, &[(&g, Some(&[(&topic.name, &[0])]))])
    });
    c.each("group with a member and no offsets", ALL, |t, v| {
        let (g, topic) = (t.name("g"), t.topic("t", 1)?);
        stable(t, &g)?;
        ask(t, v, &[(&g, Some(&[(&topic.name, &[0])]))])
    });
    c.each("stable offsets only", HAS_STABLE, |t, v| {
        let (g, topic) = filled(t)?;
        let asked: [Asked; 1] = [(&g, Some(&[(&topic.name, &[0, 1])]))];
        t.ask(v, request(v, &asked).with_require_stable(true))?;
        Ok(())
    });
    c.each(
        "two groups, an unknown and an empty one",
        HAS_GROUPS,
        |t, v| {
            let ((g, topic), other) = (filled(t)?, t.name("other"));
            committed(t, &other, &[(&topic, 0, 9)])?;
            let unknown = t.name("unknown");
            let some: Option<&[(&str, &[i32])]> = Some(&[(&topic.name, &[0])]);
            ask(
                t,
                v,
                &[(&g, some), (&unknown, some), (&other, None), ("", some)],
            )
        },
    );
    c.each("a group twice", HAS_GROUPS, |t, v| {
        let (g, topic) = filled(t)?;
        ask(t, v, &[(&g, None), (&g, Some(&[(&topic.name, &[0])]))])
    });
    c.each("no groups", HAS_GROUPS, |t, v| ask(t, v, &[]));
    c.each("with a member and an epoch", HAS_MEMBER, |t, v| {
        let (g, topic) = filled(t)?;
        let asked: [Asked; 1] = [(&g, Some(&[(&topic.name, &[0])]))];
        let mut request = request(v, &asked);
        request.groups[0].member_id = Some(text("judge-nobody"));
        request.groups[0].member_epoch = 3;
        t.ask(v, request)?;
        Ok(())
    });
    c.each("null and empty metadata, epochs", ALL, |t, v| {
        let (g, topic) = (t.name("g"), t.topic("t", 3)?);
        let mut offsets = commit(&g, &[(&topic, 0, 1), (&topic, 1, 2), (&topic, 2, 3)]);
        for (at, partition) in offsets.topics[0].partitions.iter_mut().enumerate() {
            partition.committed_metadata = [None, Some(text("")), Some(text("é"))][at].clone();
            partition.committed_leader_epoch = [-1, 30, 80][at];
        }
        t.quietly(6, &offsets)?;
        ask(t, v, &[(&g, Some(&[(&topic.name, &[0, 1, 2])]))])
    });
}

/// A group with offsets 5 and 6 of partitions 0 and 1 of a topic of three.
fn filled(t: &mut Trial) -> Result<(String, Topic)> {
    let (g, topic) = (t.name("g"), t.topic("t", 3)?);
    committed(t, &g, &[(&topic, 0, 5), (&topic, 1, 6)])?;
    Ok((g, topic))
}

/// A deleted topic's offsets go a moment after it.
fn await_no_offset(t: &mut Trial, g: &str, topic: &Topic) -> Result<()> {
    let asked: [Asked; 1] = [(g, Some(&[(&topic.name, &[0])]))];
    let gone = clock::wait_for(Duration::from_secs(20), Duration::from_millis(20), || {
        let answer = t.quietly(7, &request(7, &asked));
        answer
            .map(|answer| (answer.topics[0].partitions[0].committed_offset < 0).then_some(()))
            .transpose()
    });
    gone.unwrap_or(Ok(()))
}

fn request(v: i16, groups: &[Asked]) -> OffsetFetchRequest {
    let request = OffsetFetchRequest::default();
    if HAS_GROUPS.contains(&v) {
        let topic = |(name, partitions): &(&str, &[i32])| {
            OffsetFetchRequestTopics::default()
                .with_name(build::topic(name))
                .with_partition_indexes(partitions.to_vec())
        };
        let asked = |(id, topics): &Asked| {
            OffsetFetchRequestGroup::default()
                .with_group_id(group(id))
                .with_topics(topics.map(|topics| topics.iter().map(topic).collect()))
        };
        return request.with_groups(groups.iter().map(asked).collect());
    }
    let (id, topics) = groups[0];
    let topic = |(name, partitions): &(&str, &[i32])| {
        OffsetFetchRequestTopic::default()
            .with_name(build::topic(name))
            .with_partition_indexes(partitions.to_vec())
    };
    request
        .with_group_id(group(id))
        .with_topics(topics.map(|topics| topics.iter().map(topic).collect()))
}

fn ask(t: &mut Trial, v: i16, groups: &[Asked]) -> Result<()> {
    t.ask(v, request(v, groups))?;
    Ok(())
}
