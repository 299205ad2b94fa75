//! Parsed schemas of the three languages, and whether one reads what another wrote.

mod avro;
mod budget;
mod difference;
mod json;
mod pairs;
mod protobuf;

use avro::AvroSchema;
use budget::Budget;
pub use difference::Difference;
use difference::Path;
use json::JsonSchema;
use protobuf::ProtobufSchema;
pub(crate) use protobuf::files::{MAIN as PROTOBUF_MAIN, compile as compile_protobuf};

use crate::SchemaType;
use crate::registry::ResolvedReference;

/// A schema that is well formed, with everything that it references.
#[derive(Clone, Debug)]
pub enum Parsed {
    Avro(AvroSchema),
    Json(JsonSchema),
    Protobuf(Box<ProtobufSchema>),
}

impl Parsed {
    /// Parses a schema. `as_new` also checks what only a new schema has to keep, such as Avro
    /// defaults that fit.
    ///
    /// # Errors
    /// Says what is wrong, for the schema's author.
    pub fn parse(
        schema_type: SchemaType,
        text: &str,
        references: &[ResolvedReference],
        as_new: bool,
    ) -> Result<Parsed, String> {
        match schema_type {
            SchemaType::Avro => AvroSchema::parse(text, references, as_new).map(Parsed::Avro),
            SchemaType::Json => JsonSchema::parse(text, references).map(Parsed::Json),
            SchemaType::Protobuf => ProtobufSchema::parse(text, references)
                .map(|schema| Parsed::Protobuf(Box::new(schema))),
        }
    }

    /// The text by which the registry stores the schema and tells it from others.
    pub fn canonical(&self) -> String {
        match self {
            Parsed::Avro(schema) => schema.canonical(),
            Parsed::Json(schema) => schema.canonical(),
            Parsed::Protobuf(schema) => schema.canonical(),
        }
    }

    /// A text of the same meaning that does not depend on the order in which things were written.
    pub fn normalized(&self) -> String {
        match self {
            Parsed::Avro(schema) => schema.normalized(),
            Parsed::Json(schema) => schema.normalized(),
            Parsed::Protobuf(schema) => schema.normalized(),
        }
    }

    /// The text in a named format; none where the language does not know it.
    pub fn formatted(&self, format: &str) -> Option<String> {
        match (self, format) {
            (Parsed::Avro(schema), "resolved") => Some(schema.resolved()),
            (Parsed::Protobuf(schema), "serialized") => Some(schema.serialized()),
            (Parsed::Protobuf(schema), "ignore_extensions") => Some(schema.without_extensions()),
            _ => None,
        }
    }

    /// Whether values have a field of this name at their top.
    pub fn has_top_level_field(&self, field: &str) -> bool {
        match self {
            Parsed::Avro(schema) => schema.has_top_level_field(field),
            Parsed::Json(schema) => schema.has_top_level_field(field),
            Parsed::Protobuf(schema) => schema.has_top_level_field(field),
        }
    }
}

/// What keeps `reader` from reading what `writer` wrote; nothing when it can. `lenient` loosens
/// JSON Schema's rules for objects.
pub fn differences(reader: &Parsed, writer: &Parsed, lenient: bool) -> Vec<Difference> {
    match (reader, writer) {
        (Parsed::Avro(reader), Parsed::Avro(writer)) => avro::differences(reader, writer),
        (Parsed::Json(reader), Parsed::Json(writer)) => json::differences(reader, writer, lenient),
        (Parsed::Protobuf(reader), Parsed::Protobuf(writer)) => {
            protobuf::differences(reader, writer)
        }
        _ => {
            let description = "{reader} schema is of another type than {writer} schema".to_owned();
            vec![Difference::new(
                "SCHEMA_TYPE_CHANGED",
                description,
                String::new(),
            )]
        }
    }
}
