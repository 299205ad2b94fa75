//! Consumer groups: who is in them, and which offsets they have committed.
//!
//! A group belongs to one partition of `__consumer_offsets`, found by a hash of its id; the leader of that partition is
//! its coordinator. What is stored are Kafka's own records ([`format`]):
//!
//! - [`store`] folds them on every replica as they are applied, so that a fail-over loads nothing from disk;
//! - [`group::Group`] decides what happens in a group, without waiting for anything;
//! - [`coordinator::Coordinator`] holds the groups of one partition while this node leads it, hands them their events,
//!   writes what they decide and answers who waits;
//! - [`registry::Groups`] has all coordinators of the node and the one task that keeps their time.
//!
//! Invariants: a committed offset is a linearizable register per group and partition (C1): a commit is acknowledged when
//! it is applied, and read after a barrier. A commit is decided against the group's current generation and its write is
//! fenced by the term of that decision (C2). What is not known is never answered as 0 (C4).
//!
//! Left out: the groups of KIP-848, share and streams groups, and offsets in transactions.

pub mod answer;
pub mod coordinator;
pub mod error;
pub mod format;
pub mod group;
pub mod member;
pub mod registry;
pub mod settings;
pub mod store;
pub(crate) mod subscription;
pub mod turn;
mod writes;

#[cfg(test)]
mod tests;

pub use coordinator::Coordinator;
pub use error::GroupError;
pub use registry::Groups;
pub use settings::GroupSettings;
pub use store::GroupStore;
