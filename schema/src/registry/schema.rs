//! A schema as the registry keeps it: its text, its references, metadata and rules. All of it
//! together is what an id stands for, and what its GUID hashes.

use std::fmt;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Metadata, RuleSet, nullable};
use crate::SchemaType;

/// Another schema that this one's text names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Reference {
    /// What the text calls it: an Avro full name, a `$ref` URI, an import path.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// The subject that holds it, relative to the referrer's context.
    #[serde(deserialize_with = "nullable")]
    pub subject: String,
    /// The version under that subject; -1 in a request means the latest.
    #[serde(deserialize_with = "nullable")]
    pub version: i32,
}

/// What an id stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    pub schema_type: SchemaType,
    pub text: String,
    pub references: Vec<Reference>,
    pub metadata: Option<Metadata>,
    pub rule_set: Option<RuleSet>,
}

/// A schema's content hash, the same in every registry that computes it like Confluent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Guid(Uuid);

impl Guid {
    /// Reads a GUID with or without hyphens.
    pub fn parse(text: &str) -> Option<Guid> {
        Uuid::try_parse(text).ok().map(Guid)
    }

    /// The GUID from the 16 bytes, big-endian, that a record's schema id header carries.
    pub fn from_bytes(bytes: [u8; 16]) -> Guid {
        Guid(Uuid::from_bytes(bytes))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Schema {
    /// A schema of text alone.
    pub fn new(schema_type: SchemaType, text: impl Into<String>) -> Schema {
        Schema {
            schema_type,
            text: text.into(),
            ..Schema::default()
        }
    }

    /// MD5 over the text, the references, then 0x01 and the metadata, 0x01 and the rule set, where
    /// they are present.
    pub fn guid(&self) -> Guid {
        let mut md5 = Md5::new();
        md5.update(&self.text);
        for reference in &self.references {
            md5.update(&reference.name);
            md5.update(&reference.subject);
            md5.update(reference.version.to_be_bytes());
        }
        if let Some(metadata) = &self.metadata {
            md5.update([1]);
            metadata.hash_into(&mut md5);
        }
        if let Some(rules) = &self.rule_set {
            md5.update([1]);
            rules.hash_into(&mut md5);
        }
        Guid(Uuid::from_bytes(md5.finalize().into()))
    }

    /// Bytes that the schema takes, by which it is limited.
    pub fn len_bytes(&self) -> usize {
        let references: usize = self
            .references
            .iter()
            .map(|r| r.name.len() + r.subject.len() + 32)
            .sum();
        let extras = |value: Option<String>| value.map_or(0, |text| text.len());
        self.text.len()
            + references
            + extras(
                self.metadata
                    .as_ref()
                    .and_then(|m| serde_json::to_string(m).ok()),
            )
            + extras(
                self.rule_set
                    .as_ref()
                    .and_then(|r| serde_json::to_string(r).ok()),
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are `md5sum` over the bytes written out by hand.
    #[test]
    fn guid_is_md5_over_text_references_metadata_and_rules() {
        let mut schema = Schema::new(SchemaType::Avro, r#""string""#);
        assert_eq!(
            schema.guid().to_string(),
            "095d71cf-1255-6b9d-5e33-0ad575b3df5d"
        );
        schema.references.push(Reference {
            name: "n".into(),
            subject: "s".into(),
            version: 1,
        });
        assert_eq!(
            schema.guid().to_string(),
            "a7e3fe32-9bf9-b5f9-9d90-f62f838b5c93"
        );
        schema.metadata = serde_json::from_str(
            r#"{"properties":{"b":"2","a":"1"},"tags":{"p":["y","x"]},"sensitive":["b"]}"#,
        )
        .expect("metadata");
        assert_eq!(
            schema.guid().to_string(),
            "3278dba4-0472-aef8-895d-36f37571c863"
        );
        schema.rule_set = serde_json::from_str(
            r#"{"domainRules":[{"name":"r","type":"CEL","params":{"k":"v"},"disabled":true}],"enableAt":"GATEWAY"}"#,
        )
        .expect("rules");
        assert_eq!(
            schema.guid().to_string(),
            "f6b4d044-dfd0-d074-ac04-3d389e65c1e3"
        );
    }

    #[test]
    fn guid_reads_with_and_without_hyphens() {
        let guid = Schema::new(SchemaType::Avro, "x").guid();
        assert_eq!(Guid::parse(&guid.to_string()), Some(guid));
        assert_eq!(Guid::parse(&guid.to_string().replace('-', "")), Some(guid));
        assert_eq!(Guid::parse("not a guid"), None);
    }
}
