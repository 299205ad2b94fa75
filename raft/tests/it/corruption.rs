//! Every byte of a node's files flipped once, every length that they can be cut to, each file gone, exchanged for another
//! one or for an older copy of itself: the node refuses to start and names the file, or it has exactly what was
//! acknowledged. Invariants: D3, D4, D6.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;
use weir_raft::disk::{Disk, MemDisk};

use crate::fixture::{DIR, Recorder, SHARD, World, open_term, put};

const FILE_BYTES: u32 = 4096;
/// Starts at a time: each mostly waits.
const AT_A_TIME: usize = 64;
/// Bytes that are flipped at once where nothing was ever written.
const TOGETHER: usize = 64;

/// A stopped node: a snapshot, files that were used before, and what came after.
struct Fixture {
    disk: MemDisk,
    /// The disk as it was at earlier stops.
    older: Vec<MemDisk>,
    acknowledged: Vec<String>,
    /// Bytes that something rests on: records that are not purged, headers and the snapshot.
    precious: usize,
}

enum Outcome {
    Refused(String),
    Served(Vec<String>),
}

impl Fixture {
    async fn new() -> Fixture {
        let mut world = world(MemDisk::allocating());
        let mut older = Vec::new();
        let mut precious = 0;
        let mut acknowledged = Vec::new();
        // The last stops lie so close together that the same file is the newest one.
        for count in [100, 120, 3, 0, 2] {
            let (node, shard, recorder) = world.start().await;
            if count == 120 {
                let upto = shard.snapshot().await.expect("stored").expect("not empty");
                shard.purge(upto).await.expect("purged");
                node.retire_wal(u64::MAX).await.expect("retired");
            }
            for n in 0..count {
                let text = format!("{n} of {count}");
                put(&shard, &text).await;
                precious += if count == 100 { 0 } else { 64 + text.len() };
            }
            acknowledged = recorder.payloads();
            node.shutdown().await;
            drop((node, shard));
            // What still prepares files, if anything, does so on the disk that is left behind.
            older.push(world.disk.crash(|| true));
            world.disk = world.disk.crash(|| true);
        }
        older.pop();
        let snapshots = files(&world.disk, "snapshots");
        precious += world.wal_files().len() * 64;
        precious += snapshots
            .iter()
            .map(|path| world.disk.bytes(path).len())
            .sum::<usize>();
        Fixture {
            disk: world.disk,
            older,
            acknowledged,
            precious,
        }
    }

    /// All files but those that wait to be used again: a start removes those.
    fn files(&self) -> Vec<PathBuf> {
        let mut all = files(&self.disk, "wal");
        all.extend(files(&self.disk, "snapshots"));
        all.retain(|path| !is_called(path, "tmp"));
        all
    }

    /// Whether a damaged copy is refused. Fails the test unless that is said as it should be, or all that was
    /// acknowledged is there.
    async fn refuses(&self, damaged: MemDisk, path: &Path, what: &str) -> bool {
        match start(damaged).await {
            Outcome::Refused(message) => {
                let name = path.file_name().and_then(|name| name.to_str());
                // A snapshot that is gone has left no name behind.
                let gone = what == "loss" && message.contains("/snapshots/1-*.snap");
                let named = gone || message.contains(name.expect("a name"));
                assert!(named, "{what} of {}: {message}", path.display());
                let advice = message.to_lowercase().contains("restore the");
                assert!(advice, "{what} of {}: {message}", path.display());
                true
            }
            Outcome::Served(payloads) => {
                let all = payloads == self.acknowledged;
                assert!(all, "{what} of {}: {payloads:?}", path.display());
                false
            }
        }
    }
}

fn world(disk: MemDisk) -> World {
    let mut world = World::new();
    world.disk = disk;
    world.config.wal.file_bytes = FILE_BYTES;
    world
}

