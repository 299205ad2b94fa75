//! The real clock, for tests that wait for real processes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
#[allow(
    clippy::disallowed_methods,
    reason = "the tests stand outside the product and time real processes"
)]
pub fn now_ms() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since_epoch.as_millis() as i64
}

/// Blocks the calling thread.
#[allow(
    clippy::disallowed_methods,
    reason = "the tests stand outside the product and wait for real processes"
)]
pub fn pause(how_long: Duration) {
    std::thread::sleep(how_long);
}

/// Asks `done` every `step` until it answers or `limit` has passed.
pub fn wait_for<T>(
    limit: Duration,
    step: Duration,
    mut done: impl FnMut() -> Option<T>,
) -> Option<T> {
    let deadline = now_ms() + limit.as_millis() as i64;
    loop {
        if let Some(value) = done() {
            return Some(value);
        }
        if now_ms() >= deadline {
            return None;
        }
        pause(step);
    }
}
