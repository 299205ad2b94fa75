//! Making a table of a topic: from its settings and its subjects to what is then frozen.

use std::sync::Arc;

use arrow_schema::Fields;
use uuid::Uuid;
use weir_schema::SchemaType;
use weir_schema::codec::{Codec, NoMapping, SchemaError, compile};
use weir_schema::framing::{Indexes, Part};

use crate::def::{
    Framing, JsonForm, KeyDef, KeyFormat, KeySchema, TableDesign, ValueDef, ValueFormat,
};
use crate::key::{KeyCodec, KeySchemaError};
use crate::partitioner::PartitionerSetting;
use crate::table::{Collision, VALUE_COLUMN, check_collisions};

/// What the topic's settings ask for; a format that is not given follows from the subjects.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableWish {
    pub key_format: Option<KeyFormat>,
    pub value_format: Option<ValueFormat>,
    pub json: JsonForm,
    pub partitioner: PartitionerSetting,
}

/// A subject's latest schema, as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisteredSchema {
    pub id: i32,
    pub guid: Uuid,
    pub schema_type: SchemaType,
    pub text: String,
    /// Name and text of every schema that it uses, each after those that it uses itself.
    pub references: Vec<(String, String)>,
}

/// The topic cannot be the table that is asked for.
#[derive(Debug, thiserror::Error)]
pub enum DesignError {
    #[error("`table.key.format=schema` needs a schema: register one under `{subject}` first")]
    NoKeySchema { subject: String },
    #[error("the schema of `{subject}`: {reason}")]
    Schema {
        subject: String,
        reason: SchemaError,
    },
    #[error("the schema of `{subject}`: {reason}")]
    NoMapping { subject: String, reason: NoMapping },
    #[error(transparent)]
    Collision(#[from] Collision),
}

/// The subject of a topic's key or value.
pub fn subject(topic: &str, part: Part) -> String {
    format!("{topic}-{part}")
}

/// Designs the table that `wish` asks for. `latest` gives a subject's latest schema.
pub fn design(
    topic: &str,
    wish: TableWish,
    latest: impl Fn(&str) -> Option<RegisteredSchema>,
) -> Result<TableDesign, DesignError> {
    let key = key_def(&subject(topic, Part::Key), wish, &latest)?;
    let value_subject = subject(topic, Part::Value);
    let schema = latest(&value_subject);
    let unset = if schema.is_some() {
        ValueFormat::Schema
    } else {
        ValueFormat::default()
    };
    let value = match wish.value_format.unwrap_or(unset) {
        ValueFormat::Schema => ValueDef {
            format: ValueFormat::Schema,
            subject: Some(value_subject.clone()),
        },
        raw => ValueDef::raw(raw),
    };
    let design = TableDesign {
        key,
        value,
        partitioner: wish.partitioner,
    };
    if let (ValueFormat::Schema, Some(schema)) = (design.value.format, schema) {
        let codec = codec(&value_subject, &schema)?;
        check_value_schema(&design, &value_subject, &codec)?;
    }
    Ok(design)
}

fn key_def(
    subject: &str,
    wish: TableWish,
    latest: impl Fn(&str) -> Option<RegisteredSchema>,
) -> Result<KeyDef, DesignError> {
    let schema = latest(subject);
    let unset = if schema.is_some() {
        KeyFormat::Schema
    } else {
        KeyFormat::default()
    };
    let format = wish.key_format.unwrap_or(unset);
    if format != KeyFormat::Schema {
        return Ok(KeyDef::raw(format));
    }
    let schema = schema.ok_or_else(|| DesignError::NoKeySchema {
        subject: subject.into(),
    })?;
    let RegisteredSchema {
        id,
        guid,
        schema_type,
        text,
        references,
    } = schema;
    let schema = KeySchema {
        id,
        guid,
        schema_type,
        text,
        references,
        message_index: Vec::new(),
    };
    let key = KeyDef {
        format,
        framing: Framing::IdPrefix,
        schema: Some(schema),
        json: wish.json,
    };
    key_columns(subject, &key)?;
    Ok(key)
}

fn key_columns(subject: &str, key: &KeyDef) -> Result<Fields, DesignError> {
    match KeyCodec::new(key) {
        Ok(codec) => Ok(codec.columns().clone()),
        Err(KeySchemaError::Missing) => Err(DesignError::NoKeySchema {
            subject: subject.into(),
        }),
        Err(KeySchemaError::Schema(reason)) => Err(DesignError::Schema {
            subject: subject.into(),
            reason,
        }),
        Err(KeySchemaError::NoMapping(reason)) => Err(DesignError::NoMapping {
            subject: subject.into(),
            reason,
        }),
    }
}

fn codec(subject: &str, schema: &RegisteredSchema) -> Result<Arc<Codec>, DesignError> {
    let references: Vec<(&str, &str)> = schema
        .references
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    compile(schema.schema_type, &schema.text, &references).map_err(|reason| DesignError::Schema {
        subject: subject.into(),
        reason,
    })
}

/// Whether a schema may be registered for the values of a table: every field is a column, and those of the
/// key have the key's type.
pub fn check_value_schema(
    design: &TableDesign,
    subject: &str,
    codec: &Codec,
) -> Result<(), DesignError> {
    let columns = codec
        .columns(Indexes::FIRST, VALUE_COLUMN)
        .map_err(|reason| DesignError::NoMapping {
            subject: subject.into(),
            reason,
        })?;
    check_collisions(&key_columns(subject, &design.key)?, &columns)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLIGHT: &str =
        r#"{"type":"record","name":"K","fields":[{"name":"flight","type":"int"}]}"#;

    fn schema(id: i32, text: &str) -> RegisteredSchema {
        RegisteredSchema {
            id,
            guid: Uuid::from_u128(id as u128),
            schema_type: SchemaType::Avro,
            text: text.into(),
            references: Vec::new(),
        }
    }

    fn designed(wish: TableWish, subjects: &[(&str, &str)]) -> Result<TableDesign, String> {
        let latest = |subject: &str| {
            let at = subjects.iter().position(|(name, _)| *name == subject)?;
            Some(schema(at as i32, subjects[at].1))
        };
        design("t", wish, latest).map_err(|error| error.to_string())
    }

    #[test]
    fn formats_that_are_not_given_follow_from_the_subjects() {
        let raw = designed(TableWish::default(), &[]).unwrap();
        assert_eq!(
            (raw.key.format, raw.value.format),
            (KeyFormat::String, ValueFormat::Bytes)
        );
        let both = designed(
            TableWish::default(),
            &[("t-key", FLIGHT), ("t-value", FLIGHT)],
        )
        .unwrap();
        assert_eq!(
            (both.key.format, both.value.format),
            (KeyFormat::Schema, ValueFormat::Schema)
        );
        assert_eq!(
            (both.key.framing, both.key.schema.unwrap().text.as_str()),
            (Framing::IdPrefix, FLIGHT)
        );
        let wish = TableWish {
            key_format: Some(KeyFormat::Bytes),
            ..TableWish::default()
        };
        assert_eq!(
            designed(wish, &[("t-key", FLIGHT)]).unwrap().key,
            KeyDef::raw(KeyFormat::Bytes)
        );
    }

    #[test]
    fn a_value_schema_may_come_later_but_not_a_key_schema() {
        let wish = TableWish {
            value_format: Some(ValueFormat::Schema),
            ..TableWish::default()
        };
        assert_eq!(
            designed(wish, &[]).unwrap().value.subject.as_deref(),
            Some("t-value")
        );
        let wish = TableWish {
            key_format: Some(KeyFormat::Schema),
            ..TableWish::default()
        };
        assert!(
            designed(wish, &[])
                .unwrap_err()
                .contains("register one under `t-key` first")
        );
    }

    #[test]
    fn columns_that_collide_or_have_no_mapping_are_named() {
        let text = r#"{"type":"record","name":"V","fields":[{"name":"flight","type":"string"}]}"#;
        let refused = designed(
            TableWish::default(),
            &[("t-key", FLIGHT), ("t-value", text)],
        )
        .unwrap_err();
        assert!(refused.starts_with("column flight is "), "{refused}");
        let nested = r#"{"type":"record","name":"K","fields":[{"name":"tags","type":{"type":"array","items":"int"}}]}"#;
        let refused = designed(TableWish::default(), &[("t-key", nested)]).unwrap_err();
        assert!(
            refused.contains("`t-key`") && refused.contains("tags"),
            "{refused}"
        );
    }
}
