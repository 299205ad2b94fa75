//! Consumers of the log: some read all partitions and begin again now and then, some share them as a group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use compat_tests::luck::Luck;
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{LOG, LOG_PARTITIONS, Scene, producers};
use crate::history::Poll;

pub const ASSIGNED: u64 = 2;
pub const SUBSCRIBED: u64 = 2;
/// So many records are read again.
const BACK: i64 = 100;
const POLL: Duration = Duration::from_millis(200);
/// A consumer begins again, or leaves its group, after about so long, in ms.
const LIFE_MS: u64 = 40_000;

/// Offsets by partition.
type Last = BTreeMap<i32, i64>;

/// Counts assignments: offsets follow each other within one only.
struct Context {
    assignment: AtomicU64,
}

impl ClientContext for Context {
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.assignment.fetch_add(1, Ordering::AcqRel);
    }
}

/// Reads all partitions, from the beginning or from near their ends, again and again.
pub fn run_assigned(scene: &Arc<Scene>, number: u64) {
    let mut luck = Luck::new(scene.seed ^ (number << 16));
    let mut life = 0;
    let mut last = Last::new();
    while scene.goes_on() {
        // What lies behind the end, or before the beginning, is an error that is told.
        let consumer = consumer(scene, &format!("reader-{number}"), "error", life);
        // Every other time from a little before what it saw. librdkafka may ask for a relative offset again.
        let from = |partition| match last.get(&partition) {
            Some(last) if life % 2 == 1 => Offset::Offset((last - BACK).max(0)),
            _ => Offset::Beginning,
        };
        let mut all = TopicPartitionList::new();
        for partition in 0..LOG_PARTITIONS {
            all.add_partition_offset(LOG, partition, from(partition))
                .expect("a partition");
        }
        consumer.assign(&all).expect("assigned");
        last.extend(follow(scene, &consumer, number, &mut luck));
        life += 1;
    }
}

/// A member of a group that commits by itself; it leaves and comes again.
pub fn run_subscribed(scene: &Arc<Scene>, number: u64) {
    let mut luck = Luck::new(scene.seed ^ (number << 16));
    let mut life = 0;
    while scene.goes_on() {
        let consumer = consumer(scene, "members", "earliest", life);
        consumer.subscribe(&[LOG]).expect("subscribed");
        follow(scene, &consumer, number, &mut luck);
        life += 1;
    }
}

fn consumer(scene: &Scene, group: &str, reset: &str, life: u64) -> BaseConsumer<Context> {
    let context = Context {
        assignment: AtomicU64::new(life * 1_000),
    };
    let mut config = scene.client();
    config
        .set("group.id", group)
        .set("auto.offset.reset", reset)
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        .set("fetch.wait.max.ms", "200")
        .set(
            "enable.auto.commit",
            if reset == "error" { "false" } else { "true" },
        )
        .set("auto.commit.interval.ms", "1000");
    config
        .create_with_context(context)
        .expect("the configuration is good")
}

/// Answers the last offsets.
fn follow(scene: &Scene, consumer: &BaseConsumer<Context>, number: u64, luck: &mut Luck) -> Last {
    let mut last = Last::new();
    let clock = scene.recorder.clock;
    let end = clock.micros() + (LIFE_MS / 2 + luck.below(LIFE_MS)) * 1_000;
    while scene.goes_on() && clock.micros() < end {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                note(scene, consumer.context(), number, &message);
                last.insert(message.partition(), message.offset());
            }
            Some(Err(error)) => complain(scene, number, &error),
            None => {}
        }
    }
    last
}

fn note(scene: &Scene, context: &Context, consumer: u64, message: &BorrowedMessage<'_>) {
    let payload = message.payload().unwrap_or_default();
    let Some(value) = producers::value(payload) else {
        let what = format!("{}:{} is no value", message.partition(), message.offset());
        scene.recorder.note(|history| history.complaints.push(what));
        return;
    };
    let poll = Poll {
        consumer,
        assignment: context.assignment.load(Ordering::Acquire),
        partition: message.partition(),
        offset: message.offset(),
        value,
        at: scene.recorder.clock.micros(),
    };
    scene.recorder.note(|history| history.polls.push(poll));
}

/// Errors of nodes that are away are no news; offsets that went away are.
fn complain(scene: &Scene, consumer: u64, error: &KafkaError) {
    use RDKafkaErrorCode::*;
    let code = error.rdkafka_error_code();
    if matches!(
        code,
        Some(AutoOffsetReset | OffsetOutOfRange | BadMessage | InvalidMessage)
    ) {
        let at = scene.recorder.clock.micros();
        let what = format!("consumer {consumer} at {at}: {error}");
        scene.recorder.note(|history| history.complaints.push(what));
    }
}
