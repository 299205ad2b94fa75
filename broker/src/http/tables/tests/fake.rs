//! A broker of tables without a log: what is written is folded at once.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tempfile::TempDir;
use uuid::Uuid;
use weir_log::{BatchBuilder, Codec, assign};
use weir_schema::SchemaType;
use weir_schema::codec::{self, Codec as SchemaCodec};
use weir_schema::framing::SchemaRef;
use weir_tables::{
    Budget, Candidates, Framing, JsonForm, KeyDef, KeyFormat, KeySchema, LatestSchema,
    PartitionerSetting, Schemas, Table, TableDef, TableDesign, Tables, ValueDef, ValueFormat,
};

use super::super::{
    CreateError, FindError, NewTable, ReadError, RowRecord, TableService, WriteError, Written,
};
use crate::tables::fold::Gone;
use crate::tables::gather::{Part, Wanted, pieces, read};
use crate::tables::{OpenTable, RowsHere};

const KEY: &str = r#"{"type":"record","name":"K","fields":[
    {"name":"carrier","type":"string"},{"name":"flight","type":"int"}]}"#;
const VALUE: &str = r#"{"type":"record","name":"V","fields":[
    {"name":"carrier","type":"string"},{"name":"delay","type":"int"}]}"#;

pub struct Fake {
    _dir: TempDir,
    tables: Vec<Arc<OpenTable>>,
    store: Arc<Tables>,
    write_fault: Mutex<Option<WriteError>>,
    read_fault: Mutex<Option<ReadError>>,
}

struct OneSchema(Arc<SchemaCodec>);

impl Schemas for OneSchema {
    fn codec(&self, schema: SchemaRef) -> Option<Arc<SchemaCodec>> {
        (schema == SchemaRef::Id(2)).then(|| self.0.clone())
    }

    fn latest(&self, subject: &str) -> Option<LatestSchema> {
        (subject == "flights-value").then(|| LatestSchema {
            id: 2,
            guid: Uuid::from_u128(2),
            codec: self.0.clone(),
        })
    }
}

impl Fake {
    pub fn new() -> Arc<Fake> {
        let dir = TempDir::new().unwrap();
        let store = Arc::new(Tables::open(dir.path(), Budget::new(1 << 20, 1 << 20)).unwrap());
        let schemas = Arc::new(OneSchema(
            codec::compile(SchemaType::Avro, VALUE, &[]).unwrap(),
        ));
        let key_schema = KeySchema {
            id: 1,
            guid: Uuid::from_u128(1),
            schema_type: SchemaType::Avro,
            text: KEY.into(),
            references: Vec::new(),
            message_index: Vec::new(),
        };
        let key = KeyDef {
            format: KeyFormat::Schema,
            framing: Framing::IdPrefix,
            schema: Some(key_schema),
            json: JsonForm::Compact,
        };
        let value = ValueDef {
            format: ValueFormat::Schema,
            subject: Some("flights-value".into()),
        };
        let parts = [
            (
                "counts",
                KeyDef::raw(KeyFormat::Int64),
                ValueDef::raw(ValueFormat::String),
            ),
            ("flights", key, value),
            (
                "planes",
                KeyDef::raw(KeyFormat::String),
                ValueDef::raw(ValueFormat::Bytes),
            ),
        ];
        let open = |(id, (topic, key, value)): (u64, (&str, KeyDef, ValueDef))| {
            let design = TableDesign {
                key,
                value,
                partitioner: PartitionerSetting::Murmur2,
            };
            let def = TableDef::new(Uuid::from_u128(id.into()), topic, 3, design);
            Arc::new(OpenTable {
                candidates: Candidates::new(def.partitioner),
                table: Arc::new(Table::new(def, schemas.clone()).unwrap()),
            })
        };
        let tables = (1..).zip(parts).map(open).collect();
        Arc::new(Fake {
            _dir: dir,
            tables,
            store,
            write_fault: Mutex::default(),
            read_fault: Mutex::default(),
        })
    }

    fn rows(&self, buckets: &[u32]) -> RowsHere {
        let rows = |bucket: &u32| (*bucket, self.store.clone(), Gone::default());
        RowsHere::new(buckets.iter().map(rows))
    }

    pub fn fail_writes(&self, error: WriteError) {
        *self.write_fault.lock() = Some(error);
    }

    pub fn fail_reads(&self, error: ReadError) {
        *self.read_fault.lock() = Some(error);
    }
}

impl TableService for Fake {
    fn tables(&self) -> Vec<Arc<OpenTable>> {
        self.tables.clone()
    }

    fn find<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Arc<OpenTable>, FindError>> {
        let found = self
            .tables
            .iter()
            .find(|open| open.name() == topic)
            .cloned();
        let missing = if topic == "plain" {
            FindError::NotATable
        } else {
            FindError::NoSuchTopic
        };
        Box::pin(async { found.ok_or(missing) })
    }

    fn read_barrier<'a>(
        &'a self,
        _: &'a Arc<OpenTable>,
        buckets: &'a [u32],
    ) -> BoxFuture<'a, Result<RowsHere, ReadError>> {
        Box::pin(async {
            self.read_fault
                .lock()
                .clone()
                .map_or(Ok(self.rows(buckets)), Err)
        })
    }

    /// As if each partition lay on a node of its own.
    fn gather<'a>(
        &'a self,
        table: &'a Arc<OpenTable>,
        partitions: &'a [u32],
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Vec<Part>, ReadError>> {
        let part = |partition: &u32| {
            let partitions = vec![*partition];
            let rows = self.rows(&partitions);
            let (mut answer, body) = read(table, &rows, &wanted.of(&partitions)).unwrap();
            for standing in &mut answer.standings {
                standing.high_watermark = Some(standing.applied);
            }
            Part {
                partitions,
                answer,
                pieces: pieces(body).unwrap(),
            }
        };
        let parts = match self.read_fault.lock().clone() {
            Some(ReadError::Spread) | None => Ok(partitions.iter().map(part).collect()),
            Some(error) => Err(error),
        };
        Box::pin(std::future::ready(parts))
    }

    fn create<'a>(
        &'a self,
        topic: &'a str,
        wanted: NewTable,
    ) -> BoxFuture<'a, Result<bool, CreateError>> {
        let settings: Vec<_> = wanted.settings.into_iter().collect();
        let known = self.tables.iter().any(|open| open.name() == topic);
        Box::pin(async move {
            match (known, settings.as_slice()) {
                (true, []) => Ok(wanted.partitions.is_some()),
                (true, [(name, _), ..]) => {
                    Err(CreateError::Refused(format!("unknown setting {name}")))
                }
                (false, _) => Err(CreateError::NoLeader),
            }
        })
    }

    fn write<'a>(
        &'a self,
        open: &'a Arc<OpenTable>,
        record: RowRecord,
    ) -> BoxFuture<'a, Result<Written, WriteError>> {
        Box::pin(async move {
            if let Some(error) = self.write_fault.lock().clone() {
                return Err(error);
            }
            let def = open.table.def();
            let partition = open
                .candidates
                .for_write()
                .partition(&record.key.bytes, def.partition_count);
            let store = &self.store;
            let offset = store.bucket_state(def.table_id, partition).unwrap().applied;
            let mut builder = BatchBuilder::new(Codec::None);
            builder.append(1, Some(&record.key.bytes), record.value.as_deref(), &[]);
            let mut batch = builder.build().unwrap();
            assign(&mut batch, offset, 0);
            store
                .fold(&open.table, partition, offset, &[Bytes::from(batch)])
                .unwrap();
            Ok(Written { partition, offset })
        })
    }
}
