//! The wire's primitive types over byte slices, for the bounds check and for the APIs with a codec of their own.
//!
//! [`Reader`] never allocates and believes no length whose bytes are not there. [`Writer`] builds a response as
//! segments, so that records leave as the `Bytes` that they lie in.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use uuid::Uuid;

/// Shorter payloads are copied: a segment of its own costs more than the copy.
const COPY_BELOW_BYTES: usize = 256;

/// What is wrong with a request's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    #[error("{needed} bytes needed where {left} are left")]
    Short { needed: usize, left: usize },
    #[error("length {0} is not possible")]
    Length(i64),
    #[error("null where a value must be")]
    Null,
    #[error("a string is not utf-8")]
    Utf8,
    #[error("a varint is too long")]
    Varint,
}

/// Reads a request's body front to back; `flexible` chooses between the two encodings of lengths.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    flexible: bool,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], flexible: bool) -> Self {
        Reader {
            bytes,
            at: 0,
            flexible,
        }
    }

    /// Offset of the next byte from the start of the slice.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn is_flexible(&self) -> bool {
        self.flexible
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let left = self.remaining();
        if count > left {
            return Err(WireError::Short {
                needed: count,
                left,
            });
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut value = [0; N];
        value.copy_from_slice(self.take(N)?);
        Ok(value)
    }

    pub fn i8(&mut self) -> Result<i8, WireError> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    pub fn bool(&mut self) -> Result<bool, WireError> {
        Ok(self.i8()? != 0)
    }

    pub fn i16(&mut self) -> Result<i16, WireError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub fn i32(&mut self) -> Result<i32, WireError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub fn uuid(&mut self) -> Result<Uuid, WireError> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    /// A u32 in at most five groups of seven bits, low group first.
    pub fn unsigned_varint(&mut self) -> Result<u32, WireError> {
        let mut value = 0u32;
        for group in 0..5 {
            let byte = self.array::<1>()?[0];
            if group == 4 && byte > 0x0f {
                return Err(WireError::Varint);
            }
            value |= u32::from(byte & 0x7f) << (7 * group);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Varint)
    }

    /// A length that is `None` for null, in the flexible encoding or as the given fixed-size integer.
    fn length(
        &mut self,
        fixed: fn(&mut Self) -> Result<i64, WireError>,
    ) -> Result<Option<usize>, WireError> {
        let length = if self.flexible {
            i64::from(self.unsigned_varint()?) - 1
        } else {
            fixed(self)?
        };
        match length {
            -1 => Ok(None),
            0.. => Ok(Some(length as usize)),
            _ => Err(WireError::Length(length)),
        }
    }

    /// The bytes of a string, not yet checked to be UTF-8.
    pub fn nullable_string_bytes(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        match self.length(|reader| reader.i16().map(i64::from))? {
            None => Ok(None),
            Some(length) => self.take(length).map(Some),
        }
    }

    pub fn nullable_string(&mut self) -> Result<Option<&'a str>, WireError> {
        match self.nullable_string_bytes()? {
            None => Ok(None),
            Some(bytes) => std::str::from_utf8(bytes)
                .map(Some)
                .map_err(|_| WireError::Utf8),
        }
    }

    pub fn string(&mut self) -> Result<&'a str, WireError> {
        self.nullable_string()?.ok_or(WireError::Null)
    }

    /// Where a bytes or records field lies in the slice, `None` for null.
    pub fn nullable_bytes(&mut self) -> Result<Option<Range<usize>>, WireError> {
        let Some(length) = self.length(|reader| reader.i32().map(i64::from))? else {
            return Ok(None);
        };
        self.take(length)?;
        Ok(Some(self.at - length..self.at))
    }

    /// The number of an array's elements, `None` for null. Not backed by bytes yet: reserve nothing for it
    /// unless the body has passed the bounds check.
    pub fn array_len(&mut self) -> Result<Option<usize>, WireError> {
        self.length(|reader| reader.i32().map(i64::from))
    }

    /// Hands each tagged field to `field`, as its tag and a reader of its bytes; nothing where not flexible.
    pub fn tagged_fields(
        &mut self,
        mut field: impl FnMut(u32, Reader<'a>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()? as usize;
            field(tag, Reader::new(self.take(size)?, true))?;
        }
        Ok(())
    }

    pub fn skip_tagged_fields(&mut self) -> Result<(), WireError> {
        self.tagged_fields(|_, _| Ok(()))
    }
}

/// Builds a response's body in segments; `flexible` chooses between the two encodings of lengths.
#[derive(Debug)]
pub struct Writer {
    segments: Vec<Bytes>,
    tail: BytesMut,
    flexible: bool,
}

impl Writer {
    pub fn new(flexible: bool) -> Self {
        Writer {
            segments: Vec::new(),
            tail: BytesMut::with_capacity(256),
            flexible,
        }
    }

    pub fn is_flexible(&self) -> bool {
        self.flexible
    }

    pub fn i8(&mut self, value: i8) {
        self.tail.put_i8(value);
    }

    pub fn bool(&mut self, value: bool) {
        self.tail.put_u8(value.into());
    }

    pub fn i16(&mut self, value: i16) {
        self.tail.put_i16(value);
    }

    pub fn i32(&mut self, value: i32) {
        self.tail.put_i32(value);
    }

