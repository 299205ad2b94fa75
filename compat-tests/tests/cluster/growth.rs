//! A cluster grows from one node to three, and nodes leave it, while a client writes: nothing is lost or doubled.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use compat_tests::calls::controller;
use compat_tests::clock;
use compat_tests::cluster::Cluster;
use compat_tests::weir::{Weir, find_binary};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::failover::{Acks, PARTITIONS, TOPIC, await_in_sync, check, client, write};
use crate::kafka::{brokers, create, partitions};
use crate::moves::{OFFSETS, all_to, await_moved, reassign, replicas};
use crate::operators::weir;

/// Writes to [`TOPIC`] until it is ended, which answers how much was sent.
pub fn writer(config: &ClientConfig, acks: &Acks) -> impl FnOnce() -> u64 {
    let (config, acks) = (config.clone(), acks.clone());
    let done = Arc::new(AtomicBool::new(false));
    let until = done.clone();
    let thread = std::thread::spawn(move || write(config, acks, &until));
    move || {
        done.store(true, Ordering::Release);
        thread.join().expect("the writer ends")
    }
}

fn group(config: &ClientConfig) -> BaseConsumer {
    let mut config = config.clone();
    config
        .set("group.id", "kept")
        .set("enable.auto.commit", "false");
    config.create().expect("a consumer")
}

fn commit(config: &ClientConfig, offset: i64) {
    let mut offsets = TopicPartitionList::new();
    let added = offsets.add_partition_offset(TOPIC, 0, Offset::Offset(offset));
    added.expect("a partition");
    let consumer = group(config);
    let committed = || consumer.commit(&offsets, CommitMode::Sync).ok();
    let committed = clock::wait_for(
        Duration::from_secs(30),
        Duration::from_millis(50),
        committed,
    );
    committed.expect("a commit");
}

fn committed(config: &ClientConfig) -> Offset {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(TOPIC, 0);
    let consumer = group(config);
    let found = || {
        consumer
            .committed_offsets(asked.clone(), Duration::from_secs(5))
            .ok()
    };
    let found = clock::wait_for(Duration::from_secs(30), Duration::from_millis(50), found);
    found.expect("the offsets").elements()[0].offset()
}

/// The refusal of `weir cluster …`.
fn refusal(node: SocketAddr, words: &[&str]) -> String {
    let ended = weir(node, words);
    assert!(!ended.ok, "{}", ended.stdout);
    ended.stderr
}

#[test]
fn the_data_of_a_single_node_comes_to_lie_on_three() {
    let mut cluster = Cluster::prepare(3).expect("prepared");
    cluster.keep_still().expect("written");
    let binary = find_binary().expect("a binary");
    let mut alone = Weir::prepare(&binary, &["serve", "--broker-id", "1"]).expect("prepared");
    alone.launch().expect("it starts alone");
    assert_eq!(create(alone.kafka, TOPIC, PARTITIONS, 1), 0);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", alone.kafka.to_string());
    let acks = Acks::default();
    let end = writer(&config, &acks);
    commit(&config, 7);
    clock::pause(Duration::from_secs(1));
    let sent = end();
    check(&config, &acks, sent);
    alone.stop().expect("stopped");
    std::fs::rename(alone.data_dir(), cluster.nodes[0].data_dir()).expect("moved");
    cluster.spawn_all().expect("started");
    cluster.await_all().expect("ready");

    let asked = cluster.nodes[1].kafka;
    cluster.eventually("three brokers", || {
        (brokers(asked)?.1.len() == 3).then_some(())
    });
    for topic in [TOPIC, OFFSETS] {
        let before = cluster.eventually("the topic", || replicas(asked, topic));
        assert!(before.iter().all(|ids| ids == &[1]), "{before:?}");
        let count = i32::try_from(before.len()).expect("few");
        let wanted = all_to(count, |index| {
            let first = index % 3;
            vec![first + 1, (first + 1) % 3 + 1, (first + 2) % 3 + 1]
        });
        let codes = reassign(asked, topic, &wanted);
        assert!(codes.iter().all(|code| *code == 0), "{codes:?}");
        let wanted: Vec<Vec<i32>> = wanted.into_values().flatten().collect();
        await_moved(&cluster, 2, topic, &wanted);
    }
    await_in_sync(&cluster, asked);
    cluster.nodes[0].kill().expect("killed");
    cluster.eventually("the others lead", || {
        let found = partitions(asked, TOPIC)?;
        found.iter().all(|one| one.leader_id.0 != 1).then_some(())
    });
    let config = client(&cluster);
    check(&config, &acks, sent);
    assert_eq!(committed(&config), Offset::Offset(7));
}

