//! DescribeTopicPartitions (key 75), version 0: topics and their partitions, a page at a time.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::authorized::TOPIC_OPERATIONS;
use super::cluster_view::{PartitionFacts, Shards};
use super::dispatch::Api;
use super::error::{ErrorCode, NO_ERROR};
use super::session::Session;
use crate::broker::Broker;
use crate::meta::{Admin, Topic, names};

pub struct DescribeTopicPartitions;

impl Api for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;
    type Response = DescribeTopicPartitionsResponse;
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: DescribeTopicPartitionsRequest,
    ) -> impl Future<Output = DescribeTopicPartitionsResponse> + Send + 'static {
        std::future::ready(answer(&broker.admin, &request))
    }
}

fn answer(
    admin: &Admin,
    request: &DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let (first_topic, first_partition) = match &request.cursor {
        None => ("", 0),
        Some(cursor) => (cursor.topic_name.as_str(), cursor.partition_index),
    };
    let named: BTreeSet<&str> = request
        .topics
        .iter()
        .map(|topic| topic.name.as_str())
        .collect();
    let Ok(first_partition) = usize::try_from(first_partition) else {
        return refused(request);
    };
    if request.cursor.is_some() && !named.is_empty() && !named.contains(first_topic) {
        return refused(request);
    }
    let state = admin.meta.read();
    let limit = admin
        .layers(&state)
        .broker_int("max.request.partition.size.limit") as usize;
    let asked = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut page = Page {
        shards: Shards::new(admin, &state),
        left: asked.min(limit).max(1),
        topics: Vec::new(),
        next: None,
    };
    let start = |name: &str| {
        if name == first_topic {
            first_partition
        } else {
            0
        }
    };
    if named.is_empty() {
        for topic in state.topics().iter_from(first_topic) {
            if page.is_full_before(&topic.name) {
                break;
            }
            page.add(topic, start(&topic.name));
        }
    } else {
        for name in named.range(first_topic..) {
            if page.is_full_before(name) {
                break;
            }
            match state.topics().get(name) {
                Some(topic) => page.add(topic, start(name)),
                None => page.topics.push(unknown(name)),
            }
        }
    }
    DescribeTopicPartitionsResponse::default()
        .with_topics(page.topics)
        .with_next_cursor(page.next)
}

/// The answer as it fills.
struct Page<'a> {
    shards: Shards<'a>,
    /// How many partitions it still takes.
    left: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    next: Option<Cursor>,
}

impl Page<'_> {
    /// Whether nothing of this topic fits any more; then the next page starts with it.
    fn is_full_before(&mut self, topic: &str) -> bool {
        if self.left == 0 && self.next.is_none() {
            self.next = Some(cursor(topic, 0));
        }
        self.next.is_some()
    }

    fn add(&mut self, topic: &Topic, start: usize) {
        let end = topic.partitions.len().min(start.saturating_add(self.left));
        let places = topic.partitions.iter().enumerate().take(end).skip(start);
        let partitions: Vec<_> = places
            .map(|(index, place)| partition(index as i32, self.shards.partition(*place)))
            .collect();
        self.left -= partitions.len();
        if end < topic.partitions.len() {
            self.next = Some(cursor(&topic.name, end as i32));
        }
        self.topics.push(
            DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(name(&topic.name)))
                .with_topic_id(topic.id)
                .with_is_internal(topic.is_internal())
                .with_partitions(partitions)
                .with_topic_authorized_operations(TOPIC_OPERATIONS),
        );
    }
}

fn partition(index: i32, facts: PartitionFacts) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(NO_ERROR)
        .with_partition_index(index)
        .with_leader_id(facts.leader)
        .with_leader_epoch(facts.leader_epoch)
        .with_replica_nodes(facts.replicas)
        .with_isr_nodes(facts.in_sync)
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
}

fn unknown(topic: &str) -> DescribeTopicPartitionsResponseTopic {
    let code = match names::validate(topic) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(code.code())
        .with_name(Some(name(topic)))
        .with_is_internal(names::is_internal(topic))
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}

/// A cursor that does not fit the request.
fn refused(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_name(Some(topic.name.clone()))
    });
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
}

fn cursor(topic: &str, partition: i32) -> Cursor {
    Cursor::default()
        .with_topic_name(name(topic))
        .with_partition_index(partition)
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::testing::encodes_in_every_version;
    use crate::meta::admin::testing::{admin, create};
    use kafka_protocol::messages::describe_topic_partitions_request::{
        Cursor as From, TopicRequest,
    };

    fn request(
        topics: &[&str],
        limit: i32,
        from: Option<(&str, i32)>,
    ) -> DescribeTopicPartitionsRequest {
        let from = from.map(|(topic, index)| {
            From::default()
                .with_topic_name(name(topic))
                .with_partition_index(index)
        });
        DescribeTopicPartitionsRequest::default()
            .with_topics(
                topics
                    .iter()
                    .map(|topic| TopicRequest::default().with_name(name(topic)))
                    .collect(),
            )
            .with_response_partition_limit(limit)
            .with_cursor(from)
    }

    fn next(response: &DescribeTopicPartitionsResponse) -> Option<(String, i32)> {
        response
            .next_cursor
            .as_ref()
            .map(|next| (next.topic_name.to_string(), next.partition_index))
    }

    #[tokio::test]
    async fn pages_show_every_partition_once() {
        let admin = admin().await;
        for (topic, partitions) in [("a", 3), ("b", 1), ("c", 4)] {
            create(&admin, topic, partitions, &[]).await.unwrap();
        }
        for limit in 1..9 {
            let (mut seen, mut from) = (Vec::new(), None);
            loop {
                let cursor = from
                    .as_ref()
                    .map(|(topic, index): &(String, i32)| (topic.as_str(), *index));
                let response = answer(&admin, &request(&[], limit, cursor));
                encodes_in_every_version::<DescribeTopicPartitions>(|_| response.clone());
                for topic in &response.topics {
                    let name = topic.name.as_ref().unwrap().to_string();
                    seen.extend(
                        topic
                            .partitions
                            .iter()
                            .map(|p| (name.clone(), p.partition_index)),
                    );
                }
                from = next(&response);
                if from.is_none() {
                    break;
                }
            }
            let all = [
                ("a", 0),
                ("a", 1),
                ("a", 2),
                ("b", 0),
                ("c", 0),
                ("c", 1),
                ("c", 2),
                ("c", 3),
            ];
            assert_eq!(
                seen,
                all.map(|(topic, index)| (topic.to_owned(), index)),
                "limit {limit}"
            );
        }
    }

    #[tokio::test]
    async fn named_topics_are_sorted_and_echoed_with_their_errors() {
        let admin = admin().await;
        create(&admin, "b", 1, &[]).await.unwrap();
        let response = answer(&admin, &request(&["none", "b", "a b"], 100, None));
        let topics: Vec<_> = response
            .topics
            .iter()
            .map(|t| (t.name.as_ref().unwrap().to_string(), t.error_code))
            .collect();
        assert_eq!(
            topics,
            [
                ("a b".to_owned(), 17),
                ("b".to_owned(), 0),
                ("none".to_owned(), 3)
            ]
        );
    }

    #[tokio::test]
    async fn a_cursor_outside_the_request_is_refused() {
        let admin = admin().await;
        create(&admin, "b", 1, &[]).await.unwrap();
        for cursor in [("a", 0), ("b", -1)] {
            let response = answer(&admin, &request(&["b"], 100, Some(cursor)));
            assert_eq!(
                response.topics[0].error_code,
                ErrorCode::InvalidRequest.code()
            );
        }
    }
}
