//! The disk as an argument, so that tests can lose, tear and refuse writes.

mod blocks;
mod mem;
mod read_buffer;
mod real;
mod removal;

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

pub use blocks::BlockQueue;
pub(crate) use blocks::{BLOCK, BlockBuffer, direct_memory};
pub use mem::{Fault, MemDisk};
pub use real::RealDisk;

/// A file system as far as this crate needs one.
pub trait Disk: Send + Sync + 'static {
    /// Creates the directory and its parents, and makes its name durable.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates an empty file, or empties an existing one. Durable only after `sync_dir`.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Replaces `to`. Durable only after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name. What it took may be free a moment later.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The files in a directory, in no particular order.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
    /// Takes an exclusive lock that lasts as long as the returned value and the process.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
}

/// An open file. All offsets are in bytes from its start.
pub trait DiskFile: Send + Sync + 'static {
    /// Fills `buf`, or fails with `UnexpectedEof`.
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Exactly `len` bytes, or `UnexpectedEof`. Many bypass the page cache where the file system lets them.
    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; len];
        self.pread(&mut bytes, offset)?;
        Ok(bytes.into())
    }
    /// What writes past the page cache come in multiples of, from such places on; it divides `BLOCK`.
    fn block(&self) -> usize {
        BLOCK
    }
    /// Writes all bytes. Whole blocks from a `BlockBuffer` or `BlockQueue` bypass the page cache where the
    /// file system lets them; they are no more durable for that.
    fn pwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reserves space, so that the file reads as zeros up to `len`. Does nothing on a file system
    /// that cannot.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes the written bytes, and the length, durable.
    fn sync(&self) -> io::Result<()>;
    fn size(&self) -> io::Result<u64>;
}
