//! Look-ups on the registry's state. They serve what is applied; whoever needs the latest waits for
//! it first.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use super::state::global;
use super::{
    Config, DEFAULT_CONTEXT, GLOBAL_CONTEXT, Guid, Mode, Registry, RegistryError, Schema, Subject,
    Version,
};
use crate::SchemaType;
use crate::registry::record::Content;

/// A version as a path names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionSpec {
    /// The highest version that is not soft-deleted: `latest` or -1.
    Latest,
    Number(i32),
}

/// Which versions a listing holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    #[default]
    Live,
    WithDeleted,
    DeletedOnly,
}

/// A schema found by id or GUID, with a version that holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub id: i32,
    pub context: String,
    pub schema: Arc<Schema>,
    pub holder: Version,
}

/// An id in a context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdHolder {
    pub context: String,
    pub id: i32,
}

impl FromStr for VersionSpec {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<VersionSpec, RegistryError> {
        match text.trim() {
            "latest" | "-1" => Ok(VersionSpec::Latest),
            text => match text.parse::<i32>() {
                Ok(version) if version > 0 => Ok(VersionSpec::Number(version)),
                _ => Err(RegistryError::InvalidVersion(text.to_owned())),
            },
        }
    }
}

impl Listing {
    fn holds(self, deleted: bool) -> bool {
        match self {
            Listing::Live => !deleted,
            Listing::WithDeleted => true,
            Listing::DeletedOnly => deleted,
        }
    }
}

impl Registry {
    /// The subject's version, soft-deleted ones by their number only and only `with_deleted`.
    ///
    /// # Errors
    /// `SubjectNotFound` or `VersionNotFound`.
    pub fn version(
        &self,
        subject: &Subject,
        version: VersionSpec,
        with_deleted: bool,
    ) -> Result<&Version, RegistryError> {
        if let Some(found) = self.find_version(subject, version, with_deleted) {
            return Ok(found);
        }
        if !self.has_subject(subject, with_deleted) {
            return Err(RegistryError::SubjectNotFound(subject.clone()));
        }
        Err(RegistryError::VersionNotFound(match version {
            VersionSpec::Latest => -1,
            VersionSpec::Number(number) => number,
        }))
    }

    pub(super) fn find_version(
        &self,
        subject: &Subject,
        version: VersionSpec,
        with_deleted: bool,
    ) -> Option<&Version> {
        match version {
            VersionSpec::Latest => self.latest(subject),
            VersionSpec::Number(number) => self
                .subjects
                .get(subject)?
                .all
                .get(&number)
                .filter(|version| with_deleted || !version.deleted),
        }
    }

    /// The highest version that is not soft-deleted.
    pub fn latest(&self, subject: &Subject) -> Option<&Version> {
        self.versions(subject, Listing::Live).next_back()
    }

    /// The subject's versions, ascending.
    pub fn versions(
        &self,
        subject: &Subject,
        listing: Listing,
    ) -> impl DoubleEndedIterator<Item = &Version> {
        let versions = self
            .subjects
            .get(subject)
            .into_iter()
            .flat_map(|v| v.all.values());
        versions.filter(move |version| listing.holds(version.deleted))
    }

    /// Whether the subject has a version, or the context a subject that has one.
    pub fn has_subject(&self, subject: &Subject, with_deleted: bool) -> bool {
        let listing = if with_deleted {
            Listing::WithDeleted
        } else {
            Listing::Live
        };
        if !subject.name().is_empty() || subject.is_default_context() {
            return self.versions(subject, listing).next().is_some();
        }
        self.subjects
            .keys()
            .any(|s| subject.covers(s) && self.versions(s, listing).next().is_some())
    }

    /// Subjects whose text begins with `prefix`, in order. `:*:name` looks into every context.
    /// A subject counts as deleted when all its versions are.
    pub fn subjects(&self, prefix: &str, listing: Listing) -> impl Iterator<Item = &Subject> {
        let prefix = Prefix::parse(prefix);
        self.subjects.iter().filter_map(move |(subject, versions)| {
            let mut all = versions.all.values().peekable();
            all.peek()?;
            (prefix.matches(subject) && listing.holds(all.all(|v| v.deleted))).then_some(subject)
        })
    }

    /// Versions of the subjects that begin with `prefix`, by subject and version.
    pub fn versions_with_prefix(
        &self,
        prefix: &str,
        with_deleted: bool,
        latest_only: bool,
    ) -> Vec<&Version> {
        let listing = if with_deleted {
            Listing::WithDeleted
        } else {
            Listing::Live
        };
        let prefix = Prefix::parse(prefix);
        let subjects = self
            .subjects
            .keys()
            .filter(|subject| prefix.matches(subject));
        subjects
            .flat_map(|subject| {
                let take = if latest_only { 1 } else { usize::MAX };
                let mut newest: Vec<_> = self.versions(subject, listing).rev().take(take).collect();
                newest.reverse();
                newest
            })
            .collect()
    }

