//! ListPartitionReassignments (key 46), version 0: partitions on their way to other brokers. Source: KIP-455.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{
    ApiKey, BrokerId, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::dispatch::Api;
use super::session::Session;
use crate::broker::Broker;
use crate::meta::decide::moves::{self, Underway};

pub struct ListPartitionReassignments;

impl Api for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;
    type Response = ListPartitionReassignmentsResponse;
    const KEY: ApiKey = ApiKey::ListPartitionReassignments;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: ListPartitionReassignmentsRequest,
    ) -> impl Future<Output = ListPartitionReassignmentsResponse> + Send + 'static {
        let underway = moves::underway(&broker.meta.read());
        std::future::ready(answer(&request, underway))
    }
}

fn answer(
    request: &ListPartitionReassignmentsRequest,
    underway: Vec<Underway>,
) -> ListPartitionReassignmentsResponse {
    let is_asked = |one: &Underway| match &request.topics {
        None => true,
        Some(topics) => topics.iter().any(|topic| {
            *topic.name.0 == *one.topic && topic.partition_indexes.contains(&one.partition)
        }),
    };
    let mut topics: BTreeMap<String, Vec<OngoingPartitionReassignment>> = BTreeMap::new();
    for one in underway.into_iter().filter(is_asked) {
        let partition = ongoing(&one);
        topics.entry(one.topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        OngoingTopicReassignment::default()
            .with_name(TopicName(StrBytes::from_string(name)))
            .with_partitions(partitions)
    });
    ListPartitionReassignmentsResponse::default()
        .with_error_message(None)
        .with_topics(topics.collect())
}

/// As in Kafka, the replicas are those that it will have, then those that it loses.
fn ongoing(one: &Underway) -> OngoingPartitionReassignment {
    let without = |these: &[i32], others: &[i32]| -> Vec<BrokerId> {
        let left = these.iter().filter(|id| !others.contains(id));
        left.copied().map(BrokerId).collect()
    };
    let removing = without(&one.from, &one.to);
    let to = one.to.iter().copied().map(BrokerId);
    OngoingPartitionReassignment::default()
        .with_partition_index(one.partition)
        .with_replicas(to.chain(removing.iter().copied()).collect())
        .with_adding_replicas(without(&one.to, &one.from))
        .with_removing_replicas(removing)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;

    use super::*;
    use crate::kafka::testing::encodes_in_every_version;

    #[test]
    fn what_is_asked_for_is_listed_as_kafka_lists_it() {
        let going = |topic: &str, partition| Underway {
            topic: topic.to_owned(),
            partition,
            from: vec![1, 2],
            to: vec![2, 3],
        };
        let underway = vec![going("a", 0), going("a", 1), going("b", 0)];
        let all = ListPartitionReassignmentsRequest::default().with_topics(None);
        let listed = answer(&all, underway.clone());
        assert_eq!(listed.topics.len(), 2);
        let topic = ListPartitionReassignmentsTopics::default()
            .with_name(TopicName(StrBytes::from_static_str("a")))
            .with_partition_indexes(vec![1, 7]);
        let some = ListPartitionReassignmentsRequest::default().with_topics(Some(vec![topic]));
        let listed = answer(&some, underway);
        assert_eq!(listed.topics[0].partitions.len(), 1);
        let partition = &listed.topics[0].partitions[0];
        let ids = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
        assert_eq!(ids(&partition.replicas), [2, 3, 1]);
        assert_eq!(ids(&partition.adding_replicas), [3]);
        assert_eq!(ids(&partition.removing_replicas), [1]);
        encodes_in_every_version::<ListPartitionReassignments>(|_| listed.clone());
    }
}
