//! Paths about the server itself, contexts, and what other registries' clients probe for.

use serde_json::json;
use weir_schema::registry::Command;

use super::call::{Call, context_name};
use super::error::Refusal;
use super::reply::Reply;
use super::routes::Plan;

type Planned = Result<Plan, Refusal>;

pub fn root() -> Planned {
    Ok(Plan::Answer(Reply::json(&json!({}))))
}

/// Whether this node answers from the latest state.
pub fn ready() -> Planned {
    Ok(Plan::read(|_| {
        Ok(Reply::json(&json!({ "status": "ready" })))
    }))
}

pub fn master_available() -> Planned {
    Ok(Plan::read(|_| {
        Ok(Reply::json(&json!({ "master_available": true })))
    }))
}

pub fn id(call: &Call) -> Planned {
    let cluster = &call.options.cluster_id;
    let clusters = json!({ "kafka-cluster": cluster, "schema-registry-cluster": cluster });
    let body = json!({ "id": "", "scope": { "path": [], "clusters": clusters } });
    Ok(Plan::Answer(Reply::json(&body)))
}

pub fn version() -> Planned {
    let body = json!({ "version": env!("CARGO_PKG_VERSION"), "commitId": "" });
    Ok(Plan::Answer(Reply::json(&body)))
}

pub fn deployment() -> Planned {
    Ok(Plan::Answer(Reply::json(&json!({ "attributes": [] }))))
}

/// Nothing is associated, so serializers go by the topic's name.
pub fn no_associations() -> Planned {
    Ok(Plan::Answer(Reply::json(&json!([]))))
}

pub fn contexts(call: Call) -> Planned {
    Ok(Plan::read(move |registry| {
        let prefix = call.query.text("contextPrefix").unwrap_or_default();
        let contexts = registry.contexts();
        let contexts = contexts.into_iter().filter(|name| name.starts_with(prefix));
        Ok(Reply::json(&call.query.page(contexts)))
    }))
}

pub fn delete_context(context: &str) -> Planned {
    let context = context_name(context);
    Ok(Plan::change(Command::DeleteContext { context }, |_| {
        Reply::no_content()
    }))
}
