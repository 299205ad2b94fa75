//! Enforcement: which records a topic with schemas takes.
//!
//! Per part (key, value) a topic asks for nothing, for a schema id that is registered under the
//! expected subject, or for that and a payload that is a value of the schema. A null value passes
//! (it deletes), a null key passes unless the topic is a table. The id comes from the part's last
//! schema header or else from its prefix; a malformed header is refused and the prefix not looked at.
//!
//! A decision reads what the caller's registry state holds and calls nowhere else: it is the same on
//! every node that has applied the same log.

mod part;
mod refusal;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use refusal::{ReasonCode, Refusal};
pub use settings::{
    Mode, PartSettings, SettingError, Settings, SubjectNameStrategy, java_class, mode_names,
    strategy_names,
};

use crate::codec::{Codec, SchemaError};
use crate::framing::{self, Guid, Part};
use part::PartCheck;

/// Refusals that one call returns at most; what follows them in the batch is not looked at.
pub const MAX_REFUSALS: usize = 100;

/// What enforcement asks of the registry. A schema whose versions are all soft-deleted is still there;
/// one that was hard-deleted everywhere is not.
pub trait Schemas {
    fn has_id(&self, context: &str, id: i32) -> bool;
    fn id_of_guid(&self, context: &str, guid: &Guid) -> Option<i32>;
    /// Whether the subject has a version of this id, soft-deleted ones included. The subject is
    /// qualified (`:.context:name`) unless its context is the default one.
    fn subject_has_id(&self, subject: &str, id: i32) -> bool;
    /// The compiled schema, which the implementation keeps.
    fn codec(&self, context: &str, id: i32) -> Result<Arc<Codec>, SchemaError>;
}

/// A topic's rules.
#[derive(Clone, Debug)]
pub struct Enforcer {
    topic: String,
    context: String,
    settings: Settings,
    refuses_null_keys: bool,
}

/// A refusal and the record's position in the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRefusal {
    pub index: usize,
    pub refusal: Refusal,
}

/// The name of the registry's default context.
pub const DEFAULT_CONTEXT: &str = ".";

impl Enforcer {
    /// Rules for a topic whose schemas are in the default context.
    pub fn new(topic: impl Into<String>, settings: Settings) -> Self {
        Enforcer {
            topic: topic.into(),
            context: DEFAULT_CONTEXT.into(),
            settings,
            refuses_null_keys: false,
        }
    }

    /// Takes schemas from another context, named as in `/contexts` (`.staging`).
    pub fn in_context(mut self, context: impl Into<String>) -> Self {
        self.context = context.into();
        self
    }

    /// Refuses null keys: the topic is a table.
    pub fn refusing_null_keys(mut self) -> Self {
        self.refuses_null_keys = true;
        self
    }

    /// Whether every record passes, so that records need not be read.
    pub fn is_idle(&self) -> bool {
        let none = |part| self.settings.part(part).mode == Mode::None;
        !self.refuses_null_keys && none(Part::Key) && none(Part::Value)
    }

    /// Checks a batch's records, given as key, value and headers. Empty where all pass.
    pub fn check<'a, K, H>(
        &self,
        schemas: &dyn Schemas,
        records: impl IntoIterator<Item = (Option<&'a [u8]>, Option<&'a [u8]>, H)>,
    ) -> Vec<RecordRefusal>
    where
        K: AsRef<[u8]>,
        H: IntoIterator<Item = (K, Option<&'a [u8]>)>,
    {
        let mut refusals = Vec::new();
        let mut key_check = PartCheck::new(self, schemas, Part::Key);
        let mut value_check = PartCheck::new(self, schemas, Part::Value);
        for (index, (key, value, headers)) in records.into_iter().enumerate() {
            let (mut key_header, mut value_header) = (None, None);
            for (name, value) in headers {
                match name.as_ref() {
                    name if name == framing::KEY_HEADER.as_bytes() => key_header = Some(value),
                    name if name == framing::VALUE_HEADER.as_bytes() => value_header = Some(value),
                    _ => {}
                }
            }
            let checked = key_check
                .check(key, key_header)
                .and_then(|()| value_check.check(value, value_header));
            if let Err(refusal) = checked {
                refusals.push(RecordRefusal {
                    index,
                    refusal: *refusal,
                });
                if refusals.len() == MAX_REFUSALS {
                    break;
                }
            }
        }
        refusals
    }

    /// The subject that a part's schema is expected under; `None` where the strategy needs a record
    /// name and the schema has none.
    pub fn subject(&self, part: Part, record_name: Option<&str>) -> Option<String> {
        let topic = &self.topic;
        let name = match self.settings.part(part).strategy {
            SubjectNameStrategy::TopicName => format!("{topic}-{part}"),
            SubjectNameStrategy::RecordName => record_name?.to_owned(),
            SubjectNameStrategy::TopicRecordName => format!("{topic}-{}", record_name?),
        };
        Some(match self.context.as_str() {
            DEFAULT_CONTEXT => name,
            context => format!(":{context}:{name}"),
        })
    }
}
