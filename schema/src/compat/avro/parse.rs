//! From JSON text to a schema, refusing what Java's parser refuses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::default;
use super::schema::{
    AvroSchema, Field, Kind, Name, Named, Node, Order, Primitive, Properties, TypeId,
};
use crate::registry::ResolvedReference;
use crate::registry::limits::NESTING_MAX;

/// Attributes with a meaning on every schema, so never kept as custom ones.
const SCHEMA_ATTRIBUTES: [&str; 10] = [
    "doc",
    "fields",
    "items",
    "name",
    "namespace",
    "size",
    "symbols",
    "values",
    "type",
    "aliases",
];
const FIELD_ATTRIBUTES: [&str; 6] = ["default", "doc", "name", "order", "type", "aliases"];

impl AvroSchema {
    /// Parses a schema that may name the types of its references, which come in an order in which
    /// each is defined before it is used. `as_new` also checks that defaults fit their fields.
    ///
    /// # Errors
    /// Says what is wrong, with the name or value.
    pub fn parse(
        text: &str,
        references: &[ResolvedReference],
        as_new: bool,
    ) -> Result<AvroSchema, String> {
        let mut parser = Parser {
            types: Vec::new(),
            by_name: BTreeMap::new(),
        };
        for reference in references {
            parser
                .parse_text(&reference.text)
                .map_err(|reason| format!("reference {}: {reason}", reference.name))?;
        }
        let referenced_types = parser.types.len();
        let root = parser.parse_text(text)?;
        let Parser { types, by_name } = parser;
        let schema = AvroSchema {
            root,
            types,
            by_name,
            referenced_types,
        };
        if as_new {
            default::validate(&schema)?;
        }
        Ok(schema)
    }
}

struct Parser {
    types: Vec<Named>,
    by_name: BTreeMap<Name, TypeId>,
}

