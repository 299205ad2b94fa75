//! `weir cluster` and `GET /v1/cluster`: what an operator sees of three nodes, and who leads is changed.

use std::net::SocketAddr;
use std::process::Command;

use compat_tests::cluster::Cluster;
use compat_tests::http;
use compat_tests::weir::find_binary;
use serde_json::{Value, json};

use crate::kafka::{create, partitions};

const TOPIC: &str = "orders";
const PARTITIONS: usize = 6;

pub struct Ended {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    fn json(&self) -> Value {
        let json = serde_json::from_str(&self.stdout);
        json.unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

/// `weir cluster …`, asked of one node.
pub fn weir(node: SocketAddr, words: &[&str]) -> Ended {
    let ended = Command::new(find_binary().expect("the binary"))
        .arg("cluster")
        .args(words)
        .env("WEIR_HTTP", format!("http://{node}"))
        .output()
        .expect("it runs");
    Ended {
        ok: ended.status.success(),
        stdout: String::from_utf8(ended.stdout).expect("text"),
        stderr: String::from_utf8(ended.stderr).expect("text"),
    }
}

fn cluster(node: SocketAddr) -> Value {
    let answer = http::get(node, "/v1/cluster").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("json")
}

/// A series summed over the nodes that answer; its name with its labels, or their beginning.
pub fn metric(cluster: &Cluster, series: &str) -> u64 {
    let scrapes = cluster
        .nodes
        .iter()
        .filter_map(|node| http::get(node.http, "/metrics").ok());
    let of_node = |scrape: http::Answer| -> u64 {
        let lines = scrape.body.lines().filter(|line| line.starts_with(series));
        let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        values.sum()
    };
    scrapes.map(of_node).sum()
}

/// Three nodes in racks, with a topic of which all replicas are in sync.
fn start() -> Cluster {
    let cluster = Cluster::start_in_racks(&["a", "b", "c"]).expect("three nodes start");
    let count = i32::try_from(PARTITIONS).expect("few");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, count, 3), 0);
    for node in &cluster.nodes {
        cluster.eventually("a cluster that is well", || {
            let health = weir(node.http, &["health"]);
            health.ok.then_some(())
        });
    }
    cluster
}

