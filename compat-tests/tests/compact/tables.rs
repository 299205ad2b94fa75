//! A table's log is compacted by what its rows say, and gives the same rows when it is folded again from nothing.

use std::collections::BTreeMap;

use compat_tests::http;
use compat_tests::weir::Weir;

use crate::{Place, VALUE_BYTES, read, segment_bytes, send, start, value, wait};

const TABLE: &str = "rows";
const KEYS: u64 = 60;
/// Many times what the write-ahead log keeps.
const RECORDS: u64 = (24 << 20) / VALUE_BYTES as u64;
/// Every so many records one is a deletion.
const DELETIONS: u64 = 19;

/// What each key has at the end.
fn expected() -> BTreeMap<String, Option<u64>> {
    let number = |number: u64| (!number.is_multiple_of(DELETIONS)).then_some(number);
    (0..RECORDS).map(|n| (key(n), number(n))).collect()
}

fn key(number: u64) -> String {
    format!("key-{}", number % KEYS)
}

async fn write(place: &Place) {
    let text = |number: u64| (!number.is_multiple_of(DELETIONS)).then(|| value(number));
    send(place, TABLE, (0..RECORDS).map(|n| (key(n), text(n)))).await;
}

/// Looks every key up.
fn check_rows(weir: &Weir) {
    for (key, number) in expected() {
        let row = http::get(weir.http, &format!("/v1/tables/{TABLE}/rows/{key}"));
        let row = row.expect("an answer");
        match number {
            None => assert_eq!(row.status, 404, "{key}: {}", row.body),
            Some(number) => {
                assert_eq!(row.status, 200, "{key}: {}", row.body);
                assert!(row.body.contains(&value(number)), "{key} is {number}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_the_same_when_it_is_folded_from_its_compacted_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut weir = start(dir.path());
    let place = Place::of(&weir);
    let settings = [
        ("table.mode", "primary-key"),
        ("table.key.format", "string"),
        ("table.value.format", "string"),
        ("min.cleanable.dirty.ratio", "0.2"),
    ];
    place.create(TABLE, &settings).await;
    write(&place).await;
    check_rows(&weir);
    let most = 3 * KEYS * VALUE_BYTES as u64 + (1 << 20);
    wait(
        || segment_bytes(&weir) <= most,
        || {
            format!(
                "{} bytes in segments, {most} expected",
                segment_bytes(&weir)
            )
        },
    )
    .await;
    check_rows(&weir);

    // Rows that are lost come back from what is left of the log, and after a crash on the way too.
    for crash in [false, true] {
        if crash {
            weir.kill().expect("killed");
        } else {
            weir.stop().expect("stopped");
        }
        std::fs::remove_dir_all(weir.dir().join("data/tables")).expect("rows are lost");
        weir.launch().expect("weir starts again");
        check_rows(&weir);
    }

    // A consumer folds to the same.
    let reader = place.clone();
    let seen = tokio::task::spawn_blocking(move || read(&reader, TABLE));
    let seen = seen.await.expect("the reader ends");
    assert!(seen.len() as u64 * 2 < RECORDS, "{} are left", seen.len());
    let mut last = BTreeMap::new();
    for record in seen.values() {
        last.insert(record.key.clone(), record.value.clone());
    }
    for (key, number) in expected() {
        let found = last.get(key.as_bytes()).cloned().flatten();
        let expected = number.map(|number| value(number).into_bytes());
        assert_eq!(found, expected, "{key}");
    }
    let (start, end) = place.watermarks(TABLE);
    assert_eq!((start, end), (0, RECORDS as i64));
}
