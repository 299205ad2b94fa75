use tempfile::TempDir;
use weir_log::{BatchBuilder, Codec, assign};

use super::*;
use crate::fixture;
use crate::store::Budget;
use crate::{KeyFormat, ValueFormat};

type Op<'a> = (&'a [u8], Option<&'a str>);

fn batch(base: i64, ops: &[Op<'_>]) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for (key, value) in ops {
        builder.append(0, Some(key), value.map(str::as_bytes), &[]);
    }
    let mut batch = builder.build().unwrap();
    assign(&mut batch, base, 0);
    batch.freeze()
}

#[test]
fn rows_tell_the_latest_record_of_a_key_and_which_keys_are_gone() {
    let dir = TempDir::new().unwrap();
    let tables = Tables::open(dir.path().join("rows"), Budget::new(8 << 20, 6 << 20)).unwrap();
    let table = fixture::raw(KeyFormat::String, ValueFormat::String);
    let first = batch(
        0,
        &[
            (b"a", Some("1")),
            (b"b", Some("1")),
            (b"a", Some("2")),
            (b"\xff", Some("no row comes of it")),
            (b"b", None),
        ],
    );
    tables
        .fold(
            &table,
            7,
            0,
            &[first.clone(), batch(5, &[(b"c", Some("1"))])],
        )
        .unwrap();
    let mut judged = Vec::new();
    let mut latest = RowsLatest {
        tables: &tables,
        table: &table,
        bucket: 7,
    };
    let records = BatchRecords::open(&first, 1 << 20).unwrap();
    latest.judge(&records, &mut judged).unwrap();
    use Standing::{Gone, Latest as Last, Superseded};
    assert_eq!(judged, [Superseded, Gone, Last, Last, Gone]);

    // The bucket next to it has other rows.
    judged.clear();
    latest.bucket = 6;
    latest.judge(&records, &mut judged).unwrap();
    assert_eq!(judged, [Gone, Gone, Gone, Last, Gone]);
}
