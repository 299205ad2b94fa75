//! OffsetDelete (key 47), version 0: single offsets of a group go, of topics that it does not read.

use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{ApiKey, OffsetDeleteRequest, OffsetDeleteResponse, TopicName};

use super::error::{ErrorCode, NO_ERROR};
use super::group_wire::{code, kept, partition_count};
use super::{Api, Session};
use crate::broker::Broker;
use crate::groups::GroupError;

pub struct OffsetDelete;

/// Partitions of a topic with their codes, in the order in which the answer names them.
type Answered = Vec<(TopicName, Vec<(i32, i16)>)>;

impl Api for OffsetDelete {
    type Request = OffsetDeleteRequest;
    type Response = OffsetDeleteResponse;
    const KEY: ApiKey = ApiKey::OffsetDelete;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: OffsetDeleteRequest,
    ) -> impl Future<Output = OffsetDeleteResponse> + Send + 'static {
        let broker = broker.clone();
        async move {
            match delete(&broker, request).await {
                Ok(answered) => answer(answered),
                Err(error) => OffsetDeleteResponse::default().with_error_code(code(error)),
            }
        }
    }
}

async fn delete(broker: &Broker, request: OffsetDeleteRequest) -> Result<Answered, GroupError> {
    if request.group_id.is_empty() {
        return Err(GroupError::InvalidGroupId);
    }
    let (mut answered, mut asked) = (Answered::new(), Vec::new());
    for topic in &request.topics {
        let count = partition_count(broker, &topic.name);
        for partition in &topic.partitions {
            let index = partition.partition_index;
            if (0..count).contains(&index) {
                asked.push((topic.name.clone(), index));
            } else {
                push(
                    &mut answered,
                    &topic.name,
                    index,
                    ErrorCode::UnknownTopicOrPartition.code(),
                );
            }
        }
    }
    let keys: Vec<(Arc<str>, i32)> = asked
        .iter()
        .map(|(topic, index)| (kept(topic), *index))
        .collect();
    let group = kept(&request.group_id);
    let coordinator = broker.groups.coordinator(&group)?;
    let results = coordinator.delete_offsets(&group, &keys)?.done().await?;
    for ((topic, index), result) in asked.iter().zip(results) {
        push(
            &mut answered,
            topic,
            *index,
            result.map_or_else(code, |()| NO_ERROR),
        );
    }
    Ok(answered)
}

fn push(answered: &mut Answered, topic: &TopicName, index: i32, code: i16) {
    match answered.iter_mut().find(|(name, _)| name == topic) {
        Some((_, partitions)) => partitions.push((index, code)),
        None => answered.push((topic.clone(), vec![(index, code)])),
    }
}

fn answer(answered: Answered) -> OffsetDeleteResponse {
    let topics = answered.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, code)| {
            OffsetDeleteResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code)
        });
        OffsetDeleteResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.collect())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
