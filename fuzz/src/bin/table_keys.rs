//! Keys of tables in all their forms, and rows as they are stored: round trips, order, and what they show.
//!
//! Input: which table (u8), two keys as records carry them and one as a path's part, each behind a u16 length, then
//! what is a JSON array of keys and the stored row.
#![no_main]

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeSeed;
use uuid::Uuid;
use weir_fuzz::{Bounds, Input, piece};
use weir_log::records::Headers;
use weir_schema::SchemaType;
use weir_schema::codec::{Codec, compile};
use weir_schema::framing::{Indexes, Payload, SchemaRef, with_prefix};
use weir_schema::row::Scalar;
use weir_tables::keys::{bucket, ordered, row as row_keys};
use weir_tables::path::value_of_text;
use weir_tables::{
    BucketState, Candidates, Framing, JsonForm, KeyDef, KeyFormat, KeySchema, KeysSeed,
    LatestSchema, PartitionerSetting, Row, RowOptions, RowWriter, Schemas, Table, TableDef,
    TableId, ValueDef, ValueFormat,
};

weir_fuzz::target!(Bounds::new(256 << 10, 512, 500), seeds, run);

const AVRO_KEY: &str = r#"{"type":"record","name":"K","fields":[{"name":"text","type":["null","string"]},{"name":"number","type":"int"},
    {"name":"real","type":"double"},{"name":"raw","type":"bytes"},{"name":"flag","type":"boolean"},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
    {"name":"day","type":{"type":"int","logicalType":"date"}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;
const AVRO_VALUE: &str = r#"{"type":"record","name":"V","fields":[{"name":"number","type":"int"},{"name":"more","type":["null","string"]}]}"#;
const JSON_KEY: &str = r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}},"required":["a","b"],"additionalProperties":false}"#;
const PROTO_KEY: &str =
    "syntax = \"proto3\"; message K { string a = 1; sint64 b = 2; bytes c = 3; bool d = 4; }";

/// Knows the schema of values, and that of one table's keys.
struct Known(Arc<Codec>);

impl Schemas for Known {
    fn codec(&self, schema: SchemaRef) -> Option<Arc<Codec>> {
        (schema == SchemaRef::Id(2)).then(|| self.0.clone())
    }

    fn latest(&self, _: &str) -> Option<LatestSchema> {
        Some(LatestSchema {
            id: 2,
            guid: Uuid::from_u128(2),
            codec: self.0.clone(),
        })
    }
}

fn schema_key(schema_type: SchemaType, text: &str, json: JsonForm) -> KeyDef {
    KeyDef {
        format: KeyFormat::Schema,
        framing: Framing::IdPrefix,
        schema: Some(KeySchema {
            id: 1,
            guid: Uuid::from_u128(1),
            schema_type,
            text: text.into(),
            references: Vec::new(),
            message_index: Vec::new(),
        }),
        json,
    }
}

fn tables() -> &'static [Table] {
    static TABLES: OnceLock<Vec<Table>> = OnceLock::new();
    TABLES.get_or_init(|| {
        let schemas = Arc::new(Known(
            compile(SchemaType::Avro, AVRO_VALUE, &[]).expect("legal"),
        ));
        let raw = ValueDef::raw;
        let with_schema = || ValueDef {
            format: ValueFormat::Schema,
            subject: Some("t-value".into()),
        };
        let (avro, json, protobuf) = (SchemaType::Avro, SchemaType::Json, SchemaType::Protobuf);
        let parts = [
            (KeyDef::raw(KeyFormat::String), raw(ValueFormat::String)),
            (KeyDef::raw(KeyFormat::Int32), raw(ValueFormat::Bytes)),
            (KeyDef::raw(KeyFormat::Int64), with_schema()),
            (KeyDef::raw(KeyFormat::Bytes), raw(ValueFormat::Bytes)),
            (schema_key(avro, AVRO_KEY, JsonForm::Compact), with_schema()),
            (
                schema_key(avro, r#""long""#, JsonForm::Compact),
                with_schema(),
            ),
            (schema_key(json, JSON_KEY, JsonForm::Spaced), with_schema()),
            (
                schema_key(protobuf, PROTO_KEY, JsonForm::Compact),
                with_schema(),
            ),
        ];
        let table = |(key, value)| {
            let def = TableDef {
                topic_id: Uuid::from_u128(1),
                table_id: TableId(1),
                topic: "t".into(),
                partition_count: 3,
                key,
                value,
                partitioner: PartitionerSetting::Auto,
            };
            Table::new(def, schemas.clone()).expect("legal")
        };
        parts.into_iter().map(table).collect()
    })
}

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let table = input.pick(tables());
    let keys = [input.piece(), input.piece()];
    let primary = keys.map(|key| primary_key(table, key));
    if let [Some(a), Some(b)] = &primary {
        ordered_alike(table, a, b);
    }
    path(table, input.piece());
    let json = input.piece();
    looked_up(table, json);
    stored(
        table,
        primary[0].as_deref().unwrap_or(keys[0]),
        input.rest(),
    );
}

