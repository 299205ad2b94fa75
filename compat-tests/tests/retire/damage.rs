//! One file of a stopped broker is damaged, gone, or exchanged for another one or for an older copy of itself: the broker
//! refuses to start and names the file, or it serves exactly what was acknowledged. What it cannot serve it says, with
//! the file's name. Rows come back from the log in any case.
//!
//! Every byte and every length of each format is tried where it is read: `raft/tests/it/corruption.rs`,
//! `log/src/segment/tests.rs`, `broker/src/identity.rs`, `tables/src/store/tests/damage.rs`. Here are the files of a whole
//! broker, each kind in each way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use compat_tests::http;
use compat_tests::luck::Luck;
use compat_tests::weir::Weir;
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::{Place, Stored, VALUE_BYTES, read, start, wait_until_retired, write};

const TOPIC: &str = "kept";
const TABLE: &str = "rows";
const PARTITIONS: i32 = 3;
const RECORDS: u64 = (12 << 20) / VALUE_BYTES as u64;
const ROWS: u64 = 50;
/// The kinds of files that are damaged, see [`kinds`].
const KINDS: [&str; 10] = [
    "wal", "newest", "snap", "seg", "node", "begun", "sst", "MANIFEST", "CURRENT", "OPTIONS",
];
/// Files that are always empty, or that nobody reads: locks, spares, RocksDB's notes and its empty log.
const OTHERS: [&str; 6] = ["lock", "tmp", "LOCK", "LOG", "IDENTITY", "log"];
/// Records that do not come in this time do not come.
const SILENCE: Duration = Duration::from_secs(3);

