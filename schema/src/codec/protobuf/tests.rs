use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn schema(text: &str) -> ProtoSchema {
    parse(text, &[]).unwrap_or_else(|e| panic!("{e}"))
}

fn proto3(body: &str) -> ProtoSchema {
    schema(&format!("syntax = \"proto3\"; package a; {body}"))
}

/// The outcome of checking the first message; reading it must agree.
fn check(schema: &ProtoSchema, bytes: &[u8]) -> Result<(), String> {
    let checked = schema.check(0, bytes);
    assert_eq!(
        checked.is_ok(),
        schema.decode(0, bytes).is_ok(),
        "{bytes:?}"
    );
    assert_eq!(
        checked.is_ok(),
        schema.canonical(0, bytes).is_ok(),
        "{bytes:?}"
    );
    checked.map_err(|e| e.to_string())
}

fn check_error(schema: &ProtoSchema, bytes: &[u8]) -> String {
    check(schema, bytes).expect_err("the payload was taken")
}

#[test]
fn indexes_count_the_messages_as_written() {
    let schema =
        proto3("message A { map<string, int32> m = 1; message B { message C {} } } message D {}");
    let name = |indexes: &[usize]| {
        schema
            .message(indexes.iter().copied())
            .map(|id| schema.name(id))
    };
    assert_eq!(name(&[0]), Some("a.A"));
    assert_eq!(name(&[0, 0]), Some("a.A.B"));
    assert_eq!(name(&[0, 0, 0]), Some("a.A.B.C"));
    assert_eq!(name(&[1]), Some("a.D"));
    assert_eq!(name(&[2]), None);
    assert_eq!(name(&[0, 1]), None);
}

#[test]
fn schemas_that_are_not_valid_say_why() {
    let error = |text: &str| parse(text, &[]).err().unwrap().to_string();
    assert!(error("syntax = \"proto3\"; message A { int33 x = 1; }").contains("int33"));
    assert!(error("nonsense").starts_with("the schema: "));
    assert!(error("syntax = \"proto3\"; import \"other.proto\";").contains("other.proto"));
    let _ = error(&format!(
        "syntax = \"proto3\"; {} ",
        "message A { ".repeat(10_000)
    ));
}

#[test]
fn imports_are_references_or_well_known() {
    let text = "syntax = \"proto3\"; import \"b.proto\"; import \"confluent/meta.proto\"; \
                import \"google/type/date.proto\"; import \"google/protobuf/timestamp.proto\"; \
                message A { b.B b = 1; google.type.Date day = 2; string s = 3 [(confluent.field_meta).doc = \"x\"]; }";
    let schema = parse(
        text,
        &[(
            "b.proto",
            "syntax = \"proto3\"; package b; message B { int32 x = 1; }",
        )],
    )
    .unwrap();
    let row = json!({"b": {"x": 1}, "day": "2013-01-01", "s": ""});
    assert_eq!(
        schema.decode(0, &schema.encode(0, &row).unwrap()).unwrap(),
        row
    );
}

#[test]
fn a_descriptor_in_base64_is_a_schema() {
    use prost::Message as _;
    let field = prost_types::FieldDescriptorProto {
        name: Some("x".into()),
        number: Some(1),
        r#type: Some(5),
        label: Some(1),
        json_name: Some("x".into()),
        ..Default::default()
    };
    let message = prost_types::DescriptorProto {
        name: Some("A".into()),
        field: vec![field],
        ..Default::default()
    };
    let file = prost_types::FileDescriptorProto {
        name: Some("any.proto".into()),
        syntax: Some("proto3".into()),
        message_type: vec![message],
        ..Default::default()
    };
    let schema = schema(&crate::row::bytes_to_text(&file.encode_to_vec()));
    assert_eq!(schema.decode(0, &[8, 5]).unwrap(), json!({"x": 5}));
}