#[test]
fn a_node_is_drained_and_leaves_while_a_client_writes() {
    let mut cluster = Cluster::start(3).expect("three nodes start");
    let asked = cluster.nodes[1].http;
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, PARTITIONS, 3), 0);
    let said = refusal(asked, &["drain", "1"]);
    assert!(said.contains("2 other nodes would be left"), "{said}");
    let said = refusal(asked, &["decommission", "9"]);
    assert!(said.contains("there is no broker 9"), "{said}");
    let fourth = cluster.prepare_another().expect("prepared");
    cluster.nodes[fourth].launch().expect("it joins");

    let config = client(&cluster);
    let acks = Acks::default();
    let end = writer(&config, &acks);
    commit(&config, 11);
    let ended = weir(asked, &["decommission", "1"]);
    assert!(ended.ok, "{}{}", ended.stderr, cluster.outputs());
    assert!(
        ended.stdout.contains("node 1 is no member any more"),
        "{}",
        ended.stdout
    );
    for node in &cluster.nodes[1..] {
        cluster.eventually("three brokers are left", || {
            let found = brokers(node.kafka)?.1;
            found.into_iter().eq([2, 3, 4]).then_some(())
        });
    }
    for topic in [TOPIC, OFFSETS] {
        let found = replicas(cluster.nodes[1].kafka, topic).expect("the topic");
        let lies_there = |ids: &Vec<i32>| ids.contains(&1);
        assert!(!found.iter().any(lies_there), "{topic}: {found:?}");
    }
    cluster.eventually("the node says that it ends", || {
        let said = cluster.nodes[0].output();
        said.contains("no member of the cluster any more")
            .then_some(())
    });
    cluster.nodes[0].stop().expect("ended");
    let refused = cluster.nodes[0].launch().expect_err("it is not let in");
    assert!(
        refused.to_string().contains("no member any more"),
        "{refused}"
    );
    cluster.nodes[0].kill().expect("ended");
    // The cluster is one of three: it goes on without one of them.
    cluster.nodes[2].kill().expect("killed");
    clock::pause(Duration::from_secs(2));
    assert_eq!(create(cluster.nodes[1].kafka, "later", 3, 1), 0);
    cluster.nodes[2].launch().expect("it comes back");
    let sent = end();
    check(&config, &acks, sent);
    assert_eq!(committed(&config), Offset::Offset(11));
}

/// It takes itself for the leader, and nobody tells it anything else.
#[test]
fn the_metadatas_leader_that_ended_and_was_removed_is_not_let_in() {
    let mut cluster = Cluster::start(3).expect("three nodes start");
    let leader = cluster.eventually("a controller", || {
        controller(cluster.nodes[0].kafka).expect("an answer")
    });
    let (gone, other) = (leader as usize - 1, leader as usize % 3);
    cluster.nodes[gone].kill().expect("killed");
    let asked = cluster.nodes[other].http;
    cluster.eventually("another controller", || {
        let now = controller(cluster.nodes[other].kafka).ok()??;
        (now != leader).then_some(())
    });
    let ended = weir(asked, &["decommission", &leader.to_string()]);
    assert!(ended.ok, "{}{}", ended.stderr, cluster.outputs());
    let refused = cluster.nodes[gone].launch().expect_err("it is not let in");
    assert!(
        refused.to_string().contains("no member any more"),
        "{refused}"
    );
}

#[test]
fn a_node_that_stays_after_all_gets_something_again() {
    let cluster = Cluster::start(3).expect("three nodes start");
    let (asked, node) = (cluster.nodes[0].http, cluster.nodes[0].kafka);
    assert_eq!(create(node, TOPIC, PARTITIONS, 2), 0);
    let drained = weir(asked, &["drain", "3"]);
    assert!(drained.ok, "{}", drained.stderr);
    assert!(
        drained.stdout.ends_with("partitions there: 0\n"),
        "{}",
        drained.stdout
    );
    let on_third = |topic: &str| {
        let found = cluster.eventually("the topic", || replicas(node, topic));
        found.iter().any(|ids| ids.contains(&3))
    };
    assert!(!on_third(TOPIC));
    assert_eq!(create(node, "meanwhile", PARTITIONS, 2), 0);
    assert!(!on_third("meanwhile"));
    assert_eq!(create(node, "on-three", 1, 3), 38);
    let said = refusal(asked, &["drain", "2"]);
    assert!(said.contains("1 other nodes would be left"), "{said}");
    let stays = weir(asked, &["drain", "3", "--undo"]);
    assert!(
        stays.stdout.contains("node 3 does not drain"),
        "{}",
        stays.stdout
    );
    assert_eq!(create(node, "on-three", 3, 3), 0);
}
