//! What reading a table asks of the schema registry.

use std::sync::Arc;

use uuid::Uuid;
use weir_schema::codec::Codec;
use weir_schema::framing::SchemaRef;

/// The registry as this node has applied it. A look never goes elsewhere.
pub trait Schemas: Send + Sync {
    /// A registered schema, soft-deleted ones included.
    fn codec(&self, schema: SchemaRef) -> Option<Arc<Codec>>;

    /// The latest version of a subject.
    fn latest(&self, subject: &str) -> Option<LatestSchema>;
}

/// The schema that a subject's rows are read in and written with.
#[derive(Clone)]
pub struct LatestSchema {
    pub id: i32,
    pub guid: Uuid,
    pub codec: Arc<Codec>,
}

/// A registry without schemas.
pub struct NoSchemas;

impl Schemas for NoSchemas {
    fn codec(&self, _: SchemaRef) -> Option<Arc<Codec>> {
        None
    }

    fn latest(&self, _: &str) -> Option<LatestSchema> {
        None
    }
}