fn is_called(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Puts these bytes in the place of a file's.
fn replace(disk: &MemDisk, path: &Path, bytes: &[u8]) {
    let file = disk.create(path).expect("created");
    file.pwrite(bytes, 0).expect("written");
    file.sync().expect("synced");
    disk.sync_dir(path.parent().expect("a directory"))
        .expect("synced");
}

fn files(disk: &MemDisk, folder: &str) -> Vec<PathBuf> {
    let mut files = disk.list(&Path::new(DIR).join(folder)).expect("listed");
    files.sort();
    files
}

async fn start(disk: MemDisk) -> Outcome {
    let node = match world(disk).open().await {
        Ok(node) => node,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let recorder = Recorder::default();
    let started = node.start_shard(SHARD, Box::new(recorder.clone())).await;
    let outcome = match started {
        Ok(shard) => {
            open_term(&shard).await;
            Outcome::Served(recorder.payloads())
        }
        Err(error) => Outcome::Refused(error.to_string()),
    };
    node.shutdown().await;
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flipped_byte_is_refused_by_name_or_changes_nothing() {
    let fixture = Arc::new(Fixture::new().await);
    let mut refused = 0;
    let mut tries = JoinSet::new();
    for path in fixture.files() {
        let bytes = fixture.disk.bytes(&path);
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        // One by one, except behind everything that was ever written.
        let singly = (0..used).map(|at| at..at + 1);
        let together = (used..bytes.len()).step_by(TOGETHER);
        let together = together.map(|at| at..bytes.len().min(at + TOGETHER));
        for flipped in singly.chain(together) {
            if tries.len() == AT_A_TIME {
                refused += usize::from(tries.join_next().await.expect("one").expect("no panic"));
            }
            let (fixture, path) = (fixture.clone(), path.clone());
            tries.spawn(async move {
                let damaged = fixture.disk.crash(|| true);
                flipped.clone().for_each(|at| damaged.flip(&path, at));
                fixture
                    .refuses(damaged, &path, &format!("bytes {flipped:?}"))
                    .await
            });
        }
    }
    for one in tries.join_all().await {
        refused += usize::from(one);
    }
    let precious = fixture.precious;
    assert!(refused >= precious, "{refused} of {precious} were noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_length_that_a_file_is_cut_to_is_refused_by_name() {
    let fixture = Fixture::new().await;
    for path in fixture.files() {
        for len in 0..fixture.disk.bytes(&path).len() {
            let damaged = fixture.disk.crash(|| true);
            damaged.truncate(&path, len);
            let what = format!("length {len}");
            let refused = fixture.refuses(damaged, &path, &what).await;
            // Before the first clean stop a mark is empty.
            assert!(refused || len == 0 && is_called(&path, "newest"), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_is_missed() {
    let fixture = Fixture::new().await;
    for path in fixture.files() {
        let damaged = fixture.disk.crash(|| true);
        damaged.remove(&path).expect("removed");
        let refused = fixture.refuses(damaged, &path, "loss").await;
        let is_mark = is_called(&path, "newest");
        assert!(refused || is_mark, "{} is gone", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_place_of_another_one_is_refused_by_name() {
    let fixture = Fixture::new().await;
    let mut exchanged = 0;
    for (path, other) in pairs(&fixture.files()) {
        let (bytes, others) = (fixture.disk.bytes(&path), fixture.disk.bytes(&other));
        let damaged = fixture.disk.crash(|| true);
        replace(&damaged, &path, &others);
        assert!(fixture.refuses(damaged, &path, "exchange").await);
        let damaged = fixture.disk.crash(|| true);
        replace(&damaged, &path, &others);
        replace(&damaged, &other, &bytes);
        assert!(matches!(start(damaged).await, Outcome::Refused(_)));
        exchanged += 1;
    }
    assert!(exchanged > 2, "{exchanged}");
}

/// All pairs of files of the same kind.
fn pairs(files: &[PathBuf]) -> Vec<(PathBuf, PathBuf)> {
    let mut pairs = Vec::new();
    for path in files {
        for other in files {
            if path != other && path.extension() == other.extension() {
                pairs.push((path.clone(), other.clone()));
            }
        }
    }
    pairs
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_file_is_refused_by_name_or_changes_nothing() {
    let fixture = Fixture::new().await;
    let mut refused = 0;
    for (older, path) in fixture
        .older
        .iter()
        .flat_map(|older| fixture.files().into_iter().map(move |path| (older, path)))
    {
        let listed = older.list(path.parent().expect("a directory"));
        if !listed.expect("listed").contains(&path) {
            continue;
        }
        let bytes = older.bytes(&path);
        if bytes == fixture.disk.bytes(&path) {
            continue;
        }
        let damaged = fixture.disk.crash(|| true);
        replace(&damaged, &path, &bytes);
        let newest = is_called(&path, "wal");
        let noticed = fixture.refuses(damaged, &path, "an older copy").await;
        assert!(noticed || !newest, "an older {}", path.display());
        refused += usize::from(noticed);
    }
    assert!(refused > 2, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_files_are_all_gone_is_not_a_new_one() {
    let fixture = Fixture::new().await;
    let damaged = fixture.disk.crash(|| true);
    let mut files = fixture.files();
    files.retain(|path| !is_called(path, "newest"));
    for path in files {
        damaged.remove(&path).expect("removed");
    }
    match start(damaged).await {
        Outcome::Refused(message) => assert!(message.contains("the file is missing"), "{message}"),
        Outcome::Served(_) => panic!("it started anew"),
    }
}
