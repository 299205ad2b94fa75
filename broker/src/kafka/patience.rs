//! How long a client waits for an administrative request.

use std::time::Duration;

/// A request's timeout; a negative one is none at all.
pub fn patience(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}
