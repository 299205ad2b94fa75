//! A message as JSON.

use serde_json::{Map, Value};

use super::message::{Parts, merged, unpacked};
use super::schema::{Field, Kind, MessageId, ProtoSchema, Shape};
use super::value;
use super::wire::{Budget, Raw, deeper};
use crate::codec::error::{Fault, fault, in_field, in_item};

impl ProtoSchema {
    pub(crate) fn check(&self, id: MessageId, bytes: &[u8]) -> Result<(), Fault> {
        self.check_message(id, bytes, 0, &mut Budget::new())
    }

    pub(crate) fn decode(&self, id: MessageId, bytes: &[u8]) -> Result<Value, Fault> {
        // Reading looks at those values alone that count.
        self.check(id, bytes)?;
        Reading {
            schema: self,
            budget: Budget::new(),
        }
        .message(id, bytes, 0)
    }
}

struct Reading<'s> {
    schema: &'s ProtoSchema,
    budget: Budget,
}

impl Reading<'_> {
    fn message(&mut self, id: MessageId, bytes: &[u8], depth: u32) -> Result<Value, Fault> {
        let message = &self.schema.messages[id];
        let depth = deeper(depth)?;
        self.budget.take(message.fields.len())?;
        if let Some(value) = value::meant_json(message, bytes, &self.schema.enums, depth)? {
            return Ok(value);
        }
        let parts = Parts::read(message, bytes, depth)?;
        let mut row = Map::with_capacity(message.fields.len());
        for (field, values) in message.fields.iter().zip(&parts.values) {
            let value = self
                .field(field, values, depth)
                .map_err(|e| in_field(e, &field.name))?;
            row.insert(field.name.clone(), value);
        }
        Ok(Value::Object(row))
    }

    fn field(&mut self, field: &Field, values: &[Raw], depth: u32) -> Result<Value, Fault> {
        match field.shape {
            Shape::Repeated { .. } => {
                let mut items = Vec::new();
                for (index, raw) in unpacked(field.kind, values)?.into_iter().enumerate() {
                    self.budget.take(0)?;
                    items.push(
                        self.value(field.kind, &[raw], depth)
                            .map_err(|e| in_item(e, index))?,
                    );
                }
                Ok(Value::Array(items))
            }
            Shape::Map => self.map(field.kind, values, depth),
            Shape::Required if values.is_empty() => Err(fault("is required and missing")),
            Shape::Optional if values.is_empty() => Ok(Value::Null),
            Shape::Implicit if values.is_empty() => {
                Ok(value::default_json(field.kind, &self.schema.enums))
            }
            _ => self.value(field.kind, values, depth),
        }
    }

    /// One value; several of a message are merged.
    fn value(&mut self, kind: Kind, values: &[Raw], depth: u32) -> Result<Value, Fault> {
        match kind {
            Kind::Message(id) | Kind::Group(id) => self.message(id, &merged(values), depth),
            kind => {
                let last = values.last().expect("the caller has a value");
                value::to_json(kind, *last, &self.schema.enums)
            }
        }
    }

    /// An object where the keys are strings, else an array of pairs. The last value of a key counts.
    fn map(&mut self, entry: Kind, values: &[Raw], depth: u32) -> Result<Value, Fault> {
        let Kind::Message(id) = entry else {
            unreachable!("a map's entries are messages")
        };
        let entry = &self.schema.messages[id];
        let (key_kind, value_kind) = (entry.fields[0].kind, entry.fields[1].kind);
        let depth = deeper(depth)?;
        let mut map: Map<String, Value> = Map::new();
        let mut keys = Vec::new();
        for (index, raw) in values.iter().enumerate() {
            self.budget.take(2)?;
            let bytes = merged(&[*raw]).into_owned();
            let parts = Parts::read(entry, &bytes, depth).map_err(|e| in_item(e, index))?;
            let key = match parts.values[0].last() {
                Some(raw) => value::to_json(key_kind, *raw, &self.schema.enums),
                None => Ok(value::default_json(key_kind, &self.schema.enums)),
            };
            let key = key.map_err(|e| in_item(e, index))?;
            let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            let value = match (&parts.values[1][..], value_kind) {
                ([], Kind::Message(id)) => self.message(id, &[], depth),
                ([], kind) => Ok(value::default_json(kind, &self.schema.enums)),
                (values, kind) => self.value(kind, values, depth),
            };
            let value = value.map_err(|e| in_item(e, &name))?;
            if map.insert(name.clone(), value).is_none() {
                keys.push(key);
            }
        }
        if key_kind == Kind::String {
            return Ok(Value::Object(map));
        }
        // The map kept the order in which its keys came first.
        let pairs = keys
            .into_iter()
            .zip(map)
            .map(|(key, (_, value))| Value::Array(vec![key, value]));
        Ok(pairs.collect())
    }
}
