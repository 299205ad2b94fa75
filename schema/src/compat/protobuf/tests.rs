use super::*;

fn parse(text: &str) -> ProtobufSchema {
    ProtobufSchema::parse(text, &[]).expect("a file")
}

/// Compares two bodies of one message.
fn check(original: &str, update: &str, expected: &[&str]) {
    let file = |body: &str| {
        parse(&format!(
            "syntax = \"proto3\"; package p; enum E {{ Z = 0; }} message N {{}} message O {{}}
             message M {{ {body} }}"
        ))
    };
    check_files(&file(original), &file(update), expected);
}

fn check_files(original: &ProtobufSchema, update: &ProtobufSchema, expected: &[&str]) {
    let found = differences(update, original);
    let kinds: Vec<&str> = found.iter().map(crate::compat::Difference::kind).collect();
    assert_eq!(kinds, expected, "from {} to {}", original.text, update.text);
}

#[test]
fn fields_may_come_and_go_and_change_within_their_encoding() {
    check("int32 a = 1;", "int32 a = 1; string b = 2;", &[]);
    check("int32 a = 1; string b = 2;", "int32 a = 1;", &[]);
    check("int32 a = 1;", "bool other = 1;", &[]);
    check("int32 a = 1;", "E a = 1;", &[]);
    check("string a = 1;", "bytes a = 1;", &[]);
    check(
        "int32 a = 1;",
        "sint32 a = 1;",
        &["FIELD_SCALAR_KIND_CHANGED"],
    );
    check("int32 a = 1;", "N a = 1;", &["FIELD_KIND_CHANGED"]);
    check("N a = 1;", "O a = 1;", &["FIELD_NAMED_TYPE_CHANGED"]);
    check(
        "map<string, int32> a = 1;",
        "map<string, int64> a = 1;",
        &[],
    );
    check(
        "map<string, int32> a = 1;",
        "map<string, N> a = 1;",
        &["FIELD_KIND_CHANGED"],
    );
    check(
        "optional int32 a = 1;",
        "repeated int32 a = 1;",
        &["FIELD_NUMERIC_LABEL_CHANGED"],
    );
}

#[test]
fn oneofs_may_not_swallow_fields() {
    check(
        "oneof o { int32 a = 1; }",
        "oneof o { int32 a = 1; int32 b = 2; }",
        &[],
    );
    check(
        "oneof o { int32 a = 1; int32 b = 2; }",
        "oneof o { int32 a = 1; }",
        &["ONEOF_FIELD_REMOVED"],
    );
    check("oneof o { int32 a = 1; }", "int32 a = 1;", &[]);
    check("int32 a = 1;", "oneof o { int32 a = 1; int32 c = 3; }", &[]);
    check(
        "int32 a = 1; int32 b = 2;",
        "oneof o { int32 a = 1; int32 b = 2; }",
        &["MULTIPLE_FIELDS_MOVED_TO_ONEOF"],
    );
    check(
        "oneof o { int32 a = 1; } int32 b = 2;",
        "oneof o { int32 a = 1; int32 b = 2; }",
        &["FIELD_MOVED_TO_EXISTING_ONEOF"],
    );
    check("oneof o { int32 a = 1; }", "", &[]);
}

#[test]
fn messages_may_be_added_not_removed_and_packages_stay() {
    let one = parse("syntax = \"proto3\"; package p; message A { message B {} }");
    let more = parse("syntax = \"proto3\"; package p; message A { message B {} } message C {}");
    check_files(&one, &more, &[]);
    check_files(&more, &one, &["MESSAGE_REMOVED"]);
    let moved = parse("syntax = \"proto3\"; package q; message A { message B {} }");
    check_files(&one, &moved, &["PACKAGE_CHANGED"]);
    let required = parse("package p; message A { required int32 x = 1; message B {} }");
    let optional = parse("package p; message A { message B {} }");
    check_files(&optional, &required, &["REQUIRED_FIELD_ADDED"]);
    check_files(&required, &optional, &["REQUIRED_FIELD_REMOVED"]);
}

#[test]
fn imported_messages_are_compared_where_they_are_used() {
    let outer = "syntax = \"proto3\"; import \"i.proto\"; message M { I i = 1; }";
    let with = |field: &str| {
        let text = format!("syntax = \"proto3\"; message I {{ {field} }}");
        let schema_type = SchemaType::Protobuf;
        let reference = ResolvedReference {
            name: "i.proto".to_owned(),
            schema_type,
            text,
        };
        ProtobufSchema::parse(outer, &[reference]).expect("a file")
    };
    check_files(&with("int32 a = 1;"), &with("int64 a = 1;"), &[]);
    check_files(
        &with("int32 a = 1;"),
        &with("string a = 1;"),
        &["FIELD_SCALAR_KIND_CHANGED", "FIELD_NAMED_TYPE_CHANGED"],
    );
    let fault = ProtobufSchema::parse(outer, &[]).expect_err("i.proto is not there");
    assert!(fault.contains("i.proto"), "{fault}");
}

