//! Reads Avro's primitives from a payload, never past its end.

use crate::codec::MAX_VALUES;
use crate::codec::error::{Fault, fault};

/// Deepest nesting of a payload. A level is a record, an array, a map or a union.
pub(super) const MAX_DEPTH: u32 = 128;

/// What remains of a payload.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// How many values that take no bytes may still be read. Without it a few bytes could claim 2^60
    /// nulls, or a few nested empty records that each stand in the next twice.
    empty_values: usize,
    /// How many values may still be held.
    values: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor {
            rest: bytes,
            empty_values: 10_000 + 8 * bytes.len(),
            values: MAX_VALUES,
        }
    }

    /// Other bytes whose values count among those of this payload; [`Cursor::count_with`] takes their number back.
    pub(super) fn beside<'b>(&self, bytes: &'b [u8]) -> Cursor<'b> {
        Cursor {
            values: self.values,
            ..Cursor::new(bytes)
        }
    }

    pub(super) fn count_with(&mut self, other: &Cursor) {
        self.values = other.values;
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Counts a null or a record, which may take no bytes.
    #[inline]
    pub(super) fn count_empty(&mut self) -> Result<(), Fault> {
        match self.empty_values.checked_sub(1) {
            Some(left) => self.empty_values = left,
            None => return Err(fault("holds too many values that take no bytes")),
        }
        Ok(())
    }

    /// Counts what an array, a map or a record holds, or a default that is taken for what was not written.
    #[inline]
    pub(super) fn count_held(&mut self, values: usize) -> Result<(), Fault> {
        match self.values.checked_sub(values) {
            Some(left) => self.values = left,
            None => return Err(fault("holds too many values")),
        }
        Ok(())
    }

    /// Fails unless everything was read.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        match self.rest.len() {
            0 => Ok(()),
            n => Err(fault(format!("{n} bytes are left after the value's end"))),
        }
    }

    #[inline(always)]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(too_short(count, self.rest.len())),
        }
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Result<bool, Fault> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(fault(format!("byte {} is not a boolean", other[0]))),
        }
    }

    /// A variable-length number of at most `MAX` bytes, before zigzag.
    #[inline]
    fn varint<const MAX: usize>(&mut self) -> Result<u64, Fault> {
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        let mut value = 0u64;
        for (i, byte) in self.rest.iter().take(MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                if i == 9 && *byte > 1 {
                    break;
                }
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(bad_varint(self.rest.len() < MAX))
    }

    #[inline(always)]
    pub(super) fn long(&mut self) -> Result<i64, Fault> {
        let raw = self.varint::<10>()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    #[inline]
    pub(super) fn int(&mut self) -> Result<i32, Fault> {
        let raw = self.varint::<5>()?;
        let value = (raw >> 1) as i64 ^ -((raw & 1) as i64);
        i32::try_from(value).map_err(|_| fault(format!("{value} is no 32-bit int")))
    }

    pub(super) fn float(&mut self) -> Result<f32, Fault> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    pub(super) fn double(&mut self) -> Result<f64, Fault> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        match self.rest.split_first_chunk() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(too_short(N, self.rest.len())),
        }
    }

    /// A length, then as many bytes.
    #[inline(always)]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(fault(format!("the length {length} is negative"))),
        }
    }

    pub(super) fn string(&mut self) -> Result<&'a str, Fault> {
        text(self.bytes()?)
    }

    /// The position of one of `count` union branches or enum symbols.
    #[inline(always)]
    pub(super) fn index(&mut self, count: usize, of: &str) -> Result<usize, Fault> {
        let index = self.long()?;
        match usize::try_from(index) {
            Ok(index) if index < count => Ok(index),
            _ => Err(fault(format!(
                "{of} {index} does not exist, there are {count}"
            ))),
        }
    }

    /// The head of an array's or map's next block. A count of 0 ends the value.
    pub(super) fn block(&mut self) -> Result<Block, Fault> {
        let count = self.long()?;
        if count >= 0 {
            return Ok(Block {
                count: count as u64,
                rest_after: None,
            });
        }
        let size = self.long()?;
        match usize::try_from(size)
            .ok()
            .and_then(|size| self.rest.len().checked_sub(size))
        {
            Some(rest) => Ok(Block {
                count: count.unsigned_abs(),
                rest_after: Some(rest),
            }),
            None => Err(fault(format!(
                "a block claims {size} bytes, {} are left",
                self.rest.len()
            ))),
        }
    }

    /// Fails where a block's stated size is not the size of its items.
    pub(super) fn end_block(&self, block: &Block) -> Result<(), Fault> {
        match block.rest_after {
            Some(rest) if rest != self.rest.len() => {
                Err(fault("a block's size is not that of its items"))
            }
            _ => Ok(()),
        }
    }
}

/// A run of items in an array or map.
pub(super) struct Block {
    pub count: u64,
    /// How much of the payload is left after the block, where it states its size.
    rest_after: Option<usize>,
}

/// Runs `item` for each item of an array or map, with its position.
pub(super) fn each_item<'a>(
    input: &mut Cursor<'a>,
    mut item: impl FnMut(&mut Cursor<'a>, u64) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut index = 0;
    loop {
        let block = input.block()?;
        input.count_held(usize::try_from(block.count).unwrap_or(usize::MAX))?;
        for _ in 0..block.count {
            item(input, index)?;
            index += 1;
        }
        input.end_block(&block)?;
        if block.count == 0 {
            return Ok(());
        }
    }
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    str::from_utf8(bytes).map_err(|e| fault(format!("the string is not UTF-8: {e}")))
}

#[cold]
fn too_short(wanted: usize, left: usize) -> Fault {
    fault(format!(
        "the payload ends early: {wanted} bytes wanted, {left} left"
    ))
}

#[cold]
fn bad_varint(ended: bool) -> Fault {
    fault(if ended {
        "the payload ends inside a number"
    } else {
        "a number is too long"
    })
}
