//! Schemas by id and by GUID, and all of them.

use serde::Serialize;
use serde_json::json;
use weir_schema::SchemaType;
use weir_schema::registry::{Found, Guid, Registry, RegistryError, Version};

use super::call::{self, Call};
use super::error::Refusal;
use super::reply::Reply;
use super::routes::Plan;
use super::shapes::SubjectSchema;

type Planned = Result<Plan, Refusal>;

#[derive(Serialize)]
struct SubjectVersion<'a> {
    subject: &'a str,
    version: i32,
}

pub fn types() -> Planned {
    Ok(Plan::Answer(Reply::json(&SchemaType::ALL)))
}

pub fn list(call: Call) -> Planned {
    Ok(Plan::read(move |registry| {
        let query = &call.query;
        let versions = registry.versions_with_prefix(
            &call.prefix(":*:"),
            query.flag("deleted"),
            query.flag("latestOnly"),
        );
        let rule_type = query.text("ruleType").filter(|name| !name.is_empty());
        let has_rule = |version: &&Version| {
            rule_type.is_none_or(|name| {
                let rules = version.schema.rule_set.as_ref();
                rules.is_some_and(|rules| rules.has_type(name))
            })
        };
        let versions = query.page(versions.into_iter().filter(has_rule));
        let schemas: Vec<_> = versions
            .into_iter()
            .map(SubjectSchema::of_version)
            .collect();
        Ok(Reply::json(&schemas))
    }))
}

pub fn by_id(call: Call, id: &str) -> Planned {
    let id = call::id(id)?;
    Ok(Plan::read(move |registry| {
        let found = find(registry, &call, id)?;
        let mut shape = shape(registry, &call, &found)?;
        if call.query.flag("fetchMaxId") {
            shape.max_id = Some(registry.highest_id(call.subject_parameter().as_ref()));
        }
        Ok(Reply::json(&shape))
    }))
}

pub fn text_by_id(call: Call, id: &str) -> Planned {
    let id = call::id(id)?;
    Ok(Plan::read(move |registry| {
        let found = find(registry, &call, id)?;
        Ok(Reply::raw(shape(registry, &call, &found)?.schema))
    }))
}

pub fn versions_of_id(call: Call, id: &str) -> Planned {
    let id = call::id(id)?;
    Ok(Plan::read(move |registry| {
        let versions = holders(registry, &call, id)?;
        let pairs = versions.into_iter().map(|version| SubjectVersion {
            subject: version.subject.as_str(),
            version: version.version,
        });
        Ok(Reply::json(&call.query.page(pairs)))
    }))
}

pub fn subjects_of_id(call: Call, id: &str) -> Planned {
    let id = call::id(id)?;
    Ok(Plan::read(move |registry| {
        let versions = holders(registry, &call, id)?;
        let mut subjects: Vec<&str> = versions.into_iter().map(|v| v.subject.as_str()).collect();
        subjects.dedup();
        Ok(Reply::json(&call.query.page(subjects)))
    }))
}

pub fn by_guid(call: Call, guid: &str) -> Planned {
    let guid = guid.to_owned();
    Ok(Plan::read(move |registry| {
        let found = Guid::parse(&guid).and_then(|guid| registry.schema_by_guid(guid));
        let found = found.ok_or(RegistryError::IdNotFound(guid))?;
        Ok(Reply::json(&shape(registry, &call, &found)?))
    }))
}

pub fn ids_of_guid(guid: &str) -> Planned {
    let guid = Guid::parse(guid);
    Ok(Plan::read(move |registry| {
        let ids = guid
            .map(|guid| registry.ids_by_guid(guid))
            .unwrap_or_default();
        let ids: Vec<_> = ids
            .into_iter()
            .map(|holder| json!({ "context": holder.context, "id": holder.id }))
            .collect();
        Ok(Reply::json(&ids))
    }))
}

fn find(registry: &Registry, call: &Call, id: i32) -> Result<Found, Refusal> {
    let found = registry.schema_by_id(id, call.subject_parameter().as_ref());
    Ok(found.ok_or_else(|| RegistryError::IdNotFound(id.to_string()))?)
}

fn holders<'a>(registry: &'a Registry, call: &Call, id: i32) -> Result<Vec<&'a Version>, Refusal> {
    let with_deleted = call.query.flag("deleted");
    let versions = registry.versions_of_id(id, call.subject_parameter().as_ref(), with_deleted);
    Ok(versions.ok_or(RegistryError::SchemaNotFound)?)
}

fn shape(registry: &Registry, call: &Call, found: &Found) -> Result<SubjectSchema, Refusal> {
    let mut shape = SubjectSchema::of_found(found);
    if let Some(format) = call.query.text("format") {
        shape.schema = registry.formatted(&found.holder.subject, &found.schema, format)?;
    }
    if call.query.text("referenceFormat") == Some("qualified") {
        shape.qualify_references(&found.holder.subject);
    }
    Ok(shape)
}
