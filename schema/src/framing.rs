//! Which schema a record's key or value names, and where its payload begins.
//!
//! Two forms. A prefix in the bytes themselves:
//!
//! ```text
//! offset  size  field    encoding
//! 0       1     magic    u8 = 0x00
//! 1       4     id       i32, big-endian
//! 5       n     indexes  Protobuf only
//! ```
//!
//! or, with the payload alone in the key or value, the header `__key_schema_id` or `__value_schema_id`,
//! of which the last counts:
//!
//! ```text
//! 0       1     magic    u8 = 0x01
//! 1       16    guid     UUID, big-endian
//! 17      n     indexes  Protobuf only
//! ```
//!
//! Protobuf's indexes name the message type: at each level its position among its siblings. They are
//! a zigzag varint count, then as many zigzag varints; a single 0 byte stands for the first message.

use std::fmt;

pub const KEY_HEADER: &str = "__key_schema_id";
pub const VALUE_HEADER: &str = "__value_schema_id";

const PREFIX_MAGIC: u8 = 0;
const HEADER_MAGIC: u8 = 1;
/// Deepest message that indexes may name.
const MAX_INDEXES: i32 = 64;

/// The key or the value of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Key,
    Value,
}

impl Part {
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Key => "key",
            Part::Value => "value",
        }
    }

    /// The header that names the part's schema.
    pub fn header(self) -> &'static str {
        match self {
            Part::Key => KEY_HEADER,
            Part::Value => VALUE_HEADER,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A schema's 128-bit name, the same in every registry that holds the schema.
pub type Guid = [u8; 16];

/// How a record names its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaRef {
    Id(i32),
    Guid(Guid),
}

impl fmt::Display for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaRef::Id(id) => write!(f, "id {id}"),
            SchemaRef::Guid(guid) => write!(f, "guid {}", uuid::Uuid::from_bytes(*guid)),
        }
    }
}

/// Bytes that do not name a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error("the {part} has {length} bytes, and a schema id takes 5")]
    TooShort { part: Part, length: usize },
    #[error("the {part} begins with 0x{byte:02x} and not with a schema id (0x00 and four bytes)")]
    NoMagic { part: Part, byte: u8 },
    #[error("the header {} is not 0x01 and the 16 bytes of a schema's guid", part.header())]
    BadHeader { part: Part },
    #[error("the message indexes before the {part}'s payload are not valid")]
    BadIndexes { part: Part },
}

/// A key or value, taken apart as far as that needs no schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    pub schema: SchemaRef,
    part: Part,
    /// After the GUID, where a header names the schema.
    header_rest: Option<&'a [u8]>,
    /// After the prefix, or all.
    body: &'a [u8],
}

/// Takes a key or value apart. `header` is the value of the last header of the part's name, where
/// there is one; if it is malformed, the prefix is not looked at.
pub fn split<'a>(
    part: Part,
    bytes: &'a [u8],
    header: Option<Option<&'a [u8]>>,
) -> Result<Framed<'a>, FramingError> {
    match header {
        Some(header) => {
            let (guid, rest) = header
                .and_then(|h| h.strip_prefix(&[HEADER_MAGIC]))
                .and_then(|h| h.split_first_chunk::<16>())
                .ok_or(FramingError::BadHeader { part })?;
            let schema = SchemaRef::Guid(*guid);
            Ok(Framed {
                schema,
                part,
                header_rest: Some(rest),
                body: bytes,
            })
        }
        None => match bytes {
            [PREFIX_MAGIC, a, b, c, d, body @ ..] => {
                let schema = SchemaRef::Id(i32::from_be_bytes([*a, *b, *c, *d]));
                Ok(Framed {
                    schema,
                    part,
                    header_rest: None,
                    body,
                })
            }
            [PREFIX_MAGIC, ..] | [] => Err(FramingError::TooShort {
                part,
                length: bytes.len(),
            }),
            [byte, ..] => Err(FramingError::NoMagic { part, byte: *byte }),
        },
    }
}

