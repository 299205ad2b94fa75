use super::*;

fn parse(text: &str) -> JsonSchema {
    JsonSchema::parse(text, &[]).expect("a JSON Schema")
}

fn check(original: &str, update: &str, expected: &[&str]) {
    let found = differences(&parse(update), &parse(original), false);
    let kinds: Vec<&str> = found.iter().map(crate::compat::Difference::kind).collect();
    assert_eq!(kinds, expected, "from {original} to {update}");
}

/// Compatible one way, with these differences on the way back.
fn check_both(original: &str, update: &str, back: &[&str]) {
    check(original, update, &[]);
    check(update, original, back);
}

#[test]
fn bounds_may_only_widen() {
    check_both(
        r#"{"type":"string","maxLength":5,"minLength":2,"pattern":"a"}"#,
        r#"{"type":"string","maxLength":6}"#,
        &["MAX_LENGTH_DECREASED", "MIN_LENGTH_ADDED", "PATTERN_ADDED"],
    );
    check_both(
        r#"{"type":"integer","minimum":1,"multipleOf":4}"#,
        r#"{"type":"number","minimum":0,"multipleOf":2}"#,
        &["MINIMUM_INCREASED", "MULTIPLE_OF_EXPANDED", "TYPE_NARROWED"],
    );
    check_both(
        r#"{"type":"array","items":{"type":"integer"},"maxItems":2,"uniqueItems":true}"#,
        r#"{"type":"array","items":{"type":"number"}}"#,
        &["TYPE_NARROWED", "MAX_ITEMS_ADDED", "UNIQUE_ITEMS_ADDED"],
    );
}

#[test]
fn properties_follow_the_content_model() {
    let open = r#"{"type":"object","properties":{"a":{"type":"string"}}}"#;
    let open_more =
        r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}}}"#;
    check_both(
        open_more,
        open,
        &["OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"],
    );
    let closed =
        r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#;
    let closed_more = r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},"additionalProperties":false}"#;
    check_both(
        closed,
        closed_more,
        &["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"],
    );
    let required = r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},"required":["b"],"additionalProperties":false}"#;
    check(
        closed,
        required,
        &["REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"],
    );
    check(closed_more, required, &["REQUIRED_ATTRIBUTE_ADDED"]);
    let partly = r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":{"type":"string"}}"#;
    let partly_more = r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}},"additionalProperties":{"type":"string"}}"#;
    check(
        partly,
        partly_more,
        &[
            "TYPE_CHANGED",
            "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
        ],
    );
    check(open, closed, &["ADDITIONAL_PROPERTIES_REMOVED"]);
    let lenient = differences(&parse(open_more), &parse(open), true);
    assert_eq!(lenient, []);
}

#[test]
fn patterns_cover_the_names_that_they_match() {
    let patterned = r#"{"type":"object","patternProperties":{"^s_":{"type":"string"}},"additionalProperties":false}"#;
    let listed = r#"{"type":"object","properties":{"s_a":{"type":"string"}},"patternProperties":{"^s_":{"type":"string"}},"additionalProperties":false}"#;
    check_both(patterned, listed, &[]);
}

