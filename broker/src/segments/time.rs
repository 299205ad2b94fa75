//! The wall clock as far as it is believed: what expired for good is not brought back by a clock that returns.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::kafka::log_limit::LogLimit;

/// A clock that is off by more is not believed.
const MAX_JUMP_MS: i64 = 3_600_000;

static JUMPED: LogLimit = LogLimit::new(1, Duration::from_secs(600));

/// See the module's description. Invariant: D11.
pub struct BelievedTime {
    clock: Arc<dyn Clock>,
    /// The wall clock and the time that only moves forward, at the same moment.
    started: (i64, Instant),
}

impl BelievedTime {
    pub fn new(clock: Arc<dyn Clock>) -> BelievedTime {
        let started = (clock.now_ms(), Instant::now());
        BelievedTime { clock, started }
    }

    /// The wall clock, unless it jumped since the start.
    pub fn now_ms(&self) -> Option<i64> {
        let now = Instant::now();
        let (started_ms, started) = self.started;
        let now_ms = self.clock.now_ms();
        let passed = i64::try_from((now - started).as_millis()).unwrap_or(i64::MAX);
        let jump_ms = now_ms.saturating_sub(started_ms).saturating_sub(passed);
        if jump_ms.saturating_abs() <= MAX_JUMP_MS {
            return Some(now_ms);
        }
        if JUMPED.permit(now).is_some() {
            tracing::warn!(
                jump_ms,
                "the clock has jumped since the start: no record expires until it is back, or weir is restarted"
            );
        }
        None
    }
}
