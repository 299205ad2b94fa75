//! Where a partition's batches lie on disk.

use crate::batch::{BatchHeader, LeaderEpoch, Offset};
use std::collections::VecDeque;

/// Extents are merged up to this size, so that reading one record never costs a big read.
const MERGED_MAX_BYTES: u32 = 64 * 1024;

/// A place in the write-ahead log: the file's sequence number and the byte in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pos {
    pub file: u64,
    pub offset: u32,
}

/// Consecutive batches of one partition that lie one behind the other in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub base_offset: Offset,
    /// Inclusive.
    pub last_offset: Offset,
    /// The highest max_timestamp of its batches.
    pub max_timestamp: i64,
    /// Where the first batch's first byte is.
    pub pos: Pos,
    pub len: u32,
    pub leader_epoch: LeaderEpoch,
}

impl Extent {
    /// The extent of consecutive batches that start at `pos`; `None` without any, or above 4 GiB.
    pub fn of(batches: &[BatchHeader], pos: Pos) -> Option<Extent> {
        let (first, last) = (batches.first()?, batches.last()?);
        let len: usize = batches.iter().map(BatchHeader::total_len).sum();
        Some(Extent {
            base_offset: first.base_offset,
            last_offset: last.last_offset(),
            max_timestamp: batches.iter().map(|batch| batch.max_timestamp).max()?,
            pos,
            len: u32::try_from(len).ok()?,
            leader_epoch: first.partition_leader_epoch,
        })
    }
}

/// An extent as it is kept: a partition may have very many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stored {
    base_offset: Offset,
    max_timestamp: i64,
    /// The highest `max_timestamp` of this and all extents before it, so that it never falls.
    running_max_timestamp: i64,
    file: u64,
    offset: u32,
    len: u32,
    last_offset_delta: u32,
    leader_epoch: LeaderEpoch,
}

const _: () = assert!(size_of::<Stored>() == 48);

impl Stored {
    fn last_offset(&self) -> Offset {
        self.base_offset + Offset::from(self.last_offset_delta)
    }

    fn extent(&self) -> Extent {
        Extent {
            base_offset: self.base_offset,
            last_offset: self.last_offset(),
            max_timestamp: self.max_timestamp,
            pos: Pos {
                file: self.file,
                offset: self.offset,
            },
            len: self.len,
            leader_epoch: self.leader_epoch,
        }
    }

    /// Takes `next` in when it continues this one on disk and the two are small.
    fn merge(&mut self, next: &Extent) -> bool {
        let joint_len = self.len.checked_add(next.len);
        let continues = next.pos.file == self.file
            && self.offset.checked_add(self.len) == Some(next.pos.offset)
            && next.leader_epoch == self.leader_epoch;
        let (true, Some(len @ ..=MERGED_MAX_BYTES)) = (continues, joint_len) else {
            return false;
        };
        let Ok(last_offset_delta) = u32::try_from(next.last_offset - self.base_offset) else {
            return false;
        };
        self.len = len;
        self.last_offset_delta = last_offset_delta;
        self.max_timestamp = self.max_timestamp.max(next.max_timestamp);
        self.running_max_timestamp = self.running_max_timestamp.max(next.max_timestamp);
        true
    }
}

/// A partition's extents, sorted by offset and without holes between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extents {
    // Invariant: each starts at the offset after the last one's end; `bytes` is the sum of their lengths.
    stored: VecDeque<Stored>,
    bytes: u64,
}

impl Extents {
    /// Adds the extent that follows the last one.
    ///
    /// Panics when it does not follow, or spans 2^32 offsets: whoever appends has checked that.
    pub(crate) fn push(&mut self, extent: &Extent) {
        self.bytes += u64::from(extent.len);
        let mut running_max_timestamp = extent.max_timestamp;
        if let Some(last) = self.stored.back_mut() {
            let follows = last.last_offset() + 1;
            assert_eq!(extent.base_offset, follows, "extents are consecutive");
            if last.merge(extent) {
                return;
            }
            running_max_timestamp = running_max_timestamp.max(last.running_max_timestamp);
        }
        self.stored.push_back(Stored {
            base_offset: extent.base_offset,
            max_timestamp: extent.max_timestamp,
            running_max_timestamp,
            file: extent.pos.file,
            offset: extent.pos.offset,
            len: extent.len,
            last_offset_delta: u32::try_from(extent.last_offset - extent.base_offset)
                .expect("an extent spans fewer than 2^32 offsets"),
            leader_epoch: extent.leader_epoch,
        });
    }

    /// Drops the extents that lie below `offset` as a whole.
    pub(crate) fn drop_below(&mut self, offset: Offset) {
        while let Some(first) = self.stored.front()
            && first.last_offset() < offset
        {
            self.bytes -= u64::from(first.len);
            self.stored.pop_front();
        }
        // A trimmed partition gives its memory back, a busy one does not reallocate on each trim.
        if self.stored.capacity() > 16 && self.stored.len() < self.stored.capacity() / 4 {
            self.stored.shrink_to(self.stored.len() * 2);
        }
    }

