//! What is known of pairs of types while two schemas are compared.

use std::collections::BTreeMap;

use indexmap::IndexSet;

use super::Difference;

/// Results by pair (reader's type, writer's type), so that shared and recursive types are compared
/// once.
#[derive(Debug)]
pub(super) struct Pairs<K> {
    /// Compatible, or under comparison further up and so assumed to be; in the order in which they
    /// were met.
    compatible: IndexSet<(K, K)>,
    /// Not compatible, with the first reason.
    incompatible: BTreeMap<(K, K), Difference>,
}

/// What is known when a pair is met.
pub(super) enum Met {
    Known(Vec<Difference>),
    /// Compare it, and tell what was found with this number.
    New(usize),
}

impl<K: Copy + Ord + std::hash::Hash> Pairs<K> {
    pub fn new() -> Pairs<K> {
        Pairs {
            compatible: IndexSet::new(),
            incompatible: BTreeMap::new(),
        }
    }

    pub fn meet(&mut self, pair: (K, K)) -> Met {
        if let Some(reason) = self.incompatible.get(&pair) {
            return Met::Known(vec![reason.clone()]);
        }
        match self.compatible.insert_full(pair) {
            (_, false) => Met::Known(Vec::new()),
            (position, true) => Met::New(position),
        }
    }

    pub fn found(&mut self, pair: (K, K), position: usize, found: &[Difference]) {
        if let Some(reason) = found.first() {
            // What was found compatible meanwhile may have relied on this pair.
            self.compatible.truncate(position);
            self.incompatible.insert(pair, reason.clone());
        }
    }
}
