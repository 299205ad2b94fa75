//! What the kernel asks for, answered from the names and files in memory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use parking_lot::{Condvar, MappedMutexGuard, Mutex, MutexGuard};

use super::files::Bytes;
use super::loss::{Loss, Report};
use super::names::{Names, Number, ROOT};
use crate::clock;
use crate::luck::Luck;

/// Nobody else changes what the kernel knows.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);
const BLOCK: u32 = 4096;
/// The longest that a sync takes.
const MAX_SYNC_MICROS: u64 = 3000;
/// `fallocate` with this flag changes nothing that can be read.
const KEEP_SIZE: i32 = 1;

/// What the file system holds, and whether it works.
pub struct Disk {
    state: Mutex<State>,
    /// Signals that it is no longer frozen.
    thawed: Condvar,
}

struct State {
    power: Power,
    /// Syncs are answered and do nothing.
    lies: bool,
    /// Holds each file's bytes under its number.
    backing: PathBuf,
    names: Names,
    files: BTreeMap<Number, Bytes>,
    last_number: Number,
    /// How long syncs take.
    luck: Luck,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    /// Whoever asks waits.
    Frozen,
    /// Whoever asks gets an error.
    Off,
}

type Answer<T> = Result<T, Errno>;

impl Disk {
    /// An empty one that keeps bytes in files of the directory `backing`.
    pub fn new(backing: PathBuf, seed: u64) -> Arc<Disk> {
        Arc::new(Disk {
            state: Mutex::new(State {
                power: Power::On,
                lies: false,
                backing,
                names: Names::new(),
                files: BTreeMap::new(),
                last_number: ROOT,
                luck: Luck::new(seed),
            }),
            thawed: Condvar::new(),
        })
    }

    pub fn freeze(&self) {
        self.state.lock().power = Power::Frozen;
    }

    /// Whoever waits, or asks from now on, gets an error.
    pub fn cut_power(&self) {
        self.state.lock().power = Power::Off;
        self.thawed.notify_all();
    }

    /// From now on syncs do nothing, and say that they have.
    pub fn lie(&self) {
        self.state.lock().lies = true;
    }

    /// Loses what was not synced, and works again.
    pub fn restore(&self, mut loss: Loss) -> io::Result<Report> {
        let mut state = self.state.lock();
        let state = &mut *state;
        for file in state.files.values_mut() {
            file.lose(&mut loss)?;
        }
        state.names.lose(&mut loss);
        let named = state.names.named();
        state.names.retain(&named);
        for number in state.files.keys().filter(|number| !named.contains(number)) {
            std::fs::remove_file(state.backing.join(number.to_string()))?;
        }
        state.files.retain(|number, _| named.contains(number));
        state.power = Power::On;
        Ok(loss.report)
    }

    /// The state, once it is not frozen.
    fn enter(&self) -> Answer<MutexGuard<'_, State>> {
        let mut state = self.state.lock();
        while state.power == Power::Frozen {
            self.thawed.wait(&mut state);
        }
        match state.power {
            Power::Off => Err(Errno::EIO),
            Power::On | Power::Frozen => Ok(state),
        }
    }

    fn file(&self, number: INodeNo) -> Answer<MappedMutexGuard<'_, Bytes>> {
        let state = self.enter()?;
        MutexGuard::try_map(state, |state| state.files.get_mut(&number.0))
            .map_err(|_| Errno::ENOENT)
    }

    /// Takes as long as a drive may, during which power may be lost.
    fn sync(&self, work: impl FnOnce(&mut State)) -> Answer<()> {
        let micros = self.enter()?.luck.below(MAX_SYNC_MICROS);
        clock::pause(Duration::from_micros(micros));
        let mut state = self.enter()?;
        if !state.lies {
            work(&mut state);
        }
        Ok(())
    }

    fn lookup(&self, dir: INodeNo, name: &OsStr) -> Answer<FileAttr> {
        let state = self.enter()?;
        state.attributes(state.find(dir, name)?)
    }

    fn make_file(&self, dir: INodeNo, name: &OsStr) -> Answer<FileAttr> {
        let mut state = self.enter()?;
        let number = state.next_number();
        let mut options = File::options();
        let options = options.read(true).write(true).create_new(true);
        let backing = options.open(state.backing.join(number.to_string()))?;
        state.files.insert(number, Bytes::new(backing));
        state.names.set(dir.0, name, Some(number));
        state.attributes(number)
    }

    fn make_dir(&self, dir: INodeNo, name: &OsStr) -> Answer<FileAttr> {
        let mut state = self.enter()?;
        let number = state.next_number();
        state.names.add_dir(number);
        state.names.set(dir.0, name, Some(number));
        state.attributes(number)
    }

    fn remove(&self, dir: INodeNo, name: &OsStr) -> Answer<()> {
        let mut state = self.enter()?;
        let number = state.find(dir, name)?;
        if !state.names.is_empty(number) {
            return Err(Errno::ENOTEMPTY);
        }
        state.names.set(dir.0, name, None);
        Ok(())
    }

    fn rename(
        &self,
        from: (INodeNo, &OsStr),
        to: (INodeNo, &OsStr),
        flags: RenameFlags,
    ) -> Answer<()> {
        let mut state = self.enter()?;
        state.find(from.0, from.1)?;
        let there = state.names.get(to.0.0, to.1);
        if there.is_some() && flags == RenameFlags::RENAME_NOREPLACE {
            return Err(Errno::EEXIST);
        }
        if !flags.difference(RenameFlags::RENAME_NOREPLACE).is_empty() {
            return Err(Errno::EINVAL);
        }
        if there.is_some_and(|number| !state.names.is_empty(number)) {
            return Err(Errno::ENOTEMPTY);
        }
        state.names.rename((from.0.0, from.1), (to.0.0, to.1));
        Ok(())
    }

    fn resize(&self, number: INodeNo, len: Option<u64>) -> Answer<FileAttr> {
        if let Some(len) = len {
            self.file(number)?.resize(len)?;
        }
        self.enter()?.attributes(number.0)
    }

    fn allocate(&self, number: INodeNo, end: u64, mode: i32) -> Answer<()> {
        let mut file = self.file(number)?;
        match mode {
            0 if file.len() < end => Ok(file.resize(end)?),
            0 | KEEP_SIZE => Ok(()),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// The number, kind and name of everything in a directory, from the one after `offset` on.
    fn list(
        &self,
        number: INodeNo,
        offset: u64,
    ) -> Answer<Vec<(Number, FileType, std::ffi::OsString)>> {
        let state = self.enter()?;
        let dots = [".", ".."].map(|dot| (dot.into(), number.0));
        let names = dots.into_iter().chain(state.names.list(number.0));
        let listed = names.skip(offset as usize);
        Ok(listed
            .map(|(name, number)| (number, state.kind(number), name))
            .collect())
    }
}

impl State {
    fn next_number(&mut self) -> Number {
        self.last_number += 1;
        self.last_number
    }

    fn find(&self, dir: INodeNo, name: &OsStr) -> Answer<Number> {
        self.names.get(dir.0, name).ok_or(Errno::ENOENT)
    }

    fn kind(&self, number: Number) -> FileType {
        if self.names.is_dir(number) {
            FileType::Directory
        } else {
            FileType::RegularFile
        }
    }

    fn attributes(&self, number: Number) -> Answer<FileAttr> {
        let kind = self.kind(number);
        let (size, perm) = match kind {
            FileType::Directory => (0, 0o755),
            _ => (self.files.get(&number).ok_or(Errno::ENOENT)?.len(), 0o644),
        };
        Ok(FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            rdev: 0,
            blksize: BLOCK,
            flags: 0,
        })
    }
}

