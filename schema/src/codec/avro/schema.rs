//! An Avro schema as a flat list of nodes that name each other by number, so that a walk over a
//! payload follows no strings and recursive types need no reference counting.

use arrow_schema::TimeUnit;

/// Index into [`AvroSchema::nodes`].
pub(super) type NodeId = u32;

/// A parsed schema. Invariant: every `NodeId` in it is below `nodes.len()`.
pub(crate) struct AvroSchema {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
}

pub(super) enum Node {
    Null,
    Boolean,
    Int(IntKind),
    Long(LongKind),
    Float,
    Double,
    Bytes(BytesKind),
    String,
    Fixed(Fixed),
    Enum(Enum),
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    Record(Record),
}

impl Node {
    /// Full name of a named type, else the type's name.
    pub(super) fn name(&self) -> &str {
        match self {
            Node::Null => "null",
            Node::Boolean => "boolean",
            Node::Int(_) => "int",
            Node::Long(_) => "long",
            Node::Float => "float",
            Node::Double => "double",
            Node::Bytes(_) => "bytes",
            Node::String => "string",
            Node::Array(_) => "array",
            Node::Map(_) => "map",
            Node::Union(_) => "union",
            Node::Fixed(fixed) => &fixed.name,
            Node::Enum(symbols) => &symbols.name,
            Node::Record(record) => &record.name,
        }
    }
}

/// What an `int` stands for. `Int8` and `Int16` are Kafka Connect's `connect.type`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IntKind {
    Plain,
    Date,
    TimeMillis,
    Int8,
    Int16,
}

impl IntKind {
    /// The values that the type holds, inclusive.
    pub(super) fn range(self) -> (i32, i32) {
        match self {
            IntKind::Plain | IntKind::Date => (i32::MIN, i32::MAX),
            IntKind::TimeMillis => (0, 86_399_999),
            IntKind::Int8 => (i8::MIN as i32, i8::MAX as i32),
            IntKind::Int16 => (i16::MIN as i32, i16::MAX as i32),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LongKind {
    Plain,
    TimeMicros,
    Timestamp { unit: TimeUnit, utc: bool },
}

impl LongKind {
    /// The values that the type holds, inclusive.
    pub(super) fn range(self) -> (i64, i64) {
        match self {
            LongKind::Plain | LongKind::Timestamp { .. } => (i64::MIN, i64::MAX),
            LongKind::TimeMicros => (0, 86_399_999_999),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BytesKind {
    Plain,
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// A decimal of more digits than a column holds; treated as bytes, and refused as a column.
    WideDecimal,
}

pub(super) struct Fixed {
    pub name: String,
    pub size: usize,
    pub kind: BytesKind,
}

pub(super) struct Enum {
    pub name: String,
    pub symbols: Vec<String>,
    pub default: Option<usize>,
}

pub(super) struct Record {
    pub name: String,
    pub aliases: Vec<String>,
    pub fields: Vec<Field>,
}

pub(super) struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub node: NodeId,
    pub default: FieldDefault,
}

/// A field's default, as the Avro bytes of the value.
pub(super) enum FieldDefault {
    None,
    Value(Vec<u8>),
    /// A default that is not a value of the field's type; an error only where it would be used.
    Invalid,
}

impl AvroSchema {
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// The other branch of a union of null and one type, with null's position.
    pub(super) fn nullable(&self, branches: &[NodeId]) -> Option<(NodeId, usize)> {
        let is_null = |id: &NodeId| matches!(self.node(*id), Node::Null);
        match branches {
            [null, other] if is_null(null) => Some((*other, 0)),
            [other, null] if is_null(null) => Some((*other, 1)),
            _ => None,
        }
    }
}