impl Parser {
    fn parse_text(&mut self, text: &str) -> Result<Node, String> {
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            // A bare primitive's name without quotes is a schema to Java's registry.
            Err(_) if Primitive::parse(text.trim()).is_some() => text.trim().into(),
            Err(error) => return Err(format!("not JSON: {error}")),
        };
        self.node(&value, "", 0)
    }

    fn node(&mut self, value: &Value, namespace: &str, depth: usize) -> Result<Node, String> {
        if depth > NESTING_MAX {
            return Err(format!("types nest deeper than {NESTING_MAX}"));
        }
        match value {
            Value::String(name) => self.by_reference(name, namespace),
            Value::Array(branches) => self.union(branches, namespace, depth),
            Value::Object(object) => self.object(object, namespace, depth),
            _ => Err(format!(
                "a schema is a name, an object or an array, not {value}"
            )),
        }
    }

    fn by_reference(&self, name: &str, namespace: &str) -> Result<Node, String> {
        if let Some(primitive) = Primitive::parse(name) {
            return Ok(Node::Primitive(primitive, Properties::new()));
        }
        let in_scope = self.by_name.get(&Name::qualify(name, namespace));
        let found = in_scope.or_else(|| self.by_name.get(&Name::qualify(name, "")));
        let full = Name::qualify(name, namespace);
        found
            .map(|id| Node::Named(*id))
            .ok_or_else(|| format!("undefined type \"{full}\""))
    }

    fn union(&mut self, branches: &[Value], namespace: &str, depth: usize) -> Result<Node, String> {
        let mut seen = BTreeSet::new();
        let mut nodes = Vec::with_capacity(branches.len());
        for branch in branches {
            let node = self.node(branch, namespace, depth + 1)?;
            let label = match &node {
                Node::Union(_) => return Err("a union directly inside a union".to_owned()),
                Node::Primitive(primitive, _) => primitive.as_str().to_owned(),
                Node::Array(..) => "array".to_owned(),
                Node::Map(..) => "map".to_owned(),
                Node::Named(id) => self.types[id.0].name.to_string(),
            };
            if !seen.insert(label.clone()) {
                return Err(format!("duplicate in union: {label}"));
            }
            nodes.push(node);
        }
        Ok(Node::Union(nodes))
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<Node, String> {
        let type_name = match object.get("type") {
            Some(Value::String(name)) => name.as_str(),
            Some(inner @ (Value::Object(_) | Value::Array(_))) => {
                return self.node(inner, namespace, depth + 1);
            }
            _ => return Err(format!("no type in {}", shorten(object))),
        };
        let mut inner = |attribute: &str| {
            let value = object.get(attribute);
            let value = value.ok_or_else(|| format!("{type_name} without {attribute}"))?;
            self.node(value, namespace, depth + 1).map(Box::new)
        };
        match type_name {
            "array" => Ok(Node::Array(
                inner("items")?,
                properties(object, &SCHEMA_ATTRIBUTES),
            )),
            "map" => Ok(Node::Map(
                inner("values")?,
                properties(object, &SCHEMA_ATTRIBUTES),
            )),
            "record" | "error" | "enum" | "fixed" => {
                self.definition(object, type_name, namespace, depth)
            }
            _ => match Primitive::parse(type_name) {
                Some(primitive) => Ok(Node::Primitive(
                    primitive,
                    properties(object, &SCHEMA_ATTRIBUTES),
                )),
                None => self.by_reference(type_name, namespace),
            },
        }
    }

    fn definition(
        &mut self,
        object: &Map<String, Value>,
        type_name: &str,
        namespace: &str,
        depth: usize,
    ) -> Result<Node, String> {
        let name = type_name_of(object, namespace)?;
        if self.by_name.contains_key(&name) {
            return Err(format!("cannot redefine {name}"));
        }
        let aliases = aliases(object)?;
        let aliases = aliases
            .iter()
            .map(|a| Name::qualify(a, &name.namespace))
            .collect();
        let mut attributes = SCHEMA_ATTRIBUTES.to_vec();
        if type_name == "enum" {
            attributes.push("default");
        }
        let id = TypeId(self.types.len());
        self.by_name.insert(name.clone(), id);
        let inner_namespace = name.namespace.clone();
        self.types.push(Named {
            name,
            aliases,
            doc: optional_text(object, "doc"),
            properties: properties(object, &attributes),
            kind: Kind::Opening,
        });
        let kind = match type_name {
            "enum" => enum_kind(object)?,
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64);
                let size = size.filter(|size| i32::try_from(*size).is_ok());
                Kind::Fixed {
                    size: size.ok_or("fixed without a size from 0 to 2147483647")?,
                }
            }
            _ => Kind::Record {
                fields: self.fields(object, &inner_namespace, depth)?,
                is_error: type_name == "error",
            },
        };
        self.types[id.0].kind = kind;
        Ok(Node::Named(id))
    }

    fn fields(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<Vec<Field>, String> {
        let fields = object.get("fields").and_then(Value::as_array);
        let fields = fields.ok_or("record without an array of fields")?;
        let mut names = BTreeSet::new();
        let mut parsed = Vec::with_capacity(fields.len());
        for field in fields {
            let field = self.field(field, namespace, depth)?;
            if !names.insert(field.name.clone()) {
                return Err(format!("duplicate field {}", field.name));
            }
            parsed.push(field);
        }
        Ok(parsed)
    }

    fn field(&mut self, field: &Value, namespace: &str, depth: usize) -> Result<Field, String> {
        let object = field
            .as_object()
            .ok_or_else(|| format!("a field is an object: {field}"))?;
        let name = object.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| format!("no field name in {}", shorten(object)))?;
        check_name(name)?;
        let node = object
            .get("type")
            .ok_or_else(|| format!("no type of field {name}"))?;
        let node = self.node(node, namespace, depth + 1);
        let node = node.map_err(|reason| format!("field {name}: {reason}"))?;
        let order = match object.get("order").and_then(Value::as_str) {
            None => Order::Ascending,
            Some(order) => match order.to_ascii_lowercase().as_str() {
                "ascending" => Order::Ascending,
                "descending" => Order::Descending,
                "ignore" => Order::Ignore,
                _ => return Err(format!("field {name}: unknown order {order:?}")),
            },
        };
        Ok(Field {
            name: name.to_owned(),
            aliases: aliases(object)?,
            doc: optional_text(object, "doc"),
            default: object
                .get("default")
                .map(|value| floating_default(&node, value)),
            node,
            order,
            properties: properties(object, &FIELD_ATTRIBUTES),
        })
    }
}

