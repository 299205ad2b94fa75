//! Rule sets: data contract rules that clients run. The registry checks their form, keeps them and
//! hands them out; it never runs them.

use std::collections::{BTreeMap, BTreeSet};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::nullable;

const NAME_CHARS_MAX: usize = 256;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuleSet {
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub migration_rules: Vec<Rule>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub domain_rules: Vec<Rule>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub encoding_rules: Vec<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_at: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doc: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub kind: RuleKind,
    #[serde(deserialize_with = "nullable")]
    pub mode: RuleMode,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind_of_rule: Option<String>,
    #[serde(
        deserialize_with = "nullable",
        skip_serializing_if = "BTreeSet::is_empty"
    )]
    pub tags: BTreeSet<String>,
    #[serde(
        deserialize_with = "nullable",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub params: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_success: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub disabled: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RuleKind {
    #[default]
    Transform,
    Condition,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RuleMode {
    Upgrade,
    Downgrade,
    Updown,
    Write,
    Read,
    #[default]
    Writeread,
}

/// What is wrong with a rule set, in words for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule:?}: {reason}")]
pub struct InvalidRule {
    pub rule: String,
    pub reason: &'static str,
}

impl RuleKind {
    fn as_str(self) -> &'static str {
        match self {
            RuleKind::Transform => "TRANSFORM",
            RuleKind::Condition => "CONDITION",
        }
    }
}

impl RuleMode {
    fn as_str(self) -> &'static str {
        match self {
            RuleMode::Upgrade => "UPGRADE",
            RuleMode::Downgrade => "DOWNGRADE",
            RuleMode::Updown => "UPDOWN",
            RuleMode::Write => "WRITE",
            RuleMode::Read => "READ",
            RuleMode::Writeread => "WRITEREAD",
        }
    }

    fn migrates(self) -> bool {
        matches!(
            self,
            RuleMode::Upgrade | RuleMode::Downgrade | RuleMode::Updown
        )
    }
}

impl RuleSet {
    /// Checks names, modes and actions; the first fault is the answer.
    pub fn validate(&self) -> Result<(), InvalidRule> {
        let mut names = BTreeSet::new();
        for rule in self.rules() {
            let invalid = |reason| InvalidRule {
                rule: rule.label().to_owned(),
                reason,
            };
            if !names.insert(rule.label()) {
                return Err(invalid("another rule of the set has this name"));
            }
            rule.validate().map_err(invalid)?;
        }
        if let Some(rule) = self
            .migration_rules
            .iter()
            .find(|rule| !rule.mode.migrates())
        {
            let reason = "a migration rule's mode is UPGRADE, DOWNGRADE or UPDOWN";
            return Err(InvalidRule {
                rule: rule.label().to_owned(),
                reason,
            });
        }
        let mut others = self.domain_rules.iter().chain(&self.encoding_rules);
        if let Some(rule) = others.find(|rule| rule.mode.migrates()) {
            let reason = "a domain or encoding rule's mode is WRITE, READ or WRITEREAD";
            return Err(InvalidRule {
                rule: rule.label().to_owned(),
                reason,
            });
        }
        Ok(())
    }

    /// Whether any rule is of this type, such as `CEL` or `ENCRYPT`.
    pub fn has_type(&self, name: &str) -> bool {
        self.rules()
            .any(|rule| rule.kind_of_rule.as_deref() == Some(name))
    }

    /// `over` laid over `under`: rules of the same name are replaced, the others kept.
    pub fn merge(under: Option<RuleSet>, over: Option<RuleSet>) -> Option<RuleSet> {
        let (under, over) = match (under, over) {
            (under, None) => return under,
            (None, over) => return over,
            (Some(under), Some(over)) => (under, over),
        };
        Some(RuleSet {
            migration_rules: merge_rules(under.migration_rules, over.migration_rules),
            domain_rules: merge_rules(under.domain_rules, over.domain_rules),
            encoding_rules: merge_rules(under.encoding_rules, over.encoding_rules),
            enable_at: over.enable_at.or(under.enable_at),
        })
    }

