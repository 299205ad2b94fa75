//! Testing a schema against versions of a subject without registering it.

use serde_json::json;
use weir_schema::registry::{RegisterRequest, RegistryError};

use super::call::{self, Call};
use super::error::Refusal;
use super::reply::Reply;
use super::routes::Plan;

/// Against one version, or with none against all that the subject's level asks for.
pub fn test(call: Call, subject: &str, version: Option<&str>) -> Result<Plan, Refusal> {
    let subject = call.subject(subject);
    let version = version.map(call::version).transpose()?;
    let request: RegisterRequest = call.json()?;
    Ok(Plan::read(move |registry| {
        let subject = registry.resolve_alias(&subject);
        let verbose = call.query.flag("verbose");
        let normalize = call.query.flag("normalize");
        let messages = match registry.test_compatibility(&subject, &request, version, normalize) {
            Err(RegistryError::InvalidSchema(reason)) if verbose => vec![reason],
            tested => tested?,
        };
        let is_compatible = messages.is_empty();
        Ok(match verbose {
            true => Reply::json(&json!({ "is_compatible": is_compatible, "messages": messages })),
            false => Reply::json(&json!({ "is_compatible": is_compatible })),
        })
    }))
}
