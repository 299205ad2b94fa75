//! From a frame to a running handler: the registration of the Kafka APIs, and what every request passes.
//!
//! [`APIS`] is the only registration. ApiVersions, dispatch, the names of metrics and the bounds check read it, so
//! what is in it is served, and what is served is in it. Decoding, the bounds check and metrics happen once, here.

use std::future::Future;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::BytesMut;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, Encodable, Message};
use thiserror::Error;
use tokio::time::Instant;

use super::alter_configs::AlterConfigs;
use super::alter_partition_reassignments::AlterPartitionReassignments;
use super::api_versions::{self, ApiVersions};
use super::bounds::{self, BoundsError};
use super::codec::WireError;
use super::create_partitions::CreatePartitions;
use super::create_topics::CreateTopics;
use super::delete_groups::DeleteGroups;
use super::delete_records::DeleteRecords;
use super::delete_topics::DeleteTopics;
use super::describe_cluster::DescribeCluster;
use super::describe_configs::DescribeConfigs;
use super::describe_groups::DescribeGroups;
use super::describe_log_dirs::DescribeLogDirs;
use super::describe_quorum::DescribeQuorum;
use super::describe_topic_partitions::DescribeTopicPartitions;
use super::elect_leaders::ElectLeaders;
use super::fetch::Fetch;
use super::find_coordinator::FindCoordinator;
use super::frame::Frame;
use super::heartbeat::Heartbeat;
use super::incremental_alter_configs::IncrementalAlterConfigs;
use super::init_producer_id::InitProducerId;
use super::join_group::JoinGroup;
use super::leave_group::LeaveGroup;
use super::list_groups::ListGroups;
use super::list_offsets::ListOffsets;
use super::list_partition_reassignments::ListPartitionReassignments;
use super::metadata::Metadata;
use super::offset_commit::OffsetCommit;
use super::offset_delete::OffsetDelete;
use super::offset_fetch::OffsetFetch;
use super::offset_for_leader_epoch::OffsetForLeaderEpoch;
use super::produce::Produce;
use super::request_metrics::RequestMetrics;
use super::session::Session;
use super::sums::Sums;
use super::sync_group::SyncGroup;
use super::unregister_broker::UnregisterBroker;
use crate::broker::Broker;

mod header;
mod in_flight;
mod reply;
#[cfg(test)]
mod tests;

use header::Header;
pub use header::RequestHead;
pub use in_flight::{Answered, InFlight};
pub use reply::{Reply, ReplyFuture};
pub(super) use reply::{encode, framed};

/// Sorted by API key. What is here is served; what is served is here.
pub static APIS: &[Entry] = &[
    // Some clients look for version 0 and produce with a later one (KAFKA-18659).
    Entry::raw::<Produce>().advertised_from(0),
    Entry::raw::<Fetch>(),
    Entry::of::<ListOffsets>(),
    Entry::of::<Metadata>(),
    Entry::of::<OffsetCommit>(),
    Entry::of::<OffsetFetch>(),
    Entry::of::<FindCoordinator>(),
    Entry::of::<JoinGroup>(),
    Entry::of::<Heartbeat>(),
    Entry::of::<LeaveGroup>(),
    Entry::of::<SyncGroup>(),
    Entry::of::<DescribeGroups>(),
    Entry::of::<ListGroups>(),
    Entry::of::<ApiVersions>(),
    Entry::of::<CreateTopics>(),
    Entry::of::<DeleteTopics>(),
    Entry::of::<DeleteRecords>(),
    Entry::of::<InitProducerId>(),
    Entry::of::<OffsetForLeaderEpoch>(),
    Entry::of::<DescribeConfigs>(),
    Entry::of::<AlterConfigs>(),
    Entry::of::<DescribeLogDirs>(),
    Entry::of::<CreatePartitions>(),
    Entry::of::<DeleteGroups>(),
    Entry::of::<ElectLeaders>(),
    Entry::of::<IncrementalAlterConfigs>(),
    Entry::of::<AlterPartitionReassignments>(),
    Entry::of::<ListPartitionReassignments>(),
    Entry::of::<OffsetDelete>(),
    Entry::of::<DescribeQuorum>(),
    Entry::of::<DescribeCluster>(),
    Entry::of::<UnregisterBroker>(),
    Entry::of::<DescribeTopicPartitions>(),
];

