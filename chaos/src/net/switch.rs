//! Carries packets between the ports.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use compat_tests::luck::Luck;
use parking_lot::{Condvar, Mutex};
use tun_tap::Iface;

use super::link::{Counts, Links};
use super::port_of;
use crate::time::Stopwatch;

const LONGEST_PACKET: usize = 65_536;
/// Where IPv4 has the address to which a packet goes.
const DESTINATION: std::ops::Range<usize> = 16..20;

/// One thread per port reads, and one more sends what was delayed. They end with the process.
pub struct Switch(Arc<Fabric>);

struct Fabric {
    ports: Vec<Iface>,
    state: Mutex<State>,
    /// What is sent later, the next first.
    later: Mutex<BinaryHeap<Reverse<Later>>>,
    sooner: Condvar,
    clock: Stopwatch,
}

struct State {
    links: Links,
    busy_until: BTreeMap<(usize, usize), Duration>,
    luck: Luck,
    counts: Counts,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Later {
    at: Duration,
    /// Packets of the same time keep their order.
    number: u64,
    to: usize,
    packet: Vec<u8>,
}

impl Switch {
    pub fn start(ports: Vec<Iface>, seed: u64) -> Switch {
        let count = ports.len();
        let fabric = Arc::new(Fabric {
            ports,
            state: Mutex::new(State {
                links: Links::new(),
                busy_until: BTreeMap::new(),
                luck: Luck::new(seed),
                counts: Counts::new(),
            }),
            later: Mutex::new(BinaryHeap::new()),
            sooner: Condvar::new(),
            clock: Stopwatch::new(),
        });
        for port in 0..count {
            let fabric = fabric.clone();
            std::thread::spawn(move || fabric.read(port));
        }
        let sender = fabric.clone();
        std::thread::spawn(move || sender.send_later());
        Switch(fabric)
    }

    /// Links that are not named are as a wire.
    pub fn set(&self, links: Links) {
        let mut state = self.0.state.lock();
        state.links = links;
        state.busy_until.clear();
    }

    pub fn counts(&self) -> Counts {
        self.0.state.lock().counts.clone()
    }
}

impl Fabric {
    fn read(&self, port: usize) {
        let mut buffer = vec![0; LONGEST_PACKET];
        let mut number = 0;
        while let Ok(len) = self.ports[port].recv(&mut buffer) {
            let packet = &buffer[..len];
            number += 1;
            if let Some(to) = destination(packet).filter(|to| *to < self.ports.len()) {
                self.carry(port, to, packet, number);
            }
        }
    }

    fn carry(&self, from: usize, to: usize, packet: &[u8], number: u64) {
        let now = self.clock.elapsed();
        let arrivals = {
            let mut state = self.state.lock();
            let state = &mut *state;
            let link = state.links.get(&(from, to)).copied().unwrap_or_default();
            let busy = state.busy_until.entry((from, to)).or_default();
            let verdict = link.decide(&mut state.luck, now, packet.len(), busy);
            for class in verdict.touched {
                *state.counts.entry(class).or_default() += 1;
            }
            verdict.arrivals
        };
        for after in arrivals {
            if after.is_zero() {
                // A device that is down, or full, drops it as a network does.
                drop(self.ports[to].send(packet));
                continue;
            }
            self.later.lock().push(Reverse(Later {
                at: now + after,
                number,
                to,
                packet: packet.to_vec(),
            }));
            self.sooner.notify_one();
        }
    }

    fn send_later(&self) {
        let mut later = self.later.lock();
        loop {
            let now = self.clock.elapsed();
            match later.peek() {
                None => self.sooner.wait(&mut later),
                Some(Reverse(next)) if next.at > now => {
                    let wait = next.at - now;
                    self.sooner.wait_for(&mut later, wait);
                }
                Some(_) => {
                    let Reverse(next) = later.pop().expect("just seen");
                    drop(self.ports[next.to].send(&next.packet));
                }
            }
        }
    }
}

/// The port to which a packet goes; `None` for what is no IPv4, or goes elsewhere.
fn destination(packet: &[u8]) -> Option<usize> {
    let is_ipv4 = packet.first()? >> 4 == 4;
    let address = packet.get(DESTINATION).filter(|_| is_ipv4)?;
    port_of(address.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_goes_where_its_header_says() {
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet[DESTINATION].copy_from_slice(&[10, 77, 0, 3]);
        assert_eq!(destination(&packet), Some(2));
        packet[0] = 0x60;
        assert_eq!(destination(&packet), None, "no IPv4");
        packet[0] = 0x45;
        packet[DESTINATION].copy_from_slice(&[10, 78, 0, 3]);
        assert_eq!(destination(&packet), None, "elsewhere");
        assert_eq!(destination(&packet[..10]), None, "too short");
    }
}
