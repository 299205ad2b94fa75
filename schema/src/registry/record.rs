//! Records of the `_schemas` topic, as Confluent's registry writes them, so that tools which read
//! the topic work. Keys and values are JSON; a key's field order is part of it, since compaction and
//! readers go by its bytes.
//!
//! ```text
//! key                                                          value (null deletes)
//! {"keytype":"SCHEMA","subject":S,"version":V,"magic":1}       {"subject","version","id","schemaType",
//!                                                               "references","metadata","ruleSet","schema","deleted"}
//! {"keytype":"CONFIG","subject":S,"magic":0}                   {"subject","alias",…,"compatibilityLevel",…}
//! {"keytype":"MODE","subject":S,"magic":0}                     {"subject","mode"}
//! {"keytype":"DELETE_SUBJECT","subject":S,"magic":0}           {"subject","version"}: soft-deletes up to it
//! {"keytype":"CLEAR_SUBJECT","subject":S,"magic":0}            {"subject"}: drops what is soft-deleted
//! {"keytype":"CONTEXT","tenant":"default","context":C,"magic":0} {"tenant","context"}
//! {"keytype":"NOOP","subject":S,"version":V,"magic":0}         {"subject","version","id","schemaType","guid"}
//! ```
//! `subject` is left out for global settings. A NOOP is skipped by every reader; ours with a subject
//! keeps what permanent deletion would otherwise forget: that a version and an id were given.

use serde::{Deserialize, Serialize};

use super::{Config, Guid, Metadata, Mode, Reference, RuleSet, Schema, Subject, nullable};
use crate::SchemaType;

/// A record to append to `_schemas`; without a value it deletes its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: String,
    pub value: Option<String>,
}

/// A record that this registry cannot read and therefore skips, the same on every replica.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("unreadable key: {0}")]
    Key(String),
    #[error("unreadable value of a {keytype} record: {reason}")]
    Value { keytype: String, reason: String },
    #[error("{subject} names another schema by id {id}, which has one")]
    IdTaken { subject: Subject, id: i32 },
}

/// A record's meaning.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    Schema {
        subject: Subject,
        version: i32,
        value: Option<Box<SchemaEntry>>,
    },
    /// Settings of a subject, or with none the global ones.
    Config {
        subject: Option<Subject>,
        config: Option<Box<Config>>,
    },
    Mode {
        subject: Option<Subject>,
        mode: Option<Mode>,
    },
    DeleteSubject {
        subject: Subject,
        version: i32,
    },
    /// Drops the soft-deleted versions of the subject or context, or with none of everything.
    ClearSubject {
        subject: Option<Subject>,
    },
    Context {
        context: String,
        exists: bool,
    },
    /// A version that was deleted permanently, and what its id stands for.
    Retired {
        subject: Subject,
        version: i32,
        id: i32,
        content: Content,
    },
    Nothing,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct SchemaEntry {
    pub id: i32,
    pub schema: Schema,
    pub deleted: bool,
}

/// What tells one schema from another: the type, and the hash of everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Content {
    #[serde(rename = "schemaType")]
    pub schema_type: SchemaType,
    pub guid: Guid,
}

impl Content {
    pub fn of(schema: &Schema) -> Content {
        Content {
            schema_type: schema.schema_type,
            guid: schema.guid(),
        }
    }
}

#[derive(Deserialize)]
struct AnyKey {
    keytype: String,
    subject: Option<String>,
    version: Option<i32>,
    context: Option<String>,
}

#[derive(Serialize)]
struct VersionKey<'a> {
    keytype: &'static str,
    subject: &'a str,
    version: i32,
    magic: u8,
}

#[derive(Serialize)]
struct SubjectKey<'a> {
    keytype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    magic: u8,
}

#[derive(Serialize)]
struct ContextKey<'a> {
    keytype: &'static str,
    tenant: &'a str,
    context: &'a str,
    magic: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaValue {
    subject: String,
    version: i32,
    id: i32,
    #[serde(default, deserialize_with = "nullable")]
    schema_type: SchemaType,
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    references: Vec<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule_set: Option<RuleSet>,
    schema: String,
    #[serde(default, deserialize_with = "nullable")]
    deleted: bool,
}

#[derive(Serialize)]
struct SubjectValue<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize, Deserialize)]
struct ModeValue {
    mode: Mode,
}

#[derive(Serialize, Deserialize)]
struct DeleteSubjectValue {
    version: i32,
}

#[derive(Serialize)]
struct ContextValue<'a> {
    tenant: &'a str,
    context: &'a str,
}

#[derive(Serialize, Deserialize)]
struct RetiredValue {
    version: i32,
    id: i32,
    #[serde(flatten)]
    content: Content,
}

#[derive(Serialize)]
struct Empty {}

const TENANT: &str = "default";