/// One Kafka API: the versions this broker implements, and how one request becomes one response.
pub trait Api: 'static {
    type Request: Decodable + Message + Send;
    type Response: Encodable + Message + Send;
    const KEY: ApiKey;
    const VERSIONS: RangeInclusive<i16>;

    /// Runs its ordered stage before it returns (requests of a connection are started in order); the future is the
    /// response stage. Strings and bytes of the request share its frame's memory: copy what outlives the answer.
    fn handle(
        broker: &Arc<Broker>,
        session: &Arc<Session>,
        version: i16,
        request: Self::Request,
    ) -> impl Future<Output = Self::Response> + Send + 'static;
}

/// A Kafka API with a codec of its own, for bytes that are not copied.
pub trait RawApi: 'static {
    const KEY: ApiKey;
    const VERSIONS: RangeInclusive<i16>;

    /// As [`Api::handle`]. `body` has passed the bounds check; the reply's segments are the response's body.
    fn handle(
        broker: &Arc<Broker>,
        session: &Arc<Session>,
        head: RequestHead,
        body: Body,
    ) -> impl Future<Output = Reply> + Send + 'static;
}

pub(super) type Start<B> =
    fn(&Arc<B>, &Arc<Session>, RequestHead, Body) -> Result<ReplyFuture, String>;

/// What follows a request's header: the rest of its frame, of which the sums were taken.
#[derive(Debug)]
pub struct Body {
    pub bytes: BytesMut,
    pub sums: Sums,
}

/// One row of the registration.
#[derive(Debug)]
pub struct Entry<B: 'static = Broker> {
    pub key: ApiKey,
    pub name: &'static str,
    pub first: i16,
    pub last: i16,
    /// The first version that ApiVersions names, which may be lower than the first one served.
    pub advertised_first: i16,
    request: &'static bounds::Request,
    start: Start<B>,
}

impl Entry<Broker> {
    /// The row of an [`Api`]. Ends the build where the codec does not know a version, or bounds does not.
    pub const fn of<A: Api>() -> Self {
        let (first, last) = (*A::VERSIONS.start(), *A::VERSIONS.end());
        assert!(A::Request::VERSIONS.min <= first && last <= A::Request::VERSIONS.max);
        assert!(A::Response::VERSIONS.min <= first && last <= A::Response::VERSIONS.max);
        Entry::custom(A::KEY, A::VERSIONS, start::<A>)
    }

    /// The row of a [`RawApi`].
    pub const fn raw<A: RawApi>() -> Self {
        Entry::custom(A::KEY, A::VERSIONS, start_raw::<A>)
    }
}

impl<B> Entry<B> {
    pub(super) const fn custom(
        key: ApiKey,
        versions: RangeInclusive<i16>,
        start: Start<B>,
    ) -> Self {
        let request = bounds::request(key);
        let (first, last) = (*versions.start(), *versions.end());
        assert!(request.first <= first && last <= request.last);
        Entry {
            key,
            name: request.name,
            first,
            last,
            advertised_first: first,
            request,
            start,
        }
    }

    /// Names lower versions than are served: some clients look for one and never use it.
    pub const fn advertised_from(mut self, version: i16) -> Self {
        self.advertised_first = version;
        self
    }

    fn serves(&self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }
}

fn start<A: Api>(
    broker: &Arc<Broker>,
    session: &Arc<Session>,
    head: RequestHead,
    body: Body,
) -> Result<ReplyFuture, String> {
    let request = A::Request::decode(&mut body.bytes.freeze(), head.version)
        .map_err(|error| error.to_string())?;
    let response = A::handle(broker, session, head.version, request);
    Ok(Box::pin(
        async move { encode(A::KEY, head, &response.await) },
    ))
}

fn start_raw<A: RawApi>(
    broker: &Arc<Broker>,
    session: &Arc<Session>,
    head: RequestHead,
    body: Body,
) -> Result<ReplyFuture, String> {
    let reply = A::handle(broker, session, head, body);
    Ok(Box::pin(async move {
        match reply.await {
            Reply::Segments(body) => Reply::Segments(framed(head, body)),
            other => other,
        }
    }))
}

/// Why a request ends its connection without an answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("request with API key {key} version {version}: {reason}")]
pub struct Refusal {
    pub key: i16,
    pub version: i16,
    pub reason: RefusalReason,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RefusalReason {
    #[error("header: {0}")]
    Header(WireError),
    #[error("this API is not served")]
    UnknownKey,
    #[error("this version is not served")]
    UnsupportedVersion,
    #[error("body: {0}")]
    Bounds(BoundsError),
    #[error("body: {0}")]
    Decode(String),
    #[error("its handler panicked")]
    Panicked,
}

/// Starts requests on a broker.
#[derive(Debug)]
pub struct Dispatch<B: 'static = Broker> {
    broker: Arc<B>,
    apis: &'static [Entry<B>],
    metrics: Arc<RequestMetrics>,
}

