//! The run's clock as the nodes see it.

use std::time::Duration;

use tokio::time::Instant;
use weir_raft::Clock;

/// Time since the run's start.
pub struct SimClock {
    start: Instant,
}

impl SimClock {
    pub fn start() -> SimClock {
        SimClock {
            start: Instant::now(),
        }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}
