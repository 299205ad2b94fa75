//! Writing records to where their keys belong.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use tokio::time::Instant;
use weir_log::{BatchBuilder, Codec};

use super::error::kafka_name;
use super::{Client, ClientError, TIMEOUT_MS, TopicInfo, topic_name};

/// How long a batch is offered again while the broker says that it cannot take it yet.
const RETRY_PATIENCE: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A record to write.
#[derive(Debug, Clone, Default)]
pub struct NewRecord {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// The key's hash decides where none is given; without a key, partitions take turns.
    pub partition: Option<i32>,
}

/// A record that the broker did not take.
#[derive(Debug, Clone)]
pub struct RecordRefusal {
    /// Its place among the records that were handed over, from 0.
    pub index: usize,
    pub code: ResponseError,
    pub reason: String,
}

impl RecordRefusal {
    /// Kafka's error and the broker's words.
    pub fn said(&self) -> String {
        format!("{}, {}", kafka_name(self.code), self.reason)
    }
}

impl fmt::Display for RecordRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: {}", self.index, self.said())
    }
}

/// The records of one partition, in one batch.
struct Slice {
    builder: BatchBuilder,
    /// Each record's place among all.
    places: Vec<usize>,
}

impl Client {
    /// Writes the records in one batch per partition and waits until they are committed. A batch enters whole or not
    /// at all. Returns how many went to each partition.
    pub async fn produce(
        &mut self,
        topic: &TopicInfo,
        records: &[NewRecord],
        now_ms: i64,
    ) -> Result<BTreeMap<i32, usize>, ClientError> {
        let mut slices = slices(topic, records, now_ms)?;
        let mut written = BTreeMap::new();
        let mut refusals = Vec::new();
        while let Some((partition, slice)) = slices.pop_first() {
            let answer = self.until_taken(topic, partition, slice.builder).await?;
            match ResponseError::try_from_code(answer.error_code) {
                None => {
                    written.insert(partition, slice.places.len());
                }
                Some(code) => refusals.extend(refused(&answer, code, &slice.places)),
            }
        }
        if refusals.is_empty() {
            return Ok(written);
        }
        refusals.sort_by_key(|refusal| refusal.index);
        Err(ClientError::Records {
            total: records.len(),
            written: written.values().sum(),
            refusals,
        })
    }

    /// Offers a batch until the broker takes it, or refuses it for a reason that does not pass.
    async fn until_taken(
        &mut self,
        topic: &TopicInfo,
        partition: i32,
        builder: BatchBuilder,
    ) -> Result<PartitionProduceResponse, ClientError> {
        let batch = builder
            .build()
            .map_err(|error| ClientError::Encode(error.to_string()))?
            .freeze();
        let mut leader = leader(topic, partition)?;
        let deadline = Instant::now() + RETRY_PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = self.produce_batch(topic, leader, partition, &batch).await?;
            let code = ResponseError::try_from_code(answer.error_code);
            if !code.is_some_and(passes) || Instant::now() >= deadline {
                return Ok(answer);
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
            let moved = self.topic(&topic.name).await?;
            let led = moved.partitions.iter().find(|p| p.index == partition);
            leader = led.and_then(|p| p.leader).unwrap_or(leader);
        }
    }

    async fn produce_batch(
        &mut self,
        topic: &TopicInfo,
        leader: i32,
        partition: i32,
        batch: &Bytes,
    ) -> Result<PartitionProduceResponse, ClientError> {
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(batch.clone()));
        let data = TopicProduceData::default()
            .with_name(topic_name(&topic.name))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(TIMEOUT_MS)
            .with_topic_data(vec![data]);
        let mut response = self.broker(leader, 9, request).await?;
        let answer = response
            .responses
            .pop()
            .and_then(|mut topic| topic.partition_responses.pop());
        answer.ok_or_else(|| ClientError::Malformed {
            address: format!("broker {leader}"),
            reason: "no partition in the answer to a produce request".to_owned(),
        })
    }
}

/// Whether another attempt may succeed and doubles nothing: the broker says so before it appends.
fn passes(code: ResponseError) -> bool {
    matches!(
        code,
        ResponseError::NotEnoughReplicas
            | ResponseError::NotLeaderOrFollower
            | ResponseError::LeaderNotAvailable
    )
}

/// The broker that leads a partition.
pub(super) fn leader(topic: &TopicInfo, partition: i32) -> Result<i32, ClientError> {
    let known = topic.partitions.iter().find(|p| p.index == partition);
    let known = known.ok_or_else(|| ClientError::NoPartition {
        topic: topic.name.clone(),
        partition,
        count: topic.partitions.len(),
    })?;
    known.leader.ok_or_else(|| ClientError::NoLeader {
        topic: topic.name.clone(),
        partition,
    })
}

fn slices(
    topic: &TopicInfo,
    records: &[NewRecord],
    now_ms: i64,
) -> Result<BTreeMap<i32, Slice>, ClientError> {
    let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    let mut slices: BTreeMap<i32, Slice> = BTreeMap::new();
    let mut turn = 0;
    for (place, record) in records.iter().enumerate() {
        let partition = match (record.partition, &record.key) {
            (Some(partition), _) => partition,
            _ if count == 0 => return Err(ClientError::NoTopic(topic.name.clone())),
            (None, Some(key)) => placed(topic.partitioner.partition(key, count)),
            (None, None) => {
                turn += 1;
                placed((turn - 1) % count)
            }
        };
        let slice = slices.entry(partition).or_insert_with(|| Slice {
            builder: BatchBuilder::new(Codec::None),
            places: Vec::new(),
        });
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        slice.builder.append(now_ms, key, value, &[]);
        slice.places.push(place);
    }
    Ok(slices)
}

fn placed(partition: u32) -> i32 {
    i32::try_from(partition).expect("below the partition count, which is an i32")
}

/// One refusal for each record that the broker names, else one for the batch.
fn refused(
    answer: &PartitionProduceResponse,
    code: ResponseError,
    places: &[usize],
) -> Vec<RecordRefusal> {
    let whole = answer.error_message.as_deref();
    let named: Vec<RecordRefusal> = answer
        .record_errors
        .iter()
        .filter_map(|error| {
            let index = *places.get(usize::try_from(error.batch_index).ok()?)?;
            let reason = error.batch_index_error_message.as_deref().or(whole);
            let reason = reason.unwrap_or("the broker gives no reason").to_owned();
            Some(RecordRefusal {
                index,
                code,
                reason,
            })
        })
        .collect();
    if !named.is_empty() {
        return named;
    }
    vec![RecordRefusal {
        index: places.first().copied().unwrap_or_default(),
        code,
        reason: whole.unwrap_or("the whole batch").to_owned(),
    }]
}
