//! The node's one write-ahead log: records of all shards in one sequence of files, written and
//! synced by one thread for everybody who waits.
//!
//! A record's position is fixed when it is submitted. The writer takes what is queued, writes it,
//! syncs once and then completes all callbacks in order, so a slow sync makes the next group
//! larger and no timer is needed.

mod blocks;
mod files;
pub mod format;
mod mark;
mod preparer;
mod queue;
mod recovery;
mod scan;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::env::{Env, Fatal};
use crate::ids::{Index, NodeId, ShardId, Term, WalPos};
use crate::observer::WalObserver;
use crate::pace::Pace;
use crate::payload::Payload;
use crate::threads::{Threads, blocking};
use files::Files;
pub use files::file_path;
use format::{Kind, RecordHeader};
use queue::Queue;
pub use recovery::{OpenError, recover};
use writer::Writer;

/// Unit of the queue's bound.
const ROOM_UNIT: usize = 1024;
/// How long after others were last given something they may be given more.
const GIVES: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
pub struct WalConfig {
    /// The size of a file; a longer record gets a file of its own.
    pub file_bytes: u32,
    /// What the WAL should stay below; see `WalUsage`.
    pub budget_bytes: u64,
    /// Bytes that may wait for the writer; more wait outside.
    pub queue_bytes: usize,
    /// After this much silence a watermark is written and synced.
    pub idle: Duration,
}

impl Default for WalConfig {
    fn default() -> WalConfig {
        WalConfig {
            file_bytes: 256 << 20,
            budget_bytes: 16 << 30,
            queue_bytes: 64 << 20,
            idle: Duration::from_millis(8),
        }
    }
}

/// How much disk the WAL takes. This crate only counts: its caller throttles and retires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalUsage {
    /// Bytes from the start of the oldest file that is still needed up to the end of what was handed to the writer.
    pub live_bytes: u64,
    pub budget_bytes: u64,
    pub files: usize,
    /// Everything before this position survives a power loss.
    pub durable: WalPos,
    /// The end of what was handed to the writer; what lies between is queued or being written.
    pub submitted: WalPos,
}

/// Why the WAL no longer takes records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalError {
    #[error("the write-ahead log has failed: {0}")]
    Failed(Arc<str>),
    #[error("the write-ahead log is stopped")]
    Stopped,
}

impl From<WalError> for io::Error {
    fn from(error: WalError) -> io::Error {
        io::Error::other(error)
    }
}

/// Called by the writer once the records submitted with it, and all before them, are durable.
pub type Done = Box<dyn FnOnce(Result<(), WalError>) + Send>;

/// A record to be written.
pub struct Record {
    pub shard: ShardId,
    pub kind: Kind,
    pub body: Payload,
}

/// Where the bodies of submitted records lie, in the order of submission.
pub type Positions = SmallVec<[WalPos; 4]>;

