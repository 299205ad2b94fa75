//! Order-preserving primary keys: byte order is column order, and a prefix of columns is a prefix of bytes.
//!
//! A raw key is its one column without a mark, as nothing follows it:
//!
//! ```text
//! string, bytes  the bytes themselves
//! int32          4 bytes, big-endian, sign bit flipped
//! int64          8 bytes, big-endian, sign bit flipped
//! ```
//!
//! A key with a schema is its columns one after the other, each with a mark:
//!
//! ```text
//! offset  size  field  encoding
//! 0       1     mark   u8: 0x01 null (nothing follows), 0x02 a value
//! 1       n     value  by the column's kind:
//!   boolean                     1 byte, 0 or 1
//!   int, date, time, timestamp  i64, big-endian, sign bit flipped
//!   float, double               IEEE 754, big-endian; sign bit flipped, all bits where it was set
//!   decimal                     i128 unscaled, big-endian, sign bit flipped
//!   text, bytes                 bytes with 0x00 as 0x00 0xFF, then 0x00
//! ```
//!
//! A mark is never 0xFF, so that the end of a text sorts before its continuation.

use std::ops::RangeInclusive;

use arrow_schema::DataType;
use weir_schema::row::Scalar;
use weir_schema::row::datetime::per_day;

const NULL: u8 = 0x01;
const VALUE: u8 = 0x02;
const ESCAPE: u8 = 0xFF;

/// Appends one column.
pub fn encode(scalar: &Scalar, out: &mut Vec<u8>) {
    if *scalar == Scalar::Null {
        return out.push(NULL);
    }
    out.push(VALUE);
    match scalar {
        Scalar::Null => {}
        Scalar::Boolean(b) => out.push(u8::from(*b)),
        Scalar::Int(n) => out.extend_from_slice(&flip64(*n)),
        Scalar::Float(x) => out.extend_from_slice(&order_f32(*x)),
        Scalar::Double(x) => out.extend_from_slice(&order_f64(*x)),
        Scalar::Decimal(n) => out.extend_from_slice(&(n ^ i128::MIN).to_be_bytes()),
        Scalar::Text(text) => terminated(text.as_bytes(), out),
        Scalar::Bytes(bytes) => terminated(bytes, out),
    }
}

/// Appends a text or bytes column without its end, so that everything that starts with it follows;
/// any other column is appended whole.
pub fn encode_open(scalar: &Scalar, out: &mut Vec<u8>) {
    encode(scalar, out);
    if matches!(scalar, Scalar::Text(_) | Scalar::Bytes(_)) {
        out.pop();
    }
}

/// Takes one column of `data_type` off `input`, or `None` where the bytes are not of that type.
pub fn decode(data_type: &DataType, input: &mut &[u8]) -> Option<Scalar> {
    match take::<1>(input)? {
        [NULL] => return Some(Scalar::Null),
        [VALUE] => {}
        _ => return None,
    }
    Some(match data_type {
        DataType::Boolean => match take::<1>(input)? {
            [0] => Scalar::Boolean(false),
            [1] => Scalar::Boolean(true),
            _ => return None,
        },
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Date32
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..) => {
            let number = unflip64(take::<8>(input)?);
            Scalar::Int(range(data_type).contains(&number).then_some(number)?)
        }
        DataType::Float32 => Scalar::Float(unorder_f32(take::<4>(input)?)),
        DataType::Float64 => Scalar::Double(unorder_f64(take::<8>(input)?)),
        DataType::Decimal128(..) => {
            Scalar::Decimal(i128::from_be_bytes(take::<16>(input)?) ^ i128::MIN)
        }
        DataType::Utf8 => Scalar::Text(String::from_utf8(unterminated(input)?).ok()?),
        DataType::Binary | DataType::FixedSizeBinary(_) => Scalar::Bytes(unterminated(input)?),
        _ => return None,
    })
}

/// The integers that a column of this type holds.
fn range(data_type: &DataType) -> RangeInclusive<i64> {
    match data_type {
        DataType::Int8 => i8::MIN.into()..=i8::MAX.into(),
        DataType::Int16 => i16::MIN.into()..=i16::MAX.into(),
        DataType::Int32 | DataType::Date32 => i32::MIN.into()..=i32::MAX.into(),
        DataType::Time32(unit) | DataType::Time64(unit) => 0..=per_day(*unit) - 1,
        _ => i64::MIN..=i64::MAX,
    }
}

/// Order-preserving form of a signed integer.
pub fn flip64(n: i64) -> [u8; 8] {
    (n ^ i64::MIN).to_be_bytes()
}

pub fn unflip64(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes) ^ i64::MIN
}

pub fn flip32(n: i32) -> [u8; 4] {
    (n ^ i32::MIN).to_be_bytes()
}

pub fn unflip32(bytes: [u8; 4]) -> i32 {
    i32::from_be_bytes(bytes) ^ i32::MIN
}

fn order_f32(x: f32) -> [u8; 4] {
    let bits = x.to_bits();
    (if bits >> 31 == 1 {
        !bits
    } else {
        bits ^ (1 << 31)
    })
    .to_be_bytes()
}

fn unorder_f32(bytes: [u8; 4]) -> f32 {
    let bits = u32::from_be_bytes(bytes);
    f32::from_bits(if bits >> 31 == 1 {
        bits ^ (1 << 31)
    } else {
        !bits
    })
}

fn order_f64(x: f64) -> [u8; 8] {
    let bits = x.to_bits();
    (if bits >> 63 == 1 {
        !bits
    } else {
        bits ^ (1 << 63)
    })
    .to_be_bytes()
}

fn unorder_f64(bytes: [u8; 8]) -> f64 {
    let bits = u64::from_be_bytes(bytes);
    f64::from_bits(if bits >> 63 == 1 {
        bits ^ (1 << 63)
    } else {
        !bits
    })
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(ESCAPE);
        }
    }
}

fn terminated(bytes: &[u8], out: &mut Vec<u8>) {
    escape(bytes, out);
    out.push(0);
}

fn unterminated(input: &mut &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let zero = input.iter().position(|b| *b == 0)?;
        bytes.extend_from_slice(&input[..zero]);
        *input = &input[zero + 1..];
        if input.first() != Some(&ESCAPE) {
            return Some(bytes);
        }
        bytes.push(0);
        *input = &input[1..];
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*head)
}

#[cfg(test)]
#[path = "ordered/tests.rs"]
mod tests;
