//! How many clients are connected at once, over all listeners.
//!
//! A node without a free file descriptor could not write the next file of its log. So descriptors are divided at the
//! start: a part is for the node's own files, and clients never get it. A client for whom there is no room is closed
//! at once; those that are connected notice nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::kafka::log_limit::LogLimit;

/// The most descriptors that are kept for the node's own files.
const MAX_OWN_FILES: usize = 4096;
/// More than any node needs; some systems set no limit at all.
const MAX_FILES: u64 = 1 << 20;
/// After a failed accept: long enough for a descriptor to come free, short for a client.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

static TURNED_AWAY: LogLimit = LogLimit::new(1, Duration::from_secs(10));
static ACCEPT_FAILURES: LogLimit = LogLimit::new(1, Duration::from_secs(10));

/// Who may have how many of the process's file descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// The log's files, the tables', and what a process has anyway.
    pub own: usize,
    pub clients: usize,
}

impl Descriptors {
    /// Raises the process's limit as far as it may, and divides what there is.
    pub fn of_process() -> Descriptors {
        let limit = getrlimit(Resource::Nofile);
        let wanted = limit.maximum.unwrap_or(MAX_FILES).min(MAX_FILES);
        let current = limit.current.unwrap_or(MAX_FILES);
        let raised = Rlimit {
            current: Some(wanted),
            ..limit
        };
        let got = if wanted > current && setrlimit(Resource::Nofile, raised).is_ok() {
            wanted
        } else {
            current
        };
        Descriptors::divide(usize::try_from(got).unwrap_or(usize::MAX))
    }

    fn divide(limit: usize) -> Descriptors {
        let own = (limit / 2).min(MAX_OWN_FILES);
        Descriptors {
            own,
            clients: limit - own,
        }
    }
}

/// The setting `max.connections`, as it is now.
type Setting = Box<dyn Fn() -> usize + Send + Sync>;

/// The clients that are connected, and their limit.
pub struct Connections {
    descriptors: usize,
    setting: Setting,
    open: AtomicUsize,
}

/// A client's place; free again when dropped.
pub struct Seat(Arc<Connections>);

impl Connections {
    pub fn new(descriptors: usize, setting: Setting) -> Arc<Connections> {
        Arc::new(Connections {
            descriptors,
            setting,
            open: AtomicUsize::new(0),
        })
    }

    pub fn count(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// The next client that there is room for. Those that there is no room for are closed.
    pub async fn accept(self: &Arc<Self>, listener: &TcpListener) -> (TcpStream, SocketAddr, Seat) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match self.take_seat() {
                    Ok(seat) => return (stream, peer, seat),
                    Err(full) => full.report(peer),
                },
                Err(error) => pause_after(&error).await,
            }
        }
    }

    fn take_seat(self: &Arc<Self>) -> Result<Seat, Full> {
        let setting = (self.setting)();
        let limit = setting.min(self.descriptors);
        let take = |open| (open < limit).then_some(open + 1);
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .map(|_| Seat(self.clone()))
            .map_err(|_| Full {
                limit,
                by_setting: setting <= self.descriptors,
            })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// There is no room for another client.
#[derive(Debug, PartialEq, Eq)]
struct Full {
    limit: usize,
    by_setting: bool,
}

impl Full {
    fn report(&self, client: SocketAddr) {
        let Some(suppressed) = TURNED_AWAY.permit(Instant::now()) else {
            return;
        };
        let way_out = if self.by_setting {
            "raise max.connections"
        } else {
            "raise the limit on open files (`ulimit -n`, LimitNOFILE)"
        };
        let limit = self.limit;
        tracing::warn!(
            %client, limit, suppressed,
            "a client is closed: as many as may be are connected; {way_out}"
        );
    }
}

async fn pause_after(error: &io::Error) {
    // The client that gave up, not this broker, has a problem.
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        return;
    }
    if let Some(suppressed) = ACCEPT_FAILURES.permit(Instant::now()) {
        tracing::warn!(%error, suppressed, "cannot accept connections for the moment");
    }
    sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_to_the_log() {
        let divided = Descriptors::divide(1024);
        assert_eq!((divided.own, divided.clients), (512, 512));
        assert_eq!(Descriptors::divide(1 << 20).own, MAX_OWN_FILES);
        assert_eq!(Descriptors::divide(1).clients, 1);
    }

    #[test]
    fn a_seat_is_free_again_when_its_client_has_left() {
        let limit = Arc::new(AtomicUsize::new(2));
        let setting = limit.clone();
        let connections = Connections::new(3, Box::new(move || setting.load(Ordering::Relaxed)));
        let seats = [connections.take_seat(), connections.take_seat()];
        assert!(seats.iter().all(Result::is_ok));
        let full = |limit, by_setting| Some(Full { limit, by_setting });
        assert_eq!(connections.take_seat().err(), full(2, true));
        limit.store(100, Ordering::Relaxed);
        let third = connections.take_seat();
        assert!(third.is_ok());
        assert_eq!(connections.take_seat().err(), full(3, false));
        drop(seats);
        assert_eq!(connections.count(), 1);
        assert!(connections.take_seat().is_ok());
    }
}
