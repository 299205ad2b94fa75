//! Who writes: once each and whatever comes of it, or idempotent and until all of it is stored.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::time::timeout;
use weir_broker::kafka::produce::request::TopicRef;
use weir_broker::shard::entry::PartitionId;
use weir_broker::shard::proposer::{Ack, AppendError, Part, Submit};
use weir_broker::shard::refusals::Refusals;
use weir_log::{BatchBuilder, Codec, ProduceRules};
use weir_sim::Rng;

use super::{Clients, TIMEOUT, TopicHere, pause};
use crate::app::DataNode;
use crate::model::{ID_HEADER, Policy, RecordId, UNORDERED};

/// Requests that an idempotent producer has in flight.
const IN_FLIGHT: usize = 5;
const KEYS: u64 = 12;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sent {
    /// In an epoch of leaders, at an offset.
    Appended(i32, i64),
    /// For good, and nothing was appended.
    Refused(&'static str),
    /// By the state of its producer, in an epoch of leaders.
    OutOfOrder(i32),
    Unknown,
}

/// One request with one batch, as `kafka::produce` sends it on.
fn send(
    node: Option<Arc<DataNode>>,
    connection: Arc<Refusals>,
    id: PartitionId,
    batch: BytesMut,
) -> BoxFuture<'static, Sent> {
    let refused = |why| -> BoxFuture<'static, Sent> { Box::pin(async move { Sent::Refused(why) }) };
    let Some(node) = node else {
        return refused("no broker");
    };
    let partition = node.plane.partitions.get(id);
    let view = node.topics.get(&TopicRef::Id(id.topic));
    let Some((partition, view)) = partition.zip(view) else {
        return refused("no partition");
    };
    let leadership = partition.leadership();
    if !leadership.open {
        return refused("no leader");
    }
    let epoch = partition.epoch_in(leadership.term);
    let rules = ProduceRules {
        now_ms: i64::MAX / 2,
        produce_version: 9,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        ..view.rules
    };
    let batch = weir_log::validate(batch, &rules).expect("clients send legal batches");
    let (reply, outcome) = oneshot::channel();
    let shard = partition.shard.clone();
    let frame_bytes = batch.bytes.len();
    let part = Part {
        partition,
        batch,
        ack: Ack::Committed,
    };
    shard.submit(Submit {
        parts: vec![part],
        frame_bytes,
        term: None,
        refusals: connection,
        reply,
    });
    let life = node.life.clone();
    // Nobody keeps a broker that is gone.
    drop(node);
    Box::pin(async move {
        let results = timeout(TIMEOUT, outcome).await;
        let Ok(Ok(mut results)) = results else {
            return Sent::Unknown;
        };
        if life.is_over() {
            return Sent::Unknown;
        }
        match results.pop().expect("one part, one result") {
            Ok(appended) => Sent::Appended(epoch, appended.base_offset),
            Err(AppendError::NotLeader) => Sent::Refused("not the leader"),
            Err(AppendError::Detached) => Sent::Refused("detached"),
            Err(AppendError::Unknown) => Sent::Unknown,
            Err(AppendError::Producer(_)) => Sent::OutOfOrder(epoch),
        }
    })
}

/// Makes batches with records that are all different.
pub struct Source {
    pub producer: u32,
    next: u32,
    keyed: bool,
    rng: Rng,
}

/// One batch of a producer.
#[derive(Clone)]
struct Batch {
    ids: Vec<RecordId>,
    bytes: BytesMut,
}

impl Source {
    pub fn new(clients: &Clients, keyed: bool) -> Source {
        Source {
            producer: clients.next_producer.fetch_add(1, Ordering::Relaxed),
            next: 0,
            keyed,
            rng: clients.rng.fork(),
        }
    }