    /// The schema that an id stands for in the subject's context. When no context is named, one
    /// where the subject holds the id comes first; a subject that does not hold it is no obstacle.
    pub fn schema_by_id(&self, id: i32, subject: Option<&Subject>) -> Option<Found> {
        let default = global();
        let subject = subject.unwrap_or(&default);
        if let Some(found) = self.held_id(id, subject) {
            return Some(found);
        }
        if subject.context() == DEFAULT_CONTEXT && !subject.name().is_empty() {
            let mut elsewhere = self
                .contexts
                .keys()
                .map(|c| Subject::new(c, subject.name()));
            if let Some(found) = elsewhere.find_map(|subject| self.held_id(id, &subject)) {
                return Some(found);
            }
        }
        self.id_in_context(id, subject.context())
    }

    /// The schema of an id that the subject itself holds; of any holder when the name is empty.
    fn held_id(&self, id: i32, subject: &Subject) -> Option<Found> {
        if subject.name().is_empty() {
            return self.id_in_context(id, subject.context());
        }
        let holders = &self.contexts.get(subject.context())?.ids.get(&id)?.holders;
        let (_, version) = holders.iter().rev().find(|(holder, _)| holder == subject)?;
        self.found(subject, *version)
    }

    fn id_in_context(&self, id: i32, context: &str) -> Option<Found> {
        let holders = &self.contexts.get(context)?.ids.get(&id)?.holders;
        let (subject, version) = holders.first()?;
        self.found(subject, *version)
    }

    fn found(&self, subject: &Subject, version: i32) -> Option<Found> {
        let holder = self.subjects.get(subject)?.all.get(&version)?.clone();
        let context = subject.context().to_owned();
        Some(Found {
            id: holder.id,
            context,
            schema: holder.schema.clone(),
            holder,
        })
    }

    /// The schema with this content hash, in the default context first.
    pub fn schema_by_guid(&self, guid: Guid) -> Option<Found> {
        let holder = self.ids_by_guid(guid).into_iter().next()?;
        self.id_in_context(holder.id, &holder.context)
    }

    /// Every context's id for this content hash.
    pub fn ids_by_guid(&self, guid: Guid) -> Vec<IdHolder> {
        let contents = SchemaType::ALL.map(|schema_type| Content { schema_type, guid });
        let in_context = |(name, context): (&String, &super::state::Context)| {
            let ids = contents
                .iter()
                .filter_map(|content| context.id_of.get(content).copied());
            let held = ids.filter(|id| context.ids.get(id).is_some_and(|id| id.schema.is_some()));
            held.map(|id| IdHolder {
                context: name.clone(),
                id,
            })
            .collect::<Vec<_>>()
        };
        self.contexts.iter().flat_map(in_context).collect()
    }

    /// Versions that hold the id, found as `schema_by_id` finds it; none for an unknown id.
    pub fn versions_of_id(
        &self,
        id: i32,
        subject: Option<&Subject>,
        with_deleted: bool,
    ) -> Option<Vec<&Version>> {
        let found = self.schema_by_id(id, subject)?;
        let holders = &self.contexts.get(&found.context)?.ids.get(&id)?.holders;
        let versions = holders
            .iter()
            .filter_map(|(s, v)| self.subjects.get(s)?.all.get(v));
        Some(
            versions
                .filter(|version| with_deleted || !version.deleted)
                .collect(),
        )
    }

    /// Highest id in the subject's context.
    pub fn highest_id(&self, subject: Option<&Subject>) -> i32 {
        let context = subject.map_or(DEFAULT_CONTEXT, Subject::context);
        self.contexts
            .get(context)
            .map_or(0, |context| context.highest)
    }

    /// Whether the subject holds the id; a soft-deleted version counts when `with_deleted`, a
    /// permanently deleted one never. This is what broker-side validation asks.
    pub fn subject_has_id(&self, subject: &Subject, id: i32, with_deleted: bool) -> bool {
        self.versions(
            subject,
            if with_deleted {
                Listing::WithDeleted
            } else {
                Listing::Live
            },
        )
        .any(|version| version.id == id)
    }

    /// Ids of the schemas that reference a version, ascending, each once.
    pub fn referenced_by(&self, subject: &Subject, version: i32, with_deleted: bool) -> Vec<i32> {
        let ids: BTreeSet<i32> = self
            .referrers_of(subject, version, with_deleted)
            .map(|version| version.id)
            .collect();
        ids.into_iter().collect()
    }

    pub(super) fn referrers_of(
        &self,
        subject: &Subject,
        version: i32,
        with_deleted: bool,
    ) -> impl Iterator<Item = &Version> {
        let referrers = self
            .referrers
            .get(&(subject.clone(), version))
            .into_iter()
            .flatten();
        referrers
            .filter_map(|(subject, version)| self.subjects.get(subject)?.all.get(version))
            .filter(move |version| with_deleted || !version.deleted)
    }

