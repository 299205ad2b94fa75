//! The one form of a payload among those that decode to the same value: numbers and decimals in their
//! shortest bytes, one not-a-number, arrays and maps in one block without a size, map entries in the order of their keys.

use std::collections::BTreeMap;

use super::check::{deeper, read_decimal};
use super::cursor::{Cursor, each_item};
use super::encode::{write_bytes, write_count, write_long};
use super::schema::{AvroSchema, BytesKind, Node, NodeId};
use crate::codec::error::{Fault, in_field, in_item};
use crate::row::{decimal, number};

impl AvroSchema {
    pub(crate) fn canonical(&self, payload: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut input = Cursor::new(payload);
        let mut out = Vec::with_capacity(payload.len());
        self.rewrite(self.root, &mut input, &mut out, 0)?;
        input.finish()?;
        Ok(out)
    }

    fn rewrite(
        &self,
        id: NodeId,
        input: &mut Cursor,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Fault> {
        match self.node(id) {
            Node::Int(_) | Node::Long(_) | Node::Enum(_) => {
                let value = Cursor::new(input.rest()).long()?;
                self.check_node(id, input, depth)?;
                write_long(value, out);
            }
            Node::Bytes(BytesKind::Decimal { precision, scale }) => {
                let unscaled = read_decimal(input.bytes()?, *precision, *scale)?;
                write_bytes(&decimal::to_be_bytes(unscaled), out);
            }
            Node::String | Node::Bytes(_) => {
                let bytes = Cursor::new(input.rest()).bytes()?;
                self.check_node(id, input, depth)?;
                write_bytes(bytes, out);
            }
            Node::Float => {
                out.extend_from_slice(&number::one_nan_float(input.float()?).to_le_bytes());
            }
            Node::Double => {
                out.extend_from_slice(&number::one_nan(input.double()?).to_le_bytes());
            }
            Node::Null | Node::Boolean | Node::Fixed(_) => {
                let before = input.rest();
                self.check_node(id, input, depth)?;
                out.extend_from_slice(&before[..before.len() - input.rest().len()]);
            }
            Node::Record(record) => {
                input.count_empty()?;
                input.count_held(record.fields.len())?;
                let depth = deeper(depth)?;
                for field in &record.fields {
                    self.rewrite(field.node, input, out, depth)
                        .map_err(|e| in_field(e, &field.name))?;
                }
            }
            Node::Union(branches) => {
                let index = input.index(branches.len(), "union branch")?;
                write_long(index as i64, out);
                self.rewrite(branches[index], input, out, deeper(depth)?)?;
            }
            Node::Array(items) => {
                let (depth, mut count, mut body) = (deeper(depth)?, 0, Vec::new());
                each_item(input, |input, index| {
                    count += 1;
                    self.rewrite(*items, input, &mut body, depth)
                        .map_err(|e| in_item(e, index))
                })?;
                write_count(count, out);
                out.append(&mut body);
                out.push(0);
            }
            Node::Map(values) => {
                let (depth, mut entries) = (deeper(depth)?, BTreeMap::new());
                each_item(input, |input, index| {
                    let (key, mut value) =
                        (input.string().map_err(|e| in_item(e, index))?, Vec::new());
                    self.rewrite(*values, input, &mut value, depth)
                        .map_err(|e| in_item(e, key))?;
                    entries.insert(key.as_bytes(), value);
                    Ok(())
                })?;
                write_count(entries.len(), out);
                for (key, value) in entries {
                    write_bytes(key, out);
                    out.extend_from_slice(&value);
                }
                out.push(0);
            }
        }
        Ok(())
    }
}
