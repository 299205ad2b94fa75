//! DescribeGroups and ListGroups: what an operator sees of groups.

use std::ops::RangeInclusive;

use anyhow::Result;
use kafka_protocol::messages::{DescribeGroupsRequest, ListGroupsRequest};

use super::Cases;
use super::members::{await_state, committed, join, joined, stable, stable_static};
use crate::differential::build::{group, text};
use crate::differential::tree;
use crate::differential::trial::Trial;

const ALL: RangeInclusive<i16> = 0..=6;
const HAS_OPERATIONS: RangeInclusive<i16> = 3..=6;
const LISTS: RangeInclusive<i16> = 0..=5;
const HAS_STATES: RangeInclusive<i16> = 4..=5;
const HAS_TYPES: RangeInclusive<i16> = 5..=5;

pub fn cases(c: &mut Cases) {
    c.each("stable group", ALL, |t, v| {
        let g = t.name("g");
        stable(t, &g)?;
        ask(t, v, &[&g])
    });
    c.each("stable group of a static member", ALL, |t, v| {
        let (g, instance) = (t.name("g"), t.name("i"));
        stable_static(t, &g, &instance)?;
        ask(t, v, &[&g])
    });
    c.each("group that awaits its assignment", ALL, |t, v| {
        let g = t.name("g");
        joined(t, &g)?;
        ask(t, v, &[&g])
    });
    c.each("group that rebalances", ALL, |t, v| {
        let g = t.name("g");
        let first = stable(t, &g)?;
        let second = t.send_on(1, 3, join(3, &g, ""))?;
        await_state(t, &g, "PreparingRebalance")?;
        ask(t, v, &[&g])?;
        t.quietly(3, &first.join_again(3))?;
        t.take(second)?;
        Ok(())
    });
    c.each("group that only committed", ALL, |t, v| {
        let (g, topic) = (t.name("g"), t.topic("t", 1)?);
        committed(t, &g, &[(&topic, 0, 5)])?;
        ask(t, v, &[&g])
    });
    c.each("group that everybody left", ALL, |t, v| {
        let g = t.name("g");
        let member = stable(t, &g)?;
        let leave = kafka_protocol::messages::LeaveGroupRequest::default()
            .with_group_id(group(&g))
            .with_member_id(text(&member.id));
        t.quietly(1, &leave)?;
        ask(t, v, &[&g])
    });
    c.each("known, unknown and empty groups", ALL, |t, v| {
        let (g, unknown) = (t.name("g"), t.name("unknown"));
        stable(t, &g)?;
        ask(t, v, &[&unknown, &g, ""])
    });
    c.each("a group twice", ALL, |t, v| {
        let g = t.name("g");
        stable(t, &g)?;
        ask(t, v, &[&g, &g])
    });
    c.each("no groups", ALL, |t, v| ask(t, v, &[]));
    c.each("authorized operations", HAS_OPERATIONS, |t, v| {
        let (g, unknown) = (t.name("g"), t.name("unknown"));
        stable(t, &g)?;
        let request = DescribeGroupsRequest::default()
            .with_groups(vec![group(&g), group(&unknown)])
            .with_include_authorized_operations(true);
        t.ask(v, request)?;
        Ok(())
    });
}

fn ask(t: &mut Trial, v: i16, groups: &[&str]) -> Result<()> {
    let groups = groups.iter().map(|id| group(id)).collect();
    t.ask(v, DescribeGroupsRequest::default().with_groups(groups))?;
    Ok(())
}

pub fn list_cases(c: &mut Cases) {
    c.each("groups in every state", LISTS, |t, v| list(t, v, &[], &[]));
    let states: [&'static [&'static str]; 8] = [
        &["Stable"],
        &["Empty"],
        &["PreparingRebalance", "CompletingRebalance"],
        &["Dead"],
        &["stable"],
        &["Nonsense"],
        &["Stable", "Nonsense"],
        &["Assigning"],
    ];
    for states in states {
        c.each(
            format!("in state {}", spelled(states)),
            HAS_STATES,
            move |t, v| list(t, v, states, &[]),
        );
    }
    let types: [&'static [&'static str]; 6] = [
        &["classic"],
        &["Classic"],
        &["consumer"],
        &["share"],
        &["nonsense"],
        &["classic", "nonsense"],
    ];
    for types in types {
        c.each(
            format!("of type {}", spelled(types)),
            HAS_TYPES,
            move |t, v| list(t, v, &[], types),
        );
    }
    c.each("of a state and a type", HAS_TYPES, |t, v| {
        list(t, v, &["Stable"], &["classic"])
    });
}

/// The words in one; a capital is told, since the names of topics are in small letters.
fn spelled(words: &[&str]) -> String {
    let word = |word: &&str| match word.chars().next() {
        Some(first) if first.is_ascii_uppercase() => format!("capital {word}"),
        _ => word.to_string(),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" or ")
}

/// Other cases run beside this one, so only its own groups count.
fn list(t: &mut Trial, v: i16, states: &[&str], types: &[&str]) -> Result<()> {
    let (stable_group, awaiting, empty) = (t.name("stable"), t.name("awaiting"), t.name("empty"));
    stable(t, &stable_group)?;
    joined(t, &awaiting)?;
    let topic = t.topic("t", 1)?;
    committed(t, &empty, &[(&topic, 0, 5)])?;
    let texts = |words: &[&str]| words.iter().map(|word| text(word)).collect();
    let request = ListGroupsRequest::default()
        .with_states_filter(texts(states))
        .with_types_filter(texts(types));
    let mut answer = t.quietly(v, &request)?;
    let own = t.name("");
    answer
        .groups
        .retain(|listed| listed.group_id.starts_with(&own));
    t.note("the groups of the case", tree::of(&answer)?);
    Ok(())
}
