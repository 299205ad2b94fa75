//! JoinGroup: who is let in, under which id, and when a rebalance ends.

use std::ops::RangeInclusive;

use anyhow::Result;
use kafka_protocol::messages::JoinGroupResponse;

use super::Cases;
use super::members::{
    Member, await_state, join, joined, joined_with, member_of, protocol, stable, stable_static,
    subscription, synced,
};
use crate::differential::build::text;
use crate::differential::trial::Trial;

const ALL: RangeInclusive<i16> = 0..=9;
const HAS_REBALANCE_TIMEOUT: RangeInclusive<i16> = 1..=9;
const HAS_STATIC: RangeInclusive<i16> = 5..=9;
const HAS_REASON: RangeInclusive<i16> = 8..=9;

pub fn cases(c: &mut Cases) {
    good(c);
    refused(c);
    with_others(c);
    again(c);
    statics(c);
}

fn good(c: &mut Cases) {
    c.each("first member", ALL, |t, v| {
        let group = t.name("g");
        first(t, v, &group)?;
        Ok(())
    });
    c.each("first member of another kind", ALL, |t, v| {
        let group = t.name("g");
        let request = join(v, &group, "")
            .with_protocol_type(text("connect"))
            .with_protocols(vec![
                protocol("default", "data".into()),
                protocol("", "".into()),
            ]);
        let answer = t.ask(v, request.clone())?;
        if answer.error_code != 0 {
            t.ask(v, request.with_member_id(answer.member_id))?;
        }
        Ok(())
    });
    c.each("with a reason", HAS_REASON, |t, v| {
        let group = t.name("g");
        let answer = t.ask(v, join(v, &group, "").with_reason(Some(text("why not"))))?;
        t.ask(
            v,
            join(v, &group, &answer.member_id).with_reason(Some(text("now"))),
        )?;
        Ok(())
    });
    c.each("a member id asked for and not used", ALL, |t, v| {
        let group = t.name("g");
        t.ask(v, join(v, &group, ""))?;
        t.ask(v, join(v, &group, "judge-nobody"))?;
        Ok(())
    });
}

/// Joins as a new member, with a second request where the version asks for it.
fn first(t: &mut Trial, v: i16, group: &str) -> Result<Member> {
    let mut answer: JoinGroupResponse = t.ask(v, join(v, group, ""))?;
    if answer.error_code != 0 {
        answer = t.ask(v, join(v, group, &answer.member_id))?;
    }
    Ok(member_of(group, &answer))
}

fn refused(c: &mut Cases) {
    c.each("empty group", ALL, |t, v| {
        t.ask(v, join(v, "", ""))?;
        Ok(())
    });
    for timeout in [0, -1, 5_999, 1_800_001] {
        c.each(format!("session timeout {timeout}"), ALL, move |t, v| {
            let group = t.name("g");
            t.ask(v, join(v, &group, "").with_session_timeout_ms(timeout))?;
            Ok(())
        });
    }
    for timeout in [0, -1] {
        c.each(
            format!("rebalance timeout {timeout}"),
            HAS_REBALANCE_TIMEOUT,
            move |t, v| {
                let group = t.name("g");
                t.ask(v, join(v, &group, "").with_rebalance_timeout_ms(timeout))?;
                Ok(())
            },
        );
    }
    c.each("unknown member of an unknown group", ALL, |t, v| {
        let group = t.name("g");
        t.ask(v, join(v, &group, "judge-nobody"))?;
        Ok(())
    });
    c.each("unknown member of a stable group", ALL, |t, v| {
        let group = t.name("g");
        stable(t, &group)?;
        t.ask(v, join(v, &group, "judge-nobody"))?;
        Ok(())
    });
    c.each("no protocols", ALL, |t, v| {
        let group = t.name("g");
        t.ask(v, join(v, &group, "").with_protocols(vec![]))?;
        Ok(())
    });
    c.each("no protocol type", ALL, |t, v| {
        let group = t.name("g");
        t.ask(v, join(v, &group, "").with_protocol_type(text("")))?;
        Ok(())
    });
    c.each("another protocol type than the group's", ALL, |t, v| {
        let group = t.name("g");
        stable(t, &group)?;
        t.ask(v, join(v, &group, "").with_protocol_type(text("connect")))?;
        Ok(())
    });
    c.each("no protocol in common", ALL, |t, v| {
        let group = t.name("g");
        stable(t, &group)?;
        t.ask(
            v,
            join(v, &group, "").with_protocols(vec![protocol("sticky", subscription(&["topic"]))]),
        )?;
        Ok(())
    });
}

fn with_others(c: &mut Cases) {
    c.each("a second member joins a stable group", ALL, |t, v| {
        let group = t.name("g");
        let first = stable(t, &group)?;
        let new = new_member(t, v, &group)?;
        let second = t.send_on(1, v, join(v, &group, &new))?;
        await_state(t, &group, "PreparingRebalance")?;
        t.ask(3, first.heartbeat())?;
        t.ask_on(2, v, first.join_again(v))?;
        t.take(second)?;
        Ok(())
    });
    c.each(
        "a second member joins a group that awaits its assignment",
        ALL,
        |t, v| {
            let group = t.name("g");
            let first = joined(t, &group)?;
            let new = new_member(t, v, &group)?;
            let second = t.send_on(1, v, join(v, &group, &new))?;
            await_state(t, &group, "PreparingRebalance")?;
            t.ask(3, first.sync(3, &[&first]))?;
            t.ask_on(2, v, first.join_again(v))?;
            t.take(second)?;
            Ok(())
        },
    );
    c.each("only a later protocol is shared", ALL, |t, v| {
        let group = t.name("g");
        let first = stable(t, &group)?;
        let new = new_member(t, v, &group)?;
        let only = vec![protocol("roundrobin", subscription(&["other"]))];
        let second = t.send_on(1, v, join(v, &group, &new).with_protocols(only))?;
        await_state(t, &group, "PreparingRebalance")?;
        t.ask_on(2, v, first.join_again(v))?;
        t.take(second)?;
        Ok(())
    });
}

