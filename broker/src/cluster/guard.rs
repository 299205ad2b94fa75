//! TLS between nodes: each end shows the other a certificate, and takes only one of a CA that it trusts.
//!
//! Who is a node? Whoever has a certificate of the CA, since each node may do everything to its cluster; so the CA
//! is one for nodes alone, unless a name says which of its certificates are nodes'. Beside that
//! - without a name, whoever dials asks that the certificate be for the host that it dialled, so that nothing else
//!   that answers at a node's address is taken for it. Who connects is not asked for a host: addresses of callers are
//!   those of gateways and containers, and where others check them it is for their users to switch off;
//! - with a name, both ends ask that the certificate be for it and not for a host, so that addresses may change.
//!
//! A cluster that runs without TLS is changed over in two rounds of restarts: with [`TlsMode::Prefer`], where a node
//! tries TLS first and takes what it gets, and then without. It protects from nobody before the second round is over.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use rustls::pki_types::{DnsName, ServerName};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::task::AbortOnDropHandle;
use weir_raft::{Guard, Open, Wire};

use crate::options::{ClusterTls, Options, TlsMode, host_of};
use crate::tls::{Files, Mutual, Names, Renewed, TlsError, reason};

/// The first byte that a TLS client says.
const HANDSHAKE: u8 = 0x16;
/// rustls asks for 4 KB at a time: so much, two records, is taken from the system at once.
const READ_BUFFER_BYTES: usize = 32 << 10;

#[derive(Debug, thiserror::Error)]
pub enum ClusterTlsError {
    #[error(
        "{0} is missing: TLS between nodes takes --cluster-tls-cert, --cluster-tls-key and --cluster-tls-ca"
    )]
    Missing(&'static str),
    #[error("--cluster-tls-name {0}: not a DNS name; for example --cluster-tls-name weir.internal")]
    Name(String),
    #[error("TLS between nodes: {0}")]
    Files(#[from] TlsError),
}

/// What secures this node's connections to others, as its options say. Handshakes are computed on `edge`.
pub fn guard(options: &Options, edge: &Handle) -> Result<Arc<dyn Guard>, ClusterTlsError> {
    let Some(files) = files(&options.cluster_tls)? else {
        return Ok(Arc::new(Open));
    };
    let name = match &options.cluster_tls.name {
        Some(name) => Some(shared_name(name)?),
        None => None,
    };
    let names = Names {
        caller: name.clone(),
        own: name.clone().or_else(|| own_host(options)),
    };
    let paths = files.paths();
    let ends = Renewed::new(paths, move || Mutual::read(&files, &names))?;
    let mode = options.cluster_tls.mode.unwrap_or_default();
    if mode == TlsMode::Prefer {
        tracing::warn!(
            "nodes without TLS are let in (--cluster-tls-mode prefer): require it once all nodes have it"
        );
    }
    Ok(Arc::new(MutualTls(Arc::new(Shared {
        ends,
        name,
        mode,
        edge: edge.clone(),
        plain: Mutex::default(),
    }))))
}

/// The files of TLS between nodes, where it is wanted.
fn files(options: &ClusterTls) -> Result<Option<Files>, ClusterTlsError> {
    if *options == ClusterTls::default() {
        return Ok(None);
    }
    let needed = |path: &Option<_>, flag| path.clone().ok_or(ClusterTlsError::Missing(flag));
    Ok(Some(Files {
        cert: needed(&options.cert, "--cluster-tls-cert")?,
        key: needed(&options.key, "--cluster-tls-key")?,
        ca: needed(&options.ca, "--cluster-tls-ca")?,
    }))
}

fn shared_name(name: &str) -> Result<ServerName<'static>, ClusterTlsError> {
    let wrong = |_| ClusterTlsError::Name(name.to_owned());
    let name = DnsName::try_from(name.to_owned()).map_err(wrong)?;
    Ok(ServerName::DnsName(name))
}

