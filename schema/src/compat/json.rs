//! JSON Schemas: well-formedness, text forms, and whether documents that one allows are allowed by
//! another, by the structural rules of Confluent's registry.
//!
//! `node` gives schemas a shape that can be compared (a string, an object, one of several …), with
//! every `$ref` followed once; `check` compares shapes.

mod check;
mod document;
mod node;

pub use check::differences;
use document::Documents;
use node::Nodes;
use serde_json::Value;

use crate::SchemaType;
use crate::registry::ResolvedReference;

/// A JSON Schema with the documents that it references.
#[derive(Clone, Debug)]
pub struct JsonSchema {
    root: Value,
    nodes: Nodes,
}

impl JsonSchema {
    /// Parses a schema and follows its references, which are never fetched.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub fn parse(text: &str, references: &[ResolvedReference]) -> Result<JsonSchema, String> {
        let root = read(text)?;
        check_keywords(&root)?;
        let mut documents = Vec::with_capacity(references.len());
        for reference in references {
            if reference.schema_type != SchemaType::Json {
                return Err(format!("reference {} is not a JSON Schema", reference.name));
            }
            let value = read(&reference.text);
            let value =
                value.map_err(|reason| format!("reference {}: {reason}", reference.name))?;
            documents.push((reference.name.clone(), value));
        }
        let nodes = Nodes::build(&Documents::new(&root, &documents))?;
        Ok(JsonSchema { root, nodes })
    }

    /// The text without insignificant spaces, its members in the order in which they were written.
    pub fn canonical(&self) -> String {
        self.root.to_string()
    }

    /// The text with its members in the order of their names.
    pub fn normalized(&self) -> String {
        sorted(&self.root).to_string()
    }

    /// Whether the schema describes an object with this property.
    pub fn has_top_level_field(&self, field: &str) -> bool {
        let properties = self.root.get("properties");
        properties.is_some_and(|properties| properties.get(field).is_some())
    }
}

fn read(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    if value.is_object() || value.is_boolean() {
        return Ok(value);
    }
    Err("a JSON Schema is an object or a boolean".to_owned())
}

/// Checks keywords against the draft that `$schema` names, draft 7 where it names none.
fn check_keywords(schema: &Value) -> Result<(), String> {
    let draft = schema
        .get("$schema")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let checked = if draft.contains("draft-04") {
        jsonschema::draft4::meta::validate(schema)
    } else if draft.contains("draft-06") {
        jsonschema::draft6::meta::validate(schema)
    } else if draft.contains("2019-09") {
        jsonschema::draft201909::meta::validate(schema)
    } else if draft.contains("2020-12") {
        jsonschema::draft202012::meta::validate(schema)
    } else {
        jsonschema::draft7::meta::validate(schema)
    };
    checked.map_err(|error| format!("at '#{}': {error}", error.instance_path()))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            members
                .into_iter()
                .map(|(name, value)| (name.clone(), sorted(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
