//! The newest batches of a shard's partitions in memory, so that consumers that keep up need no disk.
//!
//! The batches share the bytes of the requests that brought them. A budget counts those whole requests,
//! since one batch keeps its request's bytes alive, and what it takes to keep account of each batch, which
//! is more than a small one; the oldest batches of the shard go first.

use crate::batch::Offset;
use bytes::Bytes;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

/// What bookkeeping takes for batches that are pushed as one, beside their bytes: two places, and what counts who
/// shares the bytes.
pub const RUN_BYTES: usize = size_of::<Run>() + size_of::<Cost>() + 48;

/// See the module's description.
#[derive(Debug)]
pub struct Tail {
    budget_bytes: usize,
    used_bytes: usize,
    pushed: u64,
    /// Oldest first, also of partitions that were removed since.
    order: VecDeque<Cost>,
    // Invariant: no deque is empty, and each run starts where the one before ends.
    partitions: HashMap<u64, VecDeque<Run>>,
}

#[derive(Debug)]
struct Cost {
    partition: u64,
    number: u64,
    bytes: usize,
}

/// Consecutive batches that were pushed as one.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    number: u64,
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) bytes: Bytes,
}

impl Tail {
    pub fn new(budget_bytes: usize) -> Tail {
        Tail {
            budget_bytes,
            used_bytes: 0,
            pushed: 0,
            order: VecDeque::new(),
            partitions: HashMap::new(),
        }
    }

    /// Adds whole batches with the offsets `base_offset` to `last_offset`, inclusive, and drops the
    /// oldest above the budget.
    ///
    /// `held_bytes` is the memory that these batches keep from being freed. Pushes that share a request's bytes
    /// follow each other, and the last one answers for all of them. Batches that do not continue the partition's
    /// replace them.
    pub fn push(
        &mut self,
        partition: u64,
        base_offset: Offset,
        last_offset: Offset,
        bytes: Bytes,
        held_bytes: usize,
    ) {
        let cost = held_bytes.saturating_add(RUN_BYTES);
        let number = self.pushed;
        self.pushed += 1;
        let runs = self.partitions.entry(partition).or_default();
        if runs
            .back()
            .is_some_and(|last| last.last_offset.checked_add(1) != Some(base_offset))
        {
            runs.clear();
        }
        runs.push_back(Run {
            number,
            base_offset,
            last_offset,
            bytes,
        });
        self.order.push_back(Cost {
            partition,
            number,
            bytes: cost,
        });
        self.used_bytes = self.used_bytes.saturating_add(cost);
        while self.used_bytes > self.budget_bytes && self.drop_oldest() {}
    }

    /// Forgets a partition's batches. What they cost is given back when it is their turn.
    pub fn remove(&mut self, partition: u64) {
        self.partitions.remove(&partition);
    }

    pub fn clear(&mut self) {
        self.order.clear();
        self.partitions.clear();
        self.used_bytes = 0;
    }

    /// Lowest offset of the partition that is here.
    pub fn start_offset(&self, partition: u64) -> Option<Offset> {
        Some(self.partitions.get(&partition)?.front()?.base_offset)
    }

