//! Compacted topics keep the last record of each key, at its offset, over kill -9 at any time, and give the disk of the
//! others back. Invariants: L4, L5, L8, L10, C1, P1.

mod latest;
mod schemas;
mod tables;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use compat_tests::http;
use compat_tests::weir::{Weir, find_binary};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::task::JoinSet;

/// Gives files of 1 MiB, of which two are kept when they are full.
const BUDGET_MB: &str = "8";
const PATIENCE: Duration = Duration::from_secs(60);
const VALUE_BYTES: usize = 4000;

/// Where the broker is.
#[derive(Clone)]
struct Place {
    kafka: String,
}

/// Starts a broker with small files that looks for what is to be compacted all the time.
fn start(dir: &Path) -> Weir {
    let config = dir.join("weir.toml");
    let settings = "[settings]\n\
        \"log.cleaner.backoff.ms\" = 50\n\
        \"log.cleaner.dedupe.buffer.size\" = 1048576\n\
        \"offsets.topic.num.partitions\" = 1\n";
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

    async fn create(&self, topic: &str, settings: &[(&str, &str)]) {
        let mut new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let created = self
            .admin()
            .create_topics([&new], &AdminOptions::new())
            .await;
        created.expect("an answer")[0].as_ref().expect("created");
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        self.client()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer")
    }

    fn producer(&self, codec: &str) -> FutureProducer {
        self.client()
            .set("enable.idempotence", "true")
            .set("compression.type", codec)
            .set("linger.ms", "2")
            .set("batch.size", "40000")
            .set("message.timeout.ms", "120000")
            .create()
            .expect("a producer")
    }

    /// First and next offset of the partition.
    fn watermarks(&self, topic: &str) -> (i64, i64) {
        let asked = self
            .consumer("watermarks")
            .fetch_watermarks(topic, 0, PATIENCE);
        asked.expect("watermarks")
    }
}

/// A record as a consumer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// Writes records, some hundred at a time, until all are acknowledged.
async fn send(place: &Place, topic: &str, records: impl Iterator<Item = (String, Option<String>)>) {
    let producer = place.producer("none");
    for records in records.collect::<Vec<_>>().chunks(500) {
        let mut acks = JoinSet::new();
        for (key, text) in records {
            let mut record = FutureRecord::<str, str>::to(topic).partition(0).key(key);
            if let Some(text) = text {
                record = record.payload(text);
            }
            let delivery = producer.send_result(record);
            acks.spawn(delivery.map_err(|(error, _)| error).expect("queued"));
        }
        for acked in acks.join_all().await {
            let acked = acked.expect("the producer lives");
            acked.map_err(|(error, _)| error).expect("written");
        }
    }
}

/// Reads the partition from its start to where it ended when this was called, or fails on an offset that does not
/// rise.
fn read(place: &Place, topic: &str) -> BTreeMap<i64, Seen> {
    let (_, end) = place.watermarks(topic);
    let consumer = place.consumer("readers");
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, 0, Offset::Beginning)
        .expect("a partition");
    consumer.assign(&assignment).expect("assigned");
    let mut seen = BTreeMap::new();
    let mut last = -1;
    // Nobody knows which offset before the end is the last one that is there, hence the end of file.
    while last + 1 < end {
        let message = match consumer.poll(PATIENCE).expect("a record in time") {
            Ok(message) => message,
            Err(KafkaError::PartitionEOF(_)) => break,
            // The broker may be away for a moment.
            Err(KafkaError::MessageConsumption(_)) => continue,
            Err(error) => panic!("{error}"),
        };
        assert!(message.offset() > last, "offsets rise");
        last = message.offset();
        let record = Seen {
            key: message.key().expect("a key").to_vec(),
            value: message.payload().map(<[u8]>::to_vec),
        };
        seen.insert(last, record);
    }
    seen
}

/// A text of some thousand bytes that starts with the number.
fn value(number: u64) -> String {
    let start = format!("{number:012}");
    let mut state = number;
    let mut varied = String::new();
    for _ in 0..8 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        varied.push_str(&format!("{state:016x}"));
    }
    start + &varied.repeat(VALUE_BYTES / varied.len())
}

/// Bytes of the files with segments.
fn segment_bytes(weir: &Weir) -> u64 {
    let listed = std::fs::read_dir(weir.dir().join("data/segments")).expect("a folder");
    let sizes = listed.flatten().filter_map(|file| file.metadata().ok());
    sizes.map(|file| file.len()).sum()
}

/// The value of a metric without labels.
fn metric(weir: &Weir, name: &str) -> f64 {
    let metrics = http::get(weir.http, "/metrics").expect("metrics").body;
    let mut lines = metrics.lines();
    let line = lines.find(|line| line.split(' ').next() == Some(name));
    let value = line.unwrap_or_else(|| panic!("{name} is there"));
    let value = value.split(' ').nth(1).expect("a value");
    value.parse().expect("a number")
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
