//! Kafka's error codes, and how failures of the broker become them.
//!
//! Every mapping from a broker's error to a Kafka code lives in this file, as an exhaustive `match`; below
//! `broker/src/kafka` nothing knows a Kafka code.

/// Kafka's error codes; `code()` is the number on the wire.
pub use kafka_protocol::ResponseError as ErrorCode;

use kafka_protocol::protocol::StrBytes;

use crate::cluster::transfer::TransferError;
use crate::groups::GroupError;
use crate::meta::config::ConfigError;
use crate::meta::decide::moves::{MoveError, NodeError};
use crate::meta::decide::topics::TopicError;
use crate::meta::view::AttachError;
use crate::meta::{AdminError, ChangeError, MetaCommitError};

/// The code on the wire for success.
pub const NO_ERROR: i16 = 0;

/// A refusal as a response carries it: a code, and a text where the response has a place for one.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaError {
    pub code: ErrorCode,
    pub message: Option<String>,
}

impl KafkaError {
    /// A refusal that says what was wrong, with which value, and what to do.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        KafkaError {
            code,
            message: Some(message.into()),
        }
    }

    /// The number on the wire.
    pub fn code(&self) -> i16 {
        self.code.code()
    }

    /// The text as a response's nullable string.
    pub fn message(&self) -> Option<StrBytes> {
        self.message.clone().map(StrBytes::from_string)
    }
}

impl From<ErrorCode> for KafkaError {
    fn from(code: ErrorCode) -> Self {
        KafkaError {
            code,
            message: None,
        }
    }
}

impl From<AdminError> for KafkaError {
    fn from(error: AdminError) -> Self {
        let message = error.to_string();
        let code = match error {
            AdminError::Topic(error) => return error.into(),
            AdminError::Commit(MetaCommitError::NotLeader) => ErrorCode::NotController,
            AdminError::Commit(MetaCommitError::Unknown) => ErrorCode::RequestTimedOut,
            AdminError::Commit(MetaCommitError::Rejected(_)) => ErrorCode::RequestTimedOut,
            AdminError::Commit(MetaCommitError::Fatal(_)) => ErrorCode::KafkaStorageError,
            AdminError::Attach(AttachError::TimedOut) => ErrorCode::RequestTimedOut,
            AdminError::Attach(AttachError::Deleted) => ErrorCode::UnknownTopicOrPartition,
        };
        KafkaError::new(code, message)
    }
}

/// Of a preferred leader that was asked for.
impl From<TransferError> for KafkaError {
    fn from(error: TransferError) -> Self {
        let code = match error {
            TransferError::NoShard(_) => ErrorCode::UnknownTopicOrPartition,
            TransferError::NoNode(_)
            | TransferError::NoReplica
            | TransferError::NoVote
            | TransferError::Away
            | TransferError::Leaving
            | TransferError::Draining
            | TransferError::NotInSync
            | TransferError::NoLeader => ErrorCode::PreferredLeaderNotAvailable,
            TransferError::NotTaken => ErrorCode::RequestTimedOut,
        };
        KafkaError::new(code, error.to_string())
    }
}

impl From<MoveError> for KafkaError {
    fn from(error: MoveError) -> Self {
        let code = match &error {
            MoveError::Unknown { .. } => ErrorCode::UnknownTopicOrPartition,
            MoveError::Invalid(_) => ErrorCode::InvalidReplicaAssignment,
            MoveError::NothingToCancel { .. } => ErrorCode::NoReassignmentInProgress,
            MoveError::AboutToArrive { .. } => ErrorCode::ReassignmentInProgress,
        };
        KafkaError::new(code, error.to_string())
    }
}

impl From<ChangeError<NodeError>> for KafkaError {
    fn from(error: ChangeError<NodeError>) -> Self {
        let error = match error {
            ChangeError::Refused(error) => error,
            ChangeError::Commit(error) => return AdminError::Commit(error).into(),
        };
        let code = match &error {
            NodeError::Unknown(_) => ErrorCode::BrokerIdNotRegistered,
            NodeError::TooFewNodes { .. }
            | NodeError::HasReplicas { .. }
            | NodeError::Running(_) => ErrorCode::InvalidRequest,
        };
        KafkaError::new(code, error.to_string())
    }
}

impl From<TopicError> for KafkaError {
    fn from(error: TopicError) -> Self {
        let code = match &error {
            TopicError::InvalidName(_)
            | TopicError::Collides { .. }
            | TopicError::Reserved { .. }
            | TopicError::Protected(_)
            | TopicError::EpochsUsedUp(_) => ErrorCode::InvalidTopicException,
            TopicError::Exists(_) => ErrorCode::TopicAlreadyExists,
            TopicError::Unknown(_) => ErrorCode::UnknownTopicOrPartition,
            TopicError::UnknownId(_) => ErrorCode::UnknownTopicId,
            TopicError::Config(error) => {
                return KafkaError::new(config_code(error), error.to_string());
            }
            TopicError::InvalidPartitionCount(_)
            | TopicError::NotMorePartitions { .. }
            | TopicError::TableCannotGrow(_) => ErrorCode::InvalidPartitions,
            TopicError::InvalidReplicationFactor(_) | TopicError::TooFewBrokers { .. } => {
                ErrorCode::InvalidReplicationFactor
            }
            TopicError::AssignmentMisplaced(_) => ErrorCode::InvalidRequest,
            TopicError::InvalidAssignment(_) => ErrorCode::InvalidReplicaAssignment,
            TopicError::TooMany(_) => ErrorCode::PolicyViolation,
        };
        KafkaError::new(code, error.to_string())
    }
}

impl From<GroupError> for ErrorCode {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NotCoordinator => ErrorCode::NotCoordinator,
            GroupError::Loading => ErrorCode::CoordinatorLoadInProgress,
            GroupError::NotAvailable => ErrorCode::CoordinatorNotAvailable,
            GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
            GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
            GroupError::UnknownMember => ErrorCode::UnknownMemberId,
            GroupError::FencedInstance => ErrorCode::FencedInstanceId,
            GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
            GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
            GroupError::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
            GroupError::MemberIdRequired => ErrorCode::MemberIdRequired,
            GroupError::MaxSizeReached => ErrorCode::GroupMaxSizeReached,
            GroupError::GroupNotFound => ErrorCode::GroupIdNotFound,
            GroupError::NonEmpty => ErrorCode::NonEmptyGroup,
            GroupError::SubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
            GroupError::MetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
            // What Kafka answers for a group record above the largest batch.
            GroupError::RecordTooLarge => ErrorCode::UnknownServerError,
        }
    }
}

/// The code of a refused setting of a topic. A broker's own are a bad request, see `config_resource`.
fn config_code(error: &ConfigError) -> ErrorCode {
    match error {
        ConfigError::Unknown { .. }
        | ConfigError::Value { .. }
        | ConfigError::Null(_)
        | ConfigError::NotAList { .. }
        | ConfigError::ReadOnly { .. }
        | ConfigError::Conflict(_)
        | ConfigError::Frozen { .. }
        | ConfigError::Table(_) => ErrorCode::InvalidConfig,
    }
}

/// The code on the wire of a result: 0, or the error's.
pub fn code_of<T>(result: &Result<T, KafkaError>) -> i16 {
    match result {
        Ok(_) => NO_ERROR,
        Err(error) => error.code(),
    }
}
