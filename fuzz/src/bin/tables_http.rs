//! The tables' HTTP calls over tables without rows: paths, queries and bodies.
//!
//! Input: the method (u8), whether the body is raw (u8), the path behind a u16 length, then the body.
#![no_main]

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;
use uuid::Uuid;
use weir_broker::http::tables::{
    CreateError, FindError, NewTable, ReadError, RowRecord, TableService, WriteError, Written,
    router,
};
use weir_broker::tables::fold::Gone;
use weir_broker::tables::gather::{Part, Wanted, pieces, read};
use weir_broker::tables::{OpenTable, RowsHere};
use weir_fuzz::{Bounds, Input, piece};
use weir_log::records::Headers;
use weir_schema::SchemaType;
use weir_schema::codec::{Codec, compile};
use weir_schema::framing::SchemaRef;
use weir_tables::{
    Budget, Candidates, Framing, JsonForm, KeyDef, KeyFormat, KeySchema, LatestSchema,
    PartitionerSetting, Schemas, Table, TableDef, TableDesign, Tables, ValueDef, ValueFormat,
};

weir_fuzz::target!(Bounds::new(1 << 20, 512, 1000), seeds, run);

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];
const KEY: &str = r#"{"type":"record","name":"K","fields":[{"name":"carrier","type":"string"},{"name":"flight","type":"int"}]}"#;
const VALUE: &str = r#"{"type":"record","name":"V","fields":[{"name":"carrier","type":"string"},{"name":"delay","type":["null","int"]},
    {"name":"more","type":["null",{"type":"array","items":"double"}],"default":null}]}"#;

struct OneSchema(Arc<Codec>);

impl Schemas for OneSchema {
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

/// Tables without rows; what is written is looked at and forgotten.
struct Empty {
    tables: Vec<Arc<OpenTable>>,
    store: Arc<Tables>,
}

impl Empty {
    fn new() -> Empty {
        // Nothing is there, and reading makes nothing.
        let store = Tables::open(
            PathBuf::from("/nonexistent/weir-fuzz"),
            Budget::new(1 << 20, 1 << 20),
        );
        let store = Arc::new(store.expect("a store without rows"));
        let schemas = Arc::new(OneSchema(
            compile(SchemaType::Avro, VALUE, &[]).expect("legal"),
        ));
        let schema_key = KeyDef {
            format: KeyFormat::Schema,
            framing: Framing::IdPrefix,
            schema: Some(KeySchema {
                id: 1,
                guid: Uuid::from_u128(1),
                schema_type: SchemaType::Avro,
                text: KEY.into(),
                references: Vec::new(),
                message_index: Vec::new(),
            }),
            json: JsonForm::Compact,
        };
        let schema_value = ValueDef {
            format: ValueFormat::Schema,
            subject: Some("flights-value".into()),
        };
        let (raw_key, raw_value) = (KeyDef::raw, ValueDef::raw);
        let parts = [
            ("flights", schema_key, schema_value),
            (
                "counts",
                raw_key(KeyFormat::Int64),
                raw_value(ValueFormat::String),
            ),
            (
                "planes",
                raw_key(KeyFormat::String),
                raw_value(ValueFormat::Bytes),
            ),
            (
                "raw",
                raw_key(KeyFormat::Bytes),
                raw_value(ValueFormat::Bytes),
            ),
        ];
        let open = |(id, (topic, key, value)): (u128, (&str, KeyDef, ValueDef))| {
            let design = TableDesign {
                key,
                value,
                partitioner: PartitionerSetting::Auto,
            };
            let def = TableDef::new(Uuid::from_u128(id), topic, 3, design);
            Arc::new(OpenTable {
                candidates: Candidates::new(def.partitioner),
                table: Arc::new(Table::new(def, schemas.clone()).expect("legal")),
            })
        };
        let tables = (1..).zip(parts).map(open).collect();
        Empty { tables, store }
    }

    fn rows(&self, buckets: &[u32]) -> RowsHere {
        let rows = |bucket: &u32| (*bucket, self.store.clone(), Gone::default());
        RowsHere::new(buckets.iter().map(rows))
    }
}

impl TableService for Empty {
    fn tables(&self) -> Vec<Arc<OpenTable>> {
        self.tables.clone()
    }

    fn find<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Arc<OpenTable>, FindError>> {
        let found = self
            .tables
            .iter()
            .find(|open| open.name() == topic)
            .cloned();
        Box::pin(async { found.ok_or(FindError::NoSuchTopic) })
    }