impl Entry {
    pub fn encode(&self) -> Record {
        match self {
            Entry::Schema {
                subject,
                version,
                value,
            } => Record {
                key: version_key("SCHEMA", subject, *version, 1),
                value: value
                    .as_ref()
                    .map(|value| json(&schema_value(subject, *version, value))),
            },
            Entry::Config { subject, config } => {
                subject_record("CONFIG", subject.as_ref(), config.as_ref())
            }
            Entry::Mode { subject, mode } => subject_record(
                "MODE",
                subject.as_ref(),
                mode.map(|mode| ModeValue { mode }),
            ),
            Entry::DeleteSubject { subject, version } => {
                let value = DeleteSubjectValue { version: *version };
                subject_record("DELETE_SUBJECT", Some(subject), Some(value))
            }
            Entry::ClearSubject { subject } => {
                subject_record("CLEAR_SUBJECT", subject.as_ref(), Some(Empty {}))
            }
            Entry::Context { context, exists } => Record {
                key: json(&ContextKey {
                    keytype: "CONTEXT",
                    tenant: TENANT,
                    context,
                    magic: 0,
                }),
                value: exists.then(|| {
                    json(&ContextValue {
                        tenant: TENANT,
                        context,
                    })
                }),
            },
            Entry::Retired {
                subject,
                version,
                id,
                content,
            } => {
                let rest = RetiredValue {
                    version: *version,
                    id: *id,
                    content: *content,
                };
                Record {
                    key: version_key("NOOP", subject, *version, 0),
                    value: Some(json(&SubjectValue {
                        subject: Some(subject.as_str()),
                        rest,
                    })),
                }
            }
            Entry::Nothing => subject_record::<Empty>("NOOP", None, None),
        }
    }

    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Entry, RecordError> {
        let key: AnyKey =
            serde_json::from_slice(key).map_err(|error| RecordError::Key(error.to_string()))?;
        let subject = key
            .subject
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(Subject::parse);
        let of_subject = || key.subject.as_deref().map(Subject::parse);
        let missing = |field| RecordError::Key(format!("{} without {field}", key.keytype));
        let body = Body {
            keytype: &key.keytype,
            bytes: value,
        };
        Ok(match key.keytype.as_str() {
            "SCHEMA" => Entry::Schema {
                subject: of_subject().ok_or_else(|| missing("subject"))?,
                version: key.version.ok_or_else(|| missing("version"))?,
                value: body
                    .read::<SchemaValue>()?
                    .map(|value| Box::new(schema_entry(value))),
            },
            "CONFIG" => Entry::Config {
                subject,
                config: body.read()?,
            },
            "MODE" => Entry::Mode {
                subject,
                mode: body.read::<ModeValue>()?.map(|value| value.mode),
            },
            "DELETE_SUBJECT" => match (of_subject(), body.read::<DeleteSubjectValue>()?) {
                (Some(subject), Some(value)) => Entry::DeleteSubject {
                    subject,
                    version: value.version,
                },
                _ => Entry::Nothing,
            },
            "CLEAR_SUBJECT" => Entry::ClearSubject { subject },
            "CONTEXT" => Entry::Context {
                context: key.context.clone().ok_or_else(|| missing("context"))?,
                exists: value.is_some(),
            },
            "NOOP" => match (of_subject(), key.version) {
                (Some(subject), Some(version)) => {
                    body.read::<RetiredValue>()?
                        .map_or(Entry::Nothing, |value| {
                            let (id, content) = (value.id, value.content);
                            Entry::Retired {
                                subject,
                                version,
                                id,
                                content,
                            }
                        })
                }
                _ => Entry::Nothing,
            },
            other => return Err(RecordError::Key(format!("unknown keytype {other:?}"))),
        })
    }
}

struct Body<'a> {
    keytype: &'a str,
    bytes: Option<&'a [u8]>,
}

impl<'a> Body<'a> {
    fn read<T: Deserialize<'a>>(&self) -> Result<Option<T>, RecordError> {
        let Some(bytes) = self.bytes else {
            return Ok(None);
        };
        serde_json::from_slice(bytes).map_err(|error| RecordError::Value {
            keytype: self.keytype.to_owned(),
            reason: error.to_string(),
        })
    }
}

fn schema_value(subject: &Subject, version: i32, entry: &SchemaEntry) -> SchemaValue {
    let schema = entry.schema.clone();
    SchemaValue {
        subject: subject.as_str().to_owned(),
        version,
        id: entry.id,
        schema_type: schema.schema_type,
        references: schema.references,
        metadata: schema.metadata,
        rule_set: schema.rule_set,
        schema: schema.text,
        deleted: entry.deleted,
    }
}

fn schema_entry(value: SchemaValue) -> SchemaEntry {
    SchemaEntry {
        id: value.id,
        deleted: value.deleted,
        schema: Schema {
            schema_type: value.schema_type,
            text: value.schema,
            references: value.references,
            metadata: value.metadata,
            rule_set: value.rule_set,
        },
    }
}

