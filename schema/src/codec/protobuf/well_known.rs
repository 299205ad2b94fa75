//! Files that schemas import without registering them, and messages that stand for one value.

use protox::file::{File, FileResolver};

use super::schema::{Field, Kind, Meaning};

/// Google's common types and Confluent's options, as far as serializers write them.
pub(super) struct Files;

const DATE: &str = r#"syntax = "proto3";
package google.type;
message Date { int32 year = 1; int32 month = 2; int32 day = 3; }
"#;

const TIME_OF_DAY: &str = r#"syntax = "proto3";
package google.type;
message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }
"#;

const CONFLUENT_META: &str = r#"syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
"#;

const CONFLUENT_DECIMAL: &str = r#"syntax = "proto3";
package confluent.type;
message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }
"#;

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let source = match name {
            "google/type/date.proto" => DATE,
            "google/type/timeofday.proto" => TIME_OF_DAY,
            "confluent/meta.proto" => CONFLUENT_META,
            "confluent/type/decimal.proto" => CONFLUENT_DECIMAL,
            _ => return Err(protox::Error::file_not_found(name)),
        };
        File::from_source(name, source)
    }
}

/// What a message stands for. Its fields are looked at too, since anyone can write a file by a known name.
pub(super) fn meaning(full_name: &str, fields: &[Field]) -> Meaning {
    let kinds: Vec<(u32, Kind)> = fields.iter().map(|f| (f.number, f.kind)).collect();
    let ints = |count: u32| (1..=count).map(|n| (n, Kind::Int32)).collect::<Vec<_>>();
    match full_name {
        "google.protobuf.Timestamp" if kinds == [(1, Kind::Int64), (2, Kind::Int32)] => {
            Meaning::Timestamp
        }
        "google.type.Date" if kinds == ints(3) => Meaning::Date,
        "google.type.TimeOfDay" if kinds == ints(4) => Meaning::TimeOfDay,
        _ if is_wrapper(full_name) => match kinds[..] {
            [(1, kind)] if !matches!(kind, Kind::Message(_) | Kind::Group(_)) => Meaning::Wrapper,
            _ => Meaning::Plain,
        },
        _ => Meaning::Plain,
    }
}

fn is_wrapper(full_name: &str) -> bool {
    let name = full_name
        .strip_prefix("google.protobuf.")
        .and_then(|n| n.strip_suffix("Value"));
    let wrapped = [
        "Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes",
    ];
    name.is_some_and(|name| wrapped.contains(&name))
}
