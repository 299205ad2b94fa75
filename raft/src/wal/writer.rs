//! The thread that writes and syncs for all shards.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::files::{Files, OpenFile};
use super::format::{ALIGN, RecordHeader};
use super::queue::{Item, Queue, Task};
use super::recovery::Recovered;
use super::{Done, Record, WalConfig, WalError};
use crate::env::{Clock, Env, Fatal};
use crate::ids::WalPos;
use crate::observer::{Damage, WalObserver};

/// A body up to this size is copied next to its header: cheaper than a slice of its own.
const COPY_BYTES: usize = 1024;

/// How long to wait before writing to a full disk again.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(100);

pub struct Writer {
    queue: Arc<Queue>,
    files: Arc<Files>,
    clock: Arc<dyn Clock>,
    fatal: Fatal,
    observer: Arc<dyn WalObserver>,
    idle: Duration,
    /// The file that is being written; none before the first record of a new WAL.
    current: Option<OpenFile>,
    group: Group,
}

/// Why the writer ends before its time.
enum Failure {
    /// The disk was full until the stop.
    Stopped,
    Disk(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Disk(error)
    }
}

/// Consecutive bytes of one file, gathered for one write.
#[derive(Default)]
struct Group {
    start: u32,
    end: WalPos,
    /// Headers, small bodies and gaps.
    copied: Vec<u8>,
    pieces: Vec<Piece>,
}

enum Piece {
    Copied(Range<usize>),
    Shared(Bytes),
}

impl Writer {
    pub fn new(
        queue: &Arc<Queue>,
        files: &Arc<Files>,
        config: &WalConfig,
        env: &Env,
        observer: Arc<dyn WalObserver>,
        recovered: &Recovered,
    ) -> Writer {
        Writer {
            queue: queue.clone(),
            files: files.clone(),
            clock: env.clock.clone(),
            fatal: env.fatal.clone(),
            observer,
            idle: config.idle,
            current: files.get(recovered.tail.file),
            group: Group::default(),
        }
    }

    pub fn run(mut self) {
        loop {
            let (items, last) = match self.queue.take(self.idle) {
                Task::Write(items) => (items, false),
                Task::Stop(items) => (items, true),
                Task::Abandon => return self.queue.fail(WalError::Stopped),
            };
            let mut dones = Vec::new();
            match self.write(items, &mut dones) {
                Ok(durable) => {
                    self.queue.set_durable(durable);
                    dones.into_iter().for_each(|done| done(Ok(())));
                    self.files.prepare_next(durable);
                }
                Err(failure) => return self.end(failure, dones),
            }
            if last {
                return self.queue.fail(WalError::Stopped);
            }
        }
    }

    /// Writes and syncs all items; returns the position up to which all is durable.
    fn write(&mut self, items: Vec<Item>, dones: &mut Vec<Done>) -> Result<WalPos, Failure> {
        let durable = self.queue.durable();
        let mut end = durable;
        let mut failed = None;
        for item in items {
            match item {
                Item::Done(done) => dones.push(done),
                _ if failed.is_some() => {}
                Item::Write { at, record } => end = self.gather(at, record, durable),
                Item::Roll { file, capacity } => {
                    failed = self.flush().and_then(|()| self.roll(file, capacity)).err();
                }
            }
        }
        match failed {
            Some(error) => Err(error),
            None => self.flush().map(|()| end),
        }
    }

    fn gather(&mut self, at: WalPos, record: Record, durable: WalPos) -> WalPos {
        let file = self
            .current
            .as_ref()
            .expect("the first item of a WAL is a roll");
        assert_eq!(
            at.file, file.seq,
            "a record is written to the file it was placed in"
        );
        let mut body_crc = 0;
        for chunk in record.body.chunks() {
            body_crc = crc32c::crc32c_append(body_crc, chunk);
        }
        let header = RecordHeader {
            kind: record.kind,
            shard: record.shard,
            at,
            body_len: record.body.len() as u32,
            body_crc,
            durable,
        };
        self.group.add(&header, file.salt, record.body.chunks())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.group.pieces.is_empty() {
            return Ok(());
        }
        let file = self.current.as_ref().expect("there is a file to write to");
        let bytes = u64::from(self.group.end.offset - self.group.start);
        self.write_group(file)?;
        let before = self.clock.now();
        file.file.sync()?;
        let took = self.clock.now().saturating_sub(before);
        self.observer.fsynced(took, bytes);
        self.group.clear();
        Ok(())
    }

