//! Compiled schemas: they check payloads, turn them into JSON and back, and give the columns.
//!
//! A payload is what a serializer wrote after its framing (see `framing`). The mapping between a
//! language's types and columns is in the documentation of its module; values in JSON are in `row`.

mod avro;
mod columns;
mod error;
mod json;
mod protobuf;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_schema::{DataType, Fields};
use serde_json::Value;

use error::fault;
pub use error::{NoMapping, PayloadError, SchemaError};

use crate::SchemaType;
use crate::framing::{Indexes, Payload};

/// Values that one payload may come to as a row. A value takes many times the bytes that stand for it: two bytes of JSON
/// or one of Avro come to some seventy, and a repeated Protobuf message of a thousand fields to a thousand values.
pub const MAX_VALUES: usize = 1 << 20;

/// A schema, ready to read and write payloads. Costly to make and cheap to share; callers keep it.
pub struct Codec {
    language: Language,
}

enum Language {
    Avro(avro::AvroSchema),
    Json(json::JsonSchema),
    Protobuf(protobuf::ProtoSchema),
}

/// How the canonical form of a JSON key is spaced (`table.key.json`). Other languages have one form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JsonStyle {
    /// `{"a":1,"b":"é"}`, as Java, JavaScript, Go and Rust write.
    #[default]
    Compact,
    /// `{"a": 1, "b": "\u00e9"}`, as Python's `json.dumps` writes.
    Spaced,
}

/// Compiles a schema. `references` are the name and text of every schema that it uses, directly or not,
/// each after those that it uses itself.
pub fn compile(
    schema_type: SchemaType,
    text: &str,
    references: &[(&str, &str)],
) -> Result<Arc<Codec>, SchemaError> {
    let language = match schema_type {
        SchemaType::Avro => Language::Avro(avro::parse(text, references)?),
        SchemaType::Json => Language::Json(json::parse(text, references)?),
        SchemaType::Protobuf => Language::Protobuf(protobuf::parse(text, references)?),
    };
    Ok(Arc::new(Codec { language }))
}

impl Codec {
    pub fn schema_type(&self) -> SchemaType {
        match &self.language {
            Language::Avro(_) => SchemaType::Avro,
            Language::Json(_) => SchemaType::Json,
            Language::Protobuf(_) => SchemaType::Protobuf,
        }
    }

    /// Whether message indexes stand before the payload.
    pub fn is_protobuf(&self) -> bool {
        self.schema_type() == SchemaType::Protobuf
    }

    /// The name that record-name strategies use: Avro's full name, JSON Schema's title, Protobuf's full
    /// message name.
    pub fn record_name(&self, indexes: Indexes) -> Option<&str> {
        match &self.language {
            Language::Avro(schema) => Some(schema.root_name()),
            Language::Json(schema) => schema.title(),
            Language::Protobuf(schema) => Some(schema.name(schema.message(indexes.iter())?)),
        }
    }

    /// Checks that the payload is one value of the schema, to its last byte.
    pub fn validate(&self, payload: Payload) -> Result<(), PayloadError> {
        let checked = match &self.language {
            Language::Avro(schema) => schema.check(payload.bytes),
            Language::Json(schema) => schema.check(payload.bytes),
            Language::Protobuf(schema) => {
                message(schema, payload.indexes).and_then(|m| schema.check(m, payload.bytes))
            }
        };
        checked.map_err(|fault| *fault)
    }

    /// Checks that the payload has a row too. Only JSON Schema takes values that no column holds, such as
    /// an integer of more than 64 bits.
    pub fn validate_row(&self, payload: Payload) -> Result<(), PayloadError> {
        match &self.language {
            Language::Json(schema) => schema
                .decode(payload.bytes)
                .map(drop)
                .map_err(|fault| *fault),
            Language::Avro(_) | Language::Protobuf(_) => self.validate(payload),
        }
    }

    /// The payload as JSON: a row where the schema has columns.
    pub fn to_json(&self, payload: Payload) -> Result<Value, PayloadError> {
        let value = match &self.language {
            Language::Avro(schema) => schema.decode(payload.bytes),
            Language::Json(schema) => schema.decode(payload.bytes),
            Language::Protobuf(schema) => {
                message(schema, payload.indexes).and_then(|m| schema.decode(m, payload.bytes))
            }
        };
        value.map_err(|fault| *fault)
    }

