//! Serving HTTP on listeners that are already bound, until shutdown.

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves until `stop`; requests in flight are finished.
pub async fn serve(listeners: Vec<TcpListener>, router: Router, stop: CancellationToken) {
    let servers = listeners.into_iter().map(|listener| {
        let (router, stop) = (router.clone(), stop.clone());
        async move {
            let server =
                axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = server.await {
                tracing::error!(%error, "an HTTP listener ended");
            }
        }
    });
    futures::future::join_all(servers).await;
}