/// The id under which a further member must join; "" where it gets one on joining.
fn new_member(t: &mut Trial, v: i16, group: &str) -> Result<String> {
    if v < 4 {
        return Ok(String::new());
    }
    Ok(t.ask(v, join(v, group, ""))?.member_id.to_string())
}

fn again(c: &mut Cases) {
    c.each("the leader of a stable group joins again", ALL, |t, v| {
        let group = t.name("g");
        let member = stable(t, &group)?;
        t.ask(v, member.join_again(v))?;
        Ok(())
    });
    c.each(
        "a member that awaits its assignment joins again",
        ALL,
        |t, v| {
            let group = t.name("g");
            let member = joined(t, &group)?;
            t.ask(v, member.join_again(v))?;
            Ok(())
        },
    );
    c.each("a member joins again with other protocols", ALL, |t, v| {
        let group = t.name("g");
        let member = joined(t, &group)?;
        let other = vec![protocol("sticky", subscription(&["other"]))];
        t.ask(v, member.join_again(v).with_protocols(other))?;
        Ok(())
    });
    c.each("a follower of a stable group joins again", ALL, |t, v| {
        let group = t.name("g");
        let first = stable(t, &group)?;
        let second = t.send_on(1, 3, join(3, &group, ""))?;
        await_state(t, &group, "PreparingRebalance")?;
        let leader = member_of(&group, &t.ask_on(2, 3, first.join_again(3))?);
        let follower = member_of(&group, &t.take(second)?);
        let waiting = t.send_on(1, 3, follower.sync(3, &[]))?;
        t.ask_on(2, 3, leader.sync(3, &[&leader, &follower]))?;
        t.take(waiting)?;
        t.ask(v, follower.join_again(v))?;
        t.ask(3, leader.heartbeat())?;
        Ok(())
    });
}

fn statics(c: &mut Cases) {
    c.each("static member", HAS_STATIC, |t, v| {
        let (group, instance) = (t.name("g"), t.name("i"));
        t.ask(
            v,
            join(v, &group, "").with_group_instance_id(Some(text(&instance))),
        )?;
        Ok(())
    });
    c.each("static member comes back", HAS_STATIC, |t, v| {
        let (group, instance) = (t.name("g"), t.name("i"));
        let before = stable_static(t, &group, &instance)?;
        let answer = t.ask(
            v,
            join(v, &group, "").with_group_instance_id(Some(text(&instance))),
        )?;
        let after = member_of(&group, &answer);
        t.ask(
            3,
            before
                .heartbeat()
                .with_group_instance_id(Some(text(&instance))),
        )?;
        t.ask(3, before.heartbeat())?;
        t.ask(
            3,
            after
                .heartbeat()
                .with_group_instance_id(Some(text(&instance))),
        )?;
        Ok(())
    });
    c.each(
        "static member comes back with another subscription",
        HAS_STATIC,
        |t, v| {
            let (group, instance) = (t.name("g"), t.name("i"));
            stable_static(t, &group, &instance)?;
            let other = vec![protocol("range", subscription(&["other"]))];
            let request = join(v, &group, "").with_group_instance_id(Some(text(&instance)));
            t.ask(v, request.with_protocols(other))?;
            Ok(())
        },
    );
    c.each(
        "static member comes back while its assignment is awaited",
        HAS_STATIC,
        |t, v| {
            let (group, instance) = (t.name("g"), t.name("i"));
            joined_with(
                t,
                join(5, &group, "").with_group_instance_id(Some(text(&instance))),
            )?;
            t.ask(
                v,
                join(v, &group, "").with_group_instance_id(Some(text(&instance))),
            )?;
            Ok(())
        },
    );
    c.each("static member under its old id", HAS_STATIC, |t, v| {
        let (group, instance) = (t.name("g"), t.name("i"));
        let before = stable_static(t, &group, &instance)?;
        let request = join(v, &group, "").with_group_instance_id(Some(text(&instance)));
        t.ask(v, request.clone())?;
        t.ask(v, request.with_member_id(text(&before.id)))?;
        Ok(())
    });
    c.each(
        "unknown static member with a member id",
        HAS_STATIC,
        |t, v| {
            let (group, instance) = (t.name("g"), t.name("i"));
            stable(t, &group)?;
            t.ask(
                v,
                join(v, &group, "judge-nobody").with_group_instance_id(Some(text(&instance))),
            )?;
            Ok(())
        },
    );
    c.each(
        "static member joins again under its id",
        HAS_STATIC,
        |t, v| {
            let (group, instance) = (t.name("g"), t.name("i"));
            let member = stable_static(t, &group, &instance)?;
            let answer = t.ask(
                v,
                member
                    .join_again(v)
                    .with_group_instance_id(Some(text(&instance))),
            )?;
            synced(
                t,
                &Member {
                    generation: answer.generation_id,
                    ..member
                },
            )
        },
    );
    c.each("empty instance id", HAS_STATIC, |t, v| {
        let group = t.name("g");
        t.ask(
            v,
            join(v, &group, "").with_group_instance_id(Some(text(""))),
        )?;
        Ok(())
    });
}
