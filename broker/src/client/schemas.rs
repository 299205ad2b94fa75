//! Records by their schemas: what they say as JSON, and JSON as what is written.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;
use weir_schema::SchemaType;
use weir_schema::codec::{Codec, compile};
use weir_schema::framing::{Indexes, Part, Payload, SchemaRef, split, with_prefix};

use super::{HttpError, ReadRecord, RegistryClient, SchemaText};

/// Compiled schemas of a registry, each fetched once with those that it refers to.
pub struct SchemaCache {
    registry: RegistryClient,
    by_ref: HashMap<SchemaRef, Option<Arc<Codec>>>,
}

impl SchemaCache {
    pub fn new(registry: RegistryClient) -> SchemaCache {
        SchemaCache {
            registry,
            by_ref: HashMap::new(),
        }
    }

    pub fn registry(&self) -> &RegistryClient {
        &self.registry
    }

    /// The schema that a record names, where the registry has it.
    async fn find(&mut self, schema: SchemaRef) -> Result<Option<Arc<Codec>>, HttpError> {
        if let Some(known) = self.by_ref.get(&schema) {
            return Ok(known.clone());
        }
        let text = match schema {
            SchemaRef::Id(id) => self.registry.by_id(id).await,
            SchemaRef::Guid(guid) => self.registry.by_guid(Uuid::from_bytes(guid)).await,
        };
        let codec = match text {
            Ok(text) => Some(self.compiled(&schema.to_string(), &text).await?),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        self.by_ref.insert(schema, codec.clone());
        Ok(codec)
    }

    async fn compiled(&self, name: &str, text: &SchemaText) -> Result<Arc<Codec>, HttpError> {
        let references = self.registry.resolve(text).await?;
        let references: Vec<(&str, &str)> = references
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        compile(text.schema_type, &text.schema, &references).map_err(|error| HttpError::Schema {
            name: name.to_owned(),
            reason: error.to_string(),
        })
    }

    /// What JSON is encoded with when it is written under a subject; `None` where the subject has no schema.
    pub async fn encoder(&self, subject: &str) -> Result<Option<SubjectEncoder>, HttpError> {
        let latest = match self.registry.version(subject, "latest").await {
            Ok(latest) => latest,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let codec = self.compiled(subject, &latest.text).await?;
        Ok(Some(SubjectEncoder {
            subject: subject.to_owned(),
            id: latest.id,
            codec,
        }))
    }
}

/// Encodes JSON with one subject's latest schema.
pub struct SubjectEncoder {
    pub subject: String,
    pub id: i32,
    codec: Arc<Codec>,
}

impl SubjectEncoder {
    /// The value behind its schema id. The error names field and reason.
    pub fn encode(&self, value: &Value) -> Result<Vec<u8>, String> {
        let payload = match self.codec.schema_type() {
            // The document itself, with what the schema says nothing about.
            SchemaType::Json => {
                let document = value.to_string().into_bytes();
                let valid = self.codec.validate(Payload::new(&document));
                valid.map(|()| document)
            }
            SchemaType::Avro | SchemaType::Protobuf => self.codec.from_json(Indexes::FIRST, value),
        };
        let payload = payload.map_err(|error| format!("{}: {error}", self.subject))?;
        let protobuf = self.codec.is_protobuf();
        Ok(with_prefix(self.id, Payload::new(&payload), protobuf))
    }
}

/// What bytes turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// Written by a schema; JSON.
    BySchema(Value),
    /// Text without one.
    Text(String),
    /// Neither.
    Bytes(Vec<u8>),
}

/// Decodes records by the schemas that they name. Without a registry everything is text or bytes.
pub struct RecordDecoder {
    schemas: Option<SchemaCache>,
}

impl RecordDecoder {
    pub fn new(schemas: Option<SchemaCache>) -> RecordDecoder {
        RecordDecoder { schemas }
    }

    /// A record's key or value; `None` where it is null.
    pub async fn decode(
        &mut self,
        record: &ReadRecord,
        part: Part,
    ) -> Result<Option<Decoded>, HttpError> {
        let bytes = match part {
            Part::Key => &record.key,
            Part::Value => &record.value,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let header = record
            .headers
            .iter()
            .rev()
            .find(|(name, _)| name == part.header())
            .map(|(_, value)| value.as_deref());
        match self.by_schema(part, bytes, header).await? {
            Some(json) => Ok(Some(Decoded::BySchema(json))),
            None => Ok(Some(plain(bytes))),
        }
    }

    /// Bytes that name no schema, or not one of this registry's, or do not fit it, are plain ones.
    async fn by_schema(
        &mut self,
        part: Part,
        bytes: &[u8],
        header: Option<Option<&[u8]>>,
    ) -> Result<Option<Value>, HttpError> {
        let (Some(schemas), Ok(framed)) = (&mut self.schemas, split(part, bytes, header)) else {
            return Ok(None);
        };
        let Some(codec) = schemas.find(framed.schema).await? else {
            return Ok(None);
        };
        let Ok(payload) = framed.payload(codec.is_protobuf()) else {
            return Ok(None);
        };
        Ok(match codec.schema_type() {
            SchemaType::Json => serde_json::from_slice(payload.bytes).ok(),
            SchemaType::Avro | SchemaType::Protobuf => codec.to_json(payload).ok(),
        })
    }
}

fn plain(bytes: &[u8]) -> Decoded {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Decoded::Text(text.to_owned()),
        _ => Decoded::Bytes(bytes.to_vec()),
    }
}