#[test]
fn a_payload_that_does_not_fit_names_the_field() {
    let schema =
        proto3("message A { int32 id = 1; repeated B lines = 2; } message B { string name = 1; }");
    check(&schema, &[8, 1, 18, 3, 10, 1, b'x']).unwrap();
    check(&schema, &[]).unwrap();
    assert_eq!(
        check_error(&schema, &[18, 3, 10, 1, 0xff]),
        "field lines.name: the string is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0"
    );
    assert_eq!(
        check_error(&schema, &[10, 0]),
        "field id: field number 1 has wire type 2, not 0"
    );
    assert_eq!(
        check_error(&schema, &[18, 200]),
        "the payload ends inside a number"
    );
    assert_eq!(
        check_error(&schema, &[18, 100, 1]),
        "the payload ends early: 100 bytes wanted, 1 left"
    );
    assert_eq!(
        check_error(&schema, &[0, 1]),
        "the tag 0 has no valid field number"
    );
    assert_eq!(
        check_error(&schema, &[15]),
        "wire type 7 of field number 1 does not exist"
    );
    assert_eq!(
        check_error(&schema, &[12]),
        "a group ends with number 1 and did not start"
    );
}

#[test]
fn unknown_fields_pass_and_are_not_in_the_row() {
    let schema = proto3("message A { int32 id = 1; }");
    let bytes = [0x98, 6, 1, 0x9b, 6, 8, 1, 0x9c, 6, 8, 5];
    check(&schema, &bytes).unwrap();
    assert_eq!(schema.decode(0, &bytes).unwrap(), json!({"id": 5}));
    assert_eq!(schema.canonical(0, &bytes).unwrap(), [8, 5]);
    assert!(check_error(&schema, &[0x9b, 6, 0x94, 6]).contains("ends as group"));
}

#[test]
fn the_last_value_counts_and_messages_merge() {
    let schema = proto3(
        "message A { int32 id = 1; B b = 2; oneof o { int32 x = 3; B y = 4; } } message B { int32 p = 1; int32 q = 2; }",
    );
    let bytes = [8, 1, 18, 2, 8, 1, 8, 2, 18, 2, 16, 7, 24, 9, 34, 0];
    let row = json!({"id": 2, "b": {"p": 1, "q": 7}, "x": null, "y": {"p": 0, "q": 0}});
    assert_eq!(schema.decode(0, &bytes).unwrap(), row);
    assert_eq!(
        schema.canonical(0, &bytes).unwrap(),
        [8, 2, 18, 4, 8, 1, 16, 7, 34, 0]
    );
    assert_eq!(
        schema.encode(0, &row).unwrap(),
        [8, 2, 18, 4, 8, 1, 16, 7, 34, 0]
    );
}

#[test]
fn values_that_do_not_count_are_checked_too() {
    let schema = proto3(
        "message A { string s = 1; oneof o { string x = 2; B b = 3; } map<string, string> m = 4; } message B { string t = 1; }",
    );
    let bad = [0xff];
    for bytes in [
        [&[10, 1][..], &bad, &[10, 1, b'x']].concat(),
        [&[18, 1][..], &bad, &[26, 0]].concat(),
        [&[26, 3, 10, 1][..], &bad, &[18, 0]].concat(),
        [&[34, 6, 10, 1][..], &bad, &[10, 1, b'x']].concat(),
    ] {
        assert!(check_error(&schema, &bytes).contains("not UTF-8"));
    }
}

#[test]
fn packed_and_not_packed_are_the_same() {
    let schema = proto3("message A { repeated int32 n = 1; }");
    for bytes in [
        &[10, 3, 1, 2, 3][..],
        &[8, 1, 8, 2, 8, 3],
        &[8, 1, 10, 2, 2, 3],
    ] {
        assert_eq!(schema.decode(0, bytes).unwrap(), json!({"n": [1, 2, 3]}));
        assert_eq!(schema.canonical(0, bytes).unwrap(), [10, 3, 1, 2, 3]);
    }
    assert!(check(&schema, &[10, 1, 0x80]).is_err());
}

