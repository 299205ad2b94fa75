//! What members ask of a group, and what they are told.

use std::sync::Arc;

use bytes::Bytes;

use super::error::GroupError;
use super::member::Protocol;

#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// Empty for a member that has none yet.
    pub member_id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocol_type: Arc<str>,
    /// No name twice.
    pub protocols: Vec<Protocol>,
    /// The id that the member gets if it needs one.
    pub fresh_id: Arc<str>,
    /// Whether a member without an id is told one and has to join again with it (KIP-394).
    pub needs_known_id: bool,
    /// Whether a leader may be told to skip the assignment (KIP-814).
    pub may_skip_assignment: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinAnswer {
    pub error: Option<GroupError>,
    /// -1 in most refusals.
    pub generation: i32,
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    /// Empty when there is none.
    pub leader: Arc<str>,
    pub skip_assignment: bool,
    pub member_id: Arc<str>,
    /// For the leader only.
    pub members: Vec<JoinedMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    pub id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    pub metadata: Bytes,
}

impl JoinAnswer {
    pub fn refused(error: GroupError, member_id: &str) -> JoinAnswer {
        JoinAnswer {
            error: Some(error),
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: "".into(),
            skip_assignment: false,
            member_id: member_id.into(),
            members: Vec::new(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct SyncRequest {
    pub member_id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    pub generation: i32,
    /// What the member believes the group to use, where it says so.
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    /// By member id; from the leader only.
    pub assignments: Vec<(Arc<str>, Bytes)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncAnswer {
    pub error: Option<GroupError>,
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    pub assignment: Bytes,
}

impl SyncAnswer {
    pub fn refused(error: GroupError) -> SyncAnswer {
        SyncAnswer {
            error: Some(error),
            protocol_type: None,
            protocol: None,
            assignment: Bytes::new(),
        }
    }
}

/// Who says that it acts for the group: the member of a generation, or nobody (`generation` -1, no ids).
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    pub generation: i32,
}

/// Who leaves: by member id, or by instance id when an administrator removes a static member.
#[derive(Debug, Clone)]
pub struct Leaving {
    pub member_id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
}

/// A group as DescribeGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub state: &'static str,
    pub protocol_type: Arc<str>,
    pub protocol: Arc<str>,
    pub members: Vec<DescribedMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    pub id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub metadata: Bytes,
    pub assignment: Bytes,
}
