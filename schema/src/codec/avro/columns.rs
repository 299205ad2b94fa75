//! The row type of an Avro schema. The table of types is in the documentation of `codec::avro`.

use std::sync::Arc;

use arrow_schema::{DataType, Field as Column, Fields, TimeUnit};

use super::schema::{AvroSchema, BytesKind, Fixed, IntKind, LongKind, Node, NodeId};
use crate::codec::columns::{Building, map_of};
use crate::codec::error::NoMapping;

impl AvroSchema {
    /// The columns of the root record; of another schema, one column named `bare`.
    pub(crate) fn columns(&self, bare: &str) -> Result<Fields, NoMapping> {
        let mut building = Building::default();
        match self.node(self.root) {
            Node::Record(_) => match self.data_type(self.root, "", &mut building)? {
                DataType::Struct(columns) => Ok(columns),
                other => unreachable!("a record is a struct, not {other}"),
            },
            _ => Ok(Fields::from(vec![self.column(
                bare,
                self.root,
                "",
                &mut building,
            )?])),
        }
    }

    fn column(
        &self,
        name: &str,
        id: NodeId,
        at: &str,
        building: &mut Building,
    ) -> Result<Column, NoMapping> {
        let path = if at.is_empty() {
            name.to_owned()
        } else {
            format!("{at}.{name}")
        };
        building.column(&path)?;
        let (id, nullable) = match self.node(id) {
            Node::Union(branches) if branches.len() == 1 => (branches[0], false),
            Node::Union(branches) => match self.nullable(branches) {
                Some((other, _)) => (other, true),
                None => {
                    return Err(NoMapping::new(
                        path,
                        "a union of several types has no column type",
                    ));
                }
            },
            _ => (id, false),
        };
        Ok(Column::new(
            name,
            self.data_type(id, &path, building)?,
            nullable,
        ))
    }

    fn data_type(
        &self,
        id: NodeId,
        at: &str,
        building: &mut Building,
    ) -> Result<DataType, NoMapping> {
        Ok(match self.node(id) {
            Node::Null => return Err(NoMapping::new(at, "null alone has no column type")),
            Node::Boolean => DataType::Boolean,
            Node::Int(IntKind::Plain) => DataType::Int32,
            Node::Int(IntKind::Int8) => DataType::Int8,
            Node::Int(IntKind::Int16) => DataType::Int16,
            Node::Int(IntKind::Date) => DataType::Date32,
            Node::Int(IntKind::TimeMillis) => DataType::Time32(TimeUnit::Millisecond),
            Node::Long(LongKind::Plain) => DataType::Int64,
            Node::Long(LongKind::TimeMicros) => DataType::Time64(TimeUnit::Microsecond),
            Node::Long(LongKind::Timestamp { unit, utc }) => {
                DataType::Timestamp(*unit, utc.then(|| "UTC".into()))
            }
            Node::Float => DataType::Float32,
            Node::Double => DataType::Float64,
            Node::String | Node::Enum(_) => DataType::Utf8,
            Node::Bytes(kind) => bytes_type(*kind, DataType::Binary, at)?,
            Node::Fixed(Fixed { kind, size, .. }) => {
                bytes_type(*kind, DataType::FixedSizeBinary(*size as i32), at)?
            }
            Node::Array(items) => building.nested(at, |b| {
                Ok(DataType::List(Arc::new(
                    self.column("item", *items, at, b)?,
                )))
            })?,
            Node::Map(values) => building.nested(at, |b| {
                Ok(map_of(
                    DataType::Utf8,
                    self.column("value", *values, at, b)?,
                ))
            })?,
            Node::Record(record) => building.record(at, &record.name, |b| {
                let columns = record
                    .fields
                    .iter()
                    .map(|f| self.column(&f.name, f.node, at, b));
                Ok(DataType::Struct(columns.collect::<Result<Fields, _>>()?))
            })?,
            Node::Union(_) => {
                return Err(NoMapping::new(
                    at,
                    "a union inside a union has no column type",
                ));
            }
        })
    }
}

fn bytes_type(kind: BytesKind, plain: DataType, at: &str) -> Result<DataType, NoMapping> {
    match kind {
        BytesKind::Plain => Ok(plain),
        BytesKind::Decimal { precision, scale } => Ok(DataType::Decimal128(precision, scale as i8)),
        BytesKind::WideDecimal => Err(NoMapping::new(at, "a decimal has at most 38 digits")),
    }
}
