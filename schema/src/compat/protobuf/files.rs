//! Compiling a file with what it imports: its references, and the files of Google and Confluent
//! that nobody registers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// The file's name among its imports.
pub const MAIN: &str = "__main.proto";

const WELL_KNOWN: [(&str, &str); 4] = [
    (
        "google/type/date.proto",
        "syntax = \"proto3\"; package google.type;
         message Date { int32 year = 1; int32 month = 2; int32 day = 3; }",
    ),
    (
        "google/type/timeofday.proto",
        "syntax = \"proto3\"; package google.type;
         message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }",
    ),
    (
        "confluent/meta.proto",
        "syntax = \"proto3\"; package confluent; import \"google/protobuf/descriptor.proto\";
         message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
         extend google.protobuf.FileOptions { Meta file_meta = 1088; }
         extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
         extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
         extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
         extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }",
    ),
    (
        "confluent/type/decimal.proto",
        "syntax = \"proto3\"; package confluent.type;
         message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }",
    ),
];

/// Compiles `text` as `MAIN`; it may import `references` by their names.
pub fn compile(text: &str, references: &[(&str, &str)]) -> Result<Compiler, protox::Error> {
    let mut files = Files(vec![(MAIN.to_owned(), text.to_owned())]);
    let named = references
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    files.0.extend(named);
    let mut resolver = ChainFileResolver::new();
    resolver.add(files);
    resolver.add(Files(
        WELL_KNOWN
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
    ));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file(MAIN)?;
    Ok(compiler)
}

/// Files by name, as text or as base64 of their descriptors.
struct Files(Vec<(String, String)>);

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let found = self.0.iter().find(|(candidate, _)| candidate == name);
        let (_, text) = found.ok_or_else(|| protox::Error::file_not_found(name))?;
        match STANDARD.decode(text.trim()) {
            Ok(bytes) if !bytes.is_empty() => open_descriptor(name, &bytes),
            _ => File::from_source(name, text),
        }
    }
}

/// Opens a binary descriptor under the name by which it is imported.
fn open_descriptor(name: &str, bytes: &[u8]) -> Result<File, protox::Error> {
    // A later field of the same number wins, so the name can be set by appending it.
    let mut renamed = bytes.to_vec();
    let rename = prost_types::FileDescriptorProto {
        name: Some(name.to_owned()),
        ..Default::default()
    };
    renamed.extend(prost::Message::encode_to_vec(&rename));
    File::decode_file_descriptor_proto(renamed.as_slice()).map_err(protox::Error::new)
}
