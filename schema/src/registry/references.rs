//! From a schema's references to the texts that they stand for.

use std::collections::BTreeSet;

use super::limits::{NESTING_MAX, REFERENCES_MAX, RESOLVED_BYTES_MAX};
use super::{Reference, Registry, RegistryError, Subject, VersionSpec};
use crate::SchemaType;

/// A referenced schema's text, under the name by which the referrer calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedReference {
    pub name: String,
    pub schema_type: SchemaType,
    pub text: String,
}

impl Registry {
    /// Everything that `references` of a schema under `parent` name, directly or not, each name
    /// once and before what references it. Soft-deleted versions still resolve.
    ///
    /// # Errors
    /// `InvalidSchema` when a reference does not resolve or a limit is passed.
    pub fn resolve(
        &self,
        parent: &Subject,
        references: &[Reference],
    ) -> Result<Vec<ResolvedReference>, RegistryError> {
        let mut resolver = Resolver::new(self);
        resolver.visit_all(parent, references, 0)?;
        Ok(resolver.resolved)
    }

    /// The references with -1 replaced by the latest version's number, as a schema keeps them.
    pub(super) fn pin_references(
        &self,
        parent: &Subject,
        references: &[Reference],
    ) -> Vec<Reference> {
        let pin = |reference: &Reference| {
            let target = parent.qualify(&reference.subject);
            let latest = self.latest(&target).map(|latest| latest.version);
            let version = if reference.version == -1 {
                latest
            } else {
                None
            };
            Reference {
                version: version.unwrap_or(reference.version),
                ..reference.clone()
            }
        };
        references.iter().map(pin).collect()
    }
}

struct Resolver<'a> {
    registry: &'a Registry,
    seen: BTreeSet<String>,
    bytes: usize,
    resolved: Vec<ResolvedReference>,
}

impl<'a> Resolver<'a> {
    fn new(registry: &'a Registry) -> Resolver<'a> {
        Resolver {
            registry,
            seen: BTreeSet::new(),
            bytes: 0,
            resolved: Vec::new(),
        }
    }

    fn visit_all(
        &mut self,
        parent: &Subject,
        references: &[Reference],
        depth: usize,
    ) -> Result<(), RegistryError> {
        if depth > NESTING_MAX {
            return invalid(format!("references nest deeper than {NESTING_MAX}"));
        }
        references
            .iter()
            .try_for_each(|reference| self.visit(parent, reference, depth))
    }

    fn visit(
        &mut self,
        parent: &Subject,
        reference: &Reference,
        depth: usize,
    ) -> Result<(), RegistryError> {
        if reference.name.is_empty() || reference.subject.is_empty() {
            return invalid(format!(
                "a reference needs a name and a subject: {reference:?}"
            ));
        }
        if !self.seen.insert(reference.name.clone()) {
            return Ok(());
        }
        if self.seen.len() > REFERENCES_MAX {
            return invalid(format!("more than {REFERENCES_MAX} references"));
        }
        let subject = parent.qualify(&reference.subject);
        let version = match reference.version {
            -1 => VersionSpec::Latest,
            number => VersionSpec::Number(number),
        };
        let Some(target) = self.registry.find_version(&subject, version, true) else {
            return invalid(format!(
                "No schema reference found for subject \"{subject}\" and version {}",
                reference.version
            ));
        };
        let schema = &target.schema;
        self.bytes += schema.text.len();
        if self.bytes > RESOLVED_BYTES_MAX {
            return invalid(format!(
                "references take more than {RESOLVED_BYTES_MAX} bytes"
            ));
        }
        self.visit_all(&subject, &schema.references, depth + 1)?;
        self.resolved.push(ResolvedReference {
            name: reference.name.clone(),
            schema_type: schema.schema_type,
            text: schema.text.clone(),
        });
        Ok(())
    }
}

fn invalid<T>(reason: String) -> Result<T, RegistryError> {
    Err(RegistryError::InvalidSchema(reason))
}
