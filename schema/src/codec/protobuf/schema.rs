//! A Protobuf schema as flat lists of messages and enums that name each other by number.

pub(super) type MessageId = usize;
pub(super) type EnumId = usize;

/// A compiled file and everything that it reaches. Invariant: ids are within their lists; a message's
/// fields are in the order of their numbers.
pub(crate) struct ProtoSchema {
    pub(super) messages: Vec<Message>,
    pub(super) enums: Vec<Enum>,
    /// The file's own messages, in the order in which indexes count them.
    pub(super) top: Vec<MessageId>,
}

pub(super) struct Message {
    pub full_name: String,
    pub children: Vec<MessageId>,
    pub fields: Vec<Field>,
    /// How many fields are required.
    pub required: usize,
    pub meaning: Meaning,
}

/// Messages that stand for one value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Plain,
    /// google.protobuf.Timestamp.
    Timestamp,
    /// google.protobuf.Int64Value and its like: a scalar that may be null.
    Wrapper,
    /// google.type.Date.
    Date,
    /// google.type.TimeOfDay.
    TimeOfDay,
}

pub(super) struct Field {
    pub name: String,
    pub number: u32,
    pub kind: Kind,
    pub shape: Shape,
    pub oneof: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// proto3 without `optional`: absent and default are the same.
    Implicit,
    /// May be absent, which is null.
    Optional,
    /// proto2 `required`.
    Required,
    Repeated {
        packed: bool,
    },
    /// The field's kind is the entry message: key 1, value 2.
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    UInt32,
    UInt64,
    SInt32,
    SInt64,
    Fixed32,
    Fixed64,
    SFixed32,
    SFixed64,
    Bool,
    String,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
    Group(MessageId),
}

pub(super) struct Enum {
    pub values: Vec<(String, i32)>,
}

impl Enum {
    pub(super) fn name_of(&self, number: i32) -> Option<&str> {
        self.values
            .iter()
            .find(|(_, n)| *n == number)
            .map(|(name, _)| name.as_str())
    }

    pub(super) fn number_of(&self, name: &str) -> Option<i32> {
        self.values
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, number)| *number)
    }
}

/// How a value lies on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireType {
    Varint,
    Fixed64,
    Length,
    Group,
    Fixed32,
}

impl WireType {
    pub(super) fn number(self) -> u64 {
        match self {
            WireType::Varint => 0,
            WireType::Fixed64 => 1,
            WireType::Length => 2,
            WireType::Group => 3,
            WireType::Fixed32 => 5,
        }
    }
}

impl Kind {
    pub(super) fn wire_type(self) -> WireType {
        match self {
            Kind::Double | Kind::Fixed64 | Kind::SFixed64 => WireType::Fixed64,
            Kind::Float | Kind::Fixed32 | Kind::SFixed32 => WireType::Fixed32,
            Kind::String | Kind::Bytes | Kind::Message(_) => WireType::Length,
            Kind::Group(_) => WireType::Group,
            Kind::Int32 | Kind::Int64 | Kind::UInt32 | Kind::UInt64 => WireType::Varint,
            Kind::SInt32 | Kind::SInt64 | Kind::Bool | Kind::Enum(_) => WireType::Varint,
        }
    }

    /// Whether values of this kind may lie one after the other in one length-delimited field.
    pub(super) fn packable(self) -> bool {
        !matches!(self.wire_type(), WireType::Length | WireType::Group)
    }
}

impl Message {
    /// The field of a number, with its position. Fields mostly come in order: `hint` is tried first.
    pub(super) fn field(&self, number: u32, hint: usize) -> Option<(usize, &Field)> {
        if let Some(field) = self.fields.get(hint)
            && field.number == number
        {
            return Some((hint, field));
        }
        let position = self
            .fields
            .binary_search_by_key(&number, |f| f.number)
            .ok()?;
        Some((position, &self.fields[position]))
    }
}

impl ProtoSchema {
    /// The message that indexes name.
    pub(crate) fn message(&self, mut indexes: impl Iterator<Item = usize>) -> Option<MessageId> {
        let mut id = *self.top.get(indexes.next()?)?;
        for index in indexes {
            id = *self.messages[id].children.get(index)?;
        }
        Some(id)
    }

    pub(crate) fn message_named(&self, full_name: &str) -> Option<MessageId> {
        self.messages.iter().position(|m| m.full_name == full_name)
    }

    pub(crate) fn name(&self, id: MessageId) -> &str {
        &self.messages[id].full_name
    }
}
