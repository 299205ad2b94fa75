//! Walking a body along its description, without allocating.

use thiserror::Error;

use super::layout::{Field, Layout, Shape};
use crate::kafka::codec::{Reader, WireError};

/// The most that one request may take when it is decoded, beside the bytes that it shares with its frame: room for
/// some 300,000 partitions.
pub const MAX_DECODED_BYTES: usize = 32 * 1024 * 1024;
/// What the decoder keeps for the first tagged field of a struct that it does not know: a tree's node, with room for
/// eleven tags and slices.
const FIRST_UNKNOWN_TAG_BYTES: usize = 448;
/// And for each further one, as nodes are at least half full.
const UNKNOWN_TAG_BYTES: usize = 96;

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BoundsError {
    #[error("{field}: {error}")]
    Wire {
        field: &'static str,
        error: WireError,
    },
    #[error("{field}: {count} elements of at least {min_bytes} bytes where {left} are left")]
    Unbacked {
        field: &'static str,
        count: usize,
        min_bytes: usize,
        left: usize,
    },
    #[error("{field}: tagged field of {declared} bytes where its value has {found}")]
    TagSize {
        field: &'static str,
        declared: usize,
        found: usize,
    },
    #[error("the request would take more than {MAX_DECODED_BYTES} bytes of memory")]
    TooManyElements,
}

/// What a walk that succeeded found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    /// Length of the body without what follows its last field.
    pub body_bytes: usize,
    /// At most what decoding allocates.
    pub decoded_bytes: usize,
}

pub(super) fn body(
    layout: &Layout,
    version: i16,
    reader: &mut Reader<'_>,
) -> Result<Walked, BoundsError> {
    let mut walk = Walk {
        version,
        decoded_bytes: layout.memory_bytes,
    };
    walk.fields(layout, reader)?;
    Ok(Walked {
        body_bytes: reader.position(),
        decoded_bytes: walk.decoded_bytes,
    })
}

/// One walk. Its depth is the description's, which is a constant: nothing on the wire nests it deeper.
struct Walk {
    version: i16,
    decoded_bytes: usize,
}

impl Walk {
    fn fields(&mut self, layout: &Layout, reader: &mut Reader<'_>) -> Result<(), BoundsError> {
        let version = self.version;
        for field in layout.fields.iter().filter(|field| field.is_in(version)) {
            self.value(field.name, &field.shape, reader)?;
        }
        if reader.is_flexible() {
            self.tagged(layout, reader)?;
        }
        Ok(())
    }

    fn value(
        &mut self,
        name: &'static str,
        shape: &Shape,
        reader: &mut Reader<'_>,
    ) -> Result<(), BoundsError> {
        let wire = |error| BoundsError::Wire { field: name, error };
        match shape {
            Shape::Fixed(bytes) => reader.take(*bytes).map(drop).map_err(wire),
            Shape::Text => reader.nullable_string_bytes().map(drop).map_err(wire),
            Shape::Blob => reader.nullable_bytes().map(drop).map_err(wire),
            Shape::Struct(layout) => self.fields(layout, reader),
            Shape::NullableStruct(layout) => match reader.i8().map_err(wire)? {
                1 => self.fields(layout, reader),
                _ => Ok(()),
            },
            Shape::Array(element) => {
                let count = self.count(name, element, reader)?;
                if let Shape::Fixed(bytes) = element {
                    return reader.take(count * bytes).map(drop).map_err(wire);
                }
                (0..count).try_for_each(|_| self.value(name, element, reader))
            }
            Shape::Structs(layout) => {
                let count = self.count(name, &Shape::Struct(layout), reader)?;
                (0..count).try_for_each(|_| self.fields(layout, reader))
            }
        }
    }

    /// Reads an array's length, which its elements' bytes must back.
    fn count(
        &mut self,
        name: &'static str,
        element: &Shape,
        reader: &mut Reader<'_>,
    ) -> Result<usize, BoundsError> {
        let wire = |error| BoundsError::Wire { field: name, error };
        let count = reader.array_len().map_err(wire)?.unwrap_or(0);
        let min_bytes = element.min_wire_bytes(self.version, reader.is_flexible());
        let left = reader.remaining();
        if count.saturating_mul(min_bytes) > left {
            return Err(BoundsError::Unbacked {
                field: name,
                count,
                min_bytes,
                left,
            });
        }
        self.charge(count.saturating_mul(element.memory_bytes()))?;
        Ok(count)
    }

    fn tagged(&mut self, layout: &Layout, reader: &mut Reader<'_>) -> Result<(), BoundsError> {
        const NAME: &str = "tagged fields";
        let wire = |error| BoundsError::Wire { field: NAME, error };
        let count = reader.unsigned_varint().map_err(wire)?;
        let mut unknown_bytes = FIRST_UNKNOWN_TAG_BYTES;
        for _ in 0..count {
            let tag = reader.unsigned_varint().map_err(wire)?;
            let size = reader.unsigned_varint().map_err(wire)? as usize;
            let mut value = Reader::new(reader.take(size).map_err(wire)?, true);
            match layout
                .tagged
                .iter()
                .find(|known| known.tag == tag && known.field.is_in(self.version))
            {
                None => {
                    self.charge(unknown_bytes)?;
                    unknown_bytes = UNKNOWN_TAG_BYTES;
                }
                Some(known) => self.known_tag(&known.field, size, &mut value)?,
            }
        }
        Ok(())
    }

    /// The decoder reads a tag that it knows without regard to the declared size, so the two must agree.
    fn known_tag(
        &mut self,
        field: &Field,
        declared: usize,
        value: &mut Reader<'_>,
    ) -> Result<(), BoundsError> {
        self.value(field.name, &field.shape, value)?;
        let found = value.position();
        if found != declared {
            return Err(BoundsError::TagSize {
                field: field.name,
                declared,
                found,
            });
        }
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), BoundsError> {
        self.decoded_bytes = self.decoded_bytes.saturating_add(bytes);
        if self.decoded_bytes > MAX_DECODED_BYTES {
            return Err(BoundsError::TooManyElements);
        }
        Ok(())
    }
}