impl<'a> Framed<'a> {
    /// The payload, with the indexes where the schema is Protobuf.
    pub fn payload(&self, protobuf: bool) -> Result<Payload<'a>, FramingError> {
        let bad = FramingError::BadIndexes { part: self.part };
        if !protobuf {
            // The header of another schema ends with the GUID.
            return match self.header_rest {
                Some([_, ..]) => Err(FramingError::BadHeader { part: self.part }),
                _ => Ok(Payload::new(self.body)),
            };
        }
        let (indexes, rest) =
            Indexes::parse(self.header_rest.unwrap_or(self.body)).ok_or(bad.clone())?;
        match self.header_rest {
            Some(_) if !rest.is_empty() => Err(bad),
            Some(_) => Ok(Payload {
                indexes,
                bytes: self.body,
            }),
            None => Ok(Payload {
                indexes,
                bytes: rest,
            }),
        }
    }
}

/// Puts the prefix before a payload.
pub fn with_prefix(id: i32, payload: Payload, protobuf: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(6 + payload.bytes.len());
    out.push(PREFIX_MAGIC);
    out.extend_from_slice(&id.to_be_bytes());
    if protobuf {
        payload.indexes.write(&mut out);
    }
    out.extend_from_slice(payload.bytes);
    out
}

/// The value of the header that names a payload's schema; the payload then stands alone.
pub fn header_value(guid: &Guid, indexes: Indexes, protobuf: bool) -> Vec<u8> {
    let mut out = vec![HEADER_MAGIC];
    out.extend_from_slice(guid);
    if protobuf {
        indexes.write(&mut out);
    }
    out
}

/// A payload without framing, and which message it is where its schema is Protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    pub indexes: Indexes<'a>,
    pub bytes: &'a [u8],
}

impl<'a> Payload<'a> {
    /// A payload of the schema's first message, or of a schema that is not Protobuf.
    pub fn new(bytes: &'a [u8]) -> Self {
        Payload {
            indexes: Indexes::FIRST,
            bytes,
        }
    }
}

/// Protobuf message indexes, still encoded. Invariant: they parse, and name at least one level.
#[derive(Clone, Copy, Debug)]
pub struct Indexes<'a>(&'a [u8]);

impl<'a> Indexes<'a> {
    /// The first message of the file.
    pub const FIRST: Indexes<'static> = Indexes(&[0]);

    /// Reads indexes and returns what follows them.
    pub fn parse(bytes: &'a [u8]) -> Option<(Indexes<'a>, &'a [u8])> {
        let (count, mut rest) = zigzag(bytes)?;
        if !(0..=MAX_INDEXES).contains(&count) {
            return None;
        }
        for _ in 0..count {
            let (index, after) = zigzag(rest)?;
            if index < 0 {
                return None;
            }
            rest = after;
        }
        Some((Indexes(&bytes[..bytes.len() - rest.len()]), rest))
    }

    /// The positions, outermost message first.
    pub fn iter(&self) -> impl Iterator<Item = usize> + 'a {
        let (count, mut rest) = zigzag(self.0).expect("indexes are parsed when they are made");
        let mut left = count.max(1);
        std::iter::from_fn(move || {
            left = left.checked_sub(1).filter(|l| *l >= 0)?;
            if count == 0 {
                return Some(0);
            }
            let (index, after) = zigzag(rest)?;
            rest = after;
            Some(index as usize)
        })
    }

    /// Writes the shortest form.
    pub fn write(&self, out: &mut Vec<u8>) {
        let positions: Vec<usize> = self.iter().collect();
        if positions == [0] {
            return out.push(0);
        }
        write_zigzag(positions.len() as i32, out);
        positions.iter().for_each(|p| write_zigzag(*p as i32, out));
    }

    /// Encodes the positions of a message.
    pub fn encode(positions: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        write_zigzag(positions.len() as i32, &mut out);
        positions
            .iter()
            .for_each(|p| write_zigzag(*p as i32, &mut out));
        out
    }
}

impl PartialEq for Indexes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Indexes<'_> {}

fn zigzag(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let mut value = 0u32;
    for (i, byte) in bytes.iter().take(5).enumerate() {
        if i == 4 && byte & 0x70 != 0 {
            return None;
        }
        value |= u32::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let decoded = (value >> 1) as i32 ^ -((value & 1) as i32);
            return Some((decoded, &bytes[i + 1..]));
        }
    }
    None
}

fn write_zigzag(value: i32, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 31)) as u32;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests;
