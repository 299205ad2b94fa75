//! What waits for the writer. Positions are handed out here, under the queue's lock, so that the
//! order of the queue is the order of the bytes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::format::{FILE_HEADER_LEN, Kind, RECORD_HEADER_LEN, record_len};
use super::recovery::Recovered;
use super::{Done, Positions, Record, WalError};
use crate::ids::{Index, ShardId, Term, WalPos};
use crate::payload::Payload;
use crate::threads::Wake;

/// A step of the writer.
pub enum Item {
    /// Continue in a new file of this capacity.
    Roll {
        file: u64,
        capacity: u32,
    },
    Write {
        at: WalPos,
        record: Record,
    },
    Done(Done),
}

/// What the writer is to do next.
pub enum Task {
    Write(Vec<Item>),
    /// The mark of a clean stop, then the end.
    Stop(Vec<Item>),
    /// The handle is gone: end without touching the disk.
    Abandon,
    /// Wait until there is something, or for so long.
    Wait(Option<Duration>),
}

pub struct Queue {
    state: Mutex<State>,
    /// Signals the writer.
    work: Condvar,
    /// Signals readers that wait for their bytes.
    written: Condvar,
    /// File in the upper half, offset in the lower one.
    durable: AtomicU64,
    file_bytes: u32,
}

struct State {
    /// Where the next record goes, unless it does not fit.
    tail: WalPos,
    capacity: u32,
    next_file: u64,
    oldest_file: u64,
    items: Vec<Item>,
    /// Commit positions to write along with the next group.
    notes: BTreeMap<ShardId, Option<(Term, Index)>>,
    /// Whether the durable watermark on the disk says less than is true.
    unmarked: bool,
    /// Whether the writer sleeps until it is woken.
    asleep: bool,
    /// Wakes a writer that has no thread of its own.
    wake: Option<Wake>,
    stopping: bool,
    abandoned: bool,
    failed: Option<WalError>,
}

impl Queue {
    pub fn new(recovered: &Recovered, file_bytes: u32) -> Queue {
        Queue {
            state: Mutex::new(State {
                tail: recovered.tail,
                capacity: recovered.capacity,
                next_file: recovered.next_file,
                oldest_file: recovered.oldest_file,
                items: Vec::new(),
                notes: BTreeMap::new(),
                unmarked: false,
                asleep: false,
                wake: None,
                stopping: false,
                abandoned: false,
                failed: None,
            }),
            work: Condvar::new(),
            written: Condvar::new(),
            durable: AtomicU64::new(pack(recovered.tail)),
            file_bytes,
        }
    }

    pub fn submit(
        &self,
        records: impl IntoIterator<Item = Record>,
        done: Done,
    ) -> Result<Positions, WalError> {
        let mut state = self.state.lock();
        state.check()?;
        let mut positions = Positions::new();
        for record in records {
            positions.push(state.place(record, self.file_bytes));
        }
        state.items.push(Item::Done(done));
        self.wake(&state);
        Ok(positions)
    }

    pub fn note_committed(&self, shard: ShardId, upto: Option<(Term, Index)>) {
        let mut state = self.state.lock();
        state.notes.insert(shard, upto);
        if state.asleep {
            self.wake(&state);
        }
    }

    /// From now on watermarks say that files before `oldest` are not needed; `done` runs when the
    /// first that does is durable.
    pub fn set_oldest(&self, oldest: u64, done: Done) -> Result<(), WalError> {
        let mut state = self.state.lock();
        state.check()?;
        state.oldest_file = oldest.max(state.oldest_file);
        state.mark(false, self.file_bytes);
        state.items.push(Item::Done(done));
        self.wake(&state);
        Ok(())
    }

