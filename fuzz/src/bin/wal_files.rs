//! Files of the write-ahead log, as a start finds them.
//!
//! Input: a switch (u8) that makes checksums, file numbers and offsets right, then for up to three files their bytes,
//! each behind a u16 length. A file's bytes begin with its header.
#![no_main]

use weir_fuzz::{Bounds, Input, piece};
use weir_raft::readers;

weir_fuzz::target!(Bounds::new(256 << 10, 64, 1000), seeds, run);

const NODE: u64 = 5;
const SALT: u64 = 0x0123_4567_89ab_cdef;
const HEADER_LEN: usize = 64;
const ALIGN: usize = 8;

const RIGHT_CHECKSUMS: u8 = 1;
const RIGHT_PLACES: u8 = 2;

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let switches = input.u8();
    let mut files = Vec::new();
    while files.len() < 3 && !input.is_empty() {
        let mut file = input.piece().to_vec();
        let number = files.len() as u64 + 1;
        put_right(&mut file, number, switches);
        files.push((number, file));
    }
    let files: Vec<(u64, &[u8])> = files
        .iter()
        .map(|(number, file)| (*number, &file[..]))
        .collect();
    let first = readers::wal(NODE, &files);
    assert_eq!(
        first,
        readers::wal(NODE, &files),
        "a start decides by the bytes alone"
    );
}

fn put_right(file: &mut [u8], number: u64, switches: u8) {
    if file.len() < HEADER_LEN {
        return;
    }
    if switches & RIGHT_PLACES != 0 {
        file[16..24].copy_from_slice(&number.to_le_bytes());
        file[32..40].copy_from_slice(&SALT.to_le_bytes());
        file[40..48].copy_from_slice(&NODE.to_le_bytes());
    }
    if switches & RIGHT_CHECKSUMS != 0 {
        let crc = crc32c::crc32c(&file[..60]);
        file[60..64].copy_from_slice(&crc.to_le_bytes());
    }
    let salt = file[32..40].to_vec();
    let mut at = HEADER_LEN;
    while at + HEADER_LEN <= file.len() {
        let (header, body) = file[at..].split_at_mut(HEADER_LEN);
        if switches & RIGHT_PLACES != 0 {
            header[8..16].copy_from_slice(&number.to_le_bytes());
            header[16..20].copy_from_slice(&(at as u32).to_le_bytes());
        }
        let body_len = u32::from_le_bytes(header[20..24].try_into().expect("four bytes")) as usize;
        let Some(body) = body.get(..body_len) else {
            return;
        };
        if switches & RIGHT_CHECKSUMS != 0 {
            header[36..40].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
            let crc = crc32c::crc32c_append(crc32c::crc32c(&salt), &header[4..]);
            header[..4].copy_from_slice(&crc.to_le_bytes());
        }
        at += (HEADER_LEN + body_len).next_multiple_of(ALIGN);
    }
}

/// A record as the table in the log's documentation has it.
struct Record {
    kind: u8,
    form: u8,
    shard: u64,
    first: u64,
    second: u64,
    body: &'static [u8],
}

const fn record(kind: u8, form: u8, shard: u64, first: u64, second: u64) -> Record {
    Record {
        kind,
        form,
        shard,
        first,
        second,
        body: b"",
    }
}

fn file(records: &[Record]) -> Vec<u8> {
    let mut file = b"WEIRWAL\n\x01\0\0\0\0\0\0\0".to_vec();
    file.resize(HEADER_LEN, 0);
    file[24..28].copy_from_slice(&4096u32.to_le_bytes());
    for record in records {
        let at = file.len();
        file.extend([0, 0, 0, 0, 1, record.kind, record.form, 0]);
        file.resize(at + HEADER_LEN, 0);
        file[at + 20..at + 24].copy_from_slice(&(record.body.len() as u32).to_le_bytes());
        file[at + 24..at + 32].copy_from_slice(&1u64.to_le_bytes());
        file[at + 32..at + 36].copy_from_slice(&64u32.to_le_bytes());
        file[at + 40..at + 48].copy_from_slice(&record.shard.to_le_bytes());
        file[at + 48..at + 56].copy_from_slice(&record.first.to_le_bytes());
        file[at + 56..at + 64].copy_from_slice(&record.second.to_le_bytes());
        file.extend(record.body);
        file.resize(file.len().next_multiple_of(ALIGN), 0);
    }
    file
}

fn seeds() -> Vec<Vec<u8>> {
    let entry = |form, term, index, body| Record {
        body,
        ..record(1, form, 3, term, index)
    };
    let membership = b"\x01\x01\0\0\x01\0\x05\0\0\0\0\0\0\0";
    let first = [
        record(7, 1, 0, 0, 0),
        record(2, 1, 3, 1, 5),
        record(2, 2, 3, 1, 5),
        entry(3, 1, 0, membership),
        entry(2, 1, 1, b""),
        entry(1, 1, 2, b"some bytes of a payload"),
        record(5, 2, 3, 1, 2),
        record(6, 1, 0, 1, 0),
    ];
    let end = file(&first).len() as u64;
    let second = [
        record(7, 1, 0, 1, end),
        entry(1, 2, 3, b"more"),
        record(3, 2, 3, 1, 2),
        entry(1, 3, 3, b"instead"),
        record(4, 2, 3, 1, 1),
        record(6, 2, 0, 1, 0),
    ];
    let (first, second) = (file(&first), file(&second));
    let unused = [&second[..64], &[0; 200]].concat();
    let seed = |files: &[&[u8]]| {
        let mut seed = vec![RIGHT_CHECKSUMS | RIGHT_PLACES];
        files.iter().for_each(|file| seed.extend(piece(file)));
        seed
    };
    vec![
        seed(&[&first]),
        seed(&[&first, &second]),
        seed(&[&first, &second, &unused]),
        seed(&[&first[..first.len() - 80]]),
        seed(&[&first, &second[..second.len() - 130]]),
    ]
}
