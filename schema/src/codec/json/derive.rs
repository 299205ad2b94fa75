//! Derives the row type of a JSON Schema.

use std::collections::HashSet;

use arrow_schema::{DataType, TimeUnit};
use serde_json::{Map, Value};

use super::documents::{Documents, Place};
use super::shape::{Column, Item, Shape};
use crate::codec::columns::Building;
use crate::codec::error::NoMapping;
use crate::row::decimal::MAX_PRECISION;

type Object = Map<String, Value>;

/// The top's type, or the place that has none.
pub(super) fn derive(documents: &Documents) -> Result<Item, NoMapping> {
    let deriving = Deriving {
        place: documents.top(),
    };
    deriving.item(documents.top().root, "", &mut Building::default())
}

/// The document that is being read.
#[derive(Clone, Copy)]
struct Deriving<'a> {
    place: Place<'a>,
}

impl<'a> Deriving<'a> {
    fn item(self, schema: &'a Value, at: &str, building: &mut Building) -> Result<Item, NoMapping> {
        let Value::Object(object) = schema else {
            return Err(NoMapping::new(
                at,
                "a schema that takes anything has no column type",
            ));
        };
        if let Some(target) = object.get("$ref").and_then(Value::as_str) {
            let Some((place, schema)) = self.follow(target) else {
                return Err(NoMapping::new(
                    at,
                    format!("$ref {target:?} leads nowhere that columns can follow"),
                ));
            };
            // The target's address names it, so that a schema that contains itself is noticed.
            let name = format!("{:p}", std::ptr::from_ref(schema));
            return building.record(at, &name, |b| place.item(schema, at, b));
        }
        if let Some(branches) = ["oneOf", "anyOf"]
            .iter()
            .find_map(|k| object.get(*k)?.as_array())
            && !object.contains_key("properties")
        {
            return self.one_of(branches, at, building);
        }
        let types = self.types(object);
        let nullable = types.contains(&"null");
        let kinds: Vec<&str> = types.into_iter().filter(|t| *t != "null").collect();
        let shape = match kinds[..] {
            ["object"] => building.nested(at, |b| self.object(object, at, b))?,
            ["array"] => building.nested(at, |b| self.array(object, at, b))?,
            ["number" | "string"] if title(object) == Some(DECIMAL) => {
                decimal(object, kinds[0] == "number", at)?
            }
            ["integer", "number"] | ["number", "integer"] => Shape::Scalar(DataType::Float64),
            [kind] => Shape::Scalar(scalar(kind, object)),
            [] => {
                return Err(NoMapping::new(
                    at,
                    "a schema without a type has no column type",
                ));
            }
            _ => {
                return Err(NoMapping::new(
                    at,
                    format!("several types ({}) have no column type", kinds.join(", ")),
                ));
            }
        };
        Ok(Item { shape, nullable })
    }

