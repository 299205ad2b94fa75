//! How long a client waits.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// A request's timeout; a negative one is none at all.
pub fn patience(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
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
