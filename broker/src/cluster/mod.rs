//! Several nodes as one cluster: how it is founded, who is a member, who leads what, and how a node has another
//! do what only that one can.
//!
//! Invariants
//! - The nodes of a list of seeds found at most one cluster (`founding`).
//! - Raft's node id is the data directory's incarnation, and never one that lost its log (`promise`).
//! - What this node knows of other nodes' leaderships is a hint for clients. No decision hangs on it but which
//!   entries are kept for those who lack them.
//!
//! Left out: the bytes between nodes (`weir_raft`'s transport), and Raft itself.

pub mod balance;
pub mod bring;
pub mod drain;
pub mod failover;
pub mod founding;
pub mod guard;
pub mod handover;
pub mod leaders;
pub mod log;
pub mod members;
pub mod message;
pub mod moves;
pub mod overview;
pub mod peers;
pub mod promise;
pub mod quorum;
pub mod service;
pub mod spread;
pub mod start;
pub mod transfer;

pub use founding::Founding;
pub use leaders::Leaders;
pub use peers::Peers;
