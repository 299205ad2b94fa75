use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::codec::avro::encode::write_long;
use crate::codec::{MAX_VALUES, PayloadError, SchemaError};

fn schema(schema: &Value) -> AvroSchema {
    parse(&schema.to_string(), &[]).unwrap_or_else(|e| panic!("{schema}: {e}"))
}

fn record(fields: Value) -> Value {
    json!({"type": "record", "name": "a.R", "fields": fields})
}

fn parse_error(schema: Value) -> String {
    match parse(&schema.to_string(), &[]) {
        Ok(_) => panic!("{schema} was taken"),
        Err(error) => error.to_string(),
    }
}

/// The error of checking a payload; reading it must agree.
fn check(schema: &AvroSchema, payload: &[u8]) -> Result<(), PayloadError> {
    let checked = schema.check(payload);
    assert_eq!(
        checked.is_ok(),
        schema.decode(payload).is_ok(),
        "{payload:?}"
    );
    assert_eq!(
        checked.is_ok(),
        schema.canonical(payload).is_ok(),
        "{payload:?}"
    );
    checked.map_err(|fault| *fault)
}

fn check_error(schema: &AvroSchema, payload: &[u8]) -> String {
    check(schema, payload)
        .expect_err("the payload was taken")
        .to_string()
}

#[test]
fn schemas_that_are_not_valid_say_why() {
    assert_eq!(
        parse_error(json!("strin")),
        "strin: no type of this name is defined"
    );
    assert_eq!(
        parse_error(json!({"type": "array"})),
        "array: has no \"items\""
    );
    assert_eq!(parse_error(json!(["int", "int"])), "union: holds int twice");
    assert_eq!(
        parse_error(json!(["int", ["null"]])),
        "union: holds a union"
    );
    let error = parse_error(record(json!([{"name": "f", "type": "x"}])));
    assert_eq!(error, "a.R.f: x: no type of this name is defined");
    let error = parse_error(record(
        json!([{"name": "f", "type": "int"}, {"name": "f", "type": "int"}]),
    ));
    assert_eq!(error, "a.R: field \"f\" is there twice");
    assert!(parse_error(record(json!([{"name": "1f", "type": "int"}]))).contains("no valid name"));
    assert!(parse_error(json!({"type": "fixed", "name": "F", "size": -1})).contains("size"));
    assert!(
        parse_error(json!({"type": "enum", "name": "E", "symbols": ["A", "A"]})).contains("twice")
    );
    assert!(matches!(parse("{", &[]), Err(SchemaError::NotJson(_))));
    assert!(matches!(
        parse(&"[".repeat(1 << 20), &[]),
        Err(SchemaError::NotJson(_))
    ));
}

#[test]
fn references_lend_their_names() {
    let inner =
        json!({"type": "record", "name": "b.Inner", "fields": [{"name": "x", "type": "int"}]})
            .to_string();
    let outer = record(json!([{"name": "i", "type": "b.Inner"}])).to_string();
    assert!(parse(&outer, &[]).is_err());
    let schema = parse(&outer, &[("inner.avsc", &inner)]).unwrap();
    assert_eq!(schema.decode(&[2]).unwrap(), json!({"i": {"x": 1}}));
    assert_eq!(schema.root_name(), "a.R");
    let error = parse(&outer, &[("inner.avsc", "7")])
        .err()
        .unwrap()
        .to_string();
    assert_eq!(
        error,
        "the reference \"inner.avsc\" is not valid: 7: is not a schema"
    );
}

