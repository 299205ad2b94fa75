//! OffsetForLeaderEpoch (key 23), versions 2–4: where a leader epoch ends, so that a reader finds
//! out whether its log was truncated (KIP-101, KIP-320). v3 replica id · v4 flexible

use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{ApiKey, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use crate::broker::Broker;
use crate::kafka::produce::request::TopicRef;
use crate::kafka::{Api, ErrorCode, Session};

pub struct OffsetForLeaderEpoch;

impl Api for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;
    type Response = OffsetForLeaderEpochResponse;
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    const VERSIONS: RangeInclusive<i16> = 2..=4;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: OffsetForLeaderEpochRequest,
    ) -> impl Future<Output = OffsetForLeaderEpochResponse> + Send + 'static {
        let broker = broker.clone();
        async move {
            let topics = request.topics.into_iter().map(|topic| {
                let reference = TopicRef::Name(topic.topic.to_string());
                let partitions = topic.partitions.iter().map(|asked| {
                    let (index, epoch) = (asked.partition, asked.leader_epoch);
                    let found = end_of(
                        &broker,
                        &reference,
                        index,
                        asked.current_leader_epoch,
                        epoch,
                    );
                    let (epoch, end_offset) = found.unwrap_or((-1, -1));
                    EpochEndOffset::default()
                        .with_partition(index)
                        .with_leader_epoch(epoch)
                        .with_end_offset(end_offset)
                        .with_error_code(found.err().map_or(0, |error| error.code()))
                });
                let partitions = partitions.collect();
                OffsetForLeaderTopicResult::default()
                    .with_topic(topic.topic)
                    .with_partitions(partitions)
            });
            OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
        }
    }
}

fn end_of(
    broker: &Broker,
    topic: &TopicRef,
    index: i32,
    current: i32,
    epoch: i32,
) -> Result<(i32, i64), ErrorCode> {
    let partition = broker.led_partition(topic, index, current)?;
    if epoch < 0 {
        return Ok((-1, -1));
    }
    let leader_epoch = partition.leader_epoch();
    let end = partition
        .log
        .read()
        .end_offset_as_leader(epoch, leader_epoch);
    Ok(end.map_or((-1, -1), |end| (end.epoch, end.end_offset)))
}