    fn read_barrier<'a>(
        &'a self,
        _: &'a Arc<OpenTable>,
        buckets: &'a [u32],
    ) -> BoxFuture<'a, Result<RowsHere, ReadError>> {
        Box::pin(async { Ok(self.rows(buckets)) })
    }

    fn gather<'a>(
        &'a self,
        table: &'a Arc<OpenTable>,
        partitions: &'a [u32],
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Vec<Part>, ReadError>> {
        let (answer, body) = read(table, &self.rows(partitions), wanted).expect("nothing is there");
        let part = Part {
            partitions: partitions.to_vec(),
            answer,
            pieces: pieces(body).expect("our own are read"),
        };
        Box::pin(async { Ok(vec![part]) })
    }

    fn create<'a>(
        &'a self,
        _: &'a str,
        wanted: NewTable,
    ) -> BoxFuture<'a, Result<bool, CreateError>> {
        Box::pin(async move { Ok(wanted.partitions.is_some()) })
    }

    /// What an edge writes is a record of the table.
    fn write<'a>(
        &'a self,
        open: &'a Arc<OpenTable>,
        record: RowRecord,
    ) -> BoxFuture<'a, Result<Written, WriteError>> {
        let mut primary_key = Vec::new();
        let key = open
            .table
            .primary_key(&record.key.bytes, Headers::default(), &mut primary_key);
        key.expect("a key of the table");
        let partitions = open.candidates.partitions(&record.key.bytes, 3);
        Box::pin(async move {
            Ok(Written {
                partition: partitions[0],
                offset: 0,
            })
        })
    }
}

fn edge() -> &'static (Router, Runtime) {
    static EDGE: OnceLock<(Router, Runtime)> = OnceLock::new();
    EDGE.get_or_init(|| {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(1)
            .build();
        (router(Arc::new(Empty::new())), runtime.expect("a runtime"))
    })
}

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (method, raw) = (*input.pick(&METHODS), input.u8() & 1 == 1);
    let Ok(path) = str::from_utf8(input.piece()) else {
        return;
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("/v1/tables{path}"));
    let media = if raw {
        "application/octet-stream"
    } else {
        "application/json"
    };
    let request = request.header("content-type", media);
    let Ok(request) = request.body(Body::from(input.rest().to_vec())) else {
        return;
    };
    let (router, runtime) = edge();
    runtime.block_on(async {
        let response = router.clone().oneshot(request).await.expect("never fails");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX)
            .await
            .expect("in memory");
        assert!(status < 500, "{method} {path} answers {status}: {body:?}");
        if !body.is_empty() {
            serde_json::from_slice::<serde_json::Value>(&body).expect("JSON");
        }
    });
}

fn seeds() -> Vec<Vec<u8>> {
    let call = |method: &str, raw: u8, path: &str, body: &str| {
        let method = METHODS
            .iter()
            .position(|known| *known == method)
            .expect("known") as u8;
        [&[method, raw], &piece(path.as_bytes())[..], body.as_bytes()].concat()
    };
    vec![
        call("GET", 0, "", ""),
        call("GET", 0, "/flights", ""),
        call(
            "PUT",
            0,
            "/new",
            r#"{"partitions":3,"settings":{"table.key.format":"string"}}"#,
        ),
        call(
            "GET",
            0,
            "/flights/rows/UA,5?columns=carrier,delay&int64=string",
            "",
        ),
        call("GET", 0, "/raw/rows/AAE=", ""),
        call(
            "POST",
            0,
            "/flights/lookup",
            r#"{"keys":[["UA",5],{"carrier":"UA","flight":6}],"columns":["delay"]}"#,
        ),
        call("POST", 0, "/counts/lookup", r#"{"keys":[1,-2,"3"]}"#),
        call(
            "POST",
            0,
            "/planes/lookup",
            r#"{"keys":["a","\ud83d\ude00"]}"#,
        ),
        call("GET", 0, "/flights/rows?prefix=UA&limit=5&cursor=AAAA", ""),
        call(
            "PUT",
            0,
            "/flights/rows/UA,5",
            r#"{"delay":5,"more":[1.5,"NaN"]}"#,
        ),
        call("PUT", 0, "/counts/rows/7", r#"{"key":7,"value":"text"}"#),
        call("PUT", 1, "/planes/rows/N1%2C2", "raw bytes"),
        call("DELETE", 0, "/planes/rows/N1", ""),
        call("PATCH", 0, "/flights", ""),
    ]
}
