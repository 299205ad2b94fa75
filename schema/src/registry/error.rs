//! Why the registry refuses a command or a look-up.

use super::limits::SCHEMA_BYTES_MAX;
use super::{InvalidRule, Subject};

/// A refusal. The HTTP edge gives each its status and code; the texts are for users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    #[error("Subject '{0}' not found.")]
    SubjectNotFound(Subject),
    #[error("Version {0} not found.")]
    VersionNotFound(i32),
    #[error("Schema not found")]
    SchemaNotFound,
    #[error("Schema {0} not found")]
    IdNotFound(String),
    #[error("Subject '{0}' is soft deleted; delete it with permanent=true to remove it for good")]
    SubjectSoftDeleted(Subject),
    #[error("Subject '{0}' must be soft deleted before it can be deleted permanently")]
    SubjectNotSoftDeleted(Subject),
    #[error(
        "Version {version} of subject '{subject}' is soft deleted; delete it with permanent=true \
         to remove it for good"
    )]
    VersionSoftDeleted { subject: Subject, version: i32 },
    #[error(
        "Version {version} of subject '{subject}' must be soft deleted before it can be deleted \
         permanently"
    )]
    VersionNotSoftDeleted { subject: Subject, version: i32 },
    #[error("Subject '{0}' has no compatibility level of its own")]
    NoSubjectConfig(Subject),
    #[error("Subject '{0}' has no mode of its own")]
    NoSubjectMode(Subject),
    #[error(
        "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", \
         details: [{}]", messages.join(", ")
    )]
    Incompatible {
        subject: Subject,
        messages: Vec<String>,
    },
    #[error("{0}")]
    InvalidSchema(String),
    #[error(
        "The version '{0}' is invalid: give a number from 1 to 2147483647, or \"latest\" (or -1)"
    )]
    InvalidVersion(String),
    #[error(
        "Invalid compatibility level or policy '{0}': levels are NONE, BACKWARD, FORWARD, FULL, \
         BACKWARD_TRANSITIVE, FORWARD_TRANSITIVE and FULL_TRANSITIVE; policies are STRICT, LENIENT \
         and LOGICAL"
    )]
    InvalidCompatibility(String),
    #[error("Invalid mode '{0}': modes are READWRITE, READONLY, READONLY_OVERRIDE and IMPORT")]
    InvalidMode(String),
    #[error("Subject {subject} in context {} is in read-only mode", subject.context())]
    ReadOnly { subject: Subject },
    #[error("Subject {subject} in context {} is not in import mode", subject.context())]
    NotInImportMode { subject: Subject },
    #[error("Subject {subject} in context {} is not in read-write mode", subject.context())]
    NotInReadWriteMode { subject: Subject },
    #[error("Cannot set IMPORT mode: subjects exist; delete them, or give force=true")]
    SubjectsExist,
    #[error(
        "Schema id {id} in context {context} stands for another schema and is never given again"
    )]
    IdTaken { id: i32, context: String },
    #[error("Version {version} of subject {subject} exists and cannot be overwritten")]
    VersionTaken { subject: Subject, version: i32 },
    #[error("One or more references exist to the schema {{subject={subject},version={version}}}")]
    ReferenceExists { subject: Subject, version: i32 },
    #[error("The subject '{0}' is not a valid subject name")]
    InvalidSubject(Subject),
    #[error("The schema takes {0} bytes; the limit is {SCHEMA_BYTES_MAX}")]
    SchemaTooLarge(usize),
    #[error("Invalid rule set: {0}")]
    InvalidRuleSet(#[from] InvalidRule),
    #[error("The context '{0}' is not empty")]
    ContextNotEmpty(String),
    #[error("The registry could not write: {0}")]
    Store(String),
    #[error("The registry's write timed out and may or may not have happened: {0}")]
    Timeout(String),
    #[error("No leader is known for the registry; retry: {0}")]
    UnknownLeader(String),
}
