//! The fold of `_schemas`: subjects and their versions, contexts and their ids, settings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::record::{Content, Entry, SchemaEntry};
use super::{Config, Mode, RecordError, Schema, Subject};

/// The registry's state. `apply` is its only writer.
// Invariants: every version's id is in its context's `ids` and names it as a holder; an id's content
// never changes; `referrers` mirrors the references of all versions, soft-deleted ones too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    pub(super) subjects: BTreeMap<Subject, Versions>,
    pub(super) contexts: BTreeMap<String, Context>,
    /// Settings by subject or context; the empty subject's are the global ones.
    pub(super) configs: BTreeMap<Subject, Config>,
    pub(super) modes: BTreeMap<Subject, Mode>,
    /// Who references a version.
    pub(super) referrers: BTreeMap<VersionKey, BTreeSet<VersionKey>>,
    /// Versions that were deleted permanently, with the id that each had.
    pub(super) retired: BTreeMap<VersionKey, (i32, Content)>,
}

pub(super) type VersionKey = (Subject, i32);

/// One version of a subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub subject: Subject,
    pub version: i32,
    pub id: i32,
    pub schema: Arc<Schema>,
    pub deleted: bool,
    /// Where the record that wrote this version lies in `_schemas`.
    pub offset: i64,
    /// That record's time.
    pub timestamp_ms: i64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Versions {
    pub all: BTreeMap<i32, Version>,
    /// Highest version ever given.
    pub highest: i32,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Context {
    pub ids: BTreeMap<i32, Id>,
    pub id_of: BTreeMap<Content, i32>,
    /// Highest id ever given.
    pub highest: i32,
    /// Whether it is listed. Numbers outlive the context that gave them.
    pub exists: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Id {
    pub content: Content,
    /// What the id stands for, while a version holds it.
    pub schema: Option<Arc<Schema>>,
    pub holders: BTreeSet<VersionKey>,
}

impl Context {
    /// Of several ids that imports gave one schema, the lowest is the one that others get, so that
    /// the order of records does not matter.
    fn name(&mut self, content: Content, id: i32) {
        let named = self.id_of.entry(content).or_insert(id);
        *named = id.min(*named);
    }
}

impl Registry {
    /// The state before any record.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Folds one committed record of `_schemas`. An unreadable record changes nothing; the error is
    /// for the log, and the same on every replica.
    pub fn apply(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        offset: i64,
        timestamp_ms: i64,
    ) -> Result<(), RecordError> {
        let entry = Entry::decode(key, value)?;
        self.check_id(&entry)?;
        self.fold(entry, offset, timestamp_ms);
        Ok(())
    }

    /// What an id means never changes: records that were read by it would be read by another schema.
    fn check_id(&self, entry: &Entry) -> Result<(), RecordError> {
        let (subject, id, content) = match entry {
            Entry::Schema {
                subject,
                value: Some(value),
                ..
            } => (subject, value.id, Content::of(&value.schema)),
            Entry::Retired {
                subject,
                id,
                content,
                ..
            } => (subject, *id, *content),
            _ => return Ok(()),
        };
        let context = self.contexts.get(subject.context());
        match context.and_then(|context| context.ids.get(&id)) {
            Some(known) if known.content != content => Err(RecordError::IdTaken {
                subject: subject.clone(),
                id,
            }),
            _ => Ok(()),
        }
    }

    fn fold(&mut self, entry: Entry, offset: i64, timestamp_ms: i64) {
        match entry {
            Entry::Schema {
                subject,
                version,
                value: Some(value),
            } => {
                self.put_version(subject, version, *value, offset, timestamp_ms);
            }
            Entry::Schema {
                subject,
                version,
                value: None,
            } => {
                self.drop_version(&subject, version, None);
            }
            Entry::Config { subject, config } => {
                let subject = subject.unwrap_or_else(global);
                match config {
                    Some(config) => self.configs.insert(subject, *config),
                    None => self.configs.remove(&subject),
                };
            }
            Entry::Mode { subject, mode } => {
                let subject = subject.unwrap_or_else(global);
                match mode {
                    Some(mode) => self.modes.insert(subject, mode),
                    None => self.modes.remove(&subject),
                };
            }
            Entry::DeleteSubject { subject, version } => {
                if let Some(versions) = self.subjects.get_mut(&subject) {
                    versions
                        .all
                        .range_mut(..=version)
                        .for_each(|(_, v)| v.deleted = true);
                    versions.highest = versions.highest.max(version);
                }
            }
            Entry::ClearSubject { subject } => self.clear(&subject.unwrap_or_else(global)),
            Entry::Context {
                context,
                exists: true,
            } => {
                self.contexts.entry(context).or_default().exists = true;
            }
            Entry::Context {
                context,
                exists: false,
            } => self.drop_context(&context),
            Entry::Retired {
                subject,
                version,
                id,
                content,
            } => {
                self.retire(subject, version, id, content);
            }
            Entry::Nothing => {}
        }
    }

    fn put_version(
        &mut self,
        subject: Subject,
        version: i32,
        entry: SchemaEntry,
        offset: i64,
        timestamp_ms: i64,
    ) {
        self.drop_version(&subject, version, Some(entry.id));
        let key = (subject.clone(), version);
        for reference in &entry.schema.references {
            let target = (subject.qualify(&reference.subject), reference.version);
            self.referrers
                .entry(target)
                .or_default()
                .insert(key.clone());
        }
        let content = Content::of(&entry.schema);
        let context = self
            .contexts
            .entry(subject.context().to_owned())
            .or_default();
        context.exists = true;
        context.highest = context.highest.max(entry.id);
        context.name(content, entry.id);
        let id = context.ids.entry(entry.id).or_insert_with(|| Id {
            content,
            schema: None,
            holders: BTreeSet::new(),
        });
        let schema = id.schema.get_or_insert_with(|| Arc::new(entry.schema));
        let schema = schema.clone();
        id.holders.insert(key);
        let versions = self.subjects.entry(subject.clone()).or_default();
        versions.highest = versions.highest.max(version);
        let (id, deleted) = (entry.id, entry.deleted);
        let entry = Version {
            subject,
            version,
            id,
            schema,
            deleted,
            offset,
            timestamp_ms,
        };
        versions.all.insert(version, entry);
    }

    /// Removes a version; unless another with the same id takes its place, it counts as retired.
    fn drop_version(&mut self, subject: &Subject, version: i32, replacing_id: Option<i32>) {
        let Some(versions) = self.subjects.get_mut(subject) else {
            return;
        };
        let Some(old) = versions.all.remove(&version) else {
            return;
        };
        let key = (subject.clone(), version);
        for reference in &old.schema.references {
            let target = (subject.qualify(&reference.subject), reference.version);
            if let Some(referrers) = self.referrers.get_mut(&target) {
                referrers.remove(&key);
                if referrers.is_empty() {
                    self.referrers.remove(&target);
                }
            }
        }
        let context = self.contexts.get_mut(subject.context());
        if let Some(id) = context.and_then(|context| context.ids.get_mut(&old.id)) {
            id.holders.remove(&key);
            if id.holders.is_empty() {
                id.schema = None;
            }
        }
        if replacing_id != Some(old.id) {
            self.retired.insert(key, (old.id, Content::of(&old.schema)));
        }
    }

    fn retire(&mut self, subject: Subject, version: i32, id: i32, content: Content) {
        let context = self
            .contexts
            .entry(subject.context().to_owned())
            .or_default();
        context.highest = context.highest.max(id);
        context.name(content, id);
        context.ids.entry(id).or_insert_with(|| Id {
            content,
            schema: None,
            holders: BTreeSet::new(),
        });
        let versions = self.subjects.entry(subject.clone()).or_default();
        versions.highest = versions.highest.max(version);
        self.retired.insert((subject, version), (id, content));
    }

    fn clear(&mut self, scope: &Subject) {
        let deleted: Vec<VersionKey> = self
            .subjects
            .iter()
            .filter(|(subject, _)| scope.is_default_context() || scope.covers(subject))
            .flat_map(|(_, versions)| versions.all.values())
            .filter(|version| version.deleted)
            .map(|version| (version.subject.clone(), version.version))
            .collect();
        for (subject, version) in deleted {
            self.drop_version(&subject, version, None);
        }
    }

    /// Takes a context off the list. Its numbers stay, so that no id is given twice.
    fn drop_context(&mut self, name: &str) {
        let Some(context) = self.contexts.get_mut(name) else {
            return;
        };
        context.exists = false;
        if context.ids.is_empty() {
            self.contexts.remove(name);
        }
    }

    /// Panics if an invariant of the state does not hold. For tests.
    pub fn validate(&self) {
        for (subject, versions) in &self.subjects {
            for (number, version) in &versions.all {
                assert!(
                    *number <= versions.highest,
                    "{subject} v{number} above its highest"
                );
                let id = &self.contexts[subject.context()].ids[&version.id];
                assert!(
                    id.holders.contains(&(subject.clone(), *number)),
                    "{subject} holds its id"
                );
                assert_eq!(id.content, Content::of(&version.schema));
            }
        }
        for context in self.contexts.values() {
            assert!(context.ids.keys().all(|id| *id <= context.highest));
            assert!(
                context
                    .ids
                    .values()
                    .all(|id| id.schema.is_some() != id.holders.is_empty())
            );
        }
    }
}

/// The subject under which global settings are kept.
pub(super) fn global() -> Subject {
    Subject::parse("")
}
