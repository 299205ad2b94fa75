//! Avro: a schema flattened once, walked over payloads without building values.
//!
//! | Avro | column | back |
//! |---|---|---|
//! | boolean | BOOLEAN | boolean |
//! | int | INT | int |
//! | int, connect.type int8, int16 | TINYINT, SMALLINT | the same |
//! | int, date | DATE | int, date |
//! | int, time-millis; long, time-micros | TIME | the same |
//! | long | BIGINT | long |
//! | long, timestamp-millis, -micros, -nanos | TIMESTAMP_LTZ | the same |
//! | long, local-timestamp-millis, -micros, -nanos | TIMESTAMP | the same |
//! | float, double | FLOAT, DOUBLE | float, double |
//! | string, enum | STRING | string |
//! | bytes, fixed(n) | BYTES, BINARY(n) | bytes, fixed(n) |
//! | bytes or fixed, decimal(p ≤ 38, s) | DECIMAL(p, s) | bytes, decimal(p, s) |
//! | array, map | ARRAY, MAP with STRING keys | array, map |
//! | record | ROW; at the top, the columns | record |
//! | union of null and one type | that type, nullable | the same |
//!
//! No column: a union of several types, null alone, a decimal of more than 38 digits, a record that
//! contains itself. Other logical types (uuid, duration) are those of their type. At the top, a schema
//! that is no record is one column, named by the caller.
//!
//! Refused as values: a number outside its type's range (a time outside a day too), a decimal of more
//! digits than its precision.

mod canonical;
mod check;
mod columns;
mod cursor;
mod decode;
mod default;
mod encode;
mod parse;
mod resolve;
mod schema;
#[cfg(test)]
mod tests;

pub(crate) use parse::parse;
pub(crate) use resolve::Resolution;
pub(crate) use schema::AvroSchema;

impl AvroSchema {
    /// The full name of the root record, or the name of the root's type.
    pub(crate) fn root_name(&self) -> &str {
        self.node(self.root).name()
    }
}
