//! Subjects and their versions: listing, reading, looking up, registering, deleting.

use weir_schema::registry::{
    Answer, Command, Listing, RegisterRequest, Registry, RegistryError, Subject, Version,
    VersionSpec,
};

use super::call::{self, Call};
use super::error::Refusal;
use super::reply::Reply;
use super::routes::{Change, Plan};
use super::shapes::SubjectSchema;

type Planned = Result<Plan, Refusal>;

pub fn list(call: Call) -> Planned {
    Ok(Plan::read(move |registry| {
        let prefix = call.prefix(":*:");
        let subjects = registry.subjects(&prefix, listing(&call));
        let names = subjects.map(Subject::as_str);
        Ok(Reply::json(&call.query.page(names)))
    }))
}

pub fn versions(call: Call, subject: &str) -> Planned {
    let subject = call.subject(subject);
    Ok(Plan::read(move |registry| {
        let subject = registry.resolve_alias(&subject);
        let (query, listing) = (&call.query, listing(&call));
        if !registry.has_subject(&subject, listing != Listing::Live) {
            return Err(RegistryError::SubjectNotFound(subject).into());
        }
        let numbers: Vec<i32> = if query.flag("deletedAsNegative") {
            let all = registry.versions(&subject, Listing::WithDeleted);
            let sign = |version: &Version| if version.deleted { -1 } else { 1 };
            query.page(all.map(|version| sign(version) * version.version))
        } else {
            query.page(
                registry
                    .versions(&subject, listing)
                    .map(|version| version.version),
            )
        };
        Ok(Reply::json(&numbers))
    }))
}

pub fn version(call: Call, subject: &str, version: &str) -> Planned {
    let (subject, version) = (call.subject(subject), call::version(version)?);
    Ok(Plan::read(move |registry| {
        let found = find(registry, &call, &subject, version)?;
        Ok(Reply::json(&shape(registry, &call, found)?))
    }))
}

pub fn text(call: Call, subject: &str, version: &str) -> Planned {
    let (subject, version) = (call.subject(subject), call::version(version)?);
    Ok(Plan::read(move |registry| {
        let found = find(registry, &call, &subject, version)?;
        Ok(Reply::raw(shape(registry, &call, found)?.schema))
    }))
}

pub fn referenced_by(call: Call, subject: &str, version: &str) -> Planned {
    let (subject, version) = (call.subject(subject), call::version(version)?);
    Ok(Plan::read(move |registry| {
        let subject = registry.resolve_alias(&subject);
        let found = registry.version(&subject, version, true)?;
        let with_deleted = call.query.flag("deleted");
        let ids = registry.referenced_by(&found.subject, found.version, with_deleted);
        Ok(Reply::json(&call.query.page(ids)))
    }))
}

pub fn latest_with_metadata(call: Call, subject: &str) -> Planned {
    let subject = call.subject(subject);
    Ok(Plan::read(move |registry| {
        let subject = registry.resolve_alias(&subject);
        let (query, with_deleted) = (&call.query, call.query.flag("deleted"));
        let keys = query.all("key").map(str::to_owned);
        let wanted: Vec<_> = keys.zip(query.all("value").map(str::to_owned)).collect();
        match registry.latest_with_metadata(&subject, &wanted, with_deleted) {
            Some(found) => Ok(Reply::json(&shape(registry, &call, found)?)),
            None if registry.has_subject(&subject, with_deleted) => {
                Err(RegistryError::SchemaNotFound.into())
            }
            None => Err(RegistryError::SubjectNotFound(subject).into()),
        }
    }))
}

