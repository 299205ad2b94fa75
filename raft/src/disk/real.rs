//! The operating system's files.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustix::fs::{AtFlags, OFlags, StatxFlags};

use super::blocks::{BLOCK, BlockBuffer, are_blocks};
use super::read_buffer::ReadBuffer;
use super::{Disk, DiskFile, removal};

/// Reads of so many bytes bypass the page cache. Pages that are not there cost more than what they save.
const DIRECT_READ_BYTES: usize = 16 << 10;

pub struct RealDisk;

struct RealFile {
    file: File,
    /// Reads and writes past the page cache, where the file system lets it.
    direct: Option<File>,
    /// Asked when it is first wanted: only the log does.
    block: OnceLock<usize>,
}

impl RealFile {
    fn new(file: File, path: &Path) -> RealFile {
        let flags = OFlags::DIRECT.bits() as i32;
        let direct = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(path);
        RealFile {
            file,
            block: OnceLock::new(),
            direct: direct.ok(),
        }
    }
}

/// What the system says that direct writes have to be multiples of; `BLOCK`, which suits all, where it does not say.
fn direct_block(file: &File) -> usize {
    let asked = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
    let least = asked.map_or(0, |said| {
        said.stx_dio_offset_align.max(said.stx_dio_mem_align)
    });
    match least as usize {
        least if least > 0 && BLOCK.is_multiple_of(least) => least,
        _ => BLOCK,
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
        let new = path.ancestors().take_while(missing).count();
        fs::create_dir_all(path)?;
        // The directory may be older than this process and its name not durable yet; so may be those above it,
        // which are somebody else's to make durable.
        for dir in path.ancestors().take(new.max(1)) {
            sync_parent(dir)?;
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(RealFile::new(file, path)))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(Arc::new(RealFile::new(file, path)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        removal::remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push(entry.path());
            }
        }
        Ok(files)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }
}

/// Whoever may not read the directory above has not made this one.
fn sync_parent(dir: &Path) -> io::Result<()> {
    let parent = match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    match File::open(parent) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        opened => opened?.sync_all(),
    }
}

impl DiskFile for RealFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        if let Some(direct) = &self.direct
            && len >= DIRECT_READ_BYTES
        {
            return read_blocks(direct, offset, len);
        }
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }

    fn block(&self) -> usize {
        *self.block.get_or_init(|| direct_block(&self.file))
    }

    fn pwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match &self.direct {
            Some(direct) if are_blocks(bytes, offset, self.block()) => {
                direct.write_all_at(bytes, offset)
            }
            _ => self.file.write_all_at(bytes, offset),
        }
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&self.file, flags, 0, len) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            result => Ok(result?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// Reads the blocks that the bytes lie in.
fn read_blocks(file: &File, offset: u64, len: usize) -> io::Result<Bytes> {
    let skip = (offset % BLOCK as u64) as usize;
    let whole = (skip + len).next_multiple_of(BLOCK);
    let from = offset - skip as u64;
    let blocks = match ReadBuffer::for_bytes(whole) {
        Some(mut buffer) => {
            fill(file, &mut buffer.as_mut()[..whole], from, skip + len)?;
            Bytes::from_owner(buffer)
        }
        None => {
            let mut buffer = BlockBuffer::new(whole);
            fill(file, &mut buffer, from, skip + len)?;
            Bytes::from_owner(buffer)
        }
    };
    Ok(blocks.slice(skip..skip + len))
}

/// Reads until `needed` bytes of `blocks` are there: a file may end within its last block.
fn fill(file: &File, blocks: &mut [u8], from: u64, needed: usize) -> io::Result<()> {
    let mut filled = 0;
    while filled < needed {
        match file.read_at(&mut blocks[filled..], from + filled as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_reads_are_the_bytes_that_were_asked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..300_001_u32).map(|n| ((n * 7) >> 3) as u8).collect();
        fs::write(&path, &bytes).expect("written");
        let file = RealDisk.open(&path).expect("opened");
        for (offset, len) in [
            (0, DIRECT_READ_BYTES),
            (4095, DIRECT_READ_BYTES + 2),
            (100_000, 200_001),
            (299_990, 11),
            (8192, 65536),
        ] {
            let read = file.read(offset as u64, len).expect("read");
            assert!(read[..] == bytes[offset..offset + len], "{len} at {offset}");
        }
        for (offset, len) in [(200_000, 100_002), (400_000, 70_000), (299_990, 12)] {
            let error = file.read(offset, len).expect_err("past the end");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_file_is_written_in_blocks_of_its_own_size() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = RealDisk.create(&dir.path().join("file")).expect("created");
        let block = file.block();
        assert!(BLOCK.is_multiple_of(block), "{block}");
        file.allocate(16 * BLOCK as u64).expect("allocated");
        let mut written = vec![0; 16 * BLOCK];
        for number in 1..=9_u8 {
            let mut bytes = BlockBuffer::new(usize::from(number) * block);
            bytes.fill(number);
            let at = usize::from(number) * 3 * block;
            file.pwrite(&bytes, at as u64).expect("written");
            written[at..at + bytes.len()].fill(number);
        }
        file.sync().expect("synced");
        assert!(file.read(0, written.len()).expect("read")[..] == written[..]);
    }
}
