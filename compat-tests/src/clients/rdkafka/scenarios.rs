//! The scenarios, as every client plays them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rdkafka::topic_partition_list::Offset;

use super::client::{Client, PARTITIONS, SETTLE, Sent, until};
use super::member::Member;
use crate::clients::matrix::Outcome;
use crate::clock;

const SCHEMA: &str = r#"{"type":"object","properties":{"delay":{"type":"integer"},"origin":{"type":"string"}},"required":["delay","origin"]}"#;

pub async fn play(client: &Client, scenario: &str) -> Outcome {
    let topic = format!("rdkafka-{scenario}");
    match scenario {
        "create-topic" => create_topic(client, &topic).await.into(),
        "produce-none" => produce(client, &topic, "none").await.into(),
        "produce-gzip" => produce(client, &topic, "gzip").await.into(),
        "produce-snappy" => produce(client, &topic, "snappy").await.into(),
        "produce-lz4" => produce(client, &topic, "lz4").await.into(),
        "produce-zstd" => produce(client, &topic, "zstd").await.into(),
        "idempotent-produce" => idempotent_produce(client, &topic).await.into(),
        "group-rebalance" => group_rebalance(client, &topic).await.into(),
        "group-resume" => group_resume(client, &topic).await.into(),
        "describe-configs" => describe_configs(client, &topic).await.into(),
        "list-offsets" => list_offsets(client, &topic).await.into(),
        "delete-topic" => delete_topic(client, &topic).await.into(),
        "refused-record" => refused_record(client, &topic).await.into(),
        "table" => table(client, &topic).await.into(),
        "serializer-avro" | "serializer-json" | "serializer-protobuf" => {
            Outcome::NotOffered("it has no registry serializers".to_string())
        }
        _ => Outcome::Failed("there is no such scenario".to_string()),
    }
}

fn equal<T: PartialEq + Debug>(found: T, wanted: T, what: &str) -> Result<()> {
    ensure!(found == wanted, "{what}: {found:?} instead of {wanted:?}");
    Ok(())
}

/// Numbered records, partition by partition in turns.
fn spread(first: i32, count: i32) -> Vec<Sent> {
    let numbers = first..first + count;
    numbers
        .map(|number| Sent {
            key: Some(format!("key-{number}")),
            value: Some(format!("value-{number}-{}", "x".repeat(100)).into_bytes()),
            partition: Some(number % PARTITIONS),
            header: true,
        })
        .collect()
}

fn record(value: &[u8], partition: i32) -> Sent {
    Sent {
        value: Some(value.to_vec()),
        partition: Some(partition),
        ..Sent::default()
    }
}

async fn create_topic(client: &Client, topic: &str) -> Result<()> {
    client
        .create_topic(topic, &[("max.message.bytes", "200000")])
        .await?;
    equal(client.topics()?.get(topic), Some(&3), "partitions")?;
    let Err(error) = client.create_topic(topic, &[]).await else {
        bail!("the topic could be created twice");
    };
    let text = format!("{error:#}");
    ensure!(text.contains("TopicAlreadyExists"), "a second time: {text}");
    Ok(())
}

async fn produce(client: &Client, topic: &str, codec: &str) -> Result<()> {
    client.create_topic(topic, &[]).await?;
    let sent = spread(0, 90);
    client
        .produce(topic, &sent, &[("compression.type", codec)])
        .await?;
    let mut seen = client.read(topic, sent.len())?;
    seen.sort_by_key(|seen| (seen.offset, seen.partition));
    equal(seen.len(), sent.len(), "records")?;
    for (number, (seen, sent)) in seen.iter().zip(&sent).enumerate() {
        let place = (number as i32 % PARTITIONS, number as i64 / 3);
        equal((seen.partition, seen.offset), place, "place")?;
        let key = sent.key.clone().map(String::into_bytes);
        equal(&seen.key, &key, "key")?;
        equal(&seen.value, &sent.value, "value")?;
        let headers = vec![("from".to_string(), b"scenarios".to_vec())];
        equal(&seen.headers, &headers, "headers")?;
    }
    Ok(())
}

