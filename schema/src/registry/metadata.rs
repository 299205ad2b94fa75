//! A schema's metadata: tags by path, free properties, and which of those are sensitive.

use std::collections::{BTreeMap, BTreeSet};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::nullable;

/// The property that repeats the version in the metadata of schemas that asked for it.
const VERSION_PROPERTY: &str = "confluent:version";
/// The property that lists fields which no later version may remove or reuse.
const RESERVED_PROPERTY: &str = "confluent:reserved";

/// Metadata as users set it; the server stores and returns it whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    #[serde(
        deserialize_with = "nullable",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub tags: BTreeMap<String, BTreeSet<String>>,
    #[serde(
        deserialize_with = "nullable",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub properties: BTreeMap<String, String>,
    #[serde(
        deserialize_with = "nullable",
        skip_serializing_if = "BTreeSet::is_empty"
    )]
    pub sensitive: BTreeSet<String>,
}

impl Metadata {
    /// The version that the metadata claims, if it claims one.
    pub fn version(&self) -> Option<&str> {
        self.properties.get(VERSION_PROPERTY).map(String::as_str)
    }

    /// The same metadata, claiming `version`.
    pub fn with_version(mut self, version: i32) -> Metadata {
        self.properties
            .insert(VERSION_PROPERTY.to_owned(), version.to_string());
        self
    }

    /// The metadata without its claim of a version.
    pub fn without_version(&self) -> Metadata {
        let mut metadata = self.clone();
        metadata.properties.remove(VERSION_PROPERTY);
        metadata
    }

    /// Fields that this metadata reserves.
    pub fn reserved_fields(&self) -> BTreeSet<&str> {
        self.properties
            .get(RESERVED_PROPERTY)
            .map_or_else(BTreeSet::new, |list| {
                list.split(',')
                    .map(str::trim)
                    .filter(|name| !name.is_empty())
                    .collect()
            })
    }

    /// `over` laid over `under`, key by key.
    pub fn merge(under: Option<Metadata>, over: Option<Metadata>) -> Option<Metadata> {
        let (mut under, over) = match (under, over) {
            (under, None) => return under,
            (None, over) => return over,
            (Some(under), Some(over)) => (under, over),
        };
        under.tags.extend(over.tags);
        under.properties.extend(over.properties);
        under.sensitive.extend(over.sensitive);
        Some(under)
    }

    pub(super) fn hash_into(&self, md5: &mut Md5) {
        for (path, tags) in &self.tags {
            md5.update(path);
            tags.iter().for_each(|tag| md5.update(tag));
        }
        for (key, value) in &self.properties {
            md5.update(key);
            md5.update(value);
        }
        self.sensitive.iter().for_each(|key| md5.update(key));
    }
}
