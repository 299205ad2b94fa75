//! One client's connection: a single task that reads frames, starts their requests in order, and writes replies in
//! that order.
//!
//! No request costs a task or a channel: handlers' futures are polled here, each when it is woken, so a long poll at
//! the front delays answers (Kafka's order) and never the start of what follows it. What is in flight is bounded in
//! number and bytes; past a bound the socket is left unread, and TCP holds the client back. Replies that are ready
//! together leave in one vectored write. A handler may ask that the client be held back (KIP-219): its answer goes out
//! at once, and the socket is left unread for that time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::budget::{ByteBudget, Overdraft, Want};
use super::dispatch::{Dispatch, InFlight, Refusal, Reply};
use super::frame::{FrameError, FrameReader};
use super::session::Session;

mod clock;
mod outbox;
mod scratch;
#[cfg(test)]
mod tests;

use clock::{Owed, Patience};
use outbox::Outbox;

/// A connection has its thread for so long before the others have their turn; one request may take longer.
const SLICE: Duration = Duration::from_millis(1);

/// What a connection may take, and how long it may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest frame (`socket.request.max.bytes`).
    pub max_frame_bytes: usize,
    /// Requests of one connection that have started and are not answered.
    pub max_in_flight: usize,
    /// Bytes of such requests; one more is started while fewer are held.
    pub max_in_flight_bytes: usize,
    /// Replies that wait for the socket; no further request starts while more are held.
    pub max_unsent_bytes: usize,
    /// A connection that owes and is owed nothing is closed when nothing has moved for so long, and so is one that
    /// takes no answers (`connections.max.idle.ms`).
    pub idle: Duration,
    /// A frame that began has so long, and after it as long as it keeps [`Limits::min_frame_rate`].
    pub frame_grace: Duration,
    /// Bytes per second.
    pub min_frame_rate: usize,
    /// How long a connection that is to end may still answer what is in flight.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_frame_bytes: 100 * 1024 * 1024,
            max_in_flight: 256,
            max_in_flight_bytes: 8 * 1024 * 1024,
            max_unsent_bytes: 4 * 1024 * 1024,
            idle: Duration::from_secs(600),
            frame_grace: Duration::from_secs(30),
            min_frame_rate: 4 * 1024,
            drain: Duration::from_secs(5),
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum End {
    #[error("closed by the client")]
    Client,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("closed in answer to a request: {0}")]
    Handler(&'static str),
    #[error("no request for too long")]
    Idle,
    #[error("the client takes no answers")]
    Stalled,
    #[error("a frame that began did not arrive in time ({arrived_bytes} bytes of it did)")]
    SlowFrame { arrived_bytes: usize },
    #[error("the broker is stopping")]
    Shutdown,
    #[error("{end} (and {unanswered} requests were left unanswered)")]
    Undrained { end: Box<End>, unanswered: usize },
}

impl End {
    /// Whether the client did something that its owner should hear of.
    pub fn is_fault(&self) -> bool {
        match self {
            End::Refused(_) | End::Frame(_) | End::Handler(_) | End::SlowFrame { .. } => true,
            End::Client | End::Io(_) | End::Idle | End::Stalled | End::Shutdown => false,
            End::Undrained { end, .. } => end.is_fault(),
        }
    }
}

/// A connection and everything that it holds.
pub struct Connection<B: 'static> {
    stream: TcpStream,
    session: Arc<Session>,
    dispatch: Arc<Dispatch<B>>,
    limits: Limits,
    budget: Arc<ByteBudget>,
    overdraft: Option<Overdraft>,
    frames: FrameReader,
    in_flight: FuturesOrdered<InFlight>,
    in_flight_bytes: usize,
    outbox: Outbox,
    patience: Patience,
    timer: Pin<Box<Sleep>>,
    /// The client is held back: until then nothing is read from it and nothing of it started.
    held_until: Option<Instant>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Set once no further request is started; the connection ends when what is in flight is answered.
    ending: Option<End>,
}

impl<B: Send + Sync> Connection<B> {
    pub fn new(
        stream: TcpStream,
        session: Arc<Session>,
        dispatch: Arc<Dispatch<B>>,
        limits: Limits,
        budget: Arc<ByteBudget>,
        shutdown: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        Connection {
            frames: FrameReader::new(limits.max_frame_bytes, budget.clone()),
            patience: Patience::new(now),
            timer: Box::pin(sleep_until(now + limits.idle)),
            shutdown: Box::pin(shutdown.cancelled_owned()),
            in_flight: FuturesOrdered::new(),
            in_flight_bytes: 0,
            outbox: Outbox::default(),
            overdraft: None,
            held_until: None,
            ending: None,
            stream,
            session,
            dispatch,
            limits,
            budget,
        }
    }

    /// Serves the client until the connection ends.
    pub async fn run(mut self) -> End {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.ending.is_none() && self.shutdown.as_mut().poll(cx).is_ready() {
            self.end_with(End::Shutdown);
        }
        let slice_end = Instant::now() + SLICE;
        loop {
            let moved = self.step(cx, slice_end);
            match moved {
                Err(end) => return Poll::Ready(end),
                Ok(true) if Instant::now() >= slice_end => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(true) => continue,
                Ok(false) => {}
            }
            if self.in_flight.is_empty()
                && self.outbox.is_empty()
                && let Some(end) = self.ending.take()
            {
                return Poll::Ready(end);
            }
            ready!(self.timer.as_mut().poll(cx));
            if let Some(end) = self.on_timer() {
                return Poll::Ready(end);
            }
        }
    }

    /// Moves what can be moved; whether anything was.
    fn step(&mut self, cx: &mut Context<'_>, slice_end: Instant) -> Result<bool, End> {
        let collected = self.collect_replies(cx);
        let flushed = self.flush(cx, slice_end)?;
        let started = self.start_requests(slice_end);
        let read = self.read(cx)?;
        Ok(collected || flushed || started || read)
    }

