//! HTTP: bodies, headers and paths without end, on both ports.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::scene::Scene;
use crate::wire::{connect, is_hang_up};

/// More than any body may take.
const TOO_MUCH: usize = 64 << 20;
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

pub fn attacks(scene: &mut Scene) {
    for (name, port) in [("registry", true), ("tables", false)] {
        let address = move |scene: &Scene| match port {
            true => scene.weir().registry,
            false => scene.weir().http,
        };
        let path = match port {
            true => "/subjects/s-value/versions",
            false => "/v1/tables/nowhere/lookup",
        };
        scene.attack(
            &format!("{name}: a body whose length is too much"),
            48,
            |scene| {
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: weir\r\nContent-Length: {TOO_MUCH}\r\n\r\n"
                );
                for _ in 0..5 {
                    let status = pour(
                        address(scene),
                        head.as_bytes(),
                        &[b' '; 64 * 1024],
                        TOO_MUCH,
                    )?;
                    ensure!(refuses(status), "{status:?}");
                }
                Ok(())
            },
        );
        scene.attack(
            &format!("{name}: a body without a length and end"),
            48,
            |scene| {
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: weir\r\nTransfer-Encoding: chunked\r\n\r\n"
                );
                let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
                for _ in 0..5 {
                    let status = pour(address(scene), head.as_bytes(), &chunk, TOO_MUCH)?;
                    ensure!(refuses(status), "{status:?}");
                }
                Ok(())
            },
        );
        scene.attack(
            &format!("{name}: many large bodies at once"),
            128,
            |scene| many_bodies(address(scene), path),
        );
        scene.attack(
            &format!("{name}: headers and a path without end"),
            16,
            |scene| {
                let line = [b'a'; 4096];
                for start in ["GET /", "GET / HTTP/1.1\r\nX: "] {
                    let status = pour(address(scene), start.as_bytes(), &line, TOO_MUCH)?;
                    ensure!(refuses(status), "{status:?}");
                }
                let many = b"X-Header: value\r\n".repeat(256);
                let status = pour(address(scene), b"GET / HTTP/1.1\r\n", &many, TOO_MUCH)?;
                ensure!(refuses(status), "{status:?}");
                Ok(())
            },
        );
        scene.attack(&format!("{name}: what is no HTTP"), 8, |scene| {
            for noise in [
                &b"\0\0\0\x10\0\x03\0\0\0\0\0\x07"[..],
                b"\r\n\r\n\r\n",
                b"\x16\x03\x01\x02\0\x01",
            ] {
                let status = pour(address(scene), noise, &[0; 1024], 1 << 20)?;
                ensure!(refuses(status), "{status:?}");
            }
            Ok(())
        });
    }
    scene.attack("registry: JSON of a million brackets", 48, |scene| {
        for bracket in ["[", "{\"a\":"] {
            let status = post(
                scene.weir().registry,
                "/subjects/s/versions",
                bracket.repeat(1_000_000).as_bytes(),
            )?;
            ensure!(refuses(Some(status)), "{status}");
        }
        Ok(())
    });
    scene.attack("both ports still answer", 8, |scene| {
        ensure!(get(scene.weir().registry, "/subjects")? == 200);
        ensure!(get(scene.weir().http, "/readyz")? == 200);
        Ok(())
    });
}

/// A refusal, or a closed connection; a server that is broken does neither.
fn refuses(status: Option<u16>) -> bool {
    status.is_none_or(|status| (400..500).contains(&status) || status == 503)
}

/// Sends a beginning, then the same bytes again and again until `total` went out or the server has had enough.
/// The status of its answer; `None` where it only hangs up.
fn pour(address: SocketAddr, start: &[u8], more: &[u8], total: usize) -> Result<Option<u16>> {
    let mut stream = connect(address)?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(start)?;
    let mut sent = 0;
    while sent < total {
        match stream.write(more) {
            Ok(written) => sent += written,
            Err(error) if is_hang_up(error.kind()) => break,
            Err(error) => return Err(error).context("the server neither reads nor hangs up"),
        }
        if answered(&mut stream)? {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    status(stream)
}

/// Whether anything came, or the connection is closed.
fn answered(stream: &mut std::net::TcpStream) -> Result<bool> {
    stream.set_nonblocking(true)?;
    let came = match stream.peek(&mut [0; 1]) {
        Ok(_) => true,
        Err(error) => is_hang_up(error.kind()),
    };
    stream.set_nonblocking(false)?;
    Ok(came)
}

fn status(mut stream: std::net::TcpStream) -> Result<Option<u16>> {
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") && answer.len() < 1024 {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => answer.push(byte[0]),
            Err(error) if is_hang_up(error.kind()) => break,
            Err(error) => return Err(error).context("neither an answer nor a closed connection"),
        }
    }
    let line = String::from_utf8_lossy(&answer);
    let code = line.split(' ').nth(1);
    Ok(code.and_then(|code| code.parse().ok()))
}

pub fn post(address: SocketAddr, path: &str, body: &[u8]) -> Result<u16> {
    Ok(send(address, "POST", path, body)?.status)
}

pub fn get(address: SocketAddr, path: &str) -> Result<u16> {
    Ok(send(address, "GET", path, b"")?.status)
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// A good request on a connection of its own. A server may answer and hang up before it has read all of it.
pub fn send(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
    let mut stream = connect(address)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if is_hang_up(error.kind()) => {}
        Err(error) => return Err(error).context("neither an answer nor a closed connection"),
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the connection was closed without an answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer {
        status,
        body: body.to_string(),
    })
}

/// A hundred clients each send almost as much as one body may take, and then nothing.
fn many_bodies(address: SocketAddr, path: &str) -> Result<()> {
    const BODY: usize = 7 << 20;
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(address)?;
        stream.set_write_timeout(Some(Duration::from_millis(200)))?;
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: weir\r\nContent-Length: {}\r\n\r\n",
            BODY + 1
        )?;
        // A server that has enough of them reads no further, answers or hangs up.
        let _ = stream.write_all(&vec![b' '; BODY]);
        held.push(stream);
    }
    Ok(())
}
