//! Whether a reader's file reads what a writer's file wrote, by Confluent's rules: fields are told
//! apart by number, and types may change only within what the wire format shares.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

use super::print::oneof_of;
use super::text::is_map_entry;
use super::{MAIN, ProtobufSchema, Types};
use crate::compat::budget::gather;
use crate::compat::pairs::{Met, Pairs};
use crate::compat::{Budget, Difference, Path};

/// Every difference that keeps `reader` from reading what `writer` wrote.
pub fn differences(reader: &ProtobufSchema, writer: &ProtobufSchema) -> Vec<Difference> {
    let (Some(original), Some(update)) = (writer.own_file(), reader.own_file()) else {
        return Vec::new();
    };
    let (original_types, update_types) = (Types::of(writer), Types::of(reader));
    let mut check = Check {
        original: &original_types,
        update: &update_types,
        pairs: Pairs::new(),
        path: Path::root(),
        budget: Budget::new(),
    };
    let mut found = Vec::new();
    if original.package() != update.package() {
        found.push(Difference::at("PACKAGE_CHANGED", &check.path));
    }
    gather(
        &mut found,
        check.messages(
            Side {
                file: original,
                messages: &original.message_type,
            },
            Side {
                file: update,
                messages: &update.message_type,
            },
        ),
    );
    check.budget.report(found)
}

struct Check<'a> {
    original: &'a Types<'a>,
    update: &'a Types<'a>,
    /// Messages by where they lie in memory.
    pairs: Pairs<*const DescriptorProto>,
    path: Path,
    budget: Budget,
}

/// Messages of one scope.
#[derive(Clone, Copy)]
struct Side<'a> {
    file: &'a FileDescriptorProto,
    messages: &'a [DescriptorProto],
}

#[derive(Clone, Copy)]
struct Message<'a> {
    file: &'a FileDescriptorProto,
    proto: &'a DescriptorProto,
}

/// What a field's type means on the wire.
enum Kind<'a> {
    Scalar(Scalar),
    Message(&'a str),
    Map(&'a DescriptorProto),
}

/// Scalars that share an encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Number,
    Signed,
    Fixed32,
    Fixed64,
    Float,
    Double,
    StringOrBytes,
}

impl<'a> Check<'a> {
    fn messages(&mut self, original: Side<'a>, update: Side<'a>) -> Vec<Difference> {
        let mut found = Vec::new();
        for old in original
            .messages
            .iter()
            .filter(|message| !is_map_entry(message))
        {
            let new = update.messages.iter().find(|new| new.name() == old.name());
            let differences = self.at(old.name(), |check| match new {
                None => check.one("MESSAGE_REMOVED"),
                Some(new) => check.message(
                    Message {
                        file: original.file,
                        proto: old,
                    },
                    Message {
                        file: update.file,
                        proto: new,
                    },
                ),
            });
            gather(&mut found, differences);
        }
        found
    }