#[test]
fn nodes_racks_leaders_and_disks_are_shown_by_each_node() {
    let cluster = start();
    let mut controllers = Vec::new();
    for (place, node) in cluster.nodes.iter().enumerate() {
        let seen = self::cluster(node.http);
        assert_eq!(seen["seen_by"], place as i64 + 1);
        assert_eq!(seen["health"]["status"], "ok", "{seen:#}");
        controllers.push(seen["controller"].as_i64().expect("a controller"));
        let nodes = seen["nodes"].as_array().expect("nodes");
        assert_eq!(nodes.len(), 3);
        for (other, shown) in cluster.nodes.iter().zip(nodes) {
            assert_eq!(shown["kafka"], other.kafka.to_string());
            assert_eq!(shown["up"], true);
            assert!(shown["disk_free_bytes"].as_u64() <= shown["disk_total_bytes"].as_u64());
            assert!(shown["wal_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
        }
        let racks: Vec<&str> = nodes
            .iter()
            .filter_map(|node| node["rack"].as_str())
            .collect();
        assert_eq!(racks, ["a", "b", "c"]);
        let sum = |name: &str| -> u64 {
            let numbers = nodes
                .iter()
                .map(|node| node[name].as_u64().expect("a number"));
            numbers.sum()
        };
        let all = seen["health"]["partitions"].as_u64().expect("a number");
        assert!(all >= PARTITIONS as u64, "{all}");
        assert_eq!(
            (sum("partitions_led"), sum("partitions_held")),
            (all, 3 * all)
        );
    }
    controllers.dedup();
    assert_eq!(controllers.len(), 1, "all nodes name one controller");
    let text = weir(cluster.nodes[1].http, &["nodes"]);
    assert!(text.ok, "{}", text.stderr);
    for part in [
        "NODE",
        "controller",
        "up",
        &cluster.nodes[2].kafka.to_string(),
    ] {
        assert!(text.stdout.contains(part), "{part} in {}", text.stdout);
    }
    let listed = weir(cluster.nodes[1].http, &["nodes", "--format", "json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(3));
}

#[test]
fn a_node_that_is_gone_is_down_and_its_partitions_under_replicated() {
    let mut cluster = start();
    assert_eq!(create(cluster.nodes[0].kafka, "single", 3, 1), 0);
    cluster.nodes[2].kill().expect("killed");
    let asked = cluster.nodes[0].http;
    let health = cluster.eventually("a partition without a leader", || {
        let seen = self::cluster(asked);
        let settled = seen["health"]["leaderless_partitions"] == 1
            && seen["health"]["nodes_down"] == json!([3])
            && !seen["controller"].is_null();
        settled.then(|| seen["health"].clone())
    });
    assert_eq!(health["status"], "unavailable");
    assert_eq!(
        health["under_replicated_partitions"],
        health["partitions"].as_u64().expect("a number") - 2
    );
    let said = weir(asked, &["health"]);
    assert!(!said.ok);
    for part in ["node 3 is down", "without a leader: 1"] {
        assert!(said.stderr.contains(part), "{part} in {}", said.stderr);
    }
    assert!(
        said.stdout.starts_with("unavailable: 3 nodes"),
        "{}",
        said.stdout
    );
    let nodes = weir(asked, &["nodes"]).stdout;
    assert!(
        nodes
            .lines()
            .any(|line| line.starts_with('3') && line.contains("down")),
        "{nodes}"
    );
    assert_eq!(metric(&cluster, "weir_controller "), 1);
    assert_eq!(metric(&cluster, "weir_nodes_down "), 1);
    assert_eq!(metric(&cluster, "weir_offline_partitions "), 1);
    assert_eq!(
        metric(&cluster, "weir_under_replicated_partitions "),
        PARTITIONS as u64
    );
    assert_eq!(
        metric(&cluster, "weir_partitions_led "),
        PARTITIONS as u64 + 2
    );
    assert!(metric(&cluster, "weir_shard_elections_total ") > 0);
    assert_eq!(create(cluster.nodes[0].kafka, "more", 1, 3), 0);
    assert!(metric(&cluster, "weir_follower_lag_entries{node=\"3\"") > 0);
    let refused = weir(asked, &["transfer", TOPIC, "0", "--to", "3"]);
    assert!(!refused.ok);
    assert!(
        refused.stderr.contains("to node 3: the node is away"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_partition_is_handed_to_a_node_and_balance_brings_it_back() {
    let cluster = start();
    let found = partitions(cluster.nodes[0].kafka, TOPIC).expect("leaders");
    let from = found[0].leader_id.0;
    assert_eq!(found[0].replica_nodes[0].0, from);
    let to = from % 3 + 1;
    // Asked of the one that neither leads it nor shall lead it.
    let asked = cluster.nodes[Cluster::place_of(to % 3 + 1)].http;
    let moved = weir(
        asked,
        &[
            "transfer",
            TOPIC,
            "0",
            "--to",
            &to.to_string(),
            "--format",
            "json",
        ],
    )
    .json();
    assert_eq!((&moved["from"], &moved["to"]), (&json!(from), &json!(to)));
    assert_eq!(moved["goes_back_to"], from);
    assert_eq!(
        metric(&cluster, "weir_shard_handovers_total{reason=\"asked\"}"),
        1
    );
    for node in &cluster.nodes {
        cluster.eventually("the new leader", || {
            let leader = partitions(node.kafka, TOPIC)?[0].leader_id.0;
            (leader == to).then_some(())
        });
    }
    let again = weir(asked, &["transfer", TOPIC, "0", "--to", &to.to_string()]);
    assert!(
        again.ok && again.stdout.contains("as before"),
        "{}",
        again.stdout
    );
    let balanced = weir(asked, &["balance", "--format", "json"]);
    assert!(balanced.ok, "{}", balanced.stderr);
    let back = &balanced.json()["moved"][0];
    assert_eq!((&back["from"], &back["to"]), (&json!(to), &json!(from)));
    let again = weir(asked, &["balance"]);
    assert_eq!(
        again.stdout,
        "every partition is led by its first replica\n"
    );

    let controller = self::cluster(asked)["controller"].as_i64().expect("one");
    let next = controller % 3 + 1;
    let moved = weir(
        asked,
        &["transfer", "--shard", "0", "--to", &next.to_string()],
    );
    assert!(moved.ok, "{}", moved.stderr);
    cluster.eventually("the new controller", || {
        (self::cluster(asked)["controller"] == next).then_some(())
    });

    for (words, reason) in [
        (
            &["transfer", "nowhere", "0", "--to", "1"][..],
            "there is no topic nowhere",
        ),
        (
            &["transfer", TOPIC, "99", "--to", "1"],
            "has no partition 99",
        ),
        (&["transfer", TOPIC, "0", "--to", "9"], "there is no node 9"),
        (
            &["transfer", "--shard", "999", "--to", "1"],
            "there is no shard 999",
        ),
        (&["transfer", TOPIC, "--to", "1"], "<PARTITION>"),
    ] {
        let refused = weir(asked, words);
        assert!(
            !refused.ok && refused.stderr.contains(reason),
            "{words:?}: {}",
            refused.stderr
        );
    }
    assert_eq!(create(cluster.nodes[0].kafka, "single", 1, 1), 0);
    let single = partitions(cluster.nodes[0].kafka, "single").expect("a leader");
    let other = (single[0].leader_id.0 % 3 + 1).to_string();
    let refused = weir(asked, &["transfer", "single", "0", "--to", &other]);
    let reason = format!(
        "the node has no replica; nodes [{}] have one",
        single[0].leader_id.0
    );
    assert!(
        !refused.ok && refused.stderr.contains(&reason),
        "{}",
        refused.stderr
    );
    let answer = http::ask(asked, "POST", "/v1/cluster/transfer", "{\"to\":1}").expect("an answer");
    assert_eq!(answer.status, 400, "{}", answer.body);
}
