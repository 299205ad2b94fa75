//! Avro schemas by Java's rules: parsing, the text forms by which schemas are told apart, and whether
//! one reads what another wrote.
//!
//! The compiled codecs parse for themselves; this parser keeps what they may drop (documentation,
//! aliases, order, custom properties), because the registry stores and compares it.

mod check;
mod default;
mod number;
mod parse;
mod print;
mod schema;

pub use check::differences;
pub use schema::AvroSchema;

#[cfg(test)]
mod tests;