#[test]
fn a_payload_that_does_not_fit_names_the_field() {
    let schema = schema(&record(json!([
        {"name": "id", "type": "int"},
        {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "L", "fields": [
            {"name": "n", "type": "string"}, {"name": "m", "type": {"type": "map", "values": ["null", "boolean"]}}]}}},
    ])));
    check(&schema, &[2, 0]).unwrap();
    check(&schema, &[2, 2, 2, b'x', 2, 2, b'k', 2, 1, 0, 0]).unwrap();
    assert_eq!(
        check_error(&schema, &[]),
        "field id: the payload ends inside a number"
    );
    assert_eq!(
        check_error(&schema, &[2, 2, 2, 0xff, 0, 0]),
        "field lines[0].n: the string is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0"
    );
    assert_eq!(
        check_error(&schema, &[2, 2, 2, b'x', 2, 2, b'k', 2, 7, 0, 0]),
        "field lines[0].m[k]: byte 7 is not a boolean"
    );
    assert_eq!(
        check_error(&schema, &[2, 2, 2, b'x', 2, 2, b'k', 4, 0, 0]),
        "field lines[0].m[k]: union branch 2 does not exist, there are 2"
    );
    assert_eq!(
        check_error(&schema, &[2, 0, 9]),
        "1 bytes are left after the value's end"
    );
}

#[test]
fn numbers_stay_in_their_range() {
    let int = schema(&json!("int"));
    check(&int, &[0xff, 0xff, 0xff, 0xff, 0x0f]).unwrap();
    check(&int, &[0x82, 0x00]).unwrap();
    assert!(check(&int, &[0xff, 0xff, 0xff, 0xff, 0x1f]).is_err());
    assert!(check(&int, &[0x80, 0x80, 0x80, 0x80, 0x80, 0]).is_err());
    let long = schema(&json!("long"));
    check(
        &long,
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    )
    .unwrap();
    assert!(
        check(
            &long,
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]
        )
        .is_err()
    );
    let time = schema(&json!({"type": "int", "logicalType": "time-millis"}));
    assert_eq!(check_error(&time, &[1]), "-1 is not from 0 to 86399999");
    let byte = schema(&json!({"type": "int", "connect.type": "int8"}));
    assert!(check(&byte, &[0x80, 0x02]).is_err());
}

