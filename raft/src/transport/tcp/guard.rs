//! What stands between a TCP connection and the first word that is said on it.

use std::io;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A stream between two nodes.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Wire for T {}

/// Who may connect, and what protects what is said: TLS where it is configured, nothing otherwise.
pub trait Guard: Send + Sync + 'static {
    /// Secures a connection that this node opened to `HOST:PORT`. An error refuses it.
    fn connect(&self, stream: TcpStream, to: &str)
    -> BoxFuture<'static, io::Result<Box<dyn Wire>>>;

    /// Secures a connection that was opened to this node. An error refuses it.
    fn accept(&self, stream: TcpStream) -> BoxFuture<'static, io::Result<Box<dyn Wire>>>;

    /// What an error on a connection that was secured says to people. A peer may refuse this node only after
    /// [`Guard::connect`] has returned.
    fn explain(&self, error: &io::Error) -> String {
        error.to_string()
    }
}

/// Everybody may connect, and nothing is hidden: for a network of the nodes' own.
pub struct Open;

impl Guard for Open {
    fn connect(
        &self,
        stream: TcpStream,
        _to: &str,
    ) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        Box::pin(std::future::ready(Ok(Box::new(stream) as _)))
    }

    fn accept(&self, stream: TcpStream) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        Box::pin(std::future::ready(Ok(Box::new(stream) as _)))
    }
}
