//! A table in use: its definition, its key codec and the schemas that its rows are read by.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields};
use weir_log::records::Headers;
use weir_schema::codec::NoMapping;
use weir_schema::framing::Indexes;

use crate::def::{TableDef, ValueFormat};
use crate::key::{KeyCodec, KeyError, KeySchemaError};
use crate::schemas::{LatestSchema, Schemas};

/// The one column of a value without fields.
pub const VALUE_COLUMN: &str = "value";

/// A table in use.
pub struct Table {
    def: TableDef,
    key: KeyCodec,
    schemas: Arc<dyn Schemas>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.def).finish()
    }
}

/// The columns of a table's rows, as its schemas are now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Columns {
    /// In key order.
    pub key: Fields,
    /// Those of the value that are not in the key.
    pub value: Fields,
}

/// A column stands in key and value with different types.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("column {column} is {in_key} in the key and {in_value} in the value")]
pub struct Collision {
    pub column: String,
    pub in_key: DataType,
    pub in_value: DataType,
}

impl Table {
    pub fn new(def: TableDef, schemas: Arc<dyn Schemas>) -> Result<Self, KeySchemaError> {
        Ok(Self {
            key: KeyCodec::new(&def.key)?,
            def,
            schemas,
        })
    }

    pub fn def(&self) -> &TableDef {
        &self.def
    }

    pub fn key(&self) -> &KeyCodec {
        &self.key
    }

    pub fn schemas(&self) -> &dyn Schemas {
        &*self.schemas
    }

    /// Appends the primary key of a record's key. On an error `out` may have grown.
    pub fn primary_key(
        &self,
        key: &[u8],
        headers: Headers<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), KeyError> {
        self.key.primary_key(key, headers, &*self.schemas, out)
    }

    /// The schema that rows are read in and written with; `None` for raw values, and before a first schema.
    pub fn latest(&self) -> Option<LatestSchema> {
        self.schemas.latest(self.def.value.subject.as_deref()?)
    }

    /// The columns of the rows, those of the value as in `latest`.
    pub fn columns(&self, latest: Option<&LatestSchema>) -> Result<Columns, NoMapping> {
        let value = match (self.def.value.format, latest) {
            (ValueFormat::Bytes, _) => raw_value(DataType::Binary),
            (ValueFormat::String, _) => raw_value(DataType::Utf8),
            (ValueFormat::Schema, Some(latest)) => {
                latest.codec.columns(Indexes::FIRST, VALUE_COLUMN)?
            }
            (ValueFormat::Schema, None) => Fields::empty(),
        };
        let key = self.key.columns().clone();
        let value = value
            .iter()
            .filter(|column| key.find(column.name()).is_none())
            .cloned()
            .collect();
        Ok(Columns { key, value })
    }
}

fn raw_value(data_type: DataType) -> Fields {
    Fields::from(vec![Field::new(VALUE_COLUMN, data_type, false)])
}

/// Checks that what stands in key and value is one column.
pub fn check_collisions(key: &Fields, value: &Fields) -> Result<(), Collision> {
    let both = key
        .iter()
        .filter_map(|in_key| Some((in_key, value.find(in_key.name())?.1)));
    match both
        .into_iter()
        .find(|(in_key, in_value)| in_key.data_type() != in_value.data_type())
    {
        None => Ok(()),
        Some((in_key, in_value)) => Err(Collision {
            column: in_key.name().clone(),
            in_key: in_key.data_type().clone(),
            in_value: in_value.data_type().clone(),
        }),
    }
}
