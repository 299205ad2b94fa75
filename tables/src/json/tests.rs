use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::fixture::{Registry, avro_key, def, framed, guid, raw, schema_value};
use crate::key::KeyCodec;

const PLANE_1: &str = r#"{"type":"record","name":"Plane","fields":[
    {"name":"seats","type":"int"},{"name":"old","type":"string"}]}"#;
const PLANE_2: &str = r#"{"type":"record","name":"Plane","fields":[
    {"name":"hours","type":"long","default":9007199254740993},{"name":"seats","type":"int"}]}"#;
const KEY: &str = r#"{"type":"record","name":"K","fields":[
    {"name":"tailnum","type":"string"},{"name":"seats","type":"int"}]}"#;

fn row(value: &[u8]) -> Row<'_> {
    Row {
        source_offset: 1,
        timestamp_ms: 2,
        schema_header: b"",
        value,
    }
}

fn show(
    table: &Table,
    options: RowOptions<'_>,
    primary_key: &[u8],
    row: Row<'_>,
) -> Result<String, RowError> {
    let mut out = b"before".to_vec();
    let shown = RowWriter::new(table, options)
        .unwrap()
        .write(primary_key, row, &mut out);
    let text = String::from_utf8(out.split_off(6)).unwrap();
    assert!(
        shown.is_ok() || text.is_empty(),
        "a row that fails leaves nothing behind"
    );
    shown.map(|()| text)
}

fn planes(key: crate::def::KeyDef) -> Table {
    let schemas = Registry::default()
        .with("t-value", 1, PLANE_1)
        .with("t-value", 2, PLANE_2);
    Table::new(def(key, schema_value()), Arc::new(schemas)).unwrap()
}

#[test]
fn raw_rows_are_key_and_value() {
    let all = RowOptions::default();
    let table = raw(KeyFormat::String, ValueFormat::String);
    assert_eq!(
        show(&table, all, b"N\"1", row(b"a\nb")).unwrap(),
        r#"{"key":"N\"1","value":"a\nb"}"#
    );
    let table = raw(KeyFormat::Bytes, ValueFormat::Bytes);
    assert_eq!(
        show(&table, all, b"\xff", row(b"\0\x01\x02\x03")).unwrap(),
        r#"{"key":"/w==","value":"AAECAw=="}"#
    );
    let table = raw(KeyFormat::Int32, ValueFormat::Bytes);
    assert_eq!(
        show(&table, all, &ordered::flip32(-5), row(b"")).unwrap(),
        r#"{"key":-5,"value":""}"#
    );
}

#[test]
fn bigint_is_a_number_or_as_asked_a_string() {
    let table = raw(KeyFormat::Int64, ValueFormat::String);
    let key = ordered::flip64(9_007_199_254_740_993);
    assert_eq!(
        show(&table, RowOptions::default(), &key, row(b"v")).unwrap(),
        r#"{"key":9007199254740993,"value":"v"}"#
    );
    let options = RowOptions {
        int64_as_strings: true,
        ..RowOptions::default()
    };
    assert_eq!(
        show(&table, options, &key, row(b"v")).unwrap(),
        r#"{"key":"9007199254740993","value":"v"}"#
    );
}

#[test]
fn only_the_columns_asked_for_in_the_rows_own_order() {
    let table = raw(KeyFormat::String, ValueFormat::String);
    let show = |columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|c| c.to_string()).collect();
        let options = RowOptions {
            columns: Some(&columns),
            ..RowOptions::default()
        };
        RowWriter::new(&table, options).map(|mut writer| {
            let mut out = Vec::new();
            writer.write(b"k", row(b"v"), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        })
    };
    assert_eq!(show(&["value"]).unwrap(), r#"{"value":"v"}"#);
    assert_eq!(
        show(&["value", "key"]).unwrap(),
        r#"{"key":"k","value":"v"}"#
    );
    assert_eq!(show(&[]).unwrap(), "{}");
    assert_eq!(
        show(&["seats"]).unwrap_err(),
        RowsError::UnknownColumn("seats".into())
    );
}

#[test]
fn rows_of_any_version_are_read_in_the_latest() {
    let table = planes(crate::def::KeyDef::raw(KeyFormat::String));
    // seats 55, old "x", written with version 1.
    let shown = show(
        &table,
        RowOptions::default(),
        b"N1",
        row(&framed(1, b"\x6e\x02x")),
    )
    .unwrap();
    assert_eq!(shown, r#"{"key":"N1","hours":9007199254740993,"seats":55}"#);
    let header = [&[1], guid(2).as_bytes().as_slice()].concat();
    let by_guid = Row {
        schema_header: &header,
        ..row(b"\x02\x6e")
    };
    let options = RowOptions {
        int64_as_strings: true,
        ..RowOptions::default()
    };
    assert_eq!(
        show(&table, options, b"N1", by_guid).unwrap(),
        r#"{"key":"N1","hours":"1","seats":55}"#
    );
}

#[test]
fn a_column_of_key_and_value_is_shown_once() {
    let table = planes(avro_key(7, KEY));
    let key = KeyCodec::new(&avro_key(7, KEY))
        .unwrap()
        .key_of(&[json!("N1"), json!(55)])
        .unwrap()
        .1;
    let shown = show(
        &table,
        RowOptions::default(),
        &key,
        row(&framed(2, b"\x02\x6e")),
    )
    .unwrap();
    assert_eq!(shown, r#"{"tailnum":"N1","seats":55,"hours":1}"#);
}

#[test]
fn rows_that_cannot_be_read_say_why() {
    let table = planes(crate::def::KeyDef::raw(KeyFormat::String));
    let error = show(&table, RowOptions::default(), b"N1", row(&framed(9, b""))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the row's schema id 9 is no longer registered"
    );
    assert!(
        show(
            &table,
            RowOptions::default(),
            b"\xff",
            row(&framed(2, b"\x02\x6e"))
        )
        .is_err()
    );
    assert!(
        show(
            &table,
            RowOptions::default(),
            b"N1",
            row(&framed(2, b"\x02"))
        )
        .is_err()
    );
}

#[test]
fn types_have_the_names_of_the_documentation() {
    let table = planes(avro_key(7, KEY));
    let columns = table.columns(table.latest().as_ref()).unwrap();
    let names: Vec<String> = columns
        .key
        .iter()
        .chain(&columns.value)
        .map(|c| format!("{} {}", c.name(), type_name(c.data_type())))
        .collect();
    assert_eq!(names, ["tailnum STRING", "seats INT", "hours BIGINT"]);
}
