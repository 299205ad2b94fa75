//! Which leader epoch wrote from which offset on. Source: KIP-101, KIP-320.

use crate::batch::{LeaderEpoch, Offset};

/// One leadership under which records were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: LeaderEpoch,
    pub start_offset: Offset,
}

/// Where an epoch's records end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The highest epoch that is not above the one asked for.
    pub epoch: LeaderEpoch,
    /// Exclusive.
    pub end_offset: Offset,
}

/// A partition's epochs that have records, from log start on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Epochs {
    // Invariant: epochs and start offsets both rise strictly.
    starts: Vec<EpochStart>,
}

impl Epochs {
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.starts.last().map(|start| start.epoch)
    }

    /// The epoch under which `offset` was written, when that is below the log's end.
    pub fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self
            .starts
            .partition_point(|start| start.start_offset <= offset);
        Some(self.starts[..after].last()?.epoch)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = EpochStart> {
        self.starts.iter().copied()
    }

    /// Notes that `epoch` writes at `offset`; the epoch must not be below the latest.
    pub(crate) fn note(&mut self, epoch: LeaderEpoch, offset: Offset) {
        let latest = self.latest();
        assert!(latest <= Some(epoch), "leader epochs never fall");
        if latest < Some(epoch) {
            // All records of the one before were trimmed.
            self.starts.pop_if(|last| last.start_offset >= offset);
            if self.starts.is_empty() {
                self.starts.reserve_exact(1);
            }
            let start_offset = offset;
            self.starts.push(EpochStart {
                epoch,
                start_offset,
            });
        }
    }

    /// Forgets epochs without records at or above `log_start`.
    pub(crate) fn trim(&mut self, log_start: Offset) {
        let after = self
            .starts
            .partition_point(|start| start.start_offset <= log_start);
        self.starts.drain(..after.saturating_sub(1));
        if let Some(first) = self.starts.first_mut() {
            first.start_offset = first.start_offset.max(log_start);
        }
    }

    /// Where `epoch` ends in a log that ends at `end`; `None` for one above all that have records.
    pub(crate) fn end_of(&self, epoch: LeaderEpoch, end: Offset) -> Option<EpochEnd> {
        let above = self.starts.partition_point(|start| start.epoch <= epoch);
        let below = self.starts[..above].last();
        match (below, self.starts.get(above)) {
            (Some(latest), None) if latest.epoch == epoch => Some(EpochEnd {
                epoch,
                end_offset: end,
            }),
            (_, None) => None,
            (below, Some(next)) => Some(EpochEnd {
                epoch: below.map_or(epoch, |below| below.epoch),
                end_offset: next.start_offset,
            }),
        }
    }

    pub(crate) fn restore(starts: Vec<EpochStart>) -> Option<Epochs> {
        let rises = starts.windows(2).all(|pair| {
            pair[0].epoch < pair[1].epoch && pair[0].start_offset < pair[1].start_offset
        });
        rises.then_some(Epochs { starts })
    }

    /// Memory held beside the struct itself.
    pub fn heap_bytes(&self) -> usize {
        self.starts.capacity() * size_of::<EpochStart>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs() -> Epochs {
        let mut epochs = Epochs::default();
        for (epoch, offset) in [(2, 0), (2, 5), (4, 10), (7, 30)] {
            epochs.note(epoch, offset);
        }
        epochs
    }

    fn end(epoch: LeaderEpoch, end_offset: Offset) -> Option<EpochEnd> {
        Some(EpochEnd { epoch, end_offset })
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_starts() {
        let epochs = epochs();
        assert_eq!(epochs.end_of(2, 50), end(2, 10));
        assert_eq!(epochs.end_of(3, 50), end(2, 10));
        assert_eq!(epochs.end_of(4, 50), end(4, 30));
        assert_eq!(epochs.end_of(6, 50), end(4, 30));
        assert_eq!(epochs.end_of(7, 50), end(7, 50));
        assert_eq!(epochs.end_of(8, 50), None);
        assert_eq!(epochs.end_of(1, 50), end(1, 0));
        assert_eq!(Epochs::default().end_of(0, 0), None);
    }

    #[test]
    fn each_offset_has_its_epoch() {
        let epochs = epochs();
        let at = |offset| epochs.at(offset);
        assert_eq!(
            (at(0), at(9), at(10), at(99)),
            (Some(2), Some(2), Some(4), Some(7))
        );
        assert_eq!(at(-1), None);
    }

    #[test]
    fn trimming_keeps_the_epoch_that_the_start_lies_in() {
        let mut trimmed = epochs();
        trimmed.trim(12);
        let starts: Vec<_> = trimmed.iter().map(|s| (s.epoch, s.start_offset)).collect();
        assert_eq!(starts, [(4, 12), (7, 30)]);
        trimmed.trim(30);
        assert_eq!(trimmed.iter().len(), 1);
        trimmed.trim(100);
        assert_eq!(trimmed.latest(), Some(7));
        trimmed.note(8, 100);
        let starts: Vec<_> = trimmed.iter().map(|s| (s.epoch, s.start_offset)).collect();
        assert_eq!(starts, [(8, 100)]);
    }
}