    /// Memory held for the batches that are here.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// What `used_bytes` stays below.
    pub fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    /// The runs from the one that contains `offset` on; none when `offset` is not here.
    pub(crate) fn starting_with(
        &self,
        partition: u64,
        offset: Offset,
    ) -> impl Iterator<Item = &Run> {
        let runs = self.partitions.get(&partition);
        let runs = runs.filter(|runs| runs.front().is_some_and(|run| run.base_offset <= offset));
        runs.into_iter().flat_map(move |runs| {
            let at = runs.partition_point(|run| run.last_offset < offset);
            runs.range(at..)
        })
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.order.pop_front() else {
            return false;
        };
        self.used_bytes -= oldest.bytes;
        if let Entry::Occupied(mut runs) = self.partitions.entry(oldest.partition) {
            // A removed partition may have come back, with newer runs.
            let is_first = |run: &Run| run.number == oldest.number;
            if runs.get().front().is_some_and(is_first) {
                runs.get_mut().pop_front();
            }
            if runs.get().is_empty() {
                runs.remove();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tail: &Tail, partition: u64, offset: Offset) -> Vec<(Offset, Bytes)> {
        tail.starting_with(partition, offset)
            .map(|run| (run.base_offset, run.bytes.clone()))
            .collect()
    }

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn runs_come_back_from_the_one_that_contains_the_offset() {
        let mut tail = Tail::new(1000);
        tail.push(1, 10, 14, bytes("a"), 10);
        tail.push(2, 0, 0, bytes("x"), 10);
        tail.push(1, 15, 15, bytes("b"), 10);
        let both = vec![(10, bytes("a")), (15, bytes("b"))];
        assert_eq!(found(&tail, 1, 10), both);
        assert_eq!(found(&tail, 1, 14), both);
        assert_eq!(found(&tail, 1, 15), both[1..]);
        assert_eq!(found(&tail, 1, 16), []);
        assert_eq!(found(&tail, 1, 9), []);
        assert_eq!(found(&tail, 3, 0), []);
        assert_eq!(tail.start_offset(1), Some(10));
    }

    #[test]
    fn the_shards_oldest_go_first() {
        let mut tail = Tail::new(25 + 2 * RUN_BYTES);
        tail.push(1, 0, 0, bytes("a"), 10);
        tail.push(2, 0, 0, bytes("b"), 10);
        tail.push(1, 1, 1, bytes("c"), 10);
        assert_eq!(tail.used_bytes(), 20 + 2 * RUN_BYTES);
        assert_eq!(tail.start_offset(1), Some(1));
        tail.push(1, 2, 2, bytes("d"), 10);
        assert_eq!(tail.start_offset(2), None);
        tail.push(1, 3, 3, bytes("too big for the budget"), 26 + RUN_BYTES);
        assert_eq!((tail.used_bytes(), tail.start_offset(1)), (0, None));
    }

    #[test]
    fn a_request_is_charged_until_its_last_batch_goes() {
        let mut tail = Tail::new(100 + 2 * RUN_BYTES);
        tail.push(1, 0, 0, bytes("a"), 0);
        tail.push(2, 0, 0, bytes("b"), 60);
        tail.push(3, 0, 0, bytes("c"), 50);
        assert_eq!((tail.start_offset(1), tail.start_offset(2)), (None, None));
        let used = (50 + RUN_BYTES, Some(0));
        assert_eq!((tail.used_bytes(), tail.start_offset(3)), used);
    }

    #[test]
    fn small_batches_are_charged_for_their_bookkeeping() {
        let mut tail = Tail::new(100 * RUN_BYTES);
        for offset in 0..1000 {
            tail.push(1, offset, offset, bytes("a"), 1);
        }
        assert_eq!(tail.start_offset(1), Some(1000 - 99));
        assert_eq!(tail.used_bytes(), 99 * (RUN_BYTES + 1));
    }

    #[test]
    fn batches_that_do_not_continue_replace_the_others() {
        let mut tail = Tail::new(1000);
        tail.push(1, 0, 4, bytes("a"), 10);
        tail.push(1, 9, 9, bytes("b"), 10);
        assert_eq!(tail.start_offset(1), Some(9));
        assert_eq!(tail.used_bytes(), 20 + 2 * RUN_BYTES);
    }

    #[test]
    fn a_removed_partition_that_comes_back_keeps_its_new_batches() {
        let mut tail = Tail::new(30 + 2 * RUN_BYTES);
        tail.push(1, 0, 0, bytes("old"), 10);
        tail.remove(1);
        assert_eq!(tail.start_offset(1), None);
        tail.push(1, 0, 0, bytes("new"), 10);
        tail.push(2, 0, 0, bytes("x"), 20);
        assert_eq!(found(&tail, 1, 0), [(0, bytes("new"))]);
        tail.push(2, 1, 1, bytes("y"), 11);
        assert_eq!(tail.start_offset(1), None);
        tail.clear();
        assert_eq!((tail.used_bytes(), tail.start_offset(2)), (0, None));
    }
}
