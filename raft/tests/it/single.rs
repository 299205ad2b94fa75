//! One node, one voter.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use weir_raft::disk::Fault;
use weir_raft::{ChangeError, Node, NodeId, Outcome, Payload, ProposeError, ShardId};

use crate::fixture::{Recorder, SHARD, World, enqueue, eventually, open_term, payload, put};

/// Bytes submitted and not durable yet, all in one file.
fn queued(node: &Node) -> u32 {
    let usage = node.wal_usage();
    assert_eq!(usage.submitted.file, usage.durable.file);
    usage.submitted.offset - usage.durable.offset
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_shard_leads_and_applies_what_is_proposed() {
    let world = World::new();
    let (node, shard, recorder) = world.start().await;
    put(&shard, "a").await;
    let (_, outcome) = enqueue(&shard, "!b").await.await.expect("applied");
    assert_eq!(outcome, Outcome::Rejected("it starts with !".into()));
    assert_eq!(recorder.payloads(), ["a", "!b"]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_of_many_pieces_lies_in_the_wal_without_a_gap() {
    let world = World::new();
    let (node, shard, recorder) = world.start().await;
    let big = vec![7; 3000];
    let pieces = vec![
        Bytes::from_static(b"head"),
        big.clone().into(),
        Bytes::from_static(b"tail"),
    ];
    let term = open_term(&shard).await;
    let proposal = shard
        .propose(term, Payload::new(pieces))
        .await
        .expect("proposed");
    proposal.await.expect("applied");
    let expected = [&b"head"[..], &big, b"tail"].concat();
    let (_, applied, pos) = recorder.applied.lock()[0].clone();
    assert_eq!(applied, expected);
    let read = tokio::task::spawn_blocking({
        let node = node.clone();
        move || node.read(pos, 3008)
    });
    assert_eq!(read.await.expect("read").expect("read"), expected);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_in_flight_are_applied_in_order() {
    let mut world = World::new();
    // No watermarks, which would be counted as groups too.
    world.config.wal.idle = Duration::from_secs(3600);
    let (node, shard, recorder) = world.start().await;
    let mut proposals = Vec::new();
    world.disk.hold_syncs();
    let before = world.watcher.groups.load(Ordering::Relaxed);
    for n in 0..500 {
        proposals.push(enqueue(&shard, &n.to_string()).await);
    }
    eventually("all are queued", || queued(&node) >= 500 * 72).await;
    world.disk.release_syncs();
    let mut last = 0;
    for proposal in proposals {
        let (index, _) = proposal.await.expect("applied");
        assert!(index > last);
        last = index;
    }
    let expected: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    assert_eq!(recorder.payloads(), expected);
    let groups = world.watcher.groups.load(Ordering::Relaxed) - before;
    assert!(groups <= 3, "500 entries took {groups} groups");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_hears_that_an_entry_is_written_before_it_is_durable() {
    let world = World::new();
    let (node, shard, recorder) = world.start().await;
    let term = open_term(&shard).await;
    world.disk.hold_syncs();
    let (sender, mut written) = tokio::sync::mpsc::unbounded_channel();
    let told = payload("told").on_written(Arc::new(move || sender.send(()).expect("heard")));
    let proposal = shard.propose(term, told).await.expect("proposed");
    written.recv().await.expect("the sync is not waited for");
    assert!(recorder.payloads().is_empty(), "nor is it committed");
    world.disk.release_syncs();
    proposal.await.expect("applied");
    assert!(written.recv().await.is_none(), "told once, and forgotten");
    assert_eq!(recorder.payloads(), ["told"]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_for_another_term_is_definitely_refused() {
    let world = World::new();
    let (node, shard, recorder) = world.start().await;
    let term = open_term(&shard).await;
    let refused = shard.propose(term - 1, payload("late")).await;
    assert!(matches!(
        refused.err(),
        Some(ProposeError::NotLeader { .. })
    ));
    put(&shard, "after").await;
    assert_eq!(recorder.payloads(), ["after"]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_index_covers_what_was_acknowledged() {
    let world = World::new();
    let (node, shard, recorder) = world.start().await;
    let index = put(&shard, "a").await;
    assert!(shard.read_index().await.expect("this node leads") >= index);
    assert_eq!(recorder.payloads(), ["a"]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_shards_share_one_sync() {
    let mut world = World::new();
    // No watermarks, which would be counted as groups too.
    world.config.wal.idle = Duration::from_secs(3600);
    let node = world.open().await.expect("the node opens");
    let mut shards = Vec::new();
    for id in 0..20 {
        let shard = node
            .start_shard(ShardId(id), Box::new(Recorder::default()))
            .await;
        let shard = shard.expect("the shard starts");
        open_term(&shard).await;
        shards.push(shard);
    }
    world.disk.hold_syncs();
    let before = world.watcher.groups.load(Ordering::Relaxed);
    let puts = shards
        .iter()
        .map(|shard| put(shard, "a payload that is not short"));
    let puts = futures::future::join_all(puts);
    let release = async {
        eventually("all are queued", || queued(&node) >= 20 * 96).await;
        world.disk.release_syncs();
    };
    futures::future::join(puts, release).await;
    let groups = world.watcher.groups.load(Ordering::Relaxed) - before;
    assert!(groups <= 3, "20 entries of 20 shards took {groups} syncs");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_is_fatal_and_nothing_is_acknowledged_after_it() {
    let world = World::new();
    let (_node, shard, recorder) = world.start().await;
    put(&shard, "before").await;
    world.disk.inject(Fault::Sync);
    let lost = enqueue(&shard, "lost").await.await;
    assert_eq!(lost.err(), Some(ProposeError::Unknown));
    assert!(world.fatal.lock()[0].contains("injected Sync error"));
    world.disk.heal();
    let term = shard.leadership().borrow().term;
    match shard.propose(term, payload("more")).await {
        Ok(proposal) => assert!(proposal.await.is_err()),
        Err(error) => assert!(matches!(
            error,
            ProposeError::Fatal(_) | ProposeError::NotLeader { .. }
        )),
    }
    assert_eq!(recorder.payloads(), ["before"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for() {
    let world = World::new();
    let (node, shard, recorder) = world.start().await;
    world.disk.inject(Fault::Full);
    let waiting = enqueue(&shard, "waits").await;
    let mut waiting = std::pin::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(200), waiting.as_mut()).await;
    assert!(
        early.is_err(),
        "nothing is acknowledged while the disk is full"
    );
    world.disk.heal();
    waiting.await.expect("applied");
    world.disk.inject(Fault::Full);
    let long = "x".repeat(80 << 10);
    let new_file = enqueue(&shard, &long).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.disk.heal();
    new_file.await.expect("applied");
    assert_eq!(recorder.payloads(), ["waits", &long]);
    assert!(world.fatal.lock().is_empty());
    assert_eq!(world.watcher.damage.lock().len(), 2);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_waits_for_a_full_disk_and_its_replica_goes_on() {
    let mut world = World::new();
    // Nothing but the snapshot is written while the disk is full.
    world.config.wal.idle = Duration::from_secs(3600);
    let (node, shard, recorder) = world.start().await;
    let last = put(&shard, "before").await;
    world.disk.inject(Fault::Full);
    let mut waiting = std::pin::pin!(shard.snapshot());
    let early = tokio::time::timeout(Duration::from_secs(1), waiting.as_mut()).await;
    assert!(early.is_err(), "nothing is stored while the disk is full");
    world.disk.heal();
    assert_eq!(waiting.await, Ok(Some(last)));
    put(&shard, "after").await;
    assert_eq!(recorder.payloads(), ["before", "after"]);
    assert!(world.fatal.lock().is_empty());
    world.disk.inject(Fault::Full);
    let again = shard.clone();
    let never = tokio::spawn(async move { again.snapshot().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    node.shutdown().await;
    assert!(never.await.expect("no panic").is_err());
    assert!(world.fatal.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_cannot_be_stored_ends_the_process() {
    let mut world = World::new();
    // Nothing but the snapshot is written while the disk fails.
    world.config.wal.idle = Duration::from_secs(3600);
    let (_node, shard, _) = world.start().await;
    put(&shard, "before").await;
    world.disk.inject(Fault::Write);
    assert!(shard.snapshot().await.is_err());
    let fatal = world.fatal.lock().join("\n");
    assert!(fatal.starts_with("storing a snapshot"), "{fatal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_full_disk_can_be_stopped() {
    let world = World::new();
    let (node, shard, _) = world.start().await;
    world.disk.inject(Fault::Full);
    let waiting = enqueue(&shard, "never acknowledged").await;
    eventually("the disk is found full", || {
        !world.watcher.damage.lock().is_empty()
    })
    .await;
    node.shutdown().await;
    assert_eq!(waiting.await.err(), Some(ProposeError::Unknown));
    assert!(world.fatal.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_has_nobody_to_hand_over_to_goes_on() {
    let world = World::new();
    let (node, shard, recorder) = world.start().await;
    let to_itself = shard.transfer_leader(NodeId(1)).await;
    assert_eq!(to_itself, Ok(()));
    let to_a_stranger = shard.transfer_leader(NodeId(2)).await;
    assert!(matches!(to_a_stranger, Err(ChangeError::Refused(_))));
    put(&shard, "after").await;
    assert_eq!(recorder.payloads(), ["after"]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_longer_than_a_file_gets_a_file_of_its_own() {
    let world = World::new();
    let (node, shard, recorder) = world.start().await;
    let long = "x".repeat(300 << 10);
    put(&shard, &long).await;
    put(&shard, "short").await;
    assert_eq!(recorder.payloads(), [long.as_str(), "short"]);
    node.shutdown().await;
    let (node, shard, recorder) = world.start().await;
    put(&shard, "again").await;
    assert_eq!(recorder.payloads(), [long.as_str(), "short", "again"]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_wal_rests() {
    let world = World::new();
    let (node, shard, _) = world.start().await;
    put(&shard, "a").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = world.watcher.groups.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.watcher.groups.load(Ordering::Relaxed), before);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_state_machine_stops_its_shard_only() {
    struct Panics;
    impl weir_raft::StateMachine for Panics {
        fn apply(&mut self, _: &weir_raft::Committed) -> Outcome {
            panic!("on purpose");
        }
        fn snapshot(&self) -> Vec<u8> {
            Vec::new()
        }
        fn restore(&mut self, _: &[u8]) -> Result<(), String> {
            Ok(())
        }
    }
    let world = World::new();
    let (node, shard, recorder) = world.start().await;
    let other = node
        .start_shard(ShardId(2), Box::new(Panics))
        .await
        .expect("starts");
    let outcome = enqueue(&other, "bang").await.await;
    assert_eq!(outcome.err(), Some(ProposeError::Unknown));
    put(&shard, "fine").await;
    assert_eq!(recorder.payloads(), ["fine"]);
    assert!(node.shard(SHARD).is_some());
    node.shutdown().await;
    assert!(world.fatal.lock().is_empty());
}
