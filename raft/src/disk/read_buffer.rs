//! Memory that large reads go to, used again and again: new memory costs a read more than the disk does.

use memmap2::MmapMut;
use parking_lot::Mutex;

use super::blocks::direct_memory;

/// One large page.
const BUFFER_BYTES: usize = 2 << 20;
/// Shorter reads would waste most of a buffer.
const LEAST_BYTES: usize = 512 << 10;
/// Buffers that are kept while nobody reads.
const KEPT: usize = 12;

static FREE: Mutex<Vec<MmapMut>> = Mutex::new(Vec::new());

/// Memory for one read, with what an earlier one left in it.
pub struct ReadBuffer {
    /// `None` only while it is dropped.
    memory: Option<MmapMut>,
}

impl ReadBuffer {
    /// `None` where memory of its own suits the read better.
    pub fn for_bytes(len: usize) -> Option<ReadBuffer> {
        if !(LEAST_BYTES..=BUFFER_BYTES).contains(&len) {
            return None;
        }
        let free = FREE.lock().pop();
        Some(ReadBuffer {
            memory: Some(free.unwrap_or_else(|| direct_memory(BUFFER_BYTES))),
        })
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        let mut free = FREE.lock();
        if free.len() < KEPT {
            free.extend(self.memory.take());
        }
    }
}

impl AsRef<[u8]> for ReadBuffer {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_ref().expect("it is not dropped")
    }
}

impl AsMut<[u8]> for ReadBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self.memory.as_mut().expect("it is not dropped")
    }
}