/// The host at which others are told to dial this node; none of a wildcard, which cannot be dialled.
fn own_host(options: &Options) -> Option<ServerName<'static>> {
    let address = options.cluster_advertise.as_ref();
    let host = host_of(address.unwrap_or(&options.cluster_listen)).to_owned();
    match ServerName::try_from(host).ok()? {
        ServerName::IpAddress(ip) if std::net::IpAddr::from(ip).is_unspecified() => None,
        name => Some(name),
    }
}

struct MutualTls(Arc<Shared>);

struct Shared {
    ends: Renewed<Mutual, TlsError>,
    /// For whom the certificates of all nodes are; else each for its host.
    name: Option<ServerName<'static>>,
    mode: TlsMode,
    edge: Handle,
    /// Addresses at which TLS was not answered the last time, in [`TlsMode::Prefer`].
    plain: Mutex<BTreeSet<String>>,
}

impl Shared {
    /// For whom the certificate must be of whoever answers at `HOST:PORT`.
    fn name_at(&self, address: &str) -> io::Result<ServerName<'static>> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let name = ServerName::try_from(host_of(address).to_owned());
        name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    async fn connect(
        self: Arc<Shared>,
        stream: TcpStream,
        to: String,
    ) -> io::Result<Box<dyn Wire>> {
        if self.plain.lock().remove(&to) {
            tracing::warn!(
                address = to,
                "a node without TLS: what is said to it is not protected"
            );
            return Ok(Box::new(stream));
        }
        let name = self.name_at(&to)?;
        let shared = self.clone();
        let secured = self.beside(async move {
            let connector = TlsConnector::from(shared.ends.get().client.clone());
            connector.connect(name, buffered(stream)).await
        });
        match secured.await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) if hung_up(&error) => {
                if self.mode == TlsMode::Prefer {
                    self.plain.lock().insert(to);
                }
                Err(io::Error::other(format!(
                    "it hung up when it was greeted in TLS ({error}): {NO_TLS}"
                )))
            }
            Err(error) => Err(error),
        }
    }

    async fn accept(self: Arc<Shared>, stream: TcpStream) -> io::Result<Box<dyn Wire>> {
        if self.mode == TlsMode::Prefer {
            let mut first = [HANDSHAKE];
            stream.peek(&mut first).await?;
            if first != [HANDSHAKE] {
                return Ok(Box::new(stream));
            }
        }
        let shared = self.clone();
        let secured = self.beside(async move {
            let acceptor = TlsAcceptor::from(shared.ends.get().server.clone());
            acceptor.accept(buffered(stream)).await
        });
        Ok(Box::new(secured.await?))
    }

    /// Runs a handshake off the data thread, for as long as it is waited for.
    async fn beside<T: Send + 'static>(
        &self,
        handshake: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let handshake = AbortOnDropHandle::new(self.edge.spawn(handshake));
        handshake.await.map_err(io::Error::other)?
    }
}

const NO_TLS: &str = "if it has no TLS, give it --cluster-tls-cert, --cluster-tls-key and --cluster-tls-ca; while \
                      nodes are changed over, --cluster-tls-mode prefer here takes it without";

impl Guard for MutualTls {
    fn connect(
        &self,
        stream: TcpStream,
        to: &str,
    ) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        Box::pin(self.0.clone().connect(stream, to.to_owned()))
    }

    fn accept(&self, stream: TcpStream) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        Box::pin(self.0.clone().accept(stream))
    }

    fn explain(&self, error: &io::Error) -> String {
        let inner = error.get_ref();
        match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) if reason::is_no_tls(error) => {
                format!("{}: {NO_TLS}", reason::of_peer(error))
            }
            Some(error) => reason::of_peer(error),
            // rustls speaks of the end of a TCP connection at length.
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                "the other side closed it".to_owned()
            }
            None => error.to_string(),
        }
    }
}

fn buffered(stream: TcpStream) -> BufReader<TcpStream> {
    BufReader::with_capacity(READ_BUFFER_BYTES, stream)
}

/// Whether whoever was greeted in TLS said nothing, as a node without TLS does.
fn hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

#[cfg(test)]
mod tests;
