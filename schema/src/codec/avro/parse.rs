//! Reads the JSON text of an Avro schema into flat nodes.
//!
//! As in Avro's Java: unknown attributes are kept out of the way, a logical type that does not fit
//! its type is ignored, a type may be used before the record that it stands in ends (recursion), and a
//! name may be defined once.

use std::collections::{HashMap, HashSet};

use arrow_schema::TimeUnit;
use serde_json::{Map, Value};

use super::default::encode_defaults;
use super::schema::{
    AvroSchema, BytesKind, Enum, Field, FieldDefault, Fixed, IntKind, LongKind, Node, NodeId,
    Record,
};
use crate::codec::SchemaError;
use crate::row::decimal::MAX_PRECISION;

/// Reads `text`, whose named types may come from `references`; each reference may use those before it.
pub(crate) fn parse(text: &str, references: &[(&str, &str)]) -> Result<AvroSchema, SchemaError> {
    let mut parser = Parser::default();
    for (name, text) in references {
        parser.schema(text).map_err(|e| SchemaError::Reference {
            name: (*name).to_owned(),
            reason: e.to_string(),
        })?;
    }
    let root = parser.schema(text)?;
    let mut schema = AvroSchema {
        nodes: parser.nodes,
        root,
    };
    encode_defaults(&mut schema, parser.defaults);
    Ok(schema)
}

/// A field's default as the schema states it: record, position of the field, value.
pub(super) type StatedDefault = (NodeId, usize, Value);

#[derive(Default)]
struct Parser {
    nodes: Vec<Node>,
    names: HashMap<String, NodeId>,
    defaults: Vec<StatedDefault>,
}

type Object = Map<String, Value>;

impl Parser {
    fn schema(&mut self, text: &str) -> Result<NodeId, SchemaError> {
        let json = serde_json::from_str(text).map_err(|e| SchemaError::NotJson(e.to_string()))?;
        self.any(&json, "")
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        (self.nodes.len() - 1) as NodeId
    }

