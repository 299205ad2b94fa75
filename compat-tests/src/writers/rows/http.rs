//! Rows put, deleted, looked up and scanned over HTTP.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Acked, TABLE, produce, row, write_of};
use crate::writers::log::{self, Stored};
use crate::writers::{Progress, Run};

const WRITERS: [&str; 4] = ["put-a", "put-b", "put-c", "put-d"];
const AWAY: Duration = Duration::from_millis(20);
/// Writes between two lookups of what was just written.
const LOOK_EVERY: u64 = 8;

/// What the writers did.
#[derive(Default)]
pub struct Done {
    pub acked: Vec<Acked>,
    /// Writes whose answer never came, each in the log at most once.
    unknown: Vec<Option<String>>,
}

/// Several writers at once, until the end of the run.
pub async fn write(run: Arc<Run>, progress: Arc<Progress>) -> Done {
    let writers = WRITERS.map(|writer| write_as(writer, run.clone(), progress.clone()));
    let mut all = Done::default();
    for done in JoinSet::from_iter(writers).join_all().await {
        all.acked.extend(done.acked);
        all.unknown.extend(done.unknown);
    }
    all
}

/// Puts and deletes rows, one after the other, and reads its own writes.
async fn write_as(writer: &'static str, run: Arc<Run>, progress: Arc<Progress>) -> Done {
    let client = client();
    let mut done = Done::default();
    let mut number = 0;
    while run.goes_on() {
        let (key, value) = write_of(&run, writer, number);
        match send(&client, &run, &key, value.as_deref()).await {
            Some(place) => {
                progress.add();
                if number % LOOK_EVERY == 1 {
                    check_own(&client, &run, &key, value.as_deref()).await;
                }
                done.acked.push(Acked { key, value, place });
            }
            None => {
                done.unknown.push(value);
                tokio::time::sleep(AWAY).await;
            }
        }
        number += 1;
    }
    done
}

/// Where the write is; `None` when its answer did not come. A refusal fails the test.
async fn send(client: &Client, run: &Run, key: &str, value: Option<&str>) -> Option<(i32, i64)> {
    let url = row_url(run, key);
    let request = match value {
        Some(value) => client.put(url).json(&json!({"value": value})),
        None => client.delete(url),
    };
    let body = answer(request.send().await).await?;
    let partition = body["partition"].as_i64().expect("a partition");
    let offset = body["offset"].as_i64().expect("an offset");
    Some((i32::try_from(partition).expect("small"), offset))
}

/// The body of a good answer; `None` when there was none, or one that says "try again".
async fn answer(sent: reqwest::Result<Response>) -> Option<Value> {
    let answer = sent.ok()?;
    let status = answer.status();
    let body: Value = answer.json().await.ok()?;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    assert!(status.is_success(), "{status}: {body}");
    Some(body)
}

/// Nobody else writes the key: a lookup finds what was acknowledged. The broker may be away.
async fn check_own(client: &Client, run: &Run, key: &str, value: Option<&str>) {
    if key.starts_with("both") {
        return;
    }
    let Ok(answer) = client.get(row_url(run, key)).send().await else {
        return;
    };
    let status = answer.status();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return;
    }
    let Ok(body) = answer.json::<Value>().await else {
        return;
    };
    match value {
        Some(value) => assert_eq!(body["value"], json!(value), "{key}: {body}"),
        None => {
            assert_eq!(status, StatusCode::NOT_FOUND, "{key}: {body}");
            assert_eq!(body["error"]["code"], json!("no_such_row"));
        }
    }
}

fn row_url(run: &Run, key: &str) -> String {
    format!("{}/v1/tables/{TABLE}/rows/{key}", run.http)
}

fn client() -> Client {
    Client::builder()
        .timeout(Duration::from_secs(20))
        .build()
        .expect("a client")
}

/// Each value is in the log at most once, in the writer's order; its deletes are no more than it sent.
pub fn check(run: &Run, stored: &Stored, done: &Done) {
    let mut last = HashMap::new();
    let mut deletes = 0;
    for (place, record) in stored {
        // The records of the producer are numbered by a header.
        if record.number.is_some() {
            continue;
        }
        let Some(value) = &record.value else {
            deletes += 1;
            continue;
        };
        let (writer, number) = value.split_once(':').expect("writer:number");
        let number: u64 = number.parse().expect("a number");
        let (key, wanted) = write_of(run, writer, number);
        assert_eq!(
            (record.key.as_ref(), Some(value)),
            (Some(&key), wanted.as_ref())
        );
        let before = last.insert((place.0, writer), number);
        assert!(
            before.is_none_or(|before| before < number),
            "row {number} is doubled or out of order: {record:?}"
        );
    }
    let acked = done.acked.iter().filter(|acked| acked.value.is_none());
    let unknown = done.unknown.iter().filter(|value| value.is_none());
    let (acked, unknown) = (acked.count(), unknown.count());
    // Compaction takes those that a later write of the key supersedes.
    let least = if log::is_dense(stored) { acked } else { 0 };
    assert!(
        (least..=acked + unknown).contains(&deletes),
        "{deletes} deletes are in the log, {acked} were acknowledged, {unknown} may have been"
    );
}

/// All rows, page by page.
pub async fn scan(run: &Run) -> BTreeMap<String, String> {
    let client = client();
    let mut rows = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let url = format!(
            "{}/v1/tables/{TABLE}/rows?limit=50&cursor={cursor}",
            run.http
        );
        let page = answer(client.get(url).send().await).await.expect("a page");
        for json in page["rows"].as_array().expect("rows") {
            let (key, value) = row(json);
            let again = rows.insert(key.clone(), value);
            assert!(again.is_none(), "the scan gave {key} twice");
        }
        match page["cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return rows,
        }
    }
}

/// Looks up every key that a writer has, those without a row too.
pub async fn check_lookups(run: &Run, fold: &BTreeMap<String, String>) {
    let mut writers = WRITERS.to_vec();
    writers.push(produce::WRITER);
    // Enough numbers for each writer's every key, and the shared ones.
    let numbers = 0..2 * super::OWN_KEYS;
    let keys: Vec<String> = numbers
        .flat_map(|number| {
            writers
                .iter()
                .map(move |writer| write_of(run, writer, number).0)
        })
        .collect();
    let url = format!("{}/v1/tables/{TABLE}/lookup", run.http);
    let sent = client().post(url).json(&json!({"keys": keys}));
    let found = answer(sent.send().await).await.expect("an answer");
    let found = found["rows"].as_array().expect("rows");
    assert_eq!(found.len(), keys.len());
    for (key, found) in keys.iter().zip(found) {
        let found = (!found.is_null()).then(|| row(found).1);
        assert_eq!(found.as_ref(), fold.get(key), "a lookup of {key}");
    }
}
