//! Results become a Produce response; the one place where a produce error becomes a code.

use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use kafka_protocol::messages::{BrokerId, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use weir_log::ProducerError;

use super::Slot;
use super::request::TopicRef;
use crate::broker::Broker;
use crate::kafka::ErrorCode;
use crate::shard::proposer::AppendError;

/// A batch that was refused before the append: nothing of it enters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub error: ErrorCode,
    pub message: Option<String>,
    /// Index in the batch and what is wrong with that record.
    pub records: Vec<(i32, String)>,
    /// The log's start where it was looked at, else -1.
    pub log_start_offset: i64,
}

impl Refused {
    pub fn code(error: ErrorCode) -> Refused {
        Refused {
            error,
            message: None,
            records: Vec::new(),
            log_start_offset: -1,
        }
    }

    pub fn new(error: ErrorCode, message: impl Into<String>) -> Refused {
        Refused {
            error,
            message: Some(message.into()),
            records: Vec::new(),
            log_start_offset: -1,
        }
    }
}

pub fn answer(
    broker: &Broker,
    version: i16,
    topics: Vec<TopicRef>,
    slots: Vec<Slot>,
) -> ProduceResponse {
    let mut responses: Vec<TopicProduceResponse> = topics.into_iter().map(topic_response).collect();
    let mut moved = false;
    for slot in slots {
        let mut partition = PartitionProduceResponse::default()
            .with_index(slot.index)
            .with_log_start_offset(-1);
        match slot.result {
            Ok(Ok(appended)) => {
                partition.base_offset = appended.base_offset;
                partition.log_append_time_ms = appended.log_append_time_ms;
                partition.log_start_offset = slot.log_start_offset;
            }
            Ok(Err(error)) => {
                let known = matches!(error, AppendError::Producer(_));
                let log_start_offset = if known { slot.log_start_offset } else { -1 };
                fail(
                    &mut partition,
                    Refused {
                        log_start_offset,
                        ..refused(error)
                    },
                );
            }
            Err(refused) => fail(&mut partition, refused),
        }
        if version >= 10 && partition.error_code == ErrorCode::NotLeaderOrFollower.code() {
            let name = &responses[slot.topic];
            partition.current_leader = current_leader(broker, name, slot.index);
            moved |= partition.current_leader.leader_id.0 >= 0;
        }
        responses[slot.topic].partition_responses.push(partition);
    }
    let mut response = ProduceResponse::default().with_responses(responses);
    if moved {
        response.node_endpoints = broker.endpoints().into_iter().map(endpoint).collect();
    }
    response
}

fn topic_response(topic: TopicRef) -> TopicProduceResponse {
    match topic {
        TopicRef::Name(name) => {
            TopicProduceResponse::default().with_name(TopicName(StrBytes::from_string(name)))
        }
        TopicRef::Id(id) => TopicProduceResponse::default().with_topic_id(id),
    }
}

fn current_leader(broker: &Broker, topic: &TopicProduceResponse, index: i32) -> LeaderIdAndEpoch {
    let topic = if topic.topic_id.is_nil() {
        TopicRef::Name(topic.name.to_string())
    } else {
        TopicRef::Id(topic.topic_id)
    };
    match broker.leader_of(&topic, index) {
        Some((id, epoch)) => LeaderIdAndEpoch::default()
            .with_leader_id(BrokerId(id))
            .with_leader_epoch(epoch),
        None => LeaderIdAndEpoch::default(),
    }
}

fn endpoint((id, host, port, rack): (i32, String, i32, Option<String>)) -> NodeEndpoint {
    NodeEndpoint::default()
        .with_node_id(BrokerId(id))
        .with_host(StrBytes::from_string(host))
        .with_port(port)
        .with_rack(rack.map(StrBytes::from_string))
}

fn fail(partition: &mut PartitionProduceResponse, refused: Refused) {
    partition.error_code = refused.error.code();
    partition.base_offset = -1;
    partition.log_append_time_ms = -1;
    partition.log_start_offset = refused.log_start_offset;
    partition.error_message = refused.message.map(StrBytes::from_string);
    partition.record_errors = refused
        .records
        .into_iter()
        .map(|(index, message)| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(index)
                .with_batch_index_error_message(Some(StrBytes::from_string(message)))
        })
        .collect();
}

fn refused(error: AppendError) -> Refused {
    let code = match &error {
        AppendError::NotLeader => ErrorCode::NotLeaderOrFollower,
        AppendError::Unknown => ErrorCode::RequestTimedOut,
        AppendError::Detached => ErrorCode::UnknownTopicOrPartition,
        AppendError::Producer(ProducerError::OutOfOrderSequence { .. }) => {
            ErrorCode::OutOfOrderSequenceNumber
        }
        AppendError::Producer(ProducerError::InvalidEpoch { .. }) => {
            ErrorCode::InvalidProducerEpoch
        }
    };
    Refused::new(code, error.to_string())
}
