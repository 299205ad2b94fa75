//! One file of a stopped broker is damaged: the broker refuses to start and names the file, or it serves exactly what
//! was acknowledged. What it cannot serve it says, with the file's name. Rows come back from the log in any case.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use compat_tests::http;
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
/// What there is besides is empty or only written.
const KINDS: [&str; 7] = ["wal", "snap", "seg", "node", "sst", "MANIFEST", "CURRENT"];
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
}

/// What the broker had when it was stopped.
struct Scene {
    weir: Weir,
    place: Place,
    /// A copy of the directory.
    original: PathBuf,
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
        for number in 0..ROWS {
            let path = format!("/v1/tables/{TABLE}/rows/key-{}", number % (ROWS / 2));
            let body = json!({"value": format!("value {number}")}).to_string();
            let put = http::ask(weir.http, "PUT", &path, &body).expect("an answer");
            assert_eq!(put.status, 200, "{}", put.body);
        }
        write(&place, TOPIC, PARTITIONS, |number| number < RECORDS).await;
        wait_until_retired(&weir).await;
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
            records,
            rows,
        }
    }

    /// Damages one file of a fresh copy, starts the broker on it and looks at what it serves.
    fn check(&mut self, file: &Path, harm: Harm, seed: u64) {
        let data = self.weir.data_dir();
        std::fs::remove_dir_all(&data).expect("removed");
        copy(&self.original, &data);
        let what = format!(
            "{} {}",
            damage(&data.join(file), harm, seed),
            file.display()
        );
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
            return;
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

fn damage(path: &Path, harm: Harm, seed: u64) -> String {
    let mut bytes = std::fs::read(path).expect("read");
    // Most files of the write-ahead log end with zeros that nothing rests on.
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let at = (mixed % used.max(1) as u64) as usize;
    match harm {
        Harm::Flip => {
            bytes[at] ^= 0xff;
            std::fs::write(path, bytes).expect("written");
            format!("byte {at} flipped in")
        }
        Harm::Cut => {
            std::fs::write(path, &bytes[..at]).expect("written");
            format!("cut to {at}:")
        }
        Harm::Remove => {
            std::fs::remove_file(path).expect("removed");
            "removed:".to_owned()
        }
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
    // The process ends with the thread that starts it.
    tokio::task::block_in_place(|| {
        for seed in 0..rounds() {
            for kind in KINDS {
                let files = &kinds[kind];
                let file = &files[seed as usize % files.len()];
                for harm in [Harm::Flip, Harm::Cut, Harm::Remove] {
                    scene.check(file, harm, seed);
                }
            }
        }
    });
}