    pub(super) fn hash_into(&self, md5: &mut Md5) {
        self.rules().for_each(|rule| rule.hash_into(md5));
        if let Some(place) = &self.enable_at {
            md5.update(place);
        }
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.migration_rules
            .iter()
            .chain(&self.domain_rules)
            .chain(&self.encoding_rules)
    }
}

impl Rule {
    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("")
    }

    fn validate(&self) -> Result<(), &'static str> {
        let name = self.name.as_deref().ok_or("has no name")?;
        if name.chars().count() > NAME_CHARS_MAX {
            return Err("the name is longer than 256 characters");
        }
        let mut chars = name.chars();
        if !chars
            .next()
            .is_some_and(|first| first.is_alphabetic() || first == '_')
        {
            return Err("the name begins with neither a letter nor an underscore");
        }
        if !chars.all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
            return Err("the name holds more than letters, digits, underscores and hyphens");
        }
        if self.kind_of_rule.is_none() {
            return Err("has no type");
        }
        let two_ways = matches!(self.mode, RuleMode::Writeread | RuleMode::Updown);
        let mut actions = self.on_success.iter().chain(&self.on_failure);
        if !two_ways && actions.any(|action| action.contains(',')) {
            return Err("several actions need the mode WRITEREAD or UPDOWN");
        }
        Ok(())
    }

    fn hash_into(&self, md5: &mut Md5) {
        let mut text = |part: &Option<String>| part.iter().for_each(|part| md5.update(part));
        text(&self.name);
        text(&self.doc);
        md5.update(self.kind.as_str());
        md5.update(self.mode.as_str());
        let mut text = |part: &Option<String>| part.iter().for_each(|part| md5.update(part));
        text(&self.kind_of_rule);
        self.tags.iter().for_each(|tag| md5.update(tag));
        for (key, value) in &self.params {
            md5.update(key);
            md5.update(value);
        }
        let mut text = |part: &Option<String>| part.iter().for_each(|part| md5.update(part));
        text(&self.expr);
        text(&self.on_success);
        text(&self.on_failure);
        if self.disabled {
            md5.update([1]);
        }
    }
}

fn merge_rules(under: Vec<Rule>, over: Vec<Rule>) -> Vec<Rule> {
    let replaced: BTreeSet<&str> = over.iter().map(Rule::label).collect();
    let mut merged: Vec<Rule> = under
        .into_iter()
        .filter(|rule| !replaced.contains(rule.label()))
        .collect();
    merged.extend(over);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, mode: RuleMode) -> Rule {
        Rule {
            name: Some(name.to_owned()),
            mode,
            kind_of_rule: Some("CEL".to_owned()),
            ..Rule::default()
        }
    }

    fn check(rules: RuleSet, expected: Result<(), &str>) {
        let found = rules.validate().map_err(|invalid| invalid.reason);
        assert_eq!(
            found.map_err(|reason| reason.to_owned()),
            expected.map_err(str::to_owned)
        );
    }

    #[test]
    fn rules_are_checked_for_names_and_modes() {
        let domain = |rules| RuleSet {
            domain_rules: rules,
            ..RuleSet::default()
        };
        check(domain(vec![rule("a", RuleMode::Write)]), Ok(()));
        check(
            domain(vec![rule("a", RuleMode::Write), rule("a", RuleMode::Read)]),
            Err("another rule of the set has this name"),
        );
        check(
            domain(vec![rule("a", RuleMode::Upgrade)]),
            Err("a domain or encoding rule's mode is WRITE, READ or WRITEREAD"),
        );
        check(
            domain(vec![rule("1a", RuleMode::Write)]),
            Err("the name begins with neither a letter nor an underscore"),
        );
    }

    #[test]
    fn a_rule_set_keeps_what_it_was_given() {
        let text = r#"{"domainRules":[{"name":"n","kind":"CONDITION","mode":"WRITE","type":"CEL","tags":["PII"],"params":{"a":"b"},"expr":"x > 1","onFailure":"DLQ","disabled":false}]}"#;
        let rules: RuleSet = serde_json::from_str(text).expect("a rule set");
        assert_eq!(serde_json::to_string(&rules).expect("json"), text);
    }
}
