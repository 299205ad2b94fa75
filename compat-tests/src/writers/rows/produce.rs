//! Rows written by an idempotent producer with Java's partitioner.

use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Acked, TABLE, write_of};
use crate::writers::log::{NUMBER, Stored};
use crate::writers::{Progress, Run};

pub const WRITER: &str = "produced";
const IN_FLIGHT: usize = 50;

/// Upserts and deletes until the end of the run, then waits for every ack.
pub async fn write(run: Arc<Run>, progress: Arc<Progress>) -> Vec<Acked> {
    let producer: FutureProducer = run
        .producer()
        .set("partitioner", "murmur2_random")
        .create()
        .expect("a producer");
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut acks = JoinSet::new();
    let mut next = 0;
    while run.goes_on() {
        let permit = room.clone().acquire_owned().await.expect("open");
        let progress = progress.clone();
        let number = next;
        next += 1;
        let (key, value) = write_of(&run, WRITER, number);
        let text = number.to_string();
        let headers = OwnedHeaders::new().insert(Header {
            key: NUMBER,
            value: Some(&text),
        });
        let record = FutureRecord {
            payload: value.as_deref(),
            ..FutureRecord::to(TABLE).key(&key[..]).headers(headers)
        };
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
            let place = (delivered.partition, delivered.offset);
            Acked { key, value, place }
        });
    }
    acks.join_all().await
}

/// None of the producer's records is doubled or out of order.
pub fn check(stored: &Stored) {
    let mut last = HashMap::new();
    for (place, record) in stored {
        let Some(number) = record.number else {
            continue;
        };
        let before = last.insert(place.0, number);
        assert!(
            before.is_none_or(|before| before < number),
            "row {number} is doubled or out of order: {record:?}"
        );
    }
}