#[test]
fn alternatives_may_be_added_not_removed() {
    let one = r#"{"type":"string"}"#;
    let two = r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#;
    let three = r#"{"oneOf":[{"type":"integer"},{"type":"null"},{"type":"string"}]}"#;
    check_both(one, two, &["TYPE_CHANGED"]);
    check_both(two, three, &["SUM_TYPE_NARROWED"]);
    check(one, r#"{"type":["string","null"]}"#, &[]);
    check(
        two,
        r#"{"allOf":[{"type":"string"}]}"#,
        &["COMBINED_TYPE_CHANGED"],
    );
    check_both(
        r#"{"type":"string","enum":["a"]}"#,
        r#"{"type":"string","enum":["a","b"]}"#,
        &["COMBINED_TYPE_SUBSCHEMAS_CHANGED"],
    );
    check(
        r#"{"not":{"type":"string"}}"#,
        r#"{"not":{"type":"null"}}"#,
        &["NOT_TYPE_EXTENDED"],
    );
}

#[test]
fn references_are_followed_and_may_be_recursive() {
    let tree = |kind: &str| {
        format!(
            r##"{{"$ref":"#/definitions/node","definitions":{{"node":{{"type":"object","properties":{{"value":{{"type":"{kind}"}},"next":{{"$ref":"#/definitions/node"}}}},"additionalProperties":false}}}}}}"##
        )
    };
    check_both(&tree("integer"), &tree("number"), &["TYPE_NARROWED"]);
    let reference = ResolvedReference {
        name: "other.json".to_owned(),
        schema_type: SchemaType::Json,
        text: r#"{"$id":"http://x/other.json","type":"string"}"#.to_owned(),
    };
    let outer = r#"{"type":"object","properties":{"a":{"$ref":"other.json"}}}"#;
    assert!(JsonSchema::parse(outer, std::slice::from_ref(&reference)).is_ok());
    let fault = JsonSchema::parse(outer, &[]).expect_err("nothing answers to it");
    assert!(fault.contains("unresolved $ref \"other.json\""), "{fault}");
    let circle = r##"{"$ref":"#/definitions/a","definitions":{"a":{"$ref":"#/definitions/a"}}}"##;
    assert!(JsonSchema::parse(circle, &[]).is_err());
}

#[test]
fn ill_formed_schemas_are_refused() {
    for text in [r#"{"type":"text"}"#, r#"{"minLength":-1}"#, "[]", "7", "{"] {
        assert!(JsonSchema::parse(text, &[]).is_err(), "{text}");
    }
    let draft4 = r#"{"$schema":"http://json-schema.org/draft-04/schema#","type":"number","minimum":1,"exclusiveMinimum":true}"#;
    assert!(JsonSchema::parse(draft4, &[]).is_ok());
}

#[test]
fn the_canonical_text_keeps_order_and_the_normal_one_does_not() {
    let text = r#"{ "type" : "object", "properties": {"b": {}, "a": true} }"#;
    assert_eq!(
        parse(text).canonical(),
        r#"{"type":"object","properties":{"b":{},"a":true}}"#
    );
    assert_eq!(
        parse(text).normalized(),
        r#"{"properties":{"a":true,"b":{}},"type":"object"}"#
    );
}

/// A chain of definitions far longer than a stack of calls may be.
#[test]
fn a_long_chain_of_references_is_compared_within_bounds() {
    let chain = |kind: &str| {
        let mut definitions = vec![format!(r#""d0":{{"type":"{kind}"}}"#)];
        definitions.extend((1..3_000).map(|n| {
            let inner = n - 1;
            format!(r##""d{n}":{{"type":"array","items":{{"$ref":"#/definitions/d{inner}"}}}}"##)
        }));
        format!(
            r##"{{"$ref":"#/definitions/d2999","definitions":{{{}}}}}"##,
            definitions.join(",")
        )
    };
    check(&chain("string"), &chain("integer"), &["TOO_COMPLEX"]);
}

/// Names are matched with patterns that are compiled once, and only so many of them.
#[test]
fn many_patterns_are_compared_within_bounds() {
    let patterns = |count: usize| {
        let patterns: Vec<String> = (0..count)
            .map(|n| format!(r#""^p{n}_(x{{50}}){{50}}$":{{"type":"string"}}"#))
            .collect();
        format!(
            r#"{{"type":"object","patternProperties":{{{}}},"additionalProperties":false"#,
            patterns.join(",")
        )
    };
    let names: Vec<String> = (0..2_000)
        .map(|n| format!(r#""name{n}":{{"type":"string"}}"#))
        .collect();
    let named = format!(r#","properties":{{{}}}}}"#, names.join(","));
    let few = patterns(3);
    check(&(few.clone() + "}"), &(few + &named), &[]);
    let many = patterns(300);
    check(&(many.clone() + "}"), &(many + &named), &["TOO_COMPLEX"]);
}
