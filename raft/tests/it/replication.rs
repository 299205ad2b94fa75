//! Three voters in one process.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use weir_raft::disk::Fault;
use weir_raft::{MemNetwork, Node, NodeId, ProposeError, ReadError, Shard};

use crate::fixture::{Recorder, SHARD, World, eventually, open_term, payload, put};

struct Cluster {
    network: MemNetwork,
    worlds: Vec<World>,
    members: Vec<(Node, Shard, Recorder)>,
}

impl Cluster {
    /// Three voters; the first one leads.
    async fn start() -> Cluster {
        Cluster::start_with(World::in_network).await
    }

    async fn start_with(world: impl Fn(NodeId, &MemNetwork) -> World) -> Cluster {
        let network = MemNetwork::new();
        let mut cluster = Cluster {
            network: network.clone(),
            worlds: Vec::new(),
            members: Vec::new(),
        };
        for id in 1..=3 {
            let world = world(NodeId(id), &network);
            let node = world.open().await.expect("the node opens");
            network.attach(&node);
            let recorder = Recorder::default();
            let machine = Box::new(recorder.clone());
            let shard = match id {
                1 => node.start_shard(SHARD, machine).await,
                _ => node.join_shard(SHARD, machine).await,
            };
            cluster
                .members
                .push((node, shard.expect("the shard starts"), recorder));
            cluster.worlds.push(world);
        }
        let leader = &cluster.members[0].1;
        open_term(leader).await;
        leader.add_learner(NodeId(2)).await.expect("added");
        leader.add_learner(NodeId(3)).await.expect("added");
        let voters = (1..=3).map(NodeId).collect::<BTreeSet<_>>();
        leader.change_voters(voters.clone()).await.expect("changed");
        assert_eq!(leader.members().voters, voters);
        assert!(!leader.is_changing_voters());
        cluster
    }

    /// Waits until one of these nodes leads; returns its place.
    async fn leader_among(&self, places: &[usize]) -> usize {
        let mut leader = None;
        eventually("a leader among some nodes", || {
            let open = |place: &&usize| self.members[**place].1.leadership().borrow().open;
            leader = places.iter().find(open).copied();
            leader.is_some()
        })
        .await;
        leader.expect("there is one")
    }

    async fn all_applied(&self, expected: &[&str]) {
        for (node, _, recorder) in &self.members {
            eventually(&format!("all entries on node {}", node.id()), || {
                recorder.payloads() == expected
            })
            .await;
        }
    }

