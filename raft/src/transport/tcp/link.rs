//! The connection on which this node asks one other node: dialled again and again, many questions at once.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::frame::{Assembler, Kind, READ_BUFFER_BYTES};
use super::hello::{self, Hello};
use super::outbox::Outbox;
use super::{Shared, Wire};
use crate::ids::{NodeId, Seat};

/// How long a connection may take to come about, introductions included.
const DIAL_LIMIT: Duration = Duration::from_secs(3);
/// The first wait before a connection is dialled again; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// A connection on which a question waits, and nothing has arrived for as long, is given up.
const SILENCE: Duration = Duration::from_secs(5);

/// One address, and the connection to whoever answers there while there is one.
pub struct Link {
    address: String,
    state: Mutex<State>,
}

struct State {
    connection: Option<Arc<Connection>>,
    /// Why there is none.
    reason: String,
    /// This node itself answers.
    own: bool,
}

/// A connection whose both ends have introduced themselves.
pub struct Connection {
    pub node: NodeId,
    pub seat: Seat,
    outbox: Outbox,
    waiting: Mutex<HashMap<u64, Waiting>>,
    next: AtomicU64,
}

struct Waiting {
    since: Instant,
    answer: oneshot::Sender<Result<Bytes, String>>,
}

/// Takes a question back when nobody waits for its answer any more.
struct Ticket<'a> {
    connection: &'a Connection,
    stream: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.connection.waiting.lock().remove(&self.stream);
    }
}

impl Connection {
    fn to(peer: &Hello) -> Connection {
        Connection {
            node: peer.node,
            seat: peer.seat,
            outbox: Outbox::default(),
            waiting: Mutex::default(),
            next: AtomicU64::new(1),
        }
    }

    /// Asks and waits for the answer; the caller bounds the time.
    pub async fn ask(&self, kind: Kind, question: Vec<Bytes>) -> Result<Bytes, String> {
        let stream = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, receiver) = oneshot::channel();
        let since = Instant::now();
        let waiting = Waiting { since, answer };
        self.waiting.lock().insert(stream, waiting);
        let _ticket = Ticket {
            connection: self,
            stream,
        };
        let queued = self.outbox.push(stream, kind, question);
        queued.map_err(|refused| refused.to_string())?;
        match receiver.await {
            Ok(answer) => answer,
            Err(_) => Err("the connection broke".to_owned()),
        }
    }

    async fn read<R: AsyncRead + Unpin>(&self, stream: R) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, stream);
        let mut assembler = Assembler::default();
        loop {
            let next = tokio::select! {
                next = assembler.next(&mut reader) => next?,
                () = self.silence() => {
                    let what = format!("no answer for {SILENCE:?}");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, what));
                }
            };
            let Some(message) = next else {
                let what = "the other side closed it";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
            };
            let Some(waiting) = self.waiting.lock().remove(&message.stream) else {
                continue;
            };
            let answer = match message.kind {
                Kind::Failure => Err(String::from_utf8_lossy(&message.bytes).into_owned()),
                Kind::Answer | Kind::Replica | Kind::Service => Ok(message.bytes),
            };
            // Whoever asked may have gone this moment.
            let _ = waiting.answer.send(answer);
        }
    }

    /// Returns when a question has waited too long since this was called.
    async fn silence(&self) {
        let start = Instant::now();
        loop {
            tokio::time::sleep(SILENCE / 2).await;
            let oldest = self.waiting.lock().values().map(|one| one.since).min();
            if oldest.is_some_and(|since| since.max(start).elapsed() >= SILENCE) {
                return;
            }
        }
    }

    fn is_waited_for(&self, stream: u64) -> bool {
        self.waiting.lock().contains_key(&stream)
    }

    fn close(&self) {
        self.outbox.close();
        self.waiting.lock().clear();
    }
}

impl Link {
    pub fn new(address: String) -> Link {
        Link {
            address,
            state: Mutex::new(State {
                connection: None,
                reason: "it was not reached yet".to_owned(),
                own: false,
            }),
        }
    }

    pub fn is_own(&self) -> bool {
        self.state.lock().own
    }

    /// The connection, or why there is none.
    pub fn connection(&self) -> Result<Arc<Connection>, String> {
        let state = self.state.lock();
        state.connection.clone().ok_or_else(|| state.reason.clone())
    }

    /// Keeps the connection up until the task is dropped, unless it is one of this node to itself.
    pub async fn run(&self, shared: &Shared) {
        let mut wait = FIRST_WAIT;
        loop {
            let ended = match self.dial(shared).await {
                Ok((_, theirs)) if theirs.node == shared.hello.node => {
                    let mut state = self.state.lock();
                    state.reason = format!("{}: this node itself", self.address);
                    state.own = true;
                    return;
                }
                Ok((stream, theirs)) => {
                    wait = FIRST_WAIT;
                    self.converse(shared, stream, &theirs).await
                }
                Err(error) => error,
            };
            self.note(&shared.guard.explain(&ended));
            // Not all nodes at the same moments.
            let jitter = shared.random.next() % (wait.as_millis() as u64 / 2 + 1);
            tokio::time::sleep(wait / 2 + Duration::from_millis(jitter)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Remembers why there is no connection, and says so when it is a new reason.
    fn note(&self, ended: &str) {
        let reason = format!("{}: {ended}", self.address);
        let mut state = self.state.lock();
        if state.reason != reason {
            tracing::info!(reason, "a node is not connected");
            state.reason = reason;
        }
    }

    async fn dial(&self, shared: &Shared) -> io::Result<(Box<dyn Wire>, Hello)> {
        let dialled = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            // What a connection that is given up has not sent yet must not arrive once the network is whole again: who
            // asked was told that it failed, and may have asked another way since.
            stream.set_zero_linger()?;
            let mut stream = shared.guard.connect(stream, &self.address).await?;
            let said = hello::say(&mut stream, &shared.hello).await;
            // Who is refused can say nothing any more, and still hears why.
            let theirs = hello::hear(&mut stream).await?;
            said?;
            hello::agree(&shared.hello, &theirs)?;
            Ok::<_, io::Error>((stream, theirs))
        };
        tokio::time::timeout(DIAL_LIMIT, dialled).await?
    }

    /// Asks and hears answers until the connection ends; returns why.
    async fn converse(&self, shared: &Shared, stream: Box<dyn Wire>, peer: &Hello) -> io::Error {
        let connection = Arc::new(Connection::to(peer));
        {
            let mut state = self.state.lock();
            state.connection = Some(connection.clone());
            state.reason = "it is connected".to_owned();
        }
        tracing::info!(node = %peer.seat, address = self.address, "a node is connected");
        shared.links_changed();
        let _ended = Ended {
            shared,
            link: self,
            connection: &connection,
        };
        let (reader, mut writer) = tokio::io::split(stream);
        let wanted = |stream, _| connection.is_waited_for(stream);
        let result = tokio::select! {
            read = connection.read(reader) => read,
            written = connection.outbox.write_to(&mut writer, wanted) => written,
        };
        match result {
            Err(error) => error,
            Ok(()) => io::Error::other("it was closed"),
        }
    }
}

/// Tells everybody who waits that the connection is gone, also when its task is dropped.
struct Ended<'a> {
    shared: &'a Shared,
    link: &'a Link,
    connection: &'a Connection,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.link.state.lock().connection = None;
        self.connection.close();
        self.shared.links_changed();
    }
}
