use super::*;
use crate::builder::BatchBuilder;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

#[derive(Debug, Clone)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<OwnedHeader>,
}

fn record() -> impl Strategy<Value = Owned> {
    let bytes = || vec(any::<u8>(), 0..200);
    let headers = vec((vec(any::<u8>(), 0..3), option::of(bytes())), 0..4);
    (
        any::<i64>(),
        option::of(bytes()),
        option::of(bytes()),
        headers,
    )
        .prop_map(|(timestamp, key, value, headers)| Owned {
            timestamp,
            key,
            value,
            headers,
        })
}

fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(Codec::ALL.to_vec())
}

fn build(codec: Codec, records: &[Owned]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec);
    for record in records {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
            .collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append(record.timestamp, key, value, &headers);
    }
    builder.build().unwrap().to_vec()
}

/// Opens and walks; how many records came out before an error or the end.
fn walk(batch: &[u8]) -> Result<usize, BatchError> {
    let records = BatchRecords::open(batch, LIMIT)?;
    let mut seen = 0;
    for record in &records {
        let record = record?;
        assert_eq!(record.headers.len(), record.headers.count());
        seen += 1;
    }
    Ok(seen)
}

#[test]
fn null_and_empty_are_told_apart() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(0, None, Some(b""), &[(b"", None), (b"", Some(b""))]);
    let batch = builder.build().unwrap();
    let records = BatchRecords::open(&batch, LIMIT).unwrap();
    let record = records.iter().next().unwrap().unwrap();
    assert_eq!((record.key, record.value), (None, Some(b"".as_slice())));
    let values: Vec<_> = record.headers.map(|header| header.value).collect();
    assert_eq!(values, [None, Some(b"".as_slice())]);
}

#[test]
fn a_count_that_is_not_the_records_is_an_error() {
    let batch = build(
        Codec::None,
        &vec![
            Owned {
                timestamp: 1,
                key: None,
                value: None,
                headers: vec![],
            };
            3
        ],
    );
    for (count, expected) in [
        (3, Ok(3)),
        (2, Err("bytes are left after the last record")),
        (4, Err("its length is cut off")),
        (i32::MAX, Err("its length is cut off")),
    ] {
        let mut changed = batch.clone();
        changed[57..61].copy_from_slice(&i32::to_be_bytes(count));
        let index = count.min(3);
        let expected = expected.map_err(|reason| BatchError::MalformedRecord { index, reason });
        assert_eq!(walk(&changed), expected, "{count}");
    }
    let mut negative = batch.clone();
    negative[57..61].copy_from_slice(&(-1i32).to_be_bytes());
    assert_eq!(walk(&negative), Err(BatchError::BadCount(-1)));
}

#[test]
fn lengths_that_lie_are_errors() {
    for (payload, reason) in [
        (vec![0x01], "its length is negative"),
        (vec![0xff, 0xff, 0xff, 0xff, 0x0f], "its length is negative"),
        (
            vec![0xfe, 0xff, 0xff, 0xff, 0x0f],
            "it is longer than the batch",
        ),
        (vec![12, 0, 0, 0, 0x7e, 1, 0], "its key is cut off"),
        (vec![12, 0, 0, 0, 1, 1, 1], "its header count is negative"),
        (vec![12, 0, 0, 0, 1, 1, 2], "a header's key is cut off"),
        (vec![14, 0, 0, 0, 1, 1, 2, 1], "a header's key is null"),
        (
            vec![14, 0, 0, 0, 1, 1, 0, 0],
            "its length is not that of its fields",
        ),
    ] {
        let error = RecordIter::new(&payload, 1).next().unwrap().unwrap_err();
        let index = 0;
        assert_eq!(error, BatchError::MalformedRecord { index, reason });
    }
}

#[test]
fn decompression_stops_at_the_limit() {
    let mut builder = BatchBuilder::new(Codec::Zstd);
    builder.append(0, None, Some(&vec![0; 4 << 20]), &[]);
    let bomb = builder.build().unwrap();
    assert!(bomb.len() < 10_000);
    assert_eq!(
        BatchRecords::open(&bomb, LIMIT).unwrap_err(),
        BatchError::Compression(compression::CompressionError::TooLarge { limit: LIMIT })
    );
}

proptest! {
    #[test]
    fn what_is_built_is_what_is_walked(records in vec(record(), 0..20), codec in codec()) {
        let batch = build(codec, &records);
        let opened = BatchRecords::open(&batch, LIMIT).unwrap();
        prop_assert_eq!(opened.header().records_count as usize, records.len());
        for (index, (walked, built)) in opened.iter().zip(&records).enumerate() {
            let walked = walked.unwrap();
            prop_assert_eq!(walked.offset_delta as usize, index);
            prop_assert_eq!(opened.timestamp_of(&walked), built.timestamp);
            prop_assert_eq!(walked.key, built.key.as_deref());
            prop_assert_eq!(walked.value, built.value.as_deref());
            let headers: Vec<OwnedHeader> = walked
                .headers
                .map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)))
                .collect();
            prop_assert_eq!(&headers, &built.headers);
        }
        prop_assert_eq!(walk(&batch), Ok(records.len()));
    }

    #[test]
    fn a_cut_payload_is_an_error(
        records in vec(record(), 1..5),
        codec in codec(),
        cut: prop::sample::Index,
    ) {
        let mut batch = build(codec, &records);
        batch.truncate(cut.index(batch.len()));
        prop_assert!(walk(&batch).is_err());
        // Also when the length was made to fit.
        if batch.len() >= RECORD_BATCH_HEADER_LEN {
            let length = (batch.len() - 12) as i32;
            batch[8..12].copy_from_slice(&length.to_be_bytes());
            prop_assert!(codec != Codec::None || walk(&batch).is_err());
        }
    }

    #[test]
    fn a_flipped_bit_never_panics(
        records in vec(record(), 1..5),
        codec in codec(),
        bit: prop::sample::Index,
    ) {
        let mut batch = build(codec, &records);
        let bit = bit.index(batch.len() * 8);
        batch[bit / 8] ^= 1 << (bit % 8);
        let _ = walk(&batch);
    }

    #[test]
    fn noise_never_panics(noise in vec(any::<u8>(), 0..200), count: i32) {
        for record in RecordIter::new(&noise, count).flatten() {
            let _ = record.headers.count();
        }
    }
}
