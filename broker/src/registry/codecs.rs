//! Compiled schemas, kept by id: an id's schema never changes.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use weir_schema::codec::{self, Codec, SchemaError};
use weir_schema::enforce::Schemas;
use weir_schema::framing;
use weir_schema::registry::{Found, Guid, RegistryError, Subject};

use super::SchemaFold;

/// Compiled schemas kept at most; past it the cache starts anew.
const KEPT: usize = 10_000;

/// A schema that does not compile is remembered too.
type Compiled = Result<Arc<Codec>, SchemaError>;

#[derive(Default)]
pub struct CodecCache {
    by_id: RwLock<HashMap<(String, i32), Compiled>>,
}

impl Schemas for SchemaFold {
    fn has_id(&self, context: &str, id: i32) -> bool {
        self.read()
            .schema_by_id(id, Some(&Subject::new(context, "")))
            .is_some()
    }

    fn id_of_guid(&self, context: &str, guid: &framing::Guid) -> Option<i32> {
        let ids = self.read().ids_by_guid(Guid::from_bytes(*guid));
        ids.into_iter()
            .find(|holder| holder.context == context)
            .map(|holder| holder.id)
    }

    fn subject_has_id(&self, subject: &str, id: i32) -> bool {
        self.read()
            .subject_has_id(&Subject::parse(subject), id, true)
    }

    fn codec(&self, context: &str, id: i32) -> Result<Arc<Codec>, SchemaError> {
        let key = (context.to_owned(), id);
        if let Some(known) = self.codecs.by_id.read().get(&key) {
            return known.clone();
        }
        let subject = Subject::new(context, "");
        let Some(found) = self.read().schema_by_id(id, Some(&subject)) else {
            // Not kept: it may be registered later.
            return Err(SchemaError::Invalid {
                at: format!("schema id {id}"),
                reason: "it is not registered".into(),
            });
        };
        let compiled = self.compile(&found);
        let mut by_id = self.codecs.by_id.write();
        if by_id.len() >= KEPT {
            by_id.clear();
        }
        by_id.insert(key, compiled.clone());
        compiled
    }
}

impl CodecCache {
    pub fn clear(&self) {
        self.by_id.write().clear();
    }
}

impl SchemaFold {
    fn compile(&self, found: &Found) -> Result<Arc<Codec>, SchemaError> {
        let schema = &found.schema;
        let references = self
            .read()
            .resolve(&found.holder.subject, &schema.references);
        let reason = |error: RegistryError| SchemaError::Invalid {
            at: format!("schema id {}", found.id),
            reason: error.to_string(),
        };
        let references = references.map_err(reason)?;
        let references: Vec<_> = references
            .iter()
            .map(|r| (r.name.as_str(), r.text.as_str()))
            .collect();
        codec::compile(schema.schema_type, &schema.text, &references)
    }
}
