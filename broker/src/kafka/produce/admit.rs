//! What is checked of a batch before it is put into its shard's queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_log::{BatchHeader, Codec, InvalidBatch, ProduceRules};

use super::enforce::{Unfit, enforce};
use super::request::{PartitionData, ProduceRequest, TopicRef};
use super::response::Refused;
use crate::broker::Broker;
use crate::kafka::ErrorCode;
use crate::kafka::sums::Sums;
use crate::partition::Partition;
use crate::shard::entry::PartitionId;
use crate::shard::proposer::{Ack, Part};
use crate::shard::refusals::{Numbered, Refusals};
use crate::space::Admission;
use crate::topic::{MAX_DECOMPRESSED_BYTES, TopicView};

/// What is wrong with the request as a whole.
pub fn check_request(acks: i16) -> Result<(), Refused> {
    if !(-1..=1).contains(&acks) {
        return Err(Refused::code(ErrorCode::InvalidRequiredAcks));
    }
    Ok(())
}

/// Whether there is space for the request's records, and how long its client is held back.
pub fn check_space(broker: &Broker, request: &ProduceRequest) -> (Result<(), Refused>, Duration) {
    match broker.space.admit(request.frame_bytes, Instant::now()) {
        Admission::Free => (Ok(()), Duration::ZERO),
        Admission::Slowed(wait) => (Ok(()), wait),
        Admission::Refused(refused) => {
            let error = Refused::new(ErrorCode::KafkaStorageError, refused.to_string());
            (Err(error), refused.wait)
        }
    }
}

/// What a request says of all its batches, and how far they are looked into.
#[derive(Clone)]
pub struct Facts {
    pub version: i16,
    pub client_id: Arc<str>,
    pub acks: i16,
    pub has_transactional_id: bool,
    pub max_decompressed_bytes: usize,
    /// The schemas here are known to be the latest.
    pub latest: bool,
    /// Of the connection that it came on.
    pub refusals: Arc<Refusals>,
}

/// Why a batch is not appended, or not yet.
pub enum Declined {
    Refused(Refused),
    /// Its records are more than [`Facts::max_decompressed_bytes`], which is not what any batch may be, or its schemas
    /// may be on their way here.
    Apart,
}

impl From<Refused> for Declined {
    fn from(refused: Refused) -> Declined {
        Declined::Refused(refused)
    }
}

impl Declined {
    /// Where batches are looked into as far as any may be.
    pub fn refused(self) -> Refused {
        match self {
            Declined::Refused(refused) => refused,
            Declined::Apart => Refused::code(ErrorCode::MessageTooLarge),
        }
    }
}

/// Finds the partition, checks the batch by its topic's rules, and enforces the topic's schemas. A batch that is to be
/// checked apart stays in `data`. `sums` are of the frame that it came in.
pub fn admit(
    broker: &Arc<Broker>,
    facts: &Facts,
    view: Option<&TopicView>,
    topic: &TopicRef,
    data: &mut PartitionData,
    sums: &Sums,
) -> Result<Part, Declined> {
    let admitted = check(broker, facts, view, topic, data, sums);
    if let Err(Declined::Refused(refused)) = &admitted {
        note(facts, view, data, refused);
    }
    admitted
}

/// Notes a batch that is refused, where its producer will send it again as it is.
pub fn note(facts: &Facts, view: Option<&TopicView>, data: &PartitionData, refused: &Refused) {
    use ErrorCode::{KafkaStorageError, NotEnoughReplicas, NotLeaderOrFollower};
    let comes_again = matches!(
        refused.error,
        KafkaStorageError | NotEnoughReplicas | NotLeaderOrFollower
    );
    let Some((view, records)) = view.zip(data.records.as_ref()).filter(|_| comes_again) else {
        return;
    };
    let id = PartitionId {
        topic: view.topic.id,
        index: data.index,
    };
    let header = BatchHeader::parse(records).ok();
    if let Some(batch) = header.and_then(|header| Numbered::of(id, &header)) {
        facts.refusals.note(batch);
    }
}

