//! The parsed schema: a tree whose named types lie in one table, so that types may refer to
//! themselves.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// An Avro schema with the types of its references.
#[derive(Clone, Debug, PartialEq)]
pub struct AvroSchema {
    pub(super) root: Node,
    pub(super) types: Vec<Named>,
    pub(super) by_name: BTreeMap<Name, TypeId>,
    /// Types with an id below this come from references and are only named in the canonical form.
    pub(super) referenced_types: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TypeId(pub usize);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Primitive(Primitive, Properties),
    Array(Box<Node>, Properties),
    Map(Box<Node>, Properties),
    Union(Vec<Node>),
    Named(TypeId),
}

/// Attributes that Avro does not know, in the order in which they were written.
pub(super) type Properties = Map<String, Value>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    pub name: Name,
    pub aliases: Vec<Name>,
    pub doc: Option<String>,
    pub properties: Properties,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A record whose fields are not read yet, so that it can name itself.
    Opening,
    Record {
        fields: Vec<Field>,
        is_error: bool,
    },
    Enum {
        symbols: Vec<String>,
        default: Option<String>,
    },
    Fixed {
        size: u64,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub doc: Option<String>,
    pub node: Node,
    pub default: Option<Value>,
    pub order: Order,
    pub properties: Properties,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Ascending,
    Descending,
    Ignore,
}

/// A type's full name. The empty namespace is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    pub namespace: String,
    pub simple: String,
}

impl Name {
    /// Reads a name within a namespace; a dotted name brings its own.
    pub fn qualify(name: &str, namespace: &str) -> Name {
        match name.rsplit_once('.') {
            Some((own, simple)) => Name {
                namespace: own.to_owned(),
                simple: simple.to_owned(),
            },
            None => Name {
                namespace: namespace.to_owned(),
                simple: name.to_owned(),
            },
        }
    }

    /// How the name is written within a namespace: short where that says the same.
    pub fn within(&self, namespace: &str) -> String {
        let ambiguous = Primitive::parse(&self.simple).is_some();
        if self.namespace.is_empty() || (self.namespace == namespace && !ambiguous) {
            self.simple.clone()
        } else {
            self.to_string()
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return f.write_str(&self.simple);
        }
        write!(f, "{}.{}", self.namespace, self.simple)
    }
}

impl Primitive {
    pub fn parse(name: &str) -> Option<Primitive> {
        Some(match name {
            "null" => Primitive::Null,
            "boolean" => Primitive::Boolean,
            "int" => Primitive::Int,
            "long" => Primitive::Long,
            "float" => Primitive::Float,
            "double" => Primitive::Double,
            "bytes" => Primitive::Bytes,
            "string" => Primitive::String,
            _ => return None,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Primitive::Null => "null",
            Primitive::Boolean => "boolean",
            Primitive::Int => "int",
            Primitive::Long => "long",
            Primitive::Float => "float",
            Primitive::Double => "double",
            Primitive::Bytes => "bytes",
            Primitive::String => "string",
        }
    }
}

impl Order {
    pub fn as_str(self) -> &'static str {
        match self {
            Order::Ascending => "ascending",
            Order::Descending => "descending",
            Order::Ignore => "ignore",
        }
    }
}

impl AvroSchema {
    pub(super) fn named(&self, id: TypeId) -> &Named {
        &self.types[id.0]
    }

    /// Whether the schema is a record with this field.
    pub fn has_top_level_field(&self, field: &str) -> bool {
        let Node::Named(id) = self.root else {
            return false;
        };
        match &self.named(id).kind {
            Kind::Record { fields, .. } => fields.iter().any(|f| f.name == field),
            _ => false,
        }
    }
}
