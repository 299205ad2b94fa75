//! One HTTP request on a connection of its own, never repeated, and given up after a few seconds.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Result;
use compat_tests::http;
use serde_json::Value;

const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// There was no connection: nothing was asked.
    Unreachable,
    /// It may have been done.
    Unanswered(String),
}

/// Status and body.
pub fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, Value), Failure> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT);
    let stream = stream.map_err(|_| Failure::Unreachable)?;
    exchange(stream, method, path, body).map_err(|error| Failure::Unanswered(format!("{error:#}")))
}

fn exchange(stream: TcpStream, method: &str, path: &str, body: &str) -> Result<(u16, Value)> {
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let answer = http::exchange(stream, method, path, body)?;
    Ok((
        answer.status,
        serde_json::from_str(&answer.body).unwrap_or(Value::Null),
    ))
}
