//! Serving HTTP on listeners that are already bound, until shutdown.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::middleware;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::bodies::{self, Bodies};
use crate::connections::{Connections, Seat};

/// How long a request's line and headers may take to arrive, counted from the answer before: a connection that is not
/// used is closed too.
const HEADERS_LIMIT: Duration = Duration::from_secs(30);
/// How long requests in flight at the stop may take. Some clients never finish theirs.
const DRAIN: Duration = Duration::from_secs(2);
/// Line and headers of a request.
const HEADERS_BYTES: usize = 64 << 10;

/// Serves until `stop`; requests in flight are finished.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    connections: Arc<Connections>,
    stop: CancellationToken,
) {
    let bounded = middleware::from_fn_with_state(Arc::new(Bodies::default()), bodies::bound);
    let router = router.layer(bounded);
    let loops = listeners
        .into_iter()
        .map(|listener| accept_loop(listener, router.clone(), connections.clone(), stop.clone()));
    futures::future::join_all(loops).await;
}

async fn accept_loop(
    listener: TcpListener,
    router: Router,
    connections: Arc<Connections>,
    stop: CancellationToken,
) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = clients.join_next(), if !clients.is_empty() => {}
            (stream, _, seat) = connections.accept(&listener) => {
                clients.spawn(serve_client(stream, seat, router.clone(), stop.clone()));
            }
        }
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

/// The seat is the client's while it is connected.
async fn serve_client(stream: TcpStream, _seat: Seat, router: Router, stop: CancellationToken) {
    // Only speed is lost where this fails.
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let response = router.oneshot(request.map(Body::new)).await;
            Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_LIMIT)
        .max_buf_size(HEADERS_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(DRAIN, connection).await {
                Ok(served) => served,
                Err(_) => return tracing::debug!("an HTTP client was left at the stop"),
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}
