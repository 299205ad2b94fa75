//! What a command does: the records that it appends and the answer once they are applied.
//!
//! Deterministic: the same state and command give the same decision.

mod delete;
mod lookup;
mod register;
mod settings;

use std::sync::Arc;

use serde::Deserialize;

use super::record::{Entry, Record};
use super::{
    Config, ConfigUpdate, Guid, Metadata, Mode, Reference, Registry, RegistryError, RuleSet,
    Schema, Subject, VersionSpec, nullable,
};

/// A change that a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Register {
        subject: Subject,
        request: Box<RegisterRequest>,
        /// Compare and store the schema's normal form.
        normalize: bool,
        /// Skip the compatibility check.
        force: bool,
    },
    DeleteSubject {
        subject: Subject,
        permanent: bool,
    },
    DeleteVersion {
        subject: Subject,
        version: VersionSpec,
        permanent: bool,
    },
    /// Changes the settings of a subject or context; the empty subject's are the global ones.
    UpdateConfig {
        subject: Subject,
        update: Box<ConfigUpdate>,
    },
    DeleteConfig {
        subject: Subject,
    },
    /// Sets the mode, or with none removes it.
    SetMode {
        subject: Subject,
        mode: Option<String>,
        force: bool,
    },
    DeleteMode {
        subject: Subject,
        recursive: bool,
    },
    DeleteContext {
        context: String,
    },
}

/// A schema as a client sends it, to register it, look it up or test it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterRequest {
    #[serde(deserialize_with = "nullable")]
    pub schema: String,
    pub schema_type: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub references: Vec<Reference>,
    pub metadata: Option<Metadata>,
    pub rule_set: Option<RuleSet>,
    /// The version to get; needs to be the next one, or any in IMPORT mode. -1 means the latest.
    pub version: Option<i32>,
    /// The id to get, in IMPORT mode.
    pub id: Option<i32>,
}

/// A decision: append these records in one piece, then give the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub records: Vec<Record>,
    pub answer: Answer,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Registered(Registered),
    /// The versions that were deleted.
    Versions(Vec<i32>),
    /// The version that was deleted.
    Version(i32),
    /// The settings after a change, or those that were deleted.
    Config(Box<Config>),
    /// The mode after a change, or the one that was deleted.
    Mode(Option<Mode>),
    Done,
}

/// A schema under a subject, as registering or looking it up answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    pub subject: Subject,
    pub version: i32,
    pub id: i32,
    pub guid: Guid,
    pub schema: Arc<Schema>,
    /// The time of the record that holds the version, where it was there before.
    pub timestamp_ms: Option<i64>,
    pub deleted: bool,
}

/// Decides a command on the applied state.
///
/// # Errors
/// The refusal to answer with; nothing is appended.
pub fn decide(registry: &Registry, command: Command) -> Result<Decision, RegistryError> {
    match command {
        Command::Register {
            subject,
            request,
            normalize,
            force,
        } => register::decide(registry, subject, *request, normalize, force),
        Command::DeleteSubject { subject, permanent } => {
            delete::subject(registry, subject, permanent)
        }
        Command::DeleteVersion {
            subject,
            version,
            permanent,
        } => delete::version(registry, subject, version, permanent),
        Command::UpdateConfig { subject, update } => {
            settings::update_config(registry, subject, *update)
        }
        Command::DeleteConfig { subject } => settings::delete_config(registry, subject),
        Command::SetMode {
            subject,
            mode,
            force,
        } => settings::set_mode(registry, subject, mode.as_deref(), force),
        Command::DeleteMode { subject, recursive } => {
            settings::delete_mode(registry, subject, recursive)
        }
        Command::DeleteContext { context } => delete::context(registry, &context),
    }
}

impl Decision {
    fn new(entries: Vec<Entry>, answer: Answer) -> Decision {
        Decision {
            records: entries.iter().map(Entry::encode).collect(),
            answer,
        }
    }
}

fn check_writable(registry: &Registry, subject: &Subject) -> Result<(), RegistryError> {
    if registry.mode_in_scope(subject).is_read_only() {
        return Err(RegistryError::ReadOnly {
            subject: subject.clone(),
        });
    }
    Ok(())
}

/// Settings records name the global level by leaving the subject out.
fn setting(subject: &Subject) -> Option<Subject> {
    Some(subject.clone()).filter(|subject| !subject.is_default_context())
}
