//! The file in an order that depends on numbers rather than on writing, with full names. Messages
//! keep their order, since message indexes count by it.

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    UninterpretedOption,
};

use super::print::oneof_of;

/// `resolved` is the compiled file, whose types stand where the written ones do.
pub fn normal(
    written: &FileDescriptorProto,
    resolved: Option<&FileDescriptorProto>,
) -> FileDescriptorProto {
    let mut file = written.clone();
    if let Some(resolved) = resolved {
        for (message, resolved) in file.message_type.iter_mut().zip(&resolved.message_type) {
            resolve(message, resolved);
        }
        resolve_fields(&mut file.extension, &resolved.extension);
        for (service, resolved) in file.service.iter_mut().zip(&resolved.service) {
            for (method, resolved) in service.method.iter_mut().zip(&resolved.method) {
                method.input_type.clone_from(&resolved.input_type);
                method.output_type.clone_from(&resolved.output_type);
            }
        }
    }
    if file.syntax.as_deref() == Some("proto2") {
        file.syntax = None;
    }
    if file.public_dependency.is_empty() && file.weak_dependency.is_empty() {
        file.dependency.sort();
        file.dependency.dedup();
    }
    if let Some(options) = &mut file.options {
        sort_options(&mut options.uninterpreted_option);
    }
    file.message_type.iter_mut().for_each(sort);
    file.enum_type.iter_mut().for_each(sort_enum);
    file
}

/// The file without the extensions that it declares.
pub fn without_extensions(written: &FileDescriptorProto) -> FileDescriptorProto {
    fn strip(message: &mut DescriptorProto) {
        message.extension.clear();
        message.extension_range.clear();
        message.nested_type.iter_mut().for_each(strip);
    }
    let mut file = written.clone();
    file.extension.clear();
    file.message_type.iter_mut().for_each(strip);
    file
}

fn resolve(message: &mut DescriptorProto, resolved: &DescriptorProto) {
    resolve_fields(&mut message.field, &resolved.field);
    resolve_fields(&mut message.extension, &resolved.extension);
    for (nested, resolved) in message.nested_type.iter_mut().zip(&resolved.nested_type) {
        resolve(nested, resolved);
    }
}

fn resolve_fields(fields: &mut [FieldDescriptorProto], resolved: &[FieldDescriptorProto]) {
    for (field, resolved) in fields.iter_mut().zip(resolved) {
        field.type_name.clone_from(&resolved.type_name);
        field.extendee.clone_from(&resolved.extendee);
    }
}

fn sort(message: &mut DescriptorProto) {
    let first_of = |index: usize| {
        let members = message
            .field
            .iter()
            .filter(|f| oneof_of(message, f) == Some(index));
        members
            .map(FieldDescriptorProto::number)
            .min()
            .unwrap_or(i32::MAX)
    };
    let mut order: Vec<usize> = (0..message.oneof_decl.len()).collect();
    order.sort_by_key(|index| first_of(*index));
    let moved = |old: i32| {
        order
            .iter()
            .position(|index| i32::try_from(*index) == Ok(old))
    };
    for field in &mut message.field {
        field.oneof_index = field
            .oneof_index
            .and_then(moved)
            .and_then(|i| i32::try_from(i).ok());
        if let Some(options) = &mut field.options {
            sort_options(&mut options.uninterpreted_option);
        }
    }
    message.oneof_decl = order
        .iter()
        .map(|index| message.oneof_decl[*index].clone())
        .collect();
    message.field.sort_by_key(FieldDescriptorProto::number);
    message
        .reserved_range
        .sort_by_key(|range| (range.start(), range.end()));
    message.reserved_name.sort();
    message
        .extension_range
        .sort_by_key(|range| (range.start(), range.end()));
    if let Some(options) = &mut message.options {
        sort_options(&mut options.uninterpreted_option);
    }
    message.nested_type.iter_mut().for_each(sort);
    message.enum_type.iter_mut().for_each(sort_enum);
}

fn sort_enum(found: &mut EnumDescriptorProto) {
    found
        .value
        .sort_by(|a, b| (a.number(), a.name()).cmp(&(b.number(), b.name())));
    found
        .reserved_range
        .sort_by_key(|range| (range.start(), range.end()));
    found.reserved_name.sort();
    if let Some(options) = &mut found.options {
        sort_options(&mut options.uninterpreted_option);
    }
}

fn sort_options(options: &mut [UninterpretedOption]) {
    let name = |option: &UninterpretedOption| -> Vec<String> {
        option
            .name
            .iter()
            .map(|part| part.name_part.clone())
            .collect()
    };
    options.sort_by_key(name);
}
