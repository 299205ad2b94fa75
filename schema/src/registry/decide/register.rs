//! Registering a schema under a subject.

use std::sync::Arc;

use super::lookup::{self, Candidate, Scrutiny, registered};
use super::{Answer, Decision, RegisterRequest, Registered, check_writable};
use crate::registry::record::{Content, Entry, SchemaEntry};
use crate::registry::{
    Config, DEFAULT_CONTEXT, Listing, Mode, Registry, RegistryError, RuleSet, Schema, Subject,
    Version,
};

/// What a request asks for besides the schema.
struct Wanted {
    /// Given and positive.
    version: Option<i32>,
    /// Whether the request said -1, so that only the latest version counts as the same.
    latest: bool,
    id: Option<i32>,
}

pub fn decide(
    registry: &Registry,
    subject: Subject,
    request: RegisterRequest,
    normalize: bool,
    force: bool,
) -> Result<Decision, RegistryError> {
    request.rule_set.iter().try_for_each(RuleSet::validate)?;
    if !subject.accepts_schemas() {
        return Err(RegistryError::InvalidSubject(subject));
    }
    let config = registry.config_in_scope(&subject);
    let normalize = normalize || lookup::normalizes(&config);
    let wanted = Wanted {
        version: request.version.filter(|version| *version > 0),
        latest: request.version == Some(-1),
        id: request.id.filter(|id| *id >= 0),
    };
    let schema = request.to_schema()?;
    if let Some(existing) = existing(registry, &subject, &config, &schema, &wanted, normalize)? {
        return Ok(answer(existing));
    }
    check_mode(registry, &subject, wanted.id)?;
    let candidate = prepare(registry, &subject, &config, schema, &wanted, normalize)?;
    if wanted.version.is_none()
        && !wanted.latest
        && let Some(same) = lookup::same_version(registry, &subject, &candidate, Listing::Live)
        && wanted.id.is_none_or(|id| id == same.id)
    {
        return Ok(answer(same));
    }
    if !importing(registry, &subject) && !force {
        let previous: Vec<&Version> = registry.versions(&subject, Listing::Live).collect();
        let messages = lookup::incompatibilities(registry, &config, &candidate, &previous);
        if !messages.is_empty() {
            return Err(RegistryError::Incompatible { subject, messages });
        }
    }
    place(registry, subject, candidate.schema, &wanted)
}

fn importing(registry: &Registry, subject: &Subject) -> bool {
    registry.mode_in_scope(subject) == Mode::Import
}

/// The version that already is what the request asks for, which even a read-only registry answers.
fn existing<'a>(
    registry: &'a Registry,
    subject: &Subject,
    config: &Config,
    schema: &Schema,
    wanted: &Wanted,
    normalize: bool,
) -> Result<Option<&'a Version>, RegistryError> {
    if config.adds_to_schemas() {
        return Ok(None);
    }
    let scrutiny = Scrutiny {
        as_new: false,
        normalize,
    };
    let Some(found) = lookup::find(registry, subject, schema, scrutiny, false)? else {
        return Ok(None);
    };
    if wanted.latest && registry.latest(subject) != Some(found) {
        return Ok(None);
    }
    if wanted.id.is_some_and(|id| id != found.id) {
        return Ok(None);
    }
    let Some(version) = wanted.version else {
        return Ok(Some(found));
    };
    // An import may have given one schema several versions.
    let mut versions = registry.versions(subject, Listing::Live);
    Ok(versions.find(|candidate| candidate.version == version && candidate.schema == found.schema))
}

fn check_mode(
    registry: &Registry,
    subject: &Subject,
    id: Option<i32>,
) -> Result<(), RegistryError> {
    check_writable(registry, subject)?;
    let importing = importing(registry, subject);
    match id {
        Some(_) if !importing => Err(RegistryError::NotInImportMode {
            subject: subject.clone(),
        }),
        None if importing => Err(RegistryError::NotInReadWriteMode {
            subject: subject.clone(),
        }),
        _ => Ok(()),
    }
}

