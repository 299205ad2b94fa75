use std::sync::Arc;

use super::*;
use crate::def::{KeyDef, KeyFormat, TableDef};
use crate::fixture::{Registry, avro_key, def, framed, raw, schema_value};

const KEY: &str = r#"{"type":"record","name":"K","fields":[{"name":"tailnum","type":"string"}]}"#;
const PLANE: &str = r#"{"type":"record","name":"Plane","fields":[
    {"name":"tailnum","type":"string"},{"name":"seats","type":"int"}]}"#;

fn check(table: &Table, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Box<Refusal>> {
    RecordCheck::new(table).check(key, value, Headers::default())
}

fn planes(partition_count: u32) -> Table {
    let schemas = Registry::default().with("t-value", 2, PLANE);
    let def = TableDef {
        partition_count,
        ..def(avro_key(7, KEY), schema_value())
    };
    Table::new(def, Arc::new(schemas)).unwrap()
}

#[test]
fn raw_records_need_a_key_of_their_format() {
    let table = raw(KeyFormat::Int32, ValueFormat::Bytes);
    assert!(check(&table, Some(&[0, 0, 0, 1]), Some(b"\xff")).is_ok());
    assert!(check(&table, Some(&[0, 0, 0, 1]), None).is_ok());
    assert_eq!(
        check(&table, None, Some(b"x")).unwrap_err().code,
        ReasonCode::NullKey
    );
    let refusal = check(&table, Some(b"12345"), None).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "key: the key has 5 bytes, and int32 takes 4; use the key serializer that the topic's \
         `table.key.format` names"
    );
}

#[test]
fn a_string_value_is_utf8() {
    let table = raw(KeyFormat::String, ValueFormat::String);
    assert!(check(&table, Some(b"k"), Some("ü".as_bytes())).is_ok());
    assert_eq!(
        check(&table, Some(b"k"), Some(b"\xff")).unwrap_err().part,
        Part::Value
    );
}

#[test]
fn an_empty_key_needs_one_partition() {
    let table = raw(KeyFormat::String, ValueFormat::Bytes);
    assert_eq!(
        check(&table, Some(b""), None).unwrap_err().code,
        ReasonCode::EmptyKey
    );
    let def = TableDef {
        partition_count: 1,
        ..table.def().clone()
    };
    let table = Table::new(def, Arc::new(Registry::default())).unwrap();
    assert!(check(&table, Some(b""), None).is_ok());
}

#[test]
fn a_key_in_another_form_needs_one_partition() {
    // "N1" with its length as a varint of two bytes.
    let long = framed(7, b"\x84\x00N1");
    let refusal = check(&planes(3), Some(&long), None).unwrap_err();
    assert_eq!(refusal.code, ReasonCode::NotCanonical);
    assert!(
        refusal
            .fix
            .contains("Avro with shortest varints, with schema id 7 as its prefix"),
        "{}",
        refusal.fix
    );
    assert!(check(&planes(1), Some(&long), None).is_ok());
}

#[test]
fn a_column_of_key_and_value_must_be_equal() {
    let table = planes(3);
    let key = framed(7, b"\x04N1");
    assert!(check(&table, Some(&key), Some(&framed(2, b"\x04N1\x02"))).is_ok());
    let refusal = check(&table, Some(&key), Some(&framed(2, b"\x04N2\x02"))).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.field.as_str()),
        (ReasonCode::KeyDiffers, "tailnum")
    );
    assert_eq!(
        refusal.reason,
        r#"is "N2" in the value and "N1" in the key"#
    );
}

#[test]
fn keys_of_unknown_schemas_and_cut_keys_are_refused() {
    let refused = |key: &[u8]| check(&planes(1), Some(key), None).unwrap_err().code;
    assert_eq!(refused(&framed(99, b"\x04N1")), ReasonCode::UnknownId);
    assert_eq!(refused(b"N1"), ReasonCode::Malformed);
    assert_eq!(refused(&framed(7, b"\x04N")), ReasonCode::DoesNotFit);
}

#[test]
fn a_raw_key_of_a_schema_table_is_checked_too() {
    let schemas = Registry::default().with("t-value", 2, PLANE);
    let table = Table::new(
        def(KeyDef::raw(KeyFormat::String), schema_value()),
        Arc::new(schemas),
    )
    .unwrap();
    assert!(
        check(&table, Some(b"N1"), Some(&framed(2, b"\x04N2\x02"))).is_ok(),
        "no column is shared"
    );
    assert_eq!(
        check(&table, Some(b"N1"), Some(&framed(3, b"")))
            .unwrap_err()
            .part,
        Part::Value
    );
}
