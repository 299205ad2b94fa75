//! Produce (key 0), versions 3–13: appends record batches.
//! v5 log start · v8 record errors (KIP-467) · v9 flexible · v10 leader endpoints (KIP-951) ·
//! v12 as v11 (transactions, which are refused here) · v13 topic ids (KIP-516)
//!
//! The ordered stage checks every batch and puts it into its shard's queue, so that a connection's
//! batches keep their order; the response stage waits for the outcomes. Batches that are much work
//! are checked in the response stage, in their turn: `apart`. A batch that is refused keeps its place
//! before those that follow it: `shard::refusals`.

mod admit;
mod apart;
mod enforce;
pub mod request;
mod response;
mod table;

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::future::{Either, join_all, ready};
use kafka_protocol::messages::{ApiKey, ProduceResponse};
use kafka_protocol::protocol::Encodable;
use tokio::sync::oneshot;

use self::admit::{Declined, Facts};
pub use self::apart::Turns;
use self::apart::{HERE_BYTES, Large};
use self::request::{ProduceRequest, TopicRef};
pub use self::response::Refused;
use crate::broker::Broker;
use crate::kafka::patience::patience_for_a_write;
use crate::kafka::{Body, RawApi, Reply, RequestHead, Session};
use crate::partition::Stage;
use crate::shard::host::ShardHost;
use crate::shard::proposer::{AppendError, Part, PartResult, Submit};
use crate::shard::refusals::Refusals;

/// One partition of a request, in the request's order.
struct Slot {
    topic: usize,
    index: i32,
    log_start_offset: i64,
    result: Result<PartResult, Refused>,
}

/// What goes to one shard, and for which slots.
struct Batch {
    shard: Arc<ShardHost>,
    parts: Vec<Part>,
    slots: Vec<usize>,
}

/// The ordered stage; the future is the response stage. `None`: the client wants no answer.
pub fn produce(
    broker: &Arc<Broker>,
    session: &Arc<Session>,
    version: i16,
    request: ProduceRequest,
) -> impl Future<Output = Result<Option<ProduceResponse>, CloseConnection>> + Send + 'static + use<>
{
    let (acks, frame_bytes) = (request.acks, request.frame_bytes);
    let timeout = patience_for_a_write(request.timeout_ms);
    let facts = Facts {
        version,
        client_id: session.client_id(),
        acks,
        has_transactional_id: request.transactional_id.is_some(),
        max_decompressed_bytes: HERE_BYTES,
        latest: !broker.peers.possible() || broker.shards.metadata().leadership().open,
        refusals: session.refusals.clone(),
    };
    let submit = {
        let refusals = session.refusals.clone();
        move |batch: Batch| submit(batch, frame_bytes, &refusals)
    };
    let Started {
        topics,
        mut slots,
        batches,
        large,
        throttle,
    } = start(broker, &facts, request);
    let turn = session.produce_turns.take(!large.is_empty());
    let (mut waits, mut batches) = (Vec::new(), batches);
    if turn.is_none() {
        waits.extend(batches.drain(..).map(&submit));
    }
    let (broker, session) = (broker.clone(), session.clone());
    async move {
        if let Some(turn) = turn {
            turn.comes().await;
            for (slot, checked) in apart::check(broker.clone(), facts, large).await {
                settle_admission(&mut batches, &mut slots, slot, checked);
            }
            waits.extend(batches.into_iter().map(&submit));
            drop(turn);
        }
        for (indices, results) in
            join_all(waits.into_iter().map(|wait| settle(wait, timeout))).await
        {
            for (slot, result) in indices.into_iter().zip(results) {
                slots[slot].result = Ok(result);
            }
        }
        session.hold_back(throttle);
        if acks == 0 {
            // Nobody reads an answer: an error is told by closing the connection, as Kafka does.
            let failed = slots.iter().any(|slot| !matches!(slot.result, Ok(Ok(_))));
            return if failed {
                Err(CloseConnection)
            } else {
                Ok(None)
            };
        }
        let response = response::answer(&broker, version, topics, slots);
        Ok(Some(response.with_throttle_time_ms(millis(throttle))))
    }
}

/// A request without acks failed.
#[derive(Debug, PartialEq, Eq)]
pub struct CloseConnection;

/// What the ordered stage leaves to the response stage.
struct Started {
    topics: Vec<TopicRef>,
    slots: Vec<Slot>,
    batches: Vec<Batch>,
    large: Vec<Large>,
    /// How long the client is held back.
    throttle: Duration,
}

