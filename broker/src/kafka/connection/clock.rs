//! How long a connection's client may keep the broker waiting.

use std::time::Duration;

use tokio::time::Instant;

use super::{End, Limits};

/// When a frame is late, how often its progress is looked at.
const LATE_CHECK: Duration = Duration::from_secs(1);

/// Since when the client owes what.
#[derive(Debug)]
pub struct Patience {
    last_read: Instant,
    /// Since when a frame that began is waited for. Not set while the broker itself does not read.
    frame_awaited: Option<Instant>,
}

impl Patience {
    pub fn new(now: Instant) -> Self {
        Patience {
            last_read: now,
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
    pub fn check(
        &self,
        limits: &Limits,
        now: Instant,
        arrived_bytes: usize,
        nothing_in_flight: bool,
    ) -> Result<Instant, End> {
        if let Some(since) = self.frame_awaited {
            let late = now.duration_since(since).saturating_sub(limits.frame_grace);
            let due_bytes = late.as_secs_f64() * limits.min_frame_rate as f64;
            return match now.checked_duration_since(since + limits.frame_grace) {
                None => Ok(since + limits.frame_grace),
                Some(_) if (arrived_bytes as f64) > due_bytes && arrived_bytes > 4 => {
                    Ok(now + LATE_CHECK)
                }
                Some(_) => Err(End::SlowFrame { arrived_bytes }),
            };
        }
        let idle_until = self.last_read + limits.idle;
        if now < idle_until {
            Ok(idle_until)
        } else if nothing_in_flight {
            Err(End::Idle)
        } else {
            Ok(now + limits.idle)
        }
    }
}
