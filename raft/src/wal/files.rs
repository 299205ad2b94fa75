//! The WAL's files: `<sequence>.wal`, `spare-<n>.tmp` for those that wait to be used again, and the mark of the
//! newest one, see `mark`.
//!
//! A file gets its header, synced, before it gets its name, so a named file with a damaged header
//! is corruption and never an interrupted creation. The first file grows while it is written; the
//! later ones are filled with zeros, as far as there is time, or are retired ones, so that a sync has no
//! metadata to write.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};

use super::format::{FILE_HEADER_LEN, FileHeader, RECORD_HEADER_LEN, RecordHeader};
use super::mark;
use super::preparer::Preparer;
use super::recovery::Recovered;
use crate::disk::{BLOCK, BlockBuffer, Disk, DiskFile};
use crate::env::{Env, Random};
use crate::ids::{NodeId, WalPos};
use crate::planted::{self, Bug};
use crate::threads::{Threads, Wake};

/// The next file is prepared when this part of the current one is filled.
const PREPARE_AT: u32 = 4;
/// Retired files kept for use; more are deleted. As many as are retired at once where much is written: one that is
/// made anew is written twice, with zeros first.
const MAX_SPARES: usize = 4;

/// A file is not filled with zeros while a sync carries so many bytes.
const MUCH_BYTES: usize = 256 << 10;

/// A WAL file under its name.
#[derive(Clone)]
pub struct OpenFile {
    pub seq: u64,
    pub capacity: u32,
    pub salt: u64,
    pub file: Arc<dyn DiskFile>,
}

pub struct Files {
    shared: Arc<Shared>,
    threads: Arc<dyn Threads>,
    /// Asks the background thread to prepare this file.
    prepare: Mutex<Option<Sender<u64>>>,
}

pub struct Shared {
    pub dir: PathBuf,
    node: NodeId,
    pub file_bytes: u32,
    pub disk: Arc<dyn Disk>,
    random: Arc<dyn Random>,
    /// Readers hold the lock while they read, so that a file is not used again under them.
    open: RwLock<BTreeMap<u64, OpenFile>>,
    pub pool: Mutex<Pool>,
    /// Signals that a file was put to use.
    pub in_use: Condvar,
    /// Bytes of the last sync.
    synced: AtomicUsize,
    /// Wakes a preparer that has no thread of its own.
    pub wake: Mutex<Option<Wake>>,
}

pub struct Pool {
    pub prepared: Option<OpenFile>,
    pub spares: Vec<PathBuf>,
    /// The file that is marked as the newest; 0 for none.
    pub marked: u64,
    /// The last file that was asked for.
    asked: u64,
    /// The last file that was put to use.
    pub rolled: u64,
}

impl Files {
    pub fn new(
        dir: PathBuf,
        node: NodeId,
        file_bytes: u32,
        env: &Env,
        recovered: &Recovered,
    ) -> Files {
        let open = recovered.files.iter().map(|file| (file.seq, file.clone()));
        let rolled = recovered.next_file - 1;
        Files {
            shared: Arc::new(Shared {
                dir,
                node,
                file_bytes,
                disk: env.disk.clone(),
                random: env.random.clone(),
                open: RwLock::new(open.collect()),
                pool: Mutex::new(Pool {
                    prepared: recovered.prepared.clone(),
                    spares: recovered.spares.clone(),
                    marked: recovered.marked,
                    asked: rolled + u64::from(recovered.prepared.is_some()),
                    rolled,
                }),
                in_use: Condvar::new(),
                synced: AtomicUsize::new(0),
                wake: Mutex::new(None),
            }),
            threads: env.threads.clone(),
            prepare: Mutex::new(None),
        }
    }

    pub fn path(&self, seq: u64) -> PathBuf {
        file_path(&self.shared.dir, seq)
    }

    pub fn get(&self, seq: u64) -> Option<OpenFile> {
        self.shared.open.read().get(&seq).cloned()
    }

    pub fn oldest(&self) -> u64 {
        self.shared.open.read().keys().next().copied().unwrap_or(1)
    }

    /// Number of files, and the bytes that they take up to `end`.
    pub fn usage(&self, end: WalPos) -> (usize, u64) {
        let open = self.shared.open.read();
        let before = open.values().filter(|file| file.seq < end.file);
        let bytes: u64 = before.map(|file| u64::from(file.capacity)).sum();
        (open.len(), bytes + u64::from(end.offset))
    }

