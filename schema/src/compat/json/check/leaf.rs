//! Strings, numbers and enumerations.

use serde_json::Value;

use super::super::node::{NumberShape, StringShape};
use crate::compat::{Difference, Path};

/// Findings about the keywords of one schema.
pub(super) struct Found<'p> {
    path: &'p Path,
    pub list: Vec<Difference>,
}

type Bounds = (Option<f64>, Option<f64>);

impl<'p> Found<'p> {
    pub fn new(path: &'p Path) -> Found<'p> {
        Found {
            path,
            list: Vec::new(),
        }
    }

    pub fn add(&mut self, keyword: &str, kind: &'static str) {
        let mut path = self.path.clone();
        if !keyword.is_empty() {
            path.push(keyword);
        }
        self.list.push(Difference::at(kind, &path));
    }

    /// Compares an upper bound: a new or lower one is a break.
    pub fn upper(&mut self, keyword: &str, bounds: Bounds, kinds: [&'static str; 2]) {
        self.bound(keyword, bounds, kinds, |original, update| update < original);
    }

    /// Compares a lower bound: a new or higher one is a break.
    pub fn lower(&mut self, keyword: &str, bounds: Bounds, kinds: [&'static str; 2]) {
        self.bound(keyword, bounds, kinds, |original, update| update > original);
    }

    fn bound(
        &mut self,
        keyword: &str,
        bounds: Bounds,
        [added, tightened]: [&'static str; 2],
        is_tighter: fn(f64, f64) -> bool,
    ) {
        match bounds {
            (None, Some(_)) => self.add(keyword, added),
            (Some(original), Some(update)) if is_tighter(original, update) => {
                self.add(keyword, tightened);
            }
            _ => {}
        }
    }
}

pub(super) fn strings(path: &Path, old: &StringShape, new: &StringShape) -> Vec<Difference> {
    let mut found = Found::new(path);
    found.upper(
        "maxLength",
        (old.max, new.max),
        ["MAX_LENGTH_ADDED", "MAX_LENGTH_DECREASED"],
    );
    found.lower(
        "minLength",
        (old.min, new.min),
        ["MIN_LENGTH_ADDED", "MIN_LENGTH_INCREASED"],
    );
    match (&old.pattern, &new.pattern) {
        (None, Some(_)) => found.add("pattern", "PATTERN_ADDED"),
        (Some(old), Some(new)) if old != new => found.add("pattern", "PATTERN_CHANGED"),
        _ => {}
    }
    found.list
}

pub(super) fn numbers(path: &Path, old: &NumberShape, new: &NumberShape) -> Vec<Difference> {
    let mut found = Found::new(path);
    found.upper(
        "maximum",
        (old.max, new.max),
        ["MAXIMUM_ADDED", "MAXIMUM_DECREASED"],
    );
    found.lower(
        "minimum",
        (old.min, new.min),
        ["MINIMUM_ADDED", "MINIMUM_INCREASED"],
    );
    found.upper(
        "exclusiveMaximum",
        (old.exclusive_max, new.exclusive_max),
        ["EXCLUSIVE_MAXIMUM_ADDED", "EXCLUSIVE_MAXIMUM_DECREASED"],
    );
    found.lower(
        "exclusiveMinimum",
        (old.exclusive_min, new.exclusive_min),
        ["EXCLUSIVE_MINIMUM_ADDED", "EXCLUSIVE_MINIMUM_INCREASED"],
    );
    match (old.multiple_of, new.multiple_of) {
        (None, Some(_)) => found.add("multipleOf", "MULTIPLE_OF_ADDED"),
        (Some(old), Some(new)) if is_multiple(new, old) && old != new => {
            found.add("multipleOf", "MULTIPLE_OF_EXPANDED");
        }
        (Some(old), Some(new)) if !is_multiple(old, new) => {
            found.add("multipleOf", "MULTIPLE_OF_CHANGED");
        }
        _ => {}
    }
    if new.integer && !old.integer {
        found.add("", "TYPE_NARROWED");
    }
    found.list
}

fn is_multiple(value: f64, of: f64) -> bool {
    let quotient = value / of;
    quotient.is_finite() && (quotient - quotient.round()).abs() < 1e-9
}

pub(super) fn enums(path: &Path, old: &[Value], new: &[Value]) -> Vec<Difference> {
    let texts = |values: &[Value]| -> std::collections::BTreeSet<String> {
        values.iter().map(Value::to_string).collect()
    };
    let (old, new) = (texts(old), texts(new));
    let mut found = Found::new(path);
    if !new.is_superset(&old) {
        let kind = if new.is_subset(&old) {
            "ENUM_ARRAY_NARROWED"
        } else {
            "ENUM_ARRAY_CHANGED"
        };
        found.add("enum", kind);
    }
    found.list
}
