//! What is checked of a batch before it is put into its shard's queue.

use std::sync::Arc;

use weir_log::{InvalidBatch, ProduceRules};

use super::enforce::enforce;
use super::request::{PartitionData, TopicRef};
use super::response::Refused;
use crate::broker::Broker;
use crate::kafka::ErrorCode;
use crate::partition::Partition;
use crate::shard::proposer::Part;
use crate::topic::TopicView;

/// What is wrong with the request as a whole.
pub fn check_request(acks: i16, transactional_id: Option<&str>) -> Result<(), Refused> {
    if !(-1..=1).contains(&acks) {
        return Err(Refused::code(ErrorCode::InvalidRequiredAcks));
    }
    if transactional_id.is_some() {
        return Err(Refused::new(
            ErrorCode::InvalidTxnState,
            "transactions are not there yet: unset transactional.id",
        ));
    }
    Ok(())
}

/// Finds the partition, checks the batch by its topic's rules, and enforces the topic's schemas.
pub fn admit(
    broker: &Arc<Broker>,
    version: i16,
    client_id: &str,
    view: Option<&TopicView>,
    topic: &TopicRef,
    data: PartitionData,
    acks: i16,
) -> Result<Part, Refused> {
    let view = view.ok_or_else(|| Refused::code(broker.missing_code(topic)))?;
    if view.internal {
        return Err(Refused::new(
            ErrorCode::InvalidTopicException,
            "internal topics are written by the broker only",
        ));
    }
    let partition = find(broker, view, data.index)?;
    if acks == -1 && view.min_insync_replicas > broker.in_sync_replicas(&partition) {
        return Err(Refused::code(ErrorCode::NotEnoughReplicas));
    }
    let Some(records) = data.records else {
        return Err(Refused::new(
            ErrorCode::InvalidRecord,
            "the request has no records for the partition",
        ));
    };
    let rules = ProduceRules {
        now_ms: broker.clock.now_ms(),
        produce_version: version,
        ..view.rules.clone()
    };
    let batch = weir_log::validate(records, &rules)?;
    if batch.header.is_transactional() {
        return Err(Refused::new(
            ErrorCode::InvalidTxnState,
            "transactions are not there yet",
        ));
    }
    enforce(broker, view, client_id, data.index, &batch)?;
    Ok(Part { partition, batch })
}

fn find(broker: &Broker, view: &TopicView, index: i32) -> Result<Arc<Partition>, Refused> {
    let partition = view.partition(broker, index);
    let partition = partition.ok_or_else(|| Refused::code(ErrorCode::UnknownTopicOrPartition))?;
    if partition.shard.leadership().open {
        Ok(partition)
    } else {
        Err(Refused::code(ErrorCode::NotLeaderOrFollower))
    }
}

impl From<InvalidBatch> for Refused {
    fn from(invalid: InvalidBatch) -> Refused {
        let error = match &invalid {
            InvalidBatch::UnsupportedCodec { .. } => ErrorCode::UnsupportedCompressionType,
            InvalidBatch::TooLarge { .. } | InvalidBatch::DecompressedTooLarge { .. } => {
                ErrorCode::MessageTooLarge
            }
            InvalidBatch::Corrupt(_) => ErrorCode::CorruptMessage,
            InvalidBatch::Timestamps(_) => ErrorCode::InvalidTimestamp,
            InvalidBatch::NotOneBatch
            | InvalidBatch::UnknownMagic(_)
            | InvalidBatch::BaseOffset(_)
            | InvalidBatch::Count { .. }
            | InvalidBatch::Control
            | InvalidBatch::NegativeSequence { .. }
            | InvalidBatch::Malformed(_)
            | InvalidBatch::Records(_) => ErrorCode::InvalidRecord,
        };
        let records = invalid
            .record_errors()
            .iter()
            .map(|r| (r.batch_index, r.message.clone()))
            .collect();
        Refused {
            error,
            message: Some(invalid.to_string()),
            records,
        }
    }
}
