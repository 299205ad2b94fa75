//! From a compiled file back to the file as it would be written: options that the compiler
//! interpreted, custom ones too, as the statements that set them.

use prost_reflect::{
    DynamicMessage, EnumDescriptor, FileDescriptor, Kind, MessageDescriptor, ServiceDescriptor,
    Value,
};
use prost_types::uninterpreted_option::NamePart;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueOptions, FieldOptions,
    FileDescriptorProto, FileOptions, MessageOptions, MethodOptions, ServiceDescriptorProto,
    ServiceOptions, UninterpretedOption,
};

pub fn as_written(file: &FileDescriptor) -> FileDescriptorProto {
    let mut written = file.file_descriptor_proto().clone();
    written.source_code_info = None;
    written.options = statements(&file.options()).map(|uninterpreted_option| FileOptions {
        uninterpreted_option,
        ..FileOptions::default()
    });
    for (proto, message) in written.message_type.iter_mut().zip(file.messages()) {
        write_message(proto, &message);
    }
    for (proto, found) in written.enum_type.iter_mut().zip(file.enums()) {
        write_enum(proto, &found);
    }
    for (proto, service) in written.service.iter_mut().zip(file.services()) {
        write_service(proto, &service);
    }
    written
}

fn write_message(proto: &mut DescriptorProto, message: &MessageDescriptor) {
    if !message.is_map_entry() {
        proto.options = statements(&message.options()).map(|uninterpreted_option| MessageOptions {
            uninterpreted_option,
            ..MessageOptions::default()
        });
    }
    for field in &mut proto.field {
        let number = field.number().try_into().unwrap_or_default();
        let options = message
            .get_field(number)
            .and_then(|f| statements(&f.options()));
        field.options = options.map(|uninterpreted_option| FieldOptions {
            uninterpreted_option,
            ..FieldOptions::default()
        });
    }
    for (proto, nested) in proto.nested_type.iter_mut().zip(message.child_messages()) {
        write_message(proto, &nested);
    }
    for (proto, found) in proto.enum_type.iter_mut().zip(message.child_enums()) {
        write_enum(proto, &found);
    }
}

fn write_enum(proto: &mut EnumDescriptorProto, found: &EnumDescriptor) {
    proto.options = statements(&found.options()).map(|uninterpreted_option| EnumOptions {
        uninterpreted_option,
        ..EnumOptions::default()
    });
    for value in &mut proto.value {
        let options = found
            .get_value_by_name(value.name())
            .and_then(|v| statements(&v.options()));
        value.options = options.map(|uninterpreted_option| EnumValueOptions {
            uninterpreted_option,
            ..EnumValueOptions::default()
        });
    }
}

fn write_service(proto: &mut ServiceDescriptorProto, service: &ServiceDescriptor) {
    proto.options = statements(&service.options()).map(|uninterpreted_option| ServiceOptions {
        uninterpreted_option,
        ..ServiceOptions::default()
    });
    for (proto, method) in proto.method.iter_mut().zip(service.methods()) {
        proto.options = statements(&method.options()).map(|uninterpreted_option| MethodOptions {
            uninterpreted_option,
            ..MethodOptions::default()
        });
    }
}

fn statements(options: &DynamicMessage) -> Option<Vec<UninterpretedOption>> {
    let mut statements = Vec::new();
    for (field, value) in options.fields() {
        let name = NamePart {
            name_part: field.name().to_owned(),
            is_extension: false,
        };
        state(&mut statements, &name, &field.kind(), value);
    }
    for (extension, value) in options.extensions() {
        let name = NamePart {
            name_part: extension.full_name().to_owned(),
            is_extension: true,
        };
        state(&mut statements, &name, &extension.kind(), value);
    }
    (!statements.is_empty()).then_some(statements)
}

fn state(statements: &mut Vec<UninterpretedOption>, name: &NamePart, kind: &Kind, value: &Value) {
    if let Value::List(values) = value {
        values
            .iter()
            .for_each(|value| state(statements, name, kind, value));
        return;
    }
    let mut option = UninterpretedOption {
        name: vec![name.clone()],
        ..Default::default()
    };
    match value {
        Value::Bool(value) => option.identifier_value = Some(value.to_string()),
        Value::I32(value) => set_integer(&mut option, i64::from(*value)),
        Value::I64(value) => set_integer(&mut option, *value),
        Value::U32(value) => option.positive_int_value = Some(u64::from(*value)),
        Value::U64(value) => option.positive_int_value = Some(*value),
        Value::F32(value) => option.double_value = Some(f64::from(*value)),
        Value::F64(value) => option.double_value = Some(*value),
        Value::String(value) => option.string_value = Some(value.clone().into_bytes()),
        Value::Bytes(value) => option.string_value = Some(value.to_vec()),
        Value::EnumNumber(number) => {
            let value = kind.as_enum().and_then(|found| found.get_value(*number));
            option.identifier_value = value.map(|value| value.name().to_owned());
        }
        Value::Message(message) => option.aggregate_value = Some(message.to_text_format()),
        Value::List(_) | Value::Map(_) => return,
    }
    statements.push(option);
}

fn set_integer(option: &mut UninterpretedOption, value: i64) {
    match u64::try_from(value) {
        Ok(value) => option.positive_int_value = Some(value),
        Err(_) => option.negative_int_value = Some(value),
    }
}