    /// The payload, written with this schema, as a row of `reader`, a later version of it: fields that
    /// came are the reader's defaults, fields that went are gone. Fails where the two do not resolve,
    /// which a compatibility level other than NONE excludes.
    pub fn to_json_as(&self, reader: &Codec, payload: Payload) -> Result<Value, PayloadError> {
        if std::ptr::eq(self, reader) {
            return self.to_json(payload);
        }
        let value = match (&self.language, &reader.language) {
            (Language::Avro(writer), Language::Avro(reader)) => {
                avro::Resolution { writer, reader }.decode(payload.bytes)
            }
            (Language::Json(writer), Language::Json(reader)) => {
                reader.decode_later(writer, payload.bytes)
            }
            (Language::Protobuf(writer), Language::Protobuf(reader)) => {
                // Fields go by number; the message by its name, since positions may change.
                message(writer, payload.indexes)
                    .and_then(|m| match reader.message_named(writer.name(m)) {
                        Some(id) => Ok(id),
                        None => message(reader, payload.indexes),
                    })
                    .and_then(|m| reader.decode(m, payload.bytes))
            }
            _ => Err(fault(format!(
                "{} cannot be read as {}",
                self.schema_type(),
                reader.schema_type()
            ))),
        };
        value.map_err(|fault| *fault)
    }

    /// A JSON value as the payload of the named message. Fields that are absent take their default.
    pub fn from_json(&self, indexes: Indexes, value: &Value) -> Result<Vec<u8>, PayloadError> {
        let payload = match &self.language {
            Language::Avro(schema) => schema.encode(value),
            Language::Json(schema) => schema.encode(value),
            Language::Protobuf(schema) => {
                message(schema, indexes).and_then(|m| schema.encode(m, value))
            }
        };
        payload.map_err(|fault| *fault)
    }

    /// The row type of the named message; one column named `bare` where the schema is no record.
    pub fn columns(&self, indexes: Indexes, bare: &str) -> Result<Fields, NoMapping> {
        match &self.language {
            Language::Avro(schema) => schema.columns(bare),
            Language::Json(schema) => schema.columns(bare),
            Language::Protobuf(schema) => match message(schema, indexes) {
                Ok(message) => schema.columns(message, bare),
                Err(fault) => Err(NoMapping::new("", fault.reason)),
            },
        }
    }

    /// The row type as a key: a schema that is no record is the column `key`, and no column holds others.
    pub fn key_columns(&self, indexes: Indexes) -> Result<Fields, NoMapping> {
        let columns = self.columns(indexes, "key")?;
        let nested = |t: &DataType| {
            matches!(
                t,
                DataType::List(_) | DataType::Map(..) | DataType::Struct(_)
            )
        };
        if columns.is_empty() {
            return Err(NoMapping::new("", "a key needs at least one field"));
        }
        match columns.iter().find(|column| nested(column.data_type())) {
            Some(column) => Err(NoMapping::new(
                column.name(),
                "a key holds no ARRAY, MAP or ROW",
            )),
            None => Ok(columns),
        }
    }

    /// The one form of a key among the payloads that mean the same.
    pub fn canonical_key(
        &self,
        payload: Payload,
        style: JsonStyle,
    ) -> Result<Vec<u8>, PayloadError> {
        let key = match &self.language {
            Language::Avro(schema) => schema.canonical(payload.bytes),
            Language::Json(schema) => schema.canonical(payload.bytes, style),
            Language::Protobuf(schema) => {
                message(schema, payload.indexes).and_then(|m| schema.canonical(m, payload.bytes))
            }
        };
        key.map_err(|fault| *fault)
    }

    /// Whether a key's payload is its canonical form. Its framing is not looked at.
    pub fn is_canonical(&self, payload: Payload, style: JsonStyle) -> Result<bool, PayloadError> {
        Ok(self.canonical_key(payload, style)? == payload.bytes)
    }
}

fn message(schema: &protobuf::ProtoSchema, indexes: Indexes) -> Result<usize, error::Fault> {
    let positions = || {
        indexes
            .iter()
            .map(|i| i.to_string())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found = schema.message(indexes.iter());
    found.ok_or_else(|| {
        fault(format!(
            "the schema has no message with the indexes [{}]",
            positions()
        ))
    })
}
