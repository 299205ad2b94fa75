//! Reads Protobuf's wire format, never past its end.

use super::schema::WireType;
use crate::codec::MAX_VALUES;
use crate::codec::error::{Fault, fault};

/// Deepest nesting of messages, as in Google's parsers.
pub(super) const MAX_DEPTH: u32 = 100;

/// One field's value as it lies on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Length(&'a [u8]),
    /// The bytes between a group's start and end.
    Group(&'a [u8]),
    Fixed32(u32),
}

impl Raw<'_> {
    pub(super) fn wire_type(&self) -> WireType {
        match self {
            Raw::Varint(_) => WireType::Varint,
            Raw::Fixed64(_) => WireType::Fixed64,
            Raw::Length(_) => WireType::Length,
            Raw::Group(_) => WireType::Group,
            Raw::Fixed32(_) => WireType::Fixed32,
        }
    }
}

/// How much a payload may still come to.
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn new() -> Self {
        Budget(MAX_VALUES)
    }

    /// Takes a message's fields from the budget.
    pub(super) fn take(&mut self, values: usize) -> Result<(), Fault> {
        self.0 = self
            .0
            .checked_sub(values + 1)
            .ok_or_else(|| fault("holds too many values"))?;
        Ok(())
    }
}

/// What remains of a message.
#[derive(Clone, Copy)]
pub(super) struct Wire<'a> {
    rest: &'a [u8],
}

impl<'a> Wire<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Wire { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's number and value.
    pub(super) fn field(&mut self, depth: u32) -> Result<(u32, Raw<'a>), Fault> {
        let (number, wire_type) = self.tag()?;
        let value = match wire_type {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Fixed64(self.fixed64()?),
            2 => Raw::Length(self.length_delimited()?),
            3 => Raw::Group(self.group(number, depth)?),
            5 => Raw::Fixed32(self.fixed32()?),
            4 => {
                return Err(fault(format!(
                    "a group ends with number {number} and did not start"
                )));
            }
            other => {
                return Err(fault(format!(
                    "wire type {other} of field number {number} does not exist"
                )));
            }
        };
        Ok((number, value))
    }

    fn tag(&mut self) -> Result<(u32, u8), Fault> {
        let tag = self.varint()?;
        match u32::try_from(tag >> 3) {
            Ok(number @ 1..0x2000_0000) => Ok((number, (tag & 7) as u8)),
            _ => Err(fault(format!("the tag {tag} has no valid field number"))),
        }
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Fault> {
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        let mut value = 0u64;
        for (i, byte) in self.rest.iter().take(10).enumerate() {
            if i == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(fault(if self.rest.len() < 10 {
            "the payload ends inside a number"
        } else {
            "a number is too long"
        }))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(fault(format!(
                "the payload ends early: {count} bytes wanted, {} left",
                self.rest.len()
            ))),
        }
    }

    pub(super) fn fixed32(&mut self) -> Result<u32, Fault> {
        let bytes = self.take(4)?.try_into().expect("four bytes were taken");
        Ok(u32::from_le_bytes(bytes))
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, Fault> {
        let bytes = self.take(8)?.try_into().expect("eight bytes were taken");
        Ok(u64::from_le_bytes(bytes))
    }

    fn length_delimited(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.varint()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(fault(format!("a length of {length} bytes is claimed"))),
        }
    }

    /// The bytes of a group, without its end.
    fn group(&mut self, number: u32, depth: u32) -> Result<&'a [u8], Fault> {
        let depth = deeper(depth)?;
        let start = self.rest;
        loop {
            let before = self.rest;
            let (inner, wire_type) = self.tag()?;
            if wire_type == 4 {
                if inner != number {
                    return Err(fault(format!("group {number} ends as group {inner}")));
                }
                return Ok(&start[..start.len() - before.len()]);
            }
            self.rest = before;
            self.field(depth)?;
        }
    }
}

#[inline]
pub(super) fn deeper(depth: u32) -> Result<u32, Fault> {
    if depth == MAX_DEPTH {
        return Err(fault(format!("is nested deeper than {MAX_DEPTH} levels")));
    }
    Ok(depth + 1)
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