    /// `producer`: id, epoch and the sequence number of the first record.
    fn batch(&mut self, now_ms: i64, producer: Option<(i64, i16, i32)>) -> Batch {
        let codec = match self.rng.below(8) {
            0 => Codec::Lz4,
            1 => Codec::Gzip,
            _ => Codec::None,
        };
        let mut builder = BatchBuilder::new(codec);
        if let Some((id, epoch, sequence)) = producer {
            builder = builder.producer(id, epoch, sequence);
        }
        let mut ids = Vec::new();
        for _ in 0..self.rng.within(1..5) {
            let id = RecordId {
                producer: self.producer,
                number: self.next,
            };
            self.next += 1;
            ids.push(id);
            let longest = if self.rng.chance(20) { 5000 } else { 300 };
            let value = vec![self.next as u8; self.rng.below(longest) as usize];
            let key = self.rng.below(KEYS).to_be_bytes();
            let tombstone = self.keyed && self.rng.chance(200);
            builder.append(
                now_ms,
                self.keyed.then_some(&key[..]),
                (!tombstone).then_some(&value[..]),
                &[(ID_HEADER, Some(&id.to_bytes()))],
            );
        }
        Batch {
            ids,
            bytes: builder.build().expect("it is built"),
        }
    }
}

/// Sends each batch once and goes on whatever comes of it.
pub async fn plain_producer(clients: Arc<Clients>, topic: TopicHere) {
    let keyed = matches!(topic.policy, Policy::Compact { .. });
    let mut source = Source::new(&clients, keyed);
    source.producer |= UNORDERED;
    let rng = clients.rng.fork();
    while !clients.is_finishing() {
        let id = *rng.pick(&topic.partitions);
        if !clients.watch.is_there(id) {
            return;
        }
        plain_send(&clients, &rng, &mut source, id).await;
        pause(&rng, 5..120).await;
    }
}

pub async fn plain_send(clients: &Clients, rng: &Rng, source: &mut Source, id: PartitionId) {
    let batch = source.batch(clients.watch.now_ms(), None);
    let node = clients.find(id, rng);
    let sent = send(node, Arc::default(), id, batch.bytes).await;
    clients.watch.check(id, |model| match sent {
        Sent::Appended(epoch, base_offset) => model.ack(epoch, base_offset, &batch.ids),
        Sent::Refused(why) => model.refuse(&batch.ids, why),
        Sent::OutOfOrder(_) => Err("L4: a batch without a producer is out of order".to_owned()),
        Sent::Unknown => Ok(()),
    });
}

/// A batch that an idempotent producer has not seen acknowledged.
struct Pending {
    batch: Batch,
    in_flight: bool,
}

/// Sends each batch until it is acknowledged, up to [`IN_FLIGHT`] at a time.
struct Idempotent {
    clients: Arc<Clients>,
    id: PartitionId,
    producer_id: i64,
    epoch: i16,
    next_sequence: i32,
    source: Source,
    rng: Rng,
    /// The number of `pending[0]`.
    first: u64,
    pending: VecDeque<Option<Pending>>,
    /// Something failed: nothing is sent before all that is in flight has come back.
    retrying: bool,
    /// The last epoch of leaders in which a batch was acknowledged. Until one was a broker takes any for the first, so they are
    /// sent one at a time: they do not share a connection that would keep their order.
    acked_in: Option<i32>,
    /// The connection on which its first batch is sent, which may have any number: a broker may wait for number 0 first,
    /// and for a moment only where it is the same one that sends it again.
    unknown_on: Arc<Refusals>,
    /// The last one that was acknowledged, to be sent once more.
    last: Option<(Batch, i64)>,
}

pub async fn idempotent_producer(clients: Arc<Clients>, topic: TopicHere, partition: usize) {
    let id = topic.partitions[partition];
    let keyed = matches!(topic.policy, Policy::Compact { .. });
    let source = Source::new(&clients, keyed);
    let rng = clients.rng.fork();
    let near_the_end = rng.chance(500);
    let producer = Idempotent {
        id,
        producer_id: i64::from(source.producer),
        epoch: 0,
        next_sequence: if near_the_end {
            i32::MAX - rng.below(60) as i32
        } else {
            0
        },
        source,
        rng,
        first: 0,
        pending: VecDeque::new(),
        retrying: false,
        acked_in: None,
        unknown_on: Arc::default(),
        last: None,
        clients,
    };
    producer.run().await;
}

type Flight = BoxFuture<'static, (u64, Sent)>;

