//! Listening: binding addresses, accepting clients, and stopping.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::budget::ByteBudget;
use super::connection::{Connection, End, Limits};
use super::dispatch::Dispatch;
use super::log_limit::LogLimit;
use super::session::Session;
use crate::connections::Connections;

/// With port 0, how often a port is sought that is free on every address.
const FREE_PORT_ATTEMPTS: usize = 16;

static FAULTS: LogLimit = LogLimit::new(5, Duration::from_secs(10));

/// Why an address cannot be listened on, and the way out.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("{flag} {address}: not HOST:PORT ({reason}); for example {flag} 127.0.0.1:9092")]
    Address {
        flag: String,
        address: String,
        reason: String,
    },
    #[error(
        "port {port} is taken on {ip}: stop what uses it (`ss -ltnp 'sport = :{port}'` names it), or choose another \
         with {flag} HOST:PORT (port 0 picks a free one)"
    )]
    Taken { flag: String, ip: IpAddr, port: u16 },
    #[error("cannot listen on {address}: {source}; choose another address with {flag} HOST:PORT")]
    Other {
        flag: String,
        address: SocketAddr,
        source: io::Error,
    },
}

/// Listens on `HOST:PORT`. `localhost` means both loopback addresses (IPv6 where there is one), port 0 a free port,
/// the same on each. `flag` is what the user would set, for errors.
pub async fn bind(address: &str, flag: &str) -> Result<Vec<TcpListener>, BindError> {
    let addresses = resolve(address, flag).await?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        match bind_all(&addresses, flag).await {
            Err(BindError::Taken { .. })
                if addresses[0].port() == 0 && attempts < FREE_PORT_ATTEMPTS => {}
            result => return result,
        }
    }
}

async fn resolve(address: &str, flag: &str) -> Result<Vec<SocketAddr>, BindError> {
    let bad = |reason: &dyn ToString| BindError::Address {
        flag: flag.into(),
        address: address.into(),
        reason: reason.to_string(),
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(|| bad(&"no port"))?;
    let port: u16 = port.parse().map_err(|_| bad(&format!("port {port:?}")))?;
    if host == "localhost" {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let found: Vec<SocketAddr> = lookup_host(address)
        .await
        .map_err(|error| bad(&error))?
        .collect();
    if found.is_empty() {
        return Err(bad(&"the name has no address"));
    }
    Ok(found)
}

async fn bind_all(addresses: &[SocketAddr], flag: &str) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut port = addresses[0].port();
    for address in addresses {
        let address = SocketAddr::new(address.ip(), port);
        let bound = TcpListener::bind(address).await.and_then(|listener| {
            port = listener.local_addr()?.port();
            Ok(listener)
        });
        match bound {
            Ok(listener) => listeners.push(listener),
            Err(error) if is_missing_ipv6(&error, address, !listeners.is_empty()) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(BindError::Taken {
                    flag: flag.into(),
                    ip: address.ip(),
                    port,
                });
            }
            Err(source) => {
                return Err(BindError::Other {
                    flag: flag.into(),
                    address,
                    source,
                });
            }
        }
    }
    Ok(listeners)
}

/// A machine without IPv6 is served over IPv4 alone.
fn is_missing_ipv6(error: &io::Error, address: SocketAddr, has_another: bool) -> bool {
    let missing = matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
    );
    address.is_ipv6() && has_another && (missing || error.raw_os_error() == Some(EAFNOSUPPORT))
}

const EAFNOSUPPORT: i32 = 97;

/// What all connections share.
pub struct Server<B: 'static> {
    dispatch: Arc<Dispatch<B>>,
    limits: Limits,
    budget: Arc<ByteBudget>,
    connections: Arc<Connections>,
}

impl<B: Send + Sync + 'static> Server<B> {
    /// `max_request_bytes` bounds the bytes of requests in flight, over all connections.
    pub fn new(
        dispatch: Dispatch<B>,
        limits: Limits,
        max_request_bytes: usize,
        connections: Arc<Connections>,
    ) -> Arc<Self> {
        Arc::new(Server {
            dispatch: Arc::new(dispatch),
            limits,
            budget: ByteBudget::new(max_request_bytes),
            connections,
        })
    }

    pub fn dispatch(&self) -> &Arc<Dispatch<B>> {
        &self.dispatch
    }

    /// The budget of the bytes that requests hold.
    pub fn budget(&self) -> &Arc<ByteBudget> {
        &self.budget
    }

    /// Bytes that requests in flight hold.
    pub fn request_bytes(&self) -> usize {
        self.budget.used_bytes()
    }

    /// Serves clients of all `listeners` until `shutdown`; returns when every connection has drained and ended.
    pub async fn serve(self: Arc<Self>, listeners: Vec<TcpListener>, shutdown: CancellationToken) {
        let loops = listeners
            .into_iter()
            .map(|listener| self.clone().accept_loop(listener, shutdown.clone()));
        futures::future::join_all(loops).await;
    }

    async fn accept_loop(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                (stream, peer, seat) = self.connections.accept(&listener) => {
                    let serving = self.clone().serve_client(stream, peer, shutdown.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(seat);
                    });
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn serve_client(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: CancellationToken,
    ) {
        let connection = match self.connect(stream, peer, shutdown) {
            Ok(connection) => connection,
            Err(error) => return tracing::debug!(client = %peer, %error, "a client left at once"),
        };
        // A panic outside of a handler is a bug here; it ends this connection alone.
        match AssertUnwindSafe(connection.run()).catch_unwind().await {
            Ok(end) => report(peer, &end),
            Err(_) => tracing::error!(client = %peer, "a connection's task panicked"),
        }
    }

    fn connect(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: CancellationToken,
    ) -> io::Result<Connection<B>> {
        stream.set_nodelay(true)?;
        let session = Arc::new(Session::new(peer, stream.local_addr()?));
        let (dispatch, budget) = (self.dispatch.clone(), self.budget.clone());
        Ok(Connection::new(
            stream,
            session,
            dispatch,
            self.limits.clone(),
            budget,
            shutdown,
        ))
    }
}

/// One line for a client's fault, a few per ten seconds; the rest only for debugging.
fn report(peer: SocketAddr, end: &End) {
    if !end.is_fault() {
        tracing::debug!(client = %peer, %end, "connection ended");
    } else if let Some(suppressed) = FAULTS.permit(Instant::now()) {
        tracing::warn!(client = %peer, reason = %end, suppressed, "connection closed");
    }
}

#[cfg(test)]
mod tests;
