//! One machine's disk, in memory. Operations are queued as they are issued and each takes its time; what is
//! kept when the power fails follows from what had ended by then.
//!
//! A write that ended is in the cache: readers see it, and a loss of power keeps any of its sectors or none. A
//! sync that ended makes a file's earlier writes durable; one that failed forgets them, as the Linux page
//! cache does. Names that were not synced survive in part, in the order in which they were made.

mod faults;
mod file;
mod store;

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use weir_raft::disk::{Disk, DiskFile};

use crate::cluster::Crash;
use crate::life::Life;
use crate::random::Rng;
use crate::trace::Trace;
pub use faults::DiskFault;
use faults::Faults;
use file::SimFile;
use store::{Change, Keep, Store};

/// How long operations take when nothing is wrong.
const READ: Duration = Duration::from_micros(20);
const WRITE: Duration = Duration::from_micros(30);
const SYNC: std::ops::Range<Duration> = Duration::from_micros(150)..Duration::from_micros(1500);
const NAME: Duration = Duration::from_micros(20);

/// A node's disk during one life. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    trace: Arc<Trace>,
    life: Life,
}

struct State {
    store: Store,
    faults: Faults,
    rng: Rng,
    busy_until: Instant,
    /// Operations so far.
    ops: u64,
    /// The life ends after so many more operations, in this way,
    crash_after: Option<(u64, Crash)>,
    /// or within the next write of at least so many bytes, or the sync of it.
    crash_in_write: Option<(usize, Crash)>,
    /// Reads are those of somebody who is not part of the run.
    unnoticed: bool,
}

/// An operation, for its time and its faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Read,
    Write(usize),
    Sync,
    Name,
    SyncDir,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(life: Life, trace: Arc<Trace>, rng: Rng) -> SimDisk {
        SimDisk::of(Store::default(), Faults::default(), life, trace, rng)
    }

    fn of(store: Store, faults: Faults, life: Life, trace: Arc<Trace>, rng: Rng) -> SimDisk {
        SimDisk {
            state: Arc::new(Mutex::new(State {
                store,
                faults,
                rng,
                busy_until: Instant::now(),
                ops: 0,
                crash_after: None,
                crash_in_write: None,
                unnoticed: false,
            })),
            trace,
            life,
        }
    }

    /// When all operations that were issued so far have ended.
    pub fn busy_until(&self) -> Instant {
        self.state.lock().busy_until
    }

    /// What is left for the next life after this one has ended in this way at that time.
    pub fn after(&self, crash: Crash, at: Instant, life: Life) -> SimDisk {
        let mut state = self.state.lock();
        let rng = state.rng.fork();
        let keep = match crash {
            Crash::Process => Keep::Cache,
            Crash::Power => *rng.pick(&[Keep::Nothing, Keep::Sectors, Keep::Sectors, Keep::Cache]),
        };
        let store = state.store.after(at, keep, &rng);
        let faults = state.faults.lasting();
        SimDisk::of(store, faults, life, self.trace.clone(), rng)
    }

    /// A copy of what would be kept if the power failed now and took all that it may, for a reader that is not
    /// part of the run.
    pub fn at_worst(&self) -> SimDisk {
        let mut state = self.state.lock();
        let rng = Rng::new(0);
        let store = state.store.after(Instant::now(), Keep::Nothing, &rng);
        let trace = Arc::new(Trace::new(false));
        let life = Life::new(self.life.node());
        SimDisk::of(store, Faults::default(), life, trace, rng)
    }

    /// Whether these bytes of a file would be the same after any loss of power from now on.
    pub fn is_durable(&self, path: &Path, offset: usize, len: usize) -> bool {
        let mut state = self.state.lock();
        state.store.settle(Instant::now());
        state.store.is_durable(path, offset, len)
    }

    /// A copy of the whole disk as its process sees it, for a later life.
    pub fn copied(&self, life: Life) -> SimDisk {
        let mut state = self.state.lock();
        let rng = state.rng.fork();
        let store = state.store.after(Instant::now(), Keep::Cache, &rng);
        SimDisk::of(store, Faults::default(), life, self.trace.clone(), rng)
    }

    /// Ends the life in this way after so many more operations, within the next one.
    pub fn crash_after(&self, ops: u64, crash: Crash) {
        self.state.lock().crash_after = Some((ops, crash));
    }

    /// Ends the life in this way within the next write of at least so many bytes, or within the sync of it.
    pub fn crash_in_write(&self, bytes: usize, crash: Crash) {
        self.state.lock().crash_in_write = Some((bytes, crash));
    }

    pub fn inject(&self, fault: DiskFault) {
        let mut state = self.state.lock();
        let State {
            faults, busy_until, ..
        } = &mut *state;
        faults.inject(fault, busy_until);
    }

    /// Has `look` read for somebody who is not part of the run: it takes no time, and no failure is spent on it.
    pub fn unnoticed<T>(&self, look: impl FnOnce() -> T) -> T {
        self.state.lock().unnoticed = true;
        let seen = look();
        self.state.lock().unnoticed = false;
        seen
    }

    /// Whether something is still to go wrong.
    pub fn is_faulty(&self) -> bool {
        let state = self.state.lock();
        state.crash_after.is_some() || state.crash_in_write.is_some() || state.faults.is_any()
    }

    /// Ends the failures that last.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.faults = Faults::default();
        state.crash_after = None;
        state.crash_in_write = None;
    }

    /// Inverts a bit of a file, in the cache and on the platter. Returns whether there is such a byte.
    pub fn rot(&self, path: &Path, offset: usize, bit: u8) -> bool {
        let mut state = self.state.lock();
        state.store.settle(Instant::now());
        state.store.rot(path, offset, bit)
    }

    /// The files whose names have this extension, in order.
    pub fn files(&self, extension: &str) -> Vec<PathBuf> {
        let state = self.state.lock();
        let names = state.store.names.keys().map(PathBuf::from);
        let matching = names.filter(|path| path.extension().is_some_and(|ext| ext == extension));
        matching.collect()
    }

    /// Exchanges the contents of two files, durably.
    pub fn swap(&self, one: &Path, other: &Path) {
        let mut state = self.state.lock();
        state.store.settle(Instant::now());
        state.store.swap(one, other);
    }

    /// Queues an operation, or fails it. Returns when it starts and ends.
    fn begin(&self, op: Op) -> io::Result<(Instant, Instant)> {
        let mut state = self.state.lock();
        let now = Instant::now();
        if self.life.is_over() {
            return Err(power_is_out());
        }
        state.store.settle(now);
        if state.unnoticed && op == Op::Read {
            return Ok((now, now));
        }
        state.ops += 1;
        let start = state.busy_until.max(now);
        let took = state.time(op);
        let end = start + took;
        self.trace.event(
            "disk",
            [
                self.life.node().0,
                op.code(),
                end.duration_since(now).as_nanos() as u64,
            ],
        );
        if let Some(crash) = state.crash_in(op) {
            // Somewhere within this operation.
            let into = took.mul_f64(state.rng.below(100) as f64 / 100.0);
            self.life.doom(crash, start + into);
            return Ok((start, end));
        }
        state.busy_until = end;
        let State { faults, .. } = &mut *state;
        if let Some((class, error)) = faults.fail(op) {
            self.trace
                .fault(class, [self.life.node().0, op.code(), state.ops]);
            return Err(error);
        }
        Ok((start, end))
    }

    fn change(&self, (start, end): (Instant, Instant), change: Change) {
        let mut state = self.state.lock();
        state.store.change(start, end, change);
    }

    /// A change of names.
    fn rename_as(&self, change: impl FnOnce(&mut Store) -> io::Result<Change>) -> io::Result<()> {
        let time = self.begin(Op::Name)?;
        let made = change(&mut self.state.lock().store)?;
        self.change(time, made);
        Ok(())
    }
}