    async fn stop(self) {
        for (node, ..) in &self.members {
            self.network.detach(node.id());
            node.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_voters_apply_the_same_entries() {
    let cluster = Cluster::start().await;
    for text in ["a", "b", "c"] {
        put(&cluster.members[0].1, text).await;
    }
    cluster.all_applied(&["a", "b", "c"]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposed_leader_refuses_definitely_and_the_majority_goes_on() {
    let cluster = Cluster::start().await;
    let old = &cluster.members[0].1;
    put(old, "before").await;
    let old_term = open_term(old).await;
    cluster.network.isolate(NodeId(1));
    let place = cluster.leader_among(&[1, 2]).await;
    let new = &cluster.members[place].1;
    put(new, "during").await;
    cluster.network.heal();
    eventually("the old leader learns of the new term", || {
        old.leadership().borrow().term > old_term
    })
    .await;
    let refused = old.propose(old_term, payload("stale")).await.err();
    assert!(
        matches!(refused, Some(ProposeError::NotLeader { .. })),
        "{refused:?}"
    );
    cluster.all_applied(&["before", "during"]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_a_minority_is_never_acknowledged() {
    let cluster = Cluster::start().await;
    let old = &cluster.members[0].1;
    let term = open_term(old).await;
    cluster.network.isolate(NodeId(1));
    let proposed = old.propose(term, payload("minority")).await;
    let place = cluster.leader_among(&[1, 2]).await;
    put(&cluster.members[place].1, "majority").await;
    cluster.network.heal();
    if let Ok(proposal) = proposed {
        let outcome = tokio::time::timeout(Duration::from_secs(10), proposal).await;
        let outcome = outcome.expect("it is answered");
        assert!(outcome.is_err(), "{outcome:?}");
    }
    cluster.all_applied(&["majority"]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_away_catches_up_from_the_leaders_wal() {
    let cluster = Cluster::start().await;
    cluster.network.isolate(NodeId(3));
    let place = cluster.leader_among(&[0, 1]).await;
    let leader = &cluster.members[place].1;
    let texts: Vec<String> = (0..50)
        .map(|n| format!("{n} {}", "x".repeat(2000)))
        .collect();
    for text in &texts {
        put(leader, text).await;
    }
    cluster.network.heal();
    let expected: Vec<&str> = texts.iter().map(String::as_str).collect();
    cluster.all_applied(&expected).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_lacks_much_is_given_it_at_a_pace() {
    const MIB: usize = 1 << 20;
    let cluster = Cluster::start_with(|node, network| {
        let mut world = World::in_network(node, network);
        world.config.wal.file_bytes = 16 << 20;
        world
    })
    .await;
    cluster.network.isolate(NodeId(3));
    let place = cluster.leader_among(&[0, 1]).await;
    let leader = &cluster.members[place].1;
    let text = "x".repeat(MIB);
    for _ in 0..96 {
        put(leader, &text).await;
    }
    // So that twice what was written, by the second, is less than what is given in any case.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let began = Instant::now();
    cluster.network.heal();
    let recorder = &cluster.members[2].2;
    eventually("all entries", || recorder.applied.lock().len() == 96).await;
    // The last 32 MiB go as fast as they can, the others at 48 MiB a second at most.
    assert!(began.elapsed() > Duration::from_secs(1));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_read_its_log_ends_its_process_and_the_others_go_on() {
    let cluster = Cluster::start().await;
    cluster.network.isolate(NodeId(3));
    let place = cluster.leader_among(&[0, 1]).await;
    put(&cluster.members[place].1, "before").await;
    let world = &cluster.worlds[place];
    world.disk.inject(Fault::Read);
    // Not before it has failed: what was read earlier may still be on its way.
    eventually("its process ends", || !world.fatal.lock().is_empty()).await;
    cluster.network.heal();
    let fatal = world.fatal.lock().join("\n");
    let of_shard = format!("the replica of shard {SHARD} here has stopped: ");
    assert!(fatal.starts_with(&of_shard), "{fatal}");
    assert!(fatal.contains("injected Read error"), "{fatal}");
    assert!(fatal.ends_with("then start weir again"), "{fatal}");
    let others: Vec<usize> = (0..3).filter(|other| *other != place).collect();
    let next = cluster.leader_among(&others).await;
    put(&cluster.members[next].1, "after").await;
    for other in others {
        eventually("the others apply what they held and more", || {
            cluster.members[other].2.payloads() == ["before", "after"]
        })
        .await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_too_far_behind_gets_a_snapshot() {
    let cluster = Cluster::start().await;
    cluster.network.isolate(NodeId(3));
    let place = cluster.leader_among(&[0, 1]).await;
    let leader = &cluster.members[place].1;
    let texts: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    for text in &texts {
        put(leader, text).await;
    }
    let upto = leader.snapshot().await.expect("stored").expect("not empty");
    leader.purge(upto).await.expect("purged");
    cluster.network.heal();
    put(leader, "after").await;
    let mut expected: Vec<&str> = texts.iter().map(String::as_str).collect();
    expected.push("after");
    cluster.all_applied(&expected).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_crashed_comes_back_with_its_log() {
    let mut cluster = Cluster::start().await;
    put(&cluster.members[0].1, "a").await;
    cluster.all_applied(&["a"]).await;
    cluster.network.detach(NodeId(2));
    cluster.worlds[1].crash();
    put(&cluster.members[0].1, "b").await;
    let node = cluster.worlds[1].open().await.expect("the node opens");
    cluster.network.attach(&node);
    let recorder = Recorder::default();
    let shard = node.join_shard(SHARD, Box::new(recorder.clone())).await;
    cluster.members[1] = (node, shard.expect("the shard starts"), recorder);
    cluster.all_applied(&["a", "b"]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_can_be_handed_over() {
    let cluster = Cluster::start().await;
    put(&cluster.members[0].1, "a").await;
    cluster.all_applied(&["a"]).await;
    let leader = &cluster.members[0].1;
    leader.transfer_leader(NodeId(2)).await.expect("asked");
    assert_eq!(cluster.leader_among(&[1]).await, 1);
    put(&cluster.members[1].1, "b").await;
    cluster.all_applied(&["a", "b"]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_serves_no_reads() {
    let cluster = Cluster::start().await;
    let leader = &cluster.members[0].1;
    let index = put(leader, "a").await;
    assert!(leader.read_index().await.expect("it leads") >= index);
    cluster.network.isolate(NodeId(1));
    let refused = leader.read_index().await.err();
    assert!(
        matches!(
            refused,
            Some(ReadError::NoMajority | ReadError::NotLeader { .. })
        ),
        "{refused:?}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_ask_the_others_from_the_moment_at_which_others_may_vote() {
    let cluster = Cluster::start().await;
    let leader = &cluster.members[0].1;
    let alone = BTreeSet::from([NodeId(1)]);
    leader.change_voters(alone).await.expect("changed");
    let index = put(leader, "a").await;
    leader.add_learner(NodeId(2)).await.expect("added");
    cluster.network.isolate(NodeId(1));
    assert!(leader.read_index().await.expect("it votes alone") >= index);
    let changing = leader.clone();
    let change = tokio::spawn(async move {
        let both = BTreeSet::from([NodeId(1), NodeId(2)]);
        changing.change_voters(both).await
    });
    eventually("the change is in the leader's log", || {
        leader.members().voters.contains(&NodeId(2))
    })
    .await;
    assert!(leader.is_changing_voters());
    let refused = leader.read_index().await.err();
    assert_eq!(refused, Some(ReadError::NoMajority));
    cluster.network.heal();
    change.await.expect("it ends").expect("changed");
    assert!(leader.read_index().await.expect("both answer") >= index);
    cluster.stop().await;
}
