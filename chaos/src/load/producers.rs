//! Producers of unique values. One kind is idempotent, keeps its order and tries again by itself; the other tries once, so
//! that a refusal is known to be one.

use std::sync::Arc;
use std::time::Duration;

use compat_tests::luck::Luck;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use super::{LOG, LOG_PARTITIONS, Scene, pace};
use crate::history::{Outcome, Send, Value};
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
}

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, sent: Box<Sent>) {
        let outcome = match delivered {
            // A negative one is librdkafka's for a batch that the broker had already.
            Ok(message) => Outcome::Done(Some(message.offset()).filter(|offset| *offset >= 0)),
            Err((error, _)) => self.failed(error),
        };
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
    };
    let mut config = scene.client();
    config.set("linger.ms", "5");
    if in_order {
        config.set("enable.idempotence", "true");
        config.set("message.timeout.ms", "30000");
    } else {
        config.set("message.send.max.retries", "0");
        config.set("message.timeout.ms", "8000");
    }
    let producer: ThreadedProducer<Context> = config
        .create_with_context(context)
        .expect("the configuration is good");
    let records = LIFE / 2 + luck.below(LIFE);
    for _ in 0..records {
        if !scene.goes_on() || producer.client().fatal_error().is_some() {
            break;
        }
        send(scene, &producer, luck);
        pace(luck, PAUSE_MS);
    }
    // What is not acknowledged by then has timed out.
    let flushed = producer.flush(FLUSH_LIMIT);
    if flushed.is_err() {
        producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
        drop(producer.flush(FLUSH_LIMIT));
    }
}

fn send(scene: &Arc<Scene>, producer: &ThreadedProducer<Context>, luck: &mut Luck) {
    let partition = luck.below(LOG_PARTITIONS as u64) as i32;
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
