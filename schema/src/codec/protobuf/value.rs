//! Single values: between the wire and JSON.

use arrow_schema::{DataType, TimeUnit};
use serde_json::Value;

use super::message::Parts;
use super::schema::{Enum, Field, Kind, Meaning, Message};
use super::wire::{Raw, unzigzag, write_varint, zigzag};
use crate::codec::error::{Fault, fault};
use crate::row::{Scalar, bytes_to_text, datetime, expected, number, scalar_from_json};

/// The column type of a value that is no message.
pub(super) fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Double => DataType::Float64,
        Kind::Float => DataType::Float32,
        Kind::Int32 | Kind::SInt32 | Kind::SFixed32 => DataType::Int32,
        Kind::Int64 | Kind::SInt64 | Kind::SFixed64 | Kind::UInt32 | Kind::Fixed32 => {
            DataType::Int64
        }
        Kind::UInt64 | Kind::Fixed64 => DataType::Decimal128(20, 0),
        Kind::Bool => DataType::Boolean,
        Kind::String | Kind::Enum(_) => DataType::Utf8,
        Kind::Bytes => DataType::Binary,
        Kind::Message(_) | Kind::Group(_) => unreachable!("messages are asked for their own type"),
    }
}

/// The column type of a message that stands for one value; `None` for a plain one.
pub(super) fn meant_type(message: &Message) -> Option<DataType> {
    match message.meaning {
        Meaning::Plain => None,
        Meaning::Timestamp => Some(DataType::Timestamp(
            TimeUnit::Microsecond,
            Some("UTC".into()),
        )),
        Meaning::Wrapper => Some(data_type(message.fields[0].kind)),
        Meaning::Date => Some(DataType::Date32),
        Meaning::TimeOfDay => Some(DataType::Time64(TimeUnit::Nanosecond)),
    }
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    str::from_utf8(bytes).map_err(|e| fault(format!("the string is not UTF-8: {e}")))
}

/// The number of an integer kind, in 64 bits; unsigned ones as their bits.
fn integer(kind: Kind, raw: Raw) -> i64 {
    match (kind, raw) {
        (Kind::Int32 | Kind::Enum(_), Raw::Varint(v)) => i64::from(v as i32),
        (Kind::UInt32, Raw::Varint(v)) => i64::from(v as u32),
        (Kind::SInt32, Raw::Varint(v)) => i64::from(unzigzag(u64::from(v as u32)) as i32),
        (Kind::SInt64, Raw::Varint(v)) => unzigzag(v),
        (Kind::SFixed32, Raw::Fixed32(v)) => i64::from(v as i32),
        (_, Raw::Fixed32(v)) => i64::from(v),
        (_, Raw::Varint(v) | Raw::Fixed64(v)) => v as i64,
        (kind, raw) => unreachable!("{raw:?} is no {kind:?}, and wire types were checked"),
    }
}

/// A value that is no message, as JSON.
pub(super) fn to_json(kind: Kind, raw: Raw, enums: &[Enum]) -> Result<Value, Fault> {
    Ok(match (kind, raw) {
        (Kind::Double, Raw::Fixed64(bits)) => number::double_to_json(f64::from_bits(bits)),
        (Kind::Float, Raw::Fixed32(bits)) => number::float_to_json(f32::from_bits(bits)),
        (Kind::Bool, Raw::Varint(v)) => (v != 0).into(),
        (Kind::String, Raw::Length(bytes)) => text(bytes)?.into(),
        (Kind::Bytes, Raw::Length(bytes)) => bytes_to_text(bytes).into(),
        (Kind::UInt64 | Kind::Fixed64, raw) => (integer(kind, raw) as u64).to_string().into(),
        (Kind::Enum(id), raw) => {
            let number = integer(kind, raw) as i32;
            match enums[id].name_of(number) {
                Some(name) => name.into(),
                None => number.to_string().into(),
            }
        }
        (kind, raw) => integer(kind, raw).into(),
    })
}

/// The value of a field that is absent and has no presence.
pub(super) fn default_json(kind: Kind, enums: &[Enum]) -> Value {
    match kind {
        Kind::Double | Kind::Float => 0.0.into(),
        Kind::Bool => false.into(),
        Kind::String | Kind::Bytes => "".into(),
        Kind::UInt64 | Kind::Fixed64 => "0".into(),
        Kind::Enum(id) => enums[id].name_of(0).unwrap_or("0").into(),
        _ => 0.into(),
    }
}

