//! Which segments are copied together, so that a partition never has very many, and files are mostly alive.

use std::ops::Range;

use weir_log::{Segment, SegmentState};

/// Segments from this size on stay as they are.
const SMALL_BYTES: u64 = 1 << 20;
/// So many small segments are worth one larger one.
const MIN_SMALL: usize = 8;

/// Runs of a partition's segments that are to become one each, oldest first: those in files of which too
/// much is dead, and the newest small ones.
pub fn runs(segments: &[Segment], in_dead_file: impl Fn(&Segment) -> bool) -> Vec<Range<usize>> {
    let small = segments.len() - small_at_the_end(segments);
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        if at < small && !in_dead_file(segment) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.end == at => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// How many of the newest segments become one.
///
/// The largest of them is at most half of the result, so that a record is copied a few times only.
fn small_at_the_end(segments: &[Segment]) -> usize {
    let newest = segments
        .iter()
        .rev()
        .take_while(|segment| segment.bytes < SMALL_BYTES && segment.state == SegmentState::Dirty);
    let (mut sum, mut largest, mut joined) = (0, 0, 0);
    for (count, segment) in (1..).zip(newest) {
        sum += segment.bytes;
        largest = segment.bytes.max(largest);
        if count >= MIN_SMALL && sum >= 2 * largest {
            joined = count;
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: SegmentState = SegmentState::Clean {
        tombstones_until_ms: None,
    };

    fn segments(sizes: &[u64]) -> Vec<Segment> {
        let segment = |(base_offset, bytes): (i64, &u64)| Segment {
            base_offset,
            last_offset: base_offset,
            max_timestamp: 0,
            file: base_offset as u64,
            at: 32,
            bytes: *bytes,
            blocks: 1,
            index_crc: 0,
            state: SegmentState::Dirty,
        };
        (0..).zip(sizes).map(segment).collect()
    }

    #[test]
    fn eight_small_ones_become_one() {
        let mut all = segments(&[SMALL_BYTES, 5, 5, 5, 5, 5, 5, 5, 5]);
        assert_eq!(runs(&all, |_| false), vec![Range { start: 1, end: 9 }]);
        assert!(runs(&all[..8], |_| false).is_empty());
        all[3].state = CLEAN;
        assert!(runs(&all, |_| false).is_empty());
    }

    #[test]
    fn segments_in_dead_files_are_copied_with_their_neighbours() {
        let all = segments(&[5; 7]);
        let dead = |segment: &Segment| [1, 2, 5].contains(&segment.file);
        assert_eq!(runs(&all, dead), [1..3, 5..6]);
    }

    #[test]
    fn a_partition_that_grows_in_small_steps_keeps_few_segments_and_copies_little() {
        let mut sizes: Vec<u64> = Vec::new();
        let (mut added, mut copied) = (0, 0);
        for step in 0..50_000u64 {
            let size = 60 + step * 7919 % 3000;
            sizes.push(size);
            added += size;
            if let [run] = &runs(&segments(&sizes), |_| false)[..] {
                let sum: u64 = sizes[run.clone()].iter().sum();
                copied += sum;
                sizes.splice(run.clone(), [sum]);
            }
            let large = sizes.iter().filter(|size| **size >= SMALL_BYTES).count();
            assert!(sizes.len() - large < 40, "{sizes:?}");
        }
        assert_eq!(sizes.iter().sum::<u64>(), added);
        assert!(copied < 10 * added, "{copied} bytes for {added}");
    }
}
