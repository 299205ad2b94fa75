//! Since when a log has held records that are not in the rows.

use std::collections::VecDeque;

use tokio::time::Instant;

/// What is kept at most. When there are more, every second one is forgotten.
const MAX_KEPT: usize = 64;

/// Ends of the log, and when each was seen first; the oldest first. The rows have reached none of them.
#[derive(Debug, Default)]
pub struct Sightings(VecDeque<(i64, Instant)>);

impl Sightings {
    /// The log ended there, and the rows have the records below `applied`.
    pub fn note(&mut self, end: i64, applied: i64, now: Instant) {
        while self.0.front().is_some_and(|(seen, _)| *seen <= applied) {
            self.0.pop_front();
        }
        if end <= applied || self.0.back().is_some_and(|(seen, _)| *seen >= end) {
            return;
        }
        if self.0.len() == MAX_KEPT {
            let mut place = 0;
            self.0.retain(|_| {
                place += 1;
                place % 2 == 1
            });
        }
        self.0.push_back((end, now));
    }

    /// Since when the next record to fold has been there, as far as was seen; `None` where the rows have all.
    pub fn since(&self, applied: i64) -> Option<Instant> {
        let waiting = self.0.iter().find(|(end, _)| *end > applied);
        waiting.map(|(_, seen)| *seen)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_waits_has_waited_since_its_end_was_seen() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut sightings = Sightings::default();
        assert_eq!(sightings.since(0), None);
        sightings.note(10, 0, at(1));
        sightings.note(10, 0, at(2));
        sightings.note(30, 4, at(3));
        assert_eq!(sightings.since(9), Some(at(1)));
        assert_eq!(sightings.since(10), Some(at(3)));
        sightings.note(50, 30, at(4));
        assert_eq!(sightings.since(30), Some(at(4)));
        sightings.note(50, 50, at(5));
        assert_eq!(sightings.since(50), None);
    }

    #[test]
    fn a_log_that_runs_away_is_kept_in_bounds_and_its_oldest_end_known() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut sightings = Sightings::default();
        for seconds in 1..10_000 {
            sightings.note(seconds as i64 * 10, 5, at(seconds));
        }
        assert!(sightings.0.len() <= MAX_KEPT);
        assert_eq!(sightings.since(5), Some(at(1)));
        assert!(
            sightings
                .since(99_000)
                .is_some_and(|since| since > at(9_000))
        );
    }
}
