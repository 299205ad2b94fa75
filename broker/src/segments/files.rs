//! The directory of segment files, `<number>.seg`. A file gets its name when it is whole and synced.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use weir_log::SegmentFile;
use weir_log::segment::{FILE_HEADER_LEN, check_file_header, file_header};
use weir_raft::disk::{BlockQueue, Disk, DiskFile};

use crate::planted::{self, Bug};

/// Bytes that are written at a time.
const WRITE_BYTES: usize = 1 << 20;
/// The largest batch that topics take unless they are told otherwise (`max.message.bytes`), and a bit.
const USUAL_BATCH_BYTES: usize = 1_200_000;
/// Bytes that [`FileWriter::sync_when_much`] leaves to be synced at once.
const SYNC_BYTES: u64 = 16 << 20;

pub struct SegmentFiles {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// The number of the next file.
    next: AtomicU64,
    known: Arc<Mutex<Known>>,
}

/// What is known of the files without looking at the disk.
#[derive(Default)]
struct Known {
    /// Those that somebody keeps though no partition may name them, and how many do.
    held: HashMap<u64, u32>,
    /// Bytes of those that have their name, by number.
    sizes: BTreeMap<u64, u64>,
}

/// Keeps a file that no partition names, not yet or no longer, from being taken for a leftover.
#[must_use = "name the file's segments before this is dropped"]
pub struct Unnamed {
    number: u64,
    known: Arc<Mutex<Known>>,
}

impl Unnamed {
    fn new(number: u64, known: &Arc<Mutex<Known>>) -> Unnamed {
        *known.lock().held.entry(number).or_default() += 1;
        Unnamed {
            number,
            known: known.clone(),
        }
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        let mut known = self.known.lock();
        if let Some(holders) = known.held.get_mut(&self.number) {
            *holders -= 1;
            if *holders == 0 {
                known.held.remove(&self.number);
            }
        }
    }
}

impl SegmentFiles {
    /// Opens the directory and removes what was never finished. Blocks.
    pub fn open(dir: PathBuf, disk: Arc<dyn Disk>) -> io::Result<SegmentFiles> {
        disk.create_dir(&dir)?;
        let mut known = Known::default();
        for path in disk.list(&dir)? {
            if path.extension().is_some_and(|extension| extension == "tmp") {
                disk.remove(&path)?;
            }
            if let Some(number) = number(&path) {
                // Of one that cannot be opened, reads will tell.
                let size = disk.open(&path).and_then(|file| file.size());
                known.sizes.insert(number, size.unwrap_or(0));
            }
        }
        let last = known.sizes.last_key_value().map_or(0, |(last, _)| *last);
        Ok(SegmentFiles {
            dir,
            disk,
            next: AtomicU64::new(last + 1),
            known: Arc::new(Mutex::new(known)),
        })
    }

    /// How many files there are, and their bytes.
    pub fn totals(&self) -> (usize, u64) {
        let known = self.known.lock();
        (known.sizes.len(), known.sizes.values().sum())
    }

