//! The records of `__consumer_offsets`, in Kafka's formats: what tools that read that topic know.
//!
//! A key begins with its version, which says what the record is: 0 and 1 an offset ([`offset`]), 2 a group ([`group`]);
//! higher ones belong to other kinds of groups. A value begins with its own version; a record without a value takes
//! back what its key names. Integers are big-endian. Up to value version 3, strings have an i16 length and bytes an i32
//! length, -1 for null; from version 4 lengths are unsigned varints of length + 1, 0 for null, and tagged fields end
//! each struct. Kafka 4 writes the highest version without varints, and so does this.

mod group;
mod offset;
mod reader;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use group::{GroupMetadata, StoredMember};
pub use offset::CommittedOffset;
use reader::Reader;

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    Offset {
        group: Arc<str>,
        topic: Arc<str>,
        partition: i32,
    },
    Group {
        group: Arc<str>,
    },
    /// A record of a kind that this broker does not keep.
    Other {
        version: i16,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("the record ends inside of a field")]
    Short,
    #[error("a text is not UTF-8")]
    Text,
    #[error("a field that may not be null is")]
    Null,
    #[error("unknown version {0}")]
    Version(i16),
}

impl Key {
    pub fn decode(bytes: &[u8]) -> Result<Key, FormatError> {
        let mut reader = Reader::new(bytes);
        match reader.i16()? {
            0 | 1 => Ok(Key::Offset {
                group: reader.text()?,
                topic: reader.text()?,
                partition: reader.i32()?,
            }),
            2 => Ok(Key::Group {
                group: reader.text()?,
            }),
            version if version > 2 => Ok(Key::Other { version }),
            version => Err(FormatError::Version(version)),
        }
    }
}

/// The key of a committed offset, version 1: `version i16 | group | topic | partition i32`.
pub fn offset_key(group: &str, topic: &str, partition: i32) -> Vec<u8> {
    let mut out = vec![0, 1];
    put_text(&mut out, group);
    put_text(&mut out, topic);
    out.extend_from_slice(&partition.to_be_bytes());
    out
}

/// The key of a group, version 2: `version i16 | group`.
pub fn group_key(group: &str) -> Vec<u8> {
    let mut out = vec![0, 2];
    put_text(&mut out, group);
    out
}

/// Texts come from requests, where their length is an i16 or was checked to fit one.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).expect("texts of group records are below 32 KiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_nullable_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_text(out, text),
        None => out.extend_from_slice(&(-1i16).to_be_bytes()),
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = i32::try_from(bytes.len()).expect("bytes of group records are below 2 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}