/// The kernel's side of a disk.
pub struct Requests(pub Arc<Disk>);

/// Answers with what was found, or with the error.
macro_rules! answer {
    ($reply:ident, $result:expr, $found:pat => $good:expr) => {
        match $result {
            Ok($found) => $good,
            Err(error) => $reply.error(error),
        }
    };
}

impl Filesystem for Requests {
    fn lookup(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer!(reply, self.0.lookup(dir, name), found => reply.entry(&FOR_EVER, &found, Generation(0)));
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.0.resize(number, None), found => reply.attr(&FOR_EVER, &found));
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        answer!(reply, self.0.resize(number, size), found => reply.attr(&FOR_EVER, &found));
    }

    fn mkdir(
        &self,
        _: &Request,
        dir: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        answer!(reply, self.0.make_dir(dir, name), made => reply.entry(&FOR_EVER, &made, Generation(0)));
    }

    fn create(
        &self,
        _: &Request,
        dir: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        answer!(reply, self.0.make_file(dir, name), made => {
            reply.created(&FOR_EVER, &made, Generation(0), FileHandle(0), FopenFlags::empty());
        });
    }

    fn unlink(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.0.remove(dir, name), () => reply.ok());
    }

    fn rmdir(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.0.remove(dir, name), () => reply.ok());
    }

    fn rename(
        &self,
        _: &Request,
        dir: INodeNo,
        name: &OsStr,
        new_dir: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer!(reply, self.0.rename((dir, name), (new_dir, new_name), flags), () => reply.ok());
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        at: u64,
        len: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.0.file(number);
        let read = read.and_then(|file| Ok(file.read(at, len as usize)?));
        answer!(reply, read, bytes => reply.data(&bytes));
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        at: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.0.file(number);
        let written = written.and_then(|mut file| Ok(file.write(at, bytes)?));
        answer!(reply, written, () => reply.written(bytes.len() as u32));
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        at: u64,
        len: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        answer!(reply, self.0.allocate(number, at + len, mode), () => reply.ok());
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let synced = self.0.sync(|state| {
            if let Some(file) = state.files.get_mut(&number.0) {
                file.sync();
            }
        });
        answer!(reply, synced, () => reply.ok());
    }

    fn fsyncdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let synced = self.0.sync(|state| state.names.sync(number.0));
        answer!(reply, synced, () => reply.ok());
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        answer!(reply, self.0.list(number, offset), listed => {
            for (next, (number, kind, name)) in (offset + 1..).zip(listed) {
                if reply.add(INodeNo(number), next, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let state = self.0.enter();
        let disk = state
            .and_then(|state| Ok(rustix::fs::statvfs(&state.backing).map_err(io::Error::from)?));
        answer!(reply, disk, disk => reply.statfs(
            disk.f_blocks,
            disk.f_bfree,
            disk.f_bavail,
            disk.f_files,
            disk.f_ffree,
            disk.f_bsize as u32,
            255,
            disk.f_frsize as u32,
        ));
    }
}
