//! How much of a partition there is to compact, and up to where.

use crate::batch::Offset;
use crate::segment::{Segment, SegmentState};

/// Which of a partition's segments, oldest first, compaction may work on now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dirtiness {
    /// So many segments are clean.
    pub clean: usize,
    /// So many may be compacted, the clean ones among them.
    pub cleanable: usize,
    pub clean_bytes: u64,
    /// Of what is dirty and may be compacted.
    pub dirty_bytes: u64,
}

impl Dirtiness {
    /// Leaves out the first segment that holds a record younger than `min_lag_ms`, or one that reaches the offset
    /// `below`, and what follows it.
    pub fn of(segments: &[Segment], now_ms: i64, min_lag_ms: u64, below: Offset) -> Dirtiness {
        let min_lag_ms = i64::try_from(min_lag_ms).unwrap_or(i64::MAX);
        let youngest = now_ms.saturating_sub(min_lag_ms);
        let is_clean = |segment: &&Segment| segment.state != SegmentState::Dirty;
        let clean = segments.iter().take_while(is_clean).count();
        // One without timestamps is as old as can be.
        let is_old = |segment: &&Segment| {
            let old = min_lag_ms == 0 || segment.max_timestamp <= youngest;
            old && segment.last_offset < below
        };
        let dirty = segments[clean..].iter().take_while(is_old);
        let bytes = |segments: &[Segment]| segments.iter().map(|segment| segment.bytes).sum();
        let cleanable = clean + dirty.count();
        Dirtiness {
            clean,
            cleanable,
            clean_bytes: bytes(&segments[..clean]),
            dirty_bytes: bytes(&segments[clean..cleanable]),
        }
    }

    /// The dirty part of what may be compacted, 0 to 1.
    pub fn ratio(&self) -> f64 {
        match self.clean_bytes + self.dirty_bytes {
            0 => 0.0,
            all => self.dirty_bytes as f64 / all as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: SegmentState = SegmentState::Clean {
        tombstones_until_ms: None,
    };

    fn segments(of: &[(SegmentState, i64, u64)]) -> Vec<Segment> {
        let segment =
            |(base_offset, (state, max_timestamp, bytes)): (i64, &(_, i64, u64))| Segment {
                base_offset,
                last_offset: base_offset,
                max_timestamp: *max_timestamp,
                file: 1,
                at: 32,
                bytes: *bytes,
                blocks: 1,
                index_crc: 0,
                state: *state,
            };
        (0..).zip(of).map(segment).collect()
    }

    #[test]
    fn what_is_young_or_too_far_on_waits_with_all_behind_it() {
        let dirty = SegmentState::Dirty;
        let all = segments(&[
            (CLEAN, 900, 10),
            (dirty, 5, 20),
            (dirty, 90, 30),
            (dirty, -1, 40),
        ]);
        let of = |now_ms, min_lag_ms, below| Dirtiness::of(&all, now_ms, min_lag_ms, below);
        let whole = of(100, 0, i64::MAX);
        assert_eq!((whole.clean, whole.cleanable), (1, 4));
        assert_eq!((whole.clean_bytes, whole.dirty_bytes), (10, 90));
        assert_eq!(whole.ratio(), 0.9);
        assert_eq!(of(100, 10, i64::MAX).cleanable, 4);
        assert_eq!(of(100, 11, i64::MAX).cleanable, 2);
        assert_eq!(of(100, 0, 3).cleanable, 3);
        assert_eq!(of(100, u64::MAX, 0).cleanable, 1);
        assert_eq!(of(100, u64::MAX, 0).ratio(), 0.0);
    }

    #[test]
    fn nothing_is_not_dirty() {
        assert_eq!(Dirtiness::of(&[], 0, 0, 0), Dirtiness::default());
        assert_eq!(Dirtiness::default().ratio(), 0.0);
    }
}
