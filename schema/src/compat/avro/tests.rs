use super::*;

fn parse(text: &str) -> AvroSchema {
    AvroSchema::parse(text, &[], true).unwrap_or_else(|reason| panic!("{text}: {reason}"))
}

/// What keeps `reader` from reading what `writer` wrote.
fn check(reader: &str, writer: &str, expected: &[&str]) {
    let found = differences(&parse(reader), &parse(writer));
    let kinds: Vec<&str> = found.iter().map(crate::compat::Difference::kind).collect();
    assert_eq!(kinds, expected, "{reader} reads {writer}");
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

#[test]
fn primitives_promote_as_in_java() {
    check("\"long\"", "\"int\"", &[]);
    check("\"float\"", "\"long\"", &[]);
    check("\"double\"", "\"float\"", &[]);
    check("\"string\"", "\"bytes\"", &[]);
    check("\"bytes\"", "\"string\"", &[]);
    check("\"int\"", "\"long\"", &["TYPE_MISMATCH"]);
    check("\"string\"", "\"int\"", &["TYPE_MISMATCH"]);
    check(
        r#"{"type":"array","items":"long"}"#,
        r#"{"type":"array","items":"int"}"#,
        &[],
    );
    check(
        r#"{"type":"array","items":"int"}"#,
        r#"{"type":"map","values":"int"}"#,
        &["TYPE_MISMATCH"],
    );
}

#[test]
fn unions_need_a_branch_for_all_that_was_written() {
    check(r#"["null","long"]"#, "\"int\"", &[]);
    check("\"long\"", r#"["int"]"#, &[]);
    check(r#"["null","string"]"#, r#"["string","null"]"#, &[]);
    check(
        r#"["null","string"]"#,
        r#"["null","int"]"#,
        &["MISSING_UNION_BRANCH"],
    );
    check("\"string\"", r#"["null","string"]"#, &["TYPE_MISMATCH"]);
}

#[test]
fn new_fields_need_defaults_and_old_names_may_be_aliases() {
    let x = r#"{"name":"x","type":"int"}"#;
    check(
        &record(&format!(r#"{x},{{"name":"y","type":"int","default":1}}"#)),
        &record(x),
        &[],
    );
    check(
        &record(&format!(r#"{x},{{"name":"y","type":"int"}}"#)),
        &record(x),
        &["READER_FIELD_MISSING_DEFAULT_VALUE"],
    );
    check(
        &record(r#"{"name":"z","aliases":["x"],"type":"int"}"#),
        &record(x),
        &[],
    );
    check(&record(""), &record(x), &[]);
}

#[test]
fn names_follow_java_unqualified_or_by_the_readers_alias() {
    let named = |name: &str, alias: &str| {
        format!(r#"{{"type":"record","name":"{name}","aliases":[{alias}],"fields":[]}}"#)
    };
    check(&named("a.R", ""), &named("b.R", ""), &[]);
    check(&named("a.New", ""), &named("a.Old", ""), &["NAME_MISMATCH"]);
    check(&named("a.New", "\"Old\""), &named("a.Old", ""), &[]);
    check(
        &named("a.New", "\"Old\""),
        &named("b.Old", ""),
        &["NAME_MISMATCH"],
    );
}

#[test]
fn enums_may_lose_symbols_only_with_a_default() {
    let symbols = |list: &str, extra: &str| {
        format!(r#"{{"type":"enum","name":"E","symbols":[{list}]{extra}}}"#)
    };
    check(&symbols(r#""A","B""#, ""), &symbols(r#""A""#, ""), &[]);
    check(
        &symbols(r#""A""#, ""),
        &symbols(r#""A","B""#, ""),
        &["MISSING_ENUM_SYMBOLS"],
    );
    check(
        &symbols(r#""A""#, r#","default":"A""#),
        &symbols(r#""A","B""#, ""),
        &[],
    );
    let fixed = |size| format!(r#"{{"type":"fixed","name":"F","size":{size}}}"#);
    check(&fixed(4), &fixed(8), &["FIXED_SIZE_MISMATCH"]);
}

#[test]
fn recursive_types_are_compared_once() {
    let list = |kind: &str| {
        record(&format!(
            r#"{{"name":"v","type":"{kind}"}},{{"name":"next","type":["null","R"]}}"#
        ))
    };
    check(&list("long"), &list("int"), &[]);
    check(&list("int"), &list("long"), &["TYPE_MISMATCH"]);
}

#[test]
fn messages_carry_the_path() {
    let reader = record(r#"{"name":"a","type":{"type":"map","values":"int"}}"#);
    let writer = record(r#"{"name":"a","type":{"type":"map","values":"string"}}"#);
    let found = differences(&parse(&reader), &parse(&writer));
    assert_eq!(
        found[0].message("new", "old"),
        "{errorType:'TYPE_MISMATCH', description:'the type at path '/fields/0/type/values' of the \
         new schema does not read that of the old schema', additionalInfo:'reader type: INT not \
         compatible with writer type: STRING'}"
    );
}

#[test]
fn the_canonical_text_is_javas() {
    let given = r#" { "namespace": "n", "type": "record", "doc": "d", "name": "R", "aliases": ["Old"],
        "x": {"b": 1, "a": 1e7},
        "fields": [
          {"default": 1.50, "type": "double", "name": "f", "order": "descending", "doc": "fd"},
          {"name": "e", "type": {"type": "enum", "name": "n.E", "symbols": ["A"], "default": "A"}},
          {"name": "e2", "type": ["null", "n.E", "R"], "default": null},
          {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4}},
          {"name": "o", "type": {"type": "fixed", "name": "other.F", "size": 2}}
        ] }"#;
    let expected = concat!(
        r#"{"type":"record","name":"R","namespace":"n","doc":"d","fields":["#,
        r#"{"name":"f","type":"double","doc":"fd","default":1.5,"order":"descending"},"#,
        r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["A"],"default":"A"}},"#,
        r#"{"name":"e2","type":["null","E","R"],"default":null},"#,
        r#"{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":4}},"#,
        r#"{"name":"o","type":{"type":"fixed","name":"F","namespace":"other","size":2}}"#,
        r#"],"x":{"b":1,"a":1.0E7},"aliases":["Old"]}"#
    );
    assert_eq!(parse(given).canonical(), expected);
    assert_eq!(parse(expected).canonical(), expected);
    assert_eq!(
        parse(&parse(given).normalized()).canonical(),
        parse(&parse(expected).normalized()).canonical()
    );
}

#[test]
fn ill_formed_schemas_are_refused_with_the_reason() {
    for (text, reason) in [
        ("{", "not JSON"),
        ("\"nope\"", "undefined type \"nope\""),
        (
            r#"{"type":"record","name":"R"}"#,
            "without an array of fields",
        ),
        (
            r#"{"type":"record","name":"1R","fields":[]}"#,
            "illegal name",
        ),
        (r#"["int","int"]"#, "duplicate in union: int"),
        (r#"[["int"]]"#, "union directly inside a union"),
        (
            r#"{"type":"enum","name":"E","symbols":["A","A"]}"#,
            "duplicate enum symbol A",
        ),
        (
            r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#,
            "none of its symbols",
        ),
        (r#"{"type":"fixed","name":"F"}"#, "without a size"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}"#,
            "invalid default for field a of R",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
            "duplicate field a",
        ),
        (
            r#"[{"type":"fixed","name":"F","size":1},{"type":"fixed","name":"F","size":1}]"#,
            "redefine F",
        ),
    ] {
        let found = AvroSchema::parse(text, &[], true).expect_err(text);
        assert!(found.contains(reason), "{text}: {found}");
    }
    let endless = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"R","default":{}}]}"#;
    assert!(AvroSchema::parse(endless, &[], true).is_err());
}
