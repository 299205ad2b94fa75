//! SyncGroup: assignments go from the leader to the members.

use std::ops::RangeInclusive;

use super::Cases;
use super::members::{
    Member, await_state, join, joined, joined_with, member_of, stable, stable_static,
};
use crate::differential::build::text;

const ALL: RangeInclusive<i16> = 0..=5;
const HAS_STATIC: RangeInclusive<i16> = 3..=5;
const HAS_PROTOCOL: RangeInclusive<i16> = 5..=5;

pub fn cases(c: &mut Cases) {
    good(c);
    wrong(c);
    c.each("a fenced static member", HAS_STATIC, |t, v| {
        let (group, instance) = (t.name("g"), t.name("i"));
        let before = stable_static(t, &group, &instance)?;
        joined_with(
            t,
            join(5, &group, "").with_group_instance_id(Some(text(&instance))),
        )?;
        t.ask(
            v,
            before
                .sync(v, &[])
                .with_group_instance_id(Some(text(&instance))),
        )?;
        Ok(())
    });
    c.each("an unknown instance", HAS_STATIC, |t, v| {
        let group = t.name("g");
        let member = joined(t, &group)?;
        t.ask(
            v,
            member
                .sync(v, &[&member])
                .with_group_instance_id(Some(text("nobody"))),
        )?;
        Ok(())
    });
}

fn good(c: &mut Cases) {
    c.each("the leader's assignment", ALL, |t, v| {
        let group = t.name("g");
        let member = joined(t, &group)?;
        t.ask(v, member.sync(v, &[&member]))?;
        t.ask(v, member.sync(v, &[]))?;
        Ok(())
    });
    c.each("the leader assigns nothing", ALL, |t, v| {
        let group = t.name("g");
        let member = joined(t, &group)?;
        t.ask(v, member.sync(v, &[]))?;
        Ok(())
    });
    c.each("the leader assigns to a stranger", ALL, |t, v| {
        let group = t.name("g");
        let member = joined(t, &group)?;
        let stranger = Member::stranger(&group);
        t.ask(v, member.sync(v, &[&stranger]))?;
        Ok(())
    });
    c.each("a follower waits for the leader", ALL, |t, v| {
        let group = t.name("g");
        let first = stable(t, &group)?;
        let second = t.send_on(1, 3, join(3, &group, ""))?;
        await_state(t, &group, "PreparingRebalance")?;
        let leader = member_of(&group, &t.ask_on(2, 3, first.join_again(3))?);
        let follower = member_of(&group, &t.take(second)?);
        let waiting = t.send_on(1, v, follower.sync(v, &[]))?;
        t.ask_on(2, v, leader.sync(v, &[&leader, &follower]))?;
        t.take(waiting)?;
        Ok(())
    });
}

fn wrong(c: &mut Cases) {
    c.each("empty group", ALL, |t, v| {
        t.ask(v, Member::stranger("").sync(v, &[]))?;
        Ok(())
    });
    c.each("unknown group", ALL, |t, v| {
        let group = t.name("g");
        t.ask(v, Member::stranger(&group).sync(v, &[]))?;
        Ok(())
    });
    c.each("unknown member", ALL, |t, v| {
        let group = t.name("g");
        joined(t, &group)?;
        t.ask(v, Member::stranger(&group).sync(v, &[]))?;
        Ok(())
    });
    for (label, over) in [("an old", -1), ("a future", 1)] {
        c.each(format!("{label} generation"), ALL, move |t, v| {
            let group = t.name("g");
            let member = joined(t, &group)?;
            let other = Member {
                generation: member.generation + over,
                ..member
            };
            t.ask(v, other.sync(v, &[&other]))?;
            Ok(())
        });
    }
    c.each("while the group rebalances", ALL, |t, v| {
        let group = t.name("g");
        let first = stable(t, &group)?;
        let second = t.send_on(1, 3, join(3, &group, ""))?;
        await_state(t, &group, "PreparingRebalance")?;
        t.ask(v, first.sync(v, &[&first]))?;
        t.quietly(3, &first.join_again(3))?;
        t.take(second)?;
        Ok(())
    });
    c.each("another protocol", HAS_PROTOCOL, |t, v| {
        let group = t.name("g");
        let member = joined(t, &group)?;
        t.ask(
            v,
            member
                .sync(v, &[&member])
                .with_protocol_name(Some(text("roundrobin"))),
        )?;
        t.ask(
            v,
            member
                .sync(v, &[&member])
                .with_protocol_type(Some(text("connect"))),
        )?;
        t.ask(
            v,
            member
                .sync(v, &[&member])
                .with_protocol_type(None)
                .with_protocol_name(None),
        )?;
        Ok(())
    });
}
