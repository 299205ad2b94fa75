//! What a shard's entries mean: the caller's state machine, fed in index order on every replica.

use std::sync::Arc;

use crate::ids::{Index, Term, WalPos};
use crate::payload::Payload;

/// An entry that a majority holds and that will never change.
#[derive(Clone, Debug)]
pub struct Committed {
    pub index: Index,
    pub term: Term,
    pub payload: Payload,
    /// Where the payload's first byte lies in this node's WAL; the rest follows without a gap.
    pub pos: WalPos,
}

/// What applying an entry came to; the same on every replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Applied,
    /// Applied but for these of its items, counted from 0 in the entry's own order.
    Partly(Arc<[u32]>),
    /// The entry changed nothing, for this reason.
    Rejected(Arc<str>),
}

/// A deterministic fold of a shard's entries. No clock, randomness or I/O error may decide an
/// outcome. A panic stops the replica for good.
pub trait StateMachine: Send + 'static {
    fn apply(&mut self, entry: &Committed) -> Outcome;

    /// Called once after a run of applies, with the last index of it, e.g. to wake readers.
    fn applied(&mut self, _last: Index) {}

    /// The full state as bytes that `restore` understands.
    fn snapshot(&self) -> Vec<u8>;

    /// Replaces the state. Also called at a restart, so it must not need the network.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), String>;
}
