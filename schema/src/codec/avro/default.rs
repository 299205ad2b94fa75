//! Field defaults: stated in the schema as JSON of their own form (bytes as Latin-1 text, a union's
//! value bare), kept as the Avro bytes of the value.

use serde_json::Value;

use super::encode::{write_bytes, write_count, write_long};
use super::parse::StatedDefault;
use super::schema::{AvroSchema, Field, FieldDefault, Node, NodeId};
use crate::row::number;

/// Bytes that all defaults of a schema may take together: records that stand in each other twice at
/// every level would otherwise double at each.
const MAX_BYTES: usize = 1 << 20;

/// Fills in the fields' defaults. A nested type is parsed before the field that it stands in, so in
/// the order stated each default finds those that it contains.
pub(super) fn encode_defaults(schema: &mut AvroSchema, stated: Vec<StatedDefault>) {
    let mut left = MAX_BYTES;
    for (record, position, value) in stated {
        let mut writer = Writer {
            schema,
            out: Vec::new(),
            left,
            depth: 0,
        };
        let fits = match schema.node(record) {
            Node::Record(record) => writer.value(record.fields[position].node, &value),
            _ => None,
        };
        let default = match fits {
            Some(()) => FieldDefault::Value(std::mem::take(&mut writer.out)),
            None => FieldDefault::Invalid,
        };
        left = writer.left;
        if let Node::Record(record) = &mut schema.nodes[record as usize] {
            record.fields[position].default = default;
        }
    }
}

struct Writer<'a> {
    schema: &'a AvroSchema,
    out: Vec<u8>,
    left: usize,
    depth: u32,
}

impl Writer<'_> {
    /// Writes the value; `None` where it is not one of the node's type.
    fn value(&mut self, id: NodeId, value: &Value) -> Option<()> {
        let before = self.out.len();
        self.depth += 1;
        let done = if self.depth <= super::cursor::MAX_DEPTH {
            self.write(id, value)
        } else {
            None
        };
        self.depth -= 1;
        // An empty value costs one too.
        self.left = self
            .left
            .checked_sub((self.out.len() - before.min(self.out.len())).max(1))?;
        done
    }

    fn write(&mut self, id: NodeId, value: &Value) -> Option<()> {
        match (self.schema.node(id), value) {
            (Node::Null, Value::Null) => {}
            (Node::Boolean, Value::Bool(flag)) => self.out.push(u8::from(*flag)),
            (Node::Int(kind), value) => {
                let int = i32::try_from(number::integer_from_json(value)?).ok()?;
                let (min, max) = kind.range();
                write_long(
                    (min..=max).contains(&int).then_some(int)?.into(),
                    &mut self.out,
                );
            }
            (Node::Long(kind), value) => {
                let long = number::integer_from_json(value)?;
                let (min, max) = kind.range();
                write_long((min..=max).contains(&long).then_some(long)?, &mut self.out);
            }
            (Node::Float, value) => {
                let float = number::float_from_json(value)?;
                self.out.extend_from_slice(&float.to_le_bytes());
            }
            (Node::Double, value) => {
                let double = number::double_from_json(value)?;
                self.out.extend_from_slice(&double.to_le_bytes());
            }
            (Node::String, Value::String(text)) => write_bytes(text.as_bytes(), &mut self.out),
            (Node::Bytes(_), Value::String(text)) => write_bytes(&latin1(text)?, &mut self.out),
            (Node::Fixed(fixed), Value::String(text)) => {
                let bytes = latin1(text)?;
                self.out
                    .extend_from_slice((bytes.len() == fixed.size).then_some(&bytes[..])?);
            }
            (Node::Enum(symbols), Value::String(text)) => {
                let position = symbols.symbols.iter().position(|s| s == text)?;
                write_long(position as i64, &mut self.out);
            }
            (Node::Array(items), Value::Array(values)) => {
                write_count(values.len(), &mut self.out);
                values
                    .iter()
                    .try_for_each(|value| self.value(*items, value))?;
                self.out.push(0);
            }
            (Node::Map(items), Value::Object(values)) => {
                write_count(values.len(), &mut self.out);
                for (key, value) in values {
                    write_bytes(key.as_bytes(), &mut self.out);
                    self.value(*items, value)?;
                }
                self.out.push(0);
            }
            (Node::Record(record), Value::Object(row)) => {
                for field in &record.fields {
                    self.field(field, row.get(&field.name))?;
                }
            }
            (Node::Union(branches), value) => self.union(branches, value)?,
            _ => return None,
        }
        Some(())
    }

    fn field(&mut self, field: &Field, value: Option<&Value>) -> Option<()> {
        match (value, &field.default) {
            (Some(value), _) => self.value(field.node, value),
            (None, FieldDefault::Value(bytes)) => {
                self.left = self.left.checked_sub(bytes.len())?;
                self.out.extend_from_slice(bytes);
                Some(())
            }
            (None, _) => None,
        }
    }

    /// The first branch that takes the value; up to Avro 1.11 it must be the union's first.
    fn union(&mut self, branches: &[NodeId], value: &Value) -> Option<()> {
        let start = self.out.len();
        for (index, branch) in branches.iter().enumerate() {
            write_long(index as i64, &mut self.out);
            if self.value(*branch, value).is_some() {
                return Some(());
            }
            self.out.truncate(start);
        }
        None
    }
}

fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect()
}