fn check(
    broker: &Arc<Broker>,
    facts: &Facts,
    view: Option<&TopicView>,
    topic: &TopicRef,
    data: &mut PartitionData,
    sums: &Sums,
) -> Result<Part, Declined> {
    let view = view.ok_or_else(|| Refused::code(broker.missing_code(topic, data.index)))?;
    if view.internal {
        let message = "internal topics are written by the broker only";
        return Err(Refused::new(ErrorCode::InvalidTopicException, message).into());
    }
    let partition = find(broker, view, data.index)?;
    // A leader is in sync with itself.
    if facts.acks == -1
        && view.min_insync_replicas > 1
        && view.min_in_sync(broker, &partition) > broker.in_sync_replicas(&partition)
    {
        return Err(Refused::code(ErrorCode::NotEnoughReplicas).into());
    }
    let Some(records) = &mut data.records else {
        let message = "the request has no records for the partition";
        return Err(Refused::new(ErrorCode::InvalidRecord, message).into());
    };
    let rules = ProduceRules {
        now_ms: broker.clock.now_ms(),
        produce_version: facts.version,
        max_decompressed_bytes: facts.max_decompressed_bytes,
        ..view.rules
    };
    let log_start_offset = partition.log_start_offset();
    let frame_at = data.at;
    let crc = |at: usize, bytes: &[u8]| sums.crc(frame_at + at, bytes);
    let batch = weir_log::try_validate(records, &rules, crc).map_err(|invalid| match invalid {
        InvalidBatch::DecompressedTooLarge { limit } if limit < MAX_DECOMPRESSED_BYTES => {
            Declined::Apart
        }
        invalid => Refused::invalid(invalid, log_start_offset).into(),
    })?;
    if batch.header.is_transactional() {
        return Err(transactional(facts).into());
    }
    let (client_id, index) = (&facts.client_id, data.index);
    match enforce(broker, view, client_id, index, &batch, facts.latest) {
        Ok(()) => {}
        Err(Unfit::Refused(refused)) => {
            *records = batch.bytes;
            return Err(Declined::Refused(Refused {
                log_start_offset,
                ..refused
            }));
        }
        Err(Unfit::Behind) => {
            *records = batch.bytes;
            return Err(Declined::Apart);
        }
    }
    let ack = match view.settings.write_caching {
        true => Ack::Written,
        false => Ack::Committed,
    };
    Ok(Part {
        partition,
        batch,
        ack,
    })
}

fn transactional(facts: &Facts) -> Refused {
    if facts.has_transactional_id {
        Refused::new(
            ErrorCode::InvalidTxnState,
            "transactions are not there yet: unset transactional.id",
        )
    } else {
        Refused::code(ErrorCode::TransactionalIdAuthorizationFailed)
    }
}

fn find(broker: &Broker, view: &TopicView, index: i32) -> Result<Arc<Partition>, Refused> {
    let partition = view.partition(broker, index);
    let partition = partition.ok_or_else(|| {
        let topic = TopicRef::Id(view.topic.id);
        Refused::code(match broker.missing_code(&topic, index) {
            // However the request named the topic, it was there a moment ago.
            ErrorCode::UnknownTopicId => ErrorCode::UnknownTopicOrPartition,
            code => code,
        })
    })?;
    if partition.leadership().open {
        Ok(partition)
    } else {
        Err(Refused::code(ErrorCode::NotLeaderOrFollower))
    }
}

impl Refused {
    /// Where the batch as a whole is at fault, the log is not looked at and its start not told.
    fn invalid(invalid: InvalidBatch, log_start_offset: i64) -> Refused {
        let (error, log_start_offset) = match &invalid {
            // The request's version decides, before any log is looked at.
            InvalidBatch::UnsupportedCodec { codec, .. } if *codec == Codec::Zstd.id() => {
                (ErrorCode::UnsupportedCompressionType, -1)
            }
            InvalidBatch::UnsupportedCodec { .. } => {
                (ErrorCode::UnsupportedCompressionType, log_start_offset)
            }
            InvalidBatch::TooLarge { .. } | InvalidBatch::DecompressedTooLarge { .. } => {
                (ErrorCode::MessageTooLarge, -1)
            }
            // Formats of the past are named as such; any other magic is damage.
            InvalidBatch::UnknownMagic(0 | 1) | InvalidBatch::NotOneBatch => {
                (ErrorCode::InvalidRecord, -1)
            }
            InvalidBatch::UnknownMagic(_) | InvalidBatch::Corrupt(_) => {
                (ErrorCode::CorruptMessage, -1)
            }
            InvalidBatch::Timestamps(_) => (ErrorCode::InvalidTimestamp, log_start_offset),
            InvalidBatch::BaseOffset(_)
            | InvalidBatch::Count { .. }
            | InvalidBatch::Control
            | InvalidBatch::NegativeSequence { .. }
            | InvalidBatch::Malformed(_)
            | InvalidBatch::Records(_) => (ErrorCode::InvalidRecord, log_start_offset),
        };
        let records = invalid
            .record_errors()
            .iter()
            .map(|record| (record.batch_index, record.message.clone()))
            .collect();
        Refused {
            error,
            message: Some(invalid.to_string()),
            records,
            log_start_offset,
        }
    }
}