#[test]
fn decimals_keep_to_their_precision() {
    let decimal =
        schema(&json!({"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 1}));
    check(&decimal, &[4, 0x03, 0xe7]).unwrap();
    assert_eq!(decimal.decode(&[4, 0x03, 0xe7]).unwrap(), json!("99.9"));
    assert_eq!(
        check_error(&decimal, &[4, 0x03, 0xe8]),
        "the value does not fit DECIMAL(3,1)"
    );
    assert_eq!(check_error(&decimal, &[0]), "a decimal has no bytes");
    // Sign bytes may repeat; the canonical form has none that are not needed.
    assert_eq!(decimal.canonical(&[6, 0, 0, 5]).unwrap(), [2, 5]);
}

#[test]
fn a_key_that_is_not_a_number_has_one_form() {
    let (float, double) = (schema(&json!("float")), schema(&json!("double")));
    for bits in [0x7fc0_0000_u32, 0xffc0_0000, 0x7f80_0001] {
        assert_eq!(
            float.canonical(&bits.to_le_bytes()).unwrap(),
            [0, 0, 0xc0, 0x7f]
        );
    }
    for bits in [0x7ff8_0000_0000_0000_u64, 0xfff8_0000_0000_0000, u64::MAX] {
        assert_eq!(
            double.canonical(&bits.to_le_bytes()).unwrap(),
            [0, 0, 0, 0, 0, 0, 0xf8, 0x7f]
        );
        let written = double.encode(&json!("NaN")).unwrap();
        assert_eq!(written, double.canonical(&bits.to_le_bytes()).unwrap());
    }
}

#[test]
fn claims_of_more_than_there_is_are_refused_at_once() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for kind in [
        json!("string"),
        json!("bytes"),
        json!({"type": "array", "items": "int"}),
        json!({"type": "map", "values": "null"}),
    ] {
        let schema = schema(&kind);
        for sign in [0xfe, 0xff] {
            let mut payload = vec![sign];
            payload.extend_from_slice(&huge[1..]);
            assert!(check(&schema, &payload).is_err(), "{kind}");
        }
    }
    let nulls = schema(&json!({"type": "array", "items": "null"}));
    check(&nulls, &[20, 0]).unwrap();
    let error = check_error(
        &nulls,
        &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0],
    );
    assert!(error.ends_with("too many values"), "{error}");
    let error = check_error(&nulls, &[0xc0, 0x84, 0x3d, 0]);
    assert!(
        error.ends_with("too many values that take no bytes"),
        "{error}"
    );
}

/// A value takes many times the byte that stands for it.
#[test]
fn a_payload_comes_to_so_many_values() {
    let flags = schema(&json!({"type": "array", "items": "boolean"}));
    let payload = |count: usize| {
        let mut payload = Vec::new();
        write_long(count as i64, &mut payload);
        payload.extend(vec![1; count]);
        payload.push(0);
        payload
    };
    check(&flags, &payload(MAX_VALUES)).unwrap();
    assert!(check_error(&flags, &payload(MAX_VALUES + 1)).ends_with("too many values"));

    let written =
        schema(&json!({"type": "array", "items": {"type": "record", "name": "R", "fields": []}}));
    let defaults =
        json!({"name": "d", "type": {"type": "array", "items": "int"}, "default": vec![0; 1_000]});
    let read = schema(
        &json!({"type": "array", "items": {"type": "record", "name": "R", "fields": [defaults]}}),
    );
    let records = |count: i64| {
        let mut payload = Vec::new();
        write_long(count, &mut payload);
        payload.push(0);
        let resolution = Resolution {
            writer: &written,
            reader: &read,
        };
        resolution.decode(&payload)
    };
    assert!(records(1_000).is_ok());
    let error = records(1_100).unwrap_err().to_string();
    assert!(error.ends_with("too many values"), "{error}");
}

#[test]
fn a_block_must_be_as_long_as_it_says() {
    let array = schema(&json!({"type": "array", "items": "int"}));
    check(&array, &[3, 4, 2, 4, 0]).unwrap();
    assert!(check(&array, &[3, 2, 2, 4, 0]).is_err());
    assert!(check(&array, &[3, 1, 2, 4, 0]).is_err());
    assert_eq!(
        array.canonical(&[3, 4, 2, 4, 2, 6, 0]).unwrap(),
        [6, 2, 4, 6, 0]
    );
}

#[test]
fn recursion_ends() {
    let list = schema(&record(json!([{"name": "next", "type": ["null", "a.R"]}])));
    check(&list, &[2, 2, 2, 0]).unwrap();
    assert!(check_error(&list, &[2; 10_000]).contains("deeper than 128 levels"));
    let endless = schema(&record(json!([{"name": "self", "type": "a.R"}])));
    assert!(check_error(&endless, &[]).contains("deeper than 128 levels"));
    assert!(
        endless
            .columns("value")
            .unwrap_err()
            .reason
            .contains("contains itself")
    );
}

#[test]
fn records_that_double_at_every_level_end() {
    let mut fields =
        vec![json!({"name": "x", "type": {"type": "record", "name": "R0", "fields": []}})];
    for level in 1..60 {
        let inner = format!("R{}", level - 1);
        let doubled = json!([{"name": "l", "type": inner, "default": {}}, {"name": "r", "type": inner, "default": {}}]);
        fields.push(json!({"name": format!("f{level}"), "default": {},
            "type": {"type": "record", "name": format!("R{level}"), "fields": doubled}}));
    }
    let schema = schema(&record(json!(fields)));
    assert!(check_error(&schema, &[]).contains("too many values"));
    assert!(schema.columns("value").is_err());
    let _ = schema.encode(&json!({}));
}

#[test]
fn json_takes_defaults_and_names_what_is_wrong() {
    let schema = schema(&record(json!([
        {"name": "id", "type": "long"},
        {"name": "maybe", "type": ["null", "string"]},
        {"name": "n", "type": "int", "default": 7},
        {"name": "raw", "type": "bytes", "default": "\u{ff}"},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}, "default": "B"},
        {"name": "l", "type": {"type": "array", "items": "int"}, "default": [1]},
        {"name": "u", "type": ["string", "int"], "default": 5},
    ])));
    let row = schema
        .decode(
            &schema
                .encode(&json!({"id": "9223372036854775807"}))
                .unwrap(),
        )
        .unwrap();
    let expected = json!({"id": i64::MAX, "maybe": null, "n": 7, "raw": "/w==", "e": "B", "l": [1], "u": {"int": 5}});
    assert_eq!(row, expected);
    let error = |value: Value| schema.encode(&value).unwrap_err().to_string();
    assert_eq!(error(json!({})), "field id: is missing and has no default");
    assert_eq!(
        error(json!({"id": 1, "idd": 1})),
        "field idd: a.R has no such field"
    );
    assert_eq!(
        error(json!({"id": 1.5})),
        "field id: 1.5 is not a 64-bit integer (type long)"
    );
    assert_eq!(
        error(json!({"id": 1, "l": [1, "x"]})),
        "field l[1]: \"x\" is not an integer in its range (type int)"
    );
    assert!(error(json!({"id": 1, "u": 5})).contains("with one of string, int"));
    assert_eq!(error(json!([])), "[] is not an object (type a.R)");
}

