//! ListOffsets (key 2), versions 1–10: the offset that a timestamp, or an end of the log, names.
//! v2 isolation level · v4 leader epoch fences · v6 flexible · v7 max timestamp (KIP-734) ·
//! v8 earliest local · v9 latest tiered · v10 timeout

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ApiKey, ListOffsetsRequest, ListOffsetsResponse};

use weir_log::TimestampSearch;

use crate::broker::Broker;
use crate::kafka::produce::request::TopicRef;
use crate::kafka::{Api, ErrorCode, Session};
use crate::partition::Partition;
use crate::topic::MAX_DECOMPRESSED_BYTES;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

pub struct ListOffsets;

/// An offset and what goes with it; -1 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    offset: i64,
    timestamp: i64,
    leader_epoch: i32,
}

const NOTHING: Found = Found {
    offset: -1,
    timestamp: -1,
    leader_epoch: -1,
};

impl Api for ListOffsets {
    type Request = ListOffsetsRequest;
    type Response = ListOffsetsResponse;
    const KEY: ApiKey = ApiKey::ListOffsets;
    const VERSIONS: RangeInclusive<i16> = 1..=10;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        version: i16,
        request: ListOffsetsRequest,
    ) -> impl Future<Output = ListOffsetsResponse> + Send + 'static {
        let broker = broker.clone();
        async move {
            let twice = named_twice(&request);
            let mut topics = Vec::with_capacity(request.topics.len());
            for topic in request
                .topics
                .into_iter()
                .filter(|topic| !topic.partitions.is_empty())
            {
                let reference = TopicRef::Name(topic.name.to_string());
                let mut partitions = Vec::with_capacity(topic.partitions.len());
                let mut answered = HashSet::new();
                for asked in &topic.partitions {
                    // A partition that is named twice is refused once.
                    if !answered.insert(asked.partition_index) {
                        continue;
                    }
                    let found = if twice.contains(&(topic.name.to_string(), asked.partition_index))
                    {
                        Err(ErrorCode::InvalidRequest)
                    } else {
                        find(&broker, version, request.isolation_level, &reference, asked).await
                    };
                    partitions.push(answer(version, asked.partition_index, found));
                }
                topics.push(
                    ListOffsetsTopicResponse::default()
                        .with_name(topic.name)
                        .with_partitions(partitions),
                );
            }
            ListOffsetsResponse::default().with_topics(topics)
        }
    }
}

fn named_twice(request: &ListOffsetsRequest) -> HashSet<(String, i32)> {
    let mut seen = HashSet::new();
    let named = request.topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|partition| (topic.name.to_string(), partition.partition_index))
    });
    named.filter(|key| !seen.insert(key.clone())).collect()
}

async fn find(
    broker: &Arc<Broker>,
    version: i16,
    isolation_level: i8,
    topic: &TopicRef,
    asked: &ListOffsetsPartition,
) -> Result<Found, ErrorCode> {
    if !(0..=1).contains(&isolation_level) {
        return Err(ErrorCode::UnknownServerError);
    }
    let partition =
        broker.led_partition(topic, asked.partition_index, asked.current_leader_epoch)?;
    // One barrier: what was acked before the question is below the answer (L9).
    partition
        .shard
        .raft()
        .read_index()
        .await
        .map_err(|_| ErrorCode::NotLeaderOrFollower)?;
    let timestamp = asked.timestamp;
    let oldest_version = match timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        _ => 1,
    };
    if version < oldest_version || timestamp < LATEST_TIERED {
        return Err(ErrorCode::UnsupportedVersion);
    }
    match timestamp {
        LATEST => Ok(latest(&partition)),
        EARLIEST | EARLIEST_LOCAL => Ok(earliest(&partition)),
        LATEST_TIERED => Ok(NOTHING),
        MAX_TIMESTAMP => {
            let highest =
                TimestampSearch::highest(partition.high_watermark(), MAX_DECOMPRESSED_BYTES);
            search(broker, partition, highest).await
        }
        timestamp => {
            let upper = partition.high_watermark();
            search(
                broker,
                partition,
                TimestampSearch::at_least(timestamp, upper, MAX_DECOMPRESSED_BYTES),
            )
            .await
        }
    }
}

fn latest(partition: &Partition) -> Found {
    let epoch = partition.leader_epoch();
    Found {
        offset: partition.log.read().next_offset(),
        timestamp: -1,
        leader_epoch: epoch,
    }
}

fn earliest(partition: &Partition) -> Found {
    let epoch = partition.leader_epoch();
    let log = partition.log.read();
    let offset = log.log_start_offset();
    Found {
        offset,
        timestamp: -1,
        leader_epoch: log.epochs().at(offset).unwrap_or(epoch),
    }
}

async fn search(
    broker: &Arc<Broker>,
    partition: Arc<Partition>,
    search: TimestampSearch,
) -> Result<Found, ErrorCode> {
    let blocks = broker.blocks.clone();
    let id = partition.id;
    match tokio::task::spawn_blocking(move || partition.search(search, &*blocks)).await {
        Ok(Ok(Some(hit))) => Ok(Found {
            offset: hit.offset,
            timestamp: hit.timestamp,
            leader_epoch: hit.leader_epoch,
        }),
        Ok(Ok(None)) => Ok(NOTHING),
        Ok(Err(error)) => {
            tracing::error!(?id, %error, "records could not be read");
            Err(ErrorCode::KafkaStorageError)
        }
        Err(_) => Err(ErrorCode::UnknownServerError),
    }
}

fn answer(
    version: i16,
    index: i32,
    found: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let (code, found) = match found {
        Ok(found) => (0, found),
        Err(error) => (error.code(), NOTHING),
    };
    let mut response = ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_error_code(code)
        .with_timestamp(found.timestamp)
        .with_offset(found.offset);
    if version >= 4 {
        response.leader_epoch = found.leader_epoch;
    }
    response
}