fn start(broker: &Arc<Broker>, facts: &Facts, request: ProduceRequest) -> Started {
    let mut topics = Vec::with_capacity(request.topics.len());
    let mut slots = Vec::new();
    let mut batches: Vec<Batch> = Vec::new();
    let mut large = Vec::new();
    let (whole, throttle) = match admit::check_request(request.acks) {
        Ok(()) => admit::check_space(broker, &request),
        refused => (refused, Duration::ZERO),
    };
    // A topic without partitions is not answered.
    for data in request
        .topics
        .into_iter()
        .filter(|topic| !topic.partitions.is_empty())
    {
        let topic = topics.len();
        let view = broker.topic_view(&data.topic);
        for mut partition in data.partitions {
            let slot = slots.len();
            slots.push(Slot {
                topic,
                index: partition.index,
                log_start_offset: -1,
                result: Ok(Err(AppendError::Unknown)),
            });
            let admitted = match &whole {
                Err(refused) => {
                    admit::note(facts, view.as_deref(), &partition, refused);
                    Err(refused.clone().into())
                }
                Ok(()) => admit::admit(
                    broker,
                    facts,
                    view.as_deref(),
                    &data.topic,
                    &mut partition,
                    &request.sums,
                ),
            };
            match (admitted, &view) {
                (Err(Declined::Apart), Some(view)) => large.push(Large {
                    slot,
                    view: view.clone(),
                    topic: data.topic.clone(),
                    data: partition,
                }),
                (admitted, _) => {
                    let admitted = admitted.map_err(Declined::refused);
                    settle_admission(&mut batches, &mut slots, slot, admitted);
                }
            }
        }
        topics.push(data.topic);
    }
    Started {
        topics,
        slots,
        batches,
        large,
        throttle,
    }
}

/// A batch that was admitted goes into its shard's queue; a refusal is the slot's result.
fn settle_admission(
    batches: &mut Vec<Batch>,
    slots: &mut [Slot],
    at: usize,
    admitted: Result<Part, Refused>,
) {
    match admitted {
        Ok(part) => {
            slots[at].log_start_offset = part.partition.log_start_offset();
            add(batches, part, at);
        }
        Err(refused) => slots[at].result = Err(refused),
    }
}

fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

fn add(batches: &mut Vec<Batch>, part: Part, slot: usize) {
    let shard = &part.partition.shard;
    if let Some(batch) = batches.iter_mut().find(|batch| batch.shard.id == shard.id) {
        batch.parts.push(part);
        batch.slots.push(slot);
    } else {
        batches.push(Batch {
            shard: shard.clone(),
            parts: vec![part],
            slots: vec![slot],
        });
    }
}

type Wait = (Vec<usize>, oneshot::Receiver<Vec<PartResult>>);

/// Each shard answers for the whole frame, since it may be the last to let it go.
fn submit(batch: Batch, frame_bytes: usize, refusals: &Arc<Refusals>) -> Wait {
    let (reply, outcome) = oneshot::channel();
    for part in &batch.parts {
        // It moved while its request waited for its turn: what follows is looked at elsewhere, and perhaps before it.
        if part.partition.stage() != Stage::Open {
            part.note_in(refusals);
        }
    }
    batch.shard.submit(Submit {
        parts: batch.parts,
        frame_bytes,
        term: None,
        refusals: refusals.clone(),
        reply,
    });
    (batch.slots, outcome)
}

/// The outcomes of one shard's parts; past the request's time they are not known.
async fn settle((slots, outcome): Wait, timeout: Duration) -> (Vec<usize>, Vec<PartResult>) {
    let unknown = || slots.iter().map(|_| Err(AppendError::Unknown)).collect();
    let results = match tokio::time::timeout(timeout, outcome).await {
        Ok(Ok(results)) => results,
        Ok(Err(_)) | Err(_) => unknown(),
    };
    (slots, results)
}

/// The wire's end of [`produce`].
pub struct Produce;

impl RawApi for Produce {
    const KEY: ApiKey = ApiKey::Produce;
    const VERSIONS: RangeInclusive<i16> = 3..=13;

    fn handle(
        broker: &Arc<Broker>,
        session: &Arc<Session>,
        head: RequestHead,
        body: Body,
    ) -> impl Future<Output = Reply> + Send + 'static {
        let version = head.version;
        let started = tokio::time::Instant::now();
        let metrics = broker.metrics.clone();
        let answer = match ProduceRequest::decode(body, version, head.frame_bytes) {
            Ok(request) => Either::Left(produce(broker, session, version, request)),
            Err(_) => Either::Right(ready(Err(CloseConnection))),
        };
        async move {
            let answer = answer.await;
            metrics.produce.observe(started.elapsed().as_secs_f64());
            match answer {
                Ok(Some(response)) => encoded(&response, version),
                Ok(None) => Reply::None,
                Err(CloseConnection) => Reply::Close("a produce request without acks failed"),
            }
        }
    }
}

fn encoded(response: &ProduceResponse, version: i16) -> Reply {
    let mut body = BytesMut::with_capacity(256);
    match response.encode(&mut body, version) {
        Ok(()) => Reply::Segments(vec![body.freeze()]),
        Err(_) => Reply::Close("a produce response does not encode"),
    }
}
