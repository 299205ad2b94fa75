//! Writes and syncs for all shards, on a thread of its own.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::blocks::Blocks;
use super::files::{Files, OpenFile};
use super::format::{FILE_HEADER_LEN, RecordHeader};
use super::queue::{Item, Queue, Task};
use super::recovery::Recovered;
use super::{Done, Record, WalConfig, WalError, die, is_full, is_passing};
use crate::env::{Clock, Env, Fatal};
use crate::ids::WalPos;
use crate::observer::{Damage, WalObserver};
use crate::pace::Pace;
use crate::payload::{Piece, Written};
use crate::planted::{self, Bug};
use crate::threads::{Turn, Wake, Worker};

/// How long to wait before writing to a full disk again.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(100);

pub struct Writer {
    queue: Arc<Queue>,
    files: Arc<Files>,
    clock: Arc<dyn Clock>,
    fatal: Fatal,
    observer: Arc<dyn WalObserver>,
    pace: Arc<Pace>,
    idle: Duration,
    /// Set at the end.
    ended: watch::Sender<bool>,
    /// The file that is being written; none before the first record of a new WAL.
    current: Option<OpenFile>,
    blocks: Blocks,
    /// Bytes of records since the last sync.
    unsynced: u64,
    /// Who wants to know when what was gathered is written.
    written: Vec<Written>,
    group: Option<Group>,
    /// Whether the disk was found full in this group.
    full: bool,
}

/// What is written and synced together.
struct Group {
    /// What is still to be gathered.
    items: VecDeque<Item>,
    dones: Vec<Done>,
    /// Up to where all was durable before it,
    durable: WalPos,
    /// and will be after it.
    end: WalPos,
    /// Bytes of the first item, too long for one write, that are gathered.
    begun: usize,
    /// Whether it ends with the mark of a clean stop.
    last: bool,
}

/// Why a group is not written.
enum Failure {
    /// For want of space or files; it can be tried again.
    Full(io::Error),
    Disk(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match is_passing(&error) {
            true => Failure::Full(error),
            false => Failure::Disk(error),
        }
    }
}

impl Worker for Writer {
    fn turn(&mut self, waited: bool) -> Turn {
        if *self.ended.borrow() {
            return Turn::Ended;
        }
        if self.group.is_none() {
            let (items, last) = match self.queue.next(self.idle, waited) {
                Task::Write(items) => (items, false),
                Task::Stop(items) => (items, true),
                Task::Wait(limit) => return Turn::Wait(limit),
                Task::Abandon => return self.end(WalError::Stopped),
            };
            self.begin(items, last);
        } else if self.queue.is_stopping() {
            // The disk was full until the stop.
            return self.end(WalError::Stopped);
        }
        match self.write() {
            Ok(()) => {
                self.mark_end();
                Turn::Worked
            }
            Err(Failure::Full(error)) => {
                self.report_full(&error);
                Turn::Wait(Some(FULL_DISK_PAUSE))
            }
            Err(Failure::Disk(error)) => {
                let error = self.die(&error);
                self.end(error)
            }
        }
    }

    fn finish(&mut self) {
        let group = self.group.take().expect("a group was written");
        self.full = false;
        self.queue.set_durable(group.end);
        group.dones.into_iter().for_each(|done| done(Ok(())));
        self.files.prepare_next(group.end);
        if group.last {
            self.end(WalError::Stopped);
        }
    }

    fn wait(&mut self, limit: Option<Duration>) -> bool {
        match self.group {
            Some(_) => {
                self.queue.pause(FULL_DISK_PAUSE);
                true
            }
            None => self.queue.wait(limit),
        }
    }

    fn wake_by(&mut self, wake: Wake) {
        self.queue.wake_by(wake);
    }
}

