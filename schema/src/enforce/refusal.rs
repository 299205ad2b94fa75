//! Why a record was refused, for the producer, the metric and whoever looks it up later.

use std::fmt;

use crate::framing::Part;

/// One word for the metric's label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasonCode {
    /// A table's record has no key.
    NullKey,
    /// The part names no schema, or names it in bytes that do not parse.
    Malformed,
    /// The registry has no schema of this id or guid.
    UnknownId,
    /// The schema is not registered under the expected subject.
    NotInSubject,
    /// The registered schema cannot be compiled here.
    UnusableSchema,
    /// The payload is no value of the schema.
    DoesNotFit,
    /// A key without bytes, which clients place at random, in a table of several partitions.
    EmptyKey,
    /// A table's key in another form than the one that its partitioning needs.
    NotCanonical,
    /// A column stands in key and value and differs.
    KeyDiffers,
    /// No partitioner of the table's clients places the key in this partition.
    Misplaced,
}

impl ReasonCode {
    pub fn as_str(self) -> &'static str {
        match self {
            ReasonCode::NullKey => "null_key",
            ReasonCode::Malformed => "malformed",
            ReasonCode::UnknownId => "unknown_id",
            ReasonCode::NotInSubject => "not_in_subject",
            ReasonCode::UnusableSchema => "unusable_schema",
            ReasonCode::DoesNotFit => "does_not_fit",
            ReasonCode::EmptyKey => "empty_key",
            ReasonCode::NotCanonical => "not_canonical",
            ReasonCode::KeyDiffers => "key_differs",
            ReasonCode::Misplaced => "misplaced",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record that is not taken. `Display` is the text for `record_errors`: what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub part: Part,
    /// The subject that the schema was expected under, where that is known.
    pub subject: Option<String>,
    pub id: Option<i32>,
    /// Path of the field at fault; empty where it is the whole part.
    pub field: String,
    pub code: ReasonCode,
    pub reason: String,
    pub fix: String,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.part)?;
        if !self.field.is_empty() {
            write!(f, " field {}", self.field)?;
        }
        write!(f, ": {}", self.reason)?;
        match (&self.subject, self.id) {
            (Some(subject), Some(id)) => write!(f, " (subject {subject}, schema id {id})")?,
            (Some(subject), None) => write!(f, " (subject {subject})")?,
            (None, Some(id)) => write!(f, " (schema id {id})")?,
            (None, None) => {}
        }
        write!(f, "; {}", self.fix)
    }
}
