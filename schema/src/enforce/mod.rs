//! Enforcement: which records a topic with schemas takes.
//!
//! Per part (key, value) a topic asks for nothing, for a schema id that is registered under the
//! expected subject, or for that and a payload that is a value of the schema. A null value passes
//! (it deletes), a null key passes unless the topic is a table. The id comes from the part's last
//! schema header or else from its prefix; a malformed header is refused and the prefix not looked at.
//!
//! A decision reads what the caller's registry state holds and calls nowhere else: it is the same on
//! every node that has applied the same log.

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
use crate::framing::{self, Framed, Guid, Part, SchemaRef};

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

type Checked<T> = Result<T, Box<Refusal>>;

/// One part of a batch's records. Neighbours mostly have the same schema, which is looked up once.
struct PartCheck<'a> {
    enforcer: &'a Enforcer,
    schemas: &'a dyn Schemas,
    part: Part,
    settings: PartSettings,
    last: Option<Known>,
}

/// A schema that was found.
struct Known {
    schema: SchemaRef,
    id: i32,
    /// Present where a check needs it.
    codec: Option<Arc<Codec>>,
    /// The subject that has it, where that depends on the topic alone.
    subject: Option<String>,
}

impl<'a> PartCheck<'a> {
    fn new(enforcer: &'a Enforcer, schemas: &'a dyn Schemas, part: Part) -> Self {
        let settings = enforcer.settings.part(part);
        PartCheck {
            enforcer,
            schemas,
            part,
            settings,
            last: None,
        }
    }

    fn check(&mut self, bytes: Option<&[u8]>, header: Option<Option<&[u8]>>) -> Checked<()> {
        let Some(bytes) = bytes else {
            return match self.part {
                Part::Key if self.enforcer.refuses_null_keys => Err(Box::new(self.null_key())),
                _ => Ok(()),
            };
        };
        if self.settings.mode == Mode::None {
            return Ok(());
        }
        let framed = framing::split(self.part, bytes, header).map_err(|e| self.malformed(e))?;
        if self
            .last
            .as_ref()
            .is_none_or(|known| known.schema != framed.schema)
        {
            self.last = Some(self.find(framed.schema)?);
        }
        let known = self.last.as_ref().expect("a schema was just found");
        match &known.codec {
            None => Ok(()),
            Some(codec) => self.check_payload(known, codec, &framed),
        }
    }

    /// Looks a schema up, and its subject where that depends on the topic alone.
    fn find(&self, schema: SchemaRef) -> Checked<Known> {
        let context = &self.enforcer.context;
        let found = match schema {
            SchemaRef::Id(id) => self.schemas.has_id(context, id).then_some(id),
            SchemaRef::Guid(guid) => self.schemas.id_of_guid(context, &guid),
        };
        let by_topic = self.settings.strategy == SubjectNameStrategy::TopicName;
        let subject = if by_topic {
            self.enforcer.subject(self.part, None)
        } else {
            None
        };
        let Some(id) = found else {
            return Err(Box::new(self.unknown(schema, subject)));
        };
        if let Some(subject) = &subject
            && !self.schemas.subject_has_id(subject, id)
        {
            return Err(Box::new(self.not_in_subject(id, subject)));
        }
        let codec = match by_topic && self.settings.mode == Mode::Id {
            true => None,
            false => Some(
                self.schemas
                    .codec(context, id)
                    .map_err(|e| self.unusable(id, e))?,
            ),
        };
        Ok(Known {
            schema,
            id,
            codec,
            subject,
        })
    }

    fn check_payload(&self, known: &Known, codec: &Codec, framed: &Framed) -> Checked<()> {
        let payload = framed
            .payload(codec.is_protobuf())
            .map_err(|e| self.malformed(e))?;
        let mut named = None;
        if known.subject.is_none() {
            let subject = self
                .enforcer
                .subject(self.part, codec.record_name(payload.indexes));
            let Some(subject) = subject else {
                return Err(Box::new(self.nameless(known.id)));
            };
            if !self.schemas.subject_has_id(&subject, known.id) {
                return Err(Box::new(self.not_in_subject(known.id, &subject)));
            }
            named = Some(subject);
        }
        if self.settings.mode == Mode::Id {
            return Ok(());
        }
        codec.validate(payload).map_err(|error| {
            Box::new(Refusal {
                subject: known.subject.clone().or(named),
                id: Some(known.id),
                field: error.field,
                fix: "send a value of the schema, or register a schema that the value fits".into(),
                ..self.refusal(ReasonCode::DoesNotFit, error.reason)
            })
        })
    }

    fn refusal(&self, code: ReasonCode, reason: impl Into<String>) -> Refusal {
        Refusal {
            part: self.part,
            subject: None,
            id: None,
            field: String::new(),
            code,
            reason: reason.into(),
            fix: String::new(),
        }
    }

    fn null_key(&self) -> Refusal {
        let fix = "send every record of a table with a key";
        Refusal {
            fix: fix.into(),
            ..self.refusal(ReasonCode::NullKey, "the key is null")
        }
    }

    fn malformed(&self, error: framing::FramingError) -> Box<Refusal> {
        let fix = format!(
            "use a serializer that writes schema ids for the {}",
            self.part
        );
        Box::new(Refusal {
            subject: self.enforcer.subject(self.part, None),
            fix,
            ..self.refusal(ReasonCode::Malformed, error.to_string())
        })
    }

    fn unknown(&self, schema: SchemaRef, subject: Option<String>) -> Refusal {
        let id = match schema {
            SchemaRef::Id(id) => Some(id),
            SchemaRef::Guid(_) => None,
        };
        let fix = match &subject {
            Some(subject) => {
                format!("register the schema here under {subject}, and use the id that this gives")
            }
            None => "register the schema here, and use the id that this gives".to_owned(),
        };
        let reason = format!("the registry has no schema of {schema}");
        Refusal {
            subject,
            id,
            fix,
            ..self.refusal(ReasonCode::UnknownId, reason)
        }
    }

    fn not_in_subject(&self, id: i32, subject: &str) -> Refusal {
        Refusal {
            subject: Some(subject.to_owned()),
            id: Some(id),
            fix: format!("register the schema under {subject}, or send with a schema that is"),
            ..self.refusal(
                ReasonCode::NotInSubject,
                "the schema is not registered under the expected subject",
            )
        }
    }

    fn nameless(&self, id: i32) -> Refusal {
        let [name, _] = strategy_names(self.part);
        Refusal {
            id: Some(id),
            fix: format!("name the schema's record, or set {name}=topic-name"),
            ..self.refusal(
                ReasonCode::NotInSubject,
                "the schema has no record name to make the subject of",
            )
        }
    }

    fn unusable(&self, id: i32, error: SchemaError) -> Box<Refusal> {
        Box::new(Refusal {
            id: Some(id),
            fix: "register the schema again in a form that is valid".into(),
            ..self.refusal(
                ReasonCode::UnusableSchema,
                format!("the registered schema cannot be used: {error}"),
            )
        })
    }
}
