//! Connections between processes, as each end sees them: brokers decide by who is there.
//!
//! Two processes that answer are connected a moment after both run. The connection of one that ends breaks at once or
//! after a silence, as that of a process or of a machine; so does one on which something goes into a cut. Each end
//! notices for itself, and they connect again when they can.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use weir_raft::{NodeId, Seat};

use super::{SILENCE, SimNetwork};
use crate::cluster::seat_of;
use crate::life::Life;

/// How soon they try to connect, and again.
const DIAL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));
const DIAL_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Who is connected to a process.
type Peers = BTreeMap<NodeId, Seat>;

#[derive(Default)]
pub struct Links {
    /// As each process sees them.
    seen: BTreeMap<NodeId, watch::Sender<Peers>>,
    /// Of a process that sees a connection to another one, the connection's number.
    numbers: BTreeMap<(NodeId, NodeId), u64>,
    last: u64,
}

impl Links {
    pub fn watch(&mut self, node: NodeId) -> watch::Receiver<Peers> {
        self.seen.entry(node).or_default().subscribe()
    }

    pub fn number(&self, at: NodeId, peer: NodeId) -> Option<u64> {
        self.numbers.get(&(at, peer)).copied()
    }

    fn are_linked(&self, one: NodeId, other: NodeId) -> bool {
        let number = self.number(one, other);
        number.is_some() && number == self.number(other, one)
    }

    fn link(&mut self, one: NodeId, other: NodeId) {
        self.last += 1;
        for (at, peer) in [(one, other), (other, one)] {
            self.numbers.insert((at, peer), self.last);
            let seen = self.seen.entry(at).or_default();
            seen.send_modify(|peers| {
                peers.insert(peer, seat_of(peer));
            });
        }
    }

    /// One end notices that a connection broke; says whether it had not yet.
    pub fn unlink(&mut self, at: NodeId, peer: NodeId, number: u64) -> bool {
        if self.number(at, peer) != Some(number) {
            return false;
        }
        self.numbers.remove(&(at, peer));
        if let Some(seen) = self.seen.get(&at) {
            seen.send_modify(|peers| {
                peers.remove(&peer);
            });
        }
        true
    }

    /// A process ends; those that were connected to it, and their connections' numbers.
    pub fn end(&mut self, node: NodeId) -> Vec<(NodeId, u64)> {
        self.seen.remove(&node);
        self.numbers.retain(|(at, _), _| *at != node);
        let left = self.numbers.iter();
        let left = left.filter(|((_, peer), _)| *peer == node);
        left.map(|((at, _), number)| (*at, *number)).collect()
    }
}

impl SimNetwork {
    /// Has a process connect to all others that answer.
    pub(super) fn dial_all(&self, life: &Life) {
        let others: Vec<Life> = {
            let state = self.state.lock();
            let others = state.ends.values().map(|end| end.life.clone());
            others.filter(|other| !other.is(life)).collect()
        };
        for other in others {
            self.dial(life.clone(), other, DIAL);
        }
    }

    fn dial(&self, one: Life, other: Life, mut pause: (Duration, Duration)) {
        let network = self.clone();
        tokio::spawn(async move {
            loop {
                let time = network.state.lock().rng.time(pause.0..pause.1);
                pause = DIAL_AGAIN;
                sleep(time).await;
                if !network.answers(&one) || !network.answers(&other) {
                    return;
                }
                let mut state = network.state.lock();
                let (a, b) = (one.node(), other.node());
                if state.links.are_linked(a, b) {
                    return;
                }
                let (to, back) = ((seat_of(a), seat_of(b)), (seat_of(b), seat_of(a)));
                if state.cut.contains(&to) || state.cut.contains(&back) {
                    continue;
                }
                state.links.link(a, b);
                network.trace.event("connected", [a.0, b.0]);
                return;
            }
        });
    }

    /// Whether this very process answers others.
    fn answers(&self, life: &Life) -> bool {
        let end = self.end(life.node());
        end.is_some_and(|end| end.life.is(life) && end.service.is_some())
    }

    /// What was sent on a connection did not come through: both ends notice, one after the other.
    pub(super) fn broke(&self, from: NodeId, to: NodeId) {
        let mut state = self.state.lock();
        let Some(number) = state.links.number(from, to) else {
            return;
        };
        state.links.unlink(from, to, number);
        self.trace.event("disconnected", [from.0, to.0]);
        let time = state.rng.time(Duration::ZERO..Duration::from_secs(1));
        drop(state);
        let network = self.clone();
        tokio::spawn(async move {
            sleep(time).await;
            network.notices(to, from, number);
            if let (Some(one), Some(other)) = (network.end(from), network.end(to)) {
                network.dial(one.life, other.life, DIAL_AGAIN);
            }
        });
    }

    /// A process has ended: the others notice, each for itself.
    pub(super) fn hang_up(&self, node: NodeId) {
        let state = &mut *self.state.lock();
        for (other, number) in state.links.end(node) {
            // A machine that stops says nothing.
            let longest = match state.rng.chance(500) {
                true => Duration::from_millis(5),
                false => SILENCE,
            };
            let (network, time) = (self.clone(), state.rng.time(Duration::ZERO..longest));
            tokio::spawn(async move {
                sleep(time).await;
                network.notices(other, node, number);
            });
        }
    }

    fn notices(&self, at: NodeId, peer: NodeId, number: u64) {
        if self.state.lock().links.unlink(at, peer, number) {
            self.trace.event("disconnected", [at.0, peer.0]);
        }
    }
}
