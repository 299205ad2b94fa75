//! What is known about the client at the other end of one connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::fetch::ahead::ReadAhead;
use super::produce::Turns;
use crate::shard::refusals::Refusals;

/// The name and version that a client gave in ApiVersions (KIP-511).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSoftware {
    pub name: String,
    pub version: String,
}

/// One connection's client. Shared by the handlers of its requests.
#[derive(Debug)]
pub struct Session {
    peer: SocketAddr,
    local: SocketAddr,
    client_id: Mutex<Arc<str>>,
    software: OnceLock<ClientSoftware>,
    /// For how long the client is to be held back, in microseconds.
    hold_micros: AtomicU64,
    pub(super) produce_turns: Turns,
    /// Batches of its that were refused and are to come again.
    pub(super) refusals: Arc<Refusals>,
    pub(super) read_ahead: ReadAhead,
}

impl Session {
    pub fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        Session {
            peer: canonical(peer),
            local: canonical(local),
            client_id: Mutex::new(Arc::from("")),
            software: OnceLock::new(),
            hold_micros: AtomicU64::new(0),
            produce_turns: Turns::default(),
            refusals: Arc::default(),
            read_ahead: ReadAhead::default(),
        }
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address of this broker that the client reached: what is advertised to it where the listen address is a
    /// wildcard.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The client id of the request that started last, empty where it gave none. Read it in the ordered stage.
    pub fn client_id(&self) -> Arc<str> {
        self.client_id.lock().clone()
    }

    /// What the client said that it is, if it did.
    pub fn software(&self) -> Option<&ClientSoftware> {
        self.software.get()
    }

    /// Kept from the first ApiVersions request on; later ones change nothing.
    pub fn set_software(&self, software: ClientSoftware) {
        let _ = self.software.set(software);
    }

    /// Has the client wait: nothing more is read from it for so long once the request is answered (KIP-219).
    pub fn hold_back(&self, wait: Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.hold_micros.fetch_max(micros, Ordering::AcqRel);
    }

    /// The longest wait that was asked for since this was asked last.
    pub(super) fn take_hold(&self) -> Option<Duration> {
        if self.hold_micros.load(Ordering::Acquire) == 0 {
            return None;
        }
        let micros = self.hold_micros.swap(0, Ordering::AcqRel);
        Some(Duration::from_micros(micros))
    }

    /// Takes note of a request header's client id; bytes that are not UTF-8 are replaced.
    pub(super) fn note_client_id(&self, bytes: Option<&[u8]>) {
        let bytes = bytes.unwrap_or_default();
        let mut current = self.client_id.lock();
        if current.as_bytes() != bytes {
            *current = Arc::from(String::from_utf8_lossy(bytes));
        }
    }
}

/// An IPv4 client on a dual-stack socket is shown as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_ipv4_address_is_shown_as_ipv4() {
        let mapped = "[::ffff:10.1.2.3]:9092".parse().unwrap();
        let session = Session::new(mapped, mapped);
        assert_eq!(session.peer().to_string(), "10.1.2.3:9092");
    }

    #[test]
    fn the_client_id_is_that_of_the_latest_request() {
        let address = "127.0.0.1:1".parse().unwrap();
        let session = Session::new(address, address);
        assert_eq!(&*session.client_id(), "");
        session.note_client_id(Some(b"rdkafka"));
        assert_eq!(&*session.client_id(), "rdkafka");
        session.note_client_id(Some(b"\xff"));
        assert_eq!(&*session.client_id(), "\u{fffd}");
        session.note_client_id(None);
        assert_eq!(&*session.client_id(), "");
    }
}
