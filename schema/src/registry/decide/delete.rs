//! Deletion: soft first, which hides versions, then permanent, which removes them. A version that
//! another schema references stays.

use super::{Answer, Decision, check_writable};
use crate::registry::record::{Content, Entry, SchemaEntry};
use crate::registry::{
    DEFAULT_CONTEXT, Listing, Registry, RegistryError, Subject, Version, VersionSpec,
};

pub fn version(
    registry: &Registry,
    subject: Subject,
    spec: VersionSpec,
    permanent: bool,
) -> Result<Decision, RegistryError> {
    let version = registry
        .version(&subject, spec, true)
        .map_err(|error| match error {
            // The subject is there with soft-deleted versions only, so it has no latest one.
            RegistryError::SubjectNotFound(subject) if registry.has_subject(&subject, true) => {
                RegistryError::VersionNotFound(-1)
            }
            error => error,
        })?;
    let number = version.version;
    if version.deleted && !permanent {
        return Err(RegistryError::VersionSoftDeleted {
            subject,
            version: number,
        });
    }
    check_writable(registry, &subject)?;
    if registry
        .referrers_of(&subject, number, permanent)
        .next()
        .is_some()
    {
        return Err(RegistryError::ReferenceExists {
            subject,
            version: number,
        });
    }
    if permanent && !version.deleted {
        return Err(RegistryError::VersionNotSoftDeleted {
            subject,
            version: number,
        });
    }
    if !permanent {
        return Ok(Decision::new(vec![hide(version)], Answer::Version(number)));
    }
    let mut entries: Vec<Entry> = forget(version).into();
    if registry.versions(&subject, Listing::WithDeleted).count() == 1 {
        entries.extend(forget_settings(registry, &subject));
    }
    Ok(Decision::new(entries, Answer::Version(number)))
}

pub fn subject(
    registry: &Registry,
    subject: Subject,
    permanent: bool,
) -> Result<Decision, RegistryError> {
    if !registry.has_subject(&subject, true) {
        return Err(RegistryError::SubjectNotFound(subject));
    }
    if !permanent && !registry.has_subject(&subject, false) {
        return Err(RegistryError::SubjectSoftDeleted(subject));
    }
    check_writable(registry, &subject)?;
    let listing = if permanent {
        Listing::WithDeleted
    } else {
        Listing::Live
    };
    let versions: Vec<&Version> = registry.versions(&subject, listing).collect();
    for version in &versions {
        let is_referenced = registry
            .referrers_of(&subject, version.version, permanent)
            .any(|referrer| referrer.subject != subject);
        if is_referenced {
            let (subject, version) = (subject.clone(), version.version);
            return Err(RegistryError::ReferenceExists { subject, version });
        }
        if permanent && !version.deleted {
            return Err(RegistryError::SubjectNotSoftDeleted(subject.clone()));
        }
    }
    let numbers: Vec<i32> = versions.iter().map(|version| version.version).collect();
    let entries = if permanent {
        // Newest first, since versions may reference earlier ones of their own subject.
        let mut entries: Vec<Entry> = versions
            .iter()
            .rev()
            .flat_map(|version| forget(version))
            .collect();
        entries.extend(forget_settings(registry, &subject));
        entries
    } else {
        let version = numbers.last().copied().unwrap_or(0);
        vec![Entry::DeleteSubject { subject, version }]
    };
    Ok(Decision::new(entries, Answer::Versions(numbers)))
}

pub fn context(registry: &Registry, context: &str) -> Result<Decision, RegistryError> {
    let scope = Subject::of_context(context);
    let occupied = context == DEFAULT_CONTEXT || registry.has_subject(&scope, true);
    if occupied {
        return Err(RegistryError::ContextNotEmpty(context.to_owned()));
    }
    let entry = Entry::Context {
        context: context.to_owned(),
        exists: false,
    };
    Ok(Decision::new(vec![entry], Answer::Done))
}

/// Removes a version for good; its number and id stay taken.
pub(super) fn forget(version: &Version) -> [Entry; 2] {
    let (subject, number) = (version.subject.clone(), version.version);
    let (id, content) = (version.id, Content::of(&version.schema));
    [
        Entry::Retired {
            subject: subject.clone(),
            version: number,
            id,
            content,
        },
        Entry::Schema {
            subject,
            version: number,
            value: None,
        },
    ]
}

fn hide(version: &Version) -> Entry {
    let value = SchemaEntry {
        id: version.id,
        schema: (*version.schema).clone(),
        deleted: true,
    };
    let (subject, version) = (version.subject.clone(), version.version);
    Entry::Schema {
        subject,
        version,
        value: Some(Box::new(value)),
    }
}

fn forget_settings(registry: &Registry, subject: &Subject) -> Vec<Entry> {
    let mut entries = Vec::new();
    if registry.modes.contains_key(subject) {
        entries.push(Entry::Mode {
            subject: Some(subject.clone()),
            mode: None,
        });
    }
    if registry.configs.contains_key(subject) {
        entries.push(Entry::Config {
            subject: Some(subject.clone()),
            config: None,
        });
    }
    entries
}
