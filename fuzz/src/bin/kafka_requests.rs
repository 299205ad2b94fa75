//! The body of each API's request at each version that is served: bounds check, decoder, and round trip.
//!
//! Input: which API (u8), which version (u8), then the body. The list of APIs is the broker's own.
#![no_main]

use std::net::SocketAddr;

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestKind};
use weir_broker::kafka::bounds::{self, Layout, Shape};
use weir_broker::kafka::dispatch::{APIS, Checked, check};
use weir_broker::kafka::produce::request::{ProduceRequest, TopicRef};
use weir_broker::kafka::sums::Sums;
use weir_broker::kafka::{Body, Session, dispatch};
use weir_fuzz::{Bounds, Input, within};

/// The check itself: the client's id and what a refusal says.
const CHECK_BYTES: usize = 4 * 1024;
/// What a decoder's error takes.
const ERROR_BYTES: usize = 4 * 1024;

weir_fuzz::target!(Bounds::new(64 << 10, 256, 500), seeds, run);

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let api = input.pick(APIS);
    let version = api.first + i16::from(input.u8()) % (api.last - api.first + 1);
    let flexible = bounds::request(api.key).is_flexible(version);
    let frame = frame(api.key as i16, version, flexible, input.rest());
    let address = SocketAddr::from(([127, 0, 0, 1], 9092));
    let session = Session::new(address, address);
    let checked = within(CHECK_BYTES, || check(&session, frame));
    match checked {
        Ok((key, checked)) => {
            assert_eq!(key, api.key);
            decode(key, checked);
        }
        Err(dispatch::Refusal { reason, .. }) => match reason {
            dispatch::RefusalReason::Bounds(_) => {}
            other => panic!("a whole header of a served version is refused: {other}"),
        },
    }
}

fn decode(key: ApiKey, checked: Checked) {
    let version = checked.head.version;
    let mut body = checked.body.clone().freeze();
    let body_bytes = body.len();
    let decoded = within(checked.decoded_bytes + ERROR_BYTES, || {
        RequestKind::decode(key, &mut body, version)
    });
    if key == ApiKey::Produce {
        same_produce(&decoded, checked.body, version);
    }
    let Ok(request) = decoded else { return };
    let mut again = BytesMut::new();
    if request.encode(&mut again, version).is_err() {
        return;
    }
    // It counts tags from 2^31 on, and does not write them.
    if again.len() != body_bytes {
        return;
    }
    let mut again = again.freeze();
    let second = RequestKind::decode(key, &mut again, version).expect("what was encoded decodes");
    assert_eq!(second, request, "v{version} is what it was");
    assert!(again.is_empty(), "all of it");
}

/// The broker's own decoder of Produce reads what the other one reads.
fn same_produce<E>(theirs: &Result<RequestKind, E>, body: BytesMut, version: i16) {
    let frame_bytes = body.len();
    let sums = Sums::default();
    let body = Body { bytes: body, sums };
    let ours = ProduceRequest::decode(body, version, frame_bytes);
    let Ok(RequestKind::Produce(theirs)) = theirs else {
        return;
    };
    let ours = ours.expect("taken by the other decoder");
    assert_eq!(ours.acks, theirs.acks);
    assert_eq!(ours.timeout_ms, theirs.timeout_ms);
    assert_eq!(
        ours.transactional_id.as_deref(),
        theirs.transactional_id.as_ref().map(|id| id.as_str())
    );
    assert_eq!(ours.topics.len(), theirs.topic_data.len());
    for (ours, theirs) in ours.topics.iter().zip(&theirs.topic_data) {
        match &ours.topic {
            TopicRef::Name(name) => assert_eq!(name, theirs.name.as_str()),
            TopicRef::Id(id) => assert_eq!(*id, theirs.topic_id),
        }
        assert_eq!(ours.partitions.len(), theirs.partition_data.len());
        for (ours, theirs) in ours.partitions.iter().zip(&theirs.partition_data) {
            assert_eq!(ours.index, theirs.index);
            assert_eq!(ours.records.as_deref(), theirs.records.as_deref());
        }
    }
}

fn frame(key: i16, version: i16, flexible: bool, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(7);
    frame.put_i16(4);
    frame.put_slice(b"weir");
    if flexible {
        frame.put_u8(0);
    }
    frame.put_slice(body);
    frame
}

/// A body of each version with one element in each array, and one without any.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, api) in APIS.iter().enumerate() {
        let request = bounds::request(api.key);
        for version in api.first..=api.last {
            for elements in [0, 1] {
                let mut body = BodySeed {
                    version,
                    flexible: request.is_flexible(version),
                    elements,
                    out: vec![number as u8, (version - api.first) as u8],
                };
                body.layout(&request.body);
                seeds.push(body.out);
            }
        }
    }
    seeds
}

struct BodySeed {
    version: i16,
    flexible: bool,
    elements: usize,
    out: Vec<u8>,
}

impl BodySeed {
    fn length(&mut self, length: usize, fixed_bytes: usize) {
        if self.flexible {
            self.out.push(length as u8 + 1);
        } else {
            let bytes = (length as u32).to_be_bytes();
            self.out.extend_from_slice(&bytes[4 - fixed_bytes..]);
        }
    }

    fn layout(&mut self, layout: &Layout) {
        let version = self.version;
        for field in layout.fields.iter().filter(|field| field.is_in(version)) {
            self.shape(&field.shape);
        }
        if self.flexible {
            self.tags(layout);
        }
    }

    fn tags(&mut self, layout: &Layout) {
        let version = self.version;
        let known = layout.tagged.iter().filter(|tag| tag.field.is_in(version));
        let known: Vec<_> = known.take(self.elements).collect();
        self.out.push(known.len() as u8);
        for tag in known {
            let outer = std::mem::take(&mut self.out);
            self.shape(&tag.field.shape);
            let value = std::mem::replace(&mut self.out, outer);
            self.out.push(tag.tag as u8);
            self.out.push(value.len() as u8);
            self.out.extend(value);
        }
    }

    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Fixed(bytes) => {
                self.out.extend(std::iter::repeat_n(0, bytes - 1));
                self.out.push(1);
            }
            Shape::Text | Shape::Blob => {
                let fixed = if matches!(shape, Shape::Text) { 2 } else { 4 };
                self.length(1, fixed);
                self.out.push(b'w');
            }
            Shape::Array(element) => {
                self.length(self.elements, 4);
                (0..self.elements).for_each(|_| self.shape(element));
            }
            Shape::Structs(layout) => {
                self.length(self.elements, 4);
                (0..self.elements).for_each(|_| self.layout(layout));
            }
            Shape::Struct(layout) => self.layout(layout),
            Shape::NullableStruct(layout) if self.elements > 0 => {
                self.out.push(1);
                self.layout(layout);
            }
            Shape::NullableStruct(_) => self.out.push(0xff),
        }
    }
}
