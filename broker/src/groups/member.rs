//! A member of a group, as its coordinator holds it.

use std::sync::Arc;

use bytes::Bytes;

use super::turn::Ticket;

/// One way of assigning partitions that a member supports, with what it says for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    pub name: Arc<str>,
    pub metadata: Bytes,
}

#[derive(Debug, Clone)]
pub struct Member {
    pub id: Arc<str>,
    /// Set for a static member (KIP-345): the name that it keeps over restarts.
    pub instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// In the member's order of preference.
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    /// The join that is answered when the group's next generation begins.
    pub awaiting_join: Option<Ticket>,
    /// The sync that is answered when the leader's assignment is stored.
    pub awaiting_sync: Option<Ticket>,
    /// Its first join is not answered yet.
    pub is_new: bool,
    /// When its session ends, in the coordinator's timer time. Without one, an answer that it waits for starts the next.
    pub expires_at: Option<u64>,
}

impl Member {
    pub fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    pub fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|p| &*p.name == protocol)
    }

    /// What the member said for a protocol; empty for one that it does not support.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|p| &*p.name == protocol);
        found.map(|p| p.metadata.clone()).unwrap_or_default()
    }

    /// Whether a missing heartbeat is no sign of a dead member: one that waits for an answer sends none, unless it is
    /// new and its client may be gone.
    pub fn is_excused(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    pub fn session_ms(&self) -> u64 {
        u64::try_from(self.session_timeout_ms).unwrap_or(0)
    }
}
