//! LeaveGroup: members leave, alone or several in one request.

use std::ops::RangeInclusive;

use anyhow::Result;
use kafka_protocol::messages::LeaveGroupRequest;
use kafka_protocol::messages::leave_group_request::MemberIdentity;

use super::Cases;
use super::members::{await_state, join, joined, stable, stable_static};
use crate::differential::build::{group, text};
use crate::differential::trial::Trial;

const ALL: RangeInclusive<i16> = 0..=5;
const HAS_MEMBERS: RangeInclusive<i16> = 3..=5;
const HAS_REASON: i16 = 5;

pub fn cases(c: &mut Cases) {
    c.each("the only member", ALL, |t, v| {
        let g = t.name("g");
        let member = stable(t, &g)?;
        ask(t, v, &g, &[(&member.id, None)])?;
        t.ask(3, member.heartbeat())?;
        ask(t, v, &g, &[(&member.id, None)])
    });
    c.each("a member that awaits its assignment", ALL, |t, v| {
        let g = t.name("g");
        let member = joined(t, &g)?;
        ask(t, v, &g, &[(&member.id, None)])
    });
    c.each("one of two, and the other learns of it", ALL, |t, v| {
        let g = t.name("g");
        let first = stable(t, &g)?;
        let second = t.send_on(1, 3, join(3, &g, ""))?;
        await_state(t, &g, "PreparingRebalance")?;
        ask(t, v, &g, &[(&first.id, None)])?;
        t.take(second)?;
        Ok(())
    });
    c.each("empty group id", ALL, |t, v| {
        ask(t, v, "", &[("judge-nobody", None)])
    });
    c.each("unknown group", ALL, |t, v| {
        let g = t.name("g");
        ask(t, v, &g, &[("judge-nobody", None)])
    });
    c.each("unknown member", ALL, |t, v| {
        let g = t.name("g");
        stable(t, &g)?;
        ask(t, v, &g, &[("judge-nobody", None)])
    });
    c.each("empty member id", ALL, |t, v| {
        let g = t.name("g");
        stable(t, &g)?;
        ask(t, v, &g, &[("", None)])
    });
    c.each("by instance", HAS_MEMBERS, |t, v| {
        let (g, instance) = (t.name("g"), t.name("i"));
        stable_static(t, &g, &instance)?;
        ask(t, v, &g, &[("", Some(&instance))])
    });
    c.each("by instance and member", HAS_MEMBERS, |t, v| {
        let (g, instance) = (t.name("g"), t.name("i"));
        let member = stable_static(t, &g, &instance)?;
        ask(t, v, &g, &[("judge-nobody", Some(&instance))])?;
        ask(t, v, &g, &[(&member.id, Some(&instance))])
    });
    c.each("static member without its instance", HAS_MEMBERS, |t, v| {
        let (g, instance) = (t.name("g"), t.name("i"));
        let member = stable_static(t, &g, &instance)?;
        ask(t, v, &g, &[(&member.id, None)])
    });
    c.each("known and unknown members", HAS_MEMBERS, |t, v| {
        let (g, instance) = (t.name("g"), t.name("i"));
        stable_static(t, &g, &instance)?;
        ask(
            t,
            v,
            &g,
            &[
                ("judge-nobody", None),
                ("", Some(&instance)),
                ("", Some("nobody")),
            ],
        )
    });
    c.each("nobody", HAS_MEMBERS, |t, v| {
        let g = t.name("g");
        stable(t, &g)?;
        ask(t, v, &g, &[])
    });
    c.each("nobody, unknown group", HAS_MEMBERS, |t, v| {
        let g = t.name("g");
        ask(t, v, &g, &[])
    });
}

/// Each member as its id and instance; before lists, the only one.
fn ask(t: &mut Trial, v: i16, group_id: &str, members: &[(&str, Option<&str>)]) -> Result<()> {
    let request = LeaveGroupRequest::default().with_group_id(group(group_id));
    let identity = |(id, instance): &(&str, Option<&str>)| {
        let member = MemberIdentity::default()
            .with_member_id(text(id))
            .with_group_instance_id(instance.map(text));
        if v >= HAS_REASON {
            member.with_reason(Some(text("done")))
        } else {
            member
        }
    };
    let request = match v {
        3.. => request.with_members(members.iter().map(identity).collect()),
        _ => request.with_member_id(text(members[0].0)),
    };
    t.ask(v, request)?;
    Ok(())
}
