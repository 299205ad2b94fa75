//! Many updates of few keys while the broker is killed: each key has its last value, groups have their offsets, and
//! producers go on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::producer::FutureRecord;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::{PATIENCE, Place, Seen, VALUE_BYTES, metric, read, segment_bytes, start, value, wait};

const TOPIC: &str = "latest";
const KEYS: u64 = 50;
/// Every so many records one is a tombstone.
const TOMBSTONES: u64 = 23;
/// Many times what the write-ahead log keeps.
const LEAST_BYTES: u64 = 24 << 20;
const IN_FLIGHT: usize = 500;
/// Key of what one producer writes once.
const QUIET: &str = "quiet";

/// How often the broker is killed: few in a normal run, `WEIR_KILL_CYCLES` for a long one.
fn cycles() -> u64 {
    let told = std::env::var("WEIR_KILL_CYCLES").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// What writers have done so far.
#[derive(Default)]
struct Written {
    done: AtomicBool,
    bytes: AtomicU64,
    /// The highest number.
    sent: AtomicU64,
    /// The last number that was acknowledged for each key.
    acked: Mutex<BTreeMap<String, u64>>,
}

impl Written {
    fn acked(&self) -> BTreeMap<String, u64> {
        self.acked.lock().expect("no panic").clone()
    }
}

fn key(number: u64) -> String {
    format!("key-{}", number % KEYS)
}

/// What is written for a number.
fn payload(number: u64) -> Option<String> {
    (!number.is_multiple_of(TOMBSTONES)).then(|| value(number))
}

/// Writes numbered updates until it is done, some hundred at a time.
async fn write(place: Place, codec: &'static str, written: Arc<Written>) {
    let producer = place.producer(codec);
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut acks = JoinSet::new();
    let mut number = 1;
    while !written.done.load(Ordering::Acquire) {
        let permit = room.clone().acquire_owned().await.expect("open");
        let (key, text) = (format!("{codec}-{}", key(number)), payload(number));
        let mut record = FutureRecord::<str, str>::to(TOPIC).partition(0).key(&key);
        if let Some(text) = &text {
            record = record.payload(text);
        }
        written.sent.fetch_max(number, Ordering::AcqRel);
        let delivery = producer.send_result(record);
        let delivery = delivery.map_err(|(error, _)| error).expect("queued");
        let written_so_far = written.clone();
        acks.spawn(async move {
            let delivered = delivery.await.expect("the producer lives");
            drop(permit);
            let delivered = delivered.map_err(|(error, _)| error);
            delivered.expect("idempotent sends succeed in time");
            let mut acked = written_so_far.acked.lock().expect("no panic");
            let latest = acked.entry(key).or_default();
            *latest = number.max(*latest);
        });
        let bytes = VALUE_BYTES as u64;
        written.bytes.fetch_add(bytes, Ordering::AcqRel);
        number += 1;
    }
    acks.join_all().await;
}

/// Commits rising offsets until `done`; the last one that was acknowledged is in `committed`.
fn commit(place: &Place, done: &AtomicBool, committed: &AtomicI64) {
    let consumer = place.consumer("commits");
    let mut next = 1;
    while !done.load(Ordering::Acquire) {
        let mut offsets = TopicPartitionList::new();
        let added = offsets.add_partition_offset(TOPIC, 0, Offset::Offset(next));
        added.expect("a partition");
        if consumer.commit(&offsets, CommitMode::Sync).is_ok() {
            committed.store(next, Ordering::Release);
            next += 1;
        } else {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

fn committed(place: &Place) -> i64 {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(TOPIC, 0);
    let consumer = place.consumer("commits");
    let found = consumer
        .committed_offsets(asked, PATIENCE)
        .expect("an answer");
    match found.elements()[0].offset() {
        Offset::Offset(offset) => offset,
        other => panic!("{other:?} is committed"),
    }
}

/// The last record of each key; fails where an earlier number follows a later one.
fn last_of_keys(seen: &BTreeMap<i64, Seen>) -> BTreeMap<String, Option<u64>> {
    let mut last: BTreeMap<String, Option<u64>> = BTreeMap::new();
    let mut highest: BTreeMap<String, u64> = BTreeMap::new();
    let numbered = seen
        .values()
        .filter(|record| record.key != QUIET.as_bytes());
    for record in numbered {
        let key = String::from_utf8(record.key.clone()).expect("text");
        let number = record.value.as_ref().map(|value| {
            let text = std::str::from_utf8(value).expect("text");
            let number: u64 = text[..12].parse().expect("a number");
            assert_eq!(text, crate::value(number), "the whole value");
            number
        });
        if let Some(number) = number {
            let before = highest.insert(key.clone(), number);
            assert!(before < Some(number), "{key} goes back to {number}");
        }
        last.insert(key, number);
    }
    last
}

/// No key is older than what was acknowledged before the read; up to `sent` was written when it ended.
fn check(acked: &BTreeMap<String, u64>, sent: u64, seen: &BTreeMap<i64, Seen>) {
    let last = last_of_keys(seen);
    for (key, number) in acked {
        if let Some(Some(found)) = last.get(key) {
            assert!(found >= number, "{key} has {found}, {number} was acked");
            continue;
        }
        // A tombstone, or nothing any more behind one.
        let mut later = (*number..=sent).step_by(KEYS as usize);
        assert!(
            later.any(|number| payload(number).is_none()),
            "{key} is gone"
        );
    }
}

/// Nothing is on its way: each key has exactly what was acknowledged last.
fn check_exactly(acked: &BTreeMap<String, u64>, seen: &BTreeMap<i64, Seen>) {
    let last = last_of_keys(seen);
    for (key, number) in acked {
        let expected = payload(*number).map(|_| *number);
        assert_eq!(last.get(key).copied().flatten(), expected, "{key}");
    }
}

async fn read_apart(place: &Place, topic: &'static str) -> BTreeMap<i64, Seen> {
    let place = place.clone();
    let reading = tokio::task::spawn_blocking(move || read(&place, topic));
    reading.await.expect("the reader ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_has_its_last_value_whenever_the_broker_is_killed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut weir = start(dir.path());
    let place = Place::of(&weir);
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.2"),
        ("delete.retention.ms", "500"),
    ];
    place.create(TOPIC, &settings).await;
    let quiet = place.producer("none");
    let send_quiet = async |text: &str| {
        let record = FutureRecord::to(TOPIC)
            .partition(0)
            .key(QUIET)
            .payload(text);
        let sent = quiet.send(record, PATIENCE).await;
        sent.map_err(|(error, _)| error).expect("sent").offset
    };
    let first = send_quiet("first").await;

    let written = Arc::new(Written::default());
    let mut writers = JoinSet::new();
    for codec in ["none", "zstd"] {
        writers.spawn(write(place.clone(), codec, written.clone()));
    }
    let (done, offset) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicI64::new(-1)),
    );
    let commits = {
        let (place, done, offset) = (place.clone(), done.clone(), offset.clone());
        tokio::task::spawn_blocking(move || commit(&place, &done, &offset))
    };
    for cycle in 0..cycles() {
        let goal = LEAST_BYTES / cycles() * (cycle + 1);
        wait(
            || written.bytes.load(Ordering::Acquire) >= goal,
            || "too little was written".into(),
        )
        .await;
        tokio::time::sleep(Duration::from_millis(cycle * 137 % 300)).await;
        weir.kill().expect("killed");
        let before = offset.load(Ordering::Acquire);
        weir.launch().expect("weir starts again");
        assert!(committed(&place) >= before, "commits are there");
        let acked = written.acked();
        let seen = read_apart(&place, TOPIC).await;
        check(&acked, written.sent.load(Ordering::Acquire), &seen);
    }
    written.done.store(true, Ordering::Release);
    done.store(true, Ordering::Release);
    writers.join_all().await;
    commits.await.expect("the committer ends");

    // What is left of each key, beside what the write-ahead log still has, is not a tenth of what was written.
    let most = 3 * 2 * KEYS * VALUE_BYTES as u64 + (1 << 20);
    wait(
        || segment_bytes(&weir) <= most,
        || {
            format!(
                "{} bytes in segments, {most} expected",
                segment_bytes(&weir)
            )
        },
    )
    .await;
    let seen = read_apart(&place, TOPIC).await;
    check_exactly(&written.acked(), &seen);
    let (start, end) = place.watermarks(TOPIC);
    assert_eq!(start, 0, "compaction does not move log start");
    assert!(
        seen.len() as i64 * 2 < end,
        "{} of {end} are left",
        seen.len()
    );
    assert_eq!(seen[&first].value.as_deref(), Some(&b"first"[..]));

    // A producer whose only batch was superseded, and emptied, goes on in its sequence.
    let other = place.producer("none");
    let record = FutureRecord::to(TOPIC)
        .partition(0)
        .key(QUIET)
        .payload("other");
    other.send(record, PATIENCE).await.expect("sent");
    let more = Arc::new(Written::default());
    let filler = tokio::spawn(write(place.clone(), "lz4", more.clone()));
    while read_apart(&place, TOPIC).await.contains_key(&first) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    more.done.store(true, Ordering::Release);
    filler.await.expect("the filler ends");
    assert!(metric(&weir, "weir_compaction_removed_records_total") > 0.0);
    assert!(metric(&weir, "weir_compaction_last_run_timestamp_seconds") > 1e9);
    weir.kill().expect("killed");
    weir.launch().expect("weir starts again");
    let second = send_quiet("second").await;
    let seen = read_apart(&place, TOPIC).await;
    assert_eq!(seen[&second].value.as_deref(), Some(&b"second"[..]));
    assert!(committed(&place) >= offset.load(Ordering::Acquire));

    // Commits are compacted too.
    let offsets = read_apart(&place, "__consumer_offsets").await;
    let (_, end) = place.watermarks("__consumer_offsets");
    assert!(
        (offsets.len() as i64) < end,
        "{} of {end} records of offsets are left",
        offsets.len()
    );
}
