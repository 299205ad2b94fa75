//! Where a partition's batches lie on disk.

use crate::batch::{BatchHeader, LeaderEpoch, Offset};

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

/// Extents of a page at most: what is dropped is given back page by page, and no page is slow to search. Few in
/// tests, so that these see many pages.
const PAGE_SLOTS: usize = if cfg!(test) { 8 } else { 1024 };

/// An extent as it is kept, beside what all of its page have in common: a partition may have very many.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// From the page's `base_offset`.
    last_offset_delta: u32,
    /// From the page's `base_timestamp`.
    timestamp_delta: i32,
    offset: u32,
    len: u32,
}

const _: () = assert!(size_of::<Slot>() == 16);

/// Consecutive extents of one file and one leader epoch.
#[derive(Debug, Clone)]
struct Page {
    // Invariant: `first` < slots.len() <= PAGE_SLOTS.
    /// Where slot 0 starts; each other one starts where the one before it ends.
    base_offset: Offset,
    base_timestamp: i64,
    /// At least the highest `max_timestamp` of its extents; it may stem from one that is gone.
    max_timestamp: i64,
    /// The highest `max_timestamp` of this and all pages before it, so that it never falls.
    running_max_timestamp: i64,
    file: u64,
    leader_epoch: LeaderEpoch,
    /// Slots before this one are gone.
    first: u32,
    slots: Vec<Slot>,
}

impl Page {
    fn new(extent: &Extent, running_max_timestamp: i64) -> Page {
        let mut page = Page {
            base_offset: extent.base_offset,
            base_timestamp: extent.max_timestamp,
            max_timestamp: extent.max_timestamp,
            running_max_timestamp: running_max_timestamp.max(extent.max_timestamp),
            file: extent.pos.file,
            leader_epoch: extent.leader_epoch,
            first: 0,
            slots: Vec::new(),
        };
        let slot = page.slot(extent);
        // Many partitions have one extent.
        page.slots.reserve_exact(1);
        page.slots
            .push(slot.expect("an extent spans fewer than 2^32 offsets"));
        page
    }

    /// The extent as a slot of this page; `None` where it belongs into another one.
    fn slot(&self, extent: &Extent) -> Option<Slot> {
        if extent.pos.file != self.file || extent.leader_epoch != self.leader_epoch {
            return None;
        }
        let last_offset_delta = extent.last_offset - self.base_offset;
        let timestamp_delta = extent.max_timestamp.checked_sub(self.base_timestamp)?;
        Some(Slot {
            last_offset_delta: u32::try_from(last_offset_delta).ok()?,
            timestamp_delta: i32::try_from(timestamp_delta).ok()?,
            offset: extent.pos.offset,
            len: extent.len,
        })
    }

    /// Takes in the extent that follows the last one, as far as it belongs here.
    fn push(&mut self, extent: &Extent) -> bool {
        let Some(slot) = self.slot(extent) else {
            return false;
        };
        let last = self.slots.last_mut().expect("a page has slots");
        if let Some(len) = last.joint_len(&slot) {
            last.last_offset_delta = slot.last_offset_delta;
            last.timestamp_delta = last.timestamp_delta.max(slot.timestamp_delta);
            last.len = len;
        } else if self.slots.len() < PAGE_SLOTS {
            self.slots.push(slot);
        } else {
            return false;
        }
        self.max_timestamp = self.max_timestamp.max(extent.max_timestamp);
        self.running_max_timestamp = self.running_max_timestamp.max(extent.max_timestamp);
        true
    }

    fn last_offset(&self) -> Offset {
        let last = self.slots.last().expect("a page has slots");
        self.base_offset + Offset::from(last.last_offset_delta)
    }

    /// The slots that end at or above `offset`.
    fn slots_from(&self, offset: Offset) -> std::ops::Range<usize> {
        let below = |slot: &Slot| self.base_offset + Offset::from(slot.last_offset_delta) < offset;
        let at = self.slots.partition_point(below);
        at.max(self.first as usize)..self.slots.len()
    }

