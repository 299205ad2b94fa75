//! kill -9 under an idempotent producer: no acked record lost, none doubled, offsets dense.
//! Invariants: L1, L4, L5, L6, D1.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use compat_tests::weir::Weir;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const TOPIC: &str = "survivors";
const PARTITIONS: i32 = 3;
/// Records that wait for their ack at a time.
const IN_FLIGHT: usize = 200;

/// How often the broker is killed: few in a normal run, `WEIR_KILL_CYCLES` for a long one.
fn cycles() -> u32 {
    std::env::var("WEIR_KILL_CYCLES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(8)
}

/// What was acked: partition and offset by the record's number.
type Acked = BTreeMap<u64, (i32, i64)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acked_records_survive_kill_9() {
    let mut weir = Weir::start().expect("weir starts");
    let bootstrap = weir.kafka.to_string();
    create_topic(&bootstrap).await;
    let done = Arc::new(AtomicBool::new(false));
    let progress = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn(write(bootstrap.clone(), done.clone(), progress.clone()));
    for cycle in 0..cycles() {
        let before = progress.load(Ordering::Acquire);
        tokio::time::sleep(Duration::from_millis(200 + u64::from(cycle * 37 % 300))).await;
        wait_for_progress(&progress, before).await;
        weir.kill().expect("killed");
        weir.launch().expect("weir starts again");
    }
    done.store(true, Ordering::Release);
    let acked = writer.await.expect("the writer ends");
    assert!(
        acked.len() > 1_000,
        "{} acked records are too few to say anything",
        acked.len()
    );
    let stored = tokio::task::spawn_blocking(move || read_all(&bootstrap))
        .await
        .expect("the reader ends");
    check(&acked, &stored);
}

async fn create_topic(bootstrap: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .expect("an admin client");
    let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(1));
    let created = admin
        .create_topics([&topic], &AdminOptions::new())
        .await
        .expect("an answer");
    created[0].as_ref().expect("the topic is created");
}

/// A cycle that acked nothing would prove nothing.
async fn wait_for_progress(progress: &AtomicU64, before: u64) {
    for _ in 0..600 {
        if progress.load(Ordering::Acquire) > before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no record was acked within 30 s of a restart");
}

/// Writes numbered records until `done`, then waits for every ack.
async fn write(bootstrap: String, done: Arc<AtomicBool>, progress: Arc<AtomicU64>) -> Acked {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .set("enable.idempotence", "true")
        .set("linger.ms", "2")
        .set("message.timeout.ms", "120000")
        .set("reconnect.backoff.max.ms", "200")
        .create()
        .expect("a producer");
    let room = Arc::new(tokio::sync::Semaphore::new(IN_FLIGHT));
    let mut acks = tokio::task::JoinSet::new();
    let mut number = 0;
    while !done.load(Ordering::Acquire) {
        let permit = room.clone().acquire_owned().await.expect("open");
        let (producer, progress) = (producer.clone(), progress.clone());
        let value = number;
        number += 1;
        // Queued here, in order; only the ack is awaited elsewhere.
        let text = value.to_string();
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
            progress.fetch_add(1, Ordering::AcqRel);
            drop(permit);
            (value, (delivered.partition, delivered.offset))
        });
    }
    let mut acked = Acked::new();
    while let Some(ack) = acks.join_next().await {
        let (number, place) = ack.expect("an ack");
        acked.insert(number, place);
    }
    acked
}

/// Every stored record: number by partition and offset.
fn read_all(bootstrap: &str) -> BTreeMap<(i32, i64), u64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    let mut left: HashMap<i32, i64> = HashMap::new();
    for partition in 0..PARTITIONS {
        assignment
            .add_partition_offset(TOPIC, partition, Offset::Beginning)
            .expect("a partition");
        let (low, high) = consumer
            .fetch_watermarks(TOPIC, partition, Duration::from_secs(20))
            .expect("watermarks");
        assert_eq!(low, 0, "nothing was trimmed");
        left.insert(partition, high);
    }
    consumer.assign(&assignment).expect("assigned");
    let mut stored = BTreeMap::new();
    while left.values().any(|records| *records > 0) {
        let message = consumer
            .poll(Duration::from_secs(20))
            .expect("a message in time")
            .expect("no error");
        let text = message
            .payload_view::<str>()
            .expect("a payload")
            .expect("text");
        let number = text.parse().expect("a number");
        stored.insert((message.partition(), message.offset()), number);
        *left.get_mut(&message.partition()).expect("assigned") -= 1;
    }
    stored
}

fn check(acked: &Acked, stored: &BTreeMap<(i32, i64), u64>) {
    let lost: Vec<_> = acked
        .iter()
        .filter(|(number, place)| stored.get(place) != Some(*number))
        .take(5)
        .collect();
    assert!(
        lost.is_empty(),
        "acked records are not where they were acked: {lost:?}"
    );
    let mut last: HashMap<i32, (i64, Option<u64>)> = HashMap::new();
    for ((partition, offset), number) in stored {
        let (next, before) = last.entry(*partition).or_insert((0, None));
        assert_eq!(offset, next, "offsets of partition {partition} are dense");
        assert!(
            before.is_none_or(|before| before < *number),
            "record {number} is doubled or out of order"
        );
        *next += 1;
        *before = Some(*number);
    }
}