fn version_key(keytype: &'static str, subject: &Subject, version: i32, magic: u8) -> String {
    json(&VersionKey {
        keytype,
        subject: subject.as_str(),
        version,
        magic,
    })
}

fn subject_record<T: Serialize>(
    keytype: &'static str,
    subject: Option<&Subject>,
    value: Option<T>,
) -> Record {
    let subject = subject.map(Subject::as_str);
    Record {
        key: json(&SubjectKey {
            keytype,
            subject,
            magic: 0,
        }),
        value: value.map(|rest| json(&SubjectValue { subject, rest })),
    }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("maps with text keys always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(entry: Entry, key: &str, value: Option<&str>) {
        let record = entry.encode();
        assert_eq!(record.key, key);
        assert_eq!(record.value.as_deref(), value);
        let bytes = record.value.as_ref().map(String::as_bytes);
        assert_eq!(Entry::decode(record.key.as_bytes(), bytes), Ok(entry));
    }

    #[test]
    fn records_have_confluents_bytes() {
        let subject = Subject::parse("orders-value");
        let schema = Schema::new(SchemaType::Avro, r#""string""#);
        check(
            Entry::Schema {
                subject: subject.clone(),
                version: 1,
                value: Some(Box::new(SchemaEntry {
                    id: 7,
                    schema,
                    deleted: false,
                })),
            },
            r#"{"keytype":"SCHEMA","subject":"orders-value","version":1,"magic":1}"#,
            Some(
                r#"{"subject":"orders-value","version":1,"id":7,"schemaType":"AVRO","schema":"\"string\"","deleted":false}"#,
            ),
        );
        check(
            Entry::Schema {
                subject: subject.clone(),
                version: 1,
                value: None,
            },
            r#"{"keytype":"SCHEMA","subject":"orders-value","version":1,"magic":1}"#,
            None,
        );
        check(
            Entry::Config {
                subject: None,
                config: Some(Box::new(Config {
                    compatibility_level: Some(super::super::CompatibilityLevel::Full),
                    ..Config::default()
                })),
            },
            r#"{"keytype":"CONFIG","magic":0}"#,
            Some(r#"{"compatibilityLevel":"FULL"}"#),
        );
        check(
            Entry::Mode {
                subject: Some(subject.clone()),
                mode: Some(Mode::Import),
            },
            r#"{"keytype":"MODE","subject":"orders-value","magic":0}"#,
            Some(r#"{"subject":"orders-value","mode":"IMPORT"}"#),
        );
        check(
            Entry::DeleteSubject {
                subject: subject.clone(),
                version: 3,
            },
            r#"{"keytype":"DELETE_SUBJECT","subject":"orders-value","magic":0}"#,
            Some(r#"{"subject":"orders-value","version":3}"#),
        );
        check(
            Entry::ClearSubject {
                subject: Some(subject),
            },
            r#"{"keytype":"CLEAR_SUBJECT","subject":"orders-value","magic":0}"#,
            Some(r#"{"subject":"orders-value"}"#),
        );
        check(
            Entry::Context {
                context: ".lab".to_owned(),
                exists: true,
            },
            r#"{"keytype":"CONTEXT","tenant":"default","context":".lab","magic":0}"#,
            Some(r#"{"tenant":"default","context":".lab"}"#),
        );
        check(Entry::Nothing, r#"{"keytype":"NOOP","magic":0}"#, None);
    }

    #[test]
    fn retired_numbers_travel_in_a_noop() {
        let content = Content::of(&Schema::new(SchemaType::Json, "{}"));
        check(
            Entry::Retired {
                subject: Subject::parse("s"),
                version: 4,
                id: 9,
                content,
            },
            r#"{"keytype":"NOOP","subject":"s","version":4,"magic":0}"#,
            Some(
                r#"{"subject":"s","version":4,"id":9,"schemaType":"JSON","guid":"99914b93-2bd3-7a50-b983-c5e7c90ae93b"}"#,
            ),
        );
    }

    #[test]
    fn older_and_foreign_records_read_or_are_skipped() {
        let key = br#"{"keytype":"CONFIG","subject":null,"magic":0}"#;
        let value = br#"{"compatibilityLevel":"NONE","unknown":1}"#;
        assert!(matches!(
            Entry::decode(key, Some(value)),
            Ok(Entry::Config {
                subject: None,
                config: Some(_)
            })
        ));
        let key = br#"{"magic":1,"keytype":"SCHEMA","version":1,"subject":"a"}"#;
        let value = br#"{"subject":"a","version":1,"id":1,"md5":"x","schema":"\"int\""}"#;
        let Ok(Entry::Schema {
            value: Some(entry), ..
        }) = Entry::decode(key, Some(value))
        else {
            panic!("an older record reads");
        };
        assert_eq!((entry.id, entry.deleted), (1, false));
        assert!(Entry::decode(b"{}", None).is_err());
        assert!(Entry::decode(br#"{"keytype":"ASSOC"}"#, None).is_err());
    }
}
