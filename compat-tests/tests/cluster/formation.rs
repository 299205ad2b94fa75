//! How nodes come into a cluster, and that there is never a second one.

use std::collections::BTreeSet;
use std::time::Duration;

use compat_tests::clock;
use compat_tests::cluster::Cluster;
use compat_tests::http;
use compat_tests::weir::{Weir, find_binary};

use crate::kafka::{brokers, create, partitions};

/// Waits until every node names these brokers and one cluster; answers its id.
fn one_cluster(cluster: &Cluster, expected: &[i32]) -> String {
    let expected: BTreeSet<i32> = expected.iter().copied().collect();
    let ids = cluster.nodes.iter().map(|node| {
        cluster.eventually("all brokers on every node", || {
            let (id, found) = brokers(node.kafka)?;
            (found == expected).then_some(id)
        })
    });
    let ids: BTreeSet<String> = ids.collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids.into_iter().next().expect("one")
}

/// Waits until a node that is not up says over HTTP that it lives, and what for it waits; nothing else is served.
fn starts(cluster: &Cluster, place: usize, waits_for: &str) {
    let node = &cluster.nodes[place];
    cluster.eventually(waits_for, || {
        let ready = http::get(node.http, "/readyz").ok()?;
        (ready.status == 503 && ready.body.contains(waits_for)).then_some(())
    });
    let status = |address, path| http::get(address, path).expect("an answer").status;
    assert_eq!(status(node.http, "/livez"), 200);
    assert_eq!(status(node.http, "/v1/tables"), 503);
    assert_eq!(status(node.registry, "/subjects"), 503);
}

#[test]
fn three_seeds_found_one_cluster_and_are_one_after_a_restart() {
    let mut cluster = Cluster::start(3).expect("three nodes start");
    let id = one_cluster(&cluster, &[1, 2, 3]);
    assert_eq!(create(cluster.nodes[1].kafka, "kept", 6, 3), 0);
    for node in &mut cluster.nodes {
        node.kill().expect("killed");
    }
    cluster.nodes[0].spawn().expect("started again, alone");
    starts(&cluster, 0, "no other node is connected");
    for node in &mut cluster.nodes[1..] {
        node.spawn().expect("started again");
    }
    cluster.await_all().expect("ready again");
    assert_eq!(one_cluster(&cluster, &[1, 2, 3]), id);
    for node in &cluster.nodes {
        let found = cluster.eventually("the topic's leaders", || partitions(node.kafka, "kept"));
        assert_eq!(found.len(), 6);
        assert!(found.iter().all(|one| one.replica_nodes.len() == 3));
    }
}

#[test]
fn seeds_wait_for_each_other_and_others_join() {
    let mut cluster = Cluster::prepare(3).expect("prepared");
    for node in &mut cluster.nodes[..2] {
        node.spawn().expect("started");
    }
    for place in 0..2 {
        starts(
            &cluster,
            place,
            "a cluster is founded when all seeds are up",
        );
    }
    clock::pause(Duration::from_secs(2));
    let is_up = |node: &Weir| node.output().contains("is up");
    assert!(
        !cluster.nodes[..2].iter().any(is_up),
        "two of three founded"
    );
    cluster.nodes[2].spawn().expect("started");
    cluster.await_all().expect("ready");
    one_cluster(&cluster, &[1, 2, 3]);
    let fourth = cluster.prepare_another().expect("prepared");
    cluster.nodes[fourth].launch().expect("it joins");
    one_cluster(&cluster, &[1, 2, 3, 4]);
    assert_eq!(create(cluster.nodes[fourth].kafka, "on-four", 4, 4), 0);
    assert_eq!(create(cluster.nodes[0].kafka, "on-five", 1, 5), 38);
}

#[test]
fn a_node_that_ran_alone_is_joined_by_two_others() {
    let mut cluster = Cluster::prepare(3).expect("prepared");
    let mut alone = Weir::prepare(
        &find_binary().expect("a binary"),
        &["serve", "--broker-id", "1"],
    )
    .expect("prepared");
    alone.launch().expect("it starts alone");
    assert_eq!(create(alone.kafka, "from-before", 2, 1), 0);
    let (id, _) = brokers(alone.kafka).expect("it answers");
    alone.stop().expect("stopped");
    let from = alone.data_dir();
    std::fs::rename(from, cluster.nodes[0].data_dir()).expect("moved");
    cluster.spawn_all().expect("started");
    cluster.await_all().expect("ready");
    assert_eq!(one_cluster(&cluster, &[1, 2, 3]), id);
    assert_eq!(create(cluster.nodes[2].kafka, "on-three", 6, 3), 0);
    for node in &cluster.nodes {
        let old = cluster.eventually("the old topic", || partitions(node.kafka, "from-before"));
        assert!(old.iter().all(|one| one.leader_id.0 == 1), "{old:?}");
    }
}

/// D5: votes are in the log, so a node that lost it must not come back as who it was.
#[test]
fn a_node_that_lost_its_log_is_refused_and_joins_again_with_an_empty_directory() {
    let mut cluster = Cluster::start(3).expect("three nodes start");
    let id = one_cluster(&cluster, &[1, 2, 3]);
    assert_eq!(create(cluster.nodes[0].kafka, "kept", 3, 3), 0);
    cluster.nodes[2].kill().expect("killed");
    let dir = cluster.nodes[2].data_dir();
    std::fs::remove_dir_all(dir.join("raft")).expect("removed");
    let refused = cluster.nodes[2].launch().expect_err("it does not start");
    let refused = refused.to_string();
    assert!(
        refused.contains("join") && refused.contains("empty --data-dir"),
        "{refused}"
    );

    std::fs::remove_dir_all(&dir).expect("removed");
    cluster.nodes[2].launch().expect("it joins as a new node");
    assert_eq!(one_cluster(&cluster, &[1, 2, 3]), id, "no second cluster");
    let node = cluster.nodes[0].kafka;
    cluster.eventually("the new node in sync everywhere", || {
        let found = partitions(node, "kept")?;
        found
            .iter()
            .all(|one| one.isr_nodes.len() == 3)
            .then_some(())
    });
    // With the new one and one of the old, the cluster goes on.
    cluster.nodes[1].kill().expect("killed");
    let node = cluster.nodes[2].kafka;
    cluster.eventually("leaders without the other one", || {
        let found = partitions(node, "kept")?;
        found.iter().all(|one| one.leader_id.0 != 2).then_some(())
    });
    assert_eq!(create(node, "after", 3, 3), 0);
}