    fn any(&mut self, json: &Value, namespace: &str) -> Result<NodeId, SchemaError> {
        match json {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => match object.get("type") {
                Some(Value::String(name)) => self.object(name, object, namespace),
                Some(nested @ (Value::Object(_) | Value::Array(_))) => self.any(nested, namespace),
                _ => Err(SchemaError::invalid(excerpt(json), "has no \"type\"")),
            },
            _ => Err(SchemaError::invalid(excerpt(json), "is not a schema")),
        }
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<NodeId, SchemaError> {
        if let Some(node) = primitive(name, &Object::new()) {
            return Ok(self.add(node));
        }
        let known = self
            .names
            .get(&full_name(name, namespace))
            .or_else(|| self.names.get(name));
        known
            .copied()
            .ok_or_else(|| SchemaError::invalid(name, "no type of this name is defined"))
    }

    fn object(
        &mut self,
        kind: &str,
        object: &Object,
        namespace: &str,
    ) -> Result<NodeId, SchemaError> {
        match kind {
            "record" | "error" => self.record(object, namespace),
            "enum" => {
                let name = self.define(object, namespace)?;
                let node = read_enum(name.full.clone(), object)?;
                Ok(self.register(name, node))
            }
            "fixed" => {
                let name = self.define(object, namespace)?;
                let node = read_fixed(name.full.clone(), object)?;
                Ok(self.register(name, node))
            }
            "array" => {
                let items = object
                    .get("items")
                    .ok_or_else(|| SchemaError::invalid("array", "has no \"items\""))?;
                let items = self.any(items, namespace)?;
                Ok(self.add(Node::Array(items)))
            }
            "map" => {
                let values = object
                    .get("values")
                    .ok_or_else(|| SchemaError::invalid("map", "has no \"values\""))?;
                let values = self.any(values, namespace)?;
                Ok(self.add(Node::Map(values)))
            }
            name => match primitive(name, object) {
                Some(node) => Ok(self.add(node)),
                None => self.named(name, namespace),
            },
        }
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<NodeId, SchemaError> {
        let mut seen = HashSet::new();
        let mut nodes = Vec::with_capacity(branches.len());
        for branch in branches {
            let id = self.any(branch, namespace)?;
            if matches!(self.nodes[id as usize], Node::Union(_)) {
                return Err(SchemaError::invalid("union", "holds a union"));
            }
            let name = self.nodes[id as usize].name().to_owned();
            if !seen.insert(name.clone()) {
                return Err(SchemaError::invalid("union", format!("holds {name} twice")));
            }
            nodes.push(id);
        }
        if nodes.is_empty() {
            return Err(SchemaError::invalid("union", "has no branches"));
        }
        Ok(self.add(Node::Union(nodes)))
    }

    fn record(&mut self, object: &Object, namespace: &str) -> Result<NodeId, SchemaError> {
        let name = self.define(object, namespace)?;
        let placeholder = Record {
            name: name.full.clone(),
            aliases: Vec::new(),
            fields: Vec::new(),
        };
        let id = self.register(name.clone(), Node::Record(placeholder));
        let Some(Value::Array(stated)) = object.get("fields") else {
            return Err(SchemaError::invalid(
                name.full,
                "the record has no \"fields\" array",
            ));
        };
        let mut seen = HashSet::new();
        let mut fields = Vec::with_capacity(stated.len());
        for (position, stated) in stated.iter().enumerate() {
            let field = self.field(stated, &name, id, position)?;
            if !seen.insert(field.name.clone()) {
                return Err(SchemaError::invalid(
                    name.full,
                    format!("field {:?} is there twice", field.name),
                ));
            }
            fields.push(field);
        }
        let aliases = strings(object.get("aliases"))
            .map(|a| full_name(a, &name.namespace))
            .collect();
        self.nodes[id as usize] = Node::Record(Record {
            name: name.full,
            aliases,
            fields,
        });
        Ok(id)
    }

    fn field(
        &mut self,
        json: &Value,
        record: &Name,
        id: NodeId,
        position: usize,
    ) -> Result<Field, SchemaError> {
        let name = json.get("name").and_then(Value::as_str).unwrap_or_default();
        if !is_identifier(name) {
            return Err(SchemaError::invalid(
                &record.full,
                format!("field {position} has no valid name: {name:?}"),
            ));
        }
        let at = || format!("{}.{name}", record.full);
        let stated = json
            .get("type")
            .ok_or_else(|| SchemaError::invalid(at(), "has no \"type\""))?;
        let node = self.any(stated, &record.namespace).map_err(|e| match e {
            SchemaError::Invalid { at: inner, reason } if !inner.starts_with(&record.full) => {
                SchemaError::invalid(at(), format!("{inner}: {reason}"))
            }
            e => e,
        })?;
        if let Some(default) = json.get("default") {
            self.defaults.push((id, position, default.clone()));
        }
        let aliases = strings(json.get("aliases")).map(str::to_owned).collect();
        Ok(Field {
            name: name.to_owned(),
            aliases,
            node,
            default: FieldDefault::None,
        })
    }

    fn define(&mut self, object: &Object, namespace: &str) -> Result<Name, SchemaError> {
        let stated = object
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let namespace = object
            .get("namespace")
            .and_then(Value::as_str)
            .unwrap_or(namespace);
        let full = full_name(stated, namespace);
        if !full.split('.').all(is_identifier) {
            return Err(SchemaError::invalid(
                excerpt_of(object),
                format!("{stated:?} is not a valid name"),
            ));
        }
        if primitive(stated, &Object::new()).is_some() || self.names.contains_key(&full) {
            return Err(SchemaError::invalid(full, "the name is defined twice"));
        }
        let namespace = full
            .rsplit_once('.')
            .map_or("", |(namespace, _)| namespace)
            .to_owned();
        Ok(Name { full, namespace })
    }

    fn register(&mut self, name: Name, node: Node) -> NodeId {
        let id = self.add(node);
        self.names.insert(name.full, id);
        id
    }
}

#[derive(Clone)]
struct Name {
    full: String,
    /// For the names inside the type.
    namespace: String,
}

fn full_name(name: &str, namespace: &str) -> String {
    match name.strip_prefix('.') {
        Some(name) => name.to_owned(),
        None if name.contains('.') || namespace.is_empty() => name.to_owned(),
        None => format!("{namespace}.{name}"),
    }
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

fn primitive(name: &str, object: &Object) -> Option<Node> {
    let logical = object
        .get("logicalType")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Some(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int(int_kind(logical, object)),
        "long" => Node::Long(long_kind(logical)),
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes(bytes_kind(logical, object)),
        "string" => Node::String,
        _ => return None,
    })
}

fn int_kind(logical: &str, object: &Object) -> IntKind {
    match (logical, object.get("connect.type").and_then(Value::as_str)) {
        ("date", _) => IntKind::Date,
        ("time-millis", _) => IntKind::TimeMillis,
        (_, Some("int8")) => IntKind::Int8,
        (_, Some("int16")) => IntKind::Int16,
        _ => IntKind::Plain,
    }
}

fn long_kind(logical: &str) -> LongKind {
    let timestamp = |unit, utc| LongKind::Timestamp { unit, utc };
    match logical {
        "time-micros" => LongKind::TimeMicros,
        "timestamp-millis" => timestamp(TimeUnit::Millisecond, true),
        "timestamp-micros" => timestamp(TimeUnit::Microsecond, true),
        "timestamp-nanos" => timestamp(TimeUnit::Nanosecond, true),
        "local-timestamp-millis" => timestamp(TimeUnit::Millisecond, false),
        "local-timestamp-micros" => timestamp(TimeUnit::Microsecond, false),
        "local-timestamp-nanos" => timestamp(TimeUnit::Nanosecond, false),
        _ => LongKind::Plain,
    }
}

fn bytes_kind(logical: &str, object: &Object) -> BytesKind {
    let number = |key: &str| object.get(key).map(|v| v.as_u64());
    match (
        logical,
        number("precision"),
        number("scale").unwrap_or(Some(0)),
    ) {
        ("decimal", Some(Some(precision)), Some(scale)) if precision > 0 && scale <= precision => {
            if precision > u64::from(MAX_PRECISION) {
                BytesKind::WideDecimal
            } else {
                BytesKind::Decimal {
                    precision: precision as u8,
                    scale: scale as u8,
                }
            }
        }
        _ => BytesKind::Plain,
    }
}

fn read_fixed(name: String, object: &Object) -> Result<Node, SchemaError> {
    let size = object
        .get("size")
        .and_then(Value::as_u64)
        .and_then(|s| u32::try_from(s).ok());
    let Some(size) = size.filter(|s| *s <= i32::MAX as u32) else {
        return Err(SchemaError::invalid(
            name,
            "the fixed has no valid \"size\"",
        ));
    };
    let logical = object
        .get("logicalType")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let kind = if size == 0 {
        BytesKind::Plain
    } else {
        bytes_kind(logical, object)
    };
    Ok(Node::Fixed(Fixed {
        name,
        size: size as usize,
        kind,
    }))
}

fn read_enum(name: String, object: &Object) -> Result<Node, SchemaError> {
    let Some(Value::Array(stated)) = object.get("symbols") else {
        return Err(SchemaError::invalid(
            name,
            "the enum has no \"symbols\" array",
        ));
    };
    let mut symbols: Vec<String> = Vec::with_capacity(stated.len());
    let mut seen = HashSet::new();
    for symbol in stated {
        match symbol.as_str().filter(|s| is_identifier(s)) {
            Some(symbol) if seen.insert(symbol) => symbols.push(symbol.to_owned()),
            Some(symbol) => {
                return Err(SchemaError::invalid(
                    name,
                    format!("symbol {symbol:?} is there twice"),
                ));
            }
            None => {
                return Err(SchemaError::invalid(
                    name,
                    format!("{symbol} is not a valid symbol"),
                ));
            }
        }
    }
    let default = match object.get("default") {
        None => None,
        Some(stated) => match symbols
            .iter()
            .position(|s| Some(s.as_str()) == stated.as_str())
        {
            Some(position) => Some(position),
            None => {
                return Err(SchemaError::invalid(
                    name,
                    format!("the default {stated} is not a symbol"),
                ));
            }
        },
    };
    Ok(Node::Enum(Enum {
        name,
        symbols,
        default,
    }))
}

fn strings(json: Option<&Value>) -> impl Iterator<Item = &str> {
    json.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn excerpt(json: &Value) -> String {
    json.to_string().chars().take(60).collect()
}

fn excerpt_of(object: &Object) -> String {
    excerpt(&Value::Object(object.clone()))
}
