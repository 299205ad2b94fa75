//! The registry, tables and metrics through every node.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use compat_tests::cluster::Cluster;
use compat_tests::http::{ask, get};

use crate::kafka::{create, partitions};

fn good(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let answer = ask(address, method, path, body).expect("an answer");
    let good = (200..300).contains(&answer.status);
    assert!(good, "{method} {path}: {} {}", answer.status, answer.body);
    answer.body
}

/// S4: a schema is readable by its id on any node as soon as it is acknowledged.
#[test]
fn schemas_are_registered_through_any_node_and_read_at_once_on_every_other() {
    let cluster = Cluster::start(3).expect("three nodes start");
    let mut ids = Vec::new();
    for round in 0..9 {
        let node = &cluster.nodes[round % 3];
        let schema = format!(
            r#"{{"schema":"{{\"type\":\"fixed\",\"name\":\"F\",\"size\":{}}}"}}"#,
            round + 1
        );
        let path = format!("/subjects/s-{round}/versions");
        let answer = good(node.registry, "POST", &path, &schema);
        let id: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        let id = id["id"].as_i64().expect("an id");
        for other in &cluster.nodes {
            let found = good(other.registry, "GET", &format!("/schemas/ids/{id}"), "");
            assert!(found.contains(&format!("{}", round + 1)), "{found}");
        }
        ids.push(id);
    }
    assert_eq!(ids, (1..=9).collect::<Vec<_>>(), "dense, and given once");
}

#[test]
fn rows_are_put_looked_up_and_deleted_through_any_node() {
    let cluster = Cluster::start(3).expect("three nodes start");
    let settings = r#"{"partitions":6,"settings":{"table.value.format":"string"}}"#;
    good(cluster.nodes[2].http, "PUT", "/v1/tables/rows", settings);
    for number in 0..30 {
        let path = format!("/v1/tables/rows/rows/key-{number}");
        let writer = cluster.nodes[number % 3].http;
        let row = format!(r#"{{"value":"{number}"}}"#);
        cluster.eventually("the table is open everywhere", || {
            let put = ask(writer, "PUT", &path, &row).ok()?;
            (put.status == 200).then_some(())
        });
        for reader in &cluster.nodes {
            let row = good(reader.http, "GET", &path, "");
            assert!(row.contains(&format!("\"{number}\"")), "{row}");
        }
    }
    let path = "/v1/tables/rows/rows/key-7";
    good(cluster.nodes[1].http, "DELETE", path, "");
    for reader in &cluster.nodes {
        assert_eq!(get(reader.http, path).expect("an answer").status, 404);
    }
}

#[test]
fn a_topic_whose_partitions_lie_on_several_nodes_is_no_table() {
    let cluster = Cluster::start(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, "spread", 3, 1), 0);
    let settings = r#"{"settings":{"table.value.format":"string"}}"#;
    let refused = ask(cluster.nodes[0].http, "PUT", "/v1/tables/spread", settings);
    let refused = refused.expect("an answer");
    assert!((400..500).contains(&refused.status), "{}", refused.body);
    assert!(
        refused.body.contains("different sets of nodes"),
        "{}",
        refused.body
    );
}

/// A table without copies lies on one node, and every other one passes on what it is asked.
#[test]
fn a_table_of_another_node_is_served_by_each() {
    let cluster = Cluster::start(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, "alone", 1, 1), 0);
    let settings = r#"{"settings":{"table.value.format":"string"}}"#;
    good(cluster.nodes[0].http, "PUT", "/v1/tables/alone", settings);
    for (place, node) in cluster.nodes.iter().enumerate() {
        let path = format!("/v1/tables/alone/rows/key-{place}");
        cluster.eventually("the row is put", || {
            let put = ask(node.http, "PUT", &path, r#"{"value":"x"}"#).ok()?;
            (put.status == 200).then_some(())
        });
        for reader in &cluster.nodes {
            assert!(good(reader.http, "GET", &path, "").contains("\"x\""));
        }
    }
}

/// So that `sum()` over nodes is right.
#[test]
fn each_series_of_kafka_exporter_comes_from_one_node() {
    let cluster = Cluster::start(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, "measured", 6, 3), 0);
    cluster.eventually("replicas in sync", || {
        let found = partitions(cluster.nodes[0].kafka, "measured")?;
        found
            .iter()
            .all(|one| one.isr_nodes.len() == 3)
            .then_some(())
    });
    let mut series: BTreeMap<String, usize> = BTreeMap::new();
    for node in &cluster.nodes {
        let text = get(node.http, "/metrics").expect("an answer").body;
        let names = text.lines().filter(|line| line.starts_with("kafka_"));
        for name in names.filter_map(|line| line.rsplit_once(' ')) {
            *series.entry(name.0.to_owned()).or_default() += 1;
        }
    }
    let doubled: Vec<_> = series.iter().filter(|(_, nodes)| **nodes != 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    for name in [
        "kafka_brokers",
        r#"kafka_topic_partitions{topic="measured"}"#,
        r#"kafka_topic_partition_in_sync_replica{partition="5",topic="measured"}"#,
    ] {
        assert!(series.contains_key(name), "{name} in {series:?}");
    }
}
