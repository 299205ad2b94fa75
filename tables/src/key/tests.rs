use serde_json::json;

use super::*;
use crate::fixture::{Registry, avro_key, framed, guid, with_headers};
use crate::schemas::NoSchemas;

const FLIGHT: &str = r#"{"type":"record","name":"Flight","fields":[
    {"name":"carrier","type":"string"},{"name":"flight","type":"int"}]}"#;
/// As `FLIGHT`, and reads and writes the same fields in another order.
const FLIGHT_2: &str = r#"{"type":"record","name":"Flight","fields":[
    {"name":"flight","type":"int"},{"name":"carrier","type":"string"}]}"#;

fn codec(def: KeyDef) -> KeyCodec {
    KeyCodec::new(&def).unwrap()
}

fn primary_key(codec: &KeyCodec, key: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut out = Vec::new();
    codec
        .primary_key(key, Headers::default(), &NoSchemas, &mut out)
        .map(|()| out)
}

/// A record's key, its columns and its primary key say the same.
#[track_caller]
fn check(def: KeyDef, record_key: &[u8], columns: Vec<Value>) {
    let codec = codec(def);
    let primary = primary_key(&codec, record_key).unwrap();
    assert_eq!(codec.columns_of(&primary).unwrap(), columns);
    let (written, written_primary) = codec.key_of(&columns).unwrap();
    assert_eq!(
        written,
        RecordKey {
            bytes: record_key.to_vec(),
            schema_header: None
        }
    );
    assert_eq!(written_primary, primary);
    assert!(codec.is_canonical(record_key, Headers::default()).unwrap());
}

#[test]
fn raw_keys_are_the_bytes_of_javas_serializers() {
    check(
        KeyDef::raw(KeyFormat::String),
        "Zürich".as_bytes(),
        vec![json!("Zürich")],
    );
    check(
        KeyDef::raw(KeyFormat::Int32),
        &(-2i32).to_be_bytes(),
        vec![json!(-2)],
    );
    check(
        KeyDef::raw(KeyFormat::Int64),
        &i64::MIN.to_be_bytes(),
        vec![json!(i64::MIN)],
    );
    check(
        KeyDef::raw(KeyFormat::Bytes),
        b"\xff\0",
        vec![json!("/wA=")],
    );
}

#[test]
fn raw_keys_that_do_not_fit_are_refused() {
    let refused = |format, key: &[u8]| primary_key(&codec(KeyDef::raw(format)), key).unwrap_err();
    assert_eq!(refused(KeyFormat::String, b"\xff"), KeyError::NotUtf8);
    let error = refused(KeyFormat::Int32, b"12345");
    assert_eq!(error.to_string(), "the key has 5 bytes, and int32 takes 4");
}

#[test]
fn a_key_with_fields_has_a_column_for_each() {
    check(
        avro_key(7, FLIGHT),
        &framed(7, b"\x04UA\x80\x01"),
        vec![json!("UA"), json!(64)],
    );
}

#[test]
fn a_primitive_key_is_the_column_key() {
    let def = avro_key(7, r#""long""#);
    check(def.clone(), &framed(7, b"\x02"), vec![json!(1)]);
    assert_eq!(codec(def).columns()[0].name(), "key");
}

#[test]
fn a_record_with_one_field_named_key_is_no_primitive() {
    let schema = r#"{"type":"record","name":"K","fields":[{"name":"key","type":"long"}]}"#;
    check(avro_key(7, schema), &framed(7, b"\x02"), vec![json!(1)]);
}

#[test]
fn other_bytes_for_the_same_key_are_the_same_row_but_not_canonical() {
    let codec = codec(avro_key(7, FLIGHT));
    let canonical = framed(7, b"\x04UA\x02");
    // 1 as a varint of two bytes.
    let long = framed(7, b"\x04UA\x82\x00");
    assert_eq!(primary_key(&codec, &long), primary_key(&codec, &canonical));
    assert!(!codec.is_canonical(&long, Headers::default()).unwrap());
    assert!(codec.canonical_form().contains("shortest varints"));
}

#[test]
fn another_schema_of_the_subject_is_read_as_the_tables_own() {
    let codec = codec(avro_key(7, FLIGHT));
    let schemas = Registry::default().with("t-key", 8, FLIGHT_2);
    let mut other = Vec::new();
    let key = framed(8, b"\x02\x04UA");
    codec
        .primary_key(&key, Headers::default(), &schemas, &mut other)
        .unwrap();
    assert_eq!(
        other,
        primary_key(&codec, &framed(7, b"\x04UA\x02")).unwrap()
    );
    assert!(!codec.is_canonical(&key, Headers::default()).unwrap());
    assert_eq!(
        primary_key(&codec, &key),
        Err(KeyError::UnknownSchema(SchemaRef::Id(8)))
    );
}

#[test]
fn a_table_of_header_framing_takes_the_guid_and_writes_it() {
    let codec = codec(KeyDef {
        framing: Framing::Header,
        ..avro_key(7, FLIGHT)
    });
    let (written, primary) = codec.key_of(&[json!("UA"), json!(1)]).unwrap();
    assert_eq!(written.bytes, b"\x04UA\x02");
    let header = written.schema_header.unwrap();
    assert_eq!(header, [&[1], guid(7).as_bytes().as_slice()].concat());
    with_headers(&[("__key_schema_id", &header)], |headers| {
        let mut out = Vec::new();
        codec
            .primary_key(&written.bytes, headers, &NoSchemas, &mut out)
            .unwrap();
        assert_eq!(out, primary);
        assert!(codec.is_canonical(&written.bytes, headers).unwrap());
    });
    assert!(
        !codec
            .is_canonical(&framed(7, b"\x04UA\x02"), Headers::default())
            .unwrap()
    );
}

#[test]
fn a_prefix_is_the_first_columns_or_the_start_of_the_last() {
    let codec = codec(avro_key(7, FLIGHT));
    let row =
        |carrier: &str, flight: i32| codec.key_of(&[json!(carrier), json!(flight)]).unwrap().1;
    let prefix = codec.prefix_of(&[json!("UA")]).unwrap();
    assert!(row("UA", 1).starts_with(&prefix) && row("UA", -1).starts_with(&prefix));
    assert!(
        !row("UAX", 1).starts_with(&prefix),
        "a column in the middle is whole"
    );
    assert_eq!(
        codec.prefix_of(&[json!("UA"), json!(1)]).unwrap(),
        row("UA", 1)
    );

    let text = KeyCodec::new(&KeyDef::raw(KeyFormat::String)).unwrap();
    assert_eq!(text.prefix_of(&[json!("N1")]).unwrap(), b"N1");
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let codec = codec(avro_key(7, FLIGHT));
    let error = codec.key_of(&[json!("UA"), json!("x")]).unwrap_err();
    assert!(
        error.to_string().starts_with("key column flight: "),
        "{error}"
    );
    assert!(
        codec.key_of(&[json!(null), json!(1)]).is_err(),
        "the column is not nullable"
    );
}
