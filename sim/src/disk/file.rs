//! An open file of a simulated disk.

use std::io;

use bytes::Bytes;
use weir_raft::disk::DiskFile;

use super::store::{Change, Inode};
use super::{Op, SimDisk};

const BLOCK: usize = 4096;

pub struct SimFile {
    disk: SimDisk,
    inode: Inode,
}

impl SimFile {
    pub fn new(disk: SimDisk, inode: Inode) -> SimFile {
        SimFile { disk, inode }
    }

    /// Where a write really goes.
    fn aim(&self, bytes: &[u8], offset: usize) -> usize {
        let whole = bytes.len().is_multiple_of(BLOCK) && offset.is_multiple_of(BLOCK);
        let mut state = self.disk.state.lock();
        let blocks = state.store.len(self.inode) / BLOCK;
        let count = bytes.len() / BLOCK;
        if !whole || offset == 0 || blocks < count + 2 || !state.faults.misdirects() {
            return offset;
        }
        let elsewhere = state.rng.below((blocks - count) as u64) as usize * BLOCK;
        let aimed = match elsewhere == offset {
            true => offset - BLOCK,
            false => elsewhere,
        };
        let node = self.disk.life.node().0;
        let trace = &self.disk.trace;
        trace.fault("misdirected write", [node, offset as u64, aimed as u64]);
        aimed
    }
}

impl DiskFile for SimFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.begin(Op::Read)?;
        let state = self.disk.state.lock();
        state.store.read(self.inode, offset as usize, buf)
    }

    fn pwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let time = match self.disk.begin(Op::Write(bytes.len())) {
            Ok(time) => time,
            Err(error) => {
                // Some of it had gone out.
                let half = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
                let now = tokio::time::Instant::now();
                if !self.disk.life.is_over() {
                    let change = Change::Write(self.inode, offset as usize, half);
                    self.disk.change((now, now), change);
                }
                return Err(error);
            }
        };
        let offset = self.aim(bytes, offset as usize);
        let bytes = Bytes::copy_from_slice(bytes);
        self.disk
            .change(time, Change::Write(self.inode, offset, bytes));
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let time = self.disk.begin(Op::Write(0))?;
        self.disk
            .change(time, Change::Grow(self.inode, len as usize));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        match self.disk.begin(Op::Sync) {
            Ok(time) => {
                self.disk.change(time, Change::Sync(self.inode));
                Ok(())
            }
            Err(error) => {
                let now = tokio::time::Instant::now();
                if !self.disk.life.is_over() {
                    self.disk.change((now, now), Change::Forget(self.inode));
                }
                Err(error)
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.disk.state.lock();
        Ok(state.store.len(self.inode) as u64)
    }
}