/// Completes the schema from the settings and the latest version, and brings it to its stored form.
fn prepare(
    registry: &Registry,
    subject: &Subject,
    config: &Config,
    mut schema: Schema,
    wanted: &Wanted,
    normalize: bool,
) -> Result<Candidate, RegistryError> {
    let importing = importing(registry, subject);
    if !importing {
        let latest = registry.latest(subject);
        if schema.text.trim().is_empty()
            && let Some(latest) = latest
        {
            schema.schema_type = latest.schema.schema_type;
            schema.text = latest.schema.text.clone();
            schema.references = latest.schema.references.clone();
        }
        schema = lookup::complete(config, &schema, latest).unwrap_or(schema);
        let claims = schema
            .metadata
            .as_ref()
            .is_some_and(|m| m.version().is_some());
        if claims || wanted.latest || wanted.version.is_some() {
            let metadata = schema.metadata.take().unwrap_or_default();
            schema.metadata = Some(metadata.with_version(next_version(registry, subject)));
        }
    }
    let as_new = wanted.id.is_none() && lookup::validates_new(config);
    lookup::candidate(registry, subject, schema, Scrutiny { as_new, normalize })?
        .ok_or_else(|| RegistryError::InvalidSchema("Empty schema".to_owned()))
}

fn next_version(registry: &Registry, subject: &Subject) -> i32 {
    registry
        .subjects
        .get(subject)
        .map_or(1, |versions| versions.highest.saturating_add(1))
}

/// Gives the schema its version and id, and writes it.
fn place(
    registry: &Registry,
    subject: Subject,
    schema: Schema,
    wanted: &Wanted,
) -> Result<Decision, RegistryError> {
    let next = next_version(registry, &subject);
    let version = wanted.version.unwrap_or(next);
    if version != next && !importing(registry, &subject) {
        let reason = format!("Version is not one more than previous version; expected {next}");
        return Err(RegistryError::InvalidSchema(reason));
    }
    let versions = registry.subjects.get(&subject);
    if versions.is_some_and(|versions| versions.all.contains_key(&version)) {
        return Err(RegistryError::VersionTaken { subject, version });
    }
    let id = place_id(registry, &subject, &schema, wanted.id)?;

    let mut entries = Vec::new();
    let context = registry.contexts.get(subject.context());
    if subject.context() != DEFAULT_CONTEXT && !context.is_some_and(|context| context.exists) {
        entries.push(Entry::Context {
            context: subject.context().to_owned(),
            exists: true,
        });
    }
    entries.extend(superseded(registry, &subject, version, id));
    let value = Some(Box::new(SchemaEntry {
        id,
        schema: schema.clone(),
        deleted: false,
    }));
    entries.push(Entry::Schema {
        subject: subject.clone(),
        version,
        value,
    });
    let (guid, schema) = (schema.guid(), Arc::new(schema));
    let registered = Registered {
        subject,
        version,
        id,
        guid,
        schema,
        timestamp_ms: None,
        deleted: false,
    };
    Ok(Decision::new(entries, Answer::Registered(registered)))
}

fn place_id(
    registry: &Registry,
    subject: &Subject,
    schema: &Schema,
    wanted: Option<i32>,
) -> Result<i32, RegistryError> {
    let context = registry.contexts.get(subject.context());
    let content = Content::of(schema);
    match wanted {
        Some(id) => {
            let taken = context.and_then(|context| context.ids.get(&id));
            if taken.is_some_and(|taken| taken.content != content) {
                let context = subject.context().to_owned();
                return Err(RegistryError::IdTaken { id, context });
            }
            Ok(id)
        }
        None => {
            let known = context.and_then(|context| context.id_of.get(&content).copied());
            let highest = context.map_or(0, |context| context.highest);
            let next = || highest.checked_add(1);
            known.or_else(next).ok_or_else(|| {
                RegistryError::Store(format!("all ids of {} are used up", subject.context()))
            })
        }
    }
}

/// Soft-deleted versions of the same id, which the new one replaces unless they are referenced.
fn superseded(registry: &Registry, subject: &Subject, version: i32, id: i32) -> Vec<Entry> {
    registry
        .versions(subject, Listing::DeletedOnly)
        .filter(|old| old.id == id && old.version < version)
        .filter(|old| {
            registry
                .referrers_of(subject, old.version, true)
                .next()
                .is_none()
        })
        .flat_map(super::delete::forget)
        .collect()
}

fn answer(version: &Version) -> Decision {
    Decision::new(Vec::new(), Answer::Registered(registered(version)))
}