    fn roll(&mut self, file: u64, capacity: u32) -> Result<(), Failure> {
        let next = self.while_full(file, || self.files.roll(file, capacity))?;
        self.current = Some(next);
        Ok(())
    }

    /// Nothing was synced yet, so the same bytes may be written to the same place once more.
    fn write_group(&self, file: &OpenFile) -> Result<(), Failure> {
        self.while_full(file.seq, || {
            let mut slices = self.group.slices();
            file.file.pwritev(&mut slices, u64::from(self.group.start))
        })
    }

    /// Does `work` again and again while the disk is full.
    fn while_full<T>(&self, file: u64, work: impl Fn() -> io::Result<T>) -> Result<T, Failure> {
        let mut told = false;
        loop {
            match work() {
                Err(error) if is_full(&error) => {
                    if !std::mem::replace(&mut told, true) {
                        let path = self.files.path(file);
                        tracing::error!("disk full: writing to {} is retried", path.display());
                        self.observer.reported(&Damage::DiskFull { path });
                    }
                    if !self.queue.pause(FULL_DISK_PAUSE) {
                        return Err(Failure::Stopped);
                    }
                }
                result => return Ok(result?),
            }
        }
    }

    /// After a failed sync the kernel may have dropped the bytes and forgotten about it, so there
    /// is no second try (invariant D2).
    fn end(&self, failure: Failure, dones: Vec<Done>) {
        let error = match failure {
            Failure::Stopped => WalError::Stopped,
            Failure::Disk(error) => self.die(&error),
        };
        self.queue.fail(error.clone());
        dones.into_iter().for_each(|done| done(Err(error.clone())));
    }

    fn die(&self, error: &io::Error) -> WalError {
        let file = self.current.as_ref().map_or(0, |file| file.seq);
        let path = self.files.path(file);
        let message = format!(
            "writing or syncing the write-ahead log {} failed: {error}; \
             check the disk, then start weir again",
            path.display()
        );
        (self.fatal)(&message);
        WalError::Failed(message.into())
    }
}

impl Group {
    fn add(&mut self, header: &RecordHeader, salt: u64, body: &[Bytes]) -> WalPos {
        if self.pieces.is_empty() {
            self.start = header.at.offset;
        } else {
            assert_eq!(header.at, self.end, "records of a group have no gap");
        }
        self.copy(&header.encode(salt));
        for chunk in body {
            if chunk.len() <= COPY_BYTES {
                self.copy(chunk);
            } else {
                self.pieces.push(Piece::Shared(chunk.clone()));
            }
        }
        self.end = WalPos {
            file: header.at.file,
            offset: header.end(),
        };
        let gap = header.body_len.next_multiple_of(ALIGN) - header.body_len;
        self.copy(&[0; ALIGN as usize][..gap as usize]);
        self.end
    }

    fn copy(&mut self, bytes: &[u8]) {
        let start = self.copied.len();
        self.copied.extend_from_slice(bytes);
        let end = self.copied.len();
        match self.pieces.last_mut() {
            Some(Piece::Copied(range)) => range.end = end,
            _ => self.pieces.push(Piece::Copied(start..end)),
        }
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let slices = self.pieces.iter().map(|piece| match piece {
            Piece::Shared(bytes) => IoSlice::new(bytes),
            Piece::Copied(range) => IoSlice::new(&self.copied[range.clone()]),
        });
        slices.collect()
    }

    fn clear(&mut self) {
        self.copied.clear();
        self.copied.shrink_to(1 << 20);
        self.pieces.clear();
        self.pieces.shrink_to(1 << 12);
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