#[test]
fn a_default_that_is_not_valid_matters_only_when_it_is_used() {
    let schema = schema(&record(
        json!([{"name": "n", "type": "int", "default": "seven"}]),
    ));
    check(&schema, &[2]).unwrap();
    assert!(
        schema
            .encode(&json!({}))
            .unwrap_err()
            .reason
            .contains("its default is not valid")
    );
}

fn resolved(writer: &Value, reader: &Value, payload: &[u8]) -> Result<Value, String> {
    let resolution = Resolution {
        writer: &schema(writer),
        reader: &schema(reader),
    };
    resolution.decode(payload).map_err(|e| e.to_string())
}

#[test]
fn an_old_row_reads_in_the_latest_schema() {
    let writer = record(json!([
        {"name": "gone", "type": "string"},
        {"name": "n", "type": "int"},
        {"name": "old_name", "type": "float"},
        {"name": "inner", "type": {"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}]}},
    ]));
    let reader = record(json!([
        {"name": "new_name", "aliases": ["old_name"], "type": "double"},
        {"name": "n", "type": ["null", "long"]},
        {"name": "inner", "type": {"type": "record", "name": "I", "fields": [
            {"name": "x", "type": "int"}, {"name": "y", "type": "string", "default": "d"}]}},
        {"name": "added", "type": ["null", "int"], "default": null},
        {"name": "unfilled", "type": "string"},
    ]));
    let payload = schema(&writer)
        .encode(&json!({"gone": "x", "n": 3, "old_name": 0.5, "inner": {"x": 1}}))
        .unwrap();
    assert_eq!(
        resolved(&writer, &reader, &payload),
        Ok(
            json!({"new_name": 0.5, "n": 3, "inner": {"x": 1, "y": "d"}, "added": null, "unfilled": null})
        )
    );
}

#[test]
fn enums_decimals_and_timestamps_keep_their_value() {
    let e = |symbols: Value| json!({"type": "enum", "name": "E", "symbols": symbols, "default": symbols[0]});
    assert_eq!(
        resolved(&e(json!(["A", "B"])), &e(json!(["X", "B", "A"])), &[2]),
        Ok(json!("B"))
    );
    assert_eq!(
        resolved(&e(json!(["A", "B"])), &e(json!(["X", "A"])), &[2]),
        Ok(json!("X"))
    );
    let d = |p, s| json!({"type": "bytes", "logicalType": "decimal", "precision": p, "scale": s});
    assert_eq!(resolved(&d(4, 1), &d(6, 3), &[2, 15]), Ok(json!("1.500")));
    assert!(resolved(&d(4, 1), &d(4, 0), &[2, 15]).is_err());
    let t = |unit: &str| json!({"type": "long", "logicalType": format!("timestamp-{unit}")});
    assert_eq!(
        resolved(&t("millis"), &t("micros"), &[2]),
        Ok(json!("1970-01-01T00:00:00.001000Z"))
    );
    assert_eq!(
        resolved(&json!("string"), &json!("int"), &[2, b'x']),
        Err("string cannot be read as int".into())
    );
}

#[test]
fn columns_name_what_has_no_mapping() {
    let error = |fields: Value| {
        schema(&record(fields))
            .columns("value")
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(json!([{"name": "o", "type": {"type": "array", "items": ["int", "string"]}}])),
        "o.item: a union of several types has no column type"
    );
    assert!(error(json!([{"name": "n", "type": "null"}])).starts_with("n: null alone"));
    let wide = json!({"type": "bytes", "logicalType": "decimal", "precision": 39});
    assert!(error(json!([{"name": "d", "type": wide}])).starts_with("d: a decimal has at most"));
}

#[test]
fn columns_have_their_types() {
    let schema = schema(&record(json!([
        {"name": "id", "type": "long"},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
        {"name": "m", "type": {"type": "map", "values": ["null", "int"]}},
        {"name": "s", "type": {"type": "int", "connect.type": "int16"}},
    ])));
    let columns = schema.columns("value").unwrap();
    let shown: Vec<_> = columns
        .iter()
        .map(|c| format!("{} {} {}", c.name(), c.data_type(), c.is_nullable()))
        .collect();
    assert_eq!(shown[0], "id Int64 false");
    assert_eq!(shown[1], "at Timestamp(µs, \"UTC\") true");
    assert!(shown[2].starts_with("m Map("), "{}", shown[2]);
    assert_eq!(shown[3], "s Int16 false");
    let bare = self::schema(&json!("string")).columns("key").unwrap();
    assert_eq!(bare[0].name(), "key");
}

static EVERYTHING: LazyLock<AvroSchema> = LazyLock::new(|| {
    schema(&record(json!([
        {"name": "b", "type": "boolean"},
        {"name": "u", "type": ["null", "long", {"type": "array", "items": "string"}]},
        {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}},
        {"name": "f", "type": ["null", "float"]},
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "m", "type": {"type": "map", "values": "double"}},
        {"name": "x", "type": {"type": "fixed", "name": "X", "size": 3}},
        {"name": "next", "type": ["null", "a.R"]},
    ])))
});

