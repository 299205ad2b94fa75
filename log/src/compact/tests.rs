use super::*;
use crate::builder::BatchBuilder;

const LIMIT: usize = 1 << 20;
const RULES: Rules = Rules {
    drop_tombstones: false,
    keep_empty: false,
    max_decompressed_bytes: LIMIT,
};

/// Standings that a test names.
struct Told(Vec<Standing>);

impl Latest for Told {
    fn judge(
        &mut self,
        _records: &BatchRecords<'_>,
        standings: &mut Vec<Standing>,
    ) -> Result<(), LatestError> {
        standings.extend(&self.0);
        Ok(())
    }
}

/// At offset 100, sequence 7: values of a, b, c and d, then tombstones of e and f, a second apart.
fn batch(codec: Codec) -> (BatchHeader, BytesMut) {
    let mut builder = BatchBuilder::new(codec).producer(5, 1, 7);
    for (at, key) in (0..).zip([b"a", b"b", b"c", b"d"]) {
        let headers: [(&[u8], Option<&[u8]>); 2] = [(b"h", Some(b"1")), (b"h", None)];
        builder.append(1000 * at, Some(key), Some(b"value"), &headers);
    }
    builder.append(4000, Some(b"e"), None, &[]);
    builder.append(5000, Some(b"f"), None, &[]);
    let mut batch = builder.build().unwrap();
    crate::assign(&mut batch, 100, 3);
    (BatchHeader::parse(&batch).unwrap(), batch)
}

/// Offset, time, and what is in the record.
fn records(batch: &[u8]) -> Vec<(i64, i64, String)> {
    let records = BatchRecords::open(batch, LIMIT).unwrap();
    let one = |record: Record<'_>| {
        let headers: Vec<_> = record.headers.collect();
        let content = format!("{:?} {:?} {headers:?}", record.key, record.value);
        (
            records.offset_of(&record),
            records.timestamp_of(&record),
            content,
        )
    };
    records.iter().map(|record| one(record.unwrap())).collect()
}

fn filtered(codec: Codec, standings: [Standing; 6], rules: &Rules) -> (Filtered, BytesMut) {
    let (header, batch) = batch(codec);
    let mut told = Told(standings.to_vec());
    (filter(&header, &batch, &mut told, rules).unwrap(), batch)
}

use Standing::{Gone, Latest as Last, Superseded as Old};

#[test]
fn what_is_left_keeps_offsets_times_headers_and_sequence_in_every_codec() {
    for codec in Codec::ALL {
        let (found, before) = filtered(codec, [Old, Last, Old, Last, Last, Old], &RULES);
        assert_eq!((found.has_tombstones, found.removed), (true, 3));
        let Left::Part(header, batch) = found.left else {
            panic!("{codec:?}: some are left");
        };
        assert_eq!(BatchHeader::parse(&batch), Ok(header));
        crate::batch::verify_crc(&batch).unwrap();
        let (all, left) = (records(&before), records(&batch));
        assert_eq!(left, [all[1].clone(), all[3].clone(), all[4].clone()]);
        assert_eq!(header.codec(), Ok(codec));
        assert_eq!((header.base_offset, header.last_offset()), (100, 105));
        assert_eq!((header.base_sequence, header.last_sequence()), (7, 12));
        assert_eq!((header.producer_id, header.producer_epoch), (5, 1));
        assert_eq!(header.partition_leader_epoch, 3);
        assert_eq!((header.max_timestamp, header.records_count), (4000, 3));
    }
}

#[test]
fn a_batch_of_which_nothing_goes_is_not_touched() {
    let (found, _) = filtered(Codec::Gzip, [Last; 6], &RULES);
    assert_eq!((found.left, found.removed), (Left::All, 0));
}

#[test]
fn an_emptied_batch_goes_unless_its_header_is_needed() {
    for codec in Codec::ALL {
        let (found, _) = filtered(codec, [Old; 6], &RULES);
        assert_eq!((found.left, found.removed), (Left::Nothing, 6));
        let rules = Rules {
            keep_empty: true,
            ..RULES
        };
        let (found, before) = filtered(codec, [Old; 6], &rules);
        let Left::Part(header, batch) = found.left else {
            panic!("the header stays");
        };
        let before = BatchHeader::parse(&before).unwrap();
        assert_eq!(batch.len(), crate::RECORD_BATCH_HEADER_LEN);
        crate::batch::verify_crc(&batch).unwrap();
        assert_eq!(header.last_offset(), before.last_offset());
        assert_eq!(header.last_sequence(), before.last_sequence());
        assert_eq!(header.max_timestamp, before.max_timestamp);
        assert!(records(&batch).is_empty());
        // Another time it stays as it is, or goes too.
        let mut nothing = NothingLater;
        let again = filter(&header, &batch, &mut nothing, &rules).unwrap();
        assert_eq!(again.left, Left::All);
        let again = filter(&header, &batch, &mut nothing, &RULES).unwrap();
        assert_eq!(again.left, Left::Nothing);
    }
}

#[test]
fn tombstones_stay_until_their_time_is_over_and_outlive_their_keys() {
    let (found, _) = filtered(Codec::None, [Gone; 6], &RULES);
    assert!(found.has_tombstones);
    let Left::Part(_, batch) = found.left else {
        panic!("two are left");
    };
    let offsets: Vec<i64> = records(&batch).iter().map(|record| record.0).collect();
    assert_eq!(offsets, [104, 105]);
    let rules = Rules {
        drop_tombstones: true,
        ..RULES
    };
    let (found, _) = filtered(Codec::None, [Last, Last, Last, Gone, Last, Gone], &rules);
    assert_eq!((found.has_tombstones, found.removed), (false, 3));
}

#[test]
fn records_without_a_key_go_and_log_append_time_stays() {
    let mut builder = BatchBuilder::new(Codec::None).log_append_time(77);
    builder.append(1, None, Some(b"v"), &[]);
    builder.append(2, Some(b"k"), Some(b"v"), &[]);
    let batch = builder.build().unwrap();
    let header = BatchHeader::parse(&batch).unwrap();
    let found = filter(&header, &batch, &mut NothingLater, &RULES).unwrap();
    let Left::Part(header, batch) = found.left else {
        panic!("one is left");
    };
    assert_eq!(header.max_timestamp, 77);
    assert_eq!(records(&batch)[0].1, 77);
}

#[test]
fn markers_stay_and_so_do_tombstones_of_transactions() {
    let rules = Rules {
        drop_tombstones: true,
        ..RULES
    };
    let mut marker = BatchBuilder::new(Codec::None).transactional().control();
    marker.append(0, Some(b"\0\0\0\x01"), Some(b"\0\0\0\0\0\0"), &[]);
    let mut open = BatchBuilder::new(Codec::None).transactional();
    open.append(0, Some(b"k"), None, &[]);
    for batch in [marker, open] {
        let batch = batch.build().unwrap();
        let header = BatchHeader::parse(&batch).unwrap();
        let found = filter(&header, &batch, &mut NothingLater, &rules).unwrap();
        assert_eq!(found.left, Left::All);
    }
}
