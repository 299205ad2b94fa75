//! Single requests of Kafka's protocol, each on a connection of its own and never repeated, for callers that must know
//! what became of one: a client library asks again by itself, and then a refusal says nothing of the first try.
//!
//! An error is an answer that did not come, after which the request may have been done; an error code is an answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, CreateTopicsRequest, DescribeQuorumRequest,
    FindCoordinatorRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetFetchRequest,
};
use kafka_protocol::protocol::Request;

use crate::differential::build;
use crate::differential::wire::{Connection, Reply, decode};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(4);
/// What ListOffsets takes for "one past the last".
const LATEST: i64 = -1;

/// One partition, as a node describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described {
    pub partition: i32,
    /// A broker.id, or -1.
    pub leader: i32,
    pub in_sync: usize,
}

fn ask<R: Request>(address: SocketAddr, version: i16, request: &R) -> Result<R::Response> {
    ask_within(LIMIT, address, version, request)
}

/// Sends one request on a connection of its own, and waits so long for the answer.
pub fn ask_within<R: Request>(
    limit: Duration,
    address: SocketAddr,
    version: i16,
    request: &R,
) -> Result<R::Response> {
    let mut connection = Connection::open(address)?;
    let correlation = connection.send(version, request)?;
    match connection.receive(limit).context("no answer")? {
        Reply::Frame(frame) => Ok(decode::<R>(version, correlation, frame)?.body),
        other => bail!("{other:?} instead of an answer"),
    }
}

/// Asks for one topic; the node may take 20 s.
pub fn new_topic(topic: &str, partitions: i32, replicas: i16) -> CreateTopicsRequest {
    let topic = CreatableTopic::default()
        .with_name(build::topic(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas);
    CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(20_000)
}

/// Answers the error code.
pub fn create_topic(node: SocketAddr, topic: &str, partitions: i32, replicas: i16) -> Result<i16> {
    let answer = ask(node, 7, &new_topic(topic, partitions, replicas))?;
    Ok(answer.topics.first().context("no topic")?.error_code)
}

/// Asks that partitions of a topic move to these brokers, in order of preference; `None` gives a move up.
pub fn reassignment(
    topic: &str,
    to: &BTreeMap<i32, Option<Vec<i32>>>,
) -> AlterPartitionReassignmentsRequest {
    let partition = |(index, replicas): (&i32, &Option<Vec<i32>>)| {
        let replicas = replicas.as_ref();
        let replicas = replicas.map(|ids| ids.iter().copied().map(BrokerId).collect());
        ReassignablePartition::default()
            .with_partition_index(*index)
            .with_replicas(replicas)
    };
    let topic = ReassignableTopic::default()
        .with_name(build::topic(topic))
        .with_partitions(to.iter().map(partition).collect());
    AlterPartitionReassignmentsRequest::default()
        .with_timeout_ms(20_000)
        .with_topics(vec![topic])
}

/// Answers the error code of each partition; an error code of the whole is that of them all.
pub fn reassign(
    node: SocketAddr,
    topic: &str,
    to: &BTreeMap<i32, Option<Vec<i32>>>,
) -> Result<Vec<i16>> {
    let answer = ask(node, 1, &reassignment(topic, to))?;
    if answer.error_code != 0 {
        return Ok(vec![answer.error_code; to.len()]);
    }
    let topic = answer.responses.first().context("no topic")?;
    let partitions = topic.partitions.iter();
    Ok(partitions.map(|partition| partition.error_code).collect())
}

/// A topic's partitions in their order.
pub fn describe(node: SocketAddr, topic: &str) -> Result<Vec<Described>> {
    let topic = MetadataRequestTopic::default().with_name(Some(build::topic(topic)));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(false);
    let answer = ask(node, 12, &request)?;
    let topic = answer.topics.first().context("no topic")?;
    let mut found: Vec<Described> = topic
        .partitions
        .iter()
        .map(|one| Described {
            partition: one.partition_index,
            leader: one.leader_id.0,
            in_sync: one.isr_nodes.len(),
        })
        .collect();
    found.sort_by_key(|one| one.partition);
    Ok(found)
}

/// The broker.ids that a node names.
pub fn brokers(node: SocketAddr) -> Result<Vec<i32>> {
    let request = MetadataRequest::default()
        .with_topics(Some(Vec::new()))
        .with_allow_auto_topic_creation(false);
    let answer = ask(node, 12, &request)?;
    let mut ids: Vec<i32> = answer.brokers.iter().map(|one| one.node_id.0).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// The broker.id of the node that leads the cluster's metadata; `None` when the node knows none now.
pub fn controller(node: SocketAddr) -> Result<Option<i32>> {
    let topic = TopicData::default()
        .with_topic_name(build::topic("__cluster_metadata"))
        .with_partitions(vec![PartitionData::default()]);
    let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
    let answer = ask(node, 0, &request)?;
    let topic = answer.topics.first();
    let found = topic.and_then(|topic| topic.partitions.first());
    let found = found.filter(|found| found.error_code == 0 && found.leader_id.0 >= 0);
    Ok(found.map(|found| found.leader_id.0))
}

/// The broker.id of a group's coordinator; `None` when the node knows none now.
pub fn coordinator(node: SocketAddr, group: &str) -> Result<Option<i32>> {
    let request = FindCoordinatorRequest::default().with_key(build::text(group));
    let answer = ask(node, 3, &request)?;
    Ok((answer.error_code == 0).then_some(answer.node_id.0))
}

/// Commits one offset of a group without members. Answers the error code.
pub fn commit(
    coordinator: SocketAddr,
    group: &str,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<i16> {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(build::topic(topic))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(build::group(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let answer = ask(coordinator, 8, &request)?;
    let topic = answer.topics.first().context("no topic")?;
    Ok(topic.partitions.first().context("no partition")?.error_code)
}

/// The committed offset, `None` when there is none; the inner error is an error code.
pub fn committed(
    coordinator: SocketAddr,
    group: &str,
    topic: &str,
    partition: i32,
) -> Result<Result<Option<i64>, i16>> {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(build::topic(topic))
        .with_partition_indexes(vec![partition]);
    let request = OffsetFetchRequest::default()
        .with_group_id(build::group(group))
        .with_topics(Some(vec![topic]));
    let answer = ask(coordinator, 7, &request)?;
    if answer.error_code != 0 {
        return Ok(Err(answer.error_code));
    }
    let topic = answer.topics.first().context("no topic")?;
    let found = topic.partitions.first().context("no partition")?;
    if found.error_code != 0 {
        return Ok(Err(found.error_code));
    }
    let offset = found.committed_offset;
    Ok(Ok((offset >= 0).then_some(offset)))
}

/// One past the last offset that consumers may read, as the leader says; the inner error is an error code.
pub fn end_offset(leader: SocketAddr, topic: &str, partition: i32) -> Result<Result<i64, i16>> {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_timestamp(LATEST);
    let topic = ListOffsetsTopic::default()
        .with_name(build::topic(topic))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(build::CONSUMER)
        .with_topics(vec![topic]);
    let answer = ask(leader, 5, &request)?;
    let topic = answer.topics.first().context("no topic")?;
    let found = topic.partitions.first().context("no partition")?;
    Ok(match found.error_code {
        0 => Ok(found.offset),
        code => Err(code),
    })
}
