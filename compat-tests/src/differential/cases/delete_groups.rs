//! DeleteGroups and OffsetDelete: groups and their offsets go.

use std::ops::RangeInclusive;

use anyhow::Result;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, LeaveGroupRequest, OffsetDeleteRequest, OffsetFetchRequest,
};

use super::Cases;
use super::common::nowhere;
use super::members::{committed, join, joined_with, protocol, stable, subscription, synced};
use crate::differential::build::{self, group, text};
use crate::differential::topics::Topic;
use crate::differential::trial::Trial;

const ALL: RangeInclusive<i16> = 0..=2;

pub fn cases(c: &mut Cases) {
    c.each("group that only committed", ALL, |t, v| {
        let (g, topic) = (t.name("g"), t.topic("t", 1)?);
        committed(t, &g, &[(&topic, 0, 5)])?;
        ask(t, v, &[&g])?;
        offsets(t, &g)?;
        ask(t, v, &[&g])
    });
    c.each("group that everybody left", ALL, |t, v| {
        let g = t.name("g");
        let member = stable(t, &g)?;
        let leave = LeaveGroupRequest::default()
            .with_group_id(group(&g))
            .with_member_id(text(&member.id));
        t.quietly(1, &leave)?;
        ask(t, v, &[&g])
    });
    c.each("group with a member", ALL, |t, v| {
        let g = t.name("g");
        let member = stable(t, &g)?;
        ask(t, v, &[&g])?;
        t.ask(3, member.heartbeat())?;
        Ok(())
    });
    c.each("known, unknown and empty groups", ALL, |t, v| {
        let (g, topic, unknown) = (t.name("g"), t.topic("t", 1)?, t.name("unknown"));
        committed(t, &g, &[(&topic, 0, 5)])?;
        // Cases of other APIs may have made the group without a name.
        let nameless = DeleteGroupsRequest::default().with_groups_names(vec![group("")]);
        t.quietly(v, &nameless)?;
        ask(t, v, &[&unknown, &g, ""])
    });
    c.each("a group twice", ALL, |t, v| {
        let (g, topic) = (t.name("g"), t.topic("t", 1)?);
        committed(t, &g, &[(&topic, 0, 5)])?;
        ask(t, v, &[&g, &g])
    });
    c.each("no groups", ALL, |t, v| ask(t, v, &[]));
}

fn ask(t: &mut Trial, v: i16, groups: &[&str]) -> Result<()> {
    let groups = groups.iter().map(|id| group(id)).collect();
    t.ask(v, DeleteGroupsRequest::default().with_groups_names(groups))?;
    Ok(())
}

/// Records all offsets of a group.
fn offsets(t: &mut Trial, g: &str) -> Result<()> {
    t.ask(
        7,
        OffsetFetchRequest::default()
            .with_group_id(group(g))
            .with_topics(None),
    )?;
    Ok(())
}

pub fn offset_cases(c: &mut Cases) {
    c.each("committed and not committed", 0..=0, |t, v| {
        let (g, topic) = filled(t)?;
        let nowhere = nowhere(t);
        delete_offsets(t, v, &g, &[(&topic, &[0, 2, 9, -1]), (&nowhere, &[0])])?;
        offsets(t, &g)
    });
    c.each("unknown group", 0..=0, |t, v| {
        let (g, topic) = (t.name("g"), t.topic("t", 1)?);
        delete_offsets(t, v, &g, &[(&topic, &[0])])
    });
    c.each("empty group", 0..=0, |t, v| {
        let topic = t.topic("t", 1)?;
        delete_offsets(t, v, "", &[(&topic, &[0])])
    });
    c.each("no topics", 0..=0, |t, v| {
        let (g, _) = filled(t)?;
        delete_offsets(t, v, &g, &[])
    });
    c.each("no partitions", 0..=0, |t, v| {
        let (g, topic) = filled(t)?;
        delete_offsets(t, v, &g, &[(&topic, &[])])
    });
    c.each("a partition twice", 0..=0, |t, v| {
        let (g, topic) = filled(t)?;
        delete_offsets(t, v, &g, &[(&topic, &[0, 0])])
    });
    c.each("the last offset of a group", 0..=0, |t, v| {
        let (g, topic) = (t.name("g"), t.topic("t", 1)?);
        committed(t, &g, &[(&topic, 0, 5)])?;
        delete_offsets(t, v, &g, &[(&topic, &[0])])?;
        delete_offsets(t, v, &g, &[(&topic, &[0])])
    });
    c.each(
        "subscribed and other topics of a stable group",
        0..=0,
        |t, v| {
            let (g, topic) = filled(t)?;
            let other = t.topic("other", 1)?;
            let subscribed = vec![protocol("range", subscription(&[&topic.name]))];
            let member = joined_with(t, join(3, &g, "").with_protocols(subscribed))?;
            synced(t, &member)?;
            t.quietly(6, &member.commit(&other, 8))?;
            delete_offsets(t, v, &g, &[(&topic, &[0]), (&other, &[0])])?;
            offsets(t, &g)
        },
    );
    c.each("stable group of another kind", 0..=0, |t, v| {
        let (g, topic) = filled(t)?;
        let request = join(3, &g, "").with_protocol_type(text("connect"));
        joined_with(t, request)?;
        delete_offsets(t, v, &g, &[(&topic, &[0])])
    });
}

/// A group with offsets of partitions 0 and 1 of a topic of three.
fn filled(t: &mut Trial) -> Result<(String, Topic)> {
    let (g, topic) = (t.name("g"), t.topic("t", 3)?);
    committed(t, &g, &[(&topic, 0, 5), (&topic, 1, 6)])?;
    Ok((g, topic))
}

fn delete_offsets(t: &mut Trial, v: i16, g: &str, topics: &[(&Topic, &[i32])]) -> Result<()> {
    let partition =
        |index: &i32| OffsetDeleteRequestPartition::default().with_partition_index(*index);
    let topic = |(topic, partitions): &(&Topic, &[i32])| {
        OffsetDeleteRequestTopic::default()
            .with_name(build::topic(&topic.name))
            .with_partitions(partitions.iter().map(partition).collect())
    };
    let topics = topics.iter().map(topic).collect();
    t.ask(
        v,
        OffsetDeleteRequest::default()
            .with_group_id(group(g))
            .with_topics(topics),
    )?;
    Ok(())
}
