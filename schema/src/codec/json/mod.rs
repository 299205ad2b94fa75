//! JSON Schema: the crate `jsonschema` checks documents; a shape derived from the schema makes rows.
//!
//! | JSON Schema | column | back |
//! |---|---|---|
//! | boolean | BOOLEAN | boolean |
//! | integer | BIGINT | integer |
//! | integer, connect.type int8, int16, int32 (or format int32) | TINYINT, SMALLINT, INT | the same |
//! | number | DOUBLE | number |
//! | number, connect.type float32 (or format float) | FLOAT | the same |
//! | number or string, title org.apache.kafka.connect.data.Decimal | DECIMAL(38 or connect.decimal.precision, scale) | the same |
//! | string; enum of strings | STRING | string |
//! | string, format date | DATE | the same |
//! | string, format date-time | TIMESTAMP_LTZ in microseconds | the same |
//! | string, contentEncoding base64 or connect.type bytes | BYTES | the same |
//! | array with one schema of items | ARRAY | array |
//! | object without properties, additionalProperties a schema | MAP with STRING keys | the same |
//! | object with properties | ROW; at the top, the columns | object |
//! | type with null, oneOf or anyOf of null and one schema, or not required | that type, nullable | the same |
//!
//! `allOf` of objects is one object of all their properties; `$ref` goes to `#/…` and to references by
//! their name. No column: several types, no type, tuples, a schema that contains itself. Other formats
//! (time, uuid) are strings. At the top, a schema that is no object is one column.
//!
//! Reading a document as a row drops properties that are no column, fills an absent one with its
//! `default` or null, writes timestamps in UTC and drops digits below a microsecond. A schema without
//! columns reads as the document itself.

mod cost;
mod derive;
mod documents;
mod shape;
mod style;
#[cfg(test)]
mod tests;
mod validator;

use arrow_schema::Fields;
use serde_json::Value;

use super::JsonStyle;
use super::error::{Fault, NoMapping, SchemaError, fault};
use crate::row::has_too_many_values;
use cost::Cost;
use documents::Documents;
use shape::Item;

/// A compiled JSON Schema.
pub(crate) struct JsonSchema {
    validator: jsonschema::Validator,
    cost: Cost,
    title: Option<String>,
    /// The top of the row type, where the schema has one.
    top: Result<Item, NoMapping>,
}

/// Compiles `text`; `$ref`s by name go to `references`.
pub(crate) fn parse(text: &str, references: &[(&str, &str)]) -> Result<JsonSchema, SchemaError> {
    let not_json = |e: serde_json::Error| SchemaError::NotJson(e.to_string());
    let schema: Value = serde_json::from_str(text).map_err(not_json)?;
    let mut named = Vec::with_capacity(references.len());
    for (name, text) in references {
        let document = serde_json::from_str(text).map_err(|e| SchemaError::Reference {
            name: (*name).to_owned(),
            reason: not_json(e).to_string(),
        })?;
        named.push(((*name).to_owned(), document));
    }
    let references = named;
    let title = schema
        .get("title")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let documents = Documents::new(&schema, &references);
    let cost = cost::estimate(&documents)?;
    let top = derive::derive(&documents);
    let validator = validator::build(&schema, references.clone())?;
    Ok(JsonSchema {
        validator,
        cost,
        title,
        top,
    })
}

impl JsonSchema {
    pub(crate) fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// Checks that the payload is one JSON document that the schema takes.
    pub(crate) fn check(&self, payload: &[u8]) -> Result<(), Fault> {
        self.document(payload).map(drop)
    }

    fn document(&self, payload: &[u8]) -> Result<Value, Fault> {
        if has_too_many_values(payload) {
            return Err(fault("the payload holds too many values"));
        }
        let document = serde_json::from_slice(payload)
            .map_err(|e| fault(format!("the payload is not a JSON document: {e}")))?;
        validator::validate(&self.validator, self.cost, &document)?;
        Ok(document)
    }

    pub(crate) fn decode(&self, payload: &[u8]) -> Result<Value, Fault> {
        let document = self.document(payload)?;
        match &self.top {
            Ok(top) => top.read(document),
            Err(_) => Ok(document),
        }
    }

    /// Reads a document that an earlier schema took; this schema need not take it.
    pub(crate) fn decode_later(&self, writer: &JsonSchema, payload: &[u8]) -> Result<Value, Fault> {
        let document = writer.document(payload)?;
        match &self.top {
            Ok(top) => top.read(document),
            Err(_) => Ok(document),
        }
    }

    pub(crate) fn encode(&self, value: &Value) -> Result<Vec<u8>, Fault> {
        let document = match &self.top {
            Ok(top) => top.write(value)?,
            Err(_) => value.clone(),
        };
        validator::validate(&self.validator, self.cost, &document)?;
        Ok(document.to_string().into_bytes())
    }

    pub(crate) fn columns(&self, bare: &str) -> Result<Fields, NoMapping> {
        let top = self.top.as_ref().map_err(Clone::clone)?;
        Ok(top.columns(bare))
    }

    /// The row's columns in the schema's order, without nulls that may be absent. A schema may demand what is no column
    /// (`required` names it, `properties` do not): then there is no such form.
    pub(crate) fn canonical(&self, payload: &[u8], style: JsonStyle) -> Result<Vec<u8>, Fault> {
        let top = self.top.as_ref().map_err(|e| fault(e.to_string()))?;
        let document = top.write(&top.read(self.document(payload)?)?)?;
        let written = style::write(&document, style);
        if written != payload {
            validator::validate(&self.validator, self.cost, &document).map_err(|mut refused| {
                refused.reason = format!("with its columns alone: {}", refused.reason);
                refused
            })?;
        }
        Ok(written)
    }
}
