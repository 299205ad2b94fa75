//! Rows of a table that are upserted and deleted by produce and over HTTP at the same time, some keys by both.

pub mod http;
pub mod produce;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rdkafka::admin::{NewTopic, TopicReplication};
use serde_json::Value;

use super::log::{self, Record, Stored};
use super::{PARTITIONS, Run};

const TABLE: &str = "rows";
/// Keys of each writer, and keys that both write.
const OWN_KEYS: u64 = 151;
const SHARED_KEYS: u64 = 19;

/// A write and where it was acknowledged.
#[derive(Debug)]
pub struct Acked {
    key: String,
    /// What was upserted; nothing when it was deleted.
    value: Option<String>,
    place: (i32, i64),
}

/// What the writers of rows did.
pub struct Written {
    pub by_produce: Vec<Acked>,
    pub by_http: http::Done,
}

/// The write that `writer` does as its number `number`: mostly upserts of its own keys.
fn write_of(run: &Run, writer: &str, number: u64) -> (String, Option<String>) {
    let key = if number.is_multiple_of(11) {
        format!("both-{}", number / 11 % SHARED_KEYS)
    } else {
        // The counts have no factor in common with the steps, so that every key is upserted and deleted.
        format!("{writer}-{}", number * 7 % OWN_KEYS)
    };
    let deletes = number % 5 == 3;
    (
        key,
        (!deletes).then(|| format!("{writer}:{}", run.text(number))),
    )
}

/// Creates the table.
pub async fn prepare(run: &Run) {
    let topic = NewTopic::new(TABLE, PARTITIONS, TopicReplication::Fixed(1))
        .set("table.mode", "primary-key")
        .set("table.key.format", "string")
        .set("table.value.format", "string");
    run.create_topic(topic).await;
}

/// The rows are the fold of the log, and in that is what was acknowledged.
pub async fn check(run: &Arc<Run>, written: &Written) {
    let (by_produce, by_http) = (&written.by_produce, &written.by_http);
    let stored = log::read(run, TABLE).await;
    check_acked(by_produce.iter().chain(&by_http.acked), &stored);
    produce::check(&stored);
    http::check(run, &stored, by_http);
    let rows = http::scan(run).await;
    let fold = fold(&stored);
    assert!(!fold.is_empty(), "some rows are left");
    assert_eq!(rows, fold, "the rows are the fold of the log");
    http::check_lookups(run, &fold).await;
}

/// Each is where it was acknowledged, or compaction has taken it, for a later one of its key.
fn check_acked<'a>(acked: impl Iterator<Item = &'a Acked>, stored: &Stored) {
    let mut latest: HashMap<&str, (i32, i64)> = HashMap::new();
    for (place, record) in stored {
        latest.insert(record.key.as_deref().expect("a key"), *place);
    }
    for acked in acked {
        let Some(record) = stored.get(&acked.place) else {
            let latest = latest.get(&acked.key[..]);
            let (partition, offset) = acked.place;
            let superseded = latest.is_some_and(|at| at.0 == partition && at.1 > offset);
            assert!(
                superseded,
                "{acked:?} is lost; the last of its key is at {latest:?}"
            );
            continue;
        };
        let same = record.key.as_ref() == Some(&acked.key) && record.value == acked.value;
        assert!(same, "{acked:?} is {record:?}");
    }
}

/// The last value of each key; no value deletes it.
fn fold(stored: &Stored) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    let mut homes = HashMap::new();
    for ((partition, _), Record { key, value, .. }) in stored {
        let key = key.clone().expect("a key");
        let home = homes.entry(key.clone()).or_insert(*partition);
        assert_eq!(home, partition, "{key} lives in one partition");
        match value {
            Some(value) => rows.insert(key, value.clone()),
            None => rows.remove(&key),
        };
    }
    rows
}

/// Key and value of a row in a JSON answer.
fn row(json: &Value) -> (String, String) {
    let text = |column: &str| json[column].as_str().expect("text").to_owned();
    (text("key"), text("value"))
}
