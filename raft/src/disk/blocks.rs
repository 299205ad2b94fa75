//! Memory that a disk can be written from without a copy by the kernel.

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

/// Whether these are whole blocks for whole blocks of a file.
pub fn are_blocks(bytes: &[u8], offset: u64) -> bool {
    bytes.as_ptr().align_offset(BLOCK) == 0
        && bytes.len().is_multiple_of(BLOCK)
        && offset.is_multiple_of(BLOCK as u64)
}
