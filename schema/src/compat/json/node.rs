//! Schemas as shapes. Keywords that stand together without a type are taken for the type that they
//! belong to; several shapes in one schema hold together, as under `allOf`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::document::{Documents, Place};
use crate::registry::limits::NESTING_MAX;

/// Every schema that the root reaches, each once, so that recursive schemas are finite.
#[derive(Clone, Debug)]
pub struct Nodes {
    nodes: Vec<Node>,
    pub root: NodeId,
}

pub type NodeId = usize;

#[derive(Clone, Debug, Default)]
pub struct Node {
    pub shape: Shape,
    pub has_default: bool,
    /// Marked as bytes by Kafka Connect, whose ways to write decimals count as one.
    pub is_connect_bytes: bool,
}

#[derive(Clone, Debug, Default)]
pub enum Shape {
    /// `true`, `{}` and whatever has no keyword that is compared.
    #[default]
    Any,
    Never,
    Null,
    Boolean,
    String(StringShape),
    Number(NumberShape),
    Array(Box<ArrayShape>),
    Object(Box<ObjectShape>),
    Enum(Vec<Value>),
    Const(Value),
    Not(NodeId),
    Combined(Criterion, Vec<NodeId>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    All,
    Any,
    One,
}

#[derive(Clone, Debug, Default)]
pub struct StringShape {
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub pattern: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct NumberShape {
    pub integer: bool,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub exclusive_min: Option<f64>,
    pub exclusive_max: Option<f64>,
    pub multiple_of: Option<f64>,
}

#[derive(Clone, Debug, Default)]
pub struct ArrayShape {
    /// What every item is.
    pub all: Option<NodeId>,
    /// What the first items are.
    pub items: Vec<NodeId>,
    pub rest: Rest,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub unique: bool,
    pub min_contains: Option<f64>,
    pub max_contains: Option<f64>,
}

#[derive(Clone, Debug, Default)]
pub struct ObjectShape {
    pub properties: BTreeMap<String, NodeId>,
    pub required: BTreeSet<String>,
    pub patterns: Vec<(String, NodeId)>,
    pub rest: Rest,
    pub needed_with: BTreeMap<String, BTreeSet<String>>,
    pub schema_with: BTreeMap<String, NodeId>,
    pub min: Option<f64>,
    pub max: Option<f64>,
}

/// What is allowed beside the properties or items that are named.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    pub additional: Allowed,
    pub unevaluated: Option<Allowed>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    #[default]
    Anything,
    Nothing,
    Only(NodeId),
}

impl Rest {
    /// Whether anything at all may stand beside what is named.
    pub fn is_open(&self) -> bool {
        self.additional == Allowed::Anything
            && matches!(self.unevaluated, None | Some(Allowed::Anything))
    }

    /// The schema of what may stand beside what is named, where there is one.
    pub fn only(&self) -> Option<NodeId> {
        match (self.additional, self.unevaluated) {
            (Allowed::Only(node), _) | (Allowed::Anything, Some(Allowed::Only(node))) => Some(node),
            _ => None,
        }
    }
}

impl Nodes {
    /// # Errors
    /// Names a `$ref` that no document answers to.
    pub fn build(documents: &Documents<'_>) -> Result<Nodes, String> {
        let mut builder = Builder {
            documents,
            nodes: Vec::new(),
            by_address: BTreeMap::new(),
            pending: VecDeque::new(),
        };
        let root = builder.at(documents.root())?;
        while let Some((id, place)) = builder.pending.pop_front() {
            builder.nodes[id] = builder.node(place)?;
        }
        Ok(Nodes {
            nodes: builder.nodes,
            root,
        })
    }

    pub fn get(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }
}

struct Builder<'a> {
    documents: &'a Documents<'a>,
    nodes: Vec<Node>,
    /// By where the schema's value lies in memory, which tells it from every other.
    by_address: BTreeMap<*const Value, NodeId>,
    /// What is still to be built; a queue, so that no chain of schemas is too deep.
    pending: VecDeque<(NodeId, Place<'a>)>,
}

const OBJECT_KEYWORDS: [&str; 11] = [
    "properties",
    "required",
    "additionalProperties",
    "unevaluatedProperties",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
];
const ARRAY_KEYWORDS: [&str; 8] = [
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
];
const STRING_KEYWORDS: [&str; 3] = ["minLength", "maxLength", "pattern"];
const NUMBER_KEYWORDS: [&str; 5] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];

