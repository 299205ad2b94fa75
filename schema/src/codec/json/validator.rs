//! Building and asking the validator.

use jsonschema::{Draft, PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

use super::cost::Cost;
use crate::codec::error::{Fault, SchemaError, fault};

/// What relative names are resolved against where the schema has no `$id`.
const BASE_URI: &str = "schema:///";

/// Steps that a pattern may take on one string before it counts as not matching.
const BACKTRACK_LIMIT: usize = 100_000;
/// Patterns that a schema may have, those of its references counted.
const MAX_PATTERNS: usize = 1_000;
/// What all patterns together may take when they are compiled, and what one may: a few characters can stand for megabytes.
const PATTERNS_BYTES: usize = 64 << 20;
const PATTERN_BYTES: usize = 4 << 20;

/// A schema without `$schema` is draft 7, as Confluent's serializers have it.
pub(super) fn build(
    schema: &Value,
    documents: Vec<(String, Value)>,
) -> Result<Validator, SchemaError> {
    let referenced = documents.iter().map(|(_, document)| document);
    let patterns: usize = referenced.chain([schema]).map(count_patterns).sum();
    if patterns > MAX_PATTERNS {
        let reason = format!("has {patterns} patterns, and {MAX_PATTERNS} are allowed");
        return Err(SchemaError::invalid("the schema", reason));
    }
    let pattern_options = PatternOptions::fancy_regex()
        .backtrack_limit(BACKTRACK_LIMIT)
        .size_limit(PATTERN_BYTES.min(PATTERNS_BYTES / patterns.max(1)));
    let mut options = jsonschema::options()
        .with_base_uri(BASE_URI)
        .with_retriever(References(documents))
        .with_pattern_options(pattern_options);
    if schema.get("$schema").is_none() {
        options = options.with_draft(Draft::Draft7);
    }
    options
        .build(schema)
        .map_err(|e| SchemaError::invalid(place(&e, "the schema"), e.to_string()))
}

/// Regular expressions in a document, reached or not.
fn count_patterns(document: &Value) -> usize {
    let mut rest = vec![document];
    let mut count = 0;
    while let Some(value) = rest.pop() {
        match value {
            Value::Object(object) => {
                count += usize::from(object.get("pattern").is_some_and(Value::is_string));
                let by_name = object.get("patternProperties").and_then(Value::as_object);
                count += by_name.map_or(0, |patterns| patterns.len());
                rest.extend(object.values());
            }
            Value::Array(values) => rest.extend(values),
            _ => {}
        }
    }
    count
}

/// Checks a document; the failure names the first place that does not fit.
///
/// The yes or no remembers what it has asked, the search for the place does not: where alternatives
/// lead back to themselves it takes time exponential in the document's depth, and is left out.
pub(super) fn validate(validator: &Validator, cost: Cost, document: &Value) -> Result<(), Fault> {
    if validator.is_valid(document) {
        return Ok(());
    }
    if cost == Cost::Branching {
        return Err(fault("the value does not fit the schema"));
    }
    match validator.validate(document) {
        Ok(()) => Err(fault("the value does not fit the schema")),
        Err(error) => {
            let mut failure = fault(error.masked_with("the value").to_string());
            failure.field = place(&error, "");
            Err(failure)
        }
    }
}

/// `/lines/0/price` as `lines[0].price`.
fn place(error: &ValidationError, top: &str) -> String {
    let mut path = String::new();
    for segment in error.instance_path().as_str().split('/').skip(1) {
        let name = segment.replace("~1", "/").replace("~0", "~");
        match name.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) if path.is_empty() => path.push_str(&name),
            Err(_) => path.push_str(&format!(".{name}")),
        }
    }
    if path.is_empty() {
        top.to_owned()
    } else {
        path
    }
}

/// The schemas that may be referred to, by name. Nothing is ever fetched.
struct References(Vec<(String, Value)>);

impl Retrieve for References {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let uri = uri.as_str();
        // A relative name is resolved against the schema's own address first.
        let named = |name: &str| uri == name || uri.ends_with(&format!("/{name}"));
        let found = self.0.iter().find(|(name, _)| named(name));
        found
            .map(|(_, document)| document.clone())
            .ok_or_else(|| format!("{uri} is not among the references").into())
    }
}
