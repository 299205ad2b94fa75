//! The schema registry as tables ask it. A topic's schemas are in the default context.

use std::sync::Arc;

use uuid::Uuid;
use weir_schema::codec::Codec;
use weir_schema::enforce::{DEFAULT_CONTEXT, Schemas as Enforced};
use weir_schema::framing::SchemaRef;
use weir_schema::registry::Subject;
use weir_tables::design::RegisteredSchema;
use weir_tables::{LatestSchema, Schemas};

use super::design::Subjects;
use crate::registry::SchemaFold;

impl Schemas for SchemaFold {
    fn codec(&self, schema: SchemaRef) -> Option<Arc<Codec>> {
        let id = match schema {
            SchemaRef::Id(id) => id,
            SchemaRef::Guid(guid) => self.id_of_guid(DEFAULT_CONTEXT, &guid)?,
        };
        if !self.has_id(DEFAULT_CONTEXT, id) {
            return None;
        }
        Enforced::codec(self, DEFAULT_CONTEXT, id).ok()
    }

    fn latest(&self, subject: &str) -> Option<LatestSchema> {
        let (id, guid) = {
            let registry = self.read();
            let latest = registry.latest(&Subject::parse(subject))?;
            (
                latest.id,
                Uuid::from_bytes(*latest.schema.guid().as_bytes()),
            )
        };
        let codec = Enforced::codec(self, DEFAULT_CONTEXT, id).ok()?;
        Some(LatestSchema { id, guid, codec })
    }
}

impl Subjects for SchemaFold {
    fn registered(&self, subject: &str) -> Option<RegisteredSchema> {
        let registry = self.read();
        let latest = registry.latest(&Subject::parse(subject))?;
        let references = registry
            .resolve(&latest.subject, &latest.schema.references)
            .ok()?;
        Some(RegisteredSchema {
            id: latest.id,
            guid: Uuid::from_bytes(*latest.schema.guid().as_bytes()),
            schema_type: latest.schema.schema_type,
            text: latest.schema.text.clone(),
            references: references.into_iter().map(|r| (r.name, r.text)).collect(),
        })
    }
}
