//! The types with which openraft is instantiated. Nothing outside this crate names them.

use std::fmt;

use crate::ids::WalPos;
use crate::payload::Payload;
use crate::state_machine::Outcome;

openraft::declare_raft_types!(
    pub TypeConfig:
        D = Data,
        R = Applied,
        NodeId = u64,
        Node = openraft::EmptyNode,
        Term = u64,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = super::runtime::Runtime,
);

pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub type Vote = openraft::alias::VoteOf<TypeConfig>;
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
pub type EntryPayload = openraft::alias::EntryPayloadOf<TypeConfig>;
pub type Membership = openraft::Membership<u64, openraft::EmptyNode>;
pub type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub type Snapshot = openraft::alias::SnapshotOf<TypeConfig, bytes::Bytes>;
pub type LeaderId = openraft::alias::LeaderIdOf<TypeConfig>;

pub fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(term.into(), index)
}

pub fn term_and_index(id: &LogId) -> (u64, u64) {
    (id.leader_id.term, id.index)
}

/// An entry's payload, or where to find it.
#[derive(Clone)]
pub struct Data {
    pub bytes: Held,
    /// Known once the entry has been submitted to this node's WAL.
    pub pos: WalPos,
}

#[derive(Clone)]
pub enum Held {
    InMemory(Payload),
    /// So many bytes at `pos`.
    InWal(u32),
}

impl Data {
    pub fn new(payload: Payload) -> Data {
        Data {
            bytes: Held::InMemory(payload),
            pos: WalPos::ZERO,
        }
    }

    /// It is for this node's write-ahead log, which has a copy, and not for other readers of the entry.
    pub fn forget_written(&mut self) {
        if let Held::InMemory(payload) = &mut self.bytes {
            payload.forget_written();
        }
    }

    pub fn len(&self) -> usize {
        match &self.bytes {
            Held::InMemory(payload) => payload.len(),
            Held::InWal(len) => *len as usize,
        }
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {}", self.len(), self.pos)
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The state machine's answer, on its way to the proposer.
#[derive(Debug, Clone)]
pub struct Applied(pub Outcome);