    /// The file `seq`, ready to be written: the prepared one, or else a new one that grows.
    pub fn roll(&self, seq: u64, capacity: u32) -> io::Result<OpenFile> {
        let mut pool = self.shared.pool.lock();
        pool.rolled = seq;
        self.shared.in_use.notify_all();
        let prepared = pool.prepared.take();
        let file = match prepared {
            Some(file) if file.seq == seq && file.capacity >= capacity => file,
            _ => {
                let tmp = self.shared.dir.join(format!("new-{seq}.tmp"));
                let file = self.shared.disk.create(&tmp)?;
                allocate(&*file, capacity)?;
                self.shared
                    .name(&mut pool.marked, &tmp, file, seq, capacity)?
            }
        };
        drop(pool);
        self.shared.open.write().insert(seq, file.clone());
        Ok(file)
    }

    /// Whether the file `seq` is ready, so that going on in it costs nothing.
    pub fn is_prepared(&self, seq: u64) -> bool {
        let pool = self.shared.pool.lock();
        pool.prepared.as_ref().is_some_and(|file| file.seq == seq)
    }

    /// Has the file after the one of `written` prepared in the background, once it is due.
    pub fn prepare_next(&self, written: WalPos) {
        if written.offset < self.shared.file_bytes / PREPARE_AT {
            return;
        }
        let next = written.file + 1;
        let mut pool = self.shared.pool.lock();
        if pool.asked >= next {
            return;
        }
        pool.asked = next;
        drop(pool);
        let mut prepare = self.prepare.lock();
        let sender = prepare.get_or_insert_with(|| self.start_preparer());
        // When the thread has died, files grow instead: slower, and nothing else.
        let _ = sender.send(next);
        if let Some(wake) = &*self.shared.wake.lock() {
            wake();
        }
    }

    fn start_preparer(&self) -> Sender<u64> {
        let (sender, receiver) = channel();
        let preparer = Box::new(Preparer::new(self.shared.clone(), receiver));
        if let Err(error) = self.threads.start("weir-wal-files", preparer) {
            tracing::warn!(%error, "no thread to prepare files of the write-ahead log");
        }
        sender
    }

    /// Notes that a sync carried so many bytes.
    pub fn synced(&self, bytes: u64) {
        self.shared.synced.store(bytes as usize, Ordering::Relaxed);
    }

    /// Notes durably that the log reaches up to `end`, which is the end of a clean stop.
    pub fn mark_end(&self, end: WalPos) -> io::Result<()> {
        let pool = self.shared.pool.lock();
        mark::set_end(&*self.shared.disk, &self.shared.dir, pool.marked, end)
    }

    pub fn read(&self, pos: WalPos, len: usize) -> io::Result<Bytes> {
        let open = self.shared.open.read();
        let file = open.get(&pos.file).ok_or_else(|| retired(pos))?;
        file.file.read(u64::from(pos.offset), len)
    }

    /// Reads bodies together with their headers, all between the first and the last, and checks
    /// each.
    pub fn read_bodies(&self, places: &[(WalPos, usize)]) -> io::Result<Vec<Bytes>> {
        let (Some((first, _)), Some((last, last_len))) = (places.first(), places.last()) else {
            return Ok(Vec::new());
        };
        let start = WalPos {
            file: first.file,
            offset: first.offset - RECORD_HEADER_LEN,
        };
        let span = self.read(start, (last.offset - start.offset) as usize + last_len)?;
        let salt = self.get(first.file).map_or(0, |file| file.salt);
        let bodies = places.iter().map(|(pos, len)| {
            let from = (pos.offset - RECORD_HEADER_LEN - start.offset) as usize;
            let record = span.slice(from..from + RECORD_HEADER_LEN as usize + len);
            checked_body(record, salt, *pos).ok_or_else(|| self.damaged(*pos))
        });
        bodies.collect()
    }

