//! Leader epochs across the life of a name: they rise, also when a topic is deleted and created again.
//!
//! A partition's leader epoch is its `epoch_base` plus its shard's Raft term. A client that kept the epoch of a deleted
//! topic takes every lower one of a new topic with that name for stale metadata and never leaves it. So a deletion
//! keeps a mark above every epoch that the name has been given, and the next topic of that name starts there.
//!
//! Marks are kept for the last [`KEPT`] deleted names. A mark that is dropped raises the floor that all new topics start
//! from, so the promise holds for dropped names too and the state stays bounded.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Elections that may happen between the decision to delete a topic and the moment its partitions are gone.
pub const SLACK: i32 = 1024;
/// Deleted names whose own mark is kept.
pub const KEPT: usize = 10_000;
/// A shard's first term is 1, and the first leader epoch that clients see is 0, as in Kafka.
const FIRST_BASE: i32 = -1;
/// No base above this is given out: what is left of an i32 belongs to Raft terms.
pub const MAX_BASE: i32 = i32::MAX - (1 << 24);

// Invariant: `order` holds exactly the names of `marks`, oldest deletion first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochMarks {
    floor: i32,
    marks: BTreeMap<String, i32>,
    order: VecDeque<String>,
}

impl EpochMarks {
    /// The `epoch_base` of a new topic's partitions; every epoch above it is new for this name.
    pub fn base_for(&self, name: &str) -> i32 {
        let mark = self.marks.get(name).copied().unwrap_or(FIRST_BASE);
        if self.floor == 0 {
            mark
        } else {
            mark.max(self.floor)
        }
    }

    /// Records that `name` was deleted after no epoch above `highest` had been issued for it.
    pub fn retire(&mut self, name: &str, highest: i32) {
        let mark = highest.saturating_add(SLACK).max(self.base_for(name));
        if self.marks.insert(name.to_owned(), mark).is_some() {
            self.order.retain(|kept| kept != name);
        }
        self.order.push_back(name.to_owned());
        while self.order.len() > KEPT {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            let dropped = self.marks.remove(&oldest).unwrap_or(0);
            self.floor = self.floor.max(dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recreated_name_starts_above_every_epoch_it_had() {
        let mut marks = EpochMarks::default();
        assert_eq!(marks.base_for("t"), FIRST_BASE);
        marks.retire("t", 7);
        assert!(marks.base_for("t") > 7);
        assert_eq!(marks.base_for("u"), FIRST_BASE);
        let base = marks.base_for("t");
        marks.retire("t", base + 3);
        assert!(marks.base_for("t") > base + 3);
    }

    #[test]
    fn a_dropped_mark_raises_the_floor_of_all_names() {
        let mut marks = EpochMarks::default();
        marks.retire("first", 50);
        for n in 0..KEPT {
            marks.retire(&format!("t{n}"), 1);
        }
        assert_eq!(marks.marks.len(), KEPT);
        assert_eq!(marks.order.len(), KEPT);
        assert!(marks.base_for("first") > 50);
        assert_eq!(marks.base_for("never-seen"), marks.floor);
    }
}
