//! Reading `.proto` text as it is written, and telling whether two files say the same.

use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, OneofDescriptorProto,
};
use protox::file::File;

/// The file as it is written, its names unresolved; nothing when it is no `.proto` text.
pub fn parse(text: &str) -> Option<FileDescriptorProto> {
    let file = File::from_source(super::MAIN, text).ok()?;
    let mut file = file.file_descriptor_proto().clone();
    file.source_code_info = None;
    Some(file)
}

/// The file in an order that does not depend on where fields stand, for comparison.
pub fn comparable(file: &FileDescriptorProto) -> FileDescriptorProto {
    let mut file = file.clone();
    file.message_type.iter_mut().for_each(order);
    file
}

fn order(message: &mut DescriptorProto) {
    let mut oneofs: Vec<(usize, OneofDescriptorProto)> =
        message.oneof_decl.drain(..).enumerate().collect();
    oneofs.sort_by(|a, b| a.1.name().cmp(b.1.name()));
    let moved = |old: i32| {
        oneofs
            .iter()
            .position(|(index, _)| i32::try_from(*index) == Ok(old))
    };
    for field in &mut message.field {
        field.oneof_index = field
            .oneof_index
            .and_then(moved)
            .and_then(|i| i32::try_from(i).ok());
    }
    message.oneof_decl = oneofs.into_iter().map(|(_, oneof)| oneof).collect();
    message.field.sort_by_key(FieldDescriptorProto::number);
    // The messages that stand for map entries follow the fields; only the others have an order.
    message
        .nested_type
        .sort_by_key(|nested| match is_map_entry(nested) {
            true => (1, nested.name().to_owned()),
            false => (0, String::new()),
        });
    message.nested_type.iter_mut().for_each(order);
}

/// Whether the message stands for the entries of a map field.
pub fn is_map_entry(message: &DescriptorProto) -> bool {
    message
        .options
        .as_ref()
        .is_some_and(|options| options.map_entry())
}
