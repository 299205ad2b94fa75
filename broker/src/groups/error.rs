//! Why a group operation was refused.

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    #[error("this broker does not coordinate the group; ask for its coordinator again")]
    NotCoordinator,
    #[error("the coordinator is still taking over its groups")]
    Loading,
    #[error("the group's coordinator cannot write its state now")]
    NotAvailable,
    #[error("a group id may not be empty")]
    InvalidGroupId,
    #[error("the session timeout is outside of what the broker allows")]
    InvalidSessionTimeout,
    #[error("the group has no such member")]
    UnknownMember,
    #[error("the instance id belongs to a newer member")]
    FencedInstance,
    #[error("the member is of another generation than the group")]
    IllegalGeneration,
    #[error("the group is rebalancing; join again")]
    RebalanceInProgress,
    #[error("no protocol of the member is common to the group")]
    InconsistentProtocol,
    #[error("join again with the member id that was given")]
    MemberIdRequired,
    #[error("the group has as many members as it may have")]
    MaxSizeReached,
    #[error("there is no such group")]
    GroupNotFound,
    #[error("the group has members")]
    NonEmpty,
    #[error("the group reads the topic")]
    SubscribedToTopic,
    #[error("the metadata of the offset is too long")]
    MetadataTooLarge,
    #[error("the record of the group is larger than a batch may be")]
    RecordTooLarge,
}
