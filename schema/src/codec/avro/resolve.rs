//! Reads a payload of one schema as a row of a later one: Avro's schema resolution.
//!
//! Fields go by name or by the reader's alias; what the reader lacks is passed over, what the writer
//! lacks is the reader's default. Unlike Avro, a missing field without a default is null instead of a
//! failure (a subject without compatibility may have such versions, and its old rows must stay
//! readable), and decimals and timestamps whose logical types differ keep their value, not their bytes.

use arrow_schema::TimeUnit;
use serde_json::{Map, Value};

use super::check::{deeper, read_decimal};
use super::cursor::{Cursor, each_item};
use super::decode::{bytes_to_json, decode_leaf, int_to_json, is_tagged, long_to_json, tagged};
use super::schema::{AvroSchema, BytesKind, Field, FieldDefault, LongKind, Node, NodeId, Record};
use crate::codec::error::{Fault, fault, in_field, in_item};
use crate::row::{datetime, decimal, number};

/// A payload's schema and the schema that it is read as.
pub(crate) struct Resolution<'a> {
    pub(crate) writer: &'a AvroSchema,
    pub(crate) reader: &'a AvroSchema,
}

impl Resolution<'_> {
    pub(crate) fn decode(&self, payload: &[u8]) -> Result<Value, Fault> {
        let mut input = Cursor::new(payload);
        let value = self.value(self.writer.root, self.reader.root, &mut input, 0)?;
        input.finish()?;
        Ok(value)
    }

    fn value(
        &self,
        written: NodeId,
        read: NodeId,
        input: &mut Cursor,
        depth: u32,
    ) -> Result<Value, Fault> {
        let (written_node, read_node) = (self.writer.node(written), self.reader.node(read));
        match (written_node, read_node) {
            (Node::Union(branches), _) => {
                let branch = branches[input.index(branches.len(), "union branch")?];
                self.value(branch, read, input, deeper(depth)?)
            }
            (_, Node::Union(branches)) => {
                let Some(branch) = self.branch(written_node, branches) else {
                    return Err(unreadable(written_node, read_node));
                };
                let value = self.value(written, branch, input, deeper(depth)?)?;
                let node = self.reader.node(branch);
                let tag = is_tagged(self.reader, branches) && !matches!(node, Node::Null);
                Ok(if tag { tagged(node, value) } else { value })
            }
            (Node::Record(written), Node::Record(read)) => {
                self.record(written, read, input, deeper(depth)?)
            }
            (Node::Array(written), Node::Array(read)) => {
                let (depth, mut values) = (deeper(depth)?, Vec::new());
                each_item(input, |input, index| {
                    let value = self.value(*written, *read, input, depth);
                    values.push(value.map_err(|e| in_item(e, index))?);
                    Ok(())
                })?;
                Ok(Value::Array(values))
            }
            (Node::Map(written), Node::Map(read)) => {
                let (depth, mut values) = (deeper(depth)?, Map::new());
                each_item(input, |input, index| {
                    let key = input.string().map_err(|e| in_item(e, index))?.to_owned();
                    let value = self
                        .value(*written, *read, input, depth)
                        .map_err(|e| in_item(e, &key))?;
                    values.insert(key, value);
                    Ok(())
                })?;
                Ok(Value::Object(values))
            }
            _ => leaf(written_node, read_node, input),
        }
    }

    /// The reader's branch for a written type: the same type by name, else one that it promotes to.
    fn branch(&self, written: &Node, branches: &[NodeId]) -> Option<NodeId> {
        let simple = |name: &str| name.rsplit('.').next().map(str::to_owned);
        let same = |id: &&NodeId| self.reader.node(**id).name() == written.name();
        let alike = |id: &&NodeId| {
            let node = self.reader.node(**id);
            std::mem::discriminant(node) == std::mem::discriminant(written)
                && (simple(node.name()) == simple(written.name())
                    || aliases(node).iter().any(|a| a == written.name()))
        };
        let promotes = |id: &&NodeId| promotes(written, self.reader.node(**id));
        let found = branches
            .iter()
            .find(same)
            .or_else(|| branches.iter().find(alike));
        found.or_else(|| branches.iter().find(promotes)).copied()
    }

    fn record(
        &self,
        written: &Record,
        read: &Record,
        input: &mut Cursor,
        depth: u32,
    ) -> Result<Value, Fault> {
        input.count_empty()?;
        input.count_held(written.fields.len().max(read.fields.len()))?;
        let mut values: Vec<Option<Value>> = vec![None; read.fields.len()];
        for (position, field) in written.fields.iter().enumerate() {
            let done = match target(read, field, position) {
                Some(to) => self
                    .value(field.node, read.fields[to].node, input, depth)
                    .map(|value| values[to] = Some(value)),
                None => self.writer.check_node(field.node, input, depth),
            };
            done.map_err(|e| in_field(e, &field.name))?;
        }
        let mut row = Map::with_capacity(values.len());
        for (field, value) in read.fields.iter().zip(values) {
            let value = match value {
                Some(value) => value,
                None => self.absent(field, input, depth)?,
            };
            row.insert(field.name.clone(), value);
        }
        Ok(Value::Object(row))
    }

    fn absent(&self, field: &Field, input: &mut Cursor, depth: u32) -> Result<Value, Fault> {
        match &field.default {
            FieldDefault::Value(bytes) => {
                let mut default = input.beside(bytes);
                let value = self.reader.decode_node(field.node, &mut default, depth)?;
                input.count_with(&default);
                Ok(value)
            }
            FieldDefault::None | FieldDefault::Invalid => Ok(Value::Null),
        }
    }
}

