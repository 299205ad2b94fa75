//! How long a client waits.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// A request's timeout; a negative one is none at all.
pub fn patience(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

/// A write takes an fsync, so a shorter wait than this would tell nothing. Kafka's leader, too, does its own part of a
/// request whatever the timeout, which clients set to 0 where they do not want to wait for followers.
const MIN_FOR_A_WRITE: Duration = Duration::from_secs(1);

/// The timeout of a request that writes to partitions.
pub fn patience_for_a_write(timeout_ms: i32) -> Duration {
    patience(timeout_ms).max(MIN_FOR_A_WRITE)
}

/// The answer, once it is there; `None` when nobody will give it any more, or when the node stops.
pub async fn unless_stopping<T>(
    stopping: &CancellationToken,
    answer: oneshot::Receiver<T>,
) -> Option<T> {
    tokio::select! {
        biased;
        answer = answer => answer.ok(),
        () = stopping.cancelled() => None,
    }
}
