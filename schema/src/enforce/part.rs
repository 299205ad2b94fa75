//! One part of a batch's records against the rules.

use std::sync::Arc;

use super::{
    Enforcer, Mode, PartSettings, ReasonCode, Refusal, Schemas, SubjectNameStrategy, strategy_names,
};
use crate::codec::{Codec, SchemaError};
use crate::framing::{self, Framed, FramingError, Part, SchemaRef};

pub(super) type Checked<T> = Result<T, Box<Refusal>>;

/// One part of a batch's records. Neighbours mostly have the same schema, which is looked up once.
pub(super) struct PartCheck<'a> {
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
    pub(super) fn new(enforcer: &'a Enforcer, schemas: &'a dyn Schemas, part: Part) -> Self {
        let settings = enforcer.settings.part(part);
        PartCheck {
            enforcer,
            schemas,
            part,
            settings,
            last: None,
        }
    }

    pub(super) fn check(
        &mut self,
        bytes: Option<&[u8]>,
        header: Option<Option<&[u8]>>,
    ) -> Checked<()> {
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

    fn malformed(&self, error: FramingError) -> Box<Refusal> {
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
