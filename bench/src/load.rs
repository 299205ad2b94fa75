//! A librdkafka producer that counts what was refused, so that no figure stands for records that did not enter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use compat_tests::clock;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, ToBytes};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

/// Waits for every record's acknowledgement in [`Load::finish`].
pub struct Load(ThreadedProducer<Refused>);

#[derive(Default)]
struct Refused(AtomicU64);

impl ClientContext for Refused {}

impl ProducerContext for Refused {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Load {
    pub fn start(kafka: &str, linger_ms: u32) -> Result<Load> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("acks", "all")
            .set("linger.ms", linger_ms.to_string())
            .set("retry.backoff.ms", "10")
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "524288")
            .create_with_context(Refused::default())?;
        Ok(Load(producer))
    }

    /// Queues a record, when there is room for it.
    pub fn send<K, P>(&self, record: BaseRecord<'_, K, P>) -> Result<()>
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        let mut record = record;
        while let Err((error, back)) = self.0.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                bail!("{error}");
            }
            record = back;
            clock::pause(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Returns when all records are acknowledged.
    pub fn finish(self) -> Result<()> {
        self.0.flush(Duration::from_secs(60))?;
        let refused = self.0.context().0.load(Ordering::Relaxed);
        ensure!(refused == 0, "{refused} records were not acknowledged");
        Ok(())
    }
}
