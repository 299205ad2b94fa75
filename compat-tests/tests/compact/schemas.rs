//! The registry's log is compacted, and yet an id of a schema that was deleted for good is not given again. Invariant: S1.

use compat_tests::http;
use compat_tests::weir::Weir;

use crate::{Place, VALUE_BYTES, metric, read, segment_bytes, send, start, value, wait};

const TOPIC: &str = "filler";
/// Many times what the write-ahead log keeps.
const RECORDS: u64 = (16 << 20) / VALUE_BYTES as u64;

fn register(weir: &Weir, subject: &str, field: &str) -> i64 {
    let schema = format!(
        r#"{{"schema":"{{\"type\":\"record\",\"name\":\"r\",\"fields\":[{{\"name\":\"{field}\",\"type\":\"int\"}}]}}"}}"#
    );
    let path = format!("/subjects/{subject}/versions");
    let answer = http::ask(weir.registry, "POST", &path, &schema).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let (_, rest) = answer.body.split_once(r#""id":"#).expect("an id");
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.expect("a number").parse().expect("a number")
}

fn delete(weir: &Weir, subject: &str) {
    for query in ["", "?permanent=true"] {
        let path = format!("/subjects/{subject}{query}");
        let answer = http::ask(weir.registry, "DELETE", &path, "").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_id_of_a_schema_that_is_gone_is_not_given_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut weir = start(dir.path());
    let place = Place::of(&weir);
    let ids = ["a", "b", "c"].map(|subject| register(&weir, subject, subject));
    for subject in ["a", "b", "c"] {
        delete(&weir, subject);
    }
    // Until the registry's records are in a segment, and compaction has looked at it.
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.2"),
    ];
    place.create(TOPIC, &settings).await;
    let records = (0..RECORDS).map(|number| ("k".to_owned(), Some(value(number))));
    send(&place, TOPIC, records).await;
    wait(
        || {
            segment_bytes(&weir) < 1 << 20
                && metric(&weir, "weir_compaction_removed_records_total") > 0.0
        },
        || format!("{} bytes in segments", segment_bytes(&weir)),
    )
    .await;
    weir.kill().expect("killed");
    weir.launch().expect("weir starts again");
    let log = tokio::task::spawn_blocking({
        let place = place.clone();
        move || read(&place, "_schemas")
    });
    let log = log.await.expect("the reader ends");
    let (_, end) = place.watermarks("_schemas");
    assert!((log.len() as i64) < end, "{log:?} was not compacted");
    let next = register(&weir, "d", "d");
    assert!(ids.iter().all(|id| *id < next), "{next} after {ids:?}");
}
