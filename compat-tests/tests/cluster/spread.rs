//! Partitions move by themselves: a node that joins gets its share while an idempotent producer writes, and nothing is
//! lost, doubled or out of order.

use std::net::SocketAddr;
use std::time::Duration;

use compat_tests::clock;
use compat_tests::cluster::Cluster;

use crate::failover::{Acks, PARTITIONS, TOPIC, check, client};
use crate::growth::writer;
use crate::kafka::create;
use crate::moves::{MOVED, replicas, underway};
use crate::operators::{metric, weir};

const EVEN: &str = "every node has its share of the partitions\n";

/// The topic's replicas on each of four nodes.
fn held(node: SocketAddr) -> Option<Vec<usize>> {
    let replicas = replicas(node, TOPIC)?;
    let on = |broker| replicas.iter().filter(|ids| ids.contains(&broker)).count();
    Some((1..=4).map(on).collect())
}

/// 18 replicas on four nodes.
fn is_shared(held: &[usize]) -> bool {
    held.iter().all(|count| (4..=5).contains(count))
}

/// `weir cluster balance --partitions …`, asked of one node.
fn balance(node: SocketAddr, words: &[&str]) -> String {
    let ended = weir(node, &[&["balance", "--partitions"], words].concat());
    assert!(ended.ok, "{}", ended.stderr);
    ended.stdout
}

#[test]
fn a_node_that_joins_gets_its_share_without_being_asked() {
    let mut cluster = Cluster::start(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, PARTITIONS, 3), 0);
    let config = client(&cluster);
    let acks = Acks::default();
    let end = writer(&config, &acks);
    let fourth = cluster.prepare_another().expect("prepared");
    cluster.nodes[fourth].launch().expect("it joins");
    let node = &cluster.nodes[fourth];
    let shared = || {
        let shared = is_shared(&held(node.kafka)?) && underway(node.kafka)? == 0;
        shared.then_some(())
    };
    let shared = clock::wait_for(MOVED, Duration::from_millis(100), shared);
    assert!(shared.is_some(), "{}", cluster.outputs());
    clock::pause(Duration::from_secs(3));
    let moves = metric(&cluster, "weir_balance_moves_total ");
    assert!((4..=6).contains(&moves), "{moves}");
    assert!(is_shared(&held(node.kafka).expect("the topic")));
    let shown = balance(node.http, &["--dry-run"]);
    assert!(shown.ends_with(EVEN), "{shown}");
    let sent = end();
    check(&config, &acks, sent);
}

#[test]
fn partitions_stay_where_that_is_wanted_until_somebody_asks() {
    let mut cluster = Cluster::start_still(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, PARTITIONS, 3), 0);
    let fourth = cluster.prepare_another().expect("prepared");
    cluster.nodes[fourth].launch().expect("it joins");
    let (asked, node) = (cluster.nodes[fourth].http, cluster.nodes[fourth].kafka);
    let config = client(&cluster);
    let acks = Acks::default();
    let end = writer(&config, &acks);
    let shown = cluster.eventually("a cluster that is well", || {
        let shown = balance(asked, &["--dry-run"]);
        (!shown.contains("nothing moves now")).then_some(shown)
    });
    let said = "nothing moves by itself: auto.partition.rebalance.enable is false\n";
    assert!(shown.ends_with(said), "{shown}");
    let to_fourth = shown.lines().filter(|line| line.starts_with(TOPIC));
    assert!((4..=5).contains(&to_fourth.count()), "{shown}");
    assert_eq!(held(node), Some(vec![6, 6, 6, 0]));

    let moved = balance(asked, &[]);
    assert!(moved.ends_with(EVEN), "{moved}");
    let held = held(node).expect("the topic");
    assert!(is_shared(&held), "{held:?}");
    assert_eq!(balance(asked, &[]), EVEN);
    let sent = end();
    check(&config, &acks, sent);

    cluster.nodes[0].kill().expect("killed");
    cluster.eventually("a node is missed", || {
        let shown = balance(asked, &["--dry-run"]);
        shown
            .contains("nothing moves now: node 1 is down")
            .then_some(())
    });
}
