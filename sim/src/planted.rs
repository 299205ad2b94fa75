//! Mistakes of those who run nodes, to see that the judge catches what comes of them. Bugs of the code itself are
//! planted in its crates, with the feature `planted-bugs`.

use std::sync::atomic::{AtomicU8, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// A node whose disk was lost comes back under its old id.
    LostNodeKeepsId = 1,
    /// A node comes back on an old copy of its disk.
    OldImageRestored = 2,
}

static MADE: AtomicU8 = AtomicU8::new(0);

impl Mistake {
    pub const ALL: &[Mistake] = &[Mistake::LostNodeKeepsId, Mistake::OldImageRestored];

    /// From now on it is made in this process.
    pub fn make(self) {
        MADE.store(self as u8, Ordering::Relaxed);
    }

    pub fn is_made(self) -> bool {
        MADE.load(Ordering::Relaxed) == self as u8
    }
}