    /// Begins a new file. Blocks.
    pub fn create(&self) -> io::Result<FileWriter> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path(number);
        let tmp = path.with_extension("tmp");
        let unnamed = Unnamed::new(number, &self.known);
        let mut writer = FileWriter {
            number,
            unnamed: Some(unnamed),
            file: self.disk.create(&tmp)?,
            tmp,
            path,
            disk: self.disk.clone(),
            buffer: BlockQueue::new(WRITE_BYTES + USUAL_BATCH_BYTES),
            written: 0,
            synced: 0,
        };
        writer.buffer.end().extend(file_header(number));
        Ok(writer)
    }

    /// Exactly `len` bytes of a file. `NotFound` when it is not, or no longer, there. Blocks.
    pub fn read(&self, number: u64, at: u64, len: usize) -> io::Result<Bytes> {
        let file = self.disk.open(&self.path(number))?;
        file.read(at, len)
    }

    /// Whether a file's header is the one that it was given. Blocks.
    pub fn check(&self, number: u64) -> io::Result<()> {
        let bytes = self.read(number, 0, FILE_HEADER_LEN)?;
        let header = bytes[..].try_into().expect("as many bytes as asked for");
        check_file_header(header, number).map_err(|what| {
            let path = self.path(number);
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("segment file {} is damaged: {what}", path.display()),
            )
        })
    }

    /// Whether a file is there and has the bytes up to `end`; the error says what is wrong. Blocks.
    pub fn holds(&self, number: u64, end: u64) -> io::Result<()> {
        let path = self.path(number);
        let file = self.disk.open(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        let size = file.size()?;
        if size < end {
            let what = format!("{} ends at {size} instead of {end}", path.display());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        self.check(number)
    }

    /// New files get higher numbers than this one, which a partition still names.
    pub fn reserve(&self, number: u64) {
        self.next.fetch_max(number + 1, Ordering::Relaxed);
    }

    /// Keeps a file that a partition names now, also when none does any longer.
    pub fn hold(&self, number: u64) -> Unnamed {
        Unnamed::new(number, &self.known)
    }

    /// The numbers of the files that are there and not being made: who is to name them has done so. Blocks.
    pub fn settled(&self) -> io::Result<Vec<u64>> {
        // In this order: what is listed and no longer held was named before.
        let paths = self.disk.list(&self.dir)?;
        let known = self.known.lock();
        let numbers = paths.iter().filter_map(|path| number(path));
        Ok(numbers
            .filter(|number| !known.held.contains_key(number))
            .collect())
    }

    /// Bytes of a file. Blocks.
    pub fn size(&self, number: u64) -> io::Result<u64> {
        self.disk.open(&self.path(number))?.size()
    }

    /// Deletes files, but for those that somebody keeps by now. Blocks.
    pub fn remove(&self, numbers: &[u64]) -> io::Result<()> {
        for number in numbers {
            if self.known.lock().held.contains_key(number) {
                continue;
            }
            self.disk.remove(&self.path(*number))?;
            self.known.lock().sizes.remove(number);
        }
        self.disk.sync_dir(&self.dir)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}.seg"))
    }
}

