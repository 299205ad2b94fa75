use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn schema(schema: &Value) -> JsonSchema {
    parse(&schema.to_string(), &[]).unwrap_or_else(|e| panic!("{schema}: {e}"))
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

fn check_error(schema: &JsonSchema, document: &str) -> String {
    schema
        .check(document.as_bytes())
        .expect_err("the document was taken")
        .to_string()
}

fn decode(schema: &JsonSchema, document: Value) -> Value {
    schema.decode(document.to_string().as_bytes()).unwrap()
}

#[test]
fn a_document_that_does_not_fit_names_the_place() {
    let lines =
        json!({"type": "array", "items": object(json!({"price": {"type": "number"}}), &["price"])});
    let schema = schema(&object(
        json!({"id": {"type": "integer"}, "lines": lines}),
        &["id"],
    ));
    schema
        .check(br#"{"id": 1, "lines": [{"price": 1.5}]}"#)
        .unwrap();
    assert_eq!(
        check_error(&schema, r#"{"id": 1, "lines": [{"price": "x"}]}"#),
        "field lines[0].price: the value is not of type \"number\""
    );
    assert_eq!(check_error(&schema, "{}"), "\"id\" is a required property");
    assert!(
        check_error(&schema, "{} {}").starts_with("the payload is not a JSON document: trailing")
    );
    assert!(check_error(&schema, &"[".repeat(1 << 20)).contains("recursion limit"));
}

#[test]
fn a_schema_that_is_not_valid_is_refused() {
    let error = |text: &str| parse(text, &[]).err().unwrap().to_string();
    assert!(error("{").starts_with("the schema is not JSON"));
    assert_eq!(
        error(r#"{"type": "strin"}"#).split(':').next(),
        Some("type")
    );
    for target in ["other.json", "http://127.0.0.1/x.json"] {
        let text = json!({"$ref": target}).to_string();
        assert!(
            error(&text).contains(&format!("{target} is not among the references")),
            "{}",
            error(&text)
        );
    }
}

#[test]
fn references_are_found_by_name() {
    let outer = object(
        json!({"a": {"$ref": "inner.json"}, "b": {"$ref": "inner.json#/definitions/n"}}),
        &["a"],
    );
    let inner = json!({"type": "string", "definitions": {"n": {"type": "integer"}}}).to_string();
    for id in [None, Some("https://acme.com/outer.json")] {
        let mut outer = outer.clone();
        outer["$id"] = json!(id);
        if id.is_none() {
            outer.as_object_mut().unwrap().remove("$id");
        }
        let schema = parse(&outer.to_string(), &[("inner.json", &inner)]).unwrap();
        schema.check(br#"{"a": "x", "b": 1}"#).unwrap();
        assert!(schema.check(br#"{"a": 1}"#).is_err());
        let columns = schema.columns("value").unwrap();
        let shown: Vec<_> = columns
            .iter()
            .map(|c| format!("{} {} {}", c.name(), c.data_type(), c.is_nullable()))
            .collect();
        assert_eq!(shown, ["a Utf8 false", "b Int64 true"]);
    }
}

#[test]
fn a_document_reads_as_a_row() {
    let schema = schema(&object(
        json!({
            "id": {"type": "integer"},
            "at": {"type": "string", "format": "date-time"},
            "n": {"type": "integer", "default": 7},
            "m": {"type": "object", "additionalProperties": {"type": "number"}},
            "d": {"type": "number", "title": "org.apache.kafka.connect.data.Decimal", "connect.parameters": {"scale": "2"}},
            "maybe": {"oneOf": [{"type": "null"}, {"type": "string"}]},
        }),
        &["id", "maybe"],
    ));
    let row = decode(
        &schema,
        json!({"maybe": null, "at": "2013-01-01T01:00:00.123456789+01:00", "id": 1.0, "m": {"k": 1}, "d": 12.5, "extra": 1}),
    );
    let expected = json!({"id": 1, "at": "2013-01-01T00:00:00.123456Z", "n": 7, "m": {"k": 1.0}, "d": "12.50", "maybe": null});
    assert_eq!(row, expected);
    let document: Value = serde_json::from_slice(&schema.encode(&row).unwrap()).unwrap();
    let expected = json!({"id": 1, "at": "2013-01-01T00:00:00.123456Z", "n": 7, "m": {"k": 1.0}, "d": 12.5, "maybe": null});
    assert_eq!(document, expected);
    let error = |row: Value| schema.encode(&row).unwrap_err().to_string();
    assert_eq!(
        error(json!({"maybe": null})),
        "field id: is missing and has no default"
    );
    assert_eq!(
        error(json!({"id": 1, "maybe": null, "x": 1})),
        "field x: the schema has no such property"
    );
    assert_eq!(
        error(json!({"id": "x", "maybe": null})),
        "field id: \"x\" is not a 64-bit integer"
    );
}

#[test]
fn a_value_that_no_column_holds_is_refused_as_a_row() {
    let schema = schema(&object(json!({"id": {"type": "integer"}}), &["id"]));
    assert!(
        schema
            .decode(br#"{"id": 18446744073709551615}"#)
            .unwrap_err()
            .reason
            .contains("64-bit")
    );
}

#[test]
fn columns_name_what_has_no_mapping() {
    let error = |properties: Value| {
        schema(&object(properties, &[]))
            .columns("value")
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(json!({"a": {}})),
        "a: a schema without a type has no column type"
    );
    assert_eq!(
        error(json!({"a": true})),
        "a: a schema that takes anything has no column type"
    );
    assert_eq!(
        error(json!({"a": {"type": ["string", "integer"]}})),
        "a: several types (string, integer) have no column type"
    );
    assert!(error(json!({"a": {"type": "array"}})).starts_with("a: an array needs"));
    assert!(error(json!({"a": {"$ref": "#"}})).contains("contains itself"));
}

#[test]
fn all_of_is_one_object() {
    let schema = schema(&json!({
        "definitions": {"base": object(json!({"id": {"type": "integer"}}), &["id"])},
        "allOf": [{"$ref": "#/definitions/base"}, object(json!({"name": {"type": "string"}}), &[])],
    }));
    assert_eq!(
        decode(&schema, json!({"name": "x", "id": 1})),
        json!({"id": 1, "name": "x"})
    );
}

#[test]
fn a_schema_that_contains_itself_still_checks() {
    let schema = schema(&object(
        json!({"next": {"$ref": "#"}, "n": {"type": "integer"}}),
        &[],
    ));
    schema.check(br#"{"next": {"next": {"n": 1}}}"#).unwrap();
    assert!(schema.check(br#"{"next": {"next": {"n": "x"}}}"#).is_err());
    assert_eq!(
        decode(&schema, json!({"next": {"n": 1}})),
        json!({"next": {"n": 1}})
    );
}

#[test]
fn a_schema_that_is_only_itself_does_not_overflow() {
    for text in [
        r##"{"$ref": "#"}"##,
        r##"{"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}"##,
        r##"{"allOf": [{"$ref": "#"}]}"##,
    ] {
        if let Ok(schema) = parse(text, &[]) {
            let _ = schema.check(b"1");
            let _ = schema.columns("value");
        }
    }
}

/// Definitions `d0` to `d{levels}`, each of which names the next twice.
fn doubling(levels: usize, keyword: &str, child: bool) -> Value {
    let mut definitions = serde_json::Map::new();
    for level in 0..levels {
        let next = json!({"$ref": format!("#/definitions/d{}", level + 1)});
        let two = json!({keyword: [next, next]});
        definitions.insert(
            format!("d{level}"),
            if child { json!({"items": two}) } else { two },
        );
    }
    definitions.insert(format!("d{levels}"), json!({"type": "integer"}));
    json!({"definitions": definitions, "allOf": [{"$ref": "#/definitions/d0"}]})
}

#[test]
fn a_schema_that_doubles_at_every_level_is_refused() {
    for (keyword, child) in [
        ("allOf", false),
        ("anyOf", true),
        ("oneOf", false),
        ("allOf", true),
    ] {
        let error = parse(&doubling(60, keyword, child).to_string(), &[])
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("too many times"), "{error}");
        schema(&doubling(8, keyword, child));
    }
}

#[test]
fn alternatives_that_lead_back_to_themselves_take_no_time() {
    let branch = |kind: &str| json!({"type": "array", "items": {"$ref": "#"}, "title": kind});
    let schema = schema(&json!({"anyOf": [branch("a"), branch("b"), branch("c")]}));
    let document = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    assert_eq!(
        check_error(&schema, &document),
        "the value does not fit the schema"
    );
}

#[test]
fn a_key_has_one_form_of_each_style() {
    let schema = schema(&object(
        json!({"b": {"type": "integer"}, "a": {"type": "string"}}),
        &["b"],
    ));
    let canonical = |document: &str, style| {
        String::from_utf8(schema.canonical(document.as_bytes(), style).unwrap()).unwrap()
    };
    for document in [
        r#"{"a":"é","b":1}"#,
        r#"{ "b" : 1.0, "a": "\u00e9", "x": 2 }"#,
    ] {
        assert_eq!(
            canonical(document, JsonStyle::Compact),
            r#"{"b":1,"a":"é"}"#
        );
        assert_eq!(
            canonical(document, JsonStyle::Spaced),
            r#"{"b": 1, "a": "\u00e9"}"#
        );
    }
    assert_eq!(
        canonical(r#"{"b":1,"a":"😀\u007f\n"}"#, JsonStyle::Spaced),
        r#"{"b": 1, "a": "\ud83d\ude00\u007f\n"}"#
    );
    assert_eq!(canonical(r#"{"b":1}"#, JsonStyle::Spaced), r#"{"b": 1}"#);
}

#[test]
fn a_key_whose_schema_demands_what_is_no_column_has_no_canonical_form() {
    let schema = schema(&object(json!({"k": {"type": "string"}}), &["k", "n"]));
    let key = br#"{"k":"x","n":5}"#;
    schema.check(key).unwrap();
    let refused = schema.canonical(key, JsonStyle::Compact).unwrap_err();
    assert_eq!(
        refused.reason,
        r#"with its columns alone: "n" is a required property"#
    );
}

#[test]
fn an_old_document_reads_in_the_latest_schema() {
    let old = schema(&object(
        json!({"gone": {"type": "string"}, "n": {"type": "integer"}}),
        &["gone"],
    ));
    let new = schema(&object(
        json!({"n": {"type": "number"}, "added": {"type": "string", "default": "d"}}),
        &["added"],
    ));
    let row = new.decode_later(&old, br#"{"gone": "x", "n": 1}"#).unwrap();
    assert_eq!(row, json!({"n": 1.0, "added": "d"}));
}

static ONE_INTEGER: LazyLock<JsonSchema> =
    LazyLock::new(|| schema(&object(json!({"a": {"type": "integer"}}), &[])));

static FOUR_TYPES: LazyLock<JsonSchema> = LazyLock::new(|| {
    schema(&object(
        json!({"id": {"type": "integer"}, "t": {"type": "string"}, "x": {"type": "number"},
               "l": {"type": "array", "items": {"type": "integer"}}}),
        &["id"],
    ))
});

proptest! {
    #[test]
    fn any_text_passes_or_fails(text in "[\\[\\]{}\":,0-9a-z ]{0,40}") {
        if ONE_INTEGER.check(text.as_bytes()).is_err() {
            prop_assert!(ONE_INTEGER.decode(text.as_bytes()).is_err());
        }
    }

    #[test]
    fn rows_round_trip(id: i64, text: String, days: i32, x in prop::num::f64::NORMAL) {
        let row = json!({"id": id, "t": text, "x": x, "l": [days]});
        let payload = FOUR_TYPES.encode(&row).unwrap();
        prop_assert_eq!(&FOUR_TYPES.decode(&payload).unwrap(), &row);
        prop_assert_eq!(FOUR_TYPES.canonical(&payload, JsonStyle::Compact).unwrap(), payload);
    }
}

#[test]
fn patterns_that_take_much_memory_are_refused() {
    let schema = |count: usize, pattern: &str| {
        let patterns = (0..count).map(|n| (format!("^p{n}{pattern}$"), json!({})));
        let patterns: serde_json::Map<_, _> = patterns.collect();
        json!({ "patternProperties": patterns }).to_string()
    };
    let error = |text: &str| parse(text, &[]).err().map(|error| error.to_string());
    assert_eq!(error(&schema(1_000, "x{1,5}")), None);
    let many = error(&schema(1_001, "x"));
    assert!(many.unwrap().contains("1001 patterns"));
    assert_eq!(error(&schema(1, "(x{100}){100}")), None);
    assert!(error(&schema(300, "(x{100}){100}")).is_some());
}