async fn idempotent_produce(client: &Client, topic: &str) -> Result<()> {
    client.create_topic(topic, &[]).await?;
    let sent: Vec<_> = (0..400)
        .map(|number: i32| record(number.to_string().as_bytes(), 1))
        .collect();
    client
        .produce(topic, &sent, &[("enable.idempotence", "true")])
        .await?;
    let seen = client.read(topic, sent.len())?;
    let found: Vec<_> = seen
        .into_iter()
        .map(|seen| (seen.offset, seen.value))
        .collect();
    let wanted = (0..).zip(sent.into_iter().map(|sent| sent.value));
    equal(found, wanted.collect(), "records in order")
}

async fn group_rebalance(client: &Client, topic: &str) -> Result<()> {
    client.create_topic(topic, &[]).await?;
    let group = format!("{topic}-group");
    let everything: BTreeSet<i32> = (0..PARTITIONS).collect();
    let mut first = Member::join(client, topic, &group)?;
    client.produce(topic, &spread(0, 60), &[]).await?;
    until("the first member to read all", || first.count() >= 60)?;
    let mut second = Member::join(client, topic, &group)?;
    until("both members to share the partitions", || {
        let (one, two) = (first.assigned(), second.assigned());
        !one.is_empty() && !two.is_empty() && &one ^ &two == everything
    })?;
    client.produce(topic, &spread(60, 60), &[]).await?;
    until("both members to read the rest", || {
        first.count() + second.count() >= 120
    })?;
    second.leave()?;
    until("the first member to own all again", || {
        first.assigned() == everything
    })?;
    client.produce(topic, &spread(120, 60), &[]).await?;
    until("the first member to read on", || {
        first.count() + second.count() >= 180
    })?;
    clock::pause(SETTLE);
    first.leave()?;
    ensure!(second.count() > 0, "the second member read nothing");
    let mut found: Vec<_> = first
        .seen()
        .into_iter()
        .chain(second.seen())
        .map(|seen| (seen.partition, seen.offset))
        .collect();
    found.sort();
    let wanted =
        (0..PARTITIONS).flat_map(|partition| (0..60).map(move |offset| (partition, offset)));
    equal(found, wanted.collect(), "read by both")
}

async fn group_resume(client: &Client, topic: &str) -> Result<()> {
    client.create_topic(topic, &[]).await?;
    let group = format!("{topic}-group");
    for start in [0, 60, 120] {
        let sent = spread(start, 60);
        client.produce(topic, &sent, &[]).await?;
        let mut member = Member::join(client, topic, &group)?;
        until(&format!("records from {start} on"), || member.count() >= 60)?;
        clock::pause(SETTLE);
        member.leave()?;
        let found: BTreeSet<_> = member.seen().into_iter().map(|seen| seen.value).collect();
        let wanted = sent.into_iter().map(|sent| sent.value).collect();
        equal(member.count(), 60, "records read from the commits")?;
        equal(found, wanted, "read from the commits")?;
    }
    Ok(())
}

async fn describe_configs(client: &Client, topic: &str) -> Result<()> {
    let given = [
        ("max.message.bytes", "200000"),
        ("retention.ms", "86400000"),
    ];
    client.create_topic(topic, &given).await?;
    let found = client.describe_configs(topic).await?;
    for (name, value) in given.into_iter().chain([("cleanup.policy", "delete")]) {
        let found = found.get(name).cloned().flatten();
        equal(found.as_deref(), Some(value), name)?;
    }
    Ok(())
}