    /// The extents from the one that contains `offset` on.
    pub fn starting_with(&self, offset: Offset) -> impl Iterator<Item = Extent> {
        let at = self
            .stored
            .partition_point(|extent| extent.last_offset() < offset);
        self.stored.range(at..).map(Stored::extent)
    }

    /// The first extent that reaches `from` and has a timestamp of at least `timestamp`.
    pub fn first_with_timestamp(&self, timestamp: i64, from: Offset) -> Option<Extent> {
        let by_time = self
            .stored
            .partition_point(|extent| extent.running_max_timestamp < timestamp);
        let by_offset = self
            .stored
            .partition_point(|extent| extent.last_offset() < from);
        // The running maximum may stem from an extent that is gone, so each one's own decides.
        self.stored
            .range(by_time.max(by_offset)..)
            .find(|extent| extent.max_timestamp >= timestamp)
            .map(Stored::extent)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Extent> + DoubleEndedIterator {
        self.stored.iter().map(Stored::extent)
    }

    pub fn len(&self) -> usize {
        self.stored.len()
    }

    pub fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    /// Sum of the extents' lengths.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Memory held beside the struct itself.
    pub fn heap_bytes(&self) -> usize {
        self.stored.capacity() * size_of::<Stored>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent(
        base_offset: Offset,
        count: i64,
        max_timestamp: i64,
        offset: u32,
        len: u32,
    ) -> Extent {
        Extent {
            base_offset,
            last_offset: base_offset + count - 1,
            max_timestamp,
            pos: Pos { file: 1, offset },
            len,
            leader_epoch: 1,
        }
    }

    fn extents(of: &[Extent]) -> Extents {
        let mut extents = Extents::default();
        for extent in of {
            extents.push(extent);
        }
        extents
    }

    #[test]
    fn small_neighbours_on_disk_become_one() {
        let mut all = extents(&[extent(0, 1, 5, 100, 70), extent(1, 2, 3, 170, 80)]);
        assert_eq!(all.iter().collect::<Vec<_>>(), [extent(0, 3, 5, 100, 150)]);
        // A hole, another epoch, another file, and what would be too big stay apart.
        all.push(&extent(3, 1, 5, 251, 70));
        all.push(&Extent {
            leader_epoch: 2,
            ..extent(4, 1, 5, 321, 70)
        });
        all.push(&Extent {
            pos: Pos {
                file: 2,
                offset: 391,
            },
            ..extent(5, 1, 5, 0, 70)
        });
        assert_eq!(all.len(), 4);
        let mut big = extents(&[extent(0, 1, 5, 0, MERGED_MAX_BYTES)]);
        big.push(&extent(1, 1, 5, MERGED_MAX_BYTES, 1));
        assert_eq!(big.len(), 2);
        assert_eq!(big.bytes(), u64::from(MERGED_MAX_BYTES) + 1);
    }

    #[test]
    fn dropping_keeps_the_extent_that_contains_the_offset() {
        let mut all = extents(&[extent(0, 10, 0, 0, 100), extent(10, 10, 0, 200, 100)]);
        all.drop_below(10);
        assert_eq!(
            all.iter()
                .map(|extent| extent.base_offset)
                .collect::<Vec<_>>(),
            [10]
        );
        all.drop_below(19);
        assert_eq!((all.len(), all.bytes()), (1, 100));
        all.drop_below(20);
        assert_eq!((all.len(), all.bytes()), (0, 0));
    }

    proptest! {
        #[test]
        fn lookups_agree_with_a_scan(
            shapes in prop::collection::vec((1i64..5, 0i64..50, 0u32..3), 1..40),
            dropped in 0i64..60,
            offset in 0i64..200,
            timestamp in 0i64..55,
        ) {
            let mut all = Extents::default();
            let (mut base, mut place) = (0, 0);
            for (count, max_timestamp, gap) in shapes {
                all.push(&extent(base, count, max_timestamp, place + gap, 61));
                base += count;
                place += gap + 61;
            }
            all.drop_below(dropped.min(base));
            let listed: Vec<_> = all.iter().collect();
            prop_assert_eq!(all.bytes(), listed.iter().map(|e| u64::from(e.len)).sum::<u64>());
            let reaching = listed.iter().copied().filter(|e| e.last_offset >= offset);
            prop_assert_eq!(all.starting_with(offset).collect::<Vec<_>>(), reaching.clone().collect::<Vec<_>>());
            let timely = reaching.into_iter().find(|e| e.max_timestamp >= timestamp);
            prop_assert_eq!(all.first_with_timestamp(timestamp, offset), timely);
        }
    }
}
