//! How much the log may still grow, and how producers are held back as that gets less.
//!
//! Two limits count: the write-ahead log's budget, and what is left of its file system, of which a reserve stays free.
//! Near a limit each request waits the longer the less is left; at the limit records are refused, with an error that
//! clients retry. Only records are: what is little (metadata, offsets, schemas) and what frees space (deletions) goes
//! on, into the reserve or past the budget.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::CounterVec;
use tokio::time::Instant;

use crate::kafka::log_limit::LogLimit;

/// The part of the budget that is free of waits.
const FREE_PART: f64 = 0.9;
/// Requests wait from this many reserves of free disk space on.
const SLOW_RESERVES: u64 = 4;
/// Measuring costs system calls; in between, what was admitted is added.
const MEASURE_EVERY: Duration = Duration::from_millis(20);
const MIB: f64 = (1 << 20) as f64;
const MIN_WAIT: Duration = Duration::from_millis(1);
const MAX_WAIT: Duration = Duration::from_secs(10);
/// How long a client that was refused is held back.
const REFUSED_WAIT: Duration = Duration::from_secs(1);

static SLOWED: LogLimit = LogLimit::new(1, Duration::from_secs(10));
static REFUSED: LogLimit = LogLimit::new(1, Duration::from_secs(10));

/// What the log takes, and what is left beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub wal_bytes: u64,
    pub wal_budget_bytes: u64,
    /// `None` where the file system does not tell.
    pub disk_free_bytes: Option<u64>,
}

/// Which limit is near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    WalBudget,
    DiskReserve,
}

impl Limit {
    /// The value of the label `reason`.
    pub fn name(self) -> &'static str {
        match self {
            Limit::WalBudget => "wal_budget",
            Limit::DiskReserve => "disk_reserve",
        }
    }
}

/// What becomes of a request with records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    Free,
    /// It is appended, and its client waits for so long before the next one.
    Slowed(Duration),
    /// Nothing of it is appended.
    Refused(NoSpace),
}

/// Why records are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NoSpace {
    message: String,
    /// How long the client waits before it tries again.
    pub wait: Duration,
}

type Measure = Box<dyn Fn() -> Usage + Send + Sync>;

pub struct Space {
    measure: Measure,
    /// Bytes of the file system that records leave free.
    reserve_bytes: u64,
    throttled_seconds: CounterVec,
    last: Mutex<Last>,
}

/// The last measurement, and what was admitted after it.
struct Last {
    at: Instant,
    usage: Usage,
    admitted_bytes: u64,
}

impl Space {
    pub fn new(measure: Measure, reserve_bytes: u64, throttled_seconds: CounterVec) -> Arc<Space> {
        // So that the series are there before they count.
        for limit in [Limit::WalBudget, Limit::DiskReserve] {
            throttled_seconds.with_label_values(&[limit.name()]);
        }
        let last = Last {
            at: Instant::now(),
            usage: measure(),
            admitted_bytes: 0,
        };
        Arc::new(Space {
            measure,
            reserve_bytes,
            throttled_seconds,
            last: Mutex::new(last),
        })
    }

    /// Decides about a request with this many bytes of records.
    pub fn admit(&self, bytes: usize, now: Instant) -> Admission {
        let usage = self.usage_with(bytes as u64, now);
        let nearest = self.nearest(&usage);
        if nearest.is_none_or(|(_, level)| level < 1.0) {
            self.last.lock().admitted_bytes += bytes as u64;
        }
        let Some((limit, level)) = nearest else {
            return Admission::Free;
        };
        let (admission, wait) = if level < 1.0 {
            let wait = wait(level, bytes);
            (Admission::Slowed(wait), wait)
        } else {
            let message = self.message(limit, &usage);
            let wait = REFUSED_WAIT;
            (Admission::Refused(NoSpace { message, wait }), wait)
        };
        self.throttled_seconds
            .with_label_values(&[limit.name()])
            .inc_by(wait.as_secs_f64());
        self.report(limit, &usage, &admission, now);
        admission
    }

    /// What the log takes now.
    pub fn usage(&self) -> Usage {
        (self.measure)()
    }

    /// The usage once the request is in.
    fn usage_with(&self, bytes: u64, now: Instant) -> Usage {
        let mut last = self.last.lock();
        if now.saturating_duration_since(last.at) >= MEASURE_EVERY {
            *last = Last {
                at: now,
                usage: (self.measure)(),
                admitted_bytes: 0,
            };
        }
        let mut usage = last.usage;
        usage.wal_bytes += last.admitted_bytes + bytes;
        usage
    }

    /// The limit that is nearest, if one is near, and how near: 0 is where waits begin, 1 is the limit.
    fn nearest(&self, usage: &Usage) -> Option<(Limit, f64)> {
        let budget = usage.wal_budget_bytes as f64;
        let wal = (usage.wal_bytes as f64 / budget - FREE_PART) / (1.0 - FREE_PART);
        let disk = usage.disk_free_bytes.map_or(0.0, |free| {
            let reserve = self.reserve_bytes as f64;
            let slow_from = reserve * SLOW_RESERVES as f64;
            (slow_from - free as f64) / (slow_from - reserve).max(1.0)
        });
        let nearest = if wal >= disk {
            (Limit::WalBudget, wal)
        } else {
            (Limit::DiskReserve, disk)
        };
        (nearest.1 > 0.0).then_some(nearest)
    }

