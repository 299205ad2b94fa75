//! Schemas: the registry that keeps them, and the codecs that read records by them.
//!
//! Everything here is a plain function over bytes and values: no I/O, no clock, no async. The broker
//! keeps the registry's state and calls in.
//!
//! - `registry`: subjects, versions and ids as a state machine folded from the `_schemas` topic.
//! - `compat`: whether one schema reads what another wrote.
//! - `framing`: which schema a record names, and where its payload begins.
//! - `codec`: a compiled schema; checks payloads, turns them into JSON and back, gives the columns.
//! - `enforce`: the rules by which a topic refuses records that do not fit.
//! - `row`: the types of a table's columns and their values in JSON.
//!
//! Invariants: no function panics or allocates beyond a small multiple of its input on any bytes;
//! recursion over schemas and payloads is limited; a compiled codec never changes.

pub mod codec;
mod compat;
pub mod enforce;
pub mod framing;
pub mod registry;
pub mod row;
mod schema_type;

pub use schema_type::{SchemaType, UnknownSchemaType};