    /// Goes on in a new file, which a watermark begins.
    pub fn seal(&self) -> Result<(), WalError> {
        let mut state = self.state.lock();
        state.check()?;
        state.capacity = state.tail.offset;
        state.mark(false, self.file_bytes);
        self.wake(&state);
        Ok(())
    }

    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.stopping = true;
        self.wake(&state);
    }

    pub fn abandon(&self) {
        let mut state = self.state.lock();
        state.abandoned = true;
        self.wake(&state);
        self.written.notify_all();
    }

    /// The position after the last record that was submitted.
    pub fn submitted(&self) -> WalPos {
        self.state.lock().tail
    }

    /// The next task. After `idle` without any, which `waited` says has passed, it is a watermark, once.
    pub fn next(&self, idle: Duration, waited: bool) -> Task {
        let mut state = self.state.lock();
        state.asleep = false;
        if state.abandoned {
            return Task::Abandon;
        }
        if !state.items.is_empty() {
            state.write_notes(self.file_bytes);
            state.unmarked = true;
            return Task::Write(std::mem::take(&mut state.items));
        }
        // Only now, in a group of its own, does a watermark tell of all that was queued.
        if state.stopping && !state.notes.is_empty() {
            state.write_notes(self.file_bytes);
            return Task::Write(std::mem::take(&mut state.items));
        }
        if state.stopping {
            state.mark(true, self.file_bytes);
            state.failed = Some(WalError::Stopped);
            return Task::Stop(std::mem::take(&mut state.items));
        }
        if !state.unmarked && state.notes.is_empty() {
            state.asleep = true;
            return Task::Wait(None);
        }
        if waited {
            state.mark(false, self.file_bytes);
            state.unmarked = false;
            return Task::Write(std::mem::take(&mut state.items));
        }
        Task::Wait(Some(idle))
    }

    /// Waits for a task; says whether the time has passed.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        let mut state = self.state.lock();
        if !state.items.is_empty() || state.stopping || state.abandoned {
            return false;
        }
        match limit {
            Some(limit) => self.work.wait_for(&mut state, limit).timed_out(),
            None => {
                if state.notes.is_empty() {
                    self.work.wait(&mut state);
                }
                false
            }
        }
    }

    /// Sleeps for about `time`, less when the WAL stops.
    pub fn pause(&self, time: Duration) {
        let mut state = self.state.lock();
        if !state.stopping && !state.abandoned {
            self.written.wait_for(&mut state, time);
        }
    }

    /// Whether records are taken: it was not stopped and has not failed.
    pub fn is_open(&self) -> bool {
        self.state.lock().check().is_ok()
    }

    pub fn is_stopping(&self) -> bool {
        let state = self.state.lock();
        state.stopping || state.abandoned
    }

    pub fn wake_by(&self, wake: Wake) {
        self.state.lock().wake = Some(wake);
    }

    fn wake(&self, state: &State) {
        self.work.notify_one();
        if let Some(wake) = &state.wake {
            wake();
        }
    }

    pub fn durable(&self) -> WalPos {
        unpack(self.durable.load(Ordering::Acquire))
    }

    pub fn set_durable(&self, pos: WalPos) {
        assert!(
            pos >= self.durable(),
            "the durable watermark only moves forward"
        );
        // Under the lock, so that a reader between its check and its wait is not missed.
        let _state = self.state.lock();
        self.durable.store(pack(pos), Ordering::Release);
        self.written.notify_all();
    }

    pub fn wait_durable(&self, pos: WalPos) -> Result<(), WalError> {
        if self.durable() >= pos {
            return Ok(());
        }
        let mut state = self.state.lock();
        while self.durable() < pos {
            state.check()?;
            self.written.wait(&mut state);
        }
        Ok(())
    }

    /// Refuses all further work; the callbacks of what is queued are told.
    pub fn fail(&self, error: WalError) {
        let mut state = self.state.lock();
        state.failed = Some(error.clone());
        let items = std::mem::take(&mut state.items);
        self.written.notify_all();
        drop(state);
        for item in items {
            if let Item::Done(done) = item {
                done(Err(error.clone()));
            }
        }
    }
}

impl State {
    fn check(&self) -> Result<(), WalError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.stopping || self.abandoned => Err(WalError::Stopped),
            None => Ok(()),
        }
    }

    /// Gives a record its position, in a new file when it does not fit. Returns the body's.
    fn place(&mut self, record: Record, file_bytes: u32) -> WalPos {
        let len = record_len(record.body.len() as u32);
        if len > self.capacity.saturating_sub(self.tail.offset) {
            self.roll(len, file_bytes);
        }
        self.push(record)
    }

    fn roll(&mut self, needed: u32, file_bytes: u32) {
        let start = Kind::Start {
            previous_file: self.tail.file,
            previous_end: self.tail.offset,
        };
        let file = self.next_file;
        let capacity = file_bytes.max(FILE_HEADER_LEN + record_len(0) + needed);
        self.next_file += 1;
        self.capacity = capacity;
        self.tail = WalPos {
            file,
            offset: FILE_HEADER_LEN,
        };
        self.items.push(Item::Roll { file, capacity });
        self.push(own(start));
    }

    fn push(&mut self, record: Record) -> WalPos {
        let at = self.tail;
        self.tail.offset += record_len(record.body.len() as u32);
        assert!(
            self.tail.offset <= self.capacity,
            "a record lies in its file"
        );
        self.items.push(Item::Write { at, record });
        WalPos {
            file: at.file,
            offset: at.offset + RECORD_HEADER_LEN,
        }
    }

    fn write_notes(&mut self, file_bytes: u32) {
        for (shard, upto) in std::mem::take(&mut self.notes) {
            let record = Record {
                shard,
                kind: Kind::Committed { upto },
                body: Payload::empty(),
            };
            self.place(record, file_bytes);
        }
    }

    fn mark(&mut self, clean: bool, file_bytes: u32) {
        self.write_notes(file_bytes);
        let oldest_file = self.oldest_file;
        self.place(own(Kind::Watermark { oldest_file, clean }), file_bytes);
    }
}

/// A record of the WAL itself.
fn own(kind: Kind) -> Record {
    Record {
        shard: ShardId(0),
        kind,
        body: Payload::empty(),
    }
}

fn pack(pos: WalPos) -> u64 {
    assert!(
        pos.file <= u64::from(u32::MAX),
        "file sequence numbers fit 32 bits"
    );
    pos.file << 32 | u64::from(pos.offset)
}

fn unpack(packed: u64) -> WalPos {
    WalPos {
        file: packed >> 32,
        offset: packed as u32,
    }
}
