//! Fetch (key 1), versions 4–17: record batches from an offset on.
//! v5 log start · v7 sessions (KIP-227) · v9 leader epoch fences · v11 rack · v12 flexible, last
//! fetched epoch (KIP-595) · v13 topic ids (KIP-516) · v15 replica state · v16 leader endpoints (KIP-951)
//!
//! Only committed bytes are served, so no barrier is needed, and any replica serves readers of v11 and later
//! (KIP-392); the leader sends a reader that names its rack to an in-sync replica there (`nearest`). Every partition
//! that a request names is answered in its order; a request waits until `min_bytes` are there, an error is, or its time
//! is up.

pub(super) mod ahead;
mod answer;
mod nearest;
pub mod response;
pub mod session;

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use kafka_protocol::messages::{ApiKey, FetchRequest};
use kafka_protocol::protocol::{Decodable, StrBytes};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use self::answer::Reader;
use self::response::{FetchAnswer, PartitionAnswer};
use self::session::{Context, Key, SessionError, SessionRequest, Want};
use crate::broker::Broker;
use crate::kafka::ErrorCode;
use crate::kafka::produce::request::TopicRef;
use crate::kafka::{Body, RawApi, Reply, RequestHead, Session};
use crate::partition::Partition;

/// Kafka's `fetch.max.bytes`.
const MAX_BYTES: usize = 55 << 20;
/// The first version whose readers know of followers (KIP-392).
const FOLLOWERS_SINCE: i16 = 11;

/// Which records a reader wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isolation {
    Uncommitted,
    Committed,
}

impl Isolation {
    /// `None` for a number that means nothing.
    fn from_wire(level: i8) -> Option<Isolation> {
        match level {
            0 => Some(Isolation::Uncommitted),
            1 => Some(Isolation::Committed),
            _ => None,
        }
    }
}

/// What a request wants as a whole.
struct Limits {
    max_bytes: usize,
    min_bytes: usize,
    deadline: Instant,
    isolation: Isolation,
    version: i16,
    /// Where the reader is; empty where it does not say.
    rack: StrBytes,
}

impl Limits {
    /// Whether the reader may be served by a follower; who does not know of that is told who leads.
    fn reads_followers(&self) -> bool {
        self.version >= FOLLOWERS_SINCE
    }
}

/// Answers one request; the response stage of a connection.
pub async fn fetch(
    broker: Arc<Broker>,
    session: Arc<Session>,
    version: i16,
    request: FetchRequest,
) -> FetchAnswer {
    let asked = session_request(version, &request);
    let Some(isolation) = Isolation::from_wire(request.isolation_level) else {
        return unknown_isolation(version, asked);
    };
    let limits = limits(version, isolation, &request);
    let reader = Reader {
        broker: &broker,
        session: &session,
        limits: &limits,
    };
    let context = match broker.fetch_sessions.enter(asked) {
        Ok(context) => context,
        Err(error) => {
            return FetchAnswer {
                error_code: error.code().code(),
                ..FetchAnswer::default()
            };
        }
    };
    let wants = match &context {
        Context::Sessionless(wants) | Context::Full(wants) => wants,
        Context::Incremental { partitions, .. } => partitions,
    };
    let mut answers = wait_and_read(reader, wants).await;
    if !nearest::are_there(&broker, &answers).await {
        // Then it reads here.
        let rack = StrBytes::default();
        let limits = &Limits { rack, ..limits };
        answers = wait_and_read(Reader { limits, ..reader }, wants).await;
    }
    let mut answer = FetchAnswer::default();
    let answers = match &context {
        Context::Sessionless(_) => answers,
        Context::Full(wants) => {
            let id = broker.random_session_id();
            answer.session_id = broker
                .fetch_sessions
                .open(version >= 13, wants, &answers, id);
            answers
        }
        Context::Incremental { id, .. } => {
            answer.session_id = *id;
            broker.fetch_sessions.changes(*id, answers)
        }
    };
    for (_, answer) in &answers {
        let bytes = answer.records_bytes() as u64;
        broker
            .metrics
            .fetched_bytes
            .count(answer.by_follower, bytes);
    }
    if version >= 16 && answers.iter().any(|(_, a)| a.current_leader.is_some()) {
        answer.endpoints = broker.endpoints();
    }
    answer.topics = by_topic(answers);
    answer
}

/// Kafka fails as a whole; up to v12 each partition is told too, since v4 to v6 have no other place.
fn unknown_isolation(version: i16, asked: SessionRequest) -> FetchAnswer {
    let code = ErrorCode::UnknownServerError;
    let told = asked.partitions.into_iter().filter(|_| version < 13);
    let answers = told.map(|(key, _)| {
        let answer = PartitionAnswer {
            lists_aborted: true,
            ..answer::failed(key.index, code)
        };
        (key, answer)
    });
    FetchAnswer {
        error_code: code.code(),
        topics: by_topic(answers.collect()),
        ..FetchAnswer::default()
    }
}