async fn list_offsets(client: &Client, topic: &str) -> Result<()> {
    client.create_topic(topic, &[]).await?;
    client
        .produce(topic, &vec![record(b"before", 2); 5], &[])
        .await?;
    clock::pause(Duration::from_millis(10));
    let between = clock::now_ms();
    client
        .produce(topic, &vec![record(b"after", 2); 5], &[])
        .await?;
    equal(client.watermarks(topic, 2)?, (0, 10), "watermarks")?;
    equal(
        client.watermarks(topic, 0)?,
        (0, 0),
        "watermarks of an empty partition",
    )?;
    let found = client.offset_at(topic, 2, between)?;
    equal(found, Offset::Offset(5), "by time")
}

async fn delete_topic(client: &Client, topic: &str) -> Result<()> {
    client.create_topic(topic, &[]).await?;
    ensure!(
        client.topics()?.contains_key(topic),
        "the topic is not listed"
    );
    client.delete_topic(topic).await?;
    until("the topic to go", || {
        client
            .topics()
            .is_ok_and(|topics| !topics.contains_key(topic))
    })
}

async fn refused_record(client: &Client, topic: &str) -> Result<()> {
    client
        .create_topic(topic, &[("schema.validation.value", "full")])
        .await?;
    let id = client
        .register(&format!("{topic}-value"), SCHEMA, "JSON")
        .await?;
    let framed = |json: &str| [&[0], &id.to_be_bytes()[..], json.as_bytes()].concat();
    let good = framed(r#"{"delay":7,"origin":"JFK"}"#);
    let bad = framed(r#"{"delay":"late","origin":"JFK"}"#);
    client.produce(topic, &[record(&good, 0)], &[]).await?;
    let Err(error) = client.produce(topic, &[record(&bad, 0)], &[]).await else {
        bail!("the bad record was acked");
    };
    let text = format!("{error:?}");
    ensure!(text.contains("InvalidRecord"), "the refusal reads {text}");
    let (status, body) = client.get(&format!("/v1/topics/{topic}/rejects")).await?;
    equal(status, 200, "status of the refusals")?;
    let rejects = body["rejects"].as_array().map(Vec::len);
    equal(rejects, Some(1), "refusals on record")?;
    ensure!(
        body["rejects"][0]["reason"].is_string(),
        "no reason: {body}"
    );
    client.produce(topic, &[record(&good, 0)], &[]).await?;
    let entered = client.read(topic, 2)?.into_iter().map(|seen| seen.value);
    equal(
        entered.collect::<Vec<_>>(),
        vec![Some(good.clone()), Some(good)],
        "what entered",
    )
}

async fn table(client: &Client, topic: &str) -> Result<()> {
    let settings = [
        ("table.mode", "primary-key"),
        ("table.value.format", "string"),
    ];
    client.create_topic(topic, &settings).await?;
    let mut rows: BTreeMap<String, Option<String>> = BTreeMap::new();
    let changes = [
        (0..60, Some("first")),
        (0..20, Some("changed")),
        (20..30, None),
    ];
    for (numbers, value) in changes {
        let value = value.map(str::to_string);
        let sent: Vec<_> = numbers
            .map(|number| Sent {
                key: Some(format!("key-{number}")),
                value: value.clone().map(String::into_bytes),
                ..Sent::default()
            })
            .collect();
        client.produce(topic, &sent, &[]).await?;
        rows.extend(
            sent.into_iter()
                .filter_map(|sent| Some((sent.key?, value.clone()))),
        );
    }
    for (key, value) in &rows {
        let (status, body) = client
            .get(&format!("/v1/tables/{topic}/rows/{key}"))
            .await?;
        match value {
            Some(value) => {
                let row = serde_json::json!({ "key": key, "value": value });
                equal((status, body), (200, row), key)?;
            }
            None => equal(status, 404, key)?,
        }
    }
    let (_, body) = client.get(&format!("/v1/tables/{topic}")).await?;
    let live = rows.values().flatten().count() as u64;
    equal(body["row_count"].as_u64(), Some(live), "row count")
}
