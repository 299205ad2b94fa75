//! Building and asking the validator.

use jsonschema::{Draft, PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

use super::cost::Cost;
use crate::codec::error::{Fault, SchemaError, fault};

/// What relative names are resolved against where the schema has no `$id`.
const BASE_URI: &str = "schema:///";

/// Steps that a pattern may take on one string before it counts as not matching.
const BACKTRACK_LIMIT: usize = 100_000;

/// A schema without `$schema` is draft 7, as Confluent's serializers have it.
pub(super) fn build(
    schema: &Value,
    documents: Vec<(String, Value)>,
) -> Result<Validator, SchemaError> {
    let mut options = jsonschema::options()
        .with_base_uri(BASE_URI)
        .with_retriever(References(documents))
        .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_LIMIT));
    if schema.get("$schema").is_none() {
        options = options.with_draft(Draft::Draft7);
    }
    options
        .build(schema)
        .map_err(|e| SchemaError::invalid(place(&e, "the schema"), e.to_string()))
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
