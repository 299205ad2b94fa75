//! Reading records, and the offsets where reading starts.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest};
use weir_log::{BatchRecords, batches};

use super::produce::leader;
use super::{Client, ClientError, TIMEOUT_MS, TopicInfo, topic_name};

/// Kafka's names, as numbers, for the two ends of a partition.
pub const LATEST: i64 = -1;
pub const EARLIEST: i64 = -2;

/// Most bytes of one answer; a single larger batch comes whole.
const FETCH_BYTES: i32 = 4 << 20;
/// Most bytes that one batch may become when it is decompressed.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// Where reading starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Beginning,
    Latest,
    Offset(i64),
}

/// A record as it was read.
#[derive(Debug, Clone)]
pub struct ReadRecord {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Client {
    /// The offset that each partition of a topic has for this timestamp, or end.
    pub async fn offsets(
        &mut self,
        topic: &str,
        timestamp: i64,
    ) -> Result<BTreeMap<i32, i64>, ClientError> {
        let info = self.topic(topic).await?;
        let mut by_leader: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for partition in &info.partitions {
            let wanted = ListOffsetsPartition::default()
                .with_partition_index(partition.index)
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp);
            let leader = leader(&info, partition.index)?;
            by_leader.entry(leader).or_default().push(wanted);
        }
        let mut offsets = BTreeMap::new();
        for (leader, partitions) in by_leader {
            let wanted = ListOffsetsTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(partitions);
            let request = ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(vec![wanted]);
            let response = self.broker(leader, 7, request).await?;
            for answer in response.topics.iter().flat_map(|topic| &topic.partitions) {
                ClientError::check(answer.error_code, None, || {
                    format!(
                        "the offsets of {topic}, partition {}",
                        answer.partition_index
                    )
                })?;
                offsets.insert(answer.partition_index, answer.offset);
            }
        }
        Ok(offsets)
    }

    /// Records of one partition from `offset` on, and the offset after them. Waits up to `wait_ms` for the first.
    pub async fn fetch(
        &mut self,
        topic: &TopicInfo,
        partition: i32,
        offset: i64,
        wait_ms: i32,
    ) -> Result<(Vec<ReadRecord>, i64), ClientError> {
        let leader = leader(topic, partition)?;
        let wanted = FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(FETCH_BYTES);
        let wanted = FetchTopic::default()
            .with_topic(topic_name(&topic.name))
            .with_partitions(vec![wanted]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(wait_ms.min(TIMEOUT_MS))
            .with_min_bytes(1)
            .with_max_bytes(FETCH_BYTES)
            .with_isolation_level(1)
            .with_session_epoch(-1)
            .with_topics(vec![wanted]);
        let response = self.broker(leader, 12, request).await?;
        let what = || format!("reading {}, partition {partition}", topic.name);
        ClientError::check(response.error_code, None, what)?;
        let mut topics = response.responses.into_iter();
        let Some(data) = topics.find_map(|mut topic| topic.partitions.pop()) else {
            return Ok((Vec::new(), offset));
        };
        if data.error_code == ResponseError::OffsetOutOfRange.code() {
            let (start, end) = (data.log_start_offset, data.high_watermark);
            return Err(ClientError::OutOfRange {
                partition,
                offset,
                start,
                end,
            });
        }
        ClientError::check(data.error_code, None, what)?;
        records(partition, offset, &data.records.unwrap_or_default())
    }
}

/// The records in `bytes` from `from` on. A batch may begin before it.
fn records(
    partition: i32,
    from: i64,
    bytes: &Bytes,
) -> Result<(Vec<ReadRecord>, i64), ClientError> {
    let unreadable = |error: weir_log::BatchError| ClientError::Batch {
        partition,
        reason: error.to_string(),
    };
    let (mut found, mut next) = (Vec::new(), from);
    for batch in batches(bytes) {
        let (header, range) = batch.map_err(unreadable)?;
        next = next.max(header.last_offset() + 1);
        if header.is_control() {
            continue;
        }
        let batch = BatchRecords::open(&bytes[range], MAX_BATCH_BYTES).map_err(unreadable)?;
        for record in &batch {
            let record = record.map_err(unreadable)?;
            let offset = batch.offset_of(&record);
            if offset < from {
                continue;
            }
            let mut headers = Vec::new();
            for header in record.headers {
                let name = String::from_utf8_lossy(header.key).into_owned();
                headers.push((name, header.value.map(<[u8]>::to_vec)));
            }
            found.push(ReadRecord {
                partition,
                offset,
                timestamp_ms: batch.timestamp_of(&record),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers,
            });
        }
    }
    Ok((found, next))
}
