//! Compiled schemas: they check payloads, turn them into JSON and back, and give the columns.
//!
//! A payload is what a serializer wrote after its framing (see `framing`). The mapping between a
//! language's types and columns is in the documentation of its module; values in JSON are in `row`.

mod avro;
mod columns;
mod error;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_schema::{DataType, Fields};
use serde_json::Value;

pub use error::{NoMapping, PayloadError, SchemaError};

use crate::SchemaType;
use crate::framing::{Indexes, Payload};

/// A schema, ready to read and write payloads. Costly to make and cheap to share; callers keep it.
pub struct Codec {
    language: Language,
}

enum Language {
    Avro(avro::AvroSchema),
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
        other => {
            return Err(SchemaError::invalid(
                other.as_str(),
                "this schema type cannot be read yet",
            ));
        }
    };
    Ok(Arc::new(Codec { language }))
}

impl Codec {
    pub fn schema_type(&self) -> SchemaType {
        match &self.language {
            Language::Avro(_) => SchemaType::Avro,
        }
    }

    /// Whether message indexes stand before the payload.
    pub fn is_protobuf(&self) -> bool {
        self.schema_type() == SchemaType::Protobuf
    }

    /// The name that record-name strategies use: Avro's full name, JSON Schema's title, Protobuf's full
    /// message name.
    pub fn record_name(&self, _indexes: Indexes) -> Option<&str> {
        match &self.language {
            Language::Avro(schema) => Some(schema.root_name()),
        }
    }

    /// Checks that the payload is one value of the schema, to its last byte.
    pub fn validate(&self, payload: Payload) -> Result<(), PayloadError> {
        match &self.language {
            Language::Avro(schema) => schema.check(payload.bytes).map_err(|fault| *fault),
        }
    }

    /// The payload as JSON.
    pub fn to_json(&self, payload: Payload) -> Result<Value, PayloadError> {
        match &self.language {
            Language::Avro(schema) => schema.decode(payload.bytes).map_err(|fault| *fault),
        }
    }

    /// The payload, written with this schema, as a row of `reader`, a later version of it: fields that
    /// came are the reader's defaults, fields that went are gone.
    pub fn to_json_as(&self, reader: &Codec, payload: Payload) -> Result<Value, PayloadError> {
        if std::ptr::eq(self, reader) {
            return self.to_json(payload);
        }
        match (&self.language, &reader.language) {
            (Language::Avro(writer), Language::Avro(reader)) => avro::Resolution { writer, reader }
                .decode(payload.bytes)
                .map_err(|fault| *fault),
        }
    }

    /// A JSON value as the payload of the named message. Fields that are absent take their default.
    pub fn from_json(&self, _indexes: Indexes, value: &Value) -> Result<Vec<u8>, PayloadError> {
        match &self.language {
            Language::Avro(schema) => schema.encode(value).map_err(|fault| *fault),
        }
    }

    /// The row type of the named message; one column named `bare` where the schema is no record.
    pub fn columns(&self, _indexes: Indexes, bare: &str) -> Result<Fields, NoMapping> {
        match &self.language {
            Language::Avro(schema) => schema.columns(bare),
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
        _style: JsonStyle,
    ) -> Result<Vec<u8>, PayloadError> {
        match &self.language {
            Language::Avro(schema) => schema.canonical(payload.bytes).map_err(|fault| *fault),
        }
    }

    /// Whether a key's payload is its canonical form. Its framing is not looked at.
    pub fn is_canonical(&self, payload: Payload, style: JsonStyle) -> Result<bool, PayloadError> {
        Ok(self.canonical_key(payload, style)? == payload.bytes)
    }
}
