//! The one form of a message: fields in the order of their numbers, repeated ones packed as the schema
//! says, defaults and unknown fields left out, map entries in the order of their bytes.

use super::encode::write_tagged;
use super::message::{Parts, merged, unpacked};
use super::schema::{Field, Kind, MessageId, ProtoSchema, Shape};
use super::value;
use super::wire::{Raw, deeper};
use crate::codec::error::{Fault, fault, in_field};

impl ProtoSchema {
    pub(crate) fn canonical(&self, id: MessageId, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        self.check(id, bytes)?;
        self.rewrite(id, bytes, 0)
    }

    fn rewrite(&self, id: MessageId, bytes: &[u8], depth: u32) -> Result<Vec<u8>, Fault> {
        let message = &self.messages[id];
        let depth = deeper(depth)?;
        let parts = Parts::read(message, bytes, depth)?;
        let mut out = Vec::with_capacity(bytes.len());
        for (field, values) in message.fields.iter().zip(&parts.values) {
            self.rewrite_field(field, values, depth, &mut out)
                .map_err(|e| in_field(e, &field.name))?;
        }
        Ok(out)
    }

    fn rewrite_field(
        &self,
        field: &Field,
        values: &[Raw],
        depth: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        match field.shape {
            Shape::Required if values.is_empty() => return Err(fault("is required and missing")),
            _ if values.is_empty() => {}
            Shape::Repeated { packed: true } => {
                let mut body = Vec::new();
                for raw in unpacked(field.kind, values)? {
                    value::write(value::canonical(field.kind, raw), &mut body);
                }
                if !body.is_empty() {
                    write_tagged(field, Raw::Length(&body), out);
                }
            }
            Shape::Repeated { packed: false } => {
                for raw in unpacked(field.kind, values)? {
                    self.rewrite_value(field, &[raw], true, depth, out)?;
                }
            }
            Shape::Map => {
                let mut entries = Vec::new();
                for raw in values {
                    let mut entry = Vec::new();
                    self.rewrite_value(field, &[*raw], true, depth, &mut entry)?;
                    entries.push(entry);
                }
                entries.sort();
                out.extend(entries.concat());
            }
            shape => self.rewrite_value(field, values, shape != Shape::Implicit, depth, out)?,
        }
        Ok(())
    }

    fn rewrite_value(
        &self,
        field: &Field,
        values: &[Raw],
        keep_default: bool,
        depth: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        match field.kind {
            Kind::Message(id) => {
                let body = self.rewrite(id, &merged(values), depth)?;
                write_tagged(field, Raw::Length(&body), out);
            }
            Kind::Group(id) => {
                let body = self.rewrite(id, &merged(values), depth)?;
                write_tagged(field, Raw::Group(&body), out);
            }
            kind => {
                let last = values.last().expect("the caller has a value");
                let raw = value::canonical(kind, *last);
                if keep_default || !value::is_default(raw) {
                    write_tagged(field, raw, out);
                }
            }
        }
        Ok(())
    }
}
