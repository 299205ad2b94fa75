//! OffsetCommit: offsets of members and of nobody.

use std::ops::RangeInclusive;

use kafka_protocol::messages::OffsetCommitRequest;

use super::Cases;
use super::common::nowhere;
use super::members::{
    Member, await_state, commit, join, joined, joined_with, stable, stable_static,
};
use crate::differential::build::text;
use crate::differential::topics::Topic;

const ALL: RangeInclusive<i16> = 2..=9;
const HAS_RETENTION: RangeInclusive<i16> = 2..=4;
const HAS_EPOCH: RangeInclusive<i16> = 6..=9;
const HAS_STATIC: RangeInclusive<i16> = 7..=9;
/// The default of `offset.metadata.max.bytes`.
const METADATA_LIMIT: usize = 4096;

pub fn cases(c: &mut Cases) {
    of_nobody(c);
    offsets(c);
    of_members(c);
}

fn of_nobody(c: &mut Cases) {
    c.each("of nobody", ALL, |t, v| {
        let (group, topic) = (t.name("g"), t.topic("t", 2)?);
        t.ask(v, commit(&group, &[(&topic, 0, 5), (&topic, 1, 6)]))?;
        Ok(())
    });
    c.each(
        "of nobody, with a generation, to an unknown group",
        ALL,
        |t, v| {
            let (group, topic) = (t.name("g"), t.topic("t", 1)?);
            t.ask(
                v,
                commit(&group, &[(&topic, 0, 5)]).with_generation_id_or_member_epoch(3),
            )?;
            Ok(())
        },
    );
    c.each("of a member, to an unknown group", ALL, |t, v| {
        let (group, topic) = (t.name("g"), t.topic("t", 1)?);
        t.ask(v, Member::stranger(&group).commit(&topic, 5))?;
        t.ask(
            v,
            commit(&group, &[(&topic, 0, 5)]).with_member_id(text("judge-nobody")),
        )?;
        Ok(())
    });
    c.each("empty group", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        t.ask(v, commit("", &[(&topic, 0, 5)]))?;
        Ok(())
    });
    c.each("no topics", ALL, |t, v| {
        let group = t.name("g");
        t.ask(v, commit(&group, &[]))?;
        Ok(())
    });
    c.each("no partitions", ALL, |t, v| {
        let (group, topic) = (t.name("g"), t.topic("t", 1)?);
        let mut request = commit(&group, &[(&topic, 0, 5)]);
        request.topics[0].partitions.clear();
        t.ask(v, request)?;
        Ok(())
    });
}

fn offsets(c: &mut Cases) {
    for offset in [0, -1, -2, i64::MAX] {
        c.each(format!("offset {offset}"), ALL, move |t, v| {
            let (group, topic) = (t.name("g"), t.topic("t", 1)?);
            t.ask(v, commit(&group, &[(&topic, 0, offset)]))?;
            Ok(())
        });
    }
    c.each("unknown topic", ALL, |t, v| {
        let (group, topic, nowhere) = (t.name("g"), t.topic("t", 1)?, nowhere(t));
        t.ask(v, commit(&group, &[(&nowhere, 0, 5), (&topic, 0, 5)]))?;
        Ok(())
    });
    c.each("only an unknown topic", ALL, |t, v| {
        let (group, nowhere) = (t.name("g"), nowhere(t));
        t.ask(v, commit(&group, &[(&nowhere, 0, 5)]))?;
        Ok(())
    });
    c.each("deleted topic", ALL, |t, v| {
        let (group, topic) = (t.name("g"), t.topic("t", 1)?);
        t.delete(&topic)?;
        t.ask(v, commit(&group, &[(&topic, 0, 5)]))?;
        Ok(())
    });
    for partition in [7, -1] {
        c.each(
            format!("unknown partition {partition}"),
            ALL,
            move |t, v| {
                let (group, topic) = (t.name("g"), t.topic("t", 1)?);
                t.ask(v, commit(&group, &[(&topic, partition, 5), (&topic, 0, 6)]))?;
                Ok(())
            },
        );
    }
    for (label, name) in [("empty", ""), ("with a space", "a b")] {
        c.each(format!("invalid topic name, {label}"), ALL, move |t, v| {
            let (group, topic) = (
                t.name("g"),
                Topic {
                    name: name.into(),
                    ..nowhere(t)
                },
            );
            t.ask(v, commit(&group, &[(&topic, 0, 5)]))?;
            Ok(())
        });
    }
    c.each("a partition twice", ALL, |t, v| {
        let (group, topic) = (t.name("g"), t.topic("t", 1)?);
        t.ask(v, commit(&group, &[(&topic, 0, 5), (&topic, 0, 6)]))?;
        Ok(())
    });
    c.each("a topic twice", ALL, |t, v| {
        let (group, topic) = (t.name("g"), t.topic("t", 2)?);
        let mut request = commit(&group, &[(&topic, 0, 5)]);
        request
            .topics
            .extend(commit(&group, &[(&topic, 1, 6)]).topics);
        t.ask(v, request)?;
        Ok(())
    });
    for length in [METADATA_LIMIT, METADATA_LIMIT + 1] {
        c.each(format!("metadata of {length} bytes"), ALL, move |t, v| {
            let (group, topic) = (t.name("g"), t.topic("t", 2)?);
            let mut request: OffsetCommitRequest =
                commit(&group, &[(&topic, 0, 5), (&topic, 1, 5)]);
            request.topics[0].partitions[0].committed_metadata = Some(text(&"m".repeat(length)));
            t.ask(v, request)?;
            Ok(())
        });
    }
    c.each("null metadata", ALL, |t, v| {
        let (group, topic) = (t.name("g"), t.topic("t", 1)?);
        let mut request = commit(&group, &[(&topic, 0, 5)]);
        request.topics[0].partitions[0].committed_metadata = None;
        t.ask(v, request)?;
        Ok(())
    });
    for retention in [0, 1, 3_600_000] {
        c.each(
            format!("retention {retention}"),
            HAS_RETENTION,
            move |t, v| {
                let (group, topic) = (t.name("g"), t.topic("t", 1)?);
                t.ask(
                    v,
                    commit(&group, &[(&topic, 0, 5)]).with_retention_time_ms(retention),
                )?;
                Ok(())
            },
        );
    }
    for epoch in [0, 7, -1, -2] {
        c.each(format!("leader epoch {epoch}"), HAS_EPOCH, move |t, v| {
            let (group, topic) = (t.name("g"), t.topic("t", 1)?);
            let mut request = commit(&group, &[(&topic, 0, 5)]);
            request.topics[0].partitions[0].committed_leader_epoch = epoch;
            t.ask(v, request)?;
            Ok(())
        });
    }
}