impl State {
    /// How the life ends within this operation, if it does.
    fn crash_in(&mut self, op: Op) -> Option<Crash> {
        if let Some((bytes, crash)) = self.crash_in_write
            && matches!(op, Op::Write(len) if len >= bytes)
        {
            self.crash_in_write = None;
            // This one or the next, which tends to be its sync.
            self.crash_after = Some((self.rng.below(2), crash));
        }
        let (left, crash) = self.crash_after.as_mut()?;
        if *left == 0 {
            let crash = *crash;
            self.crash_after = None;
            return Some(crash);
        }
        *left -= 1;
        None
    }

    fn time(&self, op: Op) -> Duration {
        let time = match op {
            Op::Read => READ,
            // 500 MB/s.
            Op::Write(len) => WRITE + Duration::from_nanos(2 * len as u64),
            Op::Sync | Op::SyncDir => self.rng.time(SYNC),
            Op::Name => NAME,
        };
        time * self.faults.slowness()
    }
}

impl Op {
    fn code(self) -> u64 {
        match self {
            Op::Read => 1,
            Op::Write(len) => 2 | (len as u64) << 8,
            Op::Sync => 3,
            Op::Name => 4,
            Op::SyncDir => 5,
        }
    }
}

fn power_is_out() -> io::Error {
    io::Error::other("the power is out")
}

impl Disk for SimDisk {
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.begin(Op::Read)?;
        let inode = self.state.lock().store.find(path);
        let inode = inode.ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile::new(self.clone(), inode)))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inode = None;
        self.rename_as(|store| {
            let created = store.create();
            inode = Some(created);
            Ok(Change::Name(path.into(), created))
        })?;
        let inode = inode.expect("a file was created");
        Ok(Arc::new(SimFile::new(self.clone(), inode)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_as(|store| match store.find(from).is_some() {
            true => Ok(Change::Rename(from.into(), to.into())),
            false => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.rename_as(|store| match store.find(path).is_some() {
            true => Ok(Change::Remove(path.into())),
            false => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let time = self.begin(Op::SyncDir)?;
        self.change(time, Change::SyncDir(path.into()));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.begin(Op::Read)?;
        let state = self.state.lock();
        Ok(state.store.list(path).map(PathBuf::from).collect())
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }
}
