//! The whole state as bytes: the records that rebuild it, one JSON array a line.
//!
//! ```text
//! line 1   {"registry":1}                  format version
//! line n   [offset, timestamp_ms, key, value or null]
//! ```
//! Written in the order of the state's maps, so equal states give equal bytes. Whoever stores these
//! bytes adds the checksum.

use super::record::{Entry, SchemaEntry};
use super::state::global;
use super::{Registry, Subject};

const HEADER: &str = r#"{"registry":1}"#;

type Line = (i64, i64, String, Option<String>);

impl Registry {
    /// The state as bytes for a snapshot.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = HEADER.as_bytes().to_vec();
        bytes.push(b'\n');
        let mut push = |entry: Entry, offset: i64, timestamp_ms: i64| {
            let record = entry.encode();
            let line: Line = (offset, timestamp_ms, record.key, record.value);
            serde_json::to_writer(&mut bytes, &line).expect("text always serialises");
            bytes.push(b'\n');
        };
        for (context, _) in self.contexts.iter().filter(|(_, context)| context.exists) {
            push(
                Entry::Context {
                    context: context.clone(),
                    exists: true,
                },
                0,
                0,
            );
        }
        let setting = |subject: &Subject| Some(subject.clone()).filter(|s| *s != global());
        for (subject, config) in &self.configs {
            let config = Some(Box::new(config.clone()));
            push(
                Entry::Config {
                    subject: setting(subject),
                    config,
                },
                0,
                0,
            );
        }
        for (subject, mode) in &self.modes {
            push(
                Entry::Mode {
                    subject: setting(subject),
                    mode: Some(*mode),
                },
                0,
                0,
            );
        }
        for ((subject, version), (id, content)) in &self.retired {
            let (subject, version, id, content) = (subject.clone(), *version, *id, *content);
            push(
                Entry::Retired {
                    subject,
                    version,
                    id,
                    content,
                },
                0,
                0,
            );
        }
        for version in self
            .subjects
            .values()
            .flat_map(|versions| versions.all.values())
        {
            let value = SchemaEntry {
                id: version.id,
                schema: (*version.schema).clone(),
                deleted: version.deleted,
            };
            let (subject, number) = (version.subject.clone(), version.version);
            let entry = Entry::Schema {
                subject,
                version: number,
                value: Some(Box::new(value)),
            };
            push(entry, version.offset, version.timestamp_ms);
        }
        bytes
    }

    /// Rebuilds a state from `encode`'s bytes.
    ///
    /// # Errors
    /// Says which line is no snapshot of this format.
    pub fn decode(bytes: &[u8]) -> Result<Registry, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err("line 1: not a registry snapshot of format 1".to_owned());
        }
        let mut registry = Registry::new();
        for (index, line) in lines.enumerate() {
            let fault = |reason: String| format!("line {}: {reason}", index + 2);
            let (offset, timestamp_ms, key, value): Line =
                serde_json::from_str(line).map_err(|error| fault(error.to_string()))?;
            registry
                .apply(
                    key.as_bytes(),
                    value.as_ref().map(String::as_bytes),
                    offset,
                    timestamp_ms,
                )
                .map_err(|error| fault(error.to_string()))?;
        }
        Ok(registry)
    }
}