#[test]
fn proto2_knows_required_groups_and_closed_enums() {
    let schema = schema(
        "syntax = \"proto2\"; message A { required int32 id = 1; optional group G = 2 { optional string s = 1; } \
         optional E e = 3; repeated int32 n = 4; } enum E { X = 1; }",
    );
    assert_eq!(
        check_error(&schema, &[]),
        "field id: is required and missing"
    );
    let bytes = [8, 1, 19, 10, 1, b'x', 20, 24, 1, 32, 7, 32, 8];
    check(&schema, &bytes).unwrap();
    let row = json!({"id": 1, "g": {"s": "x"}, "e": "X", "n": [7, 8]});
    assert_eq!(schema.decode(0, &bytes).unwrap(), row);
    assert_eq!(schema.encode(0, &row).unwrap(), bytes);
    assert_eq!(schema.canonical(0, &bytes).unwrap(), bytes);
    assert_eq!(schema.decode(0, &[8, 1, 24, 9]).unwrap()["e"], "9");
}

#[test]
fn a_key_has_one_form() {
    let schema =
        proto3("message A { int32 id = 1; optional string s = 2; bool b = 3; sint32 z = 4; }");
    let canonical = |bytes: &[u8]| schema.canonical(0, bytes).unwrap();
    assert_eq!(canonical(&[24, 2, 18, 0, 8, 0x81, 0]), [8, 1, 18, 0, 24, 1]);
    assert_eq!(canonical(&[8, 0, 24, 0, 32, 0]), [0u8; 0]);
    // A negative int32 takes ten bytes, however it was sent.
    assert_eq!(
        canonical(&[8, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]
    );
    let schema = proto3("message A { double d = 1; float f = 2; }");
    let canonical = |bytes: &[u8]| schema.canonical(0, bytes).unwrap();
    assert_eq!(
        canonical(&[9, 1, 0, 0, 0, 0, 0, 0xf8, 0xff, 21, 1, 0, 0x80, 0x7f]),
        [9, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 21, 0, 0, 0xc0, 0x7f]
    );
}

#[test]
fn json_names_what_is_wrong() {
    let schema = proto3(
        "message A { int32 id = 1; oneof o { int32 x = 2; int32 y = 3; } uint64 u = 4; E e = 5; repeated int32 n = 6; map<int32, string> m = 7; } enum E { Z = 0; }",
    );
    let error = |row: Value| schema.encode(0, &row).unwrap_err().to_string();
    assert_eq!(error(json!({"idd": 1})), "field idd: a.A has no such field");
    assert_eq!(
        error(json!({"id": "x"})),
        "field id: \"x\" is not an integer from -2147483648 to 2147483647"
    );
    assert_eq!(
        error(json!({"x": 1, "y": 1})),
        "field y: x is set, and only one of them can be"
    );
    assert_eq!(
        error(json!({"u": "-1"})),
        "field u: \"-1\" is not from 0 to 2^64 - 1"
    );
    assert_eq!(error(json!({"e": "Y"})), "field e: \"Y\" is not one of Z");
    assert_eq!(
        error(json!({"n": [1, null]})),
        "field n[1]: null is not an integer from -2147483648 to 2147483647"
    );
    assert_eq!(
        error(json!({"m": {"1": "x"}})),
        "field m: {\"1\":\"x\"} is not an array of pairs [key, value]"
    );
    assert_eq!(error(json!([])), "[] is not an object (a.A)");
}

#[test]
fn dates_and_times_out_of_range_are_refused() {
    let schema = schema(
        "syntax = \"proto3\"; import \"google/type/date.proto\"; import \"google/type/timeofday.proto\"; \
         import \"google/protobuf/timestamp.proto\"; \
         message A { google.type.Date d = 1; google.type.TimeOfDay t = 2; google.protobuf.Timestamp s = 3; }",
    );
    let row =
        json!({"d": "0001-02-03", "t": "23:59:59.000000001", "s": "1969-12-31T23:59:59.999999Z"});
    let bytes = schema.encode(0, &row).unwrap();
    check(&schema, &bytes).unwrap();
    assert_eq!(schema.decode(0, &bytes).unwrap(), row);
    assert_eq!(
        check_error(&schema, &[10, 6, 8, 1, 16, 2, 24, 30]),
        "field d: 0001-02-30 is not a date"
    );
    assert_eq!(
        check_error(&schema, &[18, 2, 8, 24]),
        "field t: the time of day is out of range"
    );
    assert!(
        check(
            &schema,
            &[26, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255, 127, 0]
        )
        .is_err()
    );
}

#[test]
fn recursion_and_bombs_end() {
    let nested = proto3("message A { A a = 1; }");
    let mut bytes = Vec::new();
    for _ in 0..300 {
        let mut outer = vec![10];
        wire::write_varint(bytes.len() as u64, &mut outer);
        outer.append(&mut bytes);
        bytes = outer;
    }
    assert!(check_error(&nested, &bytes).contains("deeper than 100 levels"));
    assert!(check_error(&nested, &[0x9b, 6].repeat(5000)).contains("deeper than 100 levels"));
    assert!(
        nested
            .columns(0, "value")
            .unwrap_err()
            .reason
            .contains("contains itself")
    );
    let fields: String = (1..1000).map(|n| format!("int32 f{n} = {n};")).collect();
    let wide = proto3(&format!(
        "message A {{ repeated B b = 1; }} message B {{ {fields} }}"
    ));
    assert_eq!(
        check_error(&wide, &[10, 0].repeat(20_000)),
        "field b: holds too many values"
    );
}

#[test]
fn columns_have_their_types() {
    let schema = schema(
        "syntax = \"proto3\"; import \"google/protobuf/wrappers.proto\"; \
         message A { uint64 u = 1; optional int32 o = 2; google.protobuf.Int64Value w = 3; B b = 4; \
         repeated string s = 5; map<int32, bool> m = 6; uint32 v = 7; } message B { bytes x = 1; } message C {}",
    );
    let columns = schema.columns(0, "value").unwrap();
    let shown: Vec<_> = columns
        .iter()
        .map(|c| format!("{} {} {}", c.name(), c.data_type(), c.is_nullable()))
        .collect();
    assert_eq!(
        shown[..3],
        ["u Decimal128(20, 0) false", "o Int32 true", "w Int64 true"]
    );
    assert!(
        shown[3].starts_with("b Struct(") && shown[3].ends_with("true"),
        "{}",
        shown[3]
    );
    assert!(shown[4].starts_with("s List(") && shown[5].starts_with("m Map("));
    assert_eq!(shown[6], "v Int64 false");
    let empty = schema.message([2].into_iter()).unwrap();
    assert_eq!(
        schema.columns(empty, "value").unwrap_err().to_string(),
        "the schema: C has no fields"
    );
}

static EVERYTHING: LazyLock<ProtoSchema> = LazyLock::new(|| {
    proto3(
        "message A { int32 i = 1; string s = 2; repeated sint64 n = 3; A next = 4; map<string, double> m = 5; \
         oneof o { bool b = 6; bytes y = 7; } optional fixed32 f = 8; map<int64, E> k = 9; } enum E { Z = 0; O = 1; }",
    )
});

proptest! {
    #[test]
    fn any_bytes_pass_or_fail_alike(bytes in prop::collection::vec(prop_oneof![0u8..12, 16u8..80, any::<u8>()], 0..40)) {
        let schema = &*EVERYTHING;
        if check(schema, &bytes).is_ok() {
            let row = schema.decode(0, &bytes).unwrap();
            let again = schema.encode(0, &row).unwrap();
            prop_assert_eq!(&schema.decode(0, &again).unwrap(), &row);
            let canonical = schema.canonical(0, &bytes).unwrap();
            prop_assert_eq!(schema.canonical(0, &canonical).unwrap(), canonical);
        }
    }

    #[test]
    fn rows_round_trip(i: i32, s: String, n: Vec<i64>, k: i64, f: Option<u32>, depth in 0usize..4) {
        let schema = &*EVERYTHING;
        let mut row = Value::Null;
        for _ in 0..=depth {
            row = json!({"i": i, "s": s, "n": n, "next": row, "m": {"x": 0.5, "": f64::from(i)},
                         "b": null, "y": "AP8=", "f": f, "k": [[k, "O"], [k ^ 1, "7"]]});
        }
        let bytes = schema.encode(0, &row).unwrap();
        prop_assert!(schema.check(0, &bytes).is_ok());
        prop_assert_eq!(schema.decode(0, &bytes).unwrap(), row);
    }
}
