//! Schemas registered one after the other, each a version of the same subject.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};

use super::{Progress, Run};

const SUBJECT: &str = "survivors-value";
const PAUSE: Duration = Duration::from_millis(20);

/// Acknowledged ids, by the schema's number.
pub type Registered = BTreeMap<u64, u64>;

/// Every number gives another schema, compatible with those before it.
fn schema(number: u64) -> String {
    let fields: Vec<Value> = (0..=number % 8)
        .map(|field| {
            let name = format!("f{field}");
            json!({"name": name, "type": "long", "default": number})
        })
        .collect();
    json!({"type": "record", "name": "R", "fields": fields}).to_string()
}

/// Registers one after the other until the end of the run.
pub async fn register(run: Arc<Run>, progress: Arc<Progress>) -> Registered {
    let client = client();
    let mut registered = Registered::new();
    while run.goes_on() {
        let number = registered.len() as u64;
        // An answer that never came may have been a registration; the same schema has the same id.
        if let Some(id) = post(&client, &run, &schema(number)).await {
            registered.insert(number, id);
            progress.add();
        }
        tokio::time::sleep(PAUSE).await;
    }
    registered
}

/// `None` when the broker is away; a refusal fails the test.
async fn post(client: &Client, run: &Run, schema: &str) -> Option<u64> {
    let url = format!("{}/subjects/{SUBJECT}/versions", run.registry);
    let sent = client.post(url).json(&json!({"schema": schema}));
    let answer = sent.send().await.ok()?;
    let status = answer.status();
    let body: Value = answer.json().await.ok()?;
    if status.is_server_error() {
        return None;
    }
    assert!(status.is_success(), "a registration is refused: {body}");
    body["id"].as_u64()
}

fn client() -> Client {
    Client::builder()
        .timeout(Duration::from_secs(10))
        .build()
        .expect("a client")
}

async fn get(client: &Client, run: &Run, path: &str) -> Value {
    let answer = client.get(format!("{}{path}", run.registry)).send().await;
    let answer = answer.expect("an answer");
    let status = answer.status();
    let body = answer.json().await.expect("JSON");
    assert!(status.is_success(), "{path}: {body}");
    body
}

/// Each id has its schema, and versions are dense.
pub async fn check(run: &Run, registered: &Registered) {
    let client = client();
    let ids: BTreeSet<u64> = registered.values().copied().collect();
    assert_eq!(ids.len(), registered.len(), "an id names one schema");
    for (number, id) in registered {
        let stored = get(&client, run, &format!("/schemas/ids/{id}")).await;
        let text = stored["schema"].as_str().expect("a schema");
        let stored: Value = serde_json::from_str(text).expect("JSON");
        let sent: Value = serde_json::from_str(&schema(*number)).expect("JSON");
        assert_eq!(stored, sent, "the schema of id {id}");
    }
    let versions = get(&client, run, &format!("/subjects/{SUBJECT}/versions")).await;
    let dense: Vec<usize> = (1..=versions.as_array().expect("a list").len()).collect();
    assert_eq!(versions, json!(dense), "versions are dense");
    // One more may be there: the last one, when its answer was lost.
    assert!(
        dense.len() - registered.len() <= 1,
        "{} versions",
        dense.len()
    );
}
