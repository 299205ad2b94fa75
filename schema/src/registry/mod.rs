//! The schema registry as a state machine: subjects, versions, ids, settings, in Confluent's terms.
//!
//! `decide` reads the state and says which records a command appends to `_schemas`, or why it is
//! refused; `Registry::apply` folds a committed record and is the only writer. The leader runs
//! decide, commit, apply for one command before it decides the next, so two racing incompatible
//! registrations meet in that order and one loses.
//!
//! - `record`: the bytes in `_schemas`, as Confluent's registry writes them.
//! - `state`, `read`: the fold and the look-ups on it.
//! - `decide`: what each command does.
//!
//! Invariants: an id's schema never changes and no id is given twice, even after permanent deletion
//! (`Retired` ids, kept in records of our own that other readers skip); a version number is not
//! given twice under a subject; a referenced version is not deletable. Nothing here reads a clock.

mod config;
mod decide;
mod error;
pub mod limits;
mod metadata;
mod mode;
mod read;
mod record;
mod references;
mod rules;
mod schema;
mod snapshot;
mod state;
mod subject;
#[cfg(test)]
mod tests;

pub use config::{CompatibilityLevel, CompatibilityPolicy, Config, ConfigUpdate};
pub use decide::{Answer, Command, Decision, RegisterRequest, Registered, decide};
pub use error::RegistryError;
pub use metadata::Metadata;
pub use mode::Mode;
pub use read::{Found, IdHolder, Listing, VersionSpec};
pub use record::{Record, RecordError};
pub use references::ResolvedReference;
pub use rules::{InvalidRule, Rule, RuleKind, RuleMode, RuleSet};
pub use schema::{Guid, Reference, Schema};
pub use state::{Registry, Version};
pub use subject::{DEFAULT_CONTEXT, GLOBAL_CONTEXT, Subject};

use serde::{Deserialize, Deserializer};

/// Reads null like an absent field, as the JVM's registry does.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
