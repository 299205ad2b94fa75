//! Finding a schema under a subject, and testing one against the subject's versions.

use std::sync::Arc;

use super::{RegisterRequest, Registered};
use crate::SchemaType;
use crate::compat::{self, Parsed};
use crate::registry::limits::SCHEMA_BYTES_MAX;
use crate::registry::record::Content;
use crate::registry::{
    Config, Listing, Metadata, Mode, Registry, RegistryError, RuleSet, Schema, Subject, Version,
    VersionSpec,
};

/// A schema in the form in which it would be stored, and its parsed meaning.
pub(super) struct Candidate {
    pub schema: Schema,
    pub parsed: Parsed,
}

/// What parsing asks of a schema beyond being one.
#[derive(Clone, Copy, Default)]
pub(super) struct Scrutiny {
    /// Check what Avro readers trip over later, such as defaults that do not fit.
    pub as_new: bool,
    pub normalize: bool,
}

impl Registry {
    /// The subject's version of exactly this schema.
    ///
    /// # Errors
    /// `SubjectNotFound`, `SchemaNotFound`, or why the schema is none.
    pub fn lookup(
        &self,
        subject: &Subject,
        request: &RegisterRequest,
        normalize: bool,
        with_deleted: bool,
    ) -> Result<Registered, RegistryError> {
        let config = self.config_in_scope(subject);
        let scrutiny = Scrutiny {
            as_new: false,
            normalize: normalize || normalizes(&config),
        };
        let schema = request.to_schema()?;
        let found = match find(self, subject, &schema, scrutiny, with_deleted)? {
            Some(found) => Some(found),
            None => match complete(&config, &schema, self.latest(subject)) {
                Some(completed) => find(self, subject, &completed, scrutiny, with_deleted)?,
                None => None,
            },
        };
        found
            .map(registered)
            .ok_or_else(|| match self.has_subject(subject, with_deleted) {
                true => RegistryError::SchemaNotFound,
                false => RegistryError::SubjectNotFound(subject.clone()),
            })
    }

    /// Why the schema cannot follow the subject's versions: all of them as the level has it, or one.
    /// Empty when it can.
    ///
    /// # Errors
    /// `VersionNotFound`, or why the schema is none.
    pub fn test_compatibility(
        &self,
        subject: &Subject,
        request: &RegisterRequest,
        version: Option<VersionSpec>,
        normalize: bool,
    ) -> Result<Vec<String>, RegistryError> {
        let config = self.config_in_scope(subject);
        let previous: Vec<&Version> = match version {
            None => self.versions(subject, Listing::Live).collect(),
            Some(VersionSpec::Latest) => self.latest(subject).into_iter().collect(),
            Some(VersionSpec::Number(number)) => {
                let spec = VersionSpec::Number(number);
                let found = self.find_version(subject, spec, false);
                vec![found.ok_or(RegistryError::VersionNotFound(number))?]
            }
        };
        let scrutiny = Scrutiny {
            as_new: validates_new(&config),
            normalize: normalize || normalizes(&config),
        };
        let candidate = candidate(self, subject, request.to_schema()?, scrutiny)?
            .ok_or_else(|| RegistryError::InvalidSchema("Empty schema".to_owned()))?;
        Ok(incompatibilities(self, &config, &candidate, &previous))
    }

    /// A stored schema's text in another form, as `format` in a query asks for it: `resolved` for
    /// Avro, `serialized` and `ignore_extensions` for Protobuf. Others give the text as it is.
    ///
    /// # Errors
    /// `InvalidSchema` when the stored text does not parse.
    pub fn formatted(
        &self,
        subject: &Subject,
        schema: &Schema,
        format: &str,
    ) -> Result<String, RegistryError> {
        if format.trim().is_empty() {
            return Ok(schema.text.clone());
        }
        let parsed = parse(self, subject, schema, false)?;
        Ok(parsed
            .formatted(format)
            .unwrap_or_else(|| schema.text.clone()))
    }
}

impl RegisterRequest {
    pub(super) fn to_schema(&self) -> Result<Schema, RegistryError> {
        let schema_type = match self.schema_type.as_deref() {
            None | Some("") => SchemaType::Avro,
            Some(name) => name
                .parse()
                .map_err(|_| RegistryError::InvalidSchema(format!("Invalid schema type {name}")))?,
        };
        let schema = Schema {
            schema_type,
            text: self.schema.clone(),
            references: self.references.clone(),
            metadata: self.metadata.clone(),
            rule_set: self.rule_set.clone(),
        };
        let len = schema.len_bytes();
        if len > SCHEMA_BYTES_MAX {
            return Err(RegistryError::SchemaTooLarge(len));
        }
        Ok(schema)
    }
}