/// A JSON value for the wire. Bytes live in `buffer`.
pub(super) fn from_json<'a>(
    kind: Kind,
    value: &Value,
    enums: &[Enum],
    buffer: &'a mut Vec<u8>,
) -> Result<Raw<'a>, Fault> {
    if let Kind::Enum(id) = kind {
        let name = value.as_str().unwrap_or_default();
        let number = enums[id].number_of(name).or_else(|| name.parse().ok());
        let names = || {
            enums[id]
                .values
                .iter()
                .map(|(n, _)| n.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let number = number.ok_or_else(|| fault(format!("{value} is not one of {}", names())))?;
        return Ok(Raw::Varint(i64::from(number) as u64));
    }
    let data_type = data_type(kind);
    let scalar = scalar_from_json(&data_type, value).map_err(fault)?;
    Ok(match (kind, scalar) {
        (Kind::Double, Scalar::Double(v)) => Raw::Fixed64(v.to_bits()),
        (Kind::Float, Scalar::Float(v)) => Raw::Fixed32(v.to_bits()),
        (Kind::Bool, Scalar::Boolean(v)) => Raw::Varint(u64::from(v)),
        (Kind::String, Scalar::Text(v)) => {
            *buffer = v.into_bytes();
            Raw::Length(buffer)
        }
        (Kind::Bytes, Scalar::Bytes(v)) => {
            *buffer = v;
            Raw::Length(buffer)
        }
        (Kind::UInt64 | Kind::Fixed64, Scalar::Decimal(v)) => {
            let v = u64::try_from(v)
                .map_err(|_| fault(format!("{value} is not from 0 to 2^64 - 1")))?;
            if kind == Kind::UInt64 {
                Raw::Varint(v)
            } else {
                Raw::Fixed64(v)
            }
        }
        (Kind::UInt32 | Kind::Fixed32, Scalar::Int(v)) => {
            let v = u32::try_from(v)
                .map_err(|_| fault(format!("{value} is not from 0 to 4294967295")))?;
            if kind == Kind::UInt32 {
                Raw::Varint(v.into())
            } else {
                Raw::Fixed32(v)
            }
        }
        (Kind::SInt32 | Kind::SInt64, Scalar::Int(v)) => Raw::Varint(zigzag(v)),
        (Kind::SFixed32, Scalar::Int(v)) => Raw::Fixed32(v as u32),
        (Kind::SFixed64, Scalar::Int(v)) => Raw::Fixed64(v as u64),
        (Kind::Int32 | Kind::Int64, Scalar::Int(v)) => Raw::Varint(v as u64),
        _ => return Err(fault(format!("{value} is not {}", expected(&data_type)))),
    })
}

/// The same value in its shortest form: a varint of a narrow kind may carry bits that do not count.
pub(super) fn canonical(kind: Kind, raw: Raw) -> Raw {
    match (kind, raw) {
        (Kind::Bool, Raw::Varint(v)) => Raw::Varint(u64::from(v != 0)),
        (Kind::Int32 | Kind::UInt32 | Kind::Enum(_), raw) => Raw::Varint(integer(kind, raw) as u64),
        (Kind::SInt32, raw) => Raw::Varint(zigzag(integer(kind, raw))),
        (Kind::Double, Raw::Fixed64(bits)) => {
            Raw::Fixed64(number::one_nan(f64::from_bits(bits)).to_bits())
        }
        (Kind::Float, Raw::Fixed32(bits)) => {
            Raw::Fixed32(number::one_nan_float(f32::from_bits(bits)).to_bits())
        }
        (_, raw) => raw,
    }
}

/// Whether a field without presence leaves this value out.
pub(super) fn is_default(raw: Raw) -> bool {
    match raw {
        Raw::Varint(v) | Raw::Fixed64(v) => v == 0,
        Raw::Fixed32(v) => v == 0,
        Raw::Length(bytes) | Raw::Group(bytes) => bytes.is_empty(),
    }
}

/// Writes a value without its tag.
pub(super) fn write(raw: Raw, out: &mut Vec<u8>) {
    match raw {
        Raw::Varint(v) => write_varint(v, out),
        Raw::Fixed64(v) => out.extend_from_slice(&v.to_le_bytes()),
        Raw::Fixed32(v) => out.extend_from_slice(&v.to_le_bytes()),
        Raw::Length(bytes) => {
            write_varint(bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        Raw::Group(_) => unreachable!("groups are written with their tags"),
    }
}

/// The integers of a message that means a date or a time, absent ones 0.
fn numbers(message: &Message, bytes: &[u8], depth: u32) -> Result<Vec<i64>, Fault> {
    let parts = Parts::read(message, bytes, depth)?;
    let value = |(field, values): (&Field, &Vec<Raw>)| {
        values.last().map_or(0, |raw| integer(field.kind, *raw))
    };
    Ok(message
        .fields
        .iter()
        .zip(&parts.values)
        .map(value)
        .collect())
}

/// A message that stands for one value, as JSON; `None` for a plain one.
pub(super) fn meant_json(
    message: &Message,
    bytes: &[u8],
    enums: &[Enum],
    depth: u32,
) -> Result<Option<Value>, Fault> {
    let value = match message.meaning {
        Meaning::Plain => return Ok(None),
        Meaning::Wrapper => {
            let (field, parts) = (&message.fields[0], Parts::read(message, bytes, depth)?);
            match parts.values[0].last() {
                Some(raw) => to_json(field.kind, *raw, enums)?,
                None => default_json(field.kind, enums),
            }
        }
        Meaning::Timestamp => {
            let parts = numbers(message, bytes, depth)?;
            let micros = parts[0]
                .checked_mul(1_000_000)
                .and_then(|s| s.checked_add(parts[1] / 1_000));
            let micros = micros.filter(|_| (0..1_000_000_000).contains(&parts[1]));
            let micros = micros.ok_or_else(|| fault("the timestamp is out of range"))?;
            datetime::timestamp_to_text(micros, TimeUnit::Microsecond, true).into()
        }
        Meaning::Date => {
            let parts = numbers(message, bytes, depth)?;
            let text = format!("{:04}-{:02}-{:02}", parts[0], parts[1], parts[2]);
            let days = datetime::date_from_text(&text).filter(|_| (1..=9999).contains(&parts[0]));
            match days {
                Some(_) => text.into(),
                None => return Err(fault(format!("{text} is not a date"))),
            }
        }
        Meaning::TimeOfDay => {
            let parts = numbers(message, bytes, depth)?;
            let limits = [24, 60, 60, 1_000_000_000];
            if parts
                .iter()
                .zip(limits)
                .any(|(part, limit)| !(0..limit).contains(part))
            {
                return Err(fault("the time of day is out of range"));
            }
            let seconds = (parts[0] * 60 + parts[1]) * 60 + parts[2];
            datetime::time_to_text(seconds * 1_000_000_000 + parts[3], TimeUnit::Nanosecond).into()
        }
    };
    Ok(Some(value))
}

/// Fails where a message that stands for one value holds none. A wrapper always does.
pub(super) fn check_meaning(message: &Message, bytes: &[u8], depth: u32) -> Result<(), Fault> {
    match message.meaning {
        Meaning::Plain | Meaning::Wrapper => Ok(()),
        Meaning::Timestamp | Meaning::Date | Meaning::TimeOfDay => {
            meant_json(message, bytes, &[], depth).map(drop)
        }
    }
}

/// The numbers of the message that stands for a date or time, in the order of its fields.
pub(super) fn meant_numbers(
    meaning: Meaning,
    data_type: &DataType,
    value: &Value,
) -> Result<Vec<i64>, Fault> {
    let Scalar::Int(units) = scalar_from_json(data_type, value).map_err(fault)? else {
        return Err(fault(format!("{value} is not {}", expected(data_type))));
    };
    Ok(match meaning {
        Meaning::Timestamp => vec![
            units.div_euclid(1_000_000),
            units.rem_euclid(1_000_000) * 1_000,
        ],
        Meaning::TimeOfDay => {
            let seconds = units / 1_000_000_000;
            vec![
                seconds / 3600,
                seconds / 60 % 60,
                seconds % 60,
                units % 1_000_000_000,
            ]
        }
        Meaning::Date => {
            let text = datetime::date_to_text(units);
            let parts: Vec<i64> = text.split('-').filter_map(|p| p.parse().ok()).collect();
            if parts.len() != 3 || text.starts_with(['+', '-']) {
                return Err(fault(format!("{text} is not in the years 0001 to 9999")));
            }
            parts
        }
        Meaning::Plain | Meaning::Wrapper => unreachable!("only dates and times are numbers"),
    })
}
