//! OffsetFetch (key 9), versions 1–9: what groups have committed.
//! v2 null topics ask for all, errors of the group · v5 leader epoch · v6 flexible · v7 stable offsets only ·
//! v8 several groups · v9 member and epoch (KIP-848)
//!
//! An offset that is not known is -1 without an error, never 0 (C4). Every offset is stable as long as there are no
//! transactions.

use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    ApiKey, GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};

use super::group_wire::{code, wire};
use super::{Api, Session};
use crate::broker::Broker;
use crate::groups::GroupError;
use crate::groups::format::CommittedOffset;
use crate::groups::store::StoredGroup;

pub struct OffsetFetch;

/// The topics and partitions that are asked for; `None` asks for all that the group has.
type Asked = Option<Vec<(TopicName, Vec<i32>)>>;
/// Topic by topic, what is committed for each partition.
type Found = Vec<(TopicName, Vec<(i32, Option<CommittedOffset>)>)>;

impl Api for OffsetFetch {
    type Request = OffsetFetchRequest;
    type Response = OffsetFetchResponse;
    const KEY: ApiKey = ApiKey::OffsetFetch;
    const VERSIONS: RangeInclusive<i16> = 1..=9;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        version: i16,
        request: OffsetFetchRequest,
    ) -> impl Future<Output = OffsetFetchResponse> + Send + 'static {
        let broker = broker.clone();
        async move {
            if version < 8 {
                single(&broker, version, request).await
            } else {
                several(&broker, request).await
            }
        }
    }
}

async fn find(broker: &Broker, group: &GroupId, asked: &Asked) -> Result<Found, GroupError> {
    let coordinator = broker.groups.coordinator(group)?;
    coordinator
        .committed(group, |stored| select(stored, asked))
        .await
}

fn select(stored: Option<&StoredGroup>, asked: &Asked) -> Found {
    let Some(asked) = asked else {
        let topics = stored.into_iter().flat_map(|stored| &stored.offsets);
        let all = topics.map(|(topic, partitions)| {
            let partitions = partitions
                .iter()
                .map(|(index, offset)| (*index, Some(offset.clone())));
            (TopicName(wire(topic)), partitions.collect())
        });
        return all.collect();
    };
    let topics = asked.iter().map(|(topic, indexes)| {
        let offset = |index: &i32| {
            (
                *index,
                stored
                    .and_then(|stored| stored.offset(topic, *index))
                    .cloned(),
            )
        };
        (topic.clone(), indexes.iter().map(offset).collect())
    });
    topics.collect()
}

async fn single(broker: &Broker, version: i16, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let topics = request.topics.map(|topics| {
        topics
            .into_iter()
            .map(|t| (t.name, t.partition_indexes))
            .collect()
    });
    let found = find(broker, &request.group_id, &topics).await;
    let (found, error) = match found {
        Ok(found) => (found, 0),
        // Version 1 has no place for an error of the group but its partitions.
        Err(error) if version < 2 => (select(None, &topics), code(error)),
        Err(error) => return OffsetFetchResponse::default().with_error_code(code(error)),
    };
    let topics = found.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, offset)| {
            let Shown {
                offset,
                leader_epoch,
                metadata,
            } = shown(offset);
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
                .with_committed_leader_epoch(leader_epoch)
                .with_metadata(Some(wire(&metadata)))
                .with_error_code(error)
        });
        OffsetFetchResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

async fn several(broker: &Broker, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        let topics = group.topics.map(|topics| {
            topics
                .into_iter()
                .map(|t| (t.name, t.partition_indexes))
                .collect()
        });
        let answer = OffsetFetchResponseGroup::default();
        let found = find(broker, &group.group_id, &topics).await;
        let answer = match found {
            Ok(found) => answer.with_topics(found.into_iter().map(topic).collect()),
            Err(error) => answer.with_error_code(code(error)),
        };
        groups.push(answer.with_group_id(group.group_id));
    }
    OffsetFetchResponse::default().with_groups(groups)
}

fn topic(
    (name, partitions): (TopicName, Vec<(i32, Option<CommittedOffset>)>),
) -> OffsetFetchResponseTopics {
    let partitions = partitions.into_iter().map(|(index, offset)| {
        let Shown {
            offset,
            leader_epoch,
            metadata,
        } = shown(offset);
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(leader_epoch)
            .with_metadata(Some(wire(&metadata)))
    });
    OffsetFetchResponseTopics::default()
        .with_name(name)
        .with_partitions(partitions.collect())
}

struct Shown {
    offset: i64,
    leader_epoch: i32,
    metadata: Arc<str>,
}

fn shown(offset: Option<CommittedOffset>) -> Shown {
    match offset {
        Some(CommittedOffset {
            offset,
            leader_epoch,
            metadata,
            ..
        }) => Shown {
            offset,
            leader_epoch,
            metadata,
        },
        None => Shown {
            offset: -1,
            leader_epoch: -1,
            metadata: "".into(),
        },
    }
}
