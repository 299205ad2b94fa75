//! The thread that writes and syncs for all shards.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::blocks::Blocks;
use super::files::{Files, OpenFile};
use super::format::{FILE_HEADER_LEN, RecordHeader};
use super::queue::{Item, Queue, Task};
use super::recovery::Recovered;
use super::{Done, Record, WalConfig, WalError};
use crate::env::{Clock, Env, Fatal};
use crate::ids::WalPos;
use crate::observer::{Damage, WalObserver};
use crate::payload::{Piece, Written};

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
    blocks: Blocks,
    /// Bytes of records since the last sync.
    unsynced: u64,
    /// Who wants to know when what was gathered is written.
    written: Vec<Written>,
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

impl Writer {
    pub fn new(
        queue: &Arc<Queue>,
        files: &Arc<Files>,
        config: &WalConfig,
        env: &Env,
        observer: Arc<dyn WalObserver>,
        recovered: &Recovered,
    ) -> io::Result<Writer> {
        let current = files.get(recovered.tail.file);
        let mut blocks = Blocks::new();
        if let Some(current) = &current {
            blocks.resume(&*current.file, recovered.tail.offset)?;
        }
        Ok(Writer {
            queue: queue.clone(),
            files: files.clone(),
            clock: env.clock.clone(),
            fatal: env.fatal.clone(),
            observer,
            idle: config.idle,
            current,
            blocks,
            unsynced: 0,
            written: Vec::new(),
        })
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
                Item::Write { at, record } => match self.gather(at, &record, durable) {
                    Ok(after) => end = after,
                    Err(failure) => failed = Some(failure),
                },
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

    fn gather(&mut self, at: WalPos, record: &Record, durable: WalPos) -> Result<WalPos, Failure> {
        let header = RecordHeader {
            kind: record.kind,
            shard: record.shard,
            at,
            body_len: record.body.len() as u32,
            body_crc: 0,
            durable,
        };
        if !self.blocks.fits(record.body.len()) {
            self.write_out()?;
        }
        let file = self.current_file();
        assert_eq!(
            (at.file, at.offset),
            (file.seq, self.blocks.end()),
            "a record is written where it was placed"
        );
        let salt = file.salt;
        let end = WalPos {
            file: at.file,
            offset: header.end(),
        };
        self.unsynced += u64::from(end.offset - at.offset);
        if self.blocks.fits(record.body.len()) {
            self.blocks.add(&header, salt, record.body.pieces());
        } else {
            self.write_long(&header, salt, record.body.pieces())?;
        }
        self.written.extend(record.body.written().cloned());
        Ok(end)
    }

    /// Writes a record that is longer than what one write takes.
    fn write_long(
        &mut self,
        header: &RecordHeader,
        salt: u64,
        body: &[Piece],
    ) -> Result<(), Failure> {
        let body_crc = body.iter().fold(0, |crc, piece| piece.append_crc(crc));
        let header_bytes = RecordHeader {
            body_crc,
            ..*header
        }
        .encode(salt);
        for chunk in
            std::iter::once(&header_bytes[..]).chain(body.iter().map(|piece| &piece.bytes[..]))
        {
            let mut rest = chunk;
            while !rest.is_empty() {
                let copied = self.blocks.copy_some(rest);
                rest = &rest[copied..];
                if copied == 0 {
                    self.write_out()?;
                }
            }
        }
        if !self.blocks.fits(0) {
            self.write_out()?;
        }
        self.blocks.copy_gap(header);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.write_out()?;
        self.written.drain(..).for_each(|written| written());
        if self.unsynced == 0 {
            return Ok(());
        }
        let before = self.clock.now();
        self.current_file().file.sync()?;
        let took = self.clock.now().saturating_sub(before);
        self.observer.fsynced(took, self.unsynced);
        self.unsynced = 0;
        Ok(())
    }

    fn roll(&mut self, file: u64, capacity: u32) -> Result<(), Failure> {
        let next = self.while_full(file, |writer| writer.files.roll(file, capacity))?;
        self.blocks.resume(&*next.file, FILE_HEADER_LEN)?;
        self.current = Some(next);
        Ok(())
    }

    /// Nothing was synced yet, so the same bytes may be written to the same place once more.
    fn write_out(&mut self) -> Result<(), Failure> {
        if !self.blocks.is_dirty() {
            return Ok(());
        }
        let file = self.current_file().clone();
        self.while_full(file.seq, |writer| writer.blocks.write_out(&*file.file))
    }

    fn current_file(&self) -> &OpenFile {
        let current = self.current.as_ref();
        current.expect("the first item of a WAL is a roll")
    }

    /// Does `work` again and again while the disk is full, or no file can be opened.
    fn while_full<T>(
        &mut self,
        file: u64,
        mut work: impl FnMut(&mut Writer) -> io::Result<T>,
    ) -> Result<T, Failure> {
        let mut told = false;
        loop {
            match work(self) {
                Err(error) if is_full(&error) || is_out_of_files(&error) => {
                    if !std::mem::replace(&mut told, true) {
                        let path = self.files.path(file);
                        tracing::error!("{error}: writing to {} is retried", path.display());
                        if is_full(&error) {
                            self.observer.reported(&Damage::DiskFull { path });
                        }
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

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The process, or the system, has as many files open as it may.
fn is_out_of_files(error: &io::Error) -> bool {
    let out = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
    out.iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