/// The primary key of a record's key, which gives the same columns and a canonical record's key again.
fn primary_key(table: &Table, key: &[u8]) -> Option<Vec<u8>> {
    let mut primary_key = Vec::new();
    table
        .primary_key(key, Headers::default(), &mut primary_key)
        .ok()?;
    let columns = table.key().columns_of(&primary_key).expect("just encoded");
    let (record, again) = table
        .key()
        .key_of(&columns)
        .expect("columns of a key are a key");
    assert_eq!(again, primary_key, "one key has one primary key");
    let is_canonical = table.key().is_canonical(&record.bytes, Headers::default());
    assert_eq!(is_canonical, Ok(true), "what we write is canonical");
    if table.key().is_canonical(key, Headers::default()) == Ok(true) {
        assert_eq!(record.bytes, key, "the canonical form is one");
    }
    let prefix = table
        .key()
        .prefix_of(&columns[..1])
        .expect("a column of a key");
    assert!(
        primary_key.starts_with(&prefix),
        "a prefix of columns is one of bytes"
    );
    let row_key = row_keys::encode(TableId(1), 2, &primary_key);
    assert_eq!(
        row_keys::decode(&row_key),
        Some((TableId(1), 2, &primary_key[..]))
    );
    Some(primary_key)
}

/// Byte order is column order.
fn ordered_alike(table: &Table, a: &[u8], b: &[u8]) {
    let scalars = |mut key: &[u8]| -> Option<Vec<Scalar>> {
        if table.key().format() != KeyFormat::Schema {
            return None;
        }
        let columns = table.key().columns().iter();
        columns
            .map(|column| ordered::decode(column.data_type(), &mut key))
            .collect()
    };
    if let (Some(left), Some(right)) = (scalars(a), scalars(b)) {
        let pairs = left.iter().zip(&right);
        let order = pairs
            .map(|(a, b)| compare(a, b))
            .find(|order| order.is_ne());
        assert_eq!(
            a.cmp(b),
            order.unwrap_or(Ordering::Equal),
            "{left:?} {right:?}"
        );
    }
}

fn compare(a: &Scalar, b: &Scalar) -> Ordering {
    match (a, b) {
        (Scalar::Null, Scalar::Null) => Ordering::Equal,
        (Scalar::Null, _) => Ordering::Less,
        (_, Scalar::Null) => Ordering::Greater,
        (Scalar::Boolean(a), Scalar::Boolean(b)) => a.cmp(b),
        (Scalar::Int(a), Scalar::Int(b)) => a.cmp(b),
        (Scalar::Float(a), Scalar::Float(b)) => a.total_cmp(b),
        (Scalar::Double(a), Scalar::Double(b)) => a.total_cmp(b),
        (Scalar::Decimal(a), Scalar::Decimal(b)) => a.cmp(b),
        (Scalar::Text(a), Scalar::Text(b)) => a.cmp(b),
        (Scalar::Bytes(a), Scalar::Bytes(b)) => a.cmp(b),
        _ => panic!("one column has values of two types: {a:?}, {b:?}"),
    }
}

fn path(table: &Table, part: &[u8]) {
    let Ok(text) = str::from_utf8(part) else {
        return;
    };
    for column in table.key().columns() {
        if let Ok(value) = value_of_text(column, text) {
            let prefix = table.key().prefix_of(std::slice::from_ref(&value));
            if std::ptr::eq(column, &table.key().columns()[0]) {
                prefix.expect("a value of the column");
            }
        }
    }
}