/// A float's default may be written as text, such as "NaN".
fn floating_default(node: &Node, value: &Value) -> Value {
    let floating = matches!(
        node,
        Node::Primitive(Primitive::Float | Primitive::Double, _)
    );
    let number = value
        .as_str()
        .filter(|_| floating)
        .and_then(|text| text.parse::<f64>().ok());
    number
        .and_then(serde_json::Number::from_f64)
        .map_or_else(|| value.clone(), Value::Number)
}

fn type_name_of(object: &Map<String, Value>, namespace: &str) -> Result<Name, String> {
    let name = object.get("name").and_then(Value::as_str);
    let name = name.ok_or_else(|| format!("no name in {}", shorten(object)))?;
    let own = object.get("namespace").and_then(Value::as_str);
    let name = Name::qualify(name, own.unwrap_or(namespace));
    check_name(&name.simple)?;
    if !name.namespace.is_empty() {
        name.namespace.split('.').try_for_each(check_name)?;
    }
    if Primitive::parse(&name.to_string()).is_some() {
        return Err(format!("schemas may not be named after primitives: {name}"));
    }
    Ok(name)
}

fn check_name(name: &str) -> Result<(), String> {
    let mut chars = name.chars();
    let starts = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if starts && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    Err(format!(
        "illegal name {name:?}: use letters, digits and _, not beginning with a digit"
    ))
}

fn enum_kind(object: &Map<String, Value>) -> Result<Kind, String> {
    let symbols = object.get("symbols").and_then(Value::as_array);
    let symbols = symbols.ok_or("enum without an array of symbols")?;
    let mut seen = BTreeSet::new();
    for symbol in symbols {
        let symbol = symbol
            .as_str()
            .ok_or_else(|| format!("enum symbol {symbol} is no text"))?;
        check_name(symbol)?;
        if !seen.insert(symbol) {
            return Err(format!("duplicate enum symbol {symbol}"));
        }
    }
    let default = optional_text(object, "default");
    if let Some(default) = default.as_deref().filter(|default| !seen.contains(default)) {
        return Err(format!(
            "the enum's default {default:?} is none of its symbols"
        ));
    }
    let symbols = symbols
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    Ok(Kind::Enum { symbols, default })
}

fn aliases(object: &Map<String, Value>) -> Result<Vec<String>, String> {
    let Some(aliases) = object.get("aliases") else {
        return Ok(Vec::new());
    };
    let aliases = aliases.as_array().ok_or("aliases is not an array")?;
    let mut texts: Vec<String> = Vec::with_capacity(aliases.len());
    for alias in aliases {
        let alias = alias
            .as_str()
            .ok_or_else(|| format!("alias {alias} is no text"))?;
        if !texts.iter().any(|text| text == alias) {
            texts.push(alias.to_owned());
        }
    }
    Ok(texts)
}

fn optional_text(object: &Map<String, Value>, attribute: &str) -> Option<String> {
    object
        .get(attribute)
        .and_then(Value::as_str)
        .map(str::to_owned)
}

fn properties(object: &Map<String, Value>, known: &[&str]) -> Properties {
    let custom = object
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()));
    custom
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The beginning of an object's text, for a message.
fn shorten(object: &Map<String, Value>) -> String {
    let text = serde_json::to_string(object).unwrap_or_default();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
