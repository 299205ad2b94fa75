//! Protobuf schemas: one `.proto` file and what it imports. Parsing, text forms, and whether one
//! reads what another wrote.
//!
//! The file also comes as a base64 `FileDescriptorProto`, which some clients register; it is stored
//! as text all the same, and given back in that form as the format `serialized`.

mod check;
pub(super) mod files;
mod nesting;
mod normal;
mod options;
mod print;
mod text;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
pub use check::differences;
use files::MAIN;
use prost::Message;
use prost_reflect::FileDescriptor;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

use crate::SchemaType;
use crate::registry::ResolvedReference;

/// A file that compiles.
#[derive(Clone, Debug)]
pub struct ProtobufSchema {
    /// The file as it is written: names as given, options not interpreted.
    written: FileDescriptorProto,
    /// The canonical text.
    text: String,
    /// Every file, with all names resolved; the schema's own has the name `MAIN`.
    files: Vec<FileDescriptorProto>,
    /// The file in binary form, options interpreted.
    serialized: Vec<u8>,
}

impl ProtobufSchema {
    /// Compiles a file that imports its references by their names.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub fn parse(text: &str, references: &[ResolvedReference]) -> Result<ProtobufSchema, String> {
        nesting::check(text)?;
        for reference in references {
            if reference.schema_type != SchemaType::Protobuf {
                return Err(format!(
                    "reference {} is not a Protobuf schema",
                    reference.name
                ));
            }
        }
        let names: Vec<(&str, &str)> = references
            .iter()
            .map(|r| (r.name.as_str(), r.text.as_str()))
            .collect();
        let compiler = files::compile(text, &names).map_err(|error| error.to_string())?;
        let pool = compiler.descriptor_pool();
        let file = pool.get_file_by_name(MAIN).ok_or("defines no file")?;
        let files = compiler.file_descriptor_set().file;
        let serialized = serialize(&file);
        let (written, text) = match text::parse(text) {
            Some(written) => {
                let printed = print::print(&written);
                // What the printer does not know is kept as it was written.
                let is_whole = text::parse(&printed)
                    .is_some_and(|again| text::comparable(&again) == text::comparable(&written));
                let text = if is_whole {
                    printed
                } else {
                    text.trim().to_owned()
                };
                (written, text)
            }
            None => {
                let written = options::as_written(&file);
                let printed = print::print(&written);
                (written, printed)
            }
        };
        Ok(ProtobufSchema {
            written,
            text,
            files,
            serialized,
        })
    }

    pub fn canonical(&self) -> String {
        self.text.clone()
    }

    /// The file with full names, and in the order of numbers rather than of writing.
    pub fn normalized(&self) -> String {
        let own = self.own_file();
        print::print(&normal::normal(&self.written, own))
    }

    /// The file as a base64 `FileDescriptorProto`.
    pub fn serialized(&self) -> String {
        STANDARD.encode(&self.serialized)
    }

    /// The text without declarations of extensions.
    pub fn without_extensions(&self) -> String {
        print::print(&normal::without_extensions(&self.written))
    }

    /// Whether the first message has this field.
    pub fn has_top_level_field(&self, field: &str) -> bool {
        let message = self.own_file().and_then(|file| file.message_type.first());
        message.is_some_and(|message| message.field.iter().any(|f| f.name() == field))
    }

    fn own_file(&self) -> Option<&FileDescriptorProto> {
        self.files.iter().find(|file| file.name() == MAIN)
    }
}

/// The file's descriptor with its options, under the name that clients give to a schema's own file.
fn serialize(file: &FileDescriptor) -> Vec<u8> {
    let mut bytes = file.encode_to_vec();
    // A later field of the same number wins; the rest is left as it is, custom options included.
    let name = Some("default".to_owned());
    bytes.extend(
        FileDescriptorProto {
            name,
            ..Default::default()
        }
        .encode_to_vec(),
    );
    bytes
}

/// Every message and enum by full name, with the file that it comes from.
struct Types<'a> {
    messages: BTreeMap<String, (&'a FileDescriptorProto, &'a DescriptorProto)>,
    enums: BTreeMap<String, &'a EnumDescriptorProto>,
}

impl<'a> Types<'a> {
    fn of(schema: &'a ProtobufSchema) -> Types<'a> {
        let mut types = Types {
            messages: BTreeMap::new(),
            enums: BTreeMap::new(),
        };
        for file in &schema.files {
            let scope = match file.package() {
                "" => String::new(),
                package => format!(".{package}"),
            };
            types.add_enums(&scope, &file.enum_type);
            file.message_type
                .iter()
                .for_each(|message| types.add(file, &scope, message));
        }
        types
    }

    /// The compiler bounds how deep messages nest.
    fn add(&mut self, file: &'a FileDescriptorProto, scope: &str, message: &'a DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        self.add_enums(&name, &message.enum_type);
        message
            .nested_type
            .iter()
            .for_each(|nested| self.add(file, &name, nested));
        self.messages.insert(name, (file, message));
    }

    fn add_enums(&mut self, scope: &str, enums: &'a [EnumDescriptorProto]) {
        let named = enums
            .iter()
            .map(|found| (format!("{scope}.{}", found.name()), found));
        self.enums.extend(named);
    }
}

#[cfg(test)]
mod tests;
