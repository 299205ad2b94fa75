//! The real clock, in microseconds since a run began, so that what happened can be put in order.

use std::time::{Duration, Instant};

pub use compat_tests::clock::{pause, wait_for};

/// Microseconds since the run began.
pub type Micros = u64;

/// When a run began.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(
        clippy::disallowed_methods,
        clippy::new_without_default,
        reason = "the harness stands outside the product and times real processes"
    )]
    pub fn new() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    pub fn micros(&self) -> Micros {
        self.0.elapsed().as_micros() as Micros
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
