//! Producers of unique values. One kind is idempotent, keeps its order and tries again by itself; the other tries once, so
//! that a refusal is known to be one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use compat_tests::luck::Luck;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use super::{LOG, LOG_PARTITIONS, Scene, pace};
use crate::history::{Bump, Outcome, Send, Value};
use crate::time::Micros;

pub const ORDERED: u64 = 3;
pub const PLAIN: u64 = 2;
const PAUSE_MS: u64 = 15;
/// Behind the value, so that segments fill.
const PADDING: usize = 700;
const FLUSH_LIMIT: Duration = Duration::from_secs(40);
/// A producer is replaced by a new one after about so many records.
const LIFE: u64 = 1_500;

/// Begin and value of a record that is on its way.
struct Sent {
    value: Value,
    partition: i32,
    began: Micros,
}

struct Context {
    scene: Arc<Scene>,
    producer: u64,
    in_order: bool,
    acked: AtomicU64,
}

impl ClientContext for Context {
    /// What librdkafka does about sequence numbers explains a duplicate.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        if message.contains("-> DrainBump") {
            let (producer, at) = (self.producer, self.scene.recorder.clock.micros());
            self.scene
                .recorder
                .note(|history| history.bumps.push(Bump { producer, at }));
        }
        self.scene.log(&format!(
            "producer {}: {facility}: {message}",
            self.producer
        ));
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, sent: Box<Sent>) {
        let outcome = match delivered {
            // A negative one is librdkafka's for a batch that the broker had already.
            Ok(message) => Outcome::Done(Some(message.offset()).filter(|offset| *offset >= 0)),
            Err((error, _)) => self.failed(error),
        };
        self.acked
            .fetch_add(u64::from(delivered.is_ok()), Ordering::AcqRel);
        self.note(&sent, outcome);
    }
}

impl Context {
    fn note(&self, sent: &Sent, outcome: Outcome<Option<i64>>) {
        let ended = self.scene.recorder.clock.micros();
        let send = Send {
            producer: self.producer,
            in_order: self.in_order,
            partition: sent.partition,
            value: sent.value,
            began: sent.began,
            ended,
            outcome,
        };
        self.scene.recorder.note(|history| history.sends.push(send));
    }

    /// Only who tries once knows what an error says of all tries.
    fn failed(&self, error: &KafkaError) -> Outcome<Option<i64>> {
        use RDKafkaErrorCode::*;
        let refused = matches!(
            error.rdkafka_error_code(),
            Some(
                NotLeaderForPartition
                    | LeaderNotAvailable
                    | NotEnoughReplicas
                    | UnknownTopicOrPartition
                    | KafkaStorageError
            )
        );
        if refused && !self.in_order {
            Outcome::Refused(error.to_string())
        } else {
            Outcome::Unknown(error.to_string())
        }
    }
}

/// Sends until the end.
pub fn run(scene: &Arc<Scene>, number: u64, in_order: bool) {
    let mut luck = Luck::new(scene.seed ^ (number << 8));
    let mut life = 0;
    while scene.goes_on() {
        live(scene, number * 1_000 + life, in_order, &mut luck);
        life += 1;
    }
}

/// One producer, until it is old or fails for good.
fn live(scene: &Arc<Scene>, id: u64, in_order: bool, luck: &mut Luck) {
    let context = Context {
        scene: scene.clone(),
        producer: id,
        in_order,
        acked: AtomicU64::new(0),
    };
    let mut config = scene.client();
    config.set("linger.ms", "5");
    if in_order {
        config.set("enable.idempotence", "true").set("debug", "eos");
        config.set_log_level(RDKafkaLogLevel::Debug);
        config.set("message.timeout.ms", "30000");
    } else {
        config.set("message.send.max.retries", "0");
        config.set("message.timeout.ms", "8000");
    }
    let producer: ThreadedProducer<Context> = config
        .create_with_context(context)
        .expect("the configuration is good");
    let is_known = !in_order || warm_up(scene, &producer);
    let records = if is_known {
        LIFE / 2 + luck.below(LIFE)
    } else {
        0
    };
    for _ in 0..records {
        if !scene.goes_on() || producer.client().fatal_error().is_some() {
            break;
        }
        send(scene, &producer, luck.below(LOG_PARTITIONS as u64) as i32);
        pace(luck, PAUSE_MS);
    }
    // What is not acknowledged by then has timed out.
    let flushed = producer.flush(FLUSH_LIMIT);
    if flushed.is_err() {
        producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
        drop(producer.flush(FLUSH_LIMIT));
    }
}

/// One record to each partition alone; whether all were acknowledged.
///
/// A broker takes any sequence number of a producer that it does not know for the first, as Kafka does: were the first
/// request lost and the second not, librdkafka would take the first for acknowledged.
fn warm_up(scene: &Arc<Scene>, producer: &ThreadedProducer<Context>) -> bool {
    (0..LOG_PARTITIONS).for_each(|partition| send(scene, producer, partition));
    let all = producer.flush(FLUSH_LIMIT).is_ok();
    all && producer.context().acked.load(Ordering::Acquire) == LOG_PARTITIONS as u64
}

fn send(scene: &Arc<Scene>, producer: &ThreadedProducer<Context>, partition: i32) {
    let sent = Sent {
        value: scene.value(),
        partition,
        began: scene.recorder.clock.micros(),
    };
    let payload = format!("{}:{}", sent.value, "x".repeat(PADDING));
    let record = BaseRecord::<(), str, Box<Sent>>::with_opaque_to(LOG, Box::new(sent))
        .payload(&payload)
        .partition(partition);
    if let Err((error, record)) = producer.send(record) {
        // The queue is full, or the producer ended: it was never sent.
        let outcome = Outcome::Refused(error.to_string());
        let context = producer.context();
        context.note(&record.delivery_opaque, outcome);
    }
}

/// The value in a payload.
pub fn value(payload: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(payload).ok()?;
    text.split(':').next()?.parse().ok()
}
