//! Compiles `.proto` text (or, as some clients register it, a base64 FileDescriptorProto).

use std::collections::HashMap;

use prost_reflect::{
    Cardinality, EnumDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor,
};

use super::schema::{Enum, EnumId, Field, Kind, Message, MessageId, ProtoSchema, Shape};
use super::well_known;
use crate::codec::SchemaError;
use crate::compat::{PROTOBUF_MAIN as MAIN, compile_protobuf};

/// Compiles `text`; it may import `references` by their names, and Google's and Confluent's own files.
pub(crate) fn parse(text: &str, references: &[(&str, &str)]) -> Result<ProtoSchema, SchemaError> {
    let compiler = compile_protobuf(text, references).map_err(|e| invalid(&e))?;
    let file = compiler.descriptor_pool().get_file_by_name(MAIN);
    let file = file.ok_or_else(|| SchemaError::invalid("the schema", "defines no file"))?;
    Ok(flatten(&file))
}

fn invalid(error: &protox::Error) -> SchemaError {
    let at = error
        .file()
        .filter(|file| *file != MAIN)
        .unwrap_or("the schema");
    SchemaError::invalid(at, error.to_string())
}

/// Walks what the file reaches, each message once.
fn flatten(file: &FileDescriptor) -> ProtoSchema {
    let mut flat = Flat::default();
    let top = file.messages().map(|m| flat.message(&m)).collect();
    // Filled in turn: filling one finds the next.
    let mut next = 0;
    while let Some(descriptor) = flat.found.get(next).cloned() {
        let message = flat.fill(&descriptor);
        flat.messages.push(message);
        next += 1;
    }
    ProtoSchema {
        messages: flat.messages,
        enums: flat.enums,
        top,
    }
}

#[derive(Default)]
struct Flat {
    ids: HashMap<String, MessageId>,
    found: Vec<MessageDescriptor>,
    messages: Vec<Message>,
    enum_ids: HashMap<String, EnumId>,
    enums: Vec<Enum>,
}

impl Flat {
    fn message(&mut self, descriptor: &MessageDescriptor) -> MessageId {
        let next = self.found.len();
        let id = *self
            .ids
            .entry(descriptor.full_name().to_owned())
            .or_insert(next);
        if id == next {
            self.found.push(descriptor.clone());
        }
        id
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor) -> EnumId {
        let next = self.enums.len();
        let id = *self
            .enum_ids
            .entry(descriptor.full_name().to_owned())
            .or_insert(next);
        if id == next {
            let values = descriptor
                .values()
                .map(|v| (v.name().to_owned(), v.number()))
                .collect();
            self.enums.push(Enum { values });
        }
        id
    }

    fn fill(&mut self, descriptor: &MessageDescriptor) -> Message {
        // Indexes count the messages as written: as in Confluent's Java, entries of maps are not among them.
        let written = descriptor.child_messages().filter(|m| !m.is_map_entry());
        let children = written.map(|m| self.message(&m)).collect();
        let mut fields: Vec<Field> = descriptor.fields().map(|f| self.field(&f)).collect();
        fields.sort_by_key(|field| field.number);
        let meaning = well_known::meaning(descriptor.full_name(), &fields);
        let required = fields.iter().filter(|f| f.shape == Shape::Required).count();
        Message {
            full_name: descriptor.full_name().to_owned(),
            children,
            fields,
            required,
            meaning,
        }
    }

    fn field(&mut self, field: &FieldDescriptor) -> Field {
        let kind = self.kind(field);
        let shape = if field.is_map() {
            Shape::Map
        } else if field.is_list() {
            Shape::Repeated {
                packed: field.is_packed(),
            }
        } else if field.cardinality() == Cardinality::Required {
            Shape::Required
        } else if field.supports_presence() {
            Shape::Optional
        } else {
            Shape::Implicit
        };
        let oneof = field.containing_oneof().filter(|o| !o.is_synthetic());
        let oneof =
            oneof.and_then(|o| field.parent_message().oneofs().position(|other| other == o));
        Field {
            name: field.name().to_owned(),
            number: field.number(),
            kind,
            shape,
            oneof,
        }
    }

    fn kind(&mut self, field: &FieldDescriptor) -> Kind {
        use prost_reflect::Kind as K;
        match field.kind() {
            K::Double => Kind::Double,
            K::Float => Kind::Float,
            K::Int32 => Kind::Int32,
            K::Int64 => Kind::Int64,
            K::Uint32 => Kind::UInt32,
            K::Uint64 => Kind::UInt64,
            K::Sint32 => Kind::SInt32,
            K::Sint64 => Kind::SInt64,
            K::Fixed32 => Kind::Fixed32,
            K::Fixed64 => Kind::Fixed64,
            K::Sfixed32 => Kind::SFixed32,
            K::Sfixed64 => Kind::SFixed64,
            K::Bool => Kind::Bool,
            K::String => Kind::String,
            K::Bytes => Kind::Bytes,
            K::Enum(descriptor) => Kind::Enum(self.enumeration(&descriptor)),
            K::Message(descriptor) if field.is_group() => Kind::Group(self.message(&descriptor)),
            K::Message(descriptor) => Kind::Message(self.message(&descriptor)),
        }
    }
}
