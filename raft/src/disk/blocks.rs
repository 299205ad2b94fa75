//! Memory between which and a disk the kernel need not copy.

use memmap2::MmapMut;

/// Disks are read and written in blocks of this size.
pub const BLOCK: usize = 4096;

/// Bytes whose first one lies at a multiple of `BLOCK` in memory. Zeros at first; the pages are
/// taken from the system when they are used.
pub struct BlockBuffer {
    memory: Vec<u8>,
    skip: usize,
    len: usize,
}

impl BlockBuffer {
    pub fn new(len: usize) -> BlockBuffer {
        // Never grows, so that it is never moved.
        let memory = vec![0; len + BLOCK];
        let skip = memory.as_ptr().align_offset(BLOCK);
        BlockBuffer { memory, skip, len }
    }
}

impl std::ops::Deref for BlockBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.skip..self.skip + self.len]
    }
}

impl std::ops::DerefMut for BlockBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.skip..self.skip + self.len]
    }
}

impl AsRef<[u8]> for BlockBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Memory for direct writes again and again, in large pages where the system has them: of each page that is
/// written the kernel takes hold anew.
///
/// # Panics
/// When there is no memory.
pub fn direct_memory(len: usize) -> MmapMut {
    let memory = MmapMut::map_anon(len).expect("there is memory");
    // Only a wish.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    memory
}

/// Bytes that are added at the end and written from the front, in whole blocks.
pub struct BlockQueue {
    /// Behind `skip` bytes the first one lies at a multiple of `BLOCK`, unless it had to grow.
    memory: Vec<u8>,
    skip: usize,
    capacity: usize,
}

impl BlockQueue {
    /// Room for `capacity` bytes; with more the next write goes through the page cache.
    pub fn new(capacity: usize) -> BlockQueue {
        let mut memory: Vec<u8> = Vec::with_capacity(capacity + BLOCK);
        let skip = memory.as_ptr().align_offset(BLOCK);
        memory.resize(skip, 0);
        BlockQueue {
            memory,
            skip,
            capacity,
        }
    }

    pub fn len(&self) -> usize {
        self.memory.len() - self.skip
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is added to this vector is added to the queue.
    pub fn end(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    /// All bytes, first to last.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.skip..]
    }

    /// The whole blocks at the front.
    pub fn whole(&self) -> &[u8] {
        let bytes = self.bytes();
        &bytes[..bytes.len() / BLOCK * BLOCK]
    }

    /// Drops the first `count` bytes.
    pub fn advance(&mut self, count: usize) {
        if self.memory.capacity() > self.capacity + BLOCK {
            let grown = std::mem::replace(self, BlockQueue::new(self.capacity));
            self.memory.extend_from_slice(&grown.bytes()[count..]);
        } else {
            self.memory.drain(self.skip..self.skip + count);
        }
    }
}

/// Whether these are whole blocks of this size for whole blocks of a file.
pub fn are_blocks(bytes: &[u8], offset: u64, block: usize) -> bool {
    bytes.as_ptr().align_offset(block) == 0
        && bytes.len().is_multiple_of(block)
        && offset.is_multiple_of(block as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_gives_its_bytes_in_order_and_its_blocks_aligned() {
        let mut queue = BlockQueue::new(4 * BLOCK);
        let mut expected = Vec::new();
        let mut taken = Vec::new();
        for step in 0..200_usize {
            // Now and then more than there is room for.
            let len = if step % 50 == 49 {
                9 * BLOCK
            } else {
                step * 37
            };
            let bytes: Vec<u8> = (0..len).map(|n| (n * 31 + step) as u8).collect();
            expected.extend_from_slice(&bytes);
            queue.end().extend_from_slice(&bytes);
            let fits = queue.len() <= 4 * BLOCK;
            let whole = queue.whole();
            assert!(!fits || are_blocks(whole, 0, BLOCK), "step {step}");
            taken.extend_from_slice(whole);
            let count = whole.len();
            queue.advance(count);
            assert!(queue.len() < BLOCK);
        }
        taken.extend_from_slice(queue.bytes());
        assert!(taken == expected);
    }
}
