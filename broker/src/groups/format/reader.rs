//! Reads the fields of a group record in both of Kafka's encodings.

use std::sync::Arc;

use bytes::Bytes;

use super::FormatError;

#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Lengths are varints, and structs end with tagged fields.
    pub flexible: bool,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader {
            rest: bytes,
            flexible: false,
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(FormatError::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(FormatError::Short)?;
        self.rest = rest;
        Ok(head)
    }

    pub fn i16(&mut self) -> Result<i16, FormatError> {
        Ok(i16::from_be_bytes(self.take()?))
    }

    pub fn i32(&mut self) -> Result<i32, FormatError> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    pub fn i64(&mut self) -> Result<i64, FormatError> {
        Ok(i64::from_be_bytes(self.take()?))
    }

    fn varint(&mut self) -> Result<u32, FormatError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FormatError::Short)
    }

    /// A length as its encoding has it, `None` for null.
    fn length(
        &mut self,
        plain: fn(&mut Self) -> Result<i32, FormatError>,
    ) -> Result<Option<usize>, FormatError> {
        if self.flexible {
            return Ok(self.varint()?.checked_sub(1).map(|length| length as usize));
        }
        match plain(self)? {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| FormatError::Short),
        }
    }

    pub fn nullable_text(&mut self) -> Result<Option<Arc<str>>, FormatError> {
        let Some(length) = self.length(|reader| reader.i16().map(i32::from))? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(self.slice(length)?).map_err(|_| FormatError::Text)?;
        Ok(Some(text.into()))
    }

    pub fn text(&mut self) -> Result<Arc<str>, FormatError> {
        self.nullable_text()?.ok_or(FormatError::Null)
    }

    pub fn bytes(&mut self) -> Result<Bytes, FormatError> {
        let length = self.length(Reader::i32)?.ok_or(FormatError::Null)?;
        Ok(Bytes::copy_from_slice(self.slice(length)?))
    }

    /// How many elements follow; each of them takes bytes, so the count is not believed further than those go.
    pub fn count(&mut self) -> Result<usize, FormatError> {
        let count = self.length(Reader::i32)?.ok_or(FormatError::Null)?;
        if count <= self.rest.len() {
            Ok(count)
        } else {
            Err(FormatError::Short)
        }
    }

    pub fn skip_tags(&mut self) -> Result<(), FormatError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()? as usize;
            self.slice(length)?;
        }
        Ok(())
    }
}
