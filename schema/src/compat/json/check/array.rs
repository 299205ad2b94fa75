//! Arrays: items one by one, the rest, and how many there are.

use super::super::node::{ArrayShape, Shape};
use super::leaf::Found;
use super::{Check, Of, gather};
use crate::compat::Difference;

type Array<'a> = Of<'a, ArrayShape>;

impl Check<'_> {
    pub(super) fn arrays(&mut self, original: Array<'_>, update: Array<'_>) -> Vec<Difference> {
        let mut found = self.at("items", |check| {
            match (original.shape.all, update.shape.all) {
                (Some(old), Some(new)) => check.nodes(original.part(old), update.part(new)),
                (None, Some(new)) if !matches!(check.get(update.part(new)).shape, Shape::Any) => {
                    check.one("SCHEMA_ADDED")
                }
                _ => Vec::new(),
            }
        });
        gather(&mut found, self.items(original, update));
        let (old, new) = (&original.shape.rest, &update.shape.rest);
        gather(
            &mut found,
            self.rests(
                "additionalItems",
                Of {
                    side: original.side,
                    shape: &old.additional,
                },
                Of {
                    side: update.side,
                    shape: &new.additional,
                },
                ["ADDITIONAL_ITEMS_REMOVED", "ADDITIONAL_ITEMS_NARROWED"],
            ),
        );
        gather(
            &mut found,
            self.rests(
                "unevaluatedItems",
                Of {
                    side: original.side,
                    shape: &old.unevaluated.unwrap_or_default(),
                },
                Of {
                    side: update.side,
                    shape: &new.unevaluated.unwrap_or_default(),
                },
                ["UNEVALUATED_ITEMS_REMOVED", "UNEVALUATED_ITEMS_NARROWED"],
            ),
        );
        gather(&mut found, self.counts(original.shape, update.shape));
        found
    }

    fn items(&mut self, original: Array<'_>, update: Array<'_>) -> Vec<Difference> {
        let mut found = Vec::new();
        let count = original.shape.items.len().max(update.shape.items.len());
        for index in 0..count {
            let old = original.shape.items.get(index).map(|id| original.part(*id));
            let new = update.shape.items.get(index).map(|id| update.part(*id));
            let differences = self.at(&format!("items/{index}"), |check| match (old, new) {
                (Some(old), Some(new)) => check.nodes(old, new),
                (Some(old), None) => check.item_removed(old, update),
                (None, Some(new)) => check.item_added(original, new),
                (None, None) => Vec::new(),
            });
            gather(&mut found, differences);
        }
        found
    }

    fn item_removed(&mut self, item: super::Ref, update: Array<'_>) -> Vec<Difference> {
        let rest = &update.shape.rest;
        if rest.is_open() || matches!(self.get(item).shape, Shape::Never) {
            return Vec::new();
        }
        match rest.only() {
            Some(only) if self.is_compatible(item, update.part(only)) => Vec::new(),
            Some(_) => self.one("ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"),
            None => self.one("ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL"),
        }
    }

    fn item_added(&mut self, original: Array<'_>, item: super::Ref) -> Vec<Difference> {
        let rest = &original.shape.rest;
        if rest.is_open() {
            let is_any = matches!(self.get(item).shape, Shape::Any);
            return if is_any {
                Vec::new()
            } else {
                self.one("ITEM_ADDED_TO_OPEN_CONTENT_MODEL")
            };
        }
        match rest.only() {
            Some(only) if !self.is_compatible(original.part(only), item) => {
                self.one("ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL")
            }
            _ => Vec::new(),
        }
    }

    fn counts(&self, old: &ArrayShape, new: &ArrayShape) -> Vec<Difference> {
        let mut found = Found::new(&self.path);
        found.upper(
            "maxItems",
            (old.max, new.max),
            ["MAX_ITEMS_ADDED", "MAX_ITEMS_DECREASED"],
        );
        found.lower(
            "minItems",
            (old.min, new.min),
            ["MIN_ITEMS_ADDED", "MIN_ITEMS_INCREASED"],
        );
        if new.unique && !old.unique {
            found.add("uniqueItems", "UNIQUE_ITEMS_ADDED");
        }
        found.upper(
            "maxContains",
            (old.max_contains, new.max_contains),
            ["MAX_CONTAINS_ADDED", "MAX_CONTAINS_DECREASED"],
        );
        found.lower(
            "minContains",
            (old.min_contains, new.min_contains),
            ["MIN_CONTAINS_ADDED", "MIN_CONTAINS_INCREASED"],
        );
        found.list
    }
}