    pub fn i64(&mut self, value: i64) {
        self.tail.put_i64(value);
    }

    pub fn uuid(&mut self, value: Uuid) {
        self.tail.put_slice(value.as_bytes());
    }

    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.tail.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.tail.put_u8(value as u8);
    }

    pub fn string(&mut self, value: &str) {
        self.nullable_string(Some(value));
    }

    pub fn nullable_string(&mut self, value: Option<&str>) {
        match (self.flexible, value) {
            (true, None) => self.unsigned_varint(0),
            (true, Some(text)) => self.unsigned_varint(text.len() as u32 + 1),
            (false, None) => self.i16(-1),
            (false, Some(text)) => self.i16(text.len() as i16),
        }
        self.tail.put_slice(value.unwrap_or_default().as_bytes());
    }

    /// Opens an array of `count` elements, or null.
    pub fn array_len(&mut self, count: Option<usize>) {
        match (self.flexible, count) {
            (true, None) => self.unsigned_varint(0),
            (true, Some(count)) => self.unsigned_varint(count as u32 + 1),
            (false, None) => self.i32(-1),
            (false, Some(count)) => self.i32(count as i32),
        }
    }

    /// A bytes or records field made of `pieces`, which are shared and not copied where they are long.
    pub fn bytes(&mut self, pieces: &[Bytes]) {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        self.array_len(Some(length));
        for piece in pieces {
            if piece.len() < COPY_BELOW_BYTES {
                self.tail.put_slice(piece);
            } else {
                self.cut();
                self.segments.push(piece.clone());
            }
        }
    }

    pub fn null_bytes(&mut self) {
        self.array_len(None);
    }

    /// Ends a struct that has no tagged fields; nothing where not flexible.
    pub fn no_tagged_fields(&mut self) {
        if self.flexible {
            self.unsigned_varint(0);
        }
    }

    /// Writes a struct's tagged fields, each as its tag (ascending) and its bytes; nothing where not flexible.
    pub fn tagged_fields(&mut self, fields: &[(u32, Bytes)]) {
        if !self.flexible {
            return;
        }
        self.unsigned_varint(fields.len() as u32);
        for (tag, value) in fields {
            self.unsigned_varint(*tag);
            self.unsigned_varint(value.len() as u32);
            self.tail.put_slice(value);
        }
    }

    fn cut(&mut self) {
        if !self.tail.is_empty() {
            self.segments.push(self.tail.split().freeze());
        }
    }

    /// The body's segments, in order.
    pub fn finish(mut self) -> Vec<Bytes> {
        self.cut();
        self.segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_varint(bytes: &[u8], expected: Result<u32, WireError>) {
        assert_eq!(
            Reader::new(bytes, true).unsigned_varint(),
            expected,
            "{bytes:?}"
        );
    }

    #[test]
    fn varints_are_at_most_five_bytes_and_32_bits() {
        check_varint(&[0], Ok(0));
        check_varint(&[0xac, 0x02], Ok(300));
        check_varint(&[0xff, 0xff, 0xff, 0xff, 0x0f], Ok(u32::MAX));
        check_varint(&[0xff, 0xff, 0xff, 0xff, 0x1f], Err(WireError::Varint));
        check_varint(
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
            Err(WireError::Varint),
        );
        check_varint(&[0x80], Err(WireError::Short { needed: 1, left: 0 }));
    }

    #[test]
    fn a_length_is_not_believed_before_its_bytes_are_there() {
        let mut reader = Reader::new(&[0x7f, 0xff, 0xff, 0xff, 1], false);
        assert_eq!(
            reader.nullable_bytes(),
            Err(WireError::Short {
                needed: 0x7fff_ffff,
                left: 1
            })
        );
        assert_eq!(
            Reader::new(&[0xff, 0xfe], false).nullable_string(),
            Err(WireError::Length(-2))
        );
    }

    #[test]
    fn what_the_writer_writes_the_reader_reads() {
        for flexible in [false, true] {
            let mut writer = Writer::new(flexible);
            writer.string("weir");
            writer.nullable_string(None);
            writer.bytes(&[Bytes::from_static(b"ab"), Bytes::from(vec![7; 1000])]);
            writer.null_bytes();
            writer.array_len(Some(3));
            writer.tagged_fields(&[(5, Bytes::from_static(b"x"))]);
            let segments = writer.finish();
            assert_eq!(segments.len(), 3, "the long piece is a segment of its own");
            let bytes = segments.concat();

            let mut reader = Reader::new(&bytes, flexible);
            assert_eq!(reader.string(), Ok("weir"));
            assert_eq!(reader.nullable_string(), Ok(None));
            let range = reader.nullable_bytes().unwrap().unwrap();
            assert_eq!(range.len(), 1002);
            assert_eq!(&bytes[range][..3], b"ab\x07");
            assert_eq!(reader.nullable_bytes(), Ok(None));
            assert_eq!(reader.array_len(), Ok(Some(3)));
            let mut tags = Vec::new();
            reader
                .tagged_fields(|tag, value| {
                    tags.push((tag, value.remaining()));
                    Ok(())
                })
                .unwrap();
            assert_eq!(tags, if flexible { vec![(5, 1)] } else { vec![] });
            assert_eq!(reader.remaining(), 0);
        }
    }
}
