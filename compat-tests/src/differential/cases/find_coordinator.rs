//! FindCoordinator: who coordinates a group or a transactional id.

use std::ops::RangeInclusive;

use anyhow::Result;
use kafka_protocol::messages::FindCoordinatorRequest;

use super::Cases;
use crate::differential::build::text;
use crate::differential::trial::Trial;

const ALL: RangeInclusive<i16> = 0..=6;
const HAS_TYPES: RangeInclusive<i16> = 1..=6;
const HAS_LISTS: RangeInclusive<i16> = 4..=6;

pub fn cases(c: &mut Cases) {
    c.each("group", ALL, |t, v| ask(t, v, 0, &["g"]));
    c.each("empty group", ALL, |t, v| ask(t, v, 0, &[""]));
    c.each("transactional id", HAS_TYPES, |t, v| ask(t, v, 1, &["x"]));
    for (label, key) in [
        ("of the right form", "g:AAAAAAAAAAAAAAAAAAAAAQ:0"),
        ("of another form", "g"),
        ("empty", ""),
    ] {
        c.each(
            format!("share partition, key {label}"),
            HAS_TYPES,
            move |t, v| ask(t, v, 2, &[key]),
        );
    }
    for kind in [3, 9, -1] {
        c.each(format!("type {kind}"), HAS_TYPES, move |t, v| {
            ask(t, v, kind, &["g"])
        });
    }
    c.each("three groups", HAS_LISTS, |t, v| {
        ask(t, v, 0, &["a", "b", "c"])
    });
    c.each("a group twice", HAS_LISTS, |t, v| ask(t, v, 0, &["a", "a"]));
    c.each("an empty group among others", HAS_LISTS, |t, v| {
        ask(t, v, 0, &["a", "", "b"])
    });
    c.each("no groups", HAS_LISTS, |t, v| ask(t, v, 0, &[]));
}

fn ask(t: &mut Trial, v: i16, kind: i8, keys: &[&str]) -> Result<()> {
    let request = FindCoordinatorRequest::default().with_key_type(kind);
    let request = match v {
        4.. => request.with_coordinator_keys(keys.iter().map(|key| text(key)).collect()),
        _ => request.with_key(text(keys[0])),
    };
    t.ask(v, request)?;
    Ok(())
}
