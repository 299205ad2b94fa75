//! TLS from files in PEM, which may be renewed while the node runs.
//!
//! [`Mutual`] is both ends of a connection on which each side shows the other a certificate; [`Renewed`] keeps what was
//! made of files until they change, so that a new connection has what they hold now.
//!
//! Left out: who listens and dials, and what may be said without TLS (`cluster::guard`).

mod files;
mod mutual;
pub mod reason;
mod renewed;
#[cfg(test)]
pub mod testing;

pub use files::{Files, TlsError};
pub use mutual::{Mutual, Names};
pub use renewed::Renewed;
