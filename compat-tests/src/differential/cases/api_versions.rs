//! ApiVersions: what is advertised, to whom, and what a version or name of nonsense gets.

use std::time::Duration;

use anyhow::Result;
use bytes::Buf;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::Decodable;

use super::Cases;
use crate::differential::build::text;
use crate::differential::trial::Trial;
use crate::differential::{tree, wire};

const ALL: std::ops::RangeInclusive<i16> = 0..=4;
const BODY_WITH_NAMES: i16 = 3;

pub fn cases(c: &mut Cases) {
    c.each("good", ALL, |t, v| named(t, v, "judge", "1.0"));
    for (label, name, version) in [
        ("empty software name", "", "1.0"),
        ("empty software version", "judge", ""),
        ("software name that starts with a dash", "-judge", "1.0"),
        ("software name that ends with a dot", "judge.", "1.0"),
        ("software name with a space", "a judge", "1.0"),
        ("software version with a space", "judge", "1 0"),
        ("software name of one character", "j", "1"),
    ] {
        c.each(label, BODY_WITH_NAMES..=4, move |t, v| {
            named(t, v, name, version)
        });
    }
    for version in [5, 99, i16::MAX] {
        c.each("unsupported version", version..=version, unsupported);
    }
    c.each("twice on a connection", ALL, |t, v| {
        named(t, v, "judge", "1.0")?;
        named(t, v, "judge", "1.0")
    });
    c.each("after an unsupported version", ALL, |t, v| {
        unsupported(t, 99)?;
        named(t, v, "judge", "1.0")
    });
}

fn named(t: &mut Trial, v: i16, name: &str, version: &str) -> Result<()> {
    let request = ApiVersionsRequest::default();
    let request = match v {
        BODY_WITH_NAMES.. => request
            .with_client_software_name(text(name))
            .with_client_software_version(text(version)),
        _ => request,
    };
    t.ask(v, request)?;
    Ok(())
}

/// The answer to a version that the broker does not know is encoded as version 0.
fn unsupported(t: &mut Trial, v: i16) -> Result<()> {
    let mut frame = wire::encode(4, 7, &ApiVersionsRequest::default())?.to_vec();
    frame[2..4].copy_from_slice(&v.to_be_bytes());
    let Some(mut answer) = t.ask_frame(&frame, Duration::from_secs(5))? else {
        return Ok(());
    };
    answer.advance(4);
    let answer = ApiVersionsResponse::decode(&mut answer, 0)?;
    t.note("decoded as version 0", tree::of(&answer)?);
    Ok(())
}
