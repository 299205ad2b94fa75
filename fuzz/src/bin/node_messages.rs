//! What a peer sends, or whoever says that it is one: the introduction, pieces of messages, questions and answers.
//!
//! Input: what it is (u8), then the bytes. Pieces are described, so that their checksums are right: stream (u8), kind
//! (u8), last (u8), total (u32), the piece behind a u16 length.
#![no_main]

use bytes::Bytes;
use weir_fuzz::{Bounds, Input, piece};
use weir_raft::readers;

weir_fuzz::target!(Bounds::new(128 << 10, 64, 500), seeds, run);

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    match input.u8() % 5 {
        0 => hello(input.rest()),
        1 => drop(readers::messages(input.rest())),
        2 => pieces(input),
        3 => request(Bytes::copy_from_slice(input.rest())),
        _ => reply(Bytes::copy_from_slice(input.rest())),
    }
}

/// The checksum is made right where the length is.
fn hello(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if bytes.len() == 28 {
        let crc = crc32c::crc32c(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
    }
    if let Ok(said) = readers::hello(&bytes) {
        assert_eq!(said, bytes[..28], "what was heard is what was said");
    }
}

fn pieces(mut input: Input<'_>) {
    let mut stream = Vec::new();
    while !input.is_empty() {
        let (number, kind, last) = (input.u8(), input.u8(), input.u8());
        let total = input.u32();
        let part = Bytes::copy_from_slice(input.piece());
        let kind = 1 + kind % 4;
        let sent = readers::piece(number.into(), total, kind, last & 1 == 1, part);
        stream.extend(sent.expect("a kind that is known"));
    }
    if let Ok(messages) = readers::messages(&stream) {
        let length: usize = messages.iter().map(|(.., bytes)| bytes.len()).sum();
        assert!(length <= stream.len(), "no byte comes from nowhere");
    }
}

fn request(bytes: Bytes) {
    if let Ok(again) = readers::request(bytes) {
        let twice = readers::request(again.clone()).expect("our own is read");
        assert_eq!(twice, again);
    }
}

fn reply(bytes: Bytes) {
    if let Ok(again) = readers::reply(bytes.clone()) {
        assert_eq!(again, bytes, "an answer has one form");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let vote = |won: u8| [&7u64.to_le_bytes()[..], &2u64.to_le_bytes(), &[won]].concat();
    let id = |index: u64| [&[1][..], &6u64.to_le_bytes(), &index.to_le_bytes()].concat();
    let members = b"\x01\x01\0\0\x03\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0";
    let entry = |form: u8, index: u64, len: u32| {
        let head = [&[form][..], &7u64.to_le_bytes(), &index.to_le_bytes()].concat();
        [&head[..], &len.to_le_bytes()].concat()
    };
    let shard = 9u64.to_le_bytes();
    let ask = |kind: u8, parts: &[&[u8]]| [&[3], &shard[..], &[kind], &parts.concat()].concat();
    let answer = |parts: &[&[u8]]| [&[4], &parts.concat()[..]].concat();
    let append = [
        &vote(1)[..],
        &id(4),
        &[0],
        &3u32.to_le_bytes(),
        &entry(1, 5, 0),
        &entry(2, 6, 8),
        &entry(3, 7, 30),
        b"onepiece",
        members,
    ]
    .concat();
    let part = |number: u8, last: u8, total: u32, bytes: &[u8]| {
        [&[number, 2, last], &total.to_le_bytes()[..], &piece(bytes)].concat()
    };
    let hello = [
        b"\0WEIRNET\n\x01\0\x02\0\x03\0\0\0",
        &5u64.to_le_bytes()[..],
        &[0; 4],
    ]
    .concat();
    let whole = readers::piece(1, 3, 1, true, Bytes::from_static(b"abc")).expect("a kind");
    vec![
        hello,
        [&[1][..], &whole].concat(),
        [
            &[2],
            &part(1, 0, 6, b"abc")[..],
            &part(2, 1, 2, b"xy"),
            &part(1, 1, 6, b"def"),
        ]
        .concat(),
        ask(1, &[&append]),
        ask(2, &[&vote(0), &id(9), &[1]]),
        ask(3, &[&vote(0), &[0], &[0]]),
        ask(
            4,
            &[
                &vote(1),
                &id(2),
                &[0],
                &30u32.to_le_bytes(),
                members,
                b"state",
            ],
        ),
        ask(5, &[&vote(1), &3u64.to_le_bytes(), &id(1)]),
        answer(&[&[1, 1]]),
        answer(&[&[1, 2], &id(2)]),
        answer(&[&[1, 4], &vote(1)]),
        answer(&[&[2], &vote(1), &[1], &id(3)]),
        answer(&[&[4], &vote(1)]),
        answer(&[&[5, 2], &vote(1), &vote(0)]),
        answer(&[&[5, 3], &[0], &id(4)]),
    ]
}
