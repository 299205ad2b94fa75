//! When offsets are looked through for what is over, and when not: a wall clock that jumped decides nothing.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::Groups;

/// How far the wall clock may drift from the timer since the start.
const MAX_SKEW_MS: i64 = 3_600_000;

pub struct Expiry {
    next: u64,
    /// Wall-clock time minus timer time at the start.
    offset_ms: i64,
    topics: HashMap<Arc<str>, Uuid>,
}

impl Expiry {
    pub fn new(groups: &Groups) -> Expiry {
        let now = groups.env.timer_ms();
        Expiry {
            next: now.saturating_add(groups.settings().retention_check_interval_ms),
            offset_ms: wall_offset(groups),
            topics: topics(groups),
        }
    }

    /// Timer time of the next look.
    pub fn next(&self) -> u64 {
        self.next
    }

    pub fn run_if_due(&mut self, groups: &Groups) {
        let now = groups.env.timer_ms();
        if now < self.next {
            return;
        }
        self.next = now.saturating_add(groups.settings().retention_check_interval_ms.max(1));
        let skew_ms = wall_offset(groups).saturating_sub(self.offset_ms);
        if skew_ms.saturating_abs() > MAX_SKEW_MS {
            tracing::warn!(
                skew_ms,
                "the wall clock jumped; no offsets expire until it is set back or the broker restarts"
            );
            return;
        }
        for coordinator in groups.all() {
            coordinator.expire();
        }
    }

    /// The offsets of a topic go with it.
    pub fn topics_changed(&mut self, groups: &Groups) {
        let now = topics(groups);
        let before = std::mem::replace(&mut self.topics, now);
        let gone = before
            .iter()
            .filter(|(name, id)| self.topics.get(*name) != Some(*id));
        for (name, _) in gone {
            for coordinator in groups.all() {
                coordinator.forget_topic(name);
            }
        }
    }
}

fn wall_offset(groups: &Groups) -> i64 {
    let timer = i64::try_from(groups.env.timer_ms()).unwrap_or(i64::MAX);
    groups.clock().now_ms().saturating_sub(timer)
}

fn topics(groups: &Groups) -> HashMap<Arc<str>, Uuid> {
    let state = groups.meta.read();
    state
        .topics()
        .iter()
        .map(|topic| (topic.name.clone(), topic.id))
        .collect()
}