/// How often each kind of file is damaged in each way: few in a normal run, `WEIR_DAMAGE_ROUNDS` for a long one.
fn rounds() -> u64 {
    let told = std::env::var("WEIR_DAMAGE_ROUNDS").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[derive(Debug, Clone, Copy)]
enum Harm {
    Flip,
    Cut,
    Remove,
    /// Another file of its kind lies in its place.
    Exchange,
    /// A copy from an earlier stop.
    Older,
}

const HARMS: [Harm; 5] = [
    Harm::Flip,
    Harm::Cut,
    Harm::Remove,
    Harm::Exchange,
    Harm::Older,
];

/// What the broker had when it was stopped.
struct Scene {
    weir: Weir,
    place: Place,
    /// A copy of the directory.
    original: PathBuf,
    /// One from a stop before the last records and rows.
    older: PathBuf,
    records: Stored,
    rows: BTreeMap<String, String>,
}

impl Scene {
    async fn new(dir: &Path) -> Scene {
        let mut weir = start(dir);
        let place = Place::of(&weir);
        place.create(TOPIC, PARTITIONS, &[]).await;
        let table = [
            ("table.mode", "primary-key"),
            ("table.key.format", "string"),
            ("table.value.format", "string"),
        ];
        place.create(TABLE, 1, &table).await;
        put_rows(&weir, 0);
        write(&place, TOPIC, PARTITIONS, |number| number < RECORDS).await;
        wait_until_retired(&weir).await;
        weir.stop().expect("stopped");
        let older = dir.join("older");
        copy(&weir.data_dir(), &older);
        // Little, so that the same file of the write-ahead log is the newest one.
        weir.launch().expect("weir starts again");
        put_rows(&weir, ROWS);
        write(&place, TOPIC, PARTITIONS, |number| number < 10).await;
        let reader = place.clone();
        let records = tokio::task::spawn_blocking(move || read(&reader, TOPIC, PARTITIONS));
        let records = records.await.expect("the reader ends");
        let rows = rows(&weir).expect("rows");
        assert_eq!(rows.len() as u64, ROWS / 2);
        weir.stop().expect("stopped");
        let original = dir.join("original");
        copy(&weir.data_dir(), &original);
        Scene {
            weir,
            place,
            original,
            older,
            records,
            rows,
        }
    }

    /// Damages one of these files of a kind in a fresh copy, starts the broker on it and looks at what it serves.
    /// Says whether there was something to damage in this way.
    fn check(&mut self, files: &[PathBuf], harm: Harm, seed: u64) -> bool {
        let data = self.weir.data_dir();
        std::fs::remove_dir_all(&data).expect("removed");
        copy(&self.original, &data);
        let Some((file, what)) = self.damage(files, harm, seed) else {
            return false;
        };
        let (file, what) = (&file, format!("{what} {}", file.display()));
        let said = self.weir.output().len();
        let name = said_of(file, harm);
        if let Err(error) = self.weir.launch() {
            assert!(
                error.to_string().starts_with("ended with"),
                "{what}: {error}"
            );
            let message = &self.weir.output()[said..];
            let advised = message.to_lowercase().contains("restore");
            assert!(message.contains(&name) && advised, "{what}: {message}");
            println!("{what}: refused");
            return true;
        }
        let lost = self.lost_records(&what);
        let found = rows(&self.weir);
        // The rows may have to be folded again, which a start does.
        let found = found.or_else(|error| {
            let output = self.weir.output();
            assert!(
                output[said..].contains("start weir again"),
                "{what}: {error}"
            );
            self.weir.kill().expect("killed");
            self.weir.launch().expect("weir starts again");
            rows(&self.weir)
        });
        assert_eq!(found.as_ref(), Ok(&self.rows), "{what}");
        self.weir.kill().expect("killed");
        let output = &self.weir.output()[said..];
        if lost > 0 {
            let told = output.contains(&name) && output.contains("restore");
            assert!(told, "{what}: {lost} records are lost without a word");
        }
        println!("{what}: served, {lost} records were not");
        true
    }

    /// Which file was damaged, and how; `None` where there is none for it.
    fn damage(&self, files: &[PathBuf], harm: Harm, seed: u64) -> Option<(PathBuf, String)> {
        let data = self.weir.data_dir();
        let nth = seed as usize % files.len();
        let file = files[nth].clone();
        let path = data.join(&file);
        let what = match harm {
            Harm::Flip | Harm::Cut => {
                let mut bytes = std::fs::read(&path).expect("read");
                let at = place(&bytes, seed)?;
                if matches!(harm, Harm::Flip) {
                    bytes[at] ^= 0xff;
                } else {
                    bytes.truncate(at);
                }
                std::fs::write(path, bytes).expect("written");
                format!("{harm:?} at {at} of")
            }
            Harm::Remove => {
                std::fs::remove_file(path).expect("removed");
                "removed:".to_owned()
            }
            Harm::Exchange => {
                let other = &files[(nth + 1) % files.len()];
                if *other == file {
                    return None;
                }
                std::fs::copy(self.original.join(other), path).expect("copied");
                format!("{} as", other.display())
            }
            Harm::Older => {
                let changed = |file: &&PathBuf| {
                    let older = std::fs::read(self.older.join(file));
                    older.is_ok_and(|bytes| {
                        bytes != std::fs::read(self.original.join(file)).expect("read")
                    })
                };
                let changed: Vec<&PathBuf> = files.iter().filter(changed).collect();
                let file = *changed.get(seed as usize % changed.len().max(1))?;
                std::fs::copy(self.older.join(file), data.join(file)).expect("copied");
                return Some((file.clone(), "an older".to_owned()));
            }
        };
        Some((file, what))
    }

    /// Reads what there is, which must be right, and counts what does not come.
    fn lost_records(&self, what: &str) -> usize {
        let consumer = self.place.consumer();
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let added = assignment.add_partition_offset(TOPIC, partition, Offset::Offset(0));
            added.expect("a partition");
        }
        consumer.assign(&assignment).expect("assigned");
        let mut left: BTreeSet<(i32, i64)> = self.records.keys().copied().collect();
        while !left.is_empty() {
            let Some(message) = consumer.poll(SILENCE) else {
                break;
            };
            let Ok(message) = message else {
                continue;
            };
            let at = (message.partition(), message.offset());
            let number = message.payload_view::<str>().and_then(Result::ok);
            let number = number.and_then(|text| text.parse().ok());
            let expected = self.records.get(&at).map(|(number, _)| *number);
            assert!(
                expected.is_some() && number == expected,
                "{what}: wrong at {at:?}"
            );
            left.remove(&at);
        }
        left.len()
    }
}