pub(super) fn normalizes(config: &Config) -> bool {
    config.normalize == Some(true)
}

pub(super) fn validates_new(config: &Config) -> bool {
    config.validate_new_schemas.unwrap_or(true)
}

/// Parses a schema and brings it to the form in which it is stored; none when it is empty.
pub(super) fn candidate(
    registry: &Registry,
    subject: &Subject,
    mut schema: Schema,
    scrutiny: Scrutiny,
) -> Result<Option<Candidate>, RegistryError> {
    if schema.text.trim().is_empty() {
        return Ok(None);
    }
    schema.references = registry.pin_references(subject, &schema.references);
    let importing = registry.mode_in_scope(subject) == Mode::Import;
    let mut parsed = parse(registry, subject, &schema, scrutiny.as_new && !importing)?;
    if scrutiny.normalize && !importing {
        schema
            .references
            .sort_by(|a, b| (&a.subject, a.version).cmp(&(&b.subject, b.version)));
        schema.references.dedup();
        schema.text = parsed.normalized();
        parsed = parse(registry, subject, &schema, false)?;
    }
    schema.text = parsed.canonical();
    // Of a Protobuf file that holds comments alone nothing is left.
    if schema.text.is_empty() {
        return Ok(None);
    }
    Ok(Some(Candidate { schema, parsed }))
}

fn parse(
    registry: &Registry,
    subject: &Subject,
    schema: &Schema,
    as_new: bool,
) -> Result<Parsed, RegistryError> {
    let references = registry.resolve(subject, &schema.references)?;
    Parsed::parse(schema.schema_type, &schema.text, &references, as_new).map_err(|reason| {
        let schema_type = schema.schema_type;
        RegistryError::InvalidSchema(format!(
            "Invalid schema of type {schema_type}, details: {reason}"
        ))
    })
}

/// The subject's version that this schema is, newest first.
pub(super) fn find<'a>(
    registry: &'a Registry,
    subject: &Subject,
    schema: &Schema,
    scrutiny: Scrutiny,
    with_deleted: bool,
) -> Result<Option<&'a Version>, RegistryError> {
    let Some(candidate) = candidate(registry, subject, schema.clone(), scrutiny)? else {
        return Ok(None);
    };
    let listing = if with_deleted {
        Listing::WithDeleted
    } else {
        Listing::Live
    };
    Ok(same_version(registry, subject, &candidate, listing))
}

/// The newest version whose content is the candidate's, or else that differs from it only in what
/// does not tell schemas apart.
pub(super) fn same_version<'a>(
    registry: &'a Registry,
    subject: &Subject,
    candidate: &Candidate,
    listing: Listing,
) -> Option<&'a Version> {
    let content = Content::of(&candidate.schema);
    let newest_first = || registry.versions(subject, listing).rev();
    newest_first()
        .find(|version| Content::of(&version.schema) == content)
        .or_else(|| newest_first().find(|version| is_equivalent(registry, candidate, version)))
}

/// Whether only the version that the metadata claims differs, or (Avro) only that the references'
/// definitions were sent in place.
fn is_equivalent(registry: &Registry, candidate: &Candidate, version: &Version) -> bool {
    let (new, old) = (&candidate.schema, &*version.schema);
    let plain = |schema: &Schema| {
        schema
            .metadata
            .as_ref()
            .map(Metadata::without_version)
            .filter(|m| *m != Metadata::default())
    };
    if new.schema_type != old.schema_type
        || new.rule_set != old.rule_set
        || plain(new) != plain(old)
    {
        return false;
    }
    if new.references == old.references {
        return new.text == old.text;
    }
    if !new.references.is_empty() || old.references.is_empty() {
        return false;
    }
    parse(registry, &version.subject, old, false)
        .is_ok_and(|old| old.formatted("resolved").as_ref() == Some(&new.text))
}

