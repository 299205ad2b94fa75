//! A whole topic, read by a consumer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{PARTITIONS, Run};

const PATIENCE: Duration = Duration::from_secs(20);

/// A record as a consumer sees it.
#[derive(Debug)]
pub struct Record {
    pub key: Option<String>,
    pub value: Option<String>,
    /// The header [`NUMBER`].
    pub number: Option<u64>,
}

/// The header in which a writer numbers records that have no value to do so.
pub const NUMBER: &str = "number";

/// Every stored record by partition and offset.
pub type Stored = BTreeMap<(i32, i64), Record>;

/// Reads all of `topic`, of which nothing was trimmed.
pub async fn read(run: &Arc<Run>, topic: &'static str) -> Stored {
    let run = run.clone();
    let reading = tokio::task::spawn_blocking(move || read_all(&run, topic));
    reading.await.expect("the reader ends")
}

/// Fails where an offset is missing.
pub fn check_dense(stored: &Stored, topic: &str) {
    if let Some((partition, offset)) = first_gap(stored) {
        panic!("{topic}-{partition}: {offset} is missing");
    }
}

/// Whether no offset is missing, as it is where nothing was compacted.
pub fn is_dense(stored: &Stored) -> bool {
    first_gap(stored).is_none()
}

fn first_gap(stored: &Stored) -> Option<(i32, i64)> {
    let mut ends = HashMap::new();
    stored.keys().find_map(|(partition, offset)| {
        let next = ends.entry(*partition).or_insert(0);
        let gap = (offset != next).then_some((*partition, *next));
        *next += 1;
        gap
    })
}

fn read_all(run: &Run, topic: &str) -> Stored {
    let consumer: BaseConsumer = run
        .client()
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    let mut ends: HashMap<i32, i64> = HashMap::new();
    for partition in 0..PARTITIONS {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("a partition");
        let (low, high) = consumer
            .fetch_watermarks(topic, partition, PATIENCE)
            .expect("watermarks");
        assert_eq!(low, 0, "{topic}-{partition}: nothing was trimmed");
        ends.insert(partition, high);
    }
    ends.retain(|_, end| *end > 0);
    consumer.assign(&assignment).expect("assigned");
    let mut stored = Stored::new();
    let mut last = HashMap::new();
    // Whether the last offsets are there nobody knows, hence the ends of the partitions.
    while !ends.is_empty() {
        let message = match consumer.poll(PATIENCE).expect("a message in time") {
            Ok(message) => message,
            Err(KafkaError::PartitionEOF(partition)) => {
                ends.remove(&partition);
                continue;
            }
            Err(error) => panic!("{topic}: {error}"),
        };
        let (partition, offset) = (message.partition(), message.offset());
        let before = last.insert(partition, offset);
        assert!(before < Some(offset), "{topic}-{partition}: offsets rise");
        stored.insert((partition, offset), record(&message));
        if ends.get(&partition) == Some(&(offset + 1)) {
            ends.remove(&partition);
        }
    }
    stored
}

fn record(message: &impl Message) -> Record {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let header = message.headers().and_then(|headers| {
        headers
            .iter()
            .find(|header| header.key == NUMBER)
            .and_then(|header| header.value)
    });
    Record {
        key: message.key().map(text),
        value: message.payload().map(text),
        number: header.map(|bytes| text(bytes).parse().expect("a number")),
    }
}
