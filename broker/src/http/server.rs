//! Serving HTTP on listeners that are already bound, until shutdown.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::connections::{Connections, Seat};

/// How long requests in flight at the stop may take. Some clients never finish theirs.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves until `stop`; requests in flight are finished.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    connections: Arc<Connections>,
    stop: CancellationToken,
) {
    let servers = listeners.into_iter().map(|listener| {
        let (router, stop) = (router.clone(), stop.clone());
        let listener = Door {
            listener,
            connections: connections.clone(),
        };
        async move {
            let drained = {
                let stop = stop.clone();
                async move {
                    stop.cancelled().await;
                    tokio::time::sleep(DRAIN).await;
                }
            };
            let server =
                axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
            tokio::select! {
                ended = server.into_future() => if let Err(error) = ended {
                    tracing::error!(%error, "an HTTP listener ended");
                },
                () = drained => tracing::debug!("HTTP clients were left at the stop"),
            }
        }
    });
    futures::future::join_all(servers).await;
}

/// A listener that lets in as many clients as may be.
struct Door {
    listener: TcpListener,
    connections: Arc<Connections>,
}

impl axum::serve::Listener for Door {
    type Io = Client;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Client, SocketAddr) {
        let (stream, peer, seat) = self.connections.accept(&self.listener).await;
        // Only speed is lost where this fails.
        let _ = stream.set_nodelay(true);
        let client = Client {
            stream,
            _seat: seat,
        };
        (client, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A client's stream, which keeps its place while it is open.
struct Client {
    stream: TcpStream,
    _seat: Seat,
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