/// The schema with metadata and rules as registration would complete them; none when they stay.
pub(super) fn complete(
    config: &Config,
    schema: &Schema,
    previous: Option<&Version>,
) -> Option<Schema> {
    let previous = previous.map(|version| &version.schema);
    let metadata = schema
        .metadata
        .clone()
        .or_else(|| previous.and_then(|p| p.metadata.clone()));
    let metadata = Metadata::merge(
        Metadata::merge(config.default_metadata.clone(), metadata),
        config.override_metadata.clone(),
    );
    let rules = schema
        .rule_set
        .clone()
        .or_else(|| previous.and_then(|p| p.rule_set.clone()));
    let rule_set = RuleSet::merge(
        RuleSet::merge(config.default_rule_set.clone(), rules),
        config.override_rule_set.clone(),
    );
    (metadata != schema.metadata || rule_set != schema.rule_set).then(|| Schema {
        metadata,
        rule_set,
        ..schema.clone()
    })
}

/// What stands between the candidate and the earlier versions (ascending), in words.
pub(super) fn incompatibilities(
    registry: &Registry,
    config: &Config,
    candidate: &Candidate,
    previous: &[&Version],
) -> Vec<String> {
    let level = config.level();
    let checks_fields = config.validate_fields == Some(true);
    let mut messages = Vec::new();
    if checks_fields {
        messages.extend(reserved_field_faults(candidate, previous.last().copied()));
    }
    let group = |schema: &Schema| {
        let property = config.compatibility_group.as_ref()?;
        schema.metadata.as_ref()?.properties.get(property).cloned()
    };
    let wanted = group(&candidate.schema);
    let comparable = previous
        .iter()
        .rev()
        .filter(|version| group(&version.schema) == wanted);
    let count = if level.is_transitive() { usize::MAX } else { 1 };
    for version in comparable.take(count) {
        let faults = compare(registry, config, candidate, version);
        if !faults.is_empty() {
            messages.extend(faults);
            messages.push(format!("{{oldSchemaVersion: {}}}", version.version));
            messages.push(format!("{{oldSchema: '{}'}}", version.schema.text));
            break;
        }
    }
    if !messages.is_empty() {
        messages.push(format!(
            "{{validateFields: '{checks_fields}', compatibility: '{level}'}}"
        ));
    }
    messages
}

fn compare(
    registry: &Registry,
    config: &Config,
    candidate: &Candidate,
    version: &Version,
) -> Vec<String> {
    let level = config.level();
    if !level.is_backward() && !level.is_forward() {
        return Vec::new();
    }
    let old = match parse(registry, &version.subject, &version.schema, false) {
        Ok(old) => old,
        Err(error) => return vec![format!("the earlier schema does not parse: {error}")],
    };
    let lenient =
        config.compatibility_policy == Some(crate::registry::CompatibilityPolicy::Lenient);
    let mut messages = Vec::new();
    if level.is_backward() {
        let differences = compat::differences(&candidate.parsed, &old, lenient);
        messages.extend(
            differences
                .iter()
                .map(|difference| difference.message("new", "old")),
        );
    }
    if level.is_forward() {
        let differences = compat::differences(&old, &candidate.parsed, lenient);
        messages.extend(
            differences
                .iter()
                .map(|difference| difference.message("old", "new")),
        );
    }
    messages
}

fn reserved_field_faults(candidate: &Candidate, previous: Option<&Version>) -> Vec<String> {
    let reserved = |schema: &Schema| -> Vec<String> {
        let metadata = schema.metadata.as_ref();
        metadata.map_or_else(Vec::new, |metadata| {
            metadata
                .reserved_fields()
                .into_iter()
                .map(str::to_owned)
                .collect()
        })
    };
    let now = reserved(&candidate.schema);
    let before = previous.map_or_else(Vec::new, |version| reserved(&version.schema));
    let removed = before.iter().filter(|field| !now.contains(field)).map(|field| {
        format!(
            "{{errorType:'RESERVED_FIELD_REMOVED', description:'The new schema has reserved field \
             {field} removed from its metadata which is present in the old schema\\'s metadata.'}}"
        )
    });
    let clashing = now
        .iter()
        .filter(|field| candidate.parsed.has_top_level_field(field));
    let clashing = clashing.map(|field| {
        format!(
            "{{errorType:'FIELD_CONFLICTS_WITH_RESERVED_FIELD', description:'The new schema has \
             field that conflicts with the reserved field {field}.'}}"
        )
    });
    removed.chain(clashing).collect()
}

pub(super) fn registered(version: &Version) -> Registered {
    Registered {
        subject: version.subject.clone(),
        version: version.version,
        id: version.id,
        guid: version.schema.guid(),
        schema: Arc::clone(&version.schema),
        timestamp_ms: Some(version.timestamp_ms),
        deleted: version.deleted,
    }
}
