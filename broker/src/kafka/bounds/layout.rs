//! The words in which requests are described.

use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

/// One API's request: the versions described, and the first that uses compact lengths and tagged fields.
#[derive(Debug)]
pub struct Request {
    pub key: ApiKey,
    pub name: &'static str,
    pub first: i16,
    pub last: i16,
    pub flexible: i16,
    pub body: Layout,
}

impl Request {
    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible
    }
}

/// A struct: its fields in wire order, and the size that the decoder's type for it takes in memory.
#[derive(Debug)]
pub struct Layout {
    pub memory_bytes: usize,
    pub fields: &'static [Field],
    pub tagged: &'static [Tagged],
}

impl Layout {
    /// A struct that decodes into a `T`.
    pub const fn of<T>(fields: &'static [Field]) -> Self {
        Layout {
            memory_bytes: size_of::<T>(),
            fields,
            tagged: &[],
        }
    }

    /// Adds the tagged fields that the decoder knows; it skips the others by their size.
    pub const fn tagged(mut self, tagged: &'static [Tagged]) -> Self {
        self.tagged = tagged;
        self
    }
}

/// One field, and the versions that have it (inclusive).
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub first: i16,
    pub last: i16,
    pub shape: Shape,
}

/// A field of every version.
pub const fn field(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        first: 0,
        last: i16::MAX,
        shape,
    }
}

impl Field {
    /// The first version that has the field.
    pub const fn since(mut self, first: i16) -> Self {
        self.first = first;
        self
    }

    /// The last version that has the field.
    pub const fn until(mut self, last: i16) -> Self {
        self.last = last;
        self
    }

    pub const fn is_in(&self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }
}

/// A tagged field that the decoder knows, so that its bytes are decoded and not skipped.
#[derive(Debug)]
pub struct Tagged {
    pub tag: u32,
    pub field: Field,
}

pub const fn tagged(tag: u32, field: Field) -> Tagged {
    Tagged { tag, field }
}

/// How a field lies on the wire. Lengths are fixed-size integers, or varints in flexible versions.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// So many bytes, always.
    Fixed(usize),
    /// A string, null or not: the decoder refuses a null that may not be.
    Text,
    /// Bytes or records, null or not.
    Blob,
    /// An array of plain values, null or not.
    Array(&'static Shape),
    /// An array of structs, null or not.
    Structs(&'static Layout),
    /// A struct in place.
    Struct(&'static Layout),
    /// A byte that is 1 where the struct follows, and a negative one where it is null.
    NullableStruct(&'static Layout),
}

pub const BOOL: Shape = Shape::Fixed(1);
pub const INT8: Shape = Shape::Fixed(1);
pub const INT16: Shape = Shape::Fixed(2);
pub const INT32: Shape = Shape::Fixed(4);
pub const INT64: Shape = Shape::Fixed(8);
pub const UUID: Shape = Shape::Fixed(16);
pub const STRING: Shape = Shape::Text;
pub const BYTES: Shape = Shape::Blob;
pub const INT32S: Shape = Shape::Array(&INT32);
pub const STRINGS: Shape = Shape::Array(&STRING);

pub const fn structs(layout: &'static Layout) -> Shape {
    Shape::Structs(layout)
}

impl Shape {
    /// The fewest bytes that one value takes on the wire.
    pub fn min_wire_bytes(&self, version: i16, flexible: bool) -> usize {
        match self {
            Shape::Fixed(bytes) => *bytes,
            Shape::Text if flexible => 1,
            Shape::Text => 2,
            Shape::Blob | Shape::Array(_) | Shape::Structs(_) if flexible => 1,
            Shape::Blob | Shape::Array(_) | Shape::Structs(_) => 4,
            Shape::Struct(layout) => layout.min_wire_bytes(version, flexible),
            Shape::NullableStruct(_) => 1,
        }
    }

    /// What one value takes in a decoded array.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Shape::Fixed(bytes) => *bytes,
            Shape::Text | Shape::Blob => size_of::<StrBytes>(),
            Shape::Array(_) | Shape::Structs(_) => size_of::<Vec<u8>>(),
            Shape::Struct(layout) | Shape::NullableStruct(layout) => layout.memory_bytes,
        }
    }
}

impl Layout {
    /// The fewest bytes that one struct takes on the wire.
    pub fn min_wire_bytes(&self, version: i16, flexible: bool) -> usize {
        let fields = self.fields.iter().filter(|field| field.is_in(version));
        let fields: usize = fields
            .map(|field| field.shape.min_wire_bytes(version, flexible))
            .sum();
        fields + usize::from(flexible)
    }
}