fn of_members(c: &mut Cases) {
    c.each("of a member", ALL, |t, v| {
        let (group, topic) = (t.name("g"), t.topic("t", 1)?);
        let member = stable(t, &group)?;
        t.ask(v, member.commit(&topic, 5))?;
        Ok(())
    });
    c.each("of nobody, to a stable group", ALL, |t, v| {
        let (group, topic) = (t.name("g"), t.topic("t", 1)?);
        stable(t, &group)?;
        t.ask(v, commit(&group, &[(&topic, 0, 5)]))?;
        Ok(())
    });
    c.each("of an unknown member", ALL, |t, v| {
        let (group, topic) = (t.name("g"), t.topic("t", 1)?);
        stable(t, &group)?;
        t.ask(v, Member::stranger(&group).commit(&topic, 5))?;
        Ok(())
    });
    for (label, generation) in [("an old", 0), ("a future", 2), ("no", -1)] {
        c.each(
            format!("of a member, {label} generation"),
            ALL,
            move |t, v| {
                let (group, topic) = (t.name("g"), t.topic("t", 1)?);
                let member = stable(t, &group)?;
                t.ask(
                    v,
                    Member {
                        generation,
                        ..member
                    }
                    .commit(&topic, 5),
                )?;
                Ok(())
            },
        );
    }
    c.each("while an assignment is awaited", ALL, |t, v| {
        let (group, topic) = (t.name("g"), t.topic("t", 1)?);
        let member = joined(t, &group)?;
        t.ask(v, member.commit(&topic, 5))?;
        Ok(())
    });
    c.each("while the group rebalances", ALL, |t, v| {
        let (group, topic) = (t.name("g"), t.topic("t", 1)?);
        let first = stable(t, &group)?;
        let second = t.send_on(1, 3, join(3, &group, ""))?;
        await_state(t, &group, "PreparingRebalance")?;
        t.ask(v, first.commit(&topic, 5))?;
        t.quietly(3, &first.join_again(3))?;
        t.take(second)?;
        Ok(())
    });
    c.each("of a static member", HAS_STATIC, |t, v| {
        let (group, instance, topic) = (t.name("g"), t.name("i"), t.topic("t", 1)?);
        let member = stable_static(t, &group, &instance)?;
        t.ask(
            v,
            member
                .commit(&topic, 5)
                .with_group_instance_id(Some(text(&instance))),
        )?;
        t.ask(
            v,
            member
                .commit(&topic, 5)
                .with_group_instance_id(Some(text("nobody"))),
        )?;
        Ok(())
    });
    c.each("of a fenced static member", HAS_STATIC, |t, v| {
        let (group, instance, topic) = (t.name("g"), t.name("i"), t.topic("t", 1)?);
        let before = stable_static(t, &group, &instance)?;
        joined_with(
            t,
            join(5, &group, "").with_group_instance_id(Some(text(&instance))),
        )?;
        t.ask(
            v,
            before
                .commit(&topic, 5)
                .with_group_instance_id(Some(text(&instance))),
        )?;
        Ok(())
    });
}