/// The number in a file's name.
fn number(path: &Path) -> Option<u64> {
    if path.extension()? != "seg" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// A segment file on its way. Without [`FileWriter::finish`] nothing is left of it.
pub struct FileWriter {
    number: u64,
    /// `None` once it is finished.
    unnamed: Option<Unnamed>,
    file: Arc<dyn DiskFile>,
    tmp: PathBuf,
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// What comes behind `written`.
    buffer: BlockQueue,
    written: u64,
    synced: u64,
}

impl SegmentFile for FileWriter {
    fn number(&self) -> u64 {
        self.number
    }

    fn at(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        self.buffer.end()
    }
}

impl FileWriter {
    /// Writes the buffer once it is large; says whether it was. Blocks.
    pub fn write_when_full(&mut self) -> io::Result<bool> {
        let full = self.buffer.len() >= WRITE_BYTES;
        if full {
            let count = self.buffer.whole().len();
            self.write(count)?;
        }
        Ok(full)
    }

    /// Syncs what was written once it is much, so that others' syncs never wait for all of it. Blocks.
    pub fn sync_when_much(&mut self) -> io::Result<()> {
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync()?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Makes the file durable and gives it its name. Blocks.
    pub fn finish(mut self) -> io::Result<Unnamed> {
        self.write(self.buffer.whole().len())?;
        self.write(self.buffer.len())?;
        if !planted::has(Bug::SegmentNotSynced) {
            self.file.sync()?;
        }
        self.disk.rename(&self.tmp, &self.path)?;
        let unnamed = self.unnamed.take().expect("finished once");
        let mut known = unnamed.known.lock();
        known.sizes.insert(self.number, self.written);
        drop(known);
        let dir = self.path.parent().expect("a file lies in a directory");
        self.disk.sync_dir(dir)?;
        Ok(unnamed)
    }

    fn write(&mut self, count: usize) -> io::Result<()> {
        self.file
            .pwrite(&self.buffer.bytes()[..count], self.written)?;
        self.written += count as u64;
        self.buffer.advance(count);
        Ok(())
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if self.unnamed.is_some()
            && let Err(error) = self.disk.remove(&self.tmp)
        {
            // Removed at the next start.
            tracing::debug!(%error, "an unfinished segment file is still there");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_raft::disk::MemDisk;

    fn open(disk: &MemDisk) -> SegmentFiles {
        SegmentFiles::open("/segments".into(), Arc::new(disk.clone())).expect("opens")
    }

    fn written(files: &SegmentFiles, bytes: &[u8]) -> FileWriter {
        let mut file = files.create().expect("created");
        file.buffer().extend(bytes);
        file
    }

    #[test]
    fn a_finished_file_survives_a_crash_and_an_unfinished_one_leaves_nothing() {
        let disk = MemDisk::new();
        let files = open(&disk);
        drop(written(&files, b"kept").finish().expect("finished"));
        let torn = written(&files, &[7; 2 * WRITE_BYTES]);
        let crashed = disk.crash(|| true);
        drop(torn);
        for disk in [disk.crash(|| false), crashed] {
            let files = open(&disk);
            assert_eq!(files.settled().expect("listed"), [1]);
            let header = FILE_HEADER_LEN as u64;
            assert_eq!(files.read(1, header, 4).expect("read"), "kept");
            assert!(disk.list(Path::new("/segments")).expect("listed").len() == 1);
            let unnamed = written(&files, b"next").finish().expect("finished");
            assert_eq!(files.settled().expect("listed"), [1]);
            assert_eq!(files.size(2).expect("there"), header + 4);
            drop(unnamed);
            assert_eq!(files.settled().expect("listed"), [1, 2]);
            assert_eq!(files.totals(), (2, 2 * (header + 4)));
            files.remove(&[1]).expect("removed");
            assert_eq!(files.totals(), (1, header + 4));
        }
    }

    #[test]
    fn what_is_dropped_or_removed_is_not_found() {
        let disk = MemDisk::new();
        let files = open(&disk);
        drop(written(&files, b"dropped"));
        drop(written(&files, b"removed").finish().expect("finished"));
        files.remove(&[2]).expect("removed");
        assert!(files.settled().expect("listed").is_empty());
        for number in [1, 2] {
            let error = files.read(number, 0, 1).expect_err("gone");
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }

    #[test]
    fn a_file_that_somebody_keeps_is_not_removed() {
        let disk = MemDisk::new();
        let files = open(&disk);
        drop(written(&files, b"kept").finish().expect("finished"));
        let (one, other) = (files.hold(1), files.hold(1));
        drop(one);
        assert!(files.settled().expect("listed").is_empty());
        files.remove(&[1]).expect("nothing to do");
        files.check(1).expect("still there");
        drop(other);
        assert_eq!(files.settled().expect("listed"), [1]);
        files.remove(&[1]).expect("removed");
        assert!(files.check(1).is_err());
    }

    #[test]
    fn a_file_that_is_cut_or_gone_is_reported_and_its_number_kept() {
        let disk = MemDisk::new();
        let files = open(&disk);
        let file = written(&files, b"whole");
        let end = file.at();
        drop(file.finish().expect("finished"));
        files.holds(1, end).expect("whole");
        files.remove(&[1]).expect("removed");
        let files = open(&disk);
        files.reserve(1);
        let error = files.holds(1, end).expect_err("gone").to_string();
        assert!(error.contains("00000000000000000001.seg"), "{error}");
        drop(written(&files, b"next").finish().expect("finished"));
        assert_eq!(files.settled().expect("listed"), [2]);
        disk.truncate(&files.path(2), end as usize - 2);
        let error = files.holds(2, end).expect_err("cut").to_string();
        assert!(error.contains("ends at"), "{error}");
    }

    #[test]
    fn a_damaged_or_exchanged_file_is_reported_by_name() {
        let disk = MemDisk::new();
        let files = open(&disk);
        drop(written(&files, b"one").finish().expect("finished"));
        drop(written(&files, b"two").finish().expect("finished"));
        files.check(1).expect("sound");
        disk.flip(&files.path(1), 9);
        disk.rename(&files.path(2), &files.path(3))
            .expect("renamed");
        for number in [1, 3] {
            let error = files.check(number).expect_err("noticed").to_string();
            assert!(error.contains(&format!("{number:020}.seg")), "{error}");
        }
    }
}