    fn collect_replies(&mut self, cx: &mut Context<'_>) -> bool {
        let mut collected = false;
        while self.outbox.len_bytes() < self.limits.max_unsent_bytes {
            let Poll::Ready(Some(answered)) = self.in_flight.poll_next_unpin(cx) else {
                break;
            };
            collected = true;
            self.in_flight_bytes -= answered.request_bytes;
            self.hold();
            match answered.reply {
                Reply::Segments(segments) => self.outbox.push(segments),
                Reply::None => {}
                Reply::Close(reason) => {
                    // Later requests have started; their answers would be taken for this one's.
                    self.in_flight = FuturesOrdered::new();
                    self.in_flight_bytes = 0;
                    self.end_with(End::Handler(reason));
                }
            }
        }
        collected
    }

    /// Holds the client back for as long as the handler of an answered request wants.
    fn hold(&mut self) {
        let Some(wait) = self.session.take_hold() else {
            return;
        };
        let until = Instant::now() + wait;
        self.held_until = self.held_until.max(Some(until));
        if self.ending.is_none() && until < self.timer.deadline() {
            self.timer.as_mut().reset(until);
        }
    }

    /// Writes for as long as it is this connection's time; whether anything was.
    fn flush(&mut self, cx: &mut Context<'_>, slice_end: Instant) -> Result<bool, End> {
        let mut flushed = false;
        while !self.outbox.is_empty() && (!flushed || Instant::now() < slice_end) {
            if self.stream.poll_write_ready(cx)?.is_pending() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); outbox::MAX_SLICES];
            let count = self.outbox.fill(&mut slices);
            match self.stream.try_write_vectored(&slices[..count]) {
                Ok(written) => {
                    self.outbox.advance(written);
                    self.patience.wrote(Instant::now());
                    flushed = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(End::Io(error)),
            }
        }
        Ok(flushed)
    }

    /// Whether the bounds allow another request to start.
    fn may_start(&self) -> bool {
        self.ending.is_none()
            && self.held_until.is_none()
            && self.in_flight.len() < self.limits.max_in_flight
            && self.in_flight_bytes < self.limits.max_in_flight_bytes
            && self.outbox.len_bytes() < self.limits.max_unsent_bytes
    }

    /// Starts whole frames, in order, for as long as it is this connection's time; whether any did.
    fn start_requests(&mut self, slice_end: Instant) -> bool {
        let mut started = false;
        while self.frames.has_whole_frame()
            && self.may_start()
            && !(started && Instant::now() >= slice_end)
        {
            let Some(frame) = self.frames.next_frame() else {
                break;
            };
            started = true;
            match self
                .dispatch
                .start(&self.session, frame, self.patience.last_read())
            {
                Ok(request) => {
                    self.in_flight_bytes += request.request_bytes();
                    self.in_flight.push_back(request);
                }
                Err(refusal) => self.end_with(End::Refused(refusal)),
            }
        }
        started
    }

    /// Reads once if another request may start and the byte budget has room; whether bytes came.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.frames.has_whole_frame() || !self.may_start() {
            self.patience.not_reading();
            return Ok(false);
        }
        if self.overdraft.is_none() {
            let want = if self.frames.is_mid_frame() {
                Want::Grow
            } else {
                Want::Begin
            };
            let who = Arc::as_ptr(&self.session) as usize;
            match self.budget.poll_room(want, who, cx) {
                Poll::Ready(overdraft) => self.overdraft = overdraft,
                Poll::Pending => {
                    self.patience.not_reading();
                    return Ok(false);
                }
            }
        }
        if self.stream.poll_read_ready(cx)?.is_pending() {
            self.wait_for_bytes();
            return Ok(false);
        }
        let read = match scratch::read_into(&self.stream, &mut self.frames)? {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(End::Io(error)),
        };
        if read == 0 {
            self.end_with(End::Client);
            return Ok(true);
        }
        self.patience.read(Instant::now());
        if !self.frames.is_mid_frame() || self.frames.has_whole_frame() {
            self.overdraft = None;
            self.patience.frame_is_whole();
        }
        Ok(true)
    }

    /// The client owes bytes: sees to it that the timer fires in time.
    fn wait_for_bytes(&mut self) {
        if self.frames.is_mid_frame() {
            let due = self.patience.awaiting_frame(&self.limits);
            if due < self.timer.deadline() {
                self.timer.as_mut().reset(due);
            }
        }
    }

    /// Starts no further request; ends when what is in flight is answered, or when the drain time is over.
    fn end_with(&mut self, end: End) {
        if self.ending.is_none() {
            self.ending = Some(end);
            self.overdraft = None;
            self.timer
                .as_mut()
                .reset(Instant::now() + self.limits.drain);
        }
    }

    /// Ends the connection if a time is over, and otherwise sets the timer anew.
    fn on_timer(&mut self) -> Option<End> {
        if let Some(end) = self.ending.take() {
            let unanswered = self.in_flight.len();
            return Some(End::Undrained {
                end: Box::new(end),
                unanswered,
            });
        }
        let now = Instant::now();
        self.held_until = self.held_until.filter(|until| now < *until);
        let owed = Owed {
            answers: !self.in_flight.is_empty(),
            unsent: !self.outbox.is_empty(),
            arrived_bytes: self.frames.arrived_bytes(),
        };
        match self.patience.check(&self.limits, now, owed) {
            Ok(next) => {
                let due = self.held_until.map_or(next, |until| until.min(next));
                self.timer.as_mut().reset(due);
                None
            }
            Err(end) => Some(end),
        }
    }
}