    fn extent(&self, at: usize) -> Extent {
        let slot = self.slots[at];
        let start = match at.checked_sub(1) {
            Some(before) => Offset::from(self.slots[before].last_offset_delta) + 1,
            None => 0,
        };
        Extent {
            base_offset: self.base_offset + start,
            last_offset: self.base_offset + Offset::from(slot.last_offset_delta),
            max_timestamp: self.base_timestamp + i64::from(slot.timestamp_delta),
            pos: Pos {
                file: self.file,
                offset: slot.offset,
            },
            len: slot.len,
            leader_epoch: self.leader_epoch,
        }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = Extent> {
        (self.first as usize..self.slots.len()).map(|at| self.extent(at))
    }
}

impl Slot {
    /// The length of both as one, when `next` continues this one on disk and the two are small.
    fn joint_len(&self, next: &Slot) -> Option<u32> {
        let continues = self.offset.checked_add(self.len) == Some(next.offset);
        let len = self.len.checked_add(next.len)?;
        (continues && len <= MERGED_MAX_BYTES).then_some(len)
    }
}

/// A partition's extents, sorted by offset and without holes between them.
#[derive(Debug, Clone, Default)]
pub struct Extents {
    // Invariant: each extent starts at the offset after the last one's end; `bytes` is the sum of their
    // lengths, `slot_capacity` that of the pages' room.
    pages: Vec<Page>,
    bytes: u64,
    slot_capacity: usize,
}

impl PartialEq for Extents {
    fn eq(&self, other: &Extents) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Extents {}

impl Extents {
    /// Adds the extent that follows the last one.
    ///
    /// Panics when it does not follow, or spans 2^32 offsets: whoever appends has checked that.
    pub(crate) fn push(&mut self, extent: &Extent) {
        self.bytes += u64::from(extent.len);
        let mut running_max_timestamp = extent.max_timestamp;
        if let Some(last) = self.pages.last_mut() {
            let follows = last.last_offset() + 1;
            assert_eq!(extent.base_offset, follows, "extents are consecutive");
            let before = last.slots.capacity();
            let taken = last.push(extent);
            if !taken {
                last.slots.shrink_to_fit();
            }
            self.slot_capacity = self.slot_capacity + last.slots.capacity() - before;
            if taken {
                return;
            }
            running_max_timestamp = last.running_max_timestamp;
        } else {
            self.pages.reserve_exact(1);
        }
        let page = Page::new(extent, running_max_timestamp);
        self.slot_capacity += page.slots.capacity();
        self.pages.push(page);
    }

    /// Drops the extents that lie below `offset` as a whole.
    pub(crate) fn drop_below(&mut self, offset: Offset) {
        let gone = self
            .pages
            .partition_point(|page| page.last_offset() < offset);
        for page in self.pages.drain(..gone) {
            self.bytes -= page.iter().map(|extent| u64::from(extent.len)).sum::<u64>();
            self.slot_capacity -= page.slots.capacity();
        }
        if let Some(page) = self.pages.first_mut() {
            let kept = page.slots_from(offset).start;
            let slots = &page.slots[page.first as usize..kept];
            self.bytes -= slots.iter().map(|slot| u64::from(slot.len)).sum::<u64>();
            page.first = kept as u32;
        }
        // An idle partition gives its memory back, a busy one does not reallocate on each trim.
        if self.pages.is_empty() {
            self.pages = Vec::new();
        } else if self.pages.capacity() > 16 && self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.len() * 2);
        }
    }

    /// The extents from the one that contains `offset` on.
    pub fn starting_with(&self, offset: Offset) -> impl Iterator<Item = Extent> {
        let at = self
            .pages
            .partition_point(|page| page.last_offset() < offset);
        let pages = self.pages[at..].iter();
        pages.flat_map(move |page| page.slots_from(offset).map(|at| page.extent(at)))
    }

