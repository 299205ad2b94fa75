//! Settings of a subject, a context or the registry: compatibility, normalisation, and what is laid
//! under or over the metadata and rules of schemas that are registered.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Metadata, RuleSet};

/// Which versions a new schema is compared with, and in which direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CompatibilityLevel {
    None,
    /// The new schema reads what the latest version wrote.
    #[default]
    Backward,
    BackwardTransitive,
    /// The latest version reads what the new schema writes.
    Forward,
    ForwardTransitive,
    Full,
    FullTransitive,
}

impl CompatibilityLevel {
    const ALL: [CompatibilityLevel; 7] = [
        CompatibilityLevel::None,
        CompatibilityLevel::Backward,
        CompatibilityLevel::BackwardTransitive,
        CompatibilityLevel::Forward,
        CompatibilityLevel::ForwardTransitive,
        CompatibilityLevel::Full,
        CompatibilityLevel::FullTransitive,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            CompatibilityLevel::None => "NONE",
            CompatibilityLevel::Backward => "BACKWARD",
            CompatibilityLevel::BackwardTransitive => "BACKWARD_TRANSITIVE",
            CompatibilityLevel::Forward => "FORWARD",
            CompatibilityLevel::ForwardTransitive => "FORWARD_TRANSITIVE",
            CompatibilityLevel::Full => "FULL",
            CompatibilityLevel::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// Whether every earlier version counts, not only the latest.
    pub fn is_transitive(self) -> bool {
        use CompatibilityLevel::{BackwardTransitive, ForwardTransitive, FullTransitive};
        matches!(
            self,
            BackwardTransitive | ForwardTransitive | FullTransitive
        )
    }

    /// Whether the new schema must read what earlier ones wrote.
    pub fn is_backward(self) -> bool {
        use CompatibilityLevel::{Backward, BackwardTransitive, Full, FullTransitive};
        matches!(self, Backward | BackwardTransitive | Full | FullTransitive)
    }

    /// Whether earlier schemas must read what the new one writes.
    pub fn is_forward(self) -> bool {
        use CompatibilityLevel::{Forward, ForwardTransitive, Full, FullTransitive};
        matches!(self, Forward | ForwardTransitive | Full | FullTransitive)
    }
}

impl fmt::Display for CompatibilityLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CompatibilityLevel {
    type Err = ();

    /// Reads a level's name in any case.
    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(name))
            .ok_or(())
    }
}

/// How strictly JSON Schemas are compared; kept and returned for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CompatibilityPolicy {
    #[default]
    Strict,
    Lenient,
    Logical,
}

impl FromStr for CompatibilityPolicy {
    type Err = ();

    /// Reads a policy's name in any case.
    fn from_str(name: &str) -> Result<Self, ()> {
        match name.to_ascii_uppercase().as_str() {
            "STRICT" => Ok(CompatibilityPolicy::Strict),
            "LENIENT" => Ok(CompatibilityPolicy::Lenient),
            "LOGICAL" => Ok(CompatibilityPolicy::Logical),
            _ => Err(()),
        }
    }
}

/// Settings at one level; what is absent comes from the level above.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias_for_deks: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validate_fields: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validate_new_schemas: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validate_rules: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility_level: Option<CompatibilityLevel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility_policy: Option<CompatibilityPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility_group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_rule_set: Option<RuleSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_rule_set: Option<RuleSet>,
}

impl Config {
    /// The level in force where no level above says anything else.
    pub fn level(&self) -> CompatibilityLevel {
        self.compatibility_level.unwrap_or_default()
    }

    /// The settings of a subject that has its own, below the `global` ones. Level, alias, metadata
    /// and rules are the subject's alone.
    pub(super) fn below(mut self, global: Option<&Config>) -> Config {
        let Some(global) = global else { return self };
        self.normalize = self.normalize.or(global.normalize);
        self.validate_fields = self.validate_fields.or(global.validate_fields);
        self.validate_new_schemas = self.validate_new_schemas.or(global.validate_new_schemas);
        self.validate_rules = self.validate_rules.or(global.validate_rules);
        self.compatibility_policy = self.compatibility_policy.or(global.compatibility_policy);
        let group = global.compatibility_group.clone();
        self.compatibility_group = self.compatibility_group.or(group);
        self
    }

    /// Whether schemas under these settings get metadata or rules that they did not bring.
    pub(super) fn adds_to_schemas(&self) -> bool {
        self.default_metadata.is_some()
            || self.override_metadata.is_some()
            || self.default_rule_set.is_some()
            || self.override_rule_set.is_some()
    }
}

/// A change to settings: a field that is absent stays, null removes it, a value replaces it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigUpdate {
    #[serde(deserialize_with = "present")]
    pub alias: Option<Option<String>>,
    #[serde(deserialize_with = "present")]
    pub alias_for_deks: Option<Option<String>>,
    #[serde(deserialize_with = "present")]
    pub normalize: Option<Option<bool>>,
    #[serde(deserialize_with = "present")]
    pub validate_fields: Option<Option<bool>>,
    #[serde(deserialize_with = "present")]
    pub validate_new_schemas: Option<Option<bool>>,
    #[serde(deserialize_with = "present")]
    pub validate_rules: Option<Option<bool>>,
    /// A level's name as the request has it; requests call it `compatibility`.
    #[serde(
        rename = "compatibility",
        alias = "compatibilityLevel",
        deserialize_with = "present"
    )]
    pub compatibility_level: Option<Option<String>>,
    #[serde(deserialize_with = "present")]
    pub compatibility_policy: Option<Option<String>>,
    #[serde(deserialize_with = "present")]
    pub compatibility_group: Option<Option<String>>,
    #[serde(deserialize_with = "present")]
    pub default_metadata: Option<Option<Metadata>>,
    #[serde(deserialize_with = "present")]
    pub override_metadata: Option<Option<Metadata>>,
    #[serde(deserialize_with = "present")]
    pub default_rule_set: Option<Option<RuleSet>>,
    #[serde(deserialize_with = "present")]
    pub override_rule_set: Option<Option<RuleSet>>,
}

fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_tells_null_from_absent() {
        let update: ConfigUpdate =
            serde_json::from_str(r#"{"alias":null,"compatibility":"FULL"}"#).expect("an update");
        assert_eq!(update.alias, Some(None));
        assert_eq!(update.normalize, None);
        assert_eq!(update.compatibility_level, Some(Some("FULL".to_owned())));
    }

    #[test]
    fn level_names_read_in_any_case() {
        for level in CompatibilityLevel::ALL {
            assert_eq!(level.as_str().to_lowercase().parse(), Ok(level));
            assert_eq!(serde_json::to_value(level).expect("json"), level.as_str());
        }
    }
}
