//! Frames that are no request: does the connection close, and is the next one served?

use std::time::Duration;

use anyhow::Result;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};

use super::Cases;
use crate::differential::trial::Trial;
use crate::differential::{build, wire};

const LIMIT: Duration = Duration::from_secs(5);
const METADATA: i16 = 3;

pub fn cases(c: &mut Cases) {
    each_frame(c, "empty frame", Vec::new);
    each_frame(c, "two bytes", || vec![0, 18]);
    each_frame(c, "four bytes", || vec![0, 18, 0, 0]);
    each_frame(c, "a header cut inside the client id", || {
        header(18, 0, &[0, 9, b'x'])
    });
    each_frame(c, "a client id of negative length", || {
        header(18, 0, &(-2i16).to_be_bytes())
    });
    each_frame(c, "a null client id", || {
        header(18, 0, &(-1i16).to_be_bytes())
    });
    each_frame(c, "unknown api key", || header(999, 0, &[0, 0]));
    each_frame(c, "negative api key", || header(-1, 0, &[0, 0]));
    each_frame(c, "garbage", || {
        b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".to_vec()
    });
    for version in [-1, 14, 99] {
        each_frame(
            c,
            format!("Metadata of unsupported version {version}"),
            move || header(METADATA, version, &[0, 0, 0, 0, 0, 0, 0]),
        );
    }
    for version in [0, 2, 14] {
        each_frame(
            c,
            format!("Produce of unsupported version {version}"),
            move || header(0, version, &[0, 0, 0, 0]),
        );
    }
    each_frame(c, "an array of 2^31-1", || {
        header(METADATA, 1, &[0, 0, 0x7f, 0xff, 0xff, 0xff])
    });
    each_frame(c, "an array of length -2", || {
        header(METADATA, 1, &[0, 0, 0xff, 0xff, 0xff, 0xfe])
    });
    each_frame(c, "a null array where none is allowed", || {
        header(METADATA, 0, &[0, 0, 0xff, 0xff, 0xff, 0xff])
    });
    each_frame(c, "a compact array of 2^32-1", || {
        header(METADATA, 9, &[0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f])
    });
    each_frame(c, "a varint that does not end", || {
        header(METADATA, 9, &[0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    });
    each_frame(c, "a name that is not UTF-8", || {
        header(METADATA, 1, &[0, 0, 0, 0, 0, 1, 0, 1, 0xff])
    });
    for version in [0, 1, 4, 9, 12] {
        each_frame(
            c,
            format!("Metadata cut short, version {version}"),
            move || {
                let frame = metadata(version);
                frame[..frame.len() - 2].to_vec()
            },
        );
        each_frame(
            c,
            format!("bytes behind Metadata, version {version}"),
            move || [metadata(version), vec![0; 3]].concat(),
        );
    }
    c.each("a negative length", 0..=0, |t, _| {
        t.ask_bytes(&(-1i32).to_be_bytes(), LIMIT)?;
        still_serves(t)
    });
    c.each("a length over the limit", 0..=0, |t, _| {
        t.ask_bytes(&(200i32 << 20).to_be_bytes(), LIMIT)?;
        still_serves(t)
    });
    c.each("unknown tagged fields in header and body", 9..=13, tagged);
    c.each("two requests in one packet", 0..=4, |t, v| {
        let frames: Vec<u8> = [1, 2]
            .into_iter()
            .map(|correlation| {
                wire::encode(
                    v,
                    correlation,
                    &ApiVersionsRequest::default()
                        .with_client_software_name(build::text("judge"))
                        .with_client_software_version(build::text("1")),
                )
            })
            .collect::<Result<Vec<_>>>()?
            .iter()
            .flat_map(|frame| [&(frame.len() as i32).to_be_bytes()[..], frame].concat())
            .collect();
        t.ask_bytes(&frames, LIMIT)?;
        let second = t.quiet_frame(0, LIMIT)?;
        t.note(
            "the second answer",
            serde_json::json!(second.is_some_and(|frame| frame[..4] == [0, 0, 0, 2])),
        );
        Ok(())
    });
}

/// Sends the frame, then asks on a fresh connection whether the broker still serves.
fn each_frame(
    c: &mut Cases,
    name: impl Into<String>,
    frame: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) {
    c.each(name, 0..=0, move |t, _| {
        t.ask_frame(&frame(), LIMIT)?;
        still_serves(t)
    });
}

fn still_serves(t: &mut Trial) -> Result<()> {
    t.reconnect(0)?;
    t.ask(1, MetadataRequest::default().with_topics(Some(vec![])))?;
    Ok(())
}

/// A request header up to and without the client id, then `rest`.
fn header(key: i16, version: i16, rest: &[u8]) -> Vec<u8> {
    [
        &key.to_be_bytes()[..],
        &version.to_be_bytes(),
        &7i32.to_be_bytes(),
        rest,
    ]
    .concat()
}

fn metadata(version: i16) -> Vec<u8> {
    let topic = MetadataRequestTopic::default().with_name(Some(build::topic("nowhere")));
    let request = MetadataRequest::default().with_topics(Some(vec![topic]));
    wire::encode(version, 7, &request)
        .expect("a plain request encodes")
        .to_vec()
}

fn tagged(t: &mut Trial, v: i16) -> Result<()> {
    let request = MetadataRequest::default()
        .with_topics(Some(vec![]))
        .with_unknown_tagged_field(7, bytes::Bytes::from_static(b"seven"));
    t.ask(v, request)?;
    Ok(())
}
