//! Objects: properties, which are required, and what may stand beside them.

use std::collections::BTreeSet;

use jsonschema::PatternOptions;
use serde_json::{Value, json};

use super::super::node::{ObjectShape, Shape};
use super::leaf::Found;
use super::{Check, Of, Ref, gather};
use crate::compat::Difference;

type Object<'a> = Of<'a, ObjectShape>;

/// Compiling a pattern takes as long as so many comparisons, and is done once.
const PATTERN_COMPARISONS: usize = 1_000;
/// The most that one may take when it is compiled.
const PATTERN_BYTES: usize = 1 << 20;
/// Steps that one may take on a name before it counts as not matching.
const PATTERN_STEPS: usize = 5_000;

impl Check<'_> {
    pub(super) fn objects(&mut self, original: Object<'_>, update: Object<'_>) -> Vec<Difference> {
        let mut found = self.at("required", |check| check.required(original, update));
        gather(
            &mut found,
            self.at("properties", |check| check.properties(original, update)),
        );
        gather(
            &mut found,
            self.at("dependencies", |check| check.dependencies(original, update)),
        );
        let (old, new) = (&original.shape.rest, &update.shape.rest);
        gather(
            &mut found,
            self.rests(
                "additionalProperties",
                Of {
                    side: original.side,
                    shape: &old.additional,
                },
                Of {
                    side: update.side,
                    shape: &new.additional,
                },
                [
                    "ADDITIONAL_PROPERTIES_REMOVED",
                    "ADDITIONAL_PROPERTIES_NARROWED",
                ],
            ),
        );
        gather(
            &mut found,
            self.rests(
                "unevaluatedProperties",
                Of {
                    side: original.side,
                    shape: &old.unevaluated.unwrap_or_default(),
                },
                Of {
                    side: update.side,
                    shape: &new.unevaluated.unwrap_or_default(),
                },
                [
                    "UNEVALUATED_PROPERTIES_REMOVED",
                    "UNEVALUATED_PROPERTIES_NARROWED",
                ],
            ),
        );
        let (old, new) = (original.shape, update.shape);
        let mut counts = Found::new(&self.path);
        let kinds = ["MAX_PROPERTIES_ADDED", "MAX_PROPERTIES_DECREASED"];
        counts.upper("maxProperties", (old.max, new.max), kinds);
        let kinds = ["MIN_PROPERTIES_ADDED", "MIN_PROPERTIES_INCREASED"];
        counts.lower("minProperties", (old.min, new.min), kinds);
        gather(&mut found, counts.list);
        found
    }

    fn required(&mut self, original: Object<'_>, update: Object<'_>) -> Vec<Difference> {
        let mut found = Found::new(&self.path);
        for (name, node) in &update.shape.properties {
            let newly = update.shape.required.contains(name)
                && original.shape.properties.contains_key(name)
                && !original.shape.required.contains(name);
            if newly && !self.get(update.part(*node)).has_default {
                found.add(name, "REQUIRED_ATTRIBUTE_ADDED");
            }
        }
        found.list
    }

    fn properties(&mut self, original: Object<'_>, update: Object<'_>) -> Vec<Difference> {
        let (old, new) = (&original.shape.properties, &update.shape.properties);
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let mut found = Vec::new();
        for name in names {
            let before = old.get(name).map(|id| original.part(*id));
            let now = new.get(name).map(|id| update.part(*id));
            let differences = self.at(name, |check| match (before, now) {
                (Some(before), Some(now)) => check.nodes(before, now),
                (Some(before), None) => check.property_removed(name, before, update),
                (None, Some(now)) => {
                    let required = update.shape.required.contains(name);
                    check.property_added(name, original, now, required)
                }
                (None, None) => Vec::new(),
            });
            gather(&mut found, differences);
        }
        found
    }

    /// What the update allows under the name that it no longer lists decides.
    fn property_removed(&mut self, name: &str, before: Ref, update: Object<'_>) -> Vec<Difference> {
        if is_open(update.shape) {
            return Vec::new();
        }
        match self.allowed_under(name, update) {
            Some(allowed) => {
                let mut found = self.nodes(before, allowed);
                if !found.is_empty() && !self.lenient {
                    let kind = "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
                    gather(&mut found, self.one(kind));
                }
                found
            }
            None if self.lenient || matches!(self.get(before).shape, Shape::Never) => Vec::new(),
            None => self.one("PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"),
        }
    }

    /// What the original allowed under the name that it did not list decides.
    fn property_added(
        &mut self,
        name: &str,
        original: Object<'_>,
        now: Ref,
        required: bool,
    ) -> Vec<Difference> {
        let has_default = self.get(now).has_default;
        if is_open(original.shape) {
            let is_any = matches!(self.get(now).shape, Shape::Any);
            return match (required && !has_default, required) {
                _ if is_any => Vec::new(),
                (true, _) => self.one("REQUIRED_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"),
                _ if self.lenient => Vec::new(),
                (false, true) => {
                    self.one("REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_OPEN_CONTENT_MODEL")
                }
                (false, false) => self.one("OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"),
            };
        }
        let mut found = match self.allowed_under(name, original) {
            Some(allowed) => self.nodes(allowed, now),
            None => Vec::new(),
        };
        if !found.is_empty() && !self.lenient {
            let kind = "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
            gather(&mut found, self.one(kind));
        }
        if required && !has_default {
            gather(
                &mut found,
                self.one("REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"),
            );
        }
        found
    }

    /// The schema of an unlisted property: a pattern's that it matches, else the rest's.
    fn allowed_under(&mut self, name: &str, object: Object<'_>) -> Option<Ref> {
        let mut patterns = object.shape.patterns.iter();
        let matching = patterns.find(|(pattern, _)| self.matches(pattern, name));
        let node = matching.map(|(_, node)| *node).or(object.shape.rest.only());
        node.map(|node| object.part(node))
    }

    /// Whether a name matches a pattern, by the validator's own regular expressions. A pattern that does not compile
    /// matches none.
    fn matches(&mut self, pattern: &str, name: &str) -> bool {
        if !self.budget.spend(1) {
            return false;
        }
        if !self.patterns.contains_key(pattern) {
            if !self.budget.spend(PATTERN_COMPARISONS) {
                return false;
            }
            let limits = PatternOptions::fancy_regex()
                .size_limit(PATTERN_BYTES)
                .backtrack_limit(PATTERN_STEPS);
            let compiled = jsonschema::options()
                .with_pattern_options(limits)
                .build(&json!({ "pattern": pattern }));
            self.patterns.insert(pattern.to_owned(), compiled.ok());
        }
        let compiled = self.patterns[pattern].as_ref();
        compiled.is_some_and(|compiled| compiled.is_valid(&Value::from(name)))
    }

    fn dependencies(&mut self, original: Object<'_>, update: Object<'_>) -> Vec<Difference> {
        let mut names = Found::new(&self.path);
        for (name, now) in &update.shape.needed_with {
            match original.shape.needed_with.get(name) {
                None => names.add(name, "DEPENDENCY_ARRAY_ADDED"),
                Some(before) if now.is_subset(before) => {}
                Some(before) if now.is_superset(before) => {
                    names.add(name, "DEPENDENCY_ARRAY_EXTENDED");
                }
                Some(_) => names.add(name, "DEPENDENCY_ARRAY_CHANGED"),
            }
        }
        let mut found = names.list;
        for (name, now) in &update.shape.schema_with {
            let before = original.shape.schema_with.get(name);
            let differences = self.at(name, |check| match before {
                Some(before) => check.nodes(original.part(*before), update.part(*now)),
                None => check.one("DEPENDENCY_SCHEMA_ADDED"),
            });
            gather(&mut found, differences);
        }
        found
    }
}

fn is_open(object: &ObjectShape) -> bool {
    object.rest.is_open() && object.patterns.is_empty()
}