/// What has to be in a message about the file.
fn said_of(file: &Path, harm: Harm) -> String {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.expect("a name");
    match (harm, name.split_once('-')) {
        // The number of a snapshot that is gone is gone too; that there was one is known.
        (Harm::Remove, Some((shard, number))) if number.ends_with(".snap") => {
            format!("/snapshots/{shard}-*.snap")
        }
        _ => name.to_owned(),
    }
}

/// All rows, or what the broker answered instead.
fn rows(weir: &Weir) -> Result<BTreeMap<String, String>, String> {
    let path = format!("/v1/tables/{TABLE}/rows?limit={ROWS}");
    let answer = http::get(weir.http, &path).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(answer.body);
    }
    let page: Value = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
    let rows = page["rows"].as_array().ok_or("no rows")?;
    let text = |row: &Value, column: &str| row[column].as_str().map(str::to_owned);
    let pair = |row| text(row, "key").zip(text(row, "value"));
    rows.iter()
        .map(|row| pair(row).ok_or("no row".to_owned()))
        .collect()
}

/// A byte to damage; none in an empty file.
fn place(bytes: &[u8], seed: u64) -> Option<usize> {
    // Most files of the write-ahead log end with zeros that nothing rests on.
    let used = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    Some(Luck::new(seed).below(used as u64) as usize)
}

/// Gives each key the value of a number from `from` on.
fn put_rows(weir: &Weir, from: u64) {
    for number in from..from + ROWS {
        let path = format!("/v1/tables/{TABLE}/rows/key-{}", number % (ROWS / 2));
        let body = json!({"value": format!("value {number}")}).to_string();
        let put = http::ask(weir.http, "PUT", &path, &body).expect("an answer");
        assert_eq!(put.status, 200, "{}", put.body);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// The files of a directory by what they are: folder and extension, or the name before a number.
fn kinds(root: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = path.strip_prefix(root).expect("below").to_owned();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .expect("a name");
            let kind = match path.extension().and_then(|extension| extension.to_str()) {
                // RocksDB's earlier notes end with a time.
                Some(_) if name.starts_with("LOG.old") => "LOG".to_owned(),
                Some(extension) => extension.to_owned(),
                None => name.split('-').next().unwrap_or(name).to_owned(),
            };
            kinds.entry(kind).or_default().push(file);
        }
    }
    kinds.values_mut().for_each(|files| files.sort());
    kinds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_refused_or_told_of_and_never_believed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut scene = Scene::new(dir.path()).await;
    let kinds = kinds(&scene.original);
    for kind in KINDS {
        assert!(kinds.contains_key(kind), "no {kind} in {:?}", kinds.keys());
    }
    for kind in kinds.keys() {
        let known = KINDS.iter().chain(&OTHERS).any(|known| known == kind);
        assert!(known, "{kind} is a new kind of file: damage it here");
    }
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    // The process ends with the thread that starts it.
    tokio::task::block_in_place(|| {
        for seed in 0..rounds() {
            for kind in KINDS {
                for harm in HARMS {
                    let damaged = scene.check(&kinds[kind], harm, seed);
                    *done.entry(kind).or_default() += usize::from(damaged);
                }
            }
        }
    });
    println!("{done:?}");
    // An older copy of the newest file of the write-ahead log among them.
    assert_eq!(done["wal"], HARMS.len() * rounds() as usize);
}