/// Room in the queue; given back when dropped.
pub struct Room(#[allow(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

pub struct Wal {
    queue: Arc<Queue>,
    files: Arc<Files>,
    room: Arc<Semaphore>,
    config: WalConfig,
    threads: Arc<dyn Threads>,
    fatal: Fatal,
    /// Of what can wait.
    pace: Arc<Pace>,
    /// When others were given something last.
    gave: Mutex<Option<Instant>>,
    /// Whether the writer has ended.
    ended: watch::Receiver<bool>,
}

impl Wal {
    /// Recovers the WAL in `dir` and starts its writer. `replay` sees every record that stands, in
    /// order; its error is corruption. Blocks.
    pub fn open(
        dir: PathBuf,
        node: NodeId,
        config: WalConfig,
        env: &Env,
        observer: Arc<dyn WalObserver>,
        replay: &mut dyn FnMut(&RecordHeader) -> Result<(), String>,
    ) -> Result<Wal, OpenError> {
        let recovered = recovery::recover(env.disk.as_ref(), &dir, node, &*observer, replay)?;
        let files = Arc::new(Files::new(
            dir.clone(),
            node,
            config.file_bytes,
            env,
            &recovered,
        ));
        let queue = Arc::new(Queue::new(&recovered, config.file_bytes));
        let end = distance(WalPos::ZERO, queue.submitted(), config.file_bytes);
        let pace = Arc::new(Pace::new(end));
        let writer = Writer::new(&queue, &files, &config, env, observer, &pace, &recovered);
        let writer = writer.map_err(|source| OpenError::Io {
            action: "reading",
            path: dir,
            source,
        })?;
        let ended = writer.ended();
        let started = env.threads.start("weir-wal", Box::new(writer));
        started.map_err(OpenError::Thread)?;
        Ok(Wal {
            queue,
            files,
            room: Arc::new(Semaphore::new(config.queue_bytes.div_ceil(ROOM_UNIT))),
            config,
            threads: env.threads.clone(),
            fatal: env.fatal.clone(),
            pace,
            gave: Mutex::default(),
            ended,
        })
    }

    /// Waits until the queue has room for `bytes`.
    pub async fn room(&self, bytes: usize) -> Room {
        let all = self.config.queue_bytes.div_ceil(ROOM_UNIT);
        let units = bytes.div_ceil(ROOM_UNIT).min(all);
        let permit = self.room.clone().acquire_many_owned(units as u32).await;
        Room(permit.expect("the semaphore is never closed"))
    }

    /// Queues records for the writer and fixes their positions. `done` runs on the writer's thread,
    /// or never when this returns an error.
    pub fn submit(
        &self,
        records: impl IntoIterator<Item = Record>,
        done: Done,
    ) -> Result<Positions, WalError> {
        self.queue.submit(records, done)
    }

    /// Remembers a shard's commit position; it is written along with the next group.
    pub fn note_committed(&self, shard: ShardId, upto: Option<(Term, Index)>) {
        self.queue.note_committed(shard, upto);
    }

    /// Everything before this position survives a power loss.
    pub fn durable(&self) -> WalPos {
        self.queue.durable()
    }

    /// Reads bytes that a record's body holds, waiting for the writer when they are still queued.
    /// Blocks.
    pub fn read(&self, pos: WalPos, len: usize) -> io::Result<Bytes> {
        self.wait_durable(pos, len)?;
        self.files.read(pos, len)
    }

    /// Reads a whole body and compares it with its record's checksums. Blocks.
    pub fn read_body(&self, pos: WalPos, len: usize) -> io::Result<Bytes> {
        let mut bodies = self.read_bodies(&[(pos, len)])?;
        Ok(bodies.pop().expect("one body was asked for"))
    }

    /// Reads several bodies of one file, in ascending order, at once, and checks each. Blocks.
    pub fn read_bodies(&self, places: &[(WalPos, usize)]) -> io::Result<Vec<Bytes>> {
        if let Some((pos, len)) = places.last() {
            self.wait_durable(*pos, *len)?;
        }
        self.files.read_bodies(places)
    }

    /// About how many bytes were written behind this position.
    pub fn bytes_after(&self, pos: WalPos) -> u64 {
        distance(pos, self.queue.submitted(), self.config.file_bytes)
    }

    /// How long it is until the turn of so many bytes that can wait.
    pub fn turn(&self, bytes: u64) -> Duration {
        self.pace.take(bytes, self.written())
    }

    /// Returns when it is the turn of so many bytes that another node lacks.
    pub async fn turn_to_give(&self, bytes: u64) {
        *self.gave.lock() = Some(Instant::now());
        tokio::time::sleep(self.turn(bytes)).await;
    }

    /// Whether other nodes are being given what they lack.
    pub fn gives(&self) -> bool {
        let gave = *self.gave.lock();
        gave.is_some_and(|gave| gave.elapsed() < GIVES)
    }

    /// About how many bytes were ever written.
    pub fn written(&self) -> u64 {
        self.bytes_after(WalPos::ZERO)
    }

    pub fn usage(&self) -> WalUsage {
        let submitted = self.queue.submitted();
        let (files, live_bytes) = self.files.usage(submitted);
        WalUsage {
            live_bytes,
            budget_bytes: self.config.budget_bytes,
            files,
            durable: self.durable(),
            submitted,
        }
    }

    /// The file that is being written.
    pub fn newest_file(&self) -> u64 {
        self.queue.durable().file
    }

    pub fn oldest_file(&self) -> u64 {
        self.files.oldest()
    }

    /// Goes on in the next file, once that one is prepared, though there is room left in this one; says whether it does.
    pub fn seal(&self) -> Result<bool, WalError> {
        let prepared = self.files.is_prepared(self.newest_file() + 1);
        if prepared {
            self.queue.seal()?;
        }
        Ok(prepared)
    }

    /// Gives back the files before `oldest`. The caller has made sure that nothing in them is
    /// needed; here it is made durable that they may be missing, before they are.
    pub async fn retire_before(&self, oldest: u64) -> io::Result<()> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        self.queue.set_oldest(oldest, done)?;
        receiver.await.map_err(|_| WalError::Stopped)??;
        let files = self.files.clone();
        self.unblock(move || files.retire_before(oldest)).await
    }

    /// Runs work that blocks away from the runtime's own threads.
    pub async fn unblock<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        blocking(&*self.threads, work).await?
    }

    /// Has the writer write everything queued and the mark of a clean stop, and end.
    pub fn stop(&self) {
        self.queue.stop();
    }

    /// Returns when the writer has ended.
    pub async fn stopped(&self) {
        let mut ended = self.ended.clone();
        if ended.wait_for(|ended| *ended).await.is_err() {
            tracing::error!("the write-ahead log's thread panicked");
        }
    }

    /// Whether records are taken: it was not stopped and has not failed.
    pub fn is_open(&self) -> bool {
        self.queue.is_open()
    }

    /// Ends the process, which cannot go on for what is said.
    pub fn die(&self, what: &str) {
        die(&self.fatal, what);
    }

    /// Returns when everything before `end` is durable.
    pub async fn until_durable(&self, end: WalPos) -> io::Result<()> {
        if self.durable() >= end {
            return Ok(());
        }
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        self.submit([], done)?;
        receiver.await.map_err(|_| WalError::Stopped)??;
        Ok(())
    }

    fn wait_durable(&self, pos: WalPos, len: usize) -> io::Result<()> {
        let end = WalPos {
            file: pos.file,
            offset: pos.offset.saturating_add(len as u32),
        };
        Ok(self.queue.wait_durable(end)?)
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

/// About how many bytes lie between two positions: files may be longer than `file_bytes`, or end before it.
fn distance(from: WalPos, to: WalPos, file_bytes: u32) -> u64 {
    let at = |pos: WalPos| pos.file * u64::from(file_bytes) + u64::from(pos.offset);
    at(to).saturating_sub(at(from))
}

/// Ends the process; returns what it said, in tests.
fn die(fatal: &Fatal, what: &str) -> String {
    let message = format!("{what}; check the disk, then start weir again");
    fatal(&message);
    message
}

/// Whether an operation failed for want of space or of files, so that it can be tried again.
pub fn is_passing(error: &io::Error) -> bool {
    // The process, or the system, has as many files open as it may.
    let out_of_files = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
    let mut out_of_files = out_of_files.iter().map(|errno| errno.raw_os_error());
    is_full(error) || out_of_files.any(|errno| error.raw_os_error() == Some(errno))
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