const EVERYTHING: &str = r#"
// A comment that goes.
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import public "google/protobuf/any.proto";
option java_package = "com.shop";
option java_multiple_files = true;
message Order {
  reserved 2, 15, 9 to 11;
  reserved "foo", "bar";
  option deprecated = true;
  string id = 1;
  oneof paid { string card = 3 [deprecated = true]; int64 cash = 4; }
  optional int32 count = 5;
  map<string, Line> lines = 6;
  repeated Status past = 7 [packed = false, json_name = "before"];
  google.protobuf.Timestamp at = 8;
  message Line { int32 n = 1; enum Kind { NONE = 0; } }
  enum Status { reserved 5, 7 to max; UNKNOWN = 0; DONE = 1; }
}
enum Color { option allow_alias = true; RED = 0; ROT = 0; BLUE = -1; }
service Shop { rpc Buy (Order) returns (stream Order) { option deprecated = true; } }
"#;

#[test]
fn the_canonical_text_says_the_same_as_the_file() {
    let schema = parse(EVERYTHING);
    let expected = r#"syntax = "proto3";
package shop.v1;

import "google/protobuf/timestamp.proto";
import public "google/protobuf/any.proto";

option java_package = "com.shop";
option java_multiple_files = true;

message Order {
  reserved 2, 15, 9 to 11;
  reserved "foo", "bar";

  option deprecated = true;

  string id = 1;
  optional int32 count = 5;
  map<string, Line> lines = 6;
  repeated Status past = 7 [
    packed = false,
    json_name = "before"
  ];
  google.protobuf.Timestamp at = 8;

  oneof paid {
    string card = 3 [deprecated = true];
    int64 cash = 4;
  }

  message Line {
    int32 n = 1;

    enum Kind {
      NONE = 0;
    }
  }
  enum Status {
    reserved 5, 7 to max;
    UNKNOWN = 0;
    DONE = 1;
  }
}
enum Color {
  option allow_alias = true;
  RED = 0;
  ROT = 0;
  BLUE = -1;
}

service Shop {
  rpc Buy (Order) returns (stream Order) {
    option deprecated = true;
  };
}
"#;
    assert_eq!(schema.canonical(), expected);
    assert_eq!(
        parse(expected).canonical(),
        expected,
        "printing again changes nothing"
    );
}

#[test]
fn a_serialized_file_becomes_the_same_text() {
    let from_text = parse(EVERYTHING);
    let from_bytes = parse(&from_text.serialized());
    let text = from_bytes.canonical();
    assert!(
        text.contains("option java_package = \"com.shop\";"),
        "{text}"
    );
    assert!(
        text.contains("map<string, .shop.v1.Order.Line> lines = 6;"),
        "{text}"
    );
    check_files(&from_text, &from_bytes, &[]);
    assert_eq!(parse(&text).normalized(), from_text.normalized());
}

#[test]
fn custom_options_survive_both_forms() {
    let text = r#"syntax = "proto3";

import "confluent/meta.proto";

message M {
  string name = 1 [(confluent.field_meta).tags = "PII"];
}
"#;
    let schema = parse(text);
    assert_eq!(schema.canonical(), text);
    let from_bytes = parse(&schema.serialized());
    assert!(
        from_bytes.canonical().contains("(confluent.field_meta)"),
        "{}",
        from_bytes.text
    );
    assert!(
        from_bytes.canonical().contains("PII"),
        "{}",
        from_bytes.text
    );
}

#[test]
fn normalizing_orders_by_number_and_spells_names_out() {
    let one =
        parse("syntax = \"proto3\"; package p; message A { B b = 2; int32 a = 1; } message B {}");
    let two =
        parse("syntax = \"proto3\"; package p; message A { int32 a = 1; p.B b = 2; } message B {}");
    assert_ne!(one.canonical(), two.canonical());
    assert_eq!(one.normalized(), two.normalized());
    assert!(
        one.normalized().contains(".p.B b = 2;"),
        "{}",
        one.normalized()
    );
}

#[test]
fn ill_formed_files_are_refused() {
    for text in [
        "message",
        "syntax = \"proto3\"; message A { Missing m = 1; }",
        "AAAA",
    ] {
        assert!(ProtobufSchema::parse(text, &[]).is_err(), "{text}");
    }
    let deep = format!("syntax = \"proto3\"; {}", "message A { ".repeat(20_000));
    assert!(ProtobufSchema::parse(&deep, &[]).is_err());
}
