//! Shards: replicated logs of opaque entries, many Raft groups over one shared write-ahead log.
//!
//! A `Node` owns one WAL; each `Shard` on it is a Raft group. Entries are payloads that only the
//! caller's `StateMachine` understands.
//!
//! Invariants
//! - An entry's position in the WAL is fixed when it is submitted, and its payload lies there
//!   without a gap, so that `WalPos` and a length read exactly those bytes.
//! - Records are written in the order of submission, and callbacks run in that order after the
//!   sync that made them durable. Votes go the same way.
//! - Only bytes past the last durable position may be cut at recovery (D3); an fsync error ends
//!   the process (D2).
//! - Payloads are in memory from their submission until they are applied and durable.
//!
//! Left out: what entries mean, who may connect, and when files are retired.

mod bring;
pub mod disk;
mod env;
mod group;
mod ids;
#[doc(hidden)]
pub mod inspect;
mod node;
mod observer;
mod pace;
mod payload;
#[doc(hidden)]
pub mod planted;
#[doc(hidden)]
pub mod readers;
mod state_machine;
mod threads;
mod transport;
mod wal;

pub use bring::Bring;
pub use env::{Clock, Env, Fatal, Random};
pub use group::gather_timers;
pub use ids::{Index, NodeId, Seat, ShardId, Term, WalPos};
pub use node::{
    ChangeError, Followers, Leadership, MAX_PAYLOAD_LEN, MemberProgress, Members, Node, NodeConfig,
    Progress, Proposal, ProposeError, ReadError, ServeError, Shard, StartError, Timing,
};
pub use observer::{Damage, Unobserved, WalObserver};
pub use payload::{Payload, Piece, TailCrc, Written};
pub use state_machine::{Committed, Outcome, StateMachine};
pub use threads::{RealThreads, Threads, Turn, Wake, Worker, blocking, blocking_long};
pub use transport::{
    Caller, Guard, Lane, MemNetwork, NoPeers, Open, Reply, Request, Service, TcpTransport,
    Transport, Unreachable, Wire,
};
pub use wal::{OpenError, WalConfig, WalUsage};