impl Writer {
    pub fn new(
        queue: &Arc<Queue>,
        files: &Arc<Files>,
        config: &WalConfig,
        env: &Env,
        observer: Arc<dyn WalObserver>,
        pace: &Arc<Pace>,
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
            pace: pace.clone(),
            idle: config.idle,
            ended: watch::Sender::new(false),
            current,
            blocks,
            unsynced: 0,
            written: Vec::new(),
            group: None,
            full: false,
        })
    }

    /// True once the writer has ended; closed when it was given up.
    pub fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// After the last group notes where the log ends. That only helps to notice damage, so the stop is no less clean
    /// without it.
    fn mark_end(&self) {
        if let Some(group) = self.group.as_ref().filter(|group| group.last)
            && group.end > WalPos::ZERO
            && let Err(error) = self.files.mark_end(group.end)
        {
            tracing::warn!(%error, "the end of the write-ahead log was not noted");
        }
    }

    fn begin(&mut self, items: Vec<Item>, last: bool) {
        let durable = self.queue.durable();
        self.group = Some(Group {
            items: items.into(),
            dones: Vec::new(),
            durable,
            end: durable,
            begun: 0,
            last,
        });
    }

    /// Writes and syncs what is left of the group. When the disk is full, it goes on from there the next time:
    /// nothing is synced yet, so the same bytes may be written to the same place once more.
    fn write(&mut self) -> Result<(), Failure> {
        let mut group = self.group.take().expect("a group is begun");
        let written = self.gather_all(&mut group);
        self.group = Some(group);
        written?;
        self.flush()
    }

    fn gather_all(&mut self, group: &mut Group) -> Result<(), Failure> {
        while let Some(item) = group.items.front() {
            match item {
                Item::Done(_) => {}
                Item::Write { at, record } => {
                    let (at, durable) = (*at, group.durable);
                    group.end = self.gather(at, record, durable, &mut group.begun)?;
                }
                Item::Roll { file, capacity } => {
                    self.flush()?;
                    self.roll(*file, *capacity)?;
                }
            }
            if let Some(Item::Done(done)) = group.items.pop_front() {
                group.dones.push(done);
            }
        }
        Ok(())
    }

    fn gather(
        &mut self,
        at: WalPos,
        record: &Record,
        durable: WalPos,
        begun: &mut usize,
    ) -> Result<WalPos, Failure> {
        let header = RecordHeader {
            kind: record.kind,
            shard: record.shard,
            at,
            body_len: record.body.len() as u32,
            body_crc: 0,
            durable,
        };
        if *begun == 0 && !self.blocks.fits(record.body.len()) {
            self.write_out()?;
        }
        let file = self.current_file();
        assert_eq!(
            (at.file, at.offset + *begun as u32),
            (file.seq, self.blocks.end()),
            "a record is written where it was placed"
        );
        let salt = file.salt;
        let end = WalPos {
            file: at.file,
            offset: header.end(),
        };
        if *begun == 0 && self.blocks.fits(record.body.len()) {
            self.blocks.add(&header, salt, record.body.pieces());
        } else {
            self.write_long(&header, salt, record.body.pieces(), begun)?;
        }
        self.unsynced += u64::from(end.offset - at.offset);
        self.written.extend(record.body.written().cloned());
        Ok(end)
    }

    /// Writes a record that is longer than what one write takes, but for its first `begun` bytes.
    fn write_long(
        &mut self,
        header: &RecordHeader,
        salt: u64,
        body: &[Piece],
        begun: &mut usize,
    ) -> Result<(), Failure> {
        let body_crc = body.iter().fold(0, |crc, piece| piece.append_crc(crc));
        let header_bytes = RecordHeader {
            body_crc,
            ..*header
        }
        .encode(salt);
        let bodies = body.iter().map(|piece| &piece.bytes[..]);
        let mut start = 0;
        for chunk in std::iter::once(&header_bytes[..]).chain(bodies) {
            let end = start + chunk.len();
            while *begun < end {
                let copied = self.blocks.copy_some(&chunk[*begun - start..]);
                *begun += copied;
                if copied == 0 {
                    self.write_out()?;
                }
            }
            start = end;
        }
        if !self.blocks.fits(0) {
            self.write_out()?;
        }
        self.blocks.copy_gap(header);
        *begun = 0;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.write_out()?;
        self.written.drain(..).for_each(|written| written());
        if self.unsynced == 0 {
            return Ok(());
        }
        let before = self.clock.now();
        let file = &self.current_file().file;
        match file.sync() {
            Err(_) if planted::has(Bug::SyncErrorIgnored) => {}
            Err(_) if planted::has(Bug::SyncErrorRetried) => file.sync()?,
            synced => synced.map_err(Failure::Disk)?,
        }
        let took = self.clock.now().saturating_sub(before);
        self.observer.fsynced(took, self.unsynced);
        self.pace.synced(took);
        self.files.synced(self.unsynced);
        self.unsynced = 0;
        Ok(())
    }

    fn roll(&mut self, file: u64, capacity: u32) -> Result<(), Failure> {
        let next = self.files.roll(file, capacity)?;
        let resumed = self.blocks.resume(&*next.file, FILE_HEADER_LEN);
        resumed.map_err(Failure::Disk)?;
        self.current = Some(next);
        Ok(())
    }

    fn write_out(&mut self) -> Result<(), Failure> {
        if self.blocks.is_dirty() {
            let file = self.current_file().file.clone();
            self.blocks.write_out(&*file)?;
        }
        Ok(())
    }

    fn current_file(&self) -> &OpenFile {
        let current = self.current.as_ref();
        current.expect("the first item of a WAL is a roll")
    }

    fn report_full(&mut self, error: &io::Error) {
        if std::mem::replace(&mut self.full, true) {
            return;
        }
        let next = self.group.as_ref().and_then(|group| group.items.front());
        let path = match next {
            Some(Item::Roll { file, .. }) => self.files.path(*file),
            _ => self.files.path(self.current_file().seq),
        };
        tracing::error!("{error}: writing to {} is retried", path.display());
        if is_full(error) {
            self.observer.reported(&Damage::DiskFull { path });
        }
    }

    /// Refuses all further work.
    fn end(&mut self, error: WalError) -> Turn {
        self.queue.fail(error.clone());
        if let Some(group) = self.group.take() {
            let left = group.items.into_iter().filter_map(|item| match item {
                Item::Done(done) => Some(done),
                Item::Write { .. } | Item::Roll { .. } => None,
            });
            let dones = group.dones.into_iter().chain(left);
            dones.for_each(|done| done(Err(error.clone())));
        }
        self.ended.send_replace(true);
        Turn::Ended
    }

    /// After a failed sync the kernel may have dropped the bytes and forgotten about it, so there
    /// is no second try (invariant D2).
    fn die(&self, error: &io::Error) -> WalError {
        let file = self.current.as_ref().map_or(0, |file| file.seq);
        let path = self.files.path(file);
        let path = path.display();
        let what = format!("writing or syncing the write-ahead log {path} failed: {error}");
        WalError::Failed(die(&self.fatal, &what).into())
    }
}
