//! What the tests ask of a node over Kafka's protocol.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use compat_tests::calls::new_topic;
use compat_tests::cluster::ask;
use compat_tests::differential::build;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};

pub fn metadata(node: SocketAddr, topic: Option<&str>) -> Option<MetadataResponse> {
    let topics = topic.map(|topic| {
        let topic = build::topic(topic);
        vec![MetadataRequestTopic::default().with_name(Some(topic))]
    });
    let request = MetadataRequest::default()
        .with_topics(Some(topics.unwrap_or_default()))
        .with_allow_auto_topic_creation(false);
    ask(node, 12, &request).ok()
}

/// The brokers that a node names, and the cluster's id.
pub fn brokers(node: SocketAddr) -> Option<(String, BTreeSet<i32>)> {
    let metadata = metadata(node, None)?;
    let brokers = metadata.brokers.iter().map(|broker| broker.node_id.0);
    Some((metadata.cluster_id?.to_string(), brokers.collect()))
}

/// A topic's partitions, once all of them have a leader that the node knows.
pub fn partitions(node: SocketAddr, topic: &str) -> Option<Vec<MetadataResponsePartition>> {
    let metadata = metadata(node, Some(topic))?;
    let mut partitions = metadata.topics.first()?.partitions.clone();
    partitions.sort_by_key(|partition| partition.partition_index);
    let led = |partition: &MetadataResponsePartition| partition.leader_id.0 >= 0;
    (!partitions.is_empty() && partitions.iter().all(led)).then_some(partitions)
}

/// The error code of a creation that is asked of one node.
pub fn create(node: SocketAddr, topic: &str, partitions: i32, replicas: i16) -> i16 {
    let answer = ask(node, 7, &new_topic(topic, partitions, replicas)).expect("an answer");
    answer.topics[0].error_code
}
