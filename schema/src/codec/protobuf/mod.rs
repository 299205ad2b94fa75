//! Protobuf: `.proto` files compiled once into flat messages, walked over the wire format.
//!
//! | Protobuf | column | back |
//! |---|---|---|
//! | bool | BOOLEAN | bool |
//! | int32, sint32, sfixed32 | INT | int32 |
//! | int64, sint64, sfixed64; uint32, fixed32 | BIGINT | int64 |
//! | uint64, fixed64 | DECIMAL(20, 0) | uint64 |
//! | float, double | FLOAT, DOUBLE | float, double |
//! | string; enum (its name, or an unknown number) | STRING | string |
//! | bytes | BYTES | bytes |
//! | google.protobuf.Timestamp | TIMESTAMP_LTZ in microseconds | the same |
//! | google.type.Date, google.type.TimeOfDay | DATE, TIME | the same |
//! | google.protobuf.Int64Value and its like | the wrapped type, nullable | the same |
//! | repeated | ARRAY | repeated |
//! | map<K, V> | MAP | map<K, V> |
//! | any other message, group | ROW, nullable; at the top, the columns | message |
//! | optional, a field of a oneof, a proto2 optional | that type, nullable | optional |
//!
//! No column: a message without fields, one that contains itself (so google.protobuf.Struct). Other
//! well-known messages (Duration, Any, confluent.type.Decimal) are rows of their fields.
//!
//! A known field of another wire type is refused, where parsers would call it unknown; unknown fields
//! pass and are not in the row. Timestamps lose digits below a microsecond. Message indexes count the
//! messages as written in the file.

mod canonical;
mod columns;
mod decode;
mod encode;
mod message;
mod parse;
mod schema;
#[cfg(test)]
mod tests;
mod value;
mod well_known;
mod wire;

pub(crate) use parse::parse;
pub(crate) use schema::ProtoSchema;