impl Idempotent {
    async fn run(mut self) {
        let mut flights: FuturesUnordered<Flight> = FuturesUnordered::new();
        loop {
            if !self.clients.watch.is_there(self.id) {
                return;
            }
            if flights.is_empty() {
                self.retrying = false;
            }
            self.make();
            if !self.retrying {
                for number in self.to_send() {
                    flights.push(self.fly(number));
                }
            }
            match flights.next().await {
                Some((number, sent)) => self.settle(number, sent),
                None if self.clients.is_finishing() => return,
                None => {}
            }
            self.duplicate().await;
            let longest = if self.rng.chance(700) { 2 } else { 80 };
            pause(&self.rng, 1..longest).await;
            if self.retrying && flights.is_empty() {
                pause(&self.rng, 50..200).await;
            }
        }
    }

    /// Adds batches, up to as many as may be in flight.
    fn make(&mut self) {
        if self.clients.is_finishing() {
            return;
        }
        if self.pending.is_empty() && self.rng.chance(30) {
            self.epoch += 1;
            self.next_sequence = 0;
            self.last = None;
        }
        while self.pending.len() < IN_FLIGHT && self.rng.chance(700) {
            let producer = (self.producer_id, self.epoch, self.next_sequence);
            let now_ms = self.clients.watch.now_ms();
            let batch = self.source.batch(now_ms, Some(producer));
            let next = i64::from(self.next_sequence) + batch.ids.len() as i64;
            self.next_sequence = (next & i64::from(i32::MAX)) as i32;
            self.pending.push_back(Some(Pending {
                batch,
                in_flight: false,
            }));
        }
    }

    fn to_send(&self) -> Vec<u64> {
        let mut there = self.pending.iter().flatten();
        if self.acked_in.is_none() && there.any(|pending| pending.in_flight) {
            return Vec::new();
        }
        let waiting = (self.first..).zip(&self.pending);
        let waiting = waiting.filter(|(_, pending)| {
            let pending = pending.as_ref();
            pending.is_some_and(|pending| !pending.in_flight)
        });
        let most = if self.acked_in.is_some() {
            IN_FLIGHT
        } else {
            1
        };
        waiting.map(|(number, _)| number).take(most).collect()
    }

    fn fly(&mut self, number: u64) -> Flight {
        let node = self.clients.find(self.id, &self.rng);
        let connection = match self.acked_in {
            None => self.unknown_on.clone(),
            Some(_) => Arc::default(),
        };
        let at = (number - self.first) as usize;
        let pending = self.pending[at].as_mut().expect("it waits");
        pending.in_flight = true;
        let sent = send(node, connection, self.id, pending.batch.bytes.clone());
        Box::pin(async move { (number, sent.await) })
    }

    fn settle(&mut self, number: u64, sent: Sent) {
        let at = (number - self.first) as usize;
        let slot = &mut self.pending[at];
        match sent {
            Sent::Appended(epoch, base_offset) => {
                self.acked_in = self.acked_in.max(Some(epoch));
                let batch = slot.take().expect("it was in flight").batch;
                let watch = &self.clients.watch;
                watch.check(self.id, |model| model.ack(epoch, base_offset, &batch.ids));
                self.last = Some((batch, base_offset));
            }
            Sent::OutOfOrder(epoch)
                if at == 0 && self.acked_in.is_some_and(|acked| acked <= epoch) =>
            {
                let what = format!("L4: the next batch of a producer is refused in epoch {epoch}");
                self.clients.watch.check(self.id, |_| Err(what));
            }
            Sent::Refused(_) | Sent::OutOfOrder(_) | Sent::Unknown => {
                slot.as_mut().expect("it was in flight").in_flight = false;
                self.retrying = true;
            }
        }
        while let Some(None) = self.pending.front() {
            self.pending.pop_front();
            self.first += 1;
        }
    }

    /// Now and then what was acknowledged last comes again, as by a network that repeats it.
    async fn duplicate(&mut self) {
        if !self.rng.chance(100) || self.pending.iter().flatten().count() > 2 {
            return;
        }
        let Some((batch, base_offset)) = self.last.clone() else {
            return;
        };
        let node = self.clients.find(self.id, &self.rng);
        let again = send(node, Arc::default(), self.id, batch.bytes).await;
        if let Sent::Appended(_, offset) = again
            && offset != base_offset
        {
            let ids = batch.ids;
            self.clients.watch.check(self.id, |_| {
                Err(format!(
                    "L4: {ids:?} was acknowledged at {base_offset}, and again at {offset}"
                ))
            });
        }
    }
}
