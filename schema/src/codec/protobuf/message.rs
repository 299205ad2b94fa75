//! One message taken apart: for each field of its schema, the values that stand on the wire.

use std::borrow::Cow;

use super::schema::{Field, Kind, Message, ProtoSchema, Shape, WireType};
use super::value;
use super::wire::{Budget, Raw, Wire, deeper};
use crate::codec::error::{Fault, fault, in_field};

/// The values of each field, by the field's position. Fields that the schema lacks are left out.
pub(super) struct Parts<'a> {
    pub values: Vec<Vec<Raw<'a>>>,
}

impl<'a> Parts<'a> {
    /// Reads a message's bytes. Of several values of a field that has one, the last counts, and so
    /// does the last of a oneof's fields; values of a nested message are all kept, to be merged.
    pub(super) fn read(message: &Message, bytes: &'a [u8], depth: u32) -> Result<Parts<'a>, Fault> {
        let mut parts = Parts {
            values: vec![Vec::new(); message.fields.len()],
        };
        // The field of each oneof that came last, where one did.
        let mut chosen: Vec<usize> = Vec::new();
        let mut wire = Wire::new(bytes);
        let mut hint = 0;
        while !wire.is_empty() {
            let (number, raw) = wire.field(depth)?;
            let Some((position, field)) = message.field(number, hint) else {
                continue;
            };
            hint = position;
            check_wire_type(field, raw.wire_type()).map_err(|e| in_field(e, &field.name))?;
            if let Some(oneof) = field.oneof {
                if chosen.len() <= oneof {
                    chosen.resize(oneof + 1, position);
                }
                let before = std::mem::replace(&mut chosen[oneof], position);
                if before != position && message.fields[before].oneof == Some(oneof) {
                    parts.values[before].clear();
                }
            }
            let values = &mut parts.values[position];
            let merged = matches!(field.kind, Kind::Message(_) | Kind::Group(_));
            if !merged && !matches!(field.shape, Shape::Repeated { .. } | Shape::Map) {
                values.clear();
            }
            values.push(raw);
        }
        Ok(parts)
    }
}

/// A field's values lie as its kind says; those of a repeated field may also be packed.
pub(super) fn check_wire_type(field: &Field, found: WireType) -> Result<(), Fault> {
    let packed = matches!(field.shape, Shape::Repeated { .. })
        && field.kind.packable()
        && found == WireType::Length;
    if found == field.kind.wire_type() || packed {
        return Ok(());
    }
    let (number, expected) = (field.number, field.kind.wire_type());
    Err(fault(format!(
        "field number {number} has wire type {}, not {}",
        found.number(),
        expected.number()
    )))
}

/// The bytes of a nested message. Several values are one message: Protobuf merges by concatenation.
pub(super) fn merged<'a>(values: &[Raw<'a>]) -> Cow<'a, [u8]> {
    let bytes = |raw: &Raw<'a>| match raw {
        Raw::Length(bytes) | Raw::Group(bytes) => *bytes,
        other => unreachable!("{other:?} is not a message, and wire types were checked"),
    };
    match values {
        [only] => Cow::Borrowed(bytes(only)),
        several => Cow::Owned(several.iter().map(bytes).collect::<Vec<_>>().concat()),
    }
}

/// The values of a repeated field, packed ones taken apart.
pub(super) fn unpacked<'a>(kind: Kind, values: &[Raw<'a>]) -> Result<Vec<Raw<'a>>, Fault> {
    let mut all = Vec::with_capacity(values.len());
    for raw in values {
        match raw {
            Raw::Length(packed) if kind.packable() => {
                let mut wire = Wire::new(packed);
                while !wire.is_empty() {
                    all.push(packed_value(kind, &mut wire)?);
                }
            }
            raw => all.push(*raw),
        }
    }
    Ok(all)
}

fn packed_value<'a>(kind: Kind, wire: &mut Wire<'a>) -> Result<Raw<'a>, Fault> {
    Ok(match kind.wire_type() {
        WireType::Fixed32 => Raw::Fixed32(wire.fixed32()?),
        WireType::Fixed64 => Raw::Fixed64(wire.fixed64()?),
        _ => Raw::Varint(wire.varint()?),
    })
}

impl ProtoSchema {
    /// Walks a message and everything in it; keeps nothing.
    pub(super) fn check_message(
        &self,
        id: usize,
        bytes: &[u8],
        depth: u32,
        budget: &mut Budget,
    ) -> Result<(), Fault> {
        let message = &self.messages[id];
        let depth = deeper(depth)?;
        budget.take(message.fields.len())?;
        let mut wire = Wire::new(bytes);
        let (mut hint, mut required) = (0, message.required);
        while !wire.is_empty() {
            let (number, raw) = wire.field(depth)?;
            let Some((position, field)) = message.field(number, hint) else {
                continue;
            };
            hint = position;
            if field.shape == Shape::Required {
                required = required.saturating_sub(1);
            }
            let checked = check_wire_type(field, raw.wire_type())
                .and_then(|()| self.check_value(field, raw, depth, budget));
            checked.map_err(|e| in_field(e, &field.name))?;
        }
        if required > 0 {
            self.check_required(message, bytes, depth)?;
        }
        value::check_meaning(message, bytes, depth)
    }

    fn check_value(
        &self,
        field: &Field,
        raw: Raw,
        depth: u32,
        budget: &mut Budget,
    ) -> Result<(), Fault> {
        match (field.kind, raw) {
            (Kind::Message(id) | Kind::Group(id), Raw::Length(bytes) | Raw::Group(bytes)) => {
                self.check_message(id, bytes, depth, budget)
            }
            (Kind::String, Raw::Length(bytes)) => value::text(bytes).map(drop),
            (Kind::Bytes, _) => Ok(()),
            (kind, Raw::Length(packed)) => {
                let mut wire = Wire::new(packed);
                while !wire.is_empty() {
                    packed_value(kind, &mut wire)?;
                    budget.take(0)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Names a required field that is missing.
    pub(super) fn check_required(
        &self,
        message: &Message,
        bytes: &[u8],
        depth: u32,
    ) -> Result<(), Fault> {
        let parts = Parts::read(message, bytes, depth)?;
        for (field, values) in message.fields.iter().zip(&parts.values) {
            if field.shape == Shape::Required && values.is_empty() {
                return Err(in_field(fault("is required and missing"), &field.name));
            }
        }
        Ok(())
    }
}