impl Dispatch<Broker> {
    pub fn new(broker: Arc<Broker>) -> Self {
        Dispatch::over(broker, APIS)
    }
}

impl<B: Send + Sync> Dispatch<B> {
    pub(super) fn over(broker: Arc<B>, apis: &'static [Entry<B>]) -> Self {
        assert!(
            apis.is_sorted_by(|a, b| (a.key as i16) < (b.key as i16)),
            "APIs are sorted by key"
        );
        let metrics = Arc::new(RequestMetrics::new(apis.iter().map(|entry| entry.name)));
        Dispatch {
            broker,
            apis,
            metrics,
        }
    }

    pub fn metrics(&self) -> &Arc<RequestMetrics> {
        &self.metrics
    }

    /// Checks and decodes one request and runs its ordered stage. An error ends the connection.
    pub fn start(
        &self,
        session: &Arc<Session>,
        frame: Frame,
        now: Instant,
    ) -> Result<InFlight, Refusal> {
        let Frame {
            mut bytes,
            mut reservation,
            sums,
        } = frame;
        let request_bytes = bytes.len();
        let header = Header::read(&bytes)?;
        let refuse = |reason| header.refuse(reason);
        let index = find(self.apis, &header)?;
        let entry = &self.apis[index];
        let reply: ReplyFuture = if entry.serves(header.version) {
            let checked = entry.check(&header, &mut bytes, session).map_err(refuse)?;
            reservation.grow(checked.decoded_bytes);
            let body = Body {
                bytes: checked.body,
                sums,
            };
            catch_unwind(AssertUnwindSafe(|| {
                (entry.start)(&self.broker, session, checked.head, body)
            }))
            .map_err(|_| refuse(RefusalReason::Panicked))?
            .map_err(|e| refuse(RefusalReason::Decode(e)))?
        } else if entry.key == ApiKey::ApiVersions {
            let head = RequestHead {
                version: 0,
                correlation_id: header.correlation_id,
                flexible: false,
                frame_bytes: request_bytes,
            };
            let response = api_versions::unsupported(entry.advertised_first..=entry.last);
            Box::pin(std::future::ready(encode(entry.key, head, &response)))
        } else {
            return Err(refuse(RefusalReason::UnsupportedVersion));
        };
        let metrics = self.metrics.clone();
        Ok(InFlight {
            reply,
            index,
            started: now,
            request_bytes,
            metrics,
            _reservation: reservation,
        })
    }
}

/// A request whose lengths are all backed by bytes; its body is not decoded yet.
#[derive(Debug)]
pub struct Checked {
    pub head: RequestHead,
    pub body: BytesMut,
    /// At most what decoding the body allocates.
    pub decoded_bytes: usize,
}

impl<B> Entry<B> {
    /// Checks what follows the fixed part of the header, and takes the body out of the frame.
    fn check(
        &self,
        header: &Header,
        frame: &mut BytesMut,
        session: &Session,
    ) -> Result<Checked, RefusalReason> {
        let head = RequestHead {
            version: header.version,
            correlation_id: header.correlation_id,
            flexible: self.request.is_flexible(header.version),
            frame_bytes: frame.len(),
        };
        let body_at = header
            .finish(frame, head.flexible, session)
            .map_err(RefusalReason::Header)?;
        let walked = bounds::check(self.request, header.version, &frame[body_at..])
            .map_err(RefusalReason::Bounds)?;
        Ok(Checked {
            head,
            body: frame.split_off(body_at),
            decoded_bytes: walked.decoded_bytes,
        })
    }
}

/// Which row of the registration a request is for.
fn find<B>(apis: &[Entry<B>], header: &Header) -> Result<usize, Refusal> {
    apis.binary_search_by_key(&header.key, |entry| entry.key as i16)
        .map_err(|_| header.refuse(RefusalReason::UnknownKey))
}

/// As far as a request comes before it is decoded, for the fuzz targets.
#[doc(hidden)]
pub fn check(session: &Session, mut frame: BytesMut) -> Result<(ApiKey, Checked), Refusal> {
    let header = Header::read(&frame)?;
    let entry = &APIS[find(APIS, &header)?];
    if !entry.serves(header.version) {
        return Err(header.refuse(RefusalReason::UnsupportedVersion));
    }
    let checked = entry.check(&header, &mut frame, session);
    let checked = checked.map_err(|reason| header.refuse(reason))?;
    Ok((entry.key, checked))
}
