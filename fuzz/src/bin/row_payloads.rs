//! Records' payloads under their schemas: checked, turned into rows and back, and brought to canonical form.
//!
//! Input: which schema (u8); one number stands for a schema in the input itself: its language (u8) and its text behind
//! a u16 length. Then the payload.
#![no_main]

use std::sync::{Arc, OnceLock};

use arrow_schema::Fields;
use serde_json::Value;
use weir_fuzz::{Bounds, Input, piece};
use weir_schema::SchemaType;
use weir_schema::codec::{Codec, JsonStyle, compile};
use weir_schema::framing::{Indexes, Part, Payload, split};
use weir_schema::row::{int64_as_strings, key_scalars};
use weir_tables::keys::ordered;

weir_fuzz::target!(Bounds::new(16 << 20, 2048, 2000), seeds, run);

const SCHEMAS: [(SchemaType, &str); 9] = [
    (
        SchemaType::Avro,
        r#"{"type":"record","name":"R","fields":[{"name":"i","type":"int"},{"name":"l","type":["null","long"],"default":null},
        {"name":"f","type":"float","default":1.5},{"name":"d","type":"double"},{"name":"s","type":"string"},{"name":"b","type":"bytes"},
        {"name":"o","type":"boolean"},{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
        {"name":"x","type":{"type":"fixed","name":"X","size":3}}]}"#,
    ),
    (
        SchemaType::Avro,
        r#"{"type":"record","name":"N","fields":[{"name":"a","type":{"type":"array","items":"int"}},
        {"name":"m","type":{"type":"map","values":["null","string"]}},{"name":"n","type":["null",{"type":"record","name":"I","fields":[]}]}]}"#,
    ),
    (
        SchemaType::Avro,
        r#"{"type":"record","name":"L","fields":[{"name":"dec","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":3}},
        {"name":"fix","type":{"type":"fixed","name":"F","size":8,"logicalType":"decimal","precision":10,"scale":0}},
        {"name":"day","type":{"type":"int","logicalType":"date"}},{"name":"tm","type":{"type":"int","logicalType":"time-millis"}},
        {"name":"tu","type":{"type":"long","logicalType":"time-micros"}},{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"au","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"lt","type":{"type":"long","logicalType":"local-timestamp-millis"}},
        {"name":"u","type":{"type":"string","logicalType":"uuid"}}]}"#,
    ),
    (
        SchemaType::Avro,
        r#"["null","string",{"type":"array","items":["int","boolean"]}]"#,
    ),
    (
        SchemaType::Json,
        r#"{"type":"object","properties":{"a":{"type":"string","maxLength":20},"b":{"type":"integer"},"c":{"type":"number"},
        "d":{"type":["boolean","null"]},"e":{"type":"array","items":{"type":"integer"}},"t":{"type":"string","format":"date-time"},
        "o":{"type":"object","properties":{"x":{"type":"string"}}}},"required":["a"]}"#,
    ),
    (
        SchemaType::Json,
        r#"{"type":"object","properties":{"k":{"type":"string"},"n":{"type":"integer"}},"required":["k","n"],"additionalProperties":false}"#,
    ),
    (
        SchemaType::Protobuf,
        r#"syntax = "proto3"; message M { int32 a = 1; sint64 b = 2; fixed32 c = 3; double d = 4; float e = 5; bool f = 6;
        string g = 7; bytes h = 8; repeated int32 i = 9; map<string, int64> j = 10; E k = 11; M l = 12; oneof o { string m = 13; uint64 n = 14; }
        optional int32 p = 15; repeated string q = 16; enum E { X = 0; Y = 1; } }"#,
    ),
    (
        SchemaType::Protobuf,
        r#"syntax = "proto2"; message K { required string a = 1; optional sfixed64 b = 2 [default = 5]; optional bool c = 3; }"#,
    ),
    (
        SchemaType::Protobuf,
        r#"syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto"; import "google/protobuf/duration.proto";
        message W { google.protobuf.Timestamp t = 1; google.protobuf.Int64Value w = 2; google.protobuf.Duration d = 3; }"#,
    ),
];

fn fixed() -> &'static [Arc<Codec>] {
    static CODECS: OnceLock<Vec<Arc<Codec>>> = OnceLock::new();
    CODECS.get_or_init(|| {
        let codec = |(language, text): (SchemaType, &str)| compile(language, text, &[]);
        SCHEMAS
            .into_iter()
            .map(codec)
            .collect::<Result<_, _>>()
            .expect("legal")
    })
}

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let which = usize::from(input.u8());
    let codec = match fixed().get(which) {
        Some(codec) => codec.clone(),
        None => {
            let language = *input.pick(&SchemaType::ALL);
            let Ok(text) = str::from_utf8(input.piece()) else {
                return;
            };
            let Ok(codec) = compile(language, text, &[]) else {
                return;
            };
            codec
        }
    };
    let bytes = input.rest();
    framing(&codec, bytes);
    payload(&codec, Payload::new(bytes));
    for reader in fixed() {
        if reader.schema_type() == codec.schema_type() {
            let _ = codec.to_json_as(reader, Payload::new(bytes));
        }
    }
}

