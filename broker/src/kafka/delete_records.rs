//! DeleteRecords (key 21), versions 0–2: moves a partition's log start up. v2 flexible

use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::future::join_all;
use kafka_protocol::messages::delete_records_request::DeleteRecordsTopic;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{ApiKey, DeleteRecordsRequest, DeleteRecordsResponse};
use tokio::time::{Instant, timeout_at};

use super::patience::patience_for_a_write;
use crate::broker::Broker;
use crate::kafka::produce::request::TopicRef;
use crate::kafka::{Api, ErrorCode, Session};
use crate::shard::entry::{Body, TrimItem};

/// Instead of an offset: everything up to the high watermark.
const HIGH_WATERMARK: i64 = -1;

pub struct DeleteRecords;

impl Api for DeleteRecords {
    type Request = DeleteRecordsRequest;
    type Response = DeleteRecordsResponse;
    const KEY: ApiKey = ApiKey::DeleteRecords;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: DeleteRecordsRequest,
    ) -> impl Future<Output = DeleteRecordsResponse> + Send + 'static {
        let broker = broker.clone();
        let deadline = Instant::now() + patience_for_a_write(request.timeout_ms);
        async move {
            let topics = request
                .topics
                .into_iter()
                .map(|topic| trim_topic(&broker, topic, deadline));
            DeleteRecordsResponse::default().with_topics(join_all(topics).await)
        }
    }
}

/// All partitions at once, so that they share the deadline and not each other's time.
async fn trim_topic(
    broker: &Broker,
    topic: DeleteRecordsTopic,
    deadline: Instant,
) -> DeleteRecordsTopicResult {
    let reference = &TopicRef::Name(topic.name.to_string());
    let partitions = topic.partitions.into_iter().map(async |asked| {
        let (index, offset) = (asked.partition_index, asked.offset);
        let trimmed = timeout_at(deadline, trim(broker, reference, index, offset)).await;
        let result = trimmed.unwrap_or(Err(ErrorCode::RequestTimedOut));
        DeleteRecordsPartitionResult::default()
            .with_partition_index(index)
            .with_low_watermark(*result.as_ref().unwrap_or(&-1))
            .with_error_code(result.err().map_or(0, |error| error.code()))
    });
    DeleteRecordsTopicResult::default()
        .with_name(topic.name)
        .with_partitions(join_all(partitions).await)
}

/// The log start after the trim.
async fn trim(
    broker: &Broker,
    topic: &TopicRef,
    index: i32,
    offset: i64,
) -> Result<i64, ErrorCode> {
    let view = broker
        .topic_view(topic)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if view.internal {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = broker.led_partition(topic, index, -1)?;
    if !view.settings.cleanup_delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let (start, end) = {
        let log = partition.log.read();
        (log.log_start_offset(), log.next_offset())
    };
    let offset = if offset == HIGH_WATERMARK {
        end
    } else {
        offset
    };
    if offset < 0 || offset > end {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    if offset > start {
        let items = vec![TrimItem {
            partition: partition.id,
            start: offset,
        }];
        partition
            .shard
            .change(Body::Trim(items), None)
            .await
            .map_err(|_| ErrorCode::NotLeaderOrFollower)?;
    }
    Ok(partition.log_start_offset())
}