    fn message(&self, limit: Limit, usage: &Usage) -> String {
        match limit {
            Limit::WalBudget => format!(
                "the write-ahead log takes {} of its budget of {} MB: raise --wal-budget-mb",
                usage.wal_bytes >> 20,
                usage.wal_budget_bytes >> 20,
            ),
            Limit::DiskReserve => format!(
                "{} MB are free on the disk of the data directory, of which {} MB are kept in reserve: make room \
                 there, or lower --disk-reserve-mb",
                usage.disk_free_bytes.unwrap_or(0) >> 20,
                self.reserve_bytes >> 20,
            ),
        }
    }

    fn report(&self, limit: Limit, usage: &Usage, admission: &Admission, now: Instant) {
        let (what, lines) = match admission {
            Admission::Free => return,
            Admission::Slowed(_) => ("producers are slowed down", &SLOWED),
            Admission::Refused(_) => ("records are refused", &REFUSED),
        };
        if let Some(suppressed) = lines.permit(now) {
            let why = self.message(limit, usage);
            tracing::warn!(reason = limit.name(), suppressed, "{what}: {why}");
        }
    }
}

/// Without bound as the limit comes near, and in proportion to what is sent.
fn wait(level: f64, bytes: usize) -> Duration {
    let seconds = bytes as f64 / MIB * level / (1.0 - level);
    Duration::from_secs_f64(seconds.min(MAX_WAIT.as_secs_f64())).max(MIN_WAIT)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use prometheus::Opts;

    use super::*;

    const MB: u64 = 1 << 20;

    struct Rig {
        space: Arc<Space>,
        wal_bytes: Arc<AtomicU64>,
        free_bytes: Arc<AtomicU64>,
        now: Instant,
    }

    impl Rig {
        /// A budget of 100 MB, a reserve of 10 MB.
        fn new() -> Rig {
            let wal_bytes = Arc::new(AtomicU64::new(0));
            let free_bytes = Arc::new(AtomicU64::new(1000 * MB));
            let (wal, free) = (wal_bytes.clone(), free_bytes.clone());
            let measure = move || Usage {
                wal_bytes: wal.load(Ordering::Relaxed),
                wal_budget_bytes: 100 * MB,
                disk_free_bytes: Some(free.load(Ordering::Relaxed)),
            };
            let seconds = CounterVec::new(Opts::new("t", "t"), &["reason"]).unwrap();
            Rig {
                space: Space::new(Box::new(measure), 10 * MB, seconds),
                wal_bytes,
                free_bytes,
                now: Instant::now(),
            }
        }

        fn admit(&mut self, wal_mb: u64, free_mb: u64) -> Admission {
            self.wal_bytes.store(wal_mb * MB, Ordering::Relaxed);
            self.free_bytes.store(free_mb * MB, Ordering::Relaxed);
            self.now += MEASURE_EVERY;
            self.space.admit(MB as usize, self.now)
        }

        fn seconds(&self, limit: Limit) -> f64 {
            let counter = &self.space.throttled_seconds;
            counter.with_label_values(&[limit.name()]).get()
        }
    }

    #[test]
    fn producers_wait_longer_as_the_budget_is_used_up_and_are_refused_at_its_end() {
        let mut rig = Rig::new();
        assert_eq!(rig.admit(50, 1000), Admission::Free);
        assert_eq!(rig.admit(89, 1000), Admission::Free);
        let mut before = Duration::ZERO;
        for wal_mb in 90..98 {
            let Admission::Slowed(wait) = rig.admit(wal_mb, 1000) else {
                panic!("at {wal_mb} MB producers are slowed down");
            };
            assert!(wait > before, "{wait:?} at {wal_mb} MB");
            before = wait;
        }
        let Admission::Refused(refused) = rig.admit(100, 1000) else {
            panic!("the budget is used up");
        };
        assert!(refused.to_string().contains("--wal-budget-mb"), "{refused}");
        assert!(rig.seconds(Limit::WalBudget) > 1.0);
        assert_eq!(rig.seconds(Limit::DiskReserve), 0.0);
        assert_eq!(rig.admit(50, 1000), Admission::Free, "it heals");
    }

    #[test]
    fn the_disk_keeps_its_reserve() {
        let mut rig = Rig::new();
        assert_eq!(rig.admit(0, 41), Admission::Free);
        assert!(matches!(rig.admit(0, 20), Admission::Slowed(_)));
        let Admission::Refused(refused) = rig.admit(0, 10) else {
            panic!("only the reserve is left");
        };
        assert!(
            refused.to_string().contains("--disk-reserve-mb"),
            "{refused}"
        );
        assert_eq!(rig.admit(0, 1000), Admission::Free, "it heals");
    }

    #[test]
    fn what_was_admitted_counts_before_it_is_measured() {
        let mut rig = Rig::new();
        assert_eq!(rig.admit(80, 1000), Admission::Free);
        let admitted = (0..40).filter(|_| {
            let admission = rig.space.admit(MB as usize, rig.now);
            !matches!(admission, Admission::Refused(_))
        });
        assert_eq!(admitted.count(), 18);
    }

    #[test]
    fn a_wait_has_its_bounds() {
        assert_eq!(wait(0.001, 1), MIN_WAIT);
        assert_eq!(wait(0.5, 1 << 20), Duration::from_secs(1));
        assert_eq!(wait(0.999, 100 << 20), MAX_WAIT);
    }
}