/// Where a written field goes. Fields mostly stay in place, so that is tried first.
fn target(read: &Record, written: &Field, position: usize) -> Option<usize> {
    let fields = &read.fields;
    if fields.get(position).is_some_and(|f| f.name == written.name) {
        return Some(position);
    }
    let by_name = fields.iter().position(|f| f.name == written.name);
    by_name.or_else(|| {
        fields
            .iter()
            .position(|f| f.aliases.contains(&written.name))
    })
}

fn aliases(node: &Node) -> &[String] {
    match node {
        Node::Record(record) => &record.aliases,
        _ => &[],
    }
}

fn promotes(written: &Node, read: &Node) -> bool {
    use Node::{Bytes, Double, Float, Int, Long, String};
    matches!(
        (written, read),
        (Int(_), Long(_) | Float | Double)
            | (Long(_), Float | Double)
            | (Float, Double)
            | (String, Bytes(BytesKind::Plain))
            | (Bytes(BytesKind::Plain), String)
    )
}

fn leaf(written: &Node, read: &Node, input: &mut Cursor) -> Result<Value, Fault> {
    Ok(match (written, read) {
        (Node::Int(_), Node::Int(kind)) => int_to_json(*kind, input.int()?)?,
        (Node::Int(_), Node::Long(kind)) => long_to_json(*kind, input.int()?.into())?,
        (Node::Int(_), Node::Float) => number::float_to_json(input.int()? as f32),
        (Node::Int(_), Node::Double) => number::double_to_json(input.int()?.into()),
        (Node::Long(from), Node::Long(to)) => {
            long_to_json(*to, converted(*from, *to, input.long()?)?)?
        }
        (Node::Long(_), Node::Float) => number::float_to_json(input.long()? as f32),
        (Node::Long(_), Node::Double) => number::double_to_json(input.long()? as f64),
        (Node::Float, Node::Double) => number::double_to_json(input.float()?.into()),
        (Node::Bytes(_), Node::String) => match str::from_utf8(input.bytes()?) {
            Ok(text) => text.into(),
            Err(_) => return Err(fault("the bytes are not UTF-8, and are read as a string")),
        },
        (Node::String, Node::Bytes(kind)) => bytes_to_json(*kind, input.bytes()?)?,
        (Node::Bytes(from), Node::Bytes(to)) => rescaled(*from, *to, input.bytes()?)?,
        (Node::Fixed(from), Node::Fixed(to)) if from.size == to.size => {
            rescaled(from.kind, to.kind, input.take(from.size)?)?
        }
        (Node::Enum(from), Node::Enum(to)) => {
            let symbol = &from.symbols[input.index(from.symbols.len(), "symbol")?];
            match to.symbols.iter().position(|s| s == symbol).or(to.default) {
                Some(position) => to.symbols[position].as_str().into(),
                None => return Err(fault(format!("{} has no symbol {symbol}", to.name))),
            }
        }
        (Node::Null, Node::Null)
        | (Node::Boolean, Node::Boolean)
        | (Node::Float, Node::Float)
        | (Node::Double, Node::Double)
        | (Node::String, Node::String) => decode_leaf(written, input)?,
        _ => return Err(unreadable(written, read)),
    })
}

/// A timestamp in the reader's unit; other longs as they are.
fn converted(from: LongKind, to: LongKind, value: i64) -> Result<i64, Fault> {
    let (from, to) = match (from, to) {
        (LongKind::Timestamp { unit: from, .. }, LongKind::Timestamp { unit: to, .. }) => {
            (from, to)
        }
        _ => return Ok(value),
    };
    let scale = |unit: TimeUnit| i128::from(datetime::per_second(unit));
    let scaled = (i128::from(value) * scale(to)).div_euclid(scale(from));
    i64::try_from(scaled).map_err(|_| fault("the timestamp does not fit the reader's unit"))
}

/// A decimal in the reader's precision and scale; other bytes as they are.
fn rescaled(from: BytesKind, to: BytesKind, bytes: &[u8]) -> Result<Value, Fault> {
    match (from, to) {
        (
            BytesKind::Decimal {
                precision: p,
                scale: s,
            },
            BytesKind::Decimal { precision, scale },
        ) if (p, s) != (precision, scale) => {
            let text = decimal::to_text(read_decimal(bytes, p, s)?, s);
            let unscaled = decimal::from_text(&text, precision, scale).map_err(fault)?;
            Ok(decimal::to_text(unscaled, scale).into())
        }
        _ => bytes_to_json(to, bytes),
    }
}

fn unreadable(written: &Node, read: &Node) -> Fault {
    fault(format!(
        "{} cannot be read as {}",
        written.name(),
        read.name()
    ))
}
