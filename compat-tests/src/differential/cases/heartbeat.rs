//! Heartbeat: what a member learns of its group.

use std::ops::RangeInclusive;

use anyhow::Result;

use super::Cases;
use super::members::{Member, await_state, join, joined, joined_with, stable, stable_static};
use crate::differential::build::text;

const ALL: RangeInclusive<i16> = 0..=4;
const HAS_STATIC: RangeInclusive<i16> = 3..=4;

pub fn cases(c: &mut Cases) {
    c.each("stable group", ALL, |t, v| {
        let group = t.name("g");
        let member = stable(t, &group)?;
        t.ask(v, member.heartbeat())?;
        Ok(())
    });
    c.each("group that awaits its assignment", ALL, |t, v| {
        let group = t.name("g");
        let member = joined(t, &group)?;
        t.ask(v, member.heartbeat())?;
        Ok(())
    });
    c.each("group that rebalances", ALL, |t, v| {
        let group = t.name("g");
        let first = stable(t, &group)?;
        let second = t.send_on(1, 3, join(3, &group, ""))?;
        await_state(t, &group, "PreparingRebalance")?;
        t.ask(v, first.heartbeat())?;
        t.quietly(3, &first.join_again(3))?;
        t.take(second)?;
        t.ask(v, first.heartbeat())?;
        Ok(())
    });
    c.each("empty group id", ALL, |t, v| {
        t.ask(v, Member::stranger("").heartbeat())?;
        Ok(())
    });
    c.each("unknown group", ALL, |t, v| {
        let group = t.name("g");
        t.ask(v, Member::stranger(&group).heartbeat())?;
        Ok(())
    });
    c.each("unknown member", ALL, |t, v| {
        let group = t.name("g");
        stable(t, &group)?;
        t.ask(v, Member::stranger(&group).heartbeat())?;
        Ok(())
    });
    for (label, over) in [("an old", -1), ("a future", 1)] {
        c.each(format!("{label} generation"), ALL, move |t, v| {
            let group = t.name("g");
            let member = stable(t, &group)?;
            let generation = member.generation + over;
            t.ask(v, member.heartbeat().with_generation_id(generation))?;
            Ok(())
        });
    }
    c.each("static member", HAS_STATIC, |t, v| {
        let (group, instance) = (t.name("g"), t.name("i"));
        let member = stable_static(t, &group, &instance)?;
        t.ask(
            v,
            member
                .heartbeat()
                .with_group_instance_id(Some(text(&instance))),
        )?;
        t.ask(v, member.heartbeat())?;
        t.ask(
            v,
            member
                .heartbeat()
                .with_group_instance_id(Some(text("nobody"))),
        )?;
        Ok(())
    });
    c.each("fenced static member", HAS_STATIC, |t, v| -> Result<()> {
        let (group, instance) = (t.name("g"), t.name("i"));
        let before = stable_static(t, &group, &instance)?;
        joined_with(
            t,
            join(5, &group, "").with_group_instance_id(Some(text(&instance))),
        )?;
        t.ask(
            v,
            before
                .heartbeat()
                .with_group_instance_id(Some(text(&instance))),
        )?;
        Ok(())
    });
}
