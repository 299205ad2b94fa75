//! How long a connection's client may keep the broker waiting.

use std::time::Duration;

use tokio::time::Instant;

use super::{End, Limits};

/// When a frame is late, how often its progress is looked at.
const LATE_CHECK: Duration = Duration::from_secs(1);
/// A length without a frame: no progress at all.
const PREFIX_BYTES: usize = 4;

/// Since when the client owes what.
#[derive(Debug)]
pub struct Patience {
    last_read: Instant,
    last_write: Instant,
    /// Since when a frame that began is waited for. Not set while the broker itself does not read.
    frame_awaited: Option<Instant>,
}

/// What is under way when the time is checked.
#[derive(Debug, Clone, Copy)]
pub struct Owed {
    /// Requests are in flight.
    pub answers: bool,
    /// Answers wait for the socket.
    pub unsent: bool,
    /// Of the frame that is not whole.
    pub arrived_bytes: usize,
}

impl Patience {
    pub fn new(now: Instant) -> Self {
        Patience {
            last_read: now,
            last_write: now,
            frame_awaited: None,
        }
    }

    /// When bytes came last.
    pub fn last_read(&self) -> Instant {
        self.last_read
    }

    pub fn read(&mut self, now: Instant) {
        self.last_read = now;
    }

    pub fn wrote(&mut self, now: Instant) {
        self.last_write = now;
    }

    /// The rest of a frame is waited for; by when it is to be looked at again.
    pub fn awaiting_frame(&mut self, limits: &Limits) -> Instant {
        *self.frame_awaited.get_or_insert(self.last_read) + limits.frame_grace
    }

    pub fn frame_is_whole(&mut self) {
        self.frame_awaited = None;
    }

    /// The broker holds the client back, so that time does not count.
    pub fn not_reading(&mut self) {
        self.frame_awaited = None;
    }

    /// When to check next, or that the client has used up its time.
    pub fn check(&self, limits: &Limits, now: Instant, owed: Owed) -> Result<Instant, End> {
        match self.frame_awaited {
            Some(since) => Self::check_frame(limits, now, since, owed.arrived_bytes),
            None => self.check_idle(limits, now, owed),
        }
    }

    fn check_frame(
        limits: &Limits,
        now: Instant,
        since: Instant,
        arrived_bytes: usize,
    ) -> Result<Instant, End> {
        let grace_ends = since + limits.frame_grace;
        let Some(late) = now.checked_duration_since(grace_ends) else {
            return Ok(grace_ends);
        };
        let due_bytes = (late.as_secs_f64() * limits.min_frame_rate as f64) as usize;
        if arrived_bytes > due_bytes.max(PREFIX_BYTES) {
            Ok(now + LATE_CHECK)
        } else {
            Err(End::SlowFrame { arrived_bytes })
        }
    }

    fn check_idle(&self, limits: &Limits, now: Instant, owed: Owed) -> Result<Instant, End> {
        let idle_until = self.last_read.max(self.last_write) + limits.idle;
        if now < idle_until {
            Ok(idle_until)
        } else if owed.unsent {
            Err(End::Stalled)
        } else if owed.answers {
            Ok(now + limits.idle)
        } else {
            Err(End::Idle)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Owed = Owed {
        answers: false,
        unsent: false,
        arrived_bytes: 0,
    };

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_client_goes_and_one_that_waits_stays() {
        let (limits, start) = (Limits::default(), Instant::now());
        let mut patience = Patience::new(start);
        patience.wrote(at(start, 100));
        let check = |seconds, owed| patience.check(&limits, at(start, seconds), owed);
        assert_eq!(check(600, NOTHING).unwrap(), at(start, 700));
        assert!(matches!(check(700, NOTHING), Err(End::Idle)));
        let waiting = Owed {
            answers: true,
            ..NOTHING
        };
        assert_eq!(check(700, waiting).unwrap(), at(start, 1300));
        let stalled = Owed {
            unsent: true,
            ..waiting
        };
        assert!(matches!(check(700, stalled), Err(End::Stalled)));
    }

    #[test]
    fn a_late_frame_must_keep_its_rate() {
        let (limits, start) = (Limits::default(), Instant::now());
        let mut patience = Patience::new(start);
        assert_eq!(patience.awaiting_frame(&limits), at(start, 30));
        let check = |seconds, arrived_bytes| {
            let owed = Owed {
                arrived_bytes,
                ..NOTHING
            };
            patience.check(&limits, at(start, seconds), owed)
        };
        assert_eq!(check(10, 1).unwrap(), at(start, 30));
        assert!(matches!(
            check(30, 4),
            Err(End::SlowFrame { arrived_bytes: 4 })
        ));
        assert!(check(30, 5).is_ok());
        assert!(check(40, 9 * 4096).is_err());
        assert!(check(40, 11 * 4096).is_ok());
    }
}