pub fn lookup(call: Call, subject: &str) -> Planned {
    let subject = call.subject(subject);
    let request: RegisterRequest = call.json()?;
    Ok(Plan::read(move |registry| {
        let subject = registry.resolve_alias(&subject);
        let (normalize, deleted) = (call.query.flag("normalize"), call.query.flag("deleted"));
        let look = |subject: &Subject| registry.lookup(subject, &request, normalize, deleted);
        let found = look(&subject).or_else(|error| {
            let elsewhere = registry.in_other_contexts(&subject);
            elsewhere
                .iter()
                .find_map(|subject| look(subject).ok())
                .ok_or(error)
        })?;
        let mut shape = SubjectSchema::of_lookup(&found);
        if let Some(format) = call.query.text("format") {
            shape.schema = registry.formatted(&found.subject, &found.schema, format)?;
        }
        Ok(Reply::json(&shape))
    }))
}

pub fn register(call: Call, subject: &str) -> Planned {
    let subject = call.subject(subject);
    let request: Box<RegisterRequest> = call.json()?;
    let (normalize, force) = (call.query.flag("normalize"), call.query.flag("force"));
    let command = move |registry: &Registry| {
        Ok(Command::Register {
            subject: registry.resolve_alias(&subject),
            request,
            normalize,
            force,
        })
    };
    Ok(Plan::Change(Change {
        command: Box::new(command),
        render: Box::new(|answer| match answer {
            Answer::Registered(registered) => {
                Reply::json(&SubjectSchema::of_registration(&registered))
            }
            other => unexpected(&other),
        }),
    }))
}

pub fn delete(call: Call, subject: &str) -> Planned {
    let subject = call.subject(subject);
    let permanent = call.query.flag("permanent");
    let command = move |registry: &Registry| {
        let subject = registry.resolve_alias(&subject);
        Ok(Command::DeleteSubject { subject, permanent })
    };
    Ok(Plan::Change(Change {
        command: Box::new(command),
        render: Box::new(|answer| match answer {
            Answer::Versions(versions) => Reply::json(&versions),
            other => unexpected(&other),
        }),
    }))
}

pub fn delete_version(call: Call, subject: &str, version: &str) -> Planned {
    let (subject, version) = (call.subject(subject), call::version(version)?);
    let permanent = call.query.flag("permanent");
    let command = move |registry: &Registry| {
        Ok(Command::DeleteVersion {
            subject: registry.resolve_alias(&subject),
            version,
            permanent,
        })
    };
    Ok(Plan::Change(Change {
        command: Box::new(command),
        render: Box::new(|answer| match answer {
            Answer::Version(version) => Reply::json(&version),
            other => unexpected(&other),
        }),
    }))
}

/// An answer that its command never gives.
pub(super) fn unexpected(answer: &Answer) -> Reply {
    unreachable!("no command of this kind answers {answer:?}")
}

/// The subject's version; a plain name that is not found is looked for in the other contexts.
fn find<'a>(
    registry: &'a Registry,
    call: &Call,
    subject: &Subject,
    version: VersionSpec,
) -> Result<&'a Version, Refusal> {
    let subject = registry.resolve_alias(subject);
    let with_deleted = call.query.flag("deleted");
    let found = registry.version(&subject, version, with_deleted);
    Ok(found.or_else(|error| {
        let elsewhere = registry.in_other_contexts(&subject);
        let mut found = elsewhere
            .iter()
            .filter_map(|subject| registry.version(subject, version, with_deleted).ok());
        found.next().ok_or(error)
    })?)
}

fn shape(registry: &Registry, call: &Call, version: &Version) -> Result<SubjectSchema, Refusal> {
    let mut shape = SubjectSchema::of_version(version);
    if let Some(format) = call.query.text("format") {
        shape.schema = registry.formatted(&version.subject, &version.schema, format)?;
    }
    if call.query.text("referenceFormat") == Some("qualified") {
        shape.qualify_references(&version.subject);
    }
    Ok(shape)
}

fn listing(call: &Call) -> Listing {
    match (call.query.flag("deletedOnly"), call.query.flag("deleted")) {
        (true, _) => Listing::DeletedOnly,
        (false, true) => Listing::WithDeleted,
        (false, false) => Listing::Live,
    }
}
