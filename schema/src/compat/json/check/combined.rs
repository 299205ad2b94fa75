//! Several schemas in one: `allOf`, `anyOf`, `oneOf` and lists of types.

use super::super::node::{Criterion, NodeId, Shape};
use super::{Check, Of, Ref, gather};
use crate::compat::Difference;

type Parts<'a> = Of<'a, [NodeId]>;

impl Check<'_> {
    /// Whether one part of a combined schema alone shows that the pair is compatible: the original
    /// fits one alternative of the update, or what the original demands at least fits the update.
    pub(super) fn is_covered_by_a_part(&mut self, original: Ref, update: Ref) -> bool {
        let (old, new) = (self.get(original), self.get(update));
        match (&old.shape, &new.shape) {
            (Shape::Combined(..), Shape::Combined(..)) => false,
            (_, Shape::Combined(criterion, parts)) => {
                let part = |id: &NodeId| Ref {
                    side: update.side,
                    id: *id,
                };
                (parts.len() == 1 || *criterion != Criterion::All)
                    && parts
                        .iter()
                        .any(|id| self.is_compatible(original, part(id)))
            }
            (Shape::Combined(criterion, parts), _) => {
                let part = |id: &NodeId| Ref {
                    side: original.side,
                    id: *id,
                };
                (parts.len() == 1 || *criterion == Criterion::All)
                    && parts.iter().any(|id| self.is_compatible(part(id), update))
            }
            _ => false,
        }
    }

    pub(super) fn combined(
        &mut self,
        before: Criterion,
        original: Parts<'_>,
        now: Criterion,
        update: Parts<'_>,
    ) -> Vec<Difference> {
        let (old_count, new_count) = (original.shape.len(), update.shape.len());
        if !may_become(before, old_count, now, new_count) {
            return self.one("COMBINED_TYPE_CHANGED");
        }
        let mut found = Vec::new();
        if old_count < new_count && now == Criterion::All {
            gather(&mut found, self.one("PRODUCT_TYPE_EXTENDED"));
        }
        if old_count > new_count && before != Criterion::All {
            gather(&mut found, self.one("SUM_TYPE_NARROWED"));
        }
        let fits: Vec<Vec<usize>> = original
            .shape
            .iter()
            .map(|old| {
                let fits =
                    |new: &NodeId| self.is_compatible(original.part(*old), update.part(*new));
                let parts = update.shape.iter().map(fits).collect::<Vec<bool>>();
                parts
                    .iter()
                    .enumerate()
                    .filter(|(_, fits)| **fits)
                    .map(|(index, _)| index)
                    .collect()
            })
            .collect();
        if matched(&fits, new_count) < old_count.min(new_count) {
            gather(&mut found, self.one("COMBINED_TYPE_SUBSCHEMAS_CHANGED"));
        }
        found
    }
}

fn may_become(before: Criterion, old_count: usize, now: Criterion, new_count: usize) -> bool {
    before == now
        || now == Criterion::Any
        || (old_count == 1 && (new_count == 1 || now == Criterion::One))
        || (new_count == 1 && before == Criterion::All)
}

/// How many originals can each have an update of its own that it fits: a maximum matching, found
/// by augmenting paths.
fn matched(fits: &[Vec<usize>], updates: usize) -> usize {
    let mut taken_by: Vec<Option<usize>> = vec![None; updates];
    (0..fits.len())
        .filter(|original| augment(fits, *original, &mut taken_by))
        .count()
}

/// Looks breadth-first for a free update, by way of originals that could take another one.
fn augment(fits: &[Vec<usize>], start: usize, taken_by: &mut [Option<usize>]) -> bool {
    let mut reached_from: Vec<Option<usize>> = vec![None; taken_by.len()];
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(original) = queue.pop_front() {
        for &update in &fits[original] {
            if reached_from[update].is_some() {
                continue;
            }
            reached_from[update] = Some(original);
            match taken_by[update] {
                Some(holder) => queue.push_back(holder),
                None => {
                    give(update, start, &reached_from, taken_by);
                    return true;
                }
            }
        }
    }
    false
}

/// Hands the updates along the path that ends in the free one.
fn give(
    mut update: usize,
    start: usize,
    reached_from: &[Option<usize>],
    taken_by: &mut [Option<usize>],
) {
    while let Some(original) = reached_from[update] {
        let before = taken_by.iter().position(|holder| *holder == Some(original));
        taken_by[update] = Some(original);
        if original == start {
            return;
        }
        let Some(before) = before.filter(|before| *before != update) else {
            return;
        };
        update = before;
    }
}

#[cfg(test)]
mod tests {
    use super::matched;

    #[test]
    fn the_matching_is_as_large_as_can_be() {
        assert_eq!(matched(&[vec![0, 1], vec![0]], 2), 2);
        assert_eq!(matched(&[vec![0], vec![0]], 2), 1);
        assert_eq!(
            matched(&[vec![0, 1], vec![1, 2], vec![0, 1], vec![0]], 3),
            3
        );
        assert_eq!(matched(&[], 3), 0);
    }
}
