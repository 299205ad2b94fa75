//! HTTP/1.1 requests, one per connection, for tests that are not asynchronous.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

pub fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    ask(address, "GET", path, "")
}

/// Sends `body` as JSON.
pub fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<Answer> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    exchange(stream, method, path, body)
}

/// Sends `body` as JSON on a connection, and reads to its end. An answer that was cut off is an error.
pub fn exchange(mut stream: TcpStream, method: &str, path: &str, body: &str) -> Result<Answer> {
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
    ensure!(length == Some(body.len()), "the answer was cut off");
    Ok(Answer {
        status,
        body: body.to_owned(),
    })
}
