//! Connections that do nothing, do it slowly, or do not listen.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::BufMut;
use compat_tests::clock;

use crate::http::get;
use crate::scene::Scene;
use crate::wire::{connect, framed, header, is_hang_up};

const IDLE: usize = 1_000;
const SLOW: usize = 200;
/// Headers that do not end are given up after this time.
const HEADERS_LIMIT: Duration = Duration::from_secs(40);

pub fn attacks(scene: &mut Scene) {
    scene.attack("a thousand idle Kafka connections", 48, |scene| {
        hold(scene.weir().kafka, IDLE)
    });
    scene.attack("a thousand idle HTTP connections", 48, |scene| {
        hold(scene.weir().http, IDLE)
    });
    scene.attack("a thousand connections that come and go", 32, |scene| {
        for _ in 0..IDLE {
            drop(connect(scene.weir().kafka)?);
        }
        Ok(())
    });
    scene.attack("frames that come byte by byte", 16, |scene| {
        let mut request = header(3, 1);
        request.put_i32(0);
        drip(scene.weir().kafka, &framed(&request)).map(drop)
    });
    scene.attack("HTTP headers that come byte by byte", 32, slow_headers);
    scene.attack("clients that ask and do not listen", 256, deaf);
}

/// Opens connections and holds them for a moment.
fn hold(address: SocketAddr, count: usize) -> Result<()> {
    let held = (0..count)
        .map(|at| connect(address).with_context(|| format!("connection {at}")))
        .collect::<Result<Vec<_>>>()?;
    clock::pause(Duration::from_secs(1));
    drop(held);
    Ok(())
}

/// Sends a byte on each of many connections, then the next, but never the last one.
fn drip(address: SocketAddr, bytes: &[u8]) -> Result<Vec<TcpStream>> {
    let mut slow = (0..SLOW)
        .map(|_| connect(address))
        .collect::<Result<Vec<_>>>()?;
    for byte in &bytes[..bytes.len() - 1] {
        for stream in &mut slow {
            stream.write_all(&[*byte])?;
        }
        clock::pause(Duration::from_millis(20));
    }
    Ok(slow)
}

/// Others are served meanwhile, and the slow ones are given up in time.
fn slow_headers(scene: &Scene) -> Result<()> {
    let headers = b"GET /livez HTTP/1.1\r\nX: y\r\n\r\n";
    let mut slow = drip(scene.weir().http, headers)?;
    slow.extend(drip(scene.weir().registry, headers)?);
    ensure!(get(scene.weir().http, "/livez")? == 200);
    ensure!(get(scene.weir().registry, "/subjects")? == 200);
    let until = clock::now_ms() + HEADERS_LIMIT.as_millis() as i64;
    for mut stream in slow {
        let left = u64::try_from(until - clock::now_ms()).unwrap_or(0).max(1);
        stream.set_read_timeout(Some(Duration::from_millis(left)))?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) if is_hang_up(error.kind()) => {}
            Err(error) => return Err(error).context("slow headers are waited for"),
        }
    }
    Ok(())
}

/// Pipelines requests for as long as the broker takes them, and reads no answer.
fn deaf(scene: &Scene) -> Result<()> {
    let mut request = header(3, 1);
    request.put_i32(-1);
    let many = framed(&request).repeat(2_000);
    let mut held = Vec::new();
    for _ in 0..50 {
        let mut stream = connect(scene.weir().kafka)?;
        stream.set_write_timeout(Some(Duration::from_millis(50)))?;
        for _ in 0..20 {
            if stream.write_all(&many).is_err() {
                break;
            }
        }
        held.push(stream);
    }
    clock::pause(Duration::from_millis(500));
    Ok(())
}
