//! A client's bytes: frames are cut out of them, headers read, and bodies checked and decoded.
//!
//! Input: how many bytes arrive at a time (u8), then what arrives.
#![no_main]

use std::net::SocketAddr;

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::RequestKind;
use weir_broker::kafka::Session;
use weir_broker::kafka::bounds;
use weir_broker::kafka::budget::ByteBudget;
use weir_broker::kafka::dispatch::{APIS, check};
use weir_broker::kafka::frame::{FIRST_STEP_BYTES, FrameError, FrameReader};
use weir_fuzz::{Bounds, Input, within};

const LIMIT_BYTES: usize = 1 << 20;
/// A frame without bytes still takes its place in a queue.
const PER_BYTE: usize = 64;

weir_fuzz::target!(Bounds::new(256 << 10, 256, 500), seeds, run);

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let step = usize::from(input.u8()) + 1;
    let stream = input.rest();
    let at_once = within(FIRST_STEP_BYTES + 1024 + PER_BYTE * stream.len(), || {
        read(stream, usize::MAX)
    });
    let in_pieces = read(stream, step);
    assert_eq!(
        at_once, in_pieces,
        "frames do not depend on how bytes arrive"
    );
    at_once.0.into_iter().for_each(handle);
}

fn read(stream: &[u8], step: usize) -> (Vec<BytesMut>, Result<(), FrameError>) {
    let budget = ByteBudget::new(usize::MAX);
    let mut reader = FrameReader::new(LIMIT_BYTES, budget.clone());
    let mut frames = Vec::new();
    let mut result = Ok(());
    for piece in stream.chunks(step.min(stream.len().max(1))) {
        result = reader.push(piece);
        while let Some(frame) = reader.next_frame() {
            frames.push(frame.bytes);
        }
        if result.is_err() {
            break;
        }
        assert!(budget.used_bytes() <= FIRST_STEP_BYTES + 2 * stream.len());
    }
    drop(reader);
    assert_eq!(budget.used_bytes(), 0, "frames give their bytes back");
    (frames, result)
}

fn handle(frame: BytesMut) {
    let address = SocketAddr::from(([127, 0, 0, 1], 9092));
    let session = Session::new(address, address);
    let length = frame.len();
    let checked = within(4096 + 4 * length, || check(&session, frame));
    if let Ok((key, checked)) = checked {
        let mut body = checked.body.freeze();
        let _ = within(checked.decoded_bytes + 4096, || {
            RequestKind::decode(key, &mut body, checked.head.version)
        });
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut versions = BytesMut::new();
    for api in APIS {
        for version in [api.first, api.last] {
            let mut frame = BytesMut::new();
            frame.put_i16(api.key as i16);
            frame.put_i16(version);
            frame.put_i32(1);
            frame.put_i16(-1);
            if bounds::request(api.key).is_flexible(version) {
                frame.put_u8(0);
            }
            frame.put_bytes(0, 24);
            versions.put_u32(frame.len() as u32);
            versions.put_slice(&frame);
        }
    }
    let stream = |step: u8, bytes: &[u8]| [&[step], bytes].concat();
    vec![
        stream(255, &versions),
        stream(0, &versions[..60]),
        stream(7, b"\0\0\0\0\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xff"),
        stream(3, b"\0\x10\0\0\0\x03"),
        stream(9, b"GET / HTTP/1.1\r\n\r\n"),
        stream(1, b"\x16\x03\x01\x02\0\x01"),
    ]
}
