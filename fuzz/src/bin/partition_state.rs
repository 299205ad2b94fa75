//! A partition's log as it stands in a snapshot: what decodes is consistent, and is used like one that was built.
//!
//! Input: what is asked of the log (i64, i64), then the body; header and CRC are made here.
#![no_main]

use weir_fuzz::{Bounds, Input};
use weir_log::{
    BatchBuilder, BatchHeader, Codec, Extent, PartitionLog, Pos, Segment, SegmentState, format,
};

weir_fuzz::target!(Bounds::new(64 << 10, 64, 500), seeds, run);

fn run(bytes: &[u8]) {
    let _ = format::decode(&mut &bytes[..]);
    let mut input = Input(bytes);
    let (offset, time) = (input.i64(), input.i64());
    let stored = with_header(input.rest());
    let mut rest = &stored[..];
    let Ok(log) = format::decode(&mut rest) else {
        return;
    };
    assert!(rest.is_empty());
    let mut again = Vec::new();
    format::encode(&log, &mut again);
    assert_eq!(
        format::decode(&mut &again[..]),
        Ok(log.clone()),
        "the state survives"
    );
    assert!(again.len() <= stored.len(), "extents may have been joined");
    used(log, offset, time);
}

fn with_header(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 3];
    bytes.extend((body.len() as u32).to_be_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), body);
    bytes.extend(crc.to_be_bytes());
    bytes.extend(body);
    bytes
}

fn used(mut log: PartitionLog, offset: i64, time: i64) {
    let epoch = offset as i32;
    log.end_offset_for_epoch(epoch);
    log.retention_start(time, Some(offset), Some(offset.unsigned_abs()));
    log.retained_bytes();
    assert!(log.heap_bytes() <= 64 << 20);
    for segment in log.segments().starting_with(offset) {
        assert!(segment.end() >= segment.at);
    }
    log.end_in_wal(offset as u64);
    log.expire_producers(time, 1000);

    let mut batch = batch();
    weir_log::assign(&mut batch, log.next_offset(), epoch);
    let header = BatchHeader::parse(&batch).expect("our own");
    let pos = Pos {
        file: u64::MAX,
        offset: 64,
    };
    let extent = Extent::of(&[header], pos).expect("one batch");
    let end = log.next_offset();
    if log.append(&[header], &extent, time).is_ok() {
        assert_eq!(log.next_offset(), end + 1);
    }
    log.trim(offset);
    assert!(log.log_start_offset() <= log.next_offset());
    let mut bytes = Vec::new();
    format::encode(&log, &mut bytes);
    format::decode(&mut &bytes[..]).expect("a used log is stored too");
}

fn batch() -> bytes::BytesMut {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(5, Some(b"k"), Some(b"v"), &[]);
    builder.build().expect("fits")
}

fn seeds() -> Vec<Vec<u8>> {
    let mut log = PartitionLog::starting_at(3);
    let mut logs = vec![PartitionLog::new(), log.clone()];
    for sequence in 0..8 {
        let mut builder =
            BatchBuilder::new(Codec::None).producer(1 + i64::from(sequence % 2), 0, sequence / 2);
        builder.append(1000 + i64::from(sequence), Some(b"k"), Some(b"v"), &[]);
        let mut batch = builder.build().expect("fits");
        weir_log::assign(&mut batch, log.next_offset(), sequence / 3);
        let header = BatchHeader::parse(&batch).expect("our own");
        let pos = Pos {
            file: 1 + u64::from(sequence > 4),
            offset: 64 + 200 * sequence as u32,
        };
        let extent = Extent::of(&[header], pos).expect("one batch");
        log.append(&[header], &extent, 1000).expect("in order");
    }
    logs.push(log.clone());
    let end = log.end_in_wal(1).expect("five batches");
    log.move_to(Segment {
        base_offset: 3,
        last_offset: end - 1,
        max_timestamp: 1004,
        file: 9,
        at: 32,
        bytes: 400,
        blocks: 1,
        index_crc: 77,
        state: SegmentState::Clean {
            tombstones_until_ms: Some(99),
        },
    });
    logs.push(log);
    let seed = |log: &PartitionLog| {
        let mut bytes = Vec::new();
        format::encode(log, &mut bytes);
        let asked: [i64; 2] = [5, 2000];
        [
            &asked[0].to_le_bytes()[..],
            &asked[1].to_le_bytes(),
            &bytes[10..],
        ]
        .concat()
    };
    logs.iter().map(seed).collect()
}