fn looked_up(table: &Table, json: &[u8]) {
    let seed = KeysSeed {
        table,
        candidates: Candidates::new(PartitionerSetting::Auto),
        limit: 100,
    };
    let mut json = serde_json::Deserializer::from_slice(json);
    if let Ok(keys) = seed.deserialize(&mut json) {
        assert!(keys.len() <= 101);
        assert!(keys.buckets().iter().all(|bucket| *bucket < 3));
    }
}

fn stored(table: &Table, primary_key: &[u8], stored: &[u8]) {
    for (data, key) in [(stored, primary_key), (primary_key, stored)] {
        if let Some(state) = BucketState::decode(data) {
            let again = state.encode();
            assert_eq!(BucketState::decode(&again), Some(state));
            // The first version, which is only read, is shorter.
            assert!(again.as_slice() == data || data.len() < again.len());
        }
        if let Some((table, number)) = bucket::decode(data) {
            assert_eq!(bucket::encode(table, number), data);
        }
        let Ok(row) = Row::decode(data) else { continue };
        let mut again = Vec::new();
        row.encode(&mut again);
        assert_eq!(again, data, "a row has one form");
        let options = RowOptions {
            columns: None,
            int64_as_strings: true,
        };
        let mut writer = RowWriter::new(table, options).expect("columns");
        let mut out = b"[".to_vec();
        match writer.write(key, row, &mut out) {
            Ok(()) => {
                out.push(b']');
                serde_json::from_slice::<serde_json::Value>(&out).expect("JSON");
            }
            Err(_) => assert_eq!(out, b"[", "a row that is not shown leaves nothing"),
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let framed = |bytes: &[u8], protobuf| {
        with_prefix(
            1,
            Payload {
                indexes: Indexes::FIRST,
                bytes,
            },
            protobuf,
        )
    };
    let avro = |text: &[u8], rest: &[u8]| {
        [text, rest, &[0; 7], &[63, 2, b'r', 1, 4, 1, 2, 8, 10]].concat()
    };
    let row = |value: &[u8]| {
        let mut row = Vec::new();
        let parts = Row {
            source_offset: 5,
            timestamp_ms: 7,
            schema_header: b"",
            value,
        };
        parts.encode(&mut row);
        row
    };
    let value = with_prefix(2, Payload::new(b"\x08\x02\x02x"), false);
    let seed = |table: u8, a: &[u8], b: &[u8], path: &str, json: &str, value: &[u8]| {
        let parts = [a, b, path.as_bytes(), json.as_bytes()].map(piece).concat();
        [&[table], &parts[..], &row(value)].concat()
    };
    let long = framed(b"\x0a", false);
    vec![
        seed(0, b"UA", b"UAL", "UA", r#"["a","b",1]"#, b"text"),
        seed(1, &[0, 0, 0, 5], &[0xff, 0, 0, 5], "5", "[1,-2]", b"\0\x01"),
        seed(
            2,
            &[0; 8],
            &[0xff; 8],
            "-5",
            "[1,18446744073709551615]",
            &value,
        ),
        seed(3, b"\0\x01", b"\0", "AAE", r#"["AAE="]"#, b""),
        seed(
            4,
            &framed(&avro(b"\x02\x04ab", b"\x0a"), false),
            &framed(&avro(b"\0", b"\x0b"), false),
            "ab",
            r#"[["a",1,1.5,"AA==",true,"1.00","2013-01-01","2013-01-01T00:00:00.000Z"],{"text":null}]"#,
            &value,
        ),
        seed(5, &long, &framed(b"\x0b", false), "7", "[1,2,[3]]", &value),
        seed(
            6,
            &framed(br#"{"a": "x", "b": 1}"#, false),
            &framed(br#"{"b":2,"a":"x"}"#, false),
            "x",
            r#"[{"a":"x","b":1}]"#,
            &value,
        ),
        seed(
            7,
            &framed(b"\x0a\x01x\x10\x03\x1a\x01\0\x20\x01", true),
            &framed(b"", true),
            "x",
            r#"[["x",1,"",true]]"#,
            &value,
        ),
    ]
}
