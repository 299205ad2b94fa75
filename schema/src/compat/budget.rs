//! What one comparison may cost: schemas of a few hundred kilobytes can hold millions of pairs of
//! types, and chains of types deeper than a thread's stack.

use super::Difference;
use crate::registry::limits::{COMPARISONS_MAX, DIFFERENCES_MAX, NESTING_MAX};

/// Deeper than schemas may nest, since a comparison follows names too.
const DEPTH_MAX: usize = 2 * NESTING_MAX;

#[derive(Debug)]
pub(super) struct Budget {
    comparisons: usize,
    depth: usize,
    exhausted: bool,
}

impl Budget {
    pub fn new() -> Budget {
        Budget {
            comparisons: 0,
            depth: 0,
            exhausted: false,
        }
    }

    /// Whether there is room for one more comparison, one level down. `leave` follows a yes.
    pub fn enter(&mut self) -> bool {
        if self.comparisons >= COMPARISONS_MAX || self.depth >= DEPTH_MAX {
            self.exhausted = true;
        }
        if self.exhausted {
            return false;
        }
        self.comparisons += 1;
        self.depth += 1;
        true
    }

    /// Whether there is room for a step that goes no deeper and costs as much as so many comparisons.
    pub fn spend(&mut self, comparisons: usize) -> bool {
        let room = self.enter();
        if room {
            self.leave();
            self.comparisons += comparisons - 1;
        }
        room
    }

    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    /// The differences found; when the budget ran out, that is one.
    pub fn report(&self, mut found: Vec<Difference>) -> Vec<Difference> {
        if self.exhausted {
            let description = "the schemas are too deep or too large to compare".to_owned();
            found.push(Difference::new("TOO_COMPLEX", description, String::new()));
        }
        found
    }
}

/// Adds differences up to the number that is reported.
pub(super) fn gather(found: &mut Vec<Difference>, more: Vec<Difference>) {
    let room = DIFFERENCES_MAX.saturating_sub(found.len());
    found.extend(more.into_iter().take(room));
}