/// Reads until there is enough, waiting for the partitions' logs to grow.
async fn wait_and_read(reader: Reader<'_>, wants: &[(Key, Want)]) -> Vec<(Key, PartitionAnswer)> {
    let Reader { broker, limits, .. } = reader;
    let mut watch = Watch {
        partitions: Vec::new(),
        notify: Arc::new(Notify::new()),
    };
    loop {
        let started = Instant::now();
        let answers = answer::read_all(reader, wants).await;
        broker
            .metrics
            .fetch
            .observe(started.elapsed().as_secs_f64());
        let bytes: usize = answers.iter().map(|(_, a)| a.records_bytes()).sum();
        let settled = answers.iter().any(|(_, answer)| settles(answer));
        let nothing_to_wait_for = answers.iter().all(|(_, answer)| answer.missing);
        let stopping = broker.stopping.is_cancelled();
        let enough = bytes >= limits.min_bytes || stopping || Instant::now() >= limits.deadline;
        if settled || nothing_to_wait_for || enough {
            return answers;
        }
        if watch.partitions.is_empty() {
            // Watch first, then read once more: what was appended between the two is not missed.
            watch.partitions = wants
                .iter()
                .filter_map(|(key, _)| broker.find_partition(&key.topic, key.index))
                .collect();
            watch
                .partitions
                .iter()
                .for_each(|partition| partition.watch(&watch.notify));
            continue;
        }
        // Whatever ends the wait, it means to read again.
        tokio::select! {
            () = watch.notify.notified() => {}
            () = broker.stopping.cancelled() => {}
            () = tokio::time::sleep_until(limits.deadline) => {}
        }
    }
}

/// Whether an answer ends the wait. A partition that is not there does not: the others may have records. Nor does one
/// whose replica here lacks what is asked for, since that may still come.
fn settles(answer: &PartitionAnswer) -> bool {
    let is_late = answer.error_code == ErrorCode::OffsetNotAvailable.code();
    let is_final = answer.error_code != 0 && !answer.missing && !is_late;
    is_final || answer.diverging_epoch.is_some() || answer.preferred_read_replica.is_some()
}

/// The partitions that a waiting request watches; forgotten when it ends, however it ends.
struct Watch {
    partitions: Vec<Arc<Partition>>,
    notify: Arc<Notify>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        for partition in &self.partitions {
            partition.forget(&self.notify);
        }
    }
}

fn limits(version: i16, isolation: Isolation, request: &FetchRequest) -> Limits {
    let max_bytes = usize::try_from(request.max_bytes)
        .unwrap_or(0)
        .min(MAX_BYTES);
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    Limits {
        max_bytes,
        min_bytes: usize::try_from(request.min_bytes)
            .unwrap_or(0)
            .min(max_bytes),
        deadline: Instant::now() + wait,
        isolation,
        version,
        rack: request.rack_id.clone(),
    }
}

fn session_request(version: i16, request: &FetchRequest) -> SessionRequest {
    let by_id = version >= 13;
    let topic_ref = |name: &str, id: Uuid| {
        if by_id {
            TopicRef::Id(id)
        } else {
            TopicRef::Name(name.to_owned())
        }
    };
    // A partition that is named twice has its first place and its last wish.
    let mut partitions = IndexMap::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let key = Key {
                topic: topic_ref(&topic.topic, topic.topic_id),
                index: partition.partition,
            };
            let want = Want {
                fetch_offset: partition.fetch_offset,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                max_bytes: partition.partition_max_bytes,
            };
            partitions.insert(key, want);
        }
    }
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        let topic_ref = topic_ref(&topic.topic, topic.topic_id);
        topic.partitions.iter().map(move |index| Key {
            topic: topic_ref.clone(),
            index: *index,
        })
    });
    let forgotten = forgotten.collect();
    let (id, epoch) = if version >= 7 {
        (request.session_id, request.session_epoch)
    } else {
        (0, -1)
    };
    SessionRequest {
        id,
        epoch,
        by_id,
        partitions: partitions.into_iter().collect(),
        forgotten,
    }
}

/// Groups answers by topic; partitions of one topic that stand apart stay in their order.
fn by_topic(answers: Vec<(Key, PartitionAnswer)>) -> Vec<(TopicRef, Vec<PartitionAnswer>)> {
    let mut topics: Vec<(TopicRef, Vec<PartitionAnswer>)> = Vec::new();
    for (key, answer) in answers {
        match topics.last_mut() {
            Some((topic, partitions)) if *topic == key.topic => partitions.push(answer),
            _ => topics.push((key.topic, vec![answer])),
        }
    }
    topics
}

impl SessionError {
    fn code(self) -> ErrorCode {
        match self {
            SessionError::NotFound => ErrorCode::FetchSessionIdNotFound,
            SessionError::Epoch => ErrorCode::InvalidFetchSessionEpoch,
            SessionError::TopicId => ErrorCode::FetchSessionTopicIdError,
        }
    }
}

/// The wire's end of [`fetch`].
pub struct Fetch;

impl RawApi for Fetch {
    const KEY: ApiKey = ApiKey::Fetch;
    const VERSIONS: RangeInclusive<i16> = 4..=17;

    fn handle(
        broker: &Arc<Broker>,
        session: &Arc<Session>,
        head: RequestHead,
        body: Body,
    ) -> impl Future<Output = Reply> + Send + 'static {
        let (broker, session) = (broker.clone(), session.clone());
        let request = FetchRequest::decode(&mut body.bytes.freeze(), head.version);
        async move {
            match request {
                Ok(request) => Reply::Segments(
                    fetch(broker, session, head.version, request)
                        .await
                        .encode(head.version),
                ),
                Err(_) => Reply::Close("a fetch request is malformed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_come_is_waited_for() {
        let failed = |code| settles(&answer::failed(0, code));
        assert!(!failed(ErrorCode::OffsetNotAvailable));
        assert!(failed(ErrorCode::OffsetOutOfRange));
        assert!(!settles(&PartitionAnswer::default()));
        assert!(settles(&PartitionAnswer {
            preferred_read_replica: Some(2),
            ..PartitionAnswer::default()
        }));
    }
}
