//! librdkafka as a producer that counts what was refused, so that no figure stands for records that did not enter.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use compat_tests::clock;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message, ToBytes};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, ClientContext};

/// What is allowed to take as long as it needs, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for every record's acknowledgement in [`Load::finish`].
pub struct Load(ThreadedProducer<Acks>);

/// What came back.
struct Acks {
    refused: AtomicU64,
    /// When the record of number 0 is due.
    started: OnceLock<Instant>,
    gap: Duration,
    /// By a record's number, in nanoseconds from when it was due.
    latencies: Vec<AtomicU64>,
}

/// The number of records that are not timed.
pub const UNTIMED: usize = usize::MAX;
/// What such a record has in place of its number.
const UNNUMBERED: u64 = u64::MAX;

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        if result.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        if let (Some(latency), Some(started)) = (self.latencies.get(number), self.started.get()) {
            let late = started.elapsed() - self.gap * number as u32;
            latency.store(late.as_nanos() as u64, Ordering::Relaxed);
        }
    }
}

impl Load {
    pub fn start(kafka: &str, linger_ms: u32) -> Result<Load> {
        Load::timed(kafka, linger_ms, Duration::ZERO, 0)
    }

    /// Measures the latencies of the first `count` records, which are due `gap` after each other.
    fn timed(kafka: &str, linger_ms: u32, gap: Duration, count: usize) -> Result<Load> {
        let acks = Acks {
            refused: AtomicU64::new(0),
            started: OnceLock::new(),
            gap,
            latencies: (0..count).map(|_| AtomicU64::new(0)).collect(),
        };
        let producer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("acks", "all")
            .set("linger.ms", linger_ms.to_string())
            .set("retry.backoff.ms", "10")
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "524288")
            .create_with_context(acks)?;
        Ok(Load(producer))
    }

    /// Queues a record, when there is room for it.
    pub fn send<K, P>(&self, record: BaseRecord<'_, K, P, usize>) -> Result<()>
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
    pub fn finish(&self) -> Result<()> {
        self.0.flush(PATIENCE)?;
        let refused = self.0.context().refused.load(Ordering::Relaxed);
        ensure!(refused == 0, "{refused} records were not acknowledged");
        Ok(())
    }
}

/// Records of one size at a fixed rate.
#[derive(Debug, Clone)]
pub struct Paced {
    pub topic: String,
    pub partitions: i32,
    pub record_bytes: usize,
    pub per_second: u32,
    pub seconds: u64,
    pub linger_ms: u32,
}

impl Paced {
    pub fn records(&self) -> u64 {
        u64::from(self.per_second) * self.seconds
    }

    pub fn bytes(&self) -> u64 {
        self.records() * self.record_bytes as u64
    }

    fn gap(&self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }

    /// Sends all records and waits for their acks. Returns the sorted latencies, each from when the record was due
    /// rather than from when it was sent, so that a slow answer also counts for the records that waited behind it.
    pub fn run(&self, kafka: &str) -> Result<Vec<Duration>> {
        Ok(self.send_all(kafka)?.1)
    }

    /// As [`Paced::run`], while a reader reads what arrives: its latencies, sorted too, are the second ones.
    pub fn run_and_read(&self, kafka: &str) -> Result<(Vec<Duration>, Vec<Duration>)> {
        let reader = self.reader(kafka)?;
        let (acks, arrived) = thread::scope(|scope| {
            let arrived = scope.spawn(move || self.read_all(&reader));
            let acks = self.send_all(kafka);
            (acks, arrived.join().expect("no panic"))
        });
        let ((started, acks), arrived) = (acks?, arrived?);
        let late = |(number, at): &(u64, Instant)| {
            at.saturating_duration_since(started + self.gap() * *number as u32)
        };
        let mut latencies: Vec<Duration> = arrived.iter().map(late).collect();
        latencies.sort_unstable();
        Ok((acks, latencies))
    }

    /// A consumer at the end of each partition.
    fn reader(&self, kafka: &str) -> Result<BaseConsumer> {
        let reader: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("group.id", "arriving")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut assigned = TopicPartitionList::new();
        for partition in 0..self.partitions {
            let (_, end) = reader.fetch_watermarks(&self.topic, partition, PATIENCE)?;
            assigned.add_partition_offset(&self.topic, partition, Offset::Offset(end))?;
        }
        reader.assign(&assigned)?;
        Ok(reader)
    }

    /// The numbers of all records but the first of each partition, and when they were read.
    fn read_all(&self, reader: &BaseConsumer) -> Result<Vec<(u64, Instant)>> {
        let mut arrived = Vec::new();
        while arrived.len() < self.records() as usize {
            let record = reader
                .poll(PATIENCE)
                .context("a record did not arrive in time")??;
            let number = record.payload().and_then(|value| value.first_chunk());
            let number = u64::from_le_bytes(*number.context("a record has no number")?);
            if number != UNNUMBERED {
                arrived.push((number, Instant::now()));
            }
        }
        Ok(arrived)
    }

    /// When the first record was due, and the acks' sorted latencies.
    fn send_all(&self, kafka: &str) -> Result<(Instant, Vec<Duration>)> {
        let gap = self.gap();
        let load = Load::timed(kafka, self.linger_ms, gap, self.records() as usize)?;
        let mut value = vec![b'x'; self.record_bytes.max(size_of::<u64>())];
        let mut send = |partition, number: usize| {
            let shown = if number == UNTIMED {
                UNNUMBERED
            } else {
                number as u64
            };
            value[..size_of::<u64>()].copy_from_slice(&shown.to_le_bytes());
            let record: BaseRecord<'_, (), _, _> =
                BaseRecord::with_opaque_to(&self.topic, number).payload(&value);
            load.send(record.partition(partition))
        };
        // Connections and metadata are the client's start, which is not measured.
        for partition in 0..self.partitions {
            send(partition, UNTIMED)?;
        }
        load.finish()?;
        let acks = load.0.context();
        let started = *acks.started.get_or_init(Instant::now);
        for number in 0..self.records() as usize {
            let due = gap * number as u32;
            if let Some(rest) = due.checked_sub(started.elapsed()) {
                clock::pause(rest);
            }
            send((number % self.partitions as usize) as i32, number)?;
        }
        load.finish()?;
        let nanos = acks
            .latencies
            .iter()
            .map(|nanos| nanos.load(Ordering::Relaxed));
        let mut latencies: Vec<Duration> = nanos.map(Duration::from_nanos).collect();
        latencies.sort_unstable();
        Ok((started, latencies))
    }
}

/// Creates topics, a few at a time, so that no answer takes too long.
pub fn create_topics(
    kafka: &str,
    names: &[String],
    partitions: i32,
    replicas: i32,
    settings: &[(&str, &str)],
) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .create()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let options = AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE));
    for some in names.chunks(5) {
        let topics: Vec<_> = some
            .iter()
            .map(|name| NewTopic {
                config: settings.to_vec(),
                ..NewTopic::new(name, partitions, TopicReplication::Fixed(replicas))
            })
            .collect();
        for result in runtime.block_on(admin.create_topics(&topics, &options))? {
            if let Err((name, code)) = result {
                bail!("creating {name}: {code}");
            }
        }
    }
    Ok(())
}

/// Creates a topic of one replica.
pub fn create_topic(kafka: &str, name: &str, partitions: i32) -> Result<()> {
    create_topics(kafka, &[name.to_owned()], partitions, 1, &[])
}