    /// Contexts in order, the default one always among them.
    pub fn contexts(&self) -> Vec<&str> {
        let mut names: BTreeSet<&str> = self
            .contexts
            .iter()
            .filter(|(_, c)| c.exists)
            .map(|(name, _)| name.as_str())
            .collect();
        names.insert(DEFAULT_CONTEXT);
        names.into_iter().collect()
    }

    /// The settings made at this very subject or context; global ones have defaults.
    pub fn config(&self, subject: &Subject) -> Option<Config> {
        let own = self.configs.get(subject).cloned();
        let top = subject.is_default_context() || subject.context() == GLOBAL_CONTEXT;
        own.or_else(|| top.then(Config::default)).map(with_level)
    }

    /// The settings in force for a subject: its own, its context's, the global context's, defaults.
    pub fn config_in_scope(&self, subject: &Subject) -> Config {
        let above = || {
            let mut scopes = scopes_above(subject).into_iter();
            scopes
                .find_map(|scope| self.configs.get(&scope))
                .cloned()
                .unwrap_or_default()
        };
        let config = match self.configs.get(subject) {
            Some(own) if subject.is_default_context() => own.clone(),
            Some(own) => own.clone().below(self.configs.get(&global())),
            None => above(),
        };
        with_level(config)
    }

    /// The mode set at this very subject or context; the global one has a default.
    pub fn mode(&self, subject: &Subject) -> Option<Mode> {
        let top = subject.is_default_context() || subject.context() == GLOBAL_CONTEXT;
        self.modes
            .get(subject)
            .copied()
            .or_else(|| top.then(Mode::default))
    }

    /// The mode in force for a subject: the nearest, unless one above overrides it.
    pub fn mode_in_scope(&self, subject: &Subject) -> Mode {
        let scopes = std::iter::once(subject.clone()).chain(scopes_above(subject));
        let modes: Vec<Mode> = scopes
            .filter_map(|scope| self.modes.get(&scope).copied())
            .collect();
        let overriding = modes
            .iter()
            .copied()
            .find(|mode| *mode == Mode::ReadOnlyOverride);
        overriding.or(modes.first().copied()).unwrap_or_default()
    }

    /// The subject that requests for `subject` mean: the one that its `alias` setting names.
    pub fn resolve_alias(&self, subject: &Subject) -> Subject {
        let alias = self
            .configs
            .get(subject)
            .and_then(|config| config.alias.as_deref());
        match alias.filter(|alias| !alias.is_empty()) {
            Some(alias) => subject.qualify(alias),
            None => subject.clone(),
        }
    }

    /// The same name in every named context, where an unqualified subject is also looked for.
    pub fn in_other_contexts(&self, subject: &Subject) -> Vec<Subject> {
        if subject.context() != DEFAULT_CONTEXT {
            return Vec::new();
        }
        let named = self
            .contexts()
            .into_iter()
            .filter(|context| *context != DEFAULT_CONTEXT);
        named
            .map(|context| Subject::new(context, subject.name()))
            .collect()
    }

    /// The latest live version whose metadata has all these properties.
    pub fn latest_with_metadata(
        &self,
        subject: &Subject,
        properties: &[(String, String)],
        with_deleted: bool,
    ) -> Option<&Version> {
        let listing = if with_deleted {
            Listing::WithDeleted
        } else {
            Listing::Live
        };
        self.versions(subject, listing).rev().find(|version| {
            let metadata = version.schema.metadata.as_ref();
            properties.iter().all(|(key, value)| {
                metadata.is_some_and(|metadata| metadata.properties.get(key) == Some(value))
            })
        })
    }
}

/// Where settings for a subject are looked for after the subject itself.
fn scopes_above(subject: &Subject) -> [Subject; 2] {
    [
        Subject::of_context(subject.context()),
        Subject::of_context(GLOBAL_CONTEXT),
    ]
}

fn with_level(mut config: Config) -> Config {
    config.compatibility_level = Some(config.level());
    config
}

/// A listing's prefix: in every context after `:*:`, else by text.
struct Prefix {
    any_context: bool,
    text: String,
}

impl Prefix {
    fn parse(prefix: &str) -> Prefix {
        match prefix.strip_prefix(":*:") {
            Some(name) => Prefix {
                any_context: true,
                text: name.to_owned(),
            },
            None => Prefix {
                any_context: false,
                text: normal_prefix(prefix).to_owned(),
            },
        }
    }

    fn matches(&self, subject: &Subject) -> bool {
        let text = if self.any_context {
            subject.name()
        } else {
            subject.as_str()
        };
        text.starts_with(&self.text)
    }
}

/// A prefix that spells out the default context means the plain names.
fn normal_prefix(prefix: &str) -> &str {
    prefix.strip_prefix(":.:").unwrap_or(prefix)
}
