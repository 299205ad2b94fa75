//! JSON as a payload: the inverse of `decode`, with defaults where a field is absent.

use arrow_schema::TimeUnit;
use serde_json::Value;

use super::check::deeper;
use super::decode::is_tagged;
use super::schema::{AvroSchema, BytesKind, Field, FieldDefault, IntKind, LongKind, Node, NodeId};
use crate::codec::error::{Fault, fault, in_field, in_item};
use crate::row::{bytes_from_text, datetime, decimal, decimal_from_json, number};

impl AvroSchema {
    pub(crate) fn encode(&self, value: &Value) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        self.encode_node(self.root, value, &mut out, 0)?;
        Ok(out)
    }

    fn encode_node(
        &self,
        id: NodeId,
        value: &Value,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Fault> {
        match (self.node(id), value) {
            (Node::Record(record), Value::Object(row)) => {
                let depth = deeper(depth)?;
                let unknown = |name: &&String| !record.fields.iter().any(|f| f.name == **name);
                if let Some(name) = row.keys().find(unknown) {
                    return Err(in_field(
                        fault(format!("{} has no such field", record.name)),
                        name,
                    ));
                }
                for field in &record.fields {
                    let done = match row.get(&field.name) {
                        Some(value) => self.encode_node(field.node, value, out, depth),
                        None => self.encode_absent(field, out),
                    };
                    done.map_err(|e| in_field(e, &field.name))?;
                }
                Ok(())
            }
            (Node::Union(branches), value) => {
                self.encode_union(branches, value, out, deeper(depth)?)
            }
            (Node::Array(items), Value::Array(values)) => {
                let depth = deeper(depth)?;
                write_count(values.len(), out);
                for (index, value) in values.iter().enumerate() {
                    self.encode_node(*items, value, out, depth)
                        .map_err(|e| in_item(e, index))?;
                }
                out.push(0);
                Ok(())
            }
            (Node::Map(items), Value::Object(values)) => {
                let depth = deeper(depth)?;
                write_count(values.len(), out);
                for (key, value) in values {
                    write_bytes(key.as_bytes(), out);
                    self.encode_node(*items, value, out, depth)
                        .map_err(|e| in_item(e, key))?;
                }
                out.push(0);
                Ok(())
            }
            (node @ Node::Record(_), _) => Err(mismatch(node, value, "an object")),
            (node @ Node::Array(_), _) => Err(mismatch(node, value, "an array")),
            (node @ Node::Map(_), _) => Err(mismatch(node, value, "an object")),
            (node, value) => encode_leaf(node, value, out),
        }
    }

    fn encode_absent(&self, field: &Field, out: &mut Vec<u8>) -> Result<(), Fault> {
        match (&field.default, self.node(field.node)) {
            (FieldDefault::Value(bytes), _) => out.extend_from_slice(bytes),
            (_, Node::Null) => {}
            (_, Node::Union(branches)) => match self.nullable(branches) {
                Some((_, null)) => write_long(null as i64, out),
                None => return Err(fault("is missing and has no default")),
            },
            (FieldDefault::Invalid, _) => {
                return Err(fault("is missing, and its default is not valid"));
            }
            _ => return Err(fault("is missing and has no default")),
        }
        Ok(())
    }

    fn encode_union(
        &self,
        branches: &[NodeId],
        value: &Value,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Fault> {
        let at =
            |wanted: &dyn Fn(&Node) -> bool| branches.iter().position(|id| wanted(self.node(*id)));
        if value.is_null()
            && let Some(null) = at(&|node| matches!(node, Node::Null))
        {
            write_long(null as i64, out);
            return Ok(());
        }
        let (branch, value) = if is_tagged(self, branches) {
            let names = || {
                branches
                    .iter()
                    .map(|id| self.node(*id).name())
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let tag = value
                .as_object()
                .filter(|o| o.len() == 1)
                .and_then(|o| o.iter().next());
            match tag.and_then(|(name, value)| Some((at(&|node| node.name() == name)?, value))) {
                Some(found) => found,
                None => {
                    return Err(fault(format!(
                        "is one of several types, write {{type: value}} with one of {names}",
                        names = names()
                    )));
                }
            }
        } else {
            let other = at(&|node| !matches!(node, Node::Null));
            (other.unwrap_or(0), value)
        };
        write_long(branch as i64, out);
        self.encode_node(branches[branch], value, out, depth)
    }
}

/// Writes a value that holds no others.
fn encode_leaf(node: &Node, value: &Value, out: &mut Vec<u8>) -> Result<(), Fault> {
    match node {
        Node::Null if value.is_null() => {}
        Node::Boolean => match value.as_bool() {
            Some(flag) => out.push(u8::from(flag)),
            None => return Err(mismatch(node, value, "true or false")),
        },
        Node::Int(kind) => write_long(int_from_json(node, *kind, value)?.into(), out),
        Node::Long(kind) => write_long(long_from_json(node, *kind, value)?, out),
        Node::Float => match number::float_from_json(value) {
            Some(float) => out.extend_from_slice(&float.to_le_bytes()),
            None => return Err(mismatch(node, value, "a 32-bit float")),
        },
        Node::Double => match number::double_from_json(value) {
            Some(double) => out.extend_from_slice(&double.to_le_bytes()),
            None => return Err(mismatch(node, value, "a number")),
        },
        Node::String => match value.as_str() {
            Some(text) => write_bytes(text.as_bytes(), out),
            None => return Err(mismatch(node, value, "a string")),
        },
        Node::Enum(symbols) => match symbols
            .symbols
            .iter()
            .position(|s| Some(s.as_str()) == value.as_str())
        {
            Some(position) => write_long(position as i64, out),
            None => {
                return Err(mismatch(
                    node,
                    value,
                    &format!("one of {}", symbols.symbols.join(", ")),
                ));
            }
        },
        Node::Bytes(BytesKind::Decimal { precision, scale }) => {
            let unscaled = decimal_from_json(value, *precision, *scale).map_err(fault)?;
            write_bytes(&decimal::to_be_bytes(unscaled), out);
        }
        Node::Bytes(_) => match value.as_str().and_then(bytes_from_text) {
            Some(bytes) => write_bytes(&bytes, out),
            None => return Err(mismatch(node, value, "base64")),
        },
        Node::Fixed(fixed) => {
            let bytes = match fixed.kind {
                BytesKind::Decimal { precision, scale } => {
                    let unscaled = decimal_from_json(value, precision, scale).map_err(fault)?;
                    decimal::to_fixed_be_bytes(unscaled, fixed.size)
                }
                _ => value
                    .as_str()
                    .and_then(bytes_from_text)
                    .filter(|b| b.len() == fixed.size),
            };
            match bytes {
                Some(bytes) => out.extend_from_slice(&bytes),
                None => return Err(mismatch(node, value, &format!("{} bytes", fixed.size))),
            }
        }
        _ => return Err(mismatch(node, value, node.name())),
    }
    Ok(())
}

fn int_from_json(node: &Node, kind: IntKind, value: &Value) -> Result<i32, Fault> {
    let (min, max) = kind.range();
    let (int, expected) = match kind {
        IntKind::Date => (
            value.as_str().and_then(datetime::date_from_text),
            "a date like \"2013-01-01\"",
        ),
        IntKind::TimeMillis => (
            value
                .as_str()
                .and_then(|t| datetime::time_from_text(t, TimeUnit::Millisecond))
                .map(|t| t as i32),
            "a time like \"12:34:56.789\"",
        ),
        IntKind::Plain | IntKind::Int8 | IntKind::Int16 => {
            let int = number::integer_from_json(value).and_then(|v| i32::try_from(v).ok());
            (
                int.filter(|v| (min..=max).contains(v)),
                "an integer in its range",
            )
        }
    };
    int.ok_or_else(|| mismatch(node, value, expected))
}

fn long_from_json(node: &Node, kind: LongKind, value: &Value) -> Result<i64, Fault> {
    let text = value.as_str();
    let (long, expected) = match kind {
        LongKind::Plain => (number::bigint_from_json(value), "a 64-bit integer"),
        LongKind::TimeMicros => (
            text.and_then(|t| datetime::time_from_text(t, TimeUnit::Microsecond)),
            "a time like \"12:34:56.789000\"",
        ),
        LongKind::Timestamp { unit, utc } => (
            text.and_then(|t| datetime::timestamp_from_text(t, unit, utc)),
            if utc {
                "a timestamp like \"2013-01-01T00:00:00Z\""
            } else {
                "a timestamp like \"2013-01-01T00:00:00\""
            },
        ),
    };
    long.ok_or_else(|| mismatch(node, value, expected))
}

fn mismatch(node: &Node, value: &Value, expected: &str) -> Fault {
    let shown: String = value.to_string().chars().take(60).collect();
    fault(format!("{shown} is not {expected} (type {})", node.name()))
}

/// Zigzag, then seven bits a byte: the shortest form.
pub(super) fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(super) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// Opens the one block of an array or map; nothing for an empty one. A 0 byte ends both.
pub(super) fn write_count(count: usize, out: &mut Vec<u8>) {
    if count > 0 {
        write_long(count as i64, out);
    }
}
