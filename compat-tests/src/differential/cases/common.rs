//! Requests that cases of several APIs are made of.

use anyhow::{Result, bail};
use bytes::Bytes;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DeleteRecordsRequest, FetchRequest, InitProducerIdRequest, ProduceRequest,
};

use crate::differential::batches::Batch;
use crate::differential::build;
use crate::differential::topics::Topic;
use crate::differential::trial::Trial;

/// From this version on a Produce request names topics by id.
pub const PRODUCE_BY_ID: i16 = 13;
/// From this version on a Fetch request names topics by id.
pub const FETCH_BY_ID: i16 = 13;

/// What a Produce request says of one partition.
pub fn partition_data(index: i32, records: Bytes) -> PartitionProduceData {
    PartitionProduceData::default()
        .with_index(index)
        .with_records(Some(records))
}

/// What a Produce request says of one topic, by the name or id that the version takes.
pub fn topic_data(
    version: i16,
    topic: &Topic,
    partitions: Vec<PartitionProduceData>,
) -> TopicProduceData {
    let data = TopicProduceData::default().with_partition_data(partitions);
    match version {
        PRODUCE_BY_ID.. => data.with_topic_id(topic.id),
        _ => data.with_name(build::topic(&topic.name)),
    }
}

/// A Produce request that waits for all replicas.
pub fn produce(topics: Vec<TopicProduceData>) -> ProduceRequest {
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(topics)
}

/// A Produce request of one record set for partition 0.
pub fn produce_one(version: i16, topic: &Topic, records: Bytes) -> ProduceRequest {
    produce(vec![topic_data(
        version,
        topic,
        vec![partition_data(0, records)],
    )])
}

/// Appends a batch to a partition; it must succeed.
pub fn append(t: &mut Trial, topic: &Topic, partition: i32, batch: &Batch) -> Result<i64> {
    append_on(t, 0, topic, partition, batch)
}

pub fn append_on(
    t: &mut Trial,
    on: usize,
    topic: &Topic,
    partition: i32,
    batch: &Batch,
) -> Result<i64> {
    let request = produce(vec![topic_data(
        9,
        topic,
        vec![partition_data(partition, batch.bytes())],
    )]);
    let answer = t.quietly_on(on, 9, &request)?;
    let answer = &answer.responses[0].partition_responses[0];
    if answer.error_code != 0 {
        bail!(
            "setting up: produce to {}: error {} {:?}",
            topic.name,
            answer.error_code,
            answer.error_message
        );
    }
    Ok(answer.base_offset)
}

/// A partition in a Fetch request, with room for a megabyte.
pub fn fetch_partition(partition: i32, offset: i64) -> FetchPartition {
    FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20)
}

pub fn fetch_topic(version: i16, topic: &Topic, partitions: Vec<FetchPartition>) -> FetchTopic {
    let asked = FetchTopic::default().with_partitions(partitions);
    match version {
        FETCH_BY_ID.. => asked.with_topic_id(topic.id),
        _ => asked.with_topic(build::topic(&topic.name)),
    }
}

/// A Fetch request outside any session that does not wait.
pub fn fetch(topics: Vec<FetchTopic>) -> FetchRequest {
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(50 << 20)
        .with_topics(topics)
}

pub fn fetch_one(version: i16, topic: &Topic, offset: i64) -> FetchRequest {
    fetch(vec![fetch_topic(
        version,
        topic,
        vec![fetch_partition(0, offset)],
    )])
}

/// Records all that partition 0 holds.
pub fn show_log(t: &mut Trial, topic: &Topic) -> Result<()> {
    t.ask(11, fetch_one(11, topic, 0))?;
    Ok(())
}

/// A fresh producer id and epoch without a transactional id.
pub fn producer_id(t: &mut Trial) -> Result<(i64, i16)> {
    let answer = t.quietly(
        4,
        &InitProducerIdRequest::default().with_transactional_id(None),
    )?;
    if answer.error_code != 0 {
        bail!("setting up: a producer id: error {}", answer.error_code);
    }
    Ok((answer.producer_id.0, answer.producer_epoch))
}

/// Moves the start of partition 0; it must succeed.
pub fn trim(t: &mut Trial, topic: &Topic, offset: i64) -> Result<()> {
    let partition = DeleteRecordsPartition::default()
        .with_partition_index(0)
        .with_offset(offset);
    let asked = DeleteRecordsTopic::default()
        .with_name(build::topic(&topic.name))
        .with_partitions(vec![partition]);
    let answer = t.quietly(
        2,
        &DeleteRecordsRequest::default()
            .with_topics(vec![asked])
            .with_timeout_ms(10_000),
    )?;
    match answer.topics[0].partitions[0].error_code {
        0 => Ok(()),
        error => bail!("setting up: trimming {}: error {error}", topic.name),
    }
}

/// A topic that exists nowhere, under a name or id of the case's own.
pub fn nowhere(t: &Trial) -> Topic {
    Topic {
        name: t.name("nowhere"),
        id: uuid::Uuid::from_u128(0x0dd_ba11),
        epoch: -1,
    }
}

/// Names that Kafka refuses, and what is wrong with each.
pub const BAD_NAMES: [(&str, &str); 6] = [
    ("empty name", ""),
    ("one dot", "."),
    ("two dots", ".."),
    ("a space", "a b"),
    ("a slash", "a/b"),
    ("not ascii", "téma"),
];

/// A name of one character too many.
pub fn long_name() -> String {
    "x".repeat(250)
}
