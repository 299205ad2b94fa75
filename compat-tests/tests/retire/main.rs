//! More records than the write-ahead log keeps: they move into segment files, and are read from there as if nothing had
//! happened, over kill -9 at any time; what expired gives its disk back, and a damaged file is told of. Invariants:
//! L1, L4, L5, L6, L8, L11, D1, D3, D4, O6, P5.

mod damage;
mod index;
mod retention;
mod survive;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use compat_tests::weir::{Weir, find_binary};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Gives files of 1 MiB, of which two are kept when they are full.
const BUDGET_MB: &str = "8";
/// Two full files, the one being written, the next one, and two that wait to be used again.
const MAX_WAL_FILES: usize = 6;
const PATIENCE: Duration = Duration::from_secs(60);
/// Records that wait for their ack at a time.
const IN_FLIGHT: usize = 500;
const VALUE_BYTES: usize = 4000;

/// Where the broker is.
#[derive(Clone)]
struct Place {
    kafka: String,
}

/// Starts a broker with small files that looks for expired records all the time.
fn start(dir: &Path) -> Weir {
    let config = dir.join("weir.toml");
    let settings = "[settings]\n\"log.retention.check.interval.ms\" = 100\n";
    std::fs::write(&config, settings).expect("written");
    let config = config.to_str().expect("text");
    let command = [
        "serve",
        "-c",
        config,
        "--wal-budget-mb",
        BUDGET_MB,
        "--tail-mb",
        "1",
    ];
    Weir::start_with(&find_binary().expect("a binary"), &command).expect("weir starts")
}

impl Place {
    fn of(weir: &Weir) -> Place {
        Place {
            kafka: weir.kafka.to_string(),
        }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka)
            .set("reconnect.backoff.max.ms", "200");
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    async fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let created = self
            .admin()
            .create_topics([&new], &AdminOptions::new())
            .await;
        created.expect("an answer")[0].as_ref().expect("created");
    }

    fn consumer(&self) -> BaseConsumer {
        self.client()
            .set("group.id", "readers")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer")
    }

    fn producer(&self) -> FutureProducer {
        self.client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("batch.size", "20000")
            .set("message.timeout.ms", "120000")
            .create()
            .expect("a producer")
    }

    /// First and next offset of a partition.
    fn watermarks(&self, topic: &str, partition: i32) -> (i64, i64) {
        let asked = self.consumer().fetch_watermarks(topic, partition, PATIENCE);
        asked.expect("watermarks")
    }
}

/// A record's number as its value, the same for every attempt.
fn value(number: u64) -> String {
    format!("{number:0VALUE_BYTES$}")
}

/// Where records were acknowledged, by their numbers.
type Acked = BTreeMap<u64, (i32, i64)>;

/// Writes numbered records over the partitions in turn while `goes_on`, then waits for every ack.
async fn write(
    place: &Place,
    topic: &'static str,
    partitions: i32,
    goes_on: impl Fn(u64) -> bool,
) -> Acked {
    let producer = place.producer();
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut acks = JoinSet::new();
    let mut number = 0;
    while goes_on(number) {
        let permit = room.clone().acquire_owned().await.expect("open");
        let text = value(number);
        let partition = i32::try_from(number % partitions as u64).expect("small");
        let record = FutureRecord::<str, str>::to(topic)
            .payload(&text)
            .partition(partition);
        let delivery = producer.send_result(record);
        let delivery = delivery.map_err(|(error, _)| error).expect("queued");
        acks.spawn(async move {
            let delivered = delivery.await.expect("the producer lives");
            let delivered = delivered.map_err(|(error, _)| error);
            drop(permit);
            let delivered = delivered.expect("idempotent sends succeed in time");
            (number, (delivered.partition, delivered.offset))
        });
        number += 1;
    }
    acks.join_all().await.into_iter().collect()
}

/// What a consumer got, by partition and offset: the number and the timestamp.
type Stored = BTreeMap<(i32, i64), (u64, i64)>;

/// Reads every partition from `from` up to where it ended when this was called, or fails on a doubled or missing record.
fn read(place: &Place, topic: &str, partitions: i32) -> Stored {
    let consumer = place.consumer();
    let mut assignment = TopicPartitionList::new();
    let (mut next, mut ends) = (HashMap::new(), HashMap::new());
    for partition in 0..partitions {
        let (low, high) = place.watermarks(topic, partition);
        let added = assignment.add_partition_offset(topic, partition, Offset::Offset(low));
        added.expect("a partition");
        next.insert(partition, low);
        ends.insert(partition, high);
    }
    consumer.assign(&assignment).expect("assigned");
    let mut stored = Stored::new();
    while next.iter().any(|(partition, next)| *next < ends[partition]) {
        let message = match consumer.poll(PATIENCE).expect("a record in time") {
            Ok(message) => message,
            // The broker may be away for a moment.
            Err(KafkaError::MessageConsumption(_)) => continue,
            Err(error) => panic!("{error}"),
        };
        let (partition, offset) = (message.partition(), message.offset());
        let expected = next.get_mut(&partition).expect("assigned");
        assert_eq!(offset, *expected, "{topic}-{partition} is dense");
        *expected += 1;
        let text = message
            .payload_view::<str>()
            .expect("a value")
            .expect("text");
        assert_eq!(text.len(), VALUE_BYTES);
        let number = text.parse().expect("a number");
        let time = message.timestamp().to_millis().expect("a timestamp");
        stored.insert((partition, offset), (number, time));
    }
    stored
}

/// How many files of a kind there are, and their bytes.
fn files(weir: &Weir, folder: &str, extension: &str) -> (usize, u64) {
    let listed = std::fs::read_dir(weir.dir().join("data").join(folder)).expect("a folder");
    let found = listed.flatten().filter(|entry| {
        let path = entry.path();
        path.extension().is_some_and(|found| found == extension)
    });
    let bytes: Vec<u64> = found
        .filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .collect();
    (bytes.len(), bytes.iter().sum())
}

/// Waits until the write-ahead log has shrunk to what is kept of it.
async fn wait_until_retired(weir: &Weir) {
    wait(
        || files(weir, "raft/wal", "wal").0 <= MAX_WAL_FILES,
        || format!("{} files are left", files(weir, "raft/wal", "wal").0),
    )
    .await;
}

async fn wait(reached: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let step = Duration::from_millis(50);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        if reached() {
            return;
        }
        tokio::time::sleep(step).await;
    }
    panic!("after {PATIENCE:?}: {}", otherwise());
}