impl<'a> Builder<'a> {
    /// The node of a schema, following references that stand alone; built later if it is new.
    fn at(&mut self, place: Place<'a>) -> Result<NodeId, String> {
        let place = self.follow(place)?;
        let address = std::ptr::from_ref(place.value);
        if let Some(id) = self.by_address.get(&address) {
            return Ok(*id);
        }
        let id = self.push(Node::default());
        self.by_address.insert(address, id);
        self.pending.push_back((id, place));
        Ok(id)
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn follow(&self, mut place: Place<'a>) -> Result<Place<'a>, String> {
        for _ in 0..NESTING_MAX {
            let Some(object) = place.value.as_object() else {
                return Ok(place);
            };
            let alone = !self.documents.refs_have_siblings(place.document) || !is_shaped(object);
            match object.get("$ref").and_then(Value::as_str) {
                Some(reference) if alone => place = self.target(place, reference)?,
                _ => return Ok(place),
            }
        }
        Err("a $ref leads back to itself".to_owned())
    }

    fn target(&self, from: Place<'a>, reference: &str) -> Result<Place<'a>, String> {
        let target = self.documents.resolve(from.document, reference);
        target.ok_or_else(|| format!("unresolved $ref \"{reference}\""))
    }

    fn node(&mut self, place: Place<'a>) -> Result<Node, String> {
        let object = match place.value {
            Value::Object(object) => object,
            Value::Bool(false) => return Ok(Node::from(Shape::Never)),
            _ => return Ok(Node::default()),
        };
        let mut parts = self.parts(place, object)?;
        let shape = match parts.len() {
            0 => Shape::Any,
            1 => parts.remove(0),
            _ => {
                let parts = parts
                    .into_iter()
                    .map(|shape| self.push(Node::from(shape)))
                    .collect();
                Shape::Combined(Criterion::All, parts)
            }
        };
        Ok(Node {
            shape,
            has_default: object.contains_key("default"),
            is_connect_bytes: object.get("connect.type").and_then(Value::as_str) == Some("bytes"),
        })
    }

    fn parts(
        &mut self,
        place: Place<'a>,
        object: &'a Map<String, Value>,
    ) -> Result<Vec<Shape>, String> {
        let mut parts = Vec::new();
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            let target = self.target(place, reference)?;
            parts.push(Shape::Combined(Criterion::All, vec![self.at(target)?]));
        }
        parts.extend(self.typed(place, object)?);
        if let Some(values) = object.get("enum").and_then(Value::as_array) {
            parts.push(Shape::Enum(values.clone()));
        }
        if let Some(value) = object.get("const") {
            parts.push(Shape::Const(value.clone()));
        }
        if let Some(schema) = object.get("not") {
            parts.push(Shape::Not(self.at(place.at(schema))?));
        }
        for (keyword, criterion) in [
            ("allOf", Criterion::All),
            ("anyOf", Criterion::Any),
            ("oneOf", Criterion::One),
        ] {
            if object.get(keyword).is_some_and(Value::is_array) {
                parts.push(Shape::Combined(
                    criterion,
                    self.list(place, object, keyword)?,
                ));
            }
        }
        Ok(parts)
    }

    fn typed(
        &mut self,
        place: Place<'a>,
        object: &'a Map<String, Value>,
    ) -> Result<Option<Shape>, String> {
        let has = |keywords: &[&str]| keywords.iter().any(|keyword| object.contains_key(*keyword));
        let inferred = || {
            Some(match () {
                () if has(&OBJECT_KEYWORDS) => "object",
                () if has(&ARRAY_KEYWORDS) => "array",
                () if has(&STRING_KEYWORDS) => "string",
                () if has(&NUMBER_KEYWORDS) => "number",
                () => return None,
            })
        };
        match object.get("type") {
            Some(Value::String(name)) => self.of_type(place, object, name).map(Some),
            Some(Value::Array(names)) => {
                let mut parts = Vec::new();
                for name in names.iter().filter_map(Value::as_str) {
                    let shape = self.of_type(place, object, name)?;
                    parts.push(self.push(Node::from(shape)));
                }
                Ok(Some(Shape::Combined(Criterion::Any, parts)))
            }
            _ => inferred()
                .map(|name| self.of_type(place, object, name))
                .transpose(),
        }
    }

    fn of_type(
        &mut self,
        place: Place<'a>,
        object: &'a Map<String, Value>,
        name: &str,
    ) -> Result<Shape, String> {
        Ok(match name {
            "null" => Shape::Null,
            "boolean" => Shape::Boolean,
            "string" => Shape::String(StringShape {
                min: number(object, "minLength"),
                max: number(object, "maxLength"),
                pattern: object
                    .get("pattern")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            }),
            "integer" | "number" => Shape::Number(number_shape(object, name == "integer")),
            "array" => Shape::Array(Box::new(self.array(place, object)?)),
            "object" => Shape::Object(Box::new(self.object(place, object)?)),
            _ => Shape::Any,
        })
    }

    fn array(
        &mut self,
        place: Place<'a>,
        object: &'a Map<String, Value>,
    ) -> Result<ArrayShape, String> {
        // Since 2020-12 the first items are `prefixItems`, and `items` is what follows them.
        let (first, rest) = if object.get("prefixItems").is_some_and(Value::is_array) {
            ("prefixItems", "items")
        } else {
            ("items", "additionalItems")
        };
        let mut shape = ArrayShape {
            min: number(object, "minItems"),
            max: number(object, "maxItems"),
            unique: object
                .get("uniqueItems")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            min_contains: number(object, "minContains"),
            max_contains: number(object, "maxContains"),
            rest: self.rest(place, object, rest, "unevaluatedItems")?,
            ..ArrayShape::default()
        };
        if object.get(first).is_some_and(Value::is_array) {
            shape.items = self.list(place, object, first)?;
        } else if let Some(schema) = object.get("items") {
            shape.all = Some(self.at(place.at(schema))?);
        }
        Ok(shape)
    }

    fn object(
        &mut self,
        place: Place<'a>,
        object: &'a Map<String, Value>,
    ) -> Result<ObjectShape, String> {
        let rest = self.rest(
            place,
            object,
            "additionalProperties",
            "unevaluatedProperties",
        )?;
        let mut shape = ObjectShape {
            properties: self
                .members(place, object, "properties")?
                .into_iter()
                .collect(),
            required: texts(object.get("required")),
            patterns: self.members(place, object, "patternProperties")?,
            rest,
            schema_with: self
                .members(place, object, "dependentSchemas")?
                .into_iter()
                .collect(),
            min: number(object, "minProperties"),
            max: number(object, "maxProperties"),
            ..ObjectShape::default()
        };
        for keyword in ["dependencies", "dependentRequired"] {
            let dependencies = object.get(keyword).and_then(Value::as_object);
            for (name, value) in dependencies.into_iter().flatten() {
                if value.is_array() {
                    shape.needed_with.insert(name.clone(), texts(Some(value)));
                } else {
                    let node = self.at(place.at(value))?;
                    shape.schema_with.insert(name.clone(), node);
                }
            }
        }
        Ok(shape)
    }

    fn rest(
        &mut self,
        place: Place<'a>,
        object: &'a Map<String, Value>,
        additional: &str,
        unevaluated: &str,
    ) -> Result<Rest, String> {
        Ok(Rest {
            additional: self.allowed(place, object, additional)?.unwrap_or_default(),
            unevaluated: self.allowed(place, object, unevaluated)?,
        })
    }

    fn allowed(
        &mut self,
        place: Place<'a>,
        object: &'a Map<String, Value>,
        keyword: &str,
    ) -> Result<Option<Allowed>, String> {
        Ok(match object.get(keyword) {
            None => None,
            Some(Value::Bool(true)) => Some(Allowed::Anything),
            Some(Value::Bool(false)) => Some(Allowed::Nothing),
            Some(Value::Object(schema)) if schema.is_empty() => Some(Allowed::Anything),
            Some(schema) => Some(Allowed::Only(self.at(place.at(schema))?)),
        })
    }

    fn list(
        &mut self,
        place: Place<'a>,
        object: &'a Map<String, Value>,
        keyword: &str,
    ) -> Result<Vec<NodeId>, String> {
        let schemas = object
            .get(keyword)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        schemas.map(|schema| self.at(place.at(schema))).collect()
    }

    fn members(
        &mut self,
        place: Place<'a>,
        object: &'a Map<String, Value>,
        keyword: &str,
    ) -> Result<Vec<(String, NodeId)>, String> {
        let members = object.get(keyword).and_then(Value::as_object);
        let members = members.into_iter().flatten();
        members
            .map(|(name, schema)| Ok((name.clone(), self.at(place.at(schema))?)))
            .collect()
    }
}

impl From<Shape> for Node {
    fn from(shape: Shape) -> Node {
        Node {
            shape,
            ..Node::default()
        }
    }
}

/// Whether an object says more about its values than `$ref` does.
fn is_shaped(object: &Map<String, Value>) -> bool {
    let others = ["type", "enum", "const", "not", "allOf", "anyOf", "oneOf"];
    object.keys().map(String::as_str).any(|keyword| {
        others.contains(&keyword)
            || OBJECT_KEYWORDS.contains(&keyword)
            || ARRAY_KEYWORDS.contains(&keyword)
            || STRING_KEYWORDS.contains(&keyword)
            || NUMBER_KEYWORDS.contains(&keyword)
    })
}

fn number_shape(object: &Map<String, Value>, integer: bool) -> NumberShape {
    let (min, max) = (number(object, "minimum"), number(object, "maximum"));
    // In draft 4 a boolean says that the bound itself is excluded.
    let excluded = |keyword| object.get(keyword).and_then(Value::as_bool) == Some(true);
    NumberShape {
        integer,
        exclusive_min: number(object, "exclusiveMinimum")
            .or(min.filter(|_| excluded("exclusiveMinimum"))),
        exclusive_max: number(object, "exclusiveMaximum")
            .or(max.filter(|_| excluded("exclusiveMaximum"))),
        min,
        max,
        multiple_of: number(object, "multipleOf"),
    }
}

fn number(object: &Map<String, Value>, keyword: &str) -> Option<f64> {
    object.get(keyword).and_then(Value::as_f64)
}

fn texts(value: Option<&Value>) -> BTreeSet<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