/// Whatever a record holds, taking it apart gives an error or a payload.
fn framing(codec: &Codec, bytes: &[u8]) {
    for header in [None, Some(Some(bytes))] {
        if let Ok(framed) = split(Part::Value, bytes, header)
            && let Ok(payload) = framed.payload(codec.is_protobuf())
        {
            let _ = codec.validate(payload);
            codec.record_name(payload.indexes);
        }
    }
}

fn payload(codec: &Codec, payload: Payload<'_>) {
    let valid = codec.validate(payload);
    let has_row = codec.validate_row(payload);
    let json = codec.to_json(payload);
    assert_eq!(
        has_row.is_ok(),
        json.is_ok(),
        "a row is promised where there is one: {has_row:?} {json:?}"
    );
    let Ok(mut json) = json else { return };
    valid.expect("what has a row is valid");
    if let Ok(columns) = codec.columns(Indexes::FIRST, "value") {
        round_trip(codec, &json);
        if let Ok(columns) = codec.key_columns(Indexes::FIRST) {
            key(codec, payload, &columns, &json);
        }
        int64_as_strings(&columns, &mut json);
    }
}

/// A row that is written by its schema is the same row.
fn round_trip(codec: &Codec, json: &Value) {
    let Ok(written) = codec.from_json(Indexes::FIRST, json) else {
        return;
    };
    let again = codec
        .to_json(Payload::new(&written))
        .expect("our own is read");
    assert_eq!(again, *json, "a row survives");
}

/// A key has one canonical form, and the columns that its primary key is made of.
fn key(codec: &Codec, payload: Payload<'_>, columns: &Fields, json: &Value) {
    for style in [JsonStyle::Compact, JsonStyle::Spaced] {
        let Ok(canonical) = codec.canonical_key(payload, style) else {
            continue;
        };
        let again = Payload::new(&canonical);
        assert_eq!(
            codec.is_canonical(again, style),
            Ok(true),
            "the canonical form is canonical"
        );
        let shown = codec.to_json(again).expect("our own is read");
        assert_eq!(shown, *json, "the canonical form means the same");
    }
    if !json.is_object() {
        return;
    }
    let Ok(scalars) = key_scalars(columns, json) else {
        return;
    };
    let mut bytes = Vec::new();
    scalars
        .iter()
        .for_each(|scalar| ordered::encode(scalar, &mut bytes));
    let mut rest = &bytes[..];
    for (column, scalar) in columns.iter().zip(&scalars) {
        let decoded = ordered::decode(column.data_type(), &mut rest).expect("our own is read");
        let mut again = Vec::new();
        let mut once = Vec::new();
        ordered::encode(&decoded, &mut again);
        ordered::encode(scalar, &mut once);
        assert_eq!(again, once);
    }
    assert!(rest.is_empty());
}

fn seeds() -> Vec<Vec<u8>> {
    let rows = [
        r#"{"i":1,"l":2,"f":1.5,"d":-2.5,"s":"text","b":"AAE=","o":true,"e":"B","x":"AAEC"}"#,
        r#"{"a":[1,2],"m":{"k":null,"j":"v"},"n":{}}"#,
        r#"{"dec":"12.345","fix":"7","day":"2013-01-01","tm":"01:02:03.004","tu":"01:02:03.000004","at":"2013-01-01T00:00:00.000Z","au":"2013-01-01T00:00:00.000001Z","lt":"2013-01-01T00:00:00.000","u":"00000000-0000-0000-0000-000000000001"}"#,
        r#""text""#,
        r#"{"a":"x","b":1,"c":1.5,"d":null,"e":[1],"t":"2013-01-01T00:00:00Z","o":{"x":"y"}}"#,
        r#"{"k":"x","n":5}"#,
        r#"{"a":1,"b":-2,"c":3,"d":1.5,"e":2.5,"f":true,"g":"text","h":"AAE=","i":[1,2],"j":{"k":5},"k":"Y","l":{"a":5},"m":"one","p":0,"q":["r"]}"#,
        r#"{"a":"x","b":7,"c":true}"#,
        r#"{"t":"2013-01-01T00:00:00.000Z","w":5,"d":"1.5s"}"#,
    ];
    let mut seeds = Vec::new();
    for (number, (codec, row)) in fixed().iter().zip(rows).enumerate() {
        let row: Value = serde_json::from_str(row).expect("JSON");
        let written = codec.from_json(Indexes::FIRST, &row);
        let payload = written.unwrap_or_else(|_| row.to_string().into_bytes());
        seeds.push([&[number as u8], &payload[..]].concat());
        let (language, text) = SCHEMAS[number];
        let language = SchemaType::ALL.iter().position(|known| *known == language);
        let head = [255, language.expect("known") as u8];
        seeds.push([&head[..], &piece(text.as_bytes()), &payload].concat());
    }
    seeds.push(b"\x04{\"a\":\"\\ud800\",\"b\":1e400,\"c\":99999999999999999999}".to_vec());
    seeds
}
