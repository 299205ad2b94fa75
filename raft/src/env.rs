//! The node's surroundings as arguments: clock, randomness, threads, disk, network, and the way to die.

use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Disk, RealDisk};
use crate::threads::{RealThreads, Threads};
use crate::transport::Transport;

/// Elapsed time since some fixed moment; only ever moves forward.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Duration;
}

/// A source of randomness; seeded in tests.
pub trait Random: Send + Sync + 'static {
    fn next(&self) -> u64;
}

/// Ends the process with a message. May return in tests only; the WAL then refuses all work.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Everything outside the node that it touches.
#[derive(Clone)]
pub struct Env {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub threads: Arc<dyn Threads>,
    pub disk: Arc<dyn Disk>,
    pub transport: Arc<dyn Transport>,
    pub fatal: Fatal,
}

impl Env {
    /// The real clock, randomness, threads and disk.
    pub fn real(transport: Arc<dyn Transport>) -> Env {
        Env {
            clock: Arc::new(RealClock::start()),
            random: Arc::new(RealRandom),
            threads: Arc::new(RealThreads),
            disk: Arc::new(RealDisk),
            transport,
            fatal: Arc::new(|message| {
                tracing::error!("{message}");
                eprintln!("weir: {message}");
                std::process::abort();
            }),
        }
    }
}

struct RealClock {
    start: std::time::Instant,
}

impl RealClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the edge that implements the clock"
    )]
    fn start() -> RealClock {
        RealClock {
            start: std::time::Instant::now(),
        }
    }
}

impl Clock for RealClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

struct RealRandom;

impl Random for RealRandom {
    fn next(&self) -> u64 {
        // The standard library seeds each of its hashers from the operating system.
        use std::hash::{BuildHasher, Hasher, RandomState};
        RandomState::new().build_hasher().finish()
    }
}