    /// The stated types, or those that other keywords imply.
    fn types(self, object: &'a Object) -> Vec<&'a str> {
        match object.get("type") {
            Some(Value::String(name)) => return vec![name],
            Some(Value::Array(names)) => return names.iter().filter_map(Value::as_str).collect(),
            _ => {}
        }
        let values = match (object.get("enum"), object.get("const")) {
            (Some(Value::Array(values)), _) => values.iter().collect(),
            (_, Some(value)) => vec![value],
            _ if object.contains_key("properties") || object.contains_key("allOf") => {
                return vec!["object"];
            }
            _ => vec![],
        };
        let mut types: Vec<&str> = Vec::new();
        for value in values {
            let name = type_of(value);
            if !types.contains(&name) {
                types.push(name);
            }
        }
        types
    }

    fn one_of(
        self,
        branches: &'a [Value],
        at: &str,
        building: &mut Building,
    ) -> Result<Item, NoMapping> {
        let is_null = |branch: &&Value| branch.get("type").is_some_and(|t| t == "null");
        let mut others = branches.iter().filter(|b| !is_null(b));
        match (others.next(), others.next()) {
            (Some(only), None) => {
                let item = self.item(only, at, building)?;
                Ok(Item {
                    nullable: item.nullable || branches.len() > 1,
                    ..item
                })
            }
            _ => Err(NoMapping::new(
                at,
                "oneOf and anyOf of several types have no column type",
            )),
        }
    }

    fn array(
        self,
        object: &'a Object,
        at: &str,
        building: &mut Building,
    ) -> Result<Shape, NoMapping> {
        match object.get("items") {
            Some(items @ Value::Object(_)) if !object.contains_key("prefixItems") => {
                let at = format!("{at}[]");
                building.column(&at)?;
                Ok(Shape::Array(Box::new(self.item(items, &at, building)?)))
            }
            _ => Err(NoMapping::new(
                at,
                "an array needs one schema of its items to have a column type",
            )),
        }
    }

    fn object(
        self,
        object: &'a Object,
        at: &str,
        building: &mut Building,
    ) -> Result<Shape, NoMapping> {
        let mut columns = Vec::new();
        self.properties(object, at, &mut columns, building)?;
        match object.get("additionalProperties") {
            Some(values @ Value::Object(_)) if columns.is_empty() => {
                let at = format!("{at}{{}}");
                building.column(&at)?;
                Ok(Shape::Map(Box::new(self.item(values, &at, building)?)))
            }
            _ if columns.is_empty() => Err(NoMapping::new(
                at,
                "an object without properties has no column type",
            )),
            _ => Ok(Shape::Row(columns)),
        }
    }

    /// Adds the columns of an object and of those that it is `allOf`.
    fn properties(
        self,
        object: &'a Object,
        at: &str,
        columns: &mut Vec<Column>,
        building: &mut Building,
    ) -> Result<(), NoMapping> {
        for part in object
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let target = part.get("$ref").and_then(Value::as_str);
            let (place, part) = target.and_then(|t| self.follow(t)).unwrap_or((self, part));
            if let Value::Object(part) = part {
                building.column(at)?;
                building.nested(at, |b| place.properties(part, at, columns, b))?;
            }
        }
        let required: HashSet<&str> = match object.get("required") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => HashSet::new(),
        };
        for (name, schema) in object
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let at = if at.is_empty() {
                name.clone()
            } else {
                format!("{at}.{name}")
            };
            building.column(&at)?;
            let item = self.item(schema, &at, building)?;
            let default = schema.get("default").cloned();
            let default = default
                .and_then(|d| item.read(d).ok())
                .filter(|d| !d.is_null());
            let column = Column {
                name: name.clone(),
                item,
                required: required.contains(&name[..]),
                default,
            };
            match columns.iter_mut().find(|c| c.name == *name) {
                Some(there) => *there = column,
                None => columns.push(column),
            }
        }
        for column in columns.iter_mut() {
            column.required |= required.contains(&column.name[..]);
        }
        Ok(())
    }

    fn follow(self, target: &str) -> Option<(Deriving<'a>, &'a Value)> {
        let (place, schema) = self.place.follow(target)?;
        Some((Deriving { place }, schema))
    }
}

const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";

fn title(object: &Object) -> Option<&str> {
    object.get("title").and_then(Value::as_str)
}

fn decimal(object: &Object, as_number: bool, at: &str) -> Result<Shape, NoMapping> {
    let parameter = |name: &str| {
        let value = object.get("connect.parameters").and_then(|p| p.get(name))?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    };
    let precision = parameter("connect.decimal.precision").unwrap_or(u64::from(MAX_PRECISION));
    match (precision, parameter("scale")) {
        (1..=38, Some(scale)) if scale <= precision => Ok(Shape::Decimal {
            precision: precision as u8,
            scale: scale as u8,
            as_number,
        }),
        _ => Err(NoMapping::new(
            at,
            "a decimal needs a scale, and has at most 38 digits",
        )),
    }
}

fn scalar(kind: &str, object: &Object) -> DataType {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    match (kind, text("connect.type"), text("format")) {
        ("boolean", ..) => DataType::Boolean,
        ("integer", "int8", _) => DataType::Int8,
        ("integer", "int16", _) => DataType::Int16,
        ("integer", "int32", _) | ("integer", "", "int32") => DataType::Int32,
        ("integer", ..) => DataType::Int64,
        ("number", "float32", _) | ("number", "", "float") => DataType::Float32,
        ("number", ..) => DataType::Float64,
        ("string", "bytes", _) => DataType::Binary,
        ("string", _, "date") => DataType::Date32,
        ("string", _, "date-time") => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        _ if text("contentEncoding") == "base64" => DataType::Binary,
        _ => DataType::Utf8,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