    fn damaged(&self, pos: WalPos) -> io::Error {
        let path = self.path(pos.file);
        let offset = pos.offset - RECORD_HEADER_LEN;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is damaged at offset {offset}", path.display()),
        )
    }

    /// Keeps or deletes the files before `oldest`, lowest first so that no hole is ever left.
    pub fn retire_before(&self, oldest: u64) -> io::Result<()> {
        loop {
            let mut open = self.shared.open.write();
            let Some(entry) = open.first_entry().filter(|entry| *entry.key() < oldest) else {
                return Ok(());
            };
            let file = entry.remove();
            drop(open);
            if let Err(error) = self.shared.retire(&file) {
                // It is tried again before any later one: a start takes a hole for a loss.
                self.shared.open.write().insert(file.seq, file);
                return Err(error);
            }
        }
    }
}

impl Shared {
    /// Whether a sync carries so much that the metadata it would have to write weighs nothing.
    pub fn syncs_much(&self) -> bool {
        self.synced.load(Ordering::Relaxed) >= MUCH_BYTES
    }

    /// Gives a file its header and its name, and marks it as the newest.
    pub fn name(
        &self,
        marked: &mut u64,
        tmp: &Path,
        file: Arc<dyn DiskFile>,
        seq: u64,
        capacity: u32,
    ) -> io::Result<OpenFile> {
        let header = FileHeader {
            file: seq,
            capacity,
            salt: self.random.next(),
            node: self.node.0,
            len: file.size()?.max(BLOCK as u64),
        };
        let mut block = BlockBuffer::new(BLOCK);
        block[..FILE_HEADER_LEN as usize].copy_from_slice(&header.encode());
        file.pwrite(&block, 0)?;
        file.sync()?;
        self.disk.rename(tmp, &file_path(&self.dir, seq))?;
        if planted::has(Bug::NoDirectorySync) && seq > 1 {
            return Ok(OpenFile {
                seq,
                capacity,
                salt: header.salt,
                file,
            });
        }
        self.disk.sync_dir(&self.dir)?;
        // Only now: a mark without its file would be a loss.
        mark::set(&*self.disk, &self.dir, *marked, seq)?;
        *marked = seq;
        Ok(OpenFile {
            seq,
            capacity,
            salt: header.salt,
            file,
        })
    }

    fn retire(&self, file: &OpenFile) -> io::Result<()> {
        let path = file_path(&self.dir, file.seq);
        let full_size =
            file.file.size()? >= u64::from(self.file_bytes) && file.capacity == self.file_bytes;
        if full_size && self.pool.lock().spares.len() < MAX_SPARES {
            let spare = self.dir.join(format!("spare-{}.tmp", file.seq));
            // It may have its new name since an earlier try.
            absent_is_done(self.disk.rename(&path, &spare))?;
            // Durable before anyone can take it: a power loss must not bring the old name back over the
            // header of the next use.
            self.disk.sync_dir(&self.dir)?;
            self.pool.lock().spares.push(spare);
            return Ok(());
        }
        absent_is_done(self.disk.remove(&path))?;
        self.disk.sync_dir(&self.dir)
    }
}

fn absent_is_done(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Reserves space for a file, as far as there is some: without it the file grows instead.
pub fn allocate(file: &dyn DiskFile, bytes: u32) -> io::Result<()> {
    match file.allocate(u64::from(bytes)) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
        result => result,
    }
}

/// The body of a whole record, if its checksums match.
fn checked_body(mut record: Bytes, salt: u64, pos: WalPos) -> Option<Bytes> {
    let body = record.split_off(RECORD_HEADER_LEN as usize);
    let at = WalPos {
        file: pos.file,
        offset: pos.offset - RECORD_HEADER_LEN,
    };
    let header = RecordHeader::decode(record[..].try_into().ok()?, salt, at)?;
    let matches = header.body_len as usize == body.len();
    let sum = || header.body_crc == weir_crc::crc32c(&body);
    (matches && (planted::has(Bug::ChecksumNotChecked) || sum())).then_some(body)
}

fn retired(pos: WalPos) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("file {} of the write-ahead log is retired", pos.file),
    )
}

pub fn file_path(dir: &Path, seq: u64) -> PathBuf {
    dir.join(format!("{seq:020}.wal"))
}

/// The sequence number in a file's name.
pub fn file_seq(path: &Path) -> Option<u64> {
    if path.extension()? != "wal" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

const _: () = assert!(FILE_HEADER_LEN < BLOCK as u32);
