//! Ports on the loopback that belong to one test process until it ends.
//!
//! A port that the system picks may be gone before a process under test listens there, or while it is started again: the
//! system gives it to another test, or to an outgoing connection. So ports come from below the range from which it picks,
//! and whoever has one holds the UDP port of the same number, which is how others see that it is taken.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use anyhow::{Result, bail};
use parking_lot::Mutex;

/// Linux picks from 32768 on unless it is told otherwise.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

static HELD: Mutex<Held> = Mutex::new(Held {
    next: None,
    ports: Vec::new(),
});

struct Held {
    /// Where the search goes on.
    next: Option<u16>,
    /// What keeps others from the ports that were given away.
    ports: Vec<UdpSocket>,
}

/// `N` different ports on which nobody listens, and which no other test is given while this process runs.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    let mut held = HELD.lock();
    let mut ports = [0; N];
    for port in &mut ports {
        *port = held.take()?;
    }
    Ok(ports)
}

/// The first of `count` such ports that follow each other.
pub fn row(count: u16) -> Result<u16> {
    let mut held = HELD.lock();
    let mut first = held.take()?;
    let mut last = first;
    while last - first + 1 < count {
        let port = held.take()?;
        if port != last + 1 {
            first = port;
        }
        last = port;
    }
    Ok(first)
}

impl Held {
    fn take(&mut self) -> Result<u16> {
        // Processes that run at the same time begin far from each other, which saves tries.
        let begin = || (std::process::id().wrapping_mul(977) % u32::from(COUNT)) as u16;
        let mut next = self.next.unwrap_or_else(begin);
        for _ in 0..COUNT {
            let port = FIRST + next;
            next = (next + 1) % COUNT;
            let Ok(holder) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else {
                continue;
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                self.next = Some(next);
                self.ports.push(holder);
                return Ok(port);
            }
        }
        bail!("no port of {COUNT} from {FIRST} on is free")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_was_given_away_is_not_given_again_though_nobody_listens() {
        let mine: [u16; 3] = free().expect("free ports");
        for port in mine {
            assert!((FIRST..FIRST + COUNT).contains(&port));
            assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        }
        // As another process does, which does not know of this one.
        let mut other = Held {
            next: Some(mine[0] - FIRST),
            ports: Vec::new(),
        };
        for _ in 0..3 {
            let port = other.take().expect("a free port");
            assert!(!mine.contains(&port), "{port} is given twice");
        }
    }
}
