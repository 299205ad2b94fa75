//! Numbered records from an idempotent producer, many in flight.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::log::Stored;
use super::{PARTITIONS, Progress, Run};

pub const TOPIC: &str = "survivors";
/// Records that wait for their ack at a time.
const IN_FLIGHT: usize = 200;

/// What was acked: partition and offset by the record's number.
pub type Acked = BTreeMap<u64, (i32, i64)>;

/// Creates the topic.
pub async fn prepare(run: &Run) {
    let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(1));
    run.create_topic(topic).await;
}

/// Writes numbered records until the end of the run, then waits for every ack.
pub async fn write(run: Arc<Run>, progress: Arc<Progress>) -> Acked {
    let producer: FutureProducer = run.producer().create().expect("a producer");
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut acks = JoinSet::new();
    let mut number = 0;
    while run.goes_on() {
        let permit = room.clone().acquire_owned().await.expect("open");
        let progress = progress.clone();
        let value = number;
        number += 1;
        // Queued here, in order; only the ack is awaited elsewhere.
        let text = run.text(value);
        let partition = i32::try_from(value % 3).expect("small");
        let record = FutureRecord::<str, str>::to(TOPIC)
            .payload(&text)
            .partition(partition);
        let delivery = producer
            .send_result(record)
            .map_err(|(error, _)| error)
            .expect("queued");
        acks.spawn(async move {
            let delivered = delivery.await.expect("the producer lives");
            let delivered = delivered
                .map_err(|(error, _)| error)
                .expect("idempotent sends succeed in time");
            progress.add();
            drop(permit);
            (value, (delivered.partition, delivered.offset))
        });
    }
    acks.join_all().await.into_iter().collect()
}

/// Each acked record is where it was acked, and none is doubled or out of order.
pub fn check(acked: &Acked, stored: &Stored) {
    let number = |place| {
        let record = stored.get(place)?;
        record.value.as_deref()?.parse::<u64>().ok()
    };
    let lost: Vec<_> = acked
        .iter()
        .filter(|(written, place)| number(place) != Some(**written))
        .take(5)
        .collect();
    assert!(
        lost.is_empty(),
        "acked records are not where they were acked: {lost:?}"
    );
    let mut last = HashMap::new();
    for place in stored.keys() {
        let number = number(place).expect("a number");
        let before = last.insert(place.0, number);
        assert!(
            before.is_none_or(|before| before < number),
            "record {number} is doubled or out of order"
        );
    }
}
