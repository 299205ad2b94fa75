//! The names by which this crate's callers address shards, nodes, entries and bytes in the WAL.

use std::fmt;

/// A Raft group's name, the same on every node. 0 is the metadata shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u64);

/// One incarnation of a node: a directory with its votes and entries. Never reused after a loss of
/// state, since a voter that has forgotten a vote may vote twice (invariant D5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A node's place in the cluster's list. It stays when the node's incarnation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(pub i32);

/// The position of an entry in its shard's log; the first entry has index 0.
pub type Index = u64;

/// The number of an election; at most one node leads in a term.
pub type Term = u64;

/// Where bytes lie in the WAL: a file's sequence number and the offset in that file. Positions are
/// ordered as the bytes were written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalPos {
    pub file: u64,
    /// In bytes from the start of the file.
    pub offset: u32,
}

impl WalPos {
    /// Before every byte of every file; sequence numbers start at 1.
    pub const ZERO: WalPos = WalPos { file: 0, offset: 0 };
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for WalPos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}
