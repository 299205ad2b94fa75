//! The produce path's check: walks a payload along its schema and keeps nothing.

use super::cursor::{Cursor, MAX_DEPTH, each_item, text};
use super::schema::{AvroSchema, BytesKind, Node, NodeId};
use crate::codec::error::{Fault, fault, in_field, in_item};
use crate::row::decimal;

impl AvroSchema {
    /// Checks that the payload is one value of the schema, to its last byte.
    pub(crate) fn check(&self, payload: &[u8]) -> Result<(), Fault> {
        let mut input = Cursor::new(payload);
        self.check_node(self.root, &mut input, 0)?;
        input.finish()
    }

    /// Reads past one value, and fails where it is none. Most values hold no others, and are looked at
    /// without a call.
    #[inline(always)]
    pub(super) fn check_node(
        &self,
        id: NodeId,
        input: &mut Cursor,
        depth: u32,
    ) -> Result<(), Fault> {
        match self.node(id) {
            Node::Null => input.count_empty(),
            Node::Boolean => input.boolean().map(drop),
            Node::Int(kind) => check_range(input.int()?, kind.range()),
            Node::Long(kind) => check_range(input.long()?, kind.range()),
            Node::Float => input.take(4).map(drop),
            Node::Double => input.take(8).map(drop),
            Node::String => check_text(input.bytes()?),
            Node::Bytes(kind) => check_bytes(*kind, input.bytes()?),
            Node::Fixed(fixed) => check_bytes(fixed.kind, input.take(fixed.size)?),
            Node::Enum(symbols) => input.index(symbols.symbols.len(), "symbol").map(drop),
            Node::Union(branches) => {
                let branch = branches[input.index(branches.len(), "union branch")?];
                match self.node(branch) {
                    Node::Null => Ok(()),
                    Node::String => check_text(input.bytes()?),
                    _ => self.check_nested(branch, input, deeper(depth)?),
                }
            }
            Node::Record(_) | Node::Array(_) | Node::Map(_) => self.check_nested(id, input, depth),
        }
    }

    #[inline(never)]
    fn check_nested(&self, id: NodeId, input: &mut Cursor, depth: u32) -> Result<(), Fault> {
        match self.node(id) {
            Node::Record(record) => {
                input.count_empty()?;
                input.count_held(record.fields.len())?;
                let depth = deeper(depth)?;
                for field in &record.fields {
                    self.check_node(field.node, input, depth)
                        .map_err(|e| in_field(e, &field.name))?;
                }
                Ok(())
            }
            Node::Array(items) => {
                let depth = deeper(depth)?;
                each_item(input, |input, index| {
                    self.check_node(*items, input, depth)
                        .map_err(|e| in_item(e, index))
                })
            }
            Node::Map(values) => {
                let depth = deeper(depth)?;
                each_item(input, |input, index| {
                    let key = input.string().map_err(|e| in_item(e, index))?;
                    self.check_node(*values, input, depth)
                        .map_err(|e| in_item(e, key))
                })
            }
            // The branch of a union.
            _ => self.check_node(id, input, depth),
        }
    }
}

/// Short texts are mostly ASCII, which is quicker to see than that they are UTF-8.
#[inline]
fn check_text(bytes: &[u8]) -> Result<(), Fault> {
    if bytes.is_ascii() {
        return Ok(());
    }
    text(bytes).map(drop)
}

#[inline]
fn check_range<T: PartialOrd + std::fmt::Display>(
    value: T,
    (min, max): (T, T),
) -> Result<(), Fault> {
    if value < min || value > max {
        return Err(out_of_range(value, min, max));
    }
    Ok(())
}

#[cold]
pub(super) fn out_of_range<T: std::fmt::Display>(value: T, min: T, max: T) -> Fault {
    fault(format!("{value} is not from {min} to {max}"))
}

fn check_bytes(kind: BytesKind, bytes: &[u8]) -> Result<(), Fault> {
    match kind {
        BytesKind::Plain | BytesKind::WideDecimal => Ok(()),
        BytesKind::Decimal { precision, scale } => read_decimal(bytes, precision, scale).map(drop),
    }
}

pub(super) fn read_decimal(bytes: &[u8], precision: u8, scale: u8) -> Result<i128, Fault> {
    match decimal::from_be_bytes(bytes) {
        Some(unscaled) if decimal::fits(unscaled, precision) => Ok(unscaled),
        _ if bytes.is_empty() => Err(fault("a decimal has no bytes")),
        _ => Err(fault(format!(
            "the value does not fit DECIMAL({precision},{scale})"
        ))),
    }
}

#[inline]
pub(super) fn deeper(depth: u32) -> Result<u32, Fault> {
    if depth == MAX_DEPTH {
        return Err(fault(format!("is nested deeper than {MAX_DEPTH} levels")));
    }
    Ok(depth + 1)
}
