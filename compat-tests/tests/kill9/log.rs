//! A whole topic, read by a consumer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::{PARTITIONS, Run};

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

/// Reads all of `topic`, which starts at 0 and has no gap.
pub async fn read(run: &Arc<Run>, topic: &'static str) -> Stored {
    let run = run.clone();
    let stored = tokio::task::spawn_blocking(move || read_all(&run, topic))
        .await
        .expect("the reader ends");
    let mut next = HashMap::new();
    for (partition, offset) in stored.keys() {
        let next = next.entry(*partition).or_insert(0);
        assert_eq!(offset, next, "{topic}-{partition}: offsets are dense");
        *next += 1;
    }
    stored
}

fn read_all(run: &Run, topic: &str) -> Stored {
    let consumer: BaseConsumer = run
        .client()
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    let mut left: HashMap<i32, i64> = HashMap::new();
    for partition in 0..PARTITIONS {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("a partition");
        let (low, high) = consumer
            .fetch_watermarks(topic, partition, PATIENCE)
            .expect("watermarks");
        assert_eq!(low, 0, "{topic}-{partition}: nothing was trimmed");
        left.insert(partition, high);
    }
    consumer.assign(&assignment).expect("assigned");
    let mut stored = Stored::new();
    while left.values().any(|records| *records > 0) {
        let message = consumer
            .poll(PATIENCE)
            .expect("a message in time")
            .expect("no error");
        let place = (message.partition(), message.offset());
        let doubled = stored.insert(place, record(&message));
        assert!(doubled.is_none(), "{topic} gave {place:?} twice");
        *left.get_mut(&message.partition()).expect("assigned") -= 1;
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