    /// The first extent that reaches `from` and has a timestamp of at least `timestamp`.
    pub fn first_with_timestamp(&self, timestamp: i64, from: Offset) -> Option<Extent> {
        let by_time = self
            .pages
            .partition_point(|page| page.running_max_timestamp < timestamp);
        let by_offset = self.pages.partition_point(|page| page.last_offset() < from);
        // A maximum may stem from an extent that is gone, so each one's own decides.
        let pages = self.pages[by_time.max(by_offset)..].iter();
        pages
            .filter(|page| page.max_timestamp >= timestamp)
            .flat_map(|page| page.slots_from(from).map(|at| page.extent(at)))
            .find(|extent| extent.max_timestamp >= timestamp)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Extent> {
        self.pages.iter().flat_map(Page::iter)
    }

    pub fn len(&self) -> usize {
        let of_page = |page: &Page| page.slots.len() - page.first as usize;
        self.pages.iter().map(of_page).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Sum of the extents' lengths.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Memory held beside the struct itself.
    pub fn heap_bytes(&self) -> usize {
        self.pages.capacity() * size_of::<Page>() + self.slot_capacity * size_of::<Slot>()
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

    #[test]
    fn what_one_partition_of_many_holds_is_small_and_goes_with_its_last_extent() {
        let mut all = extents(&[extent(0, 10, 0, 0, 100)]);
        assert_eq!(all.heap_bytes(), size_of::<Page>() + size_of::<Slot>());
        all.push(&extent(10, 10, 0, 200, 100));
        all.drop_below(20);
        assert_eq!((all.is_empty(), all.heap_bytes()), (true, 0));
    }

    #[derive(Debug, Clone)]
    struct Shape {
        count: i64,
        timestamp: i64,
        gap: u32,
        new_epoch: bool,
    }

    fn shape() -> impl Strategy<Value = Shape> {
        // Some are too far apart for one page.
        let timestamp = prop_oneof![9 => 0i64..50, 1 => Just(1 << 40)];
        let new_epoch = prop::bool::weighted(0.1);
        (1i64..5, timestamp, 0u32..3, new_epoch).prop_map(|(count, timestamp, gap, new_epoch)| {
            Shape {
                count,
                timestamp,
                gap,
                new_epoch,
            }
        })
    }

    proptest! {
        #[test]
        fn lookups_agree_with_a_scan(
            shapes in prop::collection::vec(shape(), 1..60),
            dropped in prop::collection::vec(0i64..90, 1..4),
            offset in 0i64..200,
            timestamp in prop_oneof![0i64..55, Just(1 << 39)],
        ) {
            let mut all = Extents::default();
            let mut model: Vec<Extent> = Vec::new();
            let (mut base, mut place, mut leader_epoch) = (0, 0, 1);
            for Shape { count, timestamp, gap, new_epoch } in shapes {
                leader_epoch += i32::from(new_epoch);
                let next = Extent { leader_epoch, ..extent(base, count, timestamp, place + gap, 61) };
                all.push(&next);
                match model.last_mut() {
                    Some(last) if gap == 0 && !new_epoch && joins(last, &next) => {
                        last.len += next.len;
                        last.last_offset = next.last_offset;
                        last.max_timestamp = last.max_timestamp.max(next.max_timestamp);
                    }
                    _ => model.push(next),
                }
                base += count;
                place += gap + 61;
            }
            for below in dropped {
                all.drop_below(below);
                model.retain(|extent| extent.last_offset >= below);
                let pages = all.pages.iter();
                prop_assert_eq!(all.slot_capacity, pages.map(|page| page.slots.capacity()).sum::<usize>());
                prop_assert_eq!(all.iter().collect::<Vec<_>>(), model.clone());
                prop_assert_eq!(all.len(), model.len());
            }
            prop_assert_eq!(all.bytes(), model.iter().map(|e| u64::from(e.len)).sum::<u64>());
            let reaching = model.iter().copied().filter(|e| e.last_offset >= offset);
            prop_assert_eq!(all.starting_with(offset).collect::<Vec<_>>(), reaching.clone().collect::<Vec<_>>());
            let timely = reaching.into_iter().find(|e| e.max_timestamp >= timestamp);
            prop_assert_eq!(all.first_with_timestamp(timestamp, offset), timely);
        }
    }

    /// Whether extents that touch become one: their times have to fit a page.
    fn joins(last: &Extent, next: &Extent) -> bool {
        (next.max_timestamp - last.max_timestamp).abs() < 1 << 20
    }
}
