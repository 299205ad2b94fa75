//! Payloads that Confluent's serializers wrote (`testdata/make_golden.py`).

use serde_json::Value;

use super::*;
use crate::framing::{Part, SchemaRef, split, with_prefix};

struct Golden {
    name: String,
    codec: Arc<Codec>,
    bytes: Vec<u8>,
    header: Option<Vec<u8>>,
    json: Value,
}

fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|p| u8::from_str_radix(str::from_utf8(p).unwrap(), 16).unwrap())
        .collect()
}

fn golden(schema_type: SchemaType) -> Vec<Golden> {
    let cases: Value = serde_json::from_str(include_str!("../../testdata/golden.json")).unwrap();
    let of_type = |case: &&Value| case["type"] == schema_type.as_str();
    let cases = cases.as_array().unwrap().iter().filter(of_type);
    let cases: Vec<_> = cases
        .map(|case| Golden {
            name: case["name"].as_str().unwrap().into(),
            codec: compile(schema_type, case["schema"].as_str().unwrap(), &[]).unwrap(),
            bytes: hex(case["bytes"].as_str().unwrap()),
            header: case["header"].as_str().map(hex),
            json: case["json"].clone(),
        })
        .collect();
    assert!(cases.len() >= 4);
    cases
}

/// What a serializer wrote passes, reads as the value that it was given, and is what we write.
fn check_golden(schema_type: SchemaType, check_bytes: bool) {
    for case in golden(schema_type) {
        let Golden {
            name,
            codec,
            bytes,
            header,
            json,
        } = &case;
        let framed = split(Part::Value, bytes, header.as_deref().map(Some)).unwrap();
        let payload = framed.payload(codec.is_protobuf()).unwrap();
        codec
            .validate(payload)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(&codec.to_json(payload).unwrap(), json, "{name}");
        let written = codec.from_json(payload.indexes, json).unwrap();
        let again = Payload {
            bytes: &written,
            ..payload
        };
        assert_eq!(&codec.to_json(again).unwrap(), json, "{name}");
        if check_bytes {
            assert_eq!(written, payload.bytes, "{name}");
        }
        if let SchemaRef::Id(id) = framed.schema {
            assert_eq!(
                &with_prefix(id, payload, codec.is_protobuf()),
                bytes,
                "{name}"
            );
        }
        for end in 0..payload.bytes.len() {
            let cut = Payload {
                bytes: &payload.bytes[..end],
                ..payload
            };
            let (checked, read) = (codec.validate(cut), codec.to_json(cut));
            assert_eq!(checked.is_ok(), read.is_ok(), "{name} cut at {end}");
            // Protobuf may be cut between fields.
            assert!(
                codec.is_protobuf() || checked.is_err(),
                "{name} cut at {end}"
            );
        }
    }
}

#[test]
fn avro_golden_payloads() {
    check_golden(SchemaType::Avro, true);
}

#[test]
fn json_golden_payloads() {
    check_golden(SchemaType::Json, false);
}

#[test]
fn protobuf_golden_payloads() {
    check_golden(SchemaType::Protobuf, true);
}

#[test]
fn indexes_that_name_no_message_are_refused() {
    let codec = compile(
        SchemaType::Protobuf,
        "syntax = \"proto3\"; message A {}",
        &[],
    )
    .unwrap();
    let indexes = Indexes::encode(&[1]);
    let payload = Payload {
        indexes: Indexes::parse(&indexes).unwrap().0,
        bytes: &[],
    };
    let error = codec.validate(payload).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the schema has no message with the indexes [1]"
    );
    assert_eq!(codec.record_name(payload.indexes), None);
}

#[test]
fn a_row_of_another_version_reads_in_the_latest() {
    let version = |fields: &str| {
        let text = format!("syntax = \"proto3\"; message B {{}} message A {{ {fields} }}");
        compile(SchemaType::Protobuf, &text, &[]).unwrap()
    };
    let old = version("int32 x = 1; string gone = 2;");
    // The message has moved to the front.
    let new =
        "syntax = \"proto3\"; message A { int64 x = 1; optional bool added = 3; } message B {}";
    let new = compile(SchemaType::Protobuf, new, &[]).unwrap();
    let indexes = Indexes::encode(&[1]);
    let indexes = Indexes::parse(&indexes).unwrap().0;
    let bytes = old
        .from_json(indexes, &serde_json::json!({"x": 7, "gone": "y"}))
        .unwrap();
    let row = old
        .to_json_as(
            &new,
            Payload {
                indexes,
                bytes: &bytes,
            },
        )
        .unwrap();
    assert_eq!(row, serde_json::json!({"x": 7, "added": null}));
}

#[test]
fn a_key_has_columns_that_hold_no_others() {
    let avro = |text: &str| compile(SchemaType::Avro, text, &[]).unwrap();
    let columns = avro("\"long\"").key_columns(Indexes::FIRST).unwrap();
    assert_eq!(columns[0].name(), "key");
    let record = r#"{"type":"record","name":"K","fields":[{"name":"l","type":{"type":"array","items":"int"}}]}"#;
    assert_eq!(
        avro(record)
            .key_columns(Indexes::FIRST)
            .unwrap_err()
            .to_string(),
        "l: a key holds no ARRAY, MAP or ROW"
    );
}
