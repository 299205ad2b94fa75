//! One HTTP request on a connection of its own, never repeated, and given up after a few seconds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
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

fn exchange(mut stream: TcpStream, method: &str, path: &str, body: &str) -> Result<(u16, Value)> {
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    // The end of the connection may be one that was cut.
    anyhow::ensure!(length == Some(body.len()), "the answer was cut off");
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}
