//! A disk in memory that behaves like a bad one: it forgets what was not synced, tears writes, and
//! fails on request. For tests of this crate and of those above it.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::{Disk, DiskFile};

/// What a disk writes at once or not at all.
const SECTOR: usize = 512;

/// A failure to inject; it stays until `MemDisk::heal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Sync,
    Read,
    Write,
    /// Writes fail with `StorageFull`.
    Full,
    /// Names are neither changed nor removed, as where a directory has no room left.
    Names,
}

/// A file system in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
    /// Signals that syncs go on.
    released: Arc<Condvar>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<PathBuf, Arc<Mutex<Inode>>>,
    /// The names as of the last `sync_dir` of their directories.
    durable_names: BTreeMap<PathBuf, Arc<Mutex<Inode>>>,
    faults: Vec<Fault>,
    syncs: u64,
    held: bool,
    allocates: bool,
}

#[derive(Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
}

struct MemFile {
    disk: MemDisk,
    inode: Arc<Mutex<Inode>>,
}

impl MemDisk {
    pub fn new() -> MemDisk {
        MemDisk::default()
    }

    /// One that can reserve space for files, as most file systems do.
    pub fn allocating() -> MemDisk {
        let disk = MemDisk::default();
        disk.state.lock().allocates = true;
        disk
    }

    /// From now on operations of this kind fail.
    pub fn inject(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    /// Ends all injected failures.
    pub fn heal(&self) {
        self.state.lock().faults.clear();
    }

    /// How often a file's bytes were synced so far.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// From now on syncs of files wait for `release_syncs`.
    pub fn hold_syncs(&self) {
        self.state.lock().held = true;
    }

    pub fn release_syncs(&self) {
        self.state.lock().held = false;
        self.released.notify_all();
    }

    /// Power loss: what was not synced is gone, except for those sectors of it that `survives`
    /// says had reached the platter. Files opened before the crash must not be used afterwards.
    pub fn crash(&self, mut survives: impl FnMut() -> bool) -> MemDisk {
        let state = self.state.lock();
        let mut after = State {
            allocates: state.allocates,
            ..State::default()
        };
        for (path, inode) in &state.durable_names {
            let inode = inode.lock();
            let mut bytes = inode.durable.clone();
            for (offset, data) in &inode.pending {
                apply_torn(&mut bytes, *offset, data, &mut survives);
            }
            let inode = Arc::new(Mutex::new(Inode {
                durable: bytes.clone(),
                bytes,
                pending: Vec::new(),
            }));
            after.names.insert(path.clone(), inode.clone());
            after.durable_names.insert(path.clone(), inode);
        }
        MemDisk {
            state: Arc::new(Mutex::new(after)),
            released: Arc::default(),
        }
    }

    /// Inverts the bits of one stored byte.
    ///
    /// # Panics
    /// When there is no such file or byte.
    pub fn flip(&self, path: &Path, offset: usize) {
        let state = self.state.lock();
        let mut inode = state.names[path].lock();
        inode.bytes[offset] ^= 0xff;
        if offset < inode.durable.len() {
            inode.durable[offset] ^= 0xff;
        }
    }

    /// Cuts a stored file down to its first `len` bytes.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn truncate(&self, path: &Path, len: usize) {
        let state = self.state.lock();
        let mut inode = state.names[path].lock();
        inode.bytes.truncate(len);
        inode.durable.truncate(len);
    }

    /// A copy of a file's bytes.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        self.state.lock().names[path].lock().bytes.clone()
    }
}

/// Writes those sectors of `data` that survive; a lost sector leaves what was there before.
fn apply_torn(bytes: &mut Vec<u8>, offset: usize, data: &[u8], survives: &mut dyn FnMut() -> bool) {
    let mut at = 0;
    while at < data.len() {
        let sector_end = (offset + at) / SECTOR * SECTOR + SECTOR - offset;
        let end = sector_end.min(data.len());
        if survives() {
            write_at(bytes, offset + at, &data[at..end]);
        }
        at = end;
    }
}

fn write_at(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

impl State {
    fn check(&self, fault: Fault) -> io::Result<()> {
        if self.faults.contains(&fault) {
            return Err(match fault {
                Fault::Full => io::ErrorKind::StorageFull.into(),
                fault => io::Error::other(format!("injected {fault:?} error")),
            });
        }
        Ok(())
    }
}

impl Disk for MemDisk {
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        let inode = state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemFile {
            disk: self.clone(),
            inode: inode.clone(),
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        let inode = Arc::new(Mutex::new(Inode::default()));
        state.names.insert(path.to_owned(), inode.clone());
        Ok(Arc::new(MemFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Fault::Names)?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Fault::Names)?;
        let removed = state.names.remove(path);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Fault::Sync)?;
        let State {
            names,
            durable_names,
            ..
        } = &mut *state;
        durable_names.retain(|name, _| name.parent() != Some(path));
        for (name, inode) in names.iter() {
            if name.parent() == Some(path) {
                durable_names.insert(name.clone(), inode.clone());
            }
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.state.lock();
        let names = state.names.keys();
        Ok(names
            .filter(|name| name.parent() == Some(path))
            .cloned()
            .collect())
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl DiskFile for MemFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.state.lock().check(Fault::Read)?;
        let inode = self.inode.lock();
        let offset = offset as usize;
        let bytes = inode
            .bytes
            .get(offset..offset + buf.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn pwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let state = self.disk.state.lock();
        state.check(Fault::Write)?;
        state.check(Fault::Full)?;
        drop(state);
        let mut inode = self.inode.lock();
        write_at(&mut inode.bytes, offset as usize, bytes);
        inode.pending.push((offset as usize, bytes.to_vec()));
        Ok(())
    }

    /// Without effect, like a file system that cannot, unless the disk is an allocating one.
    fn allocate(&self, len: u64) -> io::Result<()> {
        let len = len as usize;
        if self.disk.state.lock().allocates && self.inode.lock().bytes.len() < len {
            return self.pwrite(&[0], (len - 1) as u64);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        while state.held {
            self.disk.released.wait(&mut state);
        }
        state.check(Fault::Sync)?;
        state.syncs += 1;
        drop(state);
        let mut inode = self.inode.lock();
        inode.durable = inode.bytes.clone();
        inode.pending.clear();
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.inode.lock().bytes.len() as u64)
    }
}
