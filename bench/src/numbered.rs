//! Numbered records of an idempotent producer that is as its users have it: when each was acknowledged, and how often
//! each is stored in the end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use compat_tests::clock;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, ClientContext};

/// A record that is not acknowledged by then has failed.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);
/// Bytes of a record, its number among them.
const RECORD_BYTES: usize = 100;
/// A read of what is stored that brings nothing for so long has failed.
const READ_PATIENCE: Duration = Duration::from_secs(60);

/// A topic and a partition of it.
pub type Place = (String, i32);

/// Writes to some places in turns: a record's number says to which.
pub struct Numbered {
    producer: ThreadedProducer<Tally>,
    places: Vec<Place>,
    next: AtomicUsize,
}

/// By a record's number, in nanoseconds since the start; 0 is not yet.
struct Tally {
    started: Instant,
    sent: Vec<AtomicU64>,
    acked: Vec<AtomicU64>,
    failed: AtomicU64,
    /// Why the first one failed.
    reason: Mutex<Option<String>>,
}

impl ClientContext for Tally {}

impl ProducerContext for Tally {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(_) => self.acked[number].store(self.now(), Ordering::Relaxed),
            Err((error, _)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                let mut reason = self.reason.lock().expect("no panic");
                reason.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

impl Tally {
    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn time(&self, of: &[AtomicU64], number: usize) -> Option<Instant> {
        let nanos = of[number].load(Ordering::Relaxed);
        (nanos > 0).then(|| self.started + Duration::from_nanos(nanos))
    }
}

/// What became of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    pub sent: usize,
    /// The producer gave them up.
    pub failed: u64,
    /// They were acknowledged and are not stored.
    pub lost: usize,
    /// They are stored more than once.
    pub doubled: usize,
}

impl Numbered {
    /// At most `limit` records; `settings` are the producer's beside its defaults.
    pub fn start(
        kafka: &str,
        places: Vec<Place>,
        limit: usize,
        settings: &[(&str, &str)],
    ) -> Result<Numbered> {
        ensure!(!places.is_empty(), "no partition is written");
        let empty = || (0..limit).map(|_| AtomicU64::new(0)).collect();
        let tally = Tally {
            started: Instant::now(),
            sent: empty(),
            acked: empty(),
            failed: AtomicU64::new(0),
            reason: Mutex::new(None),
        };
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", kafka)
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", GIVEN_UP_AFTER.as_millis().to_string());
        for (name, value) in settings {
            config.set(*name, *value);
        }
        Ok(Numbered {
            producer: config.create_with_context(tally)?,
            places,
            next: AtomicUsize::new(0),
        })
    }

    fn tally(&self) -> &Tally {
        self.producer.context()
    }

    /// Sends at a fixed rate until `stop`.
    pub fn pace(&self, per_second: u32, stop: &AtomicBool) -> Result<()> {
        let (started, gap) = (Instant::now(), Duration::from_secs(1) / per_second);
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            let due = gap * sent;
            if let Some(rest) = due.checked_sub(started.elapsed()) {
                clock::pause(rest);
            }
            self.send(self.next.fetch_add(1, Ordering::Relaxed))?;
            sent += 1;
        }
        Ok(())
    }

    /// Sends one record to each place at once. Returns the number of the first; no record before it is sent later.
    pub fn send_to_all(&self) -> Result<usize> {
        let count = self.places.len();
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        (first..first + count).try_for_each(|number| self.send(number))?;
        Ok(first)
    }

    fn send(&self, number: usize) -> Result<()> {
        let tally = self.tally();
        let sent = tally.sent.get(number);
        let sent = sent.with_context(|| format!("over {number} records"))?;
        sent.store(tally.now(), Ordering::Relaxed);
        let mut value = [b'x'; RECORD_BYTES];
        value[..size_of::<u64>()].copy_from_slice(&(number as u64).to_le_bytes());
        let (topic, partition) = &self.places[number % self.places.len()];
        let record: BaseRecord<'_, (), _, _> =
            BaseRecord::with_opaque_to(topic, number).payload(&value[..]);
        let queued = self.producer.send(record.partition(*partition));
        queued.map_err(|(error, _)| error).context("sending")
    }

    /// For each place when the first record from number `first` on was acknowledged.
    pub fn first_acks(&self, first: usize) -> Vec<Option<Instant>> {
        let mut found: Vec<Option<Instant>> = vec![None; self.places.len()];
        for number in first..self.count() {
            let at = self.tally().time(&self.tally().acked, number);
            let found = &mut found[number % self.places.len()];
            *found = found.or(at).min(at.or(*found));
        }
        found
    }

    /// For each place how long the slowest record from number `first` on waited for its ack, as far as there is one.
    pub fn slowest(&self, first: usize) -> Vec<Duration> {
        let tally = self.tally();
        let mut slowest = vec![Duration::ZERO; self.places.len()];
        for number in first..self.count() {
            let times = (
                tally.time(&tally.sent, number),
                tally.time(&tally.acked, number),
            );
            if let (Some(sent), Some(acked)) = times {
                let slowest = &mut slowest[number % self.places.len()];
                *slowest = acked.saturating_duration_since(sent).max(*slowest);
            }
        }
        slowest
    }

    fn count(&self) -> usize {
        let next = self.next.load(Ordering::Relaxed);
        next.min(self.tally().sent.len())
    }

    /// Waits for all acks, and reads back what is stored.
    pub fn finish(&self, kafka: &str) -> Result<Fate> {
        // What fails is told of one by one.
        self.producer.flush(GIVEN_UP_AFTER * 2)?;
        let tally = self.tally();
        if let Some(reason) = tally.reason.lock().expect("no panic").as_ref() {
            println!("    the first record that was given up: {reason}");
        }
        let stored = self.read(kafka)?;
        let times = |number: &usize| stored.get(&(*number as u64)).copied().unwrap_or(0);
        let numbers = 0..self.count();
        let lost = numbers.clone().filter(|number| {
            let acked = tally.time(&tally.acked, *number).is_some();
            acked && times(number) == 0
        });
        Ok(Fate {
            sent: numbers.len(),
            failed: tally.failed.load(Ordering::Relaxed),
            lost: lost.count(),
            doubled: numbers.filter(|number| times(number) > 1).count(),
        })
    }

    /// How often each number is stored.
    fn read(&self, kafka: &str) -> Result<BTreeMap<u64, u32>> {
        let reader: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("group.id", "afterwards")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut assigned = TopicPartitionList::new();
        let mut left = 0;
        for (topic, partition) in &self.places {
            // The client asks once only, and perhaps a node that is away.
            let ask = || {
                let limit = Duration::from_secs(5);
                reader.fetch_watermarks(topic, *partition, limit).ok()
            };
            let ends = clock::wait_for(READ_PATIENCE, Duration::from_millis(50), ask);
            let (begin, end) = ends.with_context(|| format!("{topic}-{partition} has no end"))?;
            left += end - begin;
            assigned.add_partition_offset(topic, *partition, Offset::Beginning)?;
        }
        reader.assign(&assigned)?;
        let mut stored = BTreeMap::new();
        while left > 0 {
            // An error tells of a node that is away.
            let poll = || reader.poll(Duration::from_secs(1))?.ok();
            let Some(record) = clock::wait_for(READ_PATIENCE, Duration::ZERO, poll) else {
                bail!("{left} of the stored records cannot be read");
            };
            let number = record.payload().and_then(|value| value.first_chunk());
            let number = u64::from_le_bytes(*number.context("a record has no number")?);
            *stored.entry(number).or_default() += 1;
            left -= 1;
        }
        Ok(stored)
    }
}
