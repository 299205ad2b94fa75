//! Request bodies: what all of them may hold at once, and how long one may take.
//!
//! A handler has its whole body in memory, so each edge limits one body. Many clients with one large body each, or
//! with one that never ends, are limited here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::{Stream, unfold};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

/// Bytes of bodies that are being read or handled, over all connections of a listener.
const LIMIT_BYTES: usize = 64 << 20;
/// Of every body so much may come whatever the others hold, so that small requests go on.
const FREE_BYTES: usize = 64 << 10;
/// A body has so long, and after it as long as it keeps [`MIN_RATE`].
const GRACE: Duration = Duration::from_secs(30);
/// Bytes per second.
const MIN_RATE: usize = 4 * 1024;

/// The bytes that bodies hold.
#[derive(Debug, Default)]
pub struct Bodies {
    used_bytes: AtomicUsize,
}

/// What one request's body holds, until its answer is there.
#[derive(Debug)]
struct Held {
    bodies: Arc<Bodies>,
    arrived_bytes: AtomicUsize,
}

#[derive(Debug, Error)]
enum BodyError {
    #[error("{0}")]
    Broken(axum::Error),
    #[error("the request's body did not arrive in time")]
    Slow,
    #[error("too many large request bodies at once, retry")]
    Full,
}

/// Bounds a request's body on its way to the handler.
pub async fn bound(State(bodies): State<Arc<Bodies>>, request: Request, next: Next) -> Response {
    let held = Arc::new(Held {
        bodies,
        arrived_bytes: AtomicUsize::new(0),
    });
    let full = Arc::new(AtomicUsize::new(0));
    let told = full.clone();
    let request = request.map(|body| {
        let pieces = pieces(body.into_data_stream(), held.clone());
        Body::from_stream(pieces.inspect(move |piece| {
            if matches!(piece, Err(BodyError::Full)) {
                told.store(1, Ordering::Release);
            }
        }))
    });
    let response = next.run(request).await;
    drop(held);
    // The handler knows only that it could not read the body.
    match full.load(Ordering::Acquire) {
        0 => response,
        _ => (StatusCode::SERVICE_UNAVAILABLE, BodyError::Full.to_string()).into_response(),
    }
}

fn pieces(
    body: BodyDataStream,
    held: Arc<Held>,
) -> impl Stream<Item = Result<Bytes, BodyError>> + Send {
    let began = Instant::now();
    unfold(Some(body), move |body| {
        let held = held.clone();
        async move {
            let mut body = body?;
            let arrived = held.arrived_bytes.load(Ordering::Acquire);
            let paid = Duration::from_secs((arrived / MIN_RATE) as u64);
            let piece = match timeout_at(began + GRACE + paid, body.next()).await {
                Err(_) => Err(BodyError::Slow),
                Ok(None) => return None,
                Ok(Some(Err(error))) => Err(BodyError::Broken(error)),
                Ok(Some(Ok(piece))) => held.take(piece.len()).map(|()| piece),
            };
            let rest = piece.is_ok().then_some(body);
            Some((piece, rest))
        }
    })
}

impl Held {
    fn take(&self, bytes: usize) -> Result<(), BodyError> {
        let arrived = self.arrived_bytes.fetch_add(bytes, Ordering::AcqRel) + bytes;
        let used = self.bodies.used_bytes.fetch_add(bytes, Ordering::AcqRel) + bytes;
        if arrived > FREE_BYTES && used > LIMIT_BYTES {
            return Err(BodyError::Full);
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let arrived = *self.arrived_bytes.get_mut();
        self.bodies.used_bytes.fetch_sub(arrived, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(bodies: &Arc<Bodies>) -> Held {
        Held {
            bodies: bodies.clone(),
            arrived_bytes: AtomicUsize::new(0),
        }
    }

    #[test]
    fn large_bodies_are_refused_past_the_limit_and_small_ones_go_on() {
        let bodies = Arc::new(Bodies::default());
        let first = held(&bodies);
        assert!(first.take(LIMIT_BYTES).is_ok());
        let (small, large) = (held(&bodies), held(&bodies));
        assert!(small.take(FREE_BYTES).is_ok());
        assert!(matches!(large.take(FREE_BYTES + 1), Err(BodyError::Full)));
        drop((first, large));
        assert!(small.take(1).is_ok());
        drop(small);
        assert_eq!(bodies.used_bytes.load(Ordering::Acquire), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_given_up() {
        let bodies = Arc::new(Bodies::default());
        let never = futures::stream::pending::<Result<Bytes, axum::Error>>();
        let body = Body::from_stream(never).into_data_stream();
        let piece = Box::pin(pieces(body, Arc::new(held(&bodies)))).next().await;
        assert!(matches!(piece, Some(Err(BodyError::Slow))));
    }
}
