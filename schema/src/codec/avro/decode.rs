//! A payload as JSON, by the forms of `row`.

use serde_json::{Map, Value};

use super::check::{deeper, out_of_range, read_decimal};
use super::cursor::{Cursor, each_item};
use super::schema::{AvroSchema, BytesKind, IntKind, LongKind, Node, NodeId};
use crate::codec::error::{Fault, in_field, in_item};
use crate::row::{bytes_to_text, datetime, decimal, number};
use arrow_schema::TimeUnit;

impl AvroSchema {
    /// The payload as JSON. A union of null and one type is that type's value or null; of a union of
    /// several types the value is `{"type name": value}`.
    pub(crate) fn decode(&self, payload: &[u8]) -> Result<Value, Fault> {
        let mut input = Cursor::new(payload);
        let value = self.decode_node(self.root, &mut input, 0)?;
        input.finish()?;
        Ok(value)
    }

    pub(super) fn decode_node(
        &self,
        id: NodeId,
        input: &mut Cursor,
        depth: u32,
    ) -> Result<Value, Fault> {
        match self.node(id) {
            Node::Record(record) => {
                input.count_empty()?;
                input.count_held(record.fields.len())?;
                let depth = deeper(depth)?;
                let mut row = Map::with_capacity(record.fields.len());
                for field in &record.fields {
                    let value = self.decode_node(field.node, input, depth);
                    row.insert(
                        field.name.clone(),
                        value.map_err(|e| in_field(e, &field.name))?,
                    );
                }
                Ok(Value::Object(row))
            }
            Node::Union(branches) => {
                let branch = branches[input.index(branches.len(), "union branch")?];
                let node = self.node(branch);
                if matches!(node, Node::Null) {
                    return Ok(Value::Null);
                }
                let value = self.decode_node(branch, input, deeper(depth)?)?;
                Ok(if is_tagged(self, branches) {
                    tagged(node, value)
                } else {
                    value
                })
            }
            Node::Array(items) => {
                let (depth, mut values) = (deeper(depth)?, Vec::new());
                each_item(input, |input, index| {
                    let value = self.decode_node(*items, input, depth);
                    values.push(value.map_err(|e| in_item(e, index))?);
                    Ok(())
                })?;
                Ok(Value::Array(values))
            }
            Node::Map(items) => {
                let (depth, mut values) = (deeper(depth)?, Map::new());
                each_item(input, |input, index| {
                    let key = input.string().map_err(|e| in_item(e, index))?.to_owned();
                    let value = self
                        .decode_node(*items, input, depth)
                        .map_err(|e| in_item(e, &key))?;
                    values.insert(key, value);
                    Ok(())
                })?;
                Ok(Value::Object(values))
            }
            node => decode_leaf(node, input),
        }
    }
}

/// Whether values of this union carry the name of their branch.
pub(super) fn is_tagged(schema: &AvroSchema, branches: &[NodeId]) -> bool {
    branches.len() > 1 && schema.nullable(branches).is_none()
}

pub(super) fn tagged(branch: &Node, value: Value) -> Value {
    Value::Object(Map::from_iter([(branch.name().to_owned(), value)]))
}

/// A value that holds no others.
pub(super) fn decode_leaf(node: &Node, input: &mut Cursor) -> Result<Value, Fault> {
    Ok(match node {
        Node::Null => {
            input.count_empty()?;
            Value::Null
        }
        Node::Boolean => input.boolean()?.into(),
        Node::Int(kind) => int_to_json(*kind, input.int()?)?,
        Node::Long(kind) => long_to_json(*kind, input.long()?)?,
        Node::Float => number::float_to_json(input.float()?),
        Node::Double => number::double_to_json(input.double()?),
        Node::String => input.string()?.into(),
        Node::Bytes(kind) => bytes_to_json(*kind, input.bytes()?)?,
        Node::Fixed(fixed) => bytes_to_json(fixed.kind, input.take(fixed.size)?)?,
        Node::Enum(symbols) => {
            let index = input.index(symbols.symbols.len(), "symbol")?;
            symbols.symbols[index].as_str().into()
        }
        Node::Array(_) | Node::Map(_) | Node::Union(_) | Node::Record(_) => {
            unreachable!("the caller walks into values that hold others")
        }
    })
}

pub(super) fn int_to_json(kind: IntKind, value: i32) -> Result<Value, Fault> {
    let (min, max) = kind.range();
    if value < min || value > max {
        return Err(out_of_range(value, min, max));
    }
    Ok(match kind {
        IntKind::Plain | IntKind::Int8 | IntKind::Int16 => value.into(),
        IntKind::Date => datetime::date_to_text(value.into()).into(),
        IntKind::TimeMillis => datetime::time_to_text(value.into(), TimeUnit::Millisecond).into(),
    })
}

pub(super) fn long_to_json(kind: LongKind, value: i64) -> Result<Value, Fault> {
    let (min, max) = kind.range();
    if value < min || value > max {
        return Err(out_of_range(value, min, max));
    }
    Ok(match kind {
        LongKind::Plain => value.into(),
        LongKind::TimeMicros => datetime::time_to_text(value, TimeUnit::Microsecond).into(),
        LongKind::Timestamp { unit, utc } => datetime::timestamp_to_text(value, unit, utc).into(),
    })
}

pub(super) fn bytes_to_json(kind: BytesKind, bytes: &[u8]) -> Result<Value, Fault> {
    Ok(match kind {
        BytesKind::Plain | BytesKind::WideDecimal => bytes_to_text(bytes).into(),
        BytesKind::Decimal { precision, scale } => {
            decimal::to_text(read_decimal(bytes, precision, scale)?, scale).into()
        }
    })
}
