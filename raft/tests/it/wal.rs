//! Damage: what is cut, what is refused, what is reported.

use std::time::Duration;

use weir_raft::disk::{Disk, Fault, MemDisk};
use weir_raft::{Damage, OpenError};

use crate::fixture::{Recorder, SHARD, World, enqueue, put};

/// The offset of `text` in a file.
fn find(disk: &MemDisk, path: &std::path::Path, text: &str) -> usize {
    let bytes = disk.bytes(path);
    let mut windows = bytes.windows(text.len());
    let at = windows.position(|window| window == text.as_bytes());
    at.expect("the text is in the file")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_below_the_watermark_is_refused() {
    let world = World::new();
    let (node, shard, _) = world.start().await;
    put(&shard, "precious").await;
    put(&shard, "later").await;
    node.shutdown().await;
    let path = world.wal_file(1);
    let offset = find(&world.disk, &path, "precious");
    world.disk.flip(&path, offset);
    let error = world.open().await.err().expect("it is refused");
    match &error {
        OpenError::Damaged {
            path: named,
            offset: at,
            ..
        } => {
            assert_eq!(named, &path);
            assert_eq!(*at as usize, offset - 64);
        }
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains("Restore the whole directory"));
    world.disk.flip(&path, offset);
    let (node, _, recorder) = world.start().await;
    assert_eq!(recorder.payloads(), ["precious", "later"]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flipped_byte_of_a_durable_log_is_noticed() {
    let world = World::new();
    let (node, shard, _) = world.start().await;
    for n in 0..5 {
        put(&shard, &format!("entry {n}")).await;
    }
    node.shutdown().await;
    let path = world.wal_file(1);
    let end = node.wal_usage().durable.offset as usize;
    // The last record is the mark of the clean stop; everything before it was durable.
    for offset in (0..end - 64).step_by(7) {
        world.disk.flip(&path, offset);
        let refused = world.open().await.is_err();
        assert!(refused, "byte {offset}");
        world.disk.flip(&path, offset);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_a_long_body_is_noticed_where_it_is_read() {
    let mut world = World::new();
    world.config.wal.file_bytes = 1 << 20;
    let (node, shard, _) = world.start().await;
    let payload = |letter: char| letter.to_string().repeat(400_000);
    for letter in 'a'..='f' {
        put(&shard, &payload(letter)).await;
    }
    node.shutdown().await;
    let (sealed, newest) = (world.wal_file(1), world.wal_file(3));
    let body = find(&world.disk, &sealed, "bbbb");
    let header = body - 60;
    for (path, at) in [
        (&newest, find(&world.disk, &newest, "ffff")),
        (&sealed, header),
    ] {
        world.disk.flip(path, at);
        let refused = world.open().await.err();
        assert!(matches!(refused, Some(OpenError::Damaged { .. })));
        world.disk.flip(path, at);
    }

    // Of a file that another one follows, a start reads headers and no long bodies.
    world.disk.flip(&sealed, body);
    let node = world.open().await.expect("it opens");
    let recorder = Recorder::default();
    let started = node.start_shard(SHARD, Box::new(recorder.clone())).await;
    let error = started.err().expect("it does not start").to_string();
    assert!(error.contains("is damaged at offset"), "{error}");
    assert!(recorder.payloads().len() <= 1);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_and_reported() {
    let mut world = World::new();
    world.config.wal.idle = Duration::from_secs(3600);
    let (_node, shard, _) = world.start().await;
    put(&shard, "kept").await;
    put(&shard, "torn").await;
    // As if the last group had been written in part.
    world.crash();
    let path = world.wal_file(1);
    let offset = find(&world.disk, &path, "torn");
    world.disk.flip(&path, offset);
    let (node, shard, recorder) = world.start().await;
    assert_eq!(recorder.payloads(), ["kept"]);
    let damage = world.watcher.damage.lock().clone();
    match &damage[..] {
        [
            Damage::TornTail {
                path: named,
                at,
                bytes,
                shards,
            },
        ] => {
            assert_eq!(named, &path);
            assert_eq!(at.offset as usize, offset - 64);
            assert!(*bytes >= 68);
            assert_eq!(shards, &[SHARD]);
        }
        other => panic!("{other:?}"),
    }
    // What comes after the cut is read back, and the cut bytes stay gone.
    put(&shard, "new").await;
    node.shutdown().await;
    let (node, _, recorder) = world.start().await;
    assert_eq!(recorder.payloads(), ["kept", "new"]);
    assert_eq!(world.watcher.damage.lock().len(), 1);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_wal_protects_its_last_group_within_10_ms() {
    let mut world = World::new();
    let (_node, shard, _) = world.start().await;
    put(&shard, "last").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.crash();
    let path = world.wal_file(1);
    world.disk.flip(&path, find(&world.disk, &path, "last"));
    assert!(matches!(
        world.open().await.err(),
        Some(OpenError::Damaged { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_refused() {
    let world = World::new();
    let (node, shard, _) = world.start().await;
    for _ in 0..60 {
        put(&shard, &"x".repeat(4000)).await;
    }
    node.shutdown().await;
    let files = world.wal_files();
    assert!(files.len() >= 3);
    for path in &files[..files.len() - 1] {
        let world_disk = world.disk.crash(|| true);
        world_disk.remove(path).expect("removed");
        let mut damaged = World::new();
        damaged.disk = world_disk;
        let error = damaged.open().await.err();
        assert!(
            matches!(error, Some(OpenError::Damaged { .. })),
            "{}",
            path.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_file_is_an_error_and_not_a_cut() {
    let world = World::new();
    let (node, shard, _) = world.start().await;
    put(&shard, "a").await;
    node.shutdown().await;
    world.disk.inject(Fault::Read);
    assert!(matches!(
        world.open().await.err(),
        Some(OpenError::Io { .. })
    ));
    world.disk.heal();
    let (node, _, recorder) = world.start().await;
    assert_eq!(recorder.payloads(), ["a"]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_in_flight_at_a_crash_never_damage_the_log() {
    for seed in 0..20u64 {
        let mut state = seed;
        let mut world = World::new();
        let (_node, shard, _) = world.start().await;
        for n in 0..10 {
            drop(enqueue(&shard, &format!("{n} {}", "x".repeat(2000))).await);
        }
        world.disk = world.disk.crash(move || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(seed | 1);
            state >> 62 != 0
        });
        let (node, shard, recorder) = world.start().await;
        let recovered = recorder.payloads();
        let expected: Vec<String> = (0..recovered.len())
            .map(|n| format!("{n} {}", "x".repeat(2000)))
            .collect();
        assert_eq!(recovered, expected, "seed {seed}");
        put(&shard, "next").await;
        node.shutdown().await;
    }
}
