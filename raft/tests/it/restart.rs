//! What survives stops and crashes.

use std::time::Duration;

use weir_raft::disk::Fault;
use weir_raft::{NodeId, OpenError, ShardId};

use crate::fixture::{SHARD, World, enqueue, open_term, put};

#[tokio::test(flavor = "multi_thread")]
async fn entries_and_votes_survive_a_clean_stop() {
    let world = World::new();
    let (node, shard, _) = world.start().await;
    let first_term = open_term(&shard).await;
    for text in ["a", "b", "c"] {
        put(&shard, text).await;
    }
    node.shutdown().await;
    let (node, shard, recorder) = world.start().await;
    assert_eq!(recorder.payloads(), ["a", "b", "c"]);
    assert!(
        open_term(&shard).await > first_term,
        "a restarted leader is elected anew"
    );
    assert_eq!(node.stored_shards(), [SHARD]);
    assert!(world.watcher.damage.lock().is_empty());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_power_loss() {
    let mut world = World::new();
    let mut expected = Vec::new();
    for round in 0..6 {
        let (_node, shard, recorder) = world.start().await;
        assert_eq!(recorder.payloads(), expected);
        for n in 0..40 {
            let text = format!("{round}.{n}.{}", "x".repeat(n * 40));
            put(&shard, &text).await;
            expected.push(text);
        }
        world.crash();
    }
    assert!(world.wal_files().len() > 1, "the test covers several files");
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_entries_survive_power_loss_that_tears_writes() {
    let mut seed = 1u64;
    let mut random = move || {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        seed >> 63 == 1
    };
    let mut world = World::new();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..12 {
        let (_node, shard, recorder) = world.start().await;
        let recovered = recorder.payloads();
        assert!(acknowledged.iter().all(|text| recovered.contains(text)));
        let mut flying = Vec::new();
        for n in 0..60 {
            let text = format!("{round}.{n}.{}", "y".repeat(n * 17));
            flying.push((text.clone(), enqueue(&shard, &text).await));
        }
        for (text, proposal) in flying.drain(..30) {
            proposal.await.expect("applied");
            acknowledged.push(text);
        }
        world.disk = world.disk.crash(&mut random);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_from_the_snapshot_and_the_entries_after_it() {
    let world = World::new();
    let (node, shard, _) = world.start().await;
    for n in 0..20 {
        put(&shard, &format!("{n}")).await;
    }
    let upto = shard.snapshot().await.expect("stored").expect("not empty");
    shard.purge(upto).await.expect("purged");
    put(&shard, "after").await;
    node.shutdown().await;
    let (node, shard, recorder) = world.start().await;
    let mut expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    expected.push("after".into());
    assert_eq!(recorder.payloads(), expected);
    put(&shard, "more").await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retired_files_are_used_again_and_their_old_content_never_shows_up() {
    let mut world = World::new();
    let mut expected = Vec::new();
    for round in 0..8 {
        let (node, shard, recorder) = world.start().await;
        assert_eq!(recorder.payloads(), expected);
        // A second shard that is idle, so that its vote has to be carried along.
        let idle = node.start_shard(ShardId(2), Box::new(crate::fixture::Recorder::default()));
        let idle = idle.await.expect("starts");
        open_term(&idle).await;
        for n in 0..60 {
            let text = format!("{round}.{n}.{}", "z".repeat(3000));
            put(&shard, &text).await;
            expected.push(text);
        }
        for shard in [&shard, &idle] {
            let upto = shard.snapshot().await.expect("stored").expect("not empty");
            shard.purge(upto).await.expect("purged");
        }
        let before = node.wal_usage().files;
        for _ in 0..100 {
            node.retire_wal(u64::MAX).await.expect("retired");
            if node.wal_usage().files < before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(node.wal_usage().files <= 2, "{:?}", node.wal_usage());
        if round % 2 == 0 {
            world.crash();
        } else {
            node.shutdown().await;
        }
    }
    assert!(world.watcher.damage.lock().is_empty());
}

/// A start would take the gap behind it for a loss.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_could_not_be_retired_is_retired_before_later_ones() {
    let world = World::new();
    let (node, shard, _) = world.start().await;
    let mut expected = Vec::new();
    while node.wal_usage().files < 5 {
        let text = format!("{}.{}", expected.len(), "z".repeat(3000));
        put(&shard, &text).await;
        expected.push(text);
    }
    let upto = shard.snapshot().await.expect("stored").expect("not empty");
    shard.purge(upto).await.expect("purged");
    let oldest = node.wal_files().0;
    world.disk.inject(Fault::Names);
    // Until it is known which files are of no use any more, there is nothing to do.
    let mut refused = false;
    for _ in 0..500 {
        refused = node.retire_wal(u64::MAX).await.is_err();
        if refused {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refused, "{:?}", node.wal_usage());
    assert_eq!(node.wal_files().0, oldest);
    world.disk.heal();
    node.retire_wal(u64::MAX).await.expect("retired");
    assert!(!world.wal_files().contains(&world.wal_file(oldest)));
    node.shutdown().await;
    let (node, _, recorder) = world.start().await;
    assert_eq!(recorder.payloads(), expected);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_sealed_early_can_be_retired_and_takes_its_index_along() {
    let mut world = World::new();
    let (node, shard, _) = world.start().await;
    assert!(!node.seal_wal().expect("runs"), "nothing is prepared yet");
    let mut expected = Vec::new();
    let mut sealed = false;
    while !sealed {
        let text = format!("{}.{}", expected.len(), "z".repeat(500));
        put(&shard, &text).await;
        expected.push(text);
        sealed = node.seal_wal().expect("runs");
    }
    let (oldest, before) = (node.wal_files().0, shard.index_bytes());
    assert!(before >= 8 * expected.len(), "{before}");
    // Nothing more has to be written for the next file to begin.
    for _ in 0..100 {
        let upto = shard.snapshot().await.expect("stored").expect("not empty");
        shard.purge(upto).await.expect("purged");
        node.retire_wal(u64::MAX).await.expect("retired");
        if node.wal_files().0 > oldest {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(node.wal_files().0 > oldest);
    assert!(shard.index_bytes() < before);
    put(&shard, "in the next file").await;
    expected.push("in the next file".into());
    world.crash();
    let (node, _, recorder) = world.start().await;
    assert_eq!(recorder.payloads(), expected);
    assert!(world.watcher.damage.lock().is_empty());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_belongs_to_one_node_id() {
    let mut world = World::new();
    let (node, _, _) = world.start().await;
    node.shutdown().await;
    world.config.node_id = NodeId(2);
    let error = world.open().await.err();
    assert!(matches!(
        error,
        Some(OpenError::OtherNode {
            owner: NodeId(1),
            ..
        })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_stored_anew_and_forgets_no_entry_by_itself() {
    let world = World::new();
    let (node, shard, recorder) = world.start().await;
    put(&shard, "first").await;
    let first = shard.snapshot().await.expect("stored").expect("not empty");
    // The same entries, and the state machine holds them elsewhere.
    recorder.applied.lock()[0].1 = b"moved".to_vec();
    let again = shard.snapshot().await.expect("stored").expect("not empty");
    assert_eq!(first, again);
    assert_eq!(shard.oldest_file(), Some(1));
    shard.purge(again).await.expect("purged");
    assert_eq!(shard.oldest_file(), None);
    node.shutdown().await;
    let (node, _, recorder) = world.start().await;
    assert_eq!(recorder.payloads(), ["moved"]);
    node.shutdown().await;
}
