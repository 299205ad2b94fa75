//! Whether defaults fit the fields that they stand in for.

use serde_json::Value;

use super::schema::{AvroSchema, Kind, Node, Primitive};
use crate::registry::limits::NESTING_MAX;

/// Checks every default that the schema itself defines.
pub fn validate(schema: &AvroSchema) -> Result<(), String> {
    for named in &schema.types[schema.referenced_types..] {
        let Kind::Record { fields, .. } = &named.kind else {
            continue;
        };
        for field in fields {
            let Some(default) = &field.default else {
                continue;
            };
            if !fits(schema, &field.node, default, 0) {
                return Err(format!(
                    "invalid default for field {} of {}: {default} does not fit its type",
                    field.name, named.name
                ));
            }
        }
    }
    Ok(())
}

fn fits(schema: &AvroSchema, node: &Node, value: &Value, depth: usize) -> bool {
    if depth > NESTING_MAX {
        return false;
    }
    let inside = |node: &Node, value: &Value| fits(schema, node, value, depth + 1);
    match node {
        Node::Primitive(primitive, _) => fits_primitive(*primitive, value),
        Node::Array(items, _) => value
            .as_array()
            .is_some_and(|values| values.iter().all(|value| inside(items, value))),
        Node::Map(values, _) => value
            .as_object()
            .is_some_and(|object| object.values().all(|v| inside(values, v))),
        Node::Union(branches) => branches.iter().any(|branch| inside(branch, value)),
        Node::Named(id) => match &schema.named(*id).kind {
            Kind::Enum { .. } | Kind::Fixed { .. } => value.is_string(),
            Kind::Record { fields, .. } => value.as_object().is_some_and(|object| {
                fields.iter().all(|field| {
                    let value = object.get(&field.name).or(field.default.as_ref());
                    value.is_some_and(|value| inside(&field.node, value))
                })
            }),
            Kind::Opening => false,
        },
    }
}

fn fits_primitive(primitive: Primitive, value: &Value) -> bool {
    match primitive {
        Primitive::Null => value.is_null(),
        Primitive::Boolean => value.is_boolean(),
        Primitive::Int => value
            .as_i64()
            .is_some_and(|number| i32::try_from(number).is_ok()),
        Primitive::Long => value.as_i64().is_some(),
        Primitive::Float | Primitive::Double => value.is_number(),
        Primitive::Bytes | Primitive::String => value.is_string(),
    }
}
