//! What a disk does wrong on request.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::Op;

/// Something that a disk does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// The next read fails.
    Read,
    /// The next write fails, halfway.
    Write,
    /// The next sync fails, and forgets what it was to make durable.
    Sync,
    /// Writes and new names fail with `StorageFull` until the disk is healed.
    Full,
    /// All takes so many times as long until the disk is healed.
    Slow(u32),
    /// The disk does nothing for so long.
    Stall(Duration),
    /// The next write of whole blocks goes to another place of its file.
    Misdirect,
}

#[derive(Default)]
pub struct Faults {
    read: bool,
    write: bool,
    sync: bool,
    full: bool,
    slow: Option<u32>,
    misdirect: bool,
}

impl Faults {
    pub fn inject(&mut self, fault: DiskFault, busy_until: &mut Instant) {
        match fault {
            DiskFault::Read => self.read = true,
            DiskFault::Write => self.write = true,
            DiskFault::Sync => self.sync = true,
            DiskFault::Full => self.full = true,
            DiskFault::Slow(times) => self.slow = Some(times),
            DiskFault::Stall(time) => *busy_until = (*busy_until).max(Instant::now()) + time,
            DiskFault::Misdirect => self.misdirect = true,
        }
    }

    /// Those that outlast a process.
    pub fn lasting(&self) -> Faults {
        Faults {
            full: self.full,
            slow: self.slow,
            ..Faults::default()
        }
    }

    pub fn is_any(&self) -> bool {
        self.read || self.write || self.sync || self.full || self.misdirect
    }

    pub fn slowness(&self) -> u32 {
        self.slow.unwrap_or(1)
    }

    /// The failure of an operation, and its class.
    pub fn fail(&mut self, op: Op) -> Option<(&'static str, io::Error)> {
        let mut never = false;
        let (flag, class) = match op {
            Op::Read => (&mut self.read, "read error"),
            Op::Write(_) => (&mut self.write, "write error"),
            Op::Sync | Op::SyncDir => (&mut self.sync, "sync error"),
            Op::Name => (&mut never, "name error"),
        };
        if std::mem::take(flag) {
            let what = format!("injected {class}");
            return Some((class, io::Error::other(what)));
        }
        if self.full && matches!(op, Op::Write(_) | Op::Name) {
            return Some(("write to a full disk", io::ErrorKind::StorageFull.into()));
        }
        None
    }

    /// Whether this write, of whole blocks, goes elsewhere.
    pub fn misdirects(&mut self) -> bool {
        std::mem::take(&mut self.misdirect)
    }
}
