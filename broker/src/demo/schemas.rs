//! Step: the schemas, registered as any registry client would.

use serde_json::Value;
use weir_schema::SchemaType;

use super::data::{AIRLINES, ALL};
use super::lines::quoted;
use super::{Demo, DemoError};
use crate::client::SchemaText;

impl Demo {
    pub(super) async fn register_schemas(&mut self) -> Result<(), DemoError> {
        self.lines.step("Register the Avro schemas");
        for dataset in ALL {
            let text = SchemaText {
                schema_type: SchemaType::Avro,
                schema: dataset.schema.to_owned(),
                references: Vec::new(),
            };
            let subject = format!("{}-value", dataset.topic);
            let id = self.schemas.registry().register(&subject, &text).await?;
            self.lines.say(&format!("{subject} has id {id}"));
        }
        let schema: Value = serde_json::from_str(AIRLINES.schema).unwrap_or_default();
        self.lines.piped(
            &format!("echo {} | ", quoted(&schema.to_string())),
            "schema register airlines-value -",
        );
        self.lines.weir("schema list");
        self.lines.weir("schema show flights-value");
        self.lines
            .curl("-s {registry}/subjects/flights-value/versions/latest");
        Ok(())
    }
}
