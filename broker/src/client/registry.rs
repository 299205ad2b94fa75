//! The schema registry over its REST API.

use std::collections::HashSet;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_schema::SchemaType;

use super::HttpError;
use super::http::{Service, part};

/// A schema as it is handed in or given out.
#[derive(Debug, Clone)]
pub struct SchemaText {
    pub schema_type: SchemaType,
    pub schema: String,
    /// The schemas that it uses, by the names under which it does.
    pub references: Vec<Reference>,
}

#[derive(Debug, Clone, Deserialize, serde::Serialize)]
pub struct Reference {
    pub name: String,
    pub subject: String,
    pub version: i32,
}

/// A schema in the registry, under one subject.
#[derive(Debug, Clone)]
pub struct RegisteredSchema {
    pub subject: String,
    pub version: i32,
    pub id: i32,
    pub text: SchemaText,
}

/// The answer to whether a schema may follow those that a subject has.
#[derive(Debug, Clone, Deserialize)]
pub struct Compatibility {
    pub is_compatible: bool,
    #[serde(default)]
    pub messages: Vec<String>,
}

pub struct RegistryClient(Service);

impl RegistryClient {
    pub fn new(base: &str) -> Result<RegistryClient, HttpError> {
        Service::new(base, "schema registry", "--registry or WEIR_REGISTRY").map(RegistryClient)
    }

    pub async fn subjects(&self) -> Result<Vec<String>, HttpError> {
        self.parse(self.0.get("/subjects").await?)
    }

    pub async fn versions(&self, subject: &str) -> Result<Vec<i32>, HttpError> {
        let path = format!("/subjects/{}/versions", part(subject));
        self.parse(self.0.get(&path).await?)
    }

    /// A version of a subject: a number or `latest`.
    pub async fn version(
        &self,
        subject: &str,
        version: &str,
    ) -> Result<RegisteredSchema, HttpError> {
        let path = format!("/subjects/{}/versions/{}", part(subject), part(version));
        let answer = self.0.get(&path).await?;
        Ok(RegisteredSchema {
            subject: subject.to_owned(),
            version: self.field(&answer, "version")?,
            id: self.field(&answer, "id")?,
            text: self.schema_text(&answer)?,
        })
    }

    pub async fn by_id(&self, id: i32) -> Result<SchemaText, HttpError> {
        let answer = self.0.get(&format!("/schemas/ids/{id}")).await?;
        self.schema_text(&answer)
    }

    pub async fn by_guid(&self, guid: uuid::Uuid) -> Result<SchemaText, HttpError> {
        let answer = self.0.get(&format!("/schemas/guids/{guid}")).await?;
        self.schema_text(&answer)
    }

    /// Registers a schema, or finds it registered; returns its id.
    pub async fn register(&self, subject: &str, text: &SchemaText) -> Result<i32, HttpError> {
        let path = format!("/subjects/{}/versions", part(subject));
        let request = self.0.request(Method::POST, &path).json(&body(text));
        let answer = self.0.send(request).await?;
        self.field(&answer, "id")
    }

    /// Whether the schema may follow the latest version, with the reasons why not.
    pub async fn check(
        &self,
        subject: &str,
        text: &SchemaText,
    ) -> Result<Compatibility, HttpError> {
        let path = format!(
            "/compatibility/subjects/{}/versions/latest?verbose=true",
            part(subject)
        );
        let request = self.0.request(Method::POST, &path).json(&body(text));
        self.parse(self.0.send(request).await?)
    }

    /// Deletes a subject, or one version; returns what went.
    pub async fn delete(
        &self,
        subject: &str,
        version: Option<&str>,
        permanent: bool,
    ) -> Result<Value, HttpError> {
        let mut path = format!("/subjects/{}", part(subject));
        if let Some(version) = version {
            path.push_str("/versions/");
            path.push_str(&part(version));
        }
        if permanent {
            path.push_str("?permanent=true");
        }
        self.0.send(self.0.request(Method::DELETE, &path)).await
    }

    /// Name and text of every schema that `text` uses, each after those that it uses itself.
    pub async fn resolve(&self, text: &SchemaText) -> Result<Vec<(String, String)>, HttpError> {
        enum Step {
            Visit(Reference),
            Emit(String, String),
        }
        let visit = |references: &[Reference]| {
            let reversed = references.iter().rev().cloned();
            reversed.map(Step::Visit).collect::<Vec<_>>()
        };
        let (mut resolved, mut seen) = (Vec::new(), HashSet::new());
        let mut steps = visit(&text.references);
        while let Some(step) = steps.pop() {
            match step {
                Step::Emit(name, schema) => resolved.push((name, schema)),
                Step::Visit(reference) => {
                    if !seen.insert(reference.name.clone()) {
                        continue;
                    }
                    let version = reference.version.to_string();
                    let used = self.version(&reference.subject, &version).await?.text;
                    steps.push(Step::Emit(reference.name, used.schema));
                    steps.extend(visit(&used.references));
                }
            }
        }
        Ok(resolved)
    }

    fn schema_text(&self, answer: &Value) -> Result<SchemaText, HttpError> {
        let name = answer.get("schemaType").and_then(Value::as_str);
        let schema_type = name.map_or(Ok(SchemaType::Avro), str::parse);
        let references = answer.get("references").filter(|value| !value.is_null());
        Ok(SchemaText {
            schema_type: schema_type.map_err(|error| self.malformed(error))?,
            schema: self.field(answer, "schema")?,
            references: match references {
                Some(references) => self.parse(references.clone())?,
                None => Vec::new(),
            },
        })
    }

    fn field<T: serde::de::DeserializeOwned>(
        &self,
        answer: &Value,
        name: &str,
    ) -> Result<T, HttpError> {
        self.parse(answer.get(name).cloned().unwrap_or_default())
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, value: Value) -> Result<T, HttpError> {
        serde_json::from_value(value).map_err(|error| self.malformed(error))
    }

    fn malformed(&self, error: impl std::fmt::Display) -> HttpError {
        HttpError::Malformed {
            url: "the schema registry".to_owned(),
            reason: error.to_string(),
        }
    }
}

fn body(text: &SchemaText) -> Value {
    json!({
        "schemaType": text.schema_type.as_str(),
        "schema": text.schema,
        "references": text.references,
    })
}