proptest! {
    #[test]
    fn any_bytes_pass_or_fail_alike(payload in prop::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..60)) {
        let schema = &*EVERYTHING;
        if check(schema, &payload).is_ok() {
            // A payload that passes is a value, and survives its canonical form and JSON.
            let row = schema.decode(&payload).unwrap();
            let canonical = schema.canonical(&payload).unwrap();
            prop_assert_eq!(&schema.decode(&canonical).unwrap(), &row);
            let again = schema.encode(&row).unwrap();
            prop_assert_eq!(&schema.decode(&again).unwrap(), &row);
            prop_assert_eq!(schema.canonical(&canonical).unwrap(), canonical);
        }
    }

    #[test]
    fn rows_round_trip(id: i64, cents in -(10i64.pow(18))..10i64.pow(18), t: i64, day: i32, bytes: [u8; 3], n in 0usize..4) {
        use crate::row::{bytes_to_text, datetime, decimal};
        let schema = &*EVERYTHING;
        let mut row = json!(null);
        for _ in 0..n + 1 {
            row = json!({
                "b": id > 0, "u": {"long": id}, "d": decimal::to_text(cents.into(), 2), "f": null,
                "t": datetime::timestamp_to_text(t, arrow_schema::TimeUnit::Nanosecond, true),
                "day": datetime::date_to_text(day.into()), "m": {"k": id as f64},
                "x": bytes_to_text(&bytes), "next": row,
            });
        }
        let payload = schema.encode(&row).unwrap();
        prop_assert!(schema.check(&payload).is_ok());
        prop_assert_eq!(&schema.canonical(&payload).unwrap(), &payload);
        prop_assert_eq!(schema.decode(&payload).unwrap(), row);
    }
}
