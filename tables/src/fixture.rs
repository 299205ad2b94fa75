//! Tables and registries for the tests of this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;
use weir_log::{BatchBuilder, BatchRecords, Codec as Compression};
use weir_schema::SchemaType;
use weir_schema::codec::{Codec, compile};
use weir_schema::framing::SchemaRef;

use crate::def::{
    Framing, JsonForm, KeyDef, KeyFormat, KeySchema, TableDef, TableId, ValueDef, ValueFormat,
};
use crate::partitioner::PartitionerSetting;
use crate::schemas::{LatestSchema, NoSchemas, Schemas};
use crate::table::Table;

/// A registry of Avro schemas; the last one of a subject is its latest.
#[derive(Default)]
pub struct Registry {
    codecs: BTreeMap<i32, Arc<Codec>>,
    latest: BTreeMap<String, i32>,
}

impl Registry {
    pub fn with(mut self, subject: &str, id: i32, schema: &str) -> Self {
        self.codecs
            .insert(id, compile(SchemaType::Avro, schema, &[]).unwrap());
        self.latest.insert(subject.into(), id);
        self
    }
}

/// The GUID that the fixture gives a schema.
pub fn guid(id: i32) -> Uuid {
    Uuid::from_u128(id as u128)
}

impl Schemas for Registry {
    fn codec(&self, schema: SchemaRef) -> Option<Arc<Codec>> {
        let id = match schema {
            SchemaRef::Id(id) => id,
            SchemaRef::Guid(bytes) => Uuid::from_bytes(bytes).as_u128() as i32,
        };
        self.codecs.get(&id).cloned()
    }

    fn latest(&self, subject: &str) -> Option<LatestSchema> {
        let id = *self.latest.get(subject)?;
        Some(LatestSchema {
            id,
            guid: guid(id),
            codec: self.codecs[&id].clone(),
        })
    }
}

pub fn def(key: KeyDef, value: ValueDef) -> TableDef {
    TableDef {
        topic_id: Uuid::from_u128(1),
        table_id: TableId(1),
        topic: "t".into(),
        partition_count: 3,
        key,
        value,
        partitioner: PartitionerSetting::Auto,
    }
}

/// A table without schemas.
pub fn raw(key: KeyFormat, value: ValueFormat) -> Table {
    Table::new(
        def(KeyDef::raw(key), ValueDef::raw(value)),
        Arc::new(NoSchemas),
    )
    .unwrap()
}

/// An Avro key, framed by an id prefix.
pub fn avro_key(id: i32, schema: &str) -> KeyDef {
    KeyDef {
        format: KeyFormat::Schema,
        framing: Framing::IdPrefix,
        schema: Some(KeySchema {
            id,
            guid: guid(id),
            schema_type: SchemaType::Avro,
            text: schema.into(),
            references: Vec::new(),
            message_index: Vec::new(),
        }),
        json: JsonForm::Compact,
    }
}

/// A value whose schemas are those of subject `t-value`.
pub fn schema_value() -> ValueDef {
    ValueDef {
        format: ValueFormat::Schema,
        subject: Some("t-value".into()),
    }
}

/// A payload with an id prefix.
pub fn framed(id: i32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Calls `test` with the headers as a record carries them.
pub fn with_headers<T>(
    headers: &[(&str, &[u8])],
    test: impl FnOnce(weir_log::records::Headers<'_>) -> T,
) -> T {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), Some(*value)))
        .collect();
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(0, None, None, &headers);
    let batch = builder.build().unwrap();
    let records = BatchRecords::open(&batch, usize::MAX).unwrap();
    test(records.iter().next().unwrap().unwrap().headers)
}