    fn message(&mut self, original: Message<'a>, update: Message<'a>) -> Vec<Difference> {
        if !self.budget.enter() {
            return Vec::new();
        }
        let pair = (
            std::ptr::from_ref(original.proto),
            std::ptr::from_ref(update.proto),
        );
        let found = match self.pairs.meet(pair) {
            Met::Known(found) => found,
            Met::New(position) => {
                let mut found = self.oneofs(original.proto, update.proto);
                gather(&mut found, self.fields(original, update));
                let nested = |message: Message<'a>| Side {
                    file: message.file,
                    messages: &message.proto.nested_type,
                };
                gather(&mut found, self.messages(nested(original), nested(update)));
                self.pairs.found(pair, position, &found);
                found
            }
        };
        self.budget.leave();
        found
    }

    /// Fields that were independent may not come to exclude each other.
    fn oneofs(&mut self, original: &DescriptorProto, update: &DescriptorProto) -> Vec<Difference> {
        let old = by_number(original);
        let mut found = Vec::new();
        for (index, oneof) in update.oneof_decl.iter().enumerate() {
            let members = update
                .field
                .iter()
                .filter(|f| oneof_of(update, f) == Some(index));
            let known: Vec<_> = members
                .filter_map(|field| old.get(&field.number()))
                .collect();
            let homes: BTreeSet<Option<usize>> = known
                .iter()
                .filter_map(|f| oneof_of(original, f))
                .map(Some)
                .collect();
            let loners = known
                .iter()
                .filter(|f| oneof_of(original, f).is_none())
                .count();
            if homes.len() + loners > 1 {
                let kind = match loners {
                    0 | 1 => "FIELD_MOVED_TO_EXISTING_ONEOF",
                    _ => "MULTIPLE_FIELDS_MOVED_TO_ONEOF",
                };
                gather(&mut found, self.at(oneof.name(), |check| check.one(kind)));
            }
        }
        found
    }

    fn fields(&mut self, original: Message<'a>, update: Message<'a>) -> Vec<Difference> {
        let (old, new) = (by_number(original.proto), by_number(update.proto));
        let numbers: BTreeSet<i32> = old.keys().chain(new.keys()).copied().collect();
        let mut found = Vec::new();
        for number in numbers {
            let differences = self.at(&number.to_string(), |check| {
                match (old.get(&number), new.get(&number)) {
                    (Some(old), None) => check.field_removed(original.proto, update.proto, old),
                    (None, Some(new)) if new.label() == Label::Required => {
                        check.one("REQUIRED_FIELD_ADDED")
                    }
                    (Some(old), Some(new)) => check.field((original, old), (update, new)),
                    _ => Vec::new(),
                }
            });
            gather(&mut found, differences);
        }
        found
    }

    /// A member of a oneof may go only with all the others.
    fn field_removed(
        &self,
        original: &DescriptorProto,
        update: &DescriptorProto,
        field: &FieldDescriptorProto,
    ) -> Vec<Difference> {
        if field.label() == Label::Required {
            return self.one("REQUIRED_FIELD_REMOVED");
        }
        let Some(oneof) = oneof_of(original, field) else {
            return Vec::new();
        };
        let name = original.oneof_decl[oneof].name();
        let is_kept = update.oneof_decl.iter().any(|kept| kept.name() == name);
        let mut siblings = original
            .field
            .iter()
            .filter(|f| oneof_of(original, f) == Some(oneof));
        let new = by_number(update);
        if is_kept || siblings.any(|sibling| new.contains_key(&sibling.number())) {
            return self.one("ONEOF_FIELD_REMOVED");
        }
        Vec::new()
    }

    fn field(
        &mut self,
        (original, old): (Message<'a>, &'a FieldDescriptorProto),
        (update, new): (Message<'a>, &'a FieldDescriptorProto),
    ) -> Vec<Difference> {
        let labels = (written_label(original, old), written_label(update, new));
        match (
            kind(original.proto, old, self.original),
            kind(update.proto, new, self.update),
        ) {
            (Kind::Scalar(before), Kind::Scalar(now)) => self.scalars(before, now, labels),
            (Kind::Message(before), Kind::Message(now)) => self.named(before, now),
            (Kind::Map(before), Kind::Map(now)) => {
                let old = Message {
                    file: original.file,
                    proto: before,
                };
                let new = Message {
                    file: update.file,
                    proto: now,
                };
                let mut found = Vec::new();
                for (old_part, new_part) in before.field.iter().zip(&now.field) {
                    gather(&mut found, self.field((old, old_part), (new, new_part)));
                }
                found
            }
            _ => self.one("FIELD_KIND_CHANGED"),
        }
    }

    fn scalars(
        &self,
        before: Scalar,
        now: Scalar,
        labels: (Option<Label>, Option<Label>),
    ) -> Vec<Difference> {
        if before != now {
            return self.one("FIELD_SCALAR_KIND_CHANGED");
        }
        match labels {
            (Some(old), Some(new)) if old != new && before != Scalar::StringOrBytes => {
                self.one("FIELD_NUMERIC_LABEL_CHANGED")
            }
            _ => Vec::new(),
        }
    }

    fn named(&mut self, before: &'a str, now: &'a str) -> Vec<Difference> {
        let (original, update) = (
            self.original.messages.get(before),
            self.update.messages.get(now),
        );
        let (Some(&(old_file, old)), Some(&(new_file, new))) = (original, update) else {
            return if before == now {
                Vec::new()
            } else {
                self.one("FIELD_NAMED_TYPE_CHANGED")
            };
        };
        if local_name(before, old_file) != local_name(now, new_file) {
            return self.one("FIELD_NAMED_TYPE_CHANGED");
        }
        // Messages of the schemas' own files are compared where they are defined.
        if old_file.name() == MAIN && new_file.name() == MAIN {
            return Vec::new();
        }
        let mut found = self.message(
            Message {
                file: old_file,
                proto: old,
            },
            Message {
                file: new_file,
                proto: new,
            },
        );
        if !found.is_empty() {
            gather(&mut found, self.one("FIELD_NAMED_TYPE_CHANGED"));
        }
        found
    }

    fn one(&self, kind: &'static str) -> Vec<Difference> {
        vec![Difference::at(kind, &self.path)]
    }

    fn at(
        &mut self,
        step: &str,
        check: impl FnOnce(&mut Self) -> Vec<Difference>,
    ) -> Vec<Difference> {
        self.path.push(step);
        let found = check(self);
        self.path.pop();
        found
    }
}

fn by_number(message: &DescriptorProto) -> BTreeMap<i32, &FieldDescriptorProto> {
    message
        .field
        .iter()
        .map(|field| (field.number(), field))
        .collect()
}

/// The label as it stands in the text: proto3 writes none for a plain field, nor does a oneof.
fn written_label(message: Message<'_>, field: &FieldDescriptorProto) -> Option<Label> {
    let unwritten = field.label() == Label::Optional
        && !field.proto3_optional()
        && (message.file.syntax() == "proto3" || oneof_of(message.proto, field).is_some());
    (!unwritten && !is_map_entry(message.proto)).then(|| field.label())
}

fn kind<'a>(
    message: &'a DescriptorProto,
    field: &'a FieldDescriptorProto,
    types: &Types<'a>,
) -> Kind<'a> {
    let scalar = match field.r#type() {
        Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 | Type::Bool | Type::Enum => {
            Scalar::Number
        }
        Type::Sint32 | Type::Sint64 => Scalar::Signed,
        Type::Fixed32 | Type::Sfixed32 => Scalar::Fixed32,
        Type::Fixed64 | Type::Sfixed64 => Scalar::Fixed64,
        Type::Float => Scalar::Float,
        Type::Double => Scalar::Double,
        Type::String | Type::Bytes => Scalar::StringOrBytes,
        Type::Message | Type::Group => {
            let name = field.type_name();
            let simple = name.rsplit('.').next().unwrap_or_default();
            let mut nested = message
                .nested_type
                .iter()
                .filter(|nested| is_map_entry(nested));
            return match nested.find(|nested| nested.name() == simple) {
                Some(entry) => Kind::Map(entry),
                None if types.enums.contains_key(name) => Kind::Scalar(Scalar::Number),
                None => Kind::Message(name),
            };
        }
    };
    Kind::Scalar(scalar)
}

/// A type's name without the package of its file.
fn local_name<'a>(full: &'a str, file: &FileDescriptorProto) -> &'a str {
    let full = full.trim_start_matches('.');
    full.strip_prefix(file.package())
        .map_or(full, |rest| rest.trim_start_matches('.'))
}
