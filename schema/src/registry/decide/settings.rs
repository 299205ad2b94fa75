//! Settings: compatibility and its kin, and modes.

use super::{Answer, Decision, check_writable, setting};
use crate::registry::record::Entry;
use crate::registry::{
    CompatibilityLevel, CompatibilityPolicy, Config, ConfigUpdate, Mode, Registry, RegistryError,
    RuleSet, Subject,
};

pub fn update_config(
    registry: &Registry,
    subject: Subject,
    update: ConfigUpdate,
) -> Result<Decision, RegistryError> {
    if !subject.accepts_settings() {
        return Err(RegistryError::InvalidSubject(subject));
    }
    check_writable(registry, &subject)?;
    let mut config = registry.configs.get(&subject).cloned().unwrap_or_default();
    change(&mut config, update)?;
    let entry = Entry::Config {
        subject: setting(&subject),
        config: Some(Box::new(config.clone())),
    };
    Ok(Decision::new(vec![entry], Answer::Config(Box::new(config))))
}

fn change(config: &mut Config, update: ConfigUpdate) -> Result<(), RegistryError> {
    fn set<T>(field: &mut Option<T>, change: Option<Option<T>>) {
        if let Some(value) = change {
            *field = value;
        }
    }
    let level = parse::<CompatibilityLevel>(update.compatibility_level)?;
    let policy = parse::<CompatibilityPolicy>(update.compatibility_policy)?;
    for rules in [&update.default_rule_set, &update.override_rule_set] {
        rules.iter().flatten().try_for_each(RuleSet::validate)?;
    }
    set(&mut config.alias, update.alias);
    set(&mut config.alias_for_deks, update.alias_for_deks);
    set(&mut config.normalize, update.normalize);
    set(&mut config.validate_fields, update.validate_fields);
    set(
        &mut config.validate_new_schemas,
        update.validate_new_schemas,
    );
    set(&mut config.validate_rules, update.validate_rules);
    set(&mut config.compatibility_level, level);
    set(&mut config.compatibility_policy, policy);
    set(&mut config.compatibility_group, update.compatibility_group);
    set(&mut config.default_metadata, update.default_metadata);
    set(&mut config.override_metadata, update.override_metadata);
    set(&mut config.default_rule_set, update.default_rule_set);
    set(&mut config.override_rule_set, update.override_rule_set);
    Ok(())
}

fn parse<T: std::str::FromStr>(
    change: Option<Option<String>>,
) -> Result<Option<Option<T>>, RegistryError> {
    let parse = |name: String| {
        name.parse()
            .map_err(|_| RegistryError::InvalidCompatibility(name))
    };
    change.map(|name| name.map(parse).transpose()).transpose()
}

pub fn delete_config(registry: &Registry, subject: Subject) -> Result<Decision, RegistryError> {
    check_writable(registry, &subject)?;
    let Some(old) = registry.config(&subject) else {
        return Err(RegistryError::SubjectNotFound(subject));
    };
    let entry = Entry::Config {
        subject: setting(&subject),
        config: None,
    };
    Ok(Decision::new(vec![entry], Answer::Config(Box::new(old))))
}

pub fn set_mode(
    registry: &Registry,
    subject: Subject,
    mode: Option<&str>,
    force: bool,
) -> Result<Decision, RegistryError> {
    if !subject.accepts_settings() {
        return Err(RegistryError::InvalidSubject(subject));
    }
    let mode: Option<Mode> = mode
        .map(|name| {
            name.parse()
                .map_err(|()| RegistryError::InvalidMode(name.to_owned()))
        })
        .transpose()?;
    let mut entries = Vec::new();
    let importing = registry.mode_in_scope(&subject) == Mode::Import;
    if mode == Some(Mode::Import) && !importing && !force {
        entries = clear_for_import(registry, &subject)?;
    }
    entries.push(Entry::Mode {
        subject: setting(&subject),
        mode,
    });
    Ok(Decision::new(entries, Answer::Mode(mode)))
}

/// Importing starts on empty ground, so that ids and versions are the client's to choose: live
/// subjects forbid it, and what is soft-deleted goes for good.
fn clear_for_import(registry: &Registry, scope: &Subject) -> Result<Vec<Entry>, RegistryError> {
    let covered = |subject: &Subject| scope.is_default_context() || scope.covers(subject);
    let versions: Vec<_> = registry
        .subjects
        .iter()
        .filter(|(subject, _)| covered(subject))
        .flat_map(|(_, versions)| versions.all.values())
        .collect();
    if versions.iter().any(|version| !version.deleted) {
        return Err(RegistryError::SubjectsExist);
    }
    for version in &versions {
        let (subject, version) = (&version.subject, version.version);
        let mut referrers = registry.referrers_of(subject, version, true);
        if referrers.any(|referrer| !covered(&referrer.subject)) {
            return Err(RegistryError::ReferenceExists {
                subject: subject.clone(),
                version,
            });
        }
    }
    let mut entries: Vec<Entry> = versions
        .iter()
        .flat_map(|version| super::delete::forget(version))
        .collect();
    entries.push(Entry::ClearSubject {
        subject: setting(scope),
    });
    Ok(entries)
}

pub fn delete_mode(
    registry: &Registry,
    subject: Subject,
    recursive: bool,
) -> Result<Decision, RegistryError> {
    let old = registry.mode(&subject);
    if old.is_none() && !recursive {
        return Err(RegistryError::SubjectNotFound(subject));
    }
    let mut entries = vec![Entry::Mode {
        subject: setting(&subject),
        mode: None,
    }];
    if recursive && subject.name().is_empty() {
        let below = registry
            .modes
            .keys()
            .filter(|s| **s != subject && subject.covers(s));
        entries.extend(below.map(|s| Entry::Mode {
            subject: Some(s.clone()),
            mode: None,
        }));
    }
    Ok(Decision::new(entries, Answer::Mode(old)))
}
