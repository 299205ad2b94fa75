//! The bodies of answers. Fields that hold nothing are left out, as Confluent leaves them out.

use serde::Serialize;
use weir_schema::SchemaType;
use weir_schema::registry::{
    Config, Found, Metadata, Reference, Registered, RuleSet, Schema, Subject, Version,
};

/// A schema under a subject.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubjectSchema {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i32>,
    guid: String,
    schema_type: SchemaType,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_set: Option<RuleSet>,
    pub schema: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_id: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
}

impl SubjectSchema {
    fn new(schema: &Schema) -> SubjectSchema {
        SubjectSchema {
            subject: None,
            version: None,
            id: None,
            guid: schema.guid().to_string(),
            schema_type: schema.schema_type,
            references: schema.references.clone(),
            metadata: schema.metadata.clone(),
            rule_set: schema.rule_set.clone(),
            schema: schema.text.clone(),
            max_id: None,
            ts: None,
            deleted: None,
        }
    }

    pub fn of_version(version: &Version) -> SubjectSchema {
        SubjectSchema {
            subject: Some(version.subject.to_string()),
            version: Some(version.version),
            id: Some(version.id),
            ts: Some(version.timestamp_ms),
            deleted: version.deleted.then_some(true),
            ..SubjectSchema::new(&version.schema)
        }
    }

    /// What looking a schema up answers.
    pub fn of_lookup(found: &Registered) -> SubjectSchema {
        SubjectSchema {
            subject: Some(found.subject.to_string()),
            ..SubjectSchema::of_registration(found)
        }
    }

    /// What registering answers, which leaves the subject out.
    pub fn of_registration(registered: &Registered) -> SubjectSchema {
        SubjectSchema {
            version: Some(registered.version),
            id: Some(registered.id),
            ts: registered.timestamp_ms,
            deleted: registered.deleted.then_some(true),
            ..SubjectSchema::new(&registered.schema)
        }
    }

    /// What an id or GUID answers, which the client has already.
    pub fn of_found(found: &Found) -> SubjectSchema {
        SubjectSchema {
            subject: Some(found.holder.subject.to_string()),
            version: Some(found.holder.version),
            ts: Some(found.holder.timestamp_ms),
            deleted: found.holder.deleted.then_some(true),
            ..SubjectSchema::new(&found.schema)
        }
    }

    /// Names the references' subjects in full, for readers outside the schema's context.
    pub fn qualify_references(&mut self, parent: &Subject) {
        for reference in &mut self.references {
            reference.subject = parent.qualify(&reference.subject).to_string();
        }
    }
}

/// Settings after a change: what is called `compatibilityLevel` when read is `compatibility` here.
pub fn updated_config(config: &Config) -> serde_json::Value {
    let value = serde_json::to_value(config).unwrap_or_default();
    let Some(fields) = value.as_object() else {
        return value;
    };
    let rename = |name: &String| match name.as_str() {
        "compatibilityLevel" => "compatibility".to_owned(),
        _ => name.clone(),
    };
    fields
        .iter()
        .map(|(name, value)| (rename(name), value.clone()))
        .collect()
}
