//! JSON as a message: fields in the order of their numbers, defaults left out.

use serde_json::{Map, Value};

use super::schema::{Field, Kind, Meaning, MessageId, ProtoSchema, Shape, WireType};
use super::value;
use super::wire::{Raw, deeper, write_varint};
use crate::codec::error::{Fault, fault, in_field, in_item};

impl ProtoSchema {
    pub(crate) fn encode(&self, id: MessageId, value: &Value) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        self.encode_message(id, value, &mut out, 0)?;
        Ok(out)
    }

    fn encode_message(
        &self,
        id: MessageId,
        value: &Value,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Fault> {
        let message = &self.messages[id];
        let depth = deeper(depth)?;
        match (message.meaning, value::meant_type(message)) {
            (Meaning::Wrapper, _) => {
                return self.encode_single(&message.fields[0], value, false, out, depth);
            }
            (meaning, Some(data_type)) => {
                for (field, number) in message
                    .fields
                    .iter()
                    .zip(value::meant_numbers(meaning, &data_type, value)?)
                {
                    if number != 0 {
                        write_tagged(field, Raw::Varint(number as u64), out);
                    }
                }
                return Ok(());
            }
            (_, None) => {}
        }
        let Value::Object(row) = value else {
            return Err(fault(format!(
                "{} is not an object ({})",
                shown(value),
                message.full_name
            )));
        };
        if let Some(name) = row
            .keys()
            .find(|name| !message.fields.iter().any(|f| f.name == **name))
        {
            return Err(in_field(
                fault(format!("{} has no such field", message.full_name)),
                name,
            ));
        }
        check_oneofs(&message.fields, row)?;
        for field in &message.fields {
            let written = self.encode_field(field, row.get(&field.name), out, depth);
            written.map_err(|e| in_field(e, &field.name))?;
        }
        Ok(())
    }

    fn encode_field(
        &self,
        field: &Field,
        value: Option<&Value>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Fault> {
        match (field.shape, value) {
            (Shape::Required, None | Some(Value::Null)) => Err(fault("is required and missing")),
            (_, None) | (Shape::Optional, Some(Value::Null)) => Ok(()),
            (Shape::Repeated { packed }, Some(Value::Array(values))) => {
                self.encode_repeated(field, values, packed, out, depth)
            }
            (Shape::Map, Some(value)) => self.encode_map(field, value, out, depth),
            (Shape::Repeated { .. }, Some(value)) => {
                Err(fault(format!("{} is not an array", shown(value))))
            }
            (shape, Some(value)) => {
                self.encode_single(field, value, shape != Shape::Implicit, out, depth)
            }
        }
    }

    /// Writes one value with its tag; a default only where `keep_default`.
    fn encode_single(
        &self,
        field: &Field,
        value: &Value,
        keep_default: bool,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Fault> {
        match field.kind {
            Kind::Message(id) => {
                let mut body = Vec::new();
                self.encode_message(id, value, &mut body, depth)?;
                write_tagged(field, Raw::Length(&body), out);
            }
            Kind::Group(id) => {
                let mut body = Vec::new();
                self.encode_message(id, value, &mut body, depth)?;
                write_tagged(field, Raw::Group(&body), out);
            }
            kind => {
                let mut buffer = Vec::new();
                let raw = value::from_json(kind, value, &self.enums, &mut buffer)?;
                if keep_default || !value::is_default(raw) {
                    write_tagged(field, raw, out);
                }
            }
        }
        Ok(())
    }

    fn encode_repeated(
        &self,
        field: &Field,
        values: &[Value],
        packed: bool,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Fault> {
        if !packed || values.is_empty() {
            let each = |(i, v)| {
                self.encode_single(field, v, true, out, depth)
                    .map_err(|e| in_item(e, i))
            };
            return values.iter().enumerate().try_for_each(each);
        }
        let mut body = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let mut buffer = Vec::new();
            let raw = value::from_json(field.kind, value, &self.enums, &mut buffer)
                .map_err(|e| in_item(e, index))?;
            value::write(raw, &mut body);
        }
        write_tagged(field, Raw::Length(&body), out);
        Ok(())
    }

    /// Takes an object, or an array of pairs; entries always have both key and value.
    fn encode_map(
        &self,
        field: &Field,
        value: &Value,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Fault> {
        let Kind::Message(id) = field.kind else {
            unreachable!("a map's entries are messages")
        };
        let (key_field, value_field) = (&self.messages[id].fields[0], &self.messages[id].fields[1]);
        let depth = deeper(depth)?;
        let mut entry = |key: &Value, value: &Value| {
            let mut body = Vec::new();
            self.encode_single(key_field, key, true, &mut body, depth)?;
            self.encode_single(value_field, value, true, &mut body, depth)?;
            write_tagged(field, Raw::Length(&body), out);
            Ok(())
        };
        match value {
            Value::Object(map) if key_field.kind == Kind::String => {
                map.iter().try_for_each(|(key, value)| {
                    entry(&key.as_str().into(), value).map_err(|e| in_item(e, key))
                })
            }
            Value::Array(pairs) if key_field.kind != Kind::String => pairs
                .iter()
                .enumerate()
                .try_for_each(|(i, pair)| match pair.as_array().map(Vec::as_slice) {
                    Some([key, value]) => entry(key, value).map_err(|e| in_item(e, key)),
                    _ => Err(in_item(fault("is not a pair [key, value]"), i)),
                }),
            Value::Object(_) | Value::Array(_) if key_field.kind == Kind::String => {
                Err(fault(format!("{} is not an object", shown(value))))
            }
            _ => Err(fault(format!(
                "{} is not an array of pairs [key, value]",
                shown(value)
            ))),
        }
    }
}

/// At most one field of a oneof has a value.
fn check_oneofs(fields: &[Field], row: &Map<String, Value>) -> Result<(), Fault> {
    let set = |field: &&Field| row.get(&field.name).is_some_and(|v| !v.is_null());
    let mut taken: Vec<(usize, &str)> = Vec::new();
    for field in fields.iter().filter(set) {
        let Some(oneof) = field.oneof else { continue };
        if let Some((_, other)) = taken.iter().find(|(o, _)| *o == oneof) {
            return Err(in_field(
                fault(format!("{other} is set, and only one of them can be")),
                &field.name,
            ));
        }
        taken.push((oneof, &field.name));
    }
    Ok(())
}

pub(super) fn write_tagged(field: &Field, raw: Raw, out: &mut Vec<u8>) {
    let tag = |wire_type: u64| u64::from(field.number) << 3 | wire_type;
    write_varint(tag(raw.wire_type().number()), out);
    match raw {
        Raw::Group(body) => {
            const END: u64 = 4;
            debug_assert_eq!(raw.wire_type(), WireType::Group);
            out.extend_from_slice(body);
            write_varint(tag(END), out);
        }
        raw => value::write(raw, out),
    }
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}
