//! Prepares files of the WAL in the background, before they are needed.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use super::files::{Shared, allocate};
use crate::disk::{BLOCK, BlockBuffer, DiskFile};
use crate::threads::{Turn, Wake, Worker};

/// How fast a new file is filled with zeros. A file that is needed earlier is used as far as it is:
/// at a high rate each sync carries much, so that the metadata it has to write weighs little.
const FILL_STEP: usize = 1 << 20;
const FILL_PAUSE: Duration = Duration::from_millis(20);

pub struct Preparer {
    shared: Arc<Shared>,
    asked: Receiver<u64>,
    /// Heard while it waited.
    next: Option<u64>,
    filling: Option<Filling>,
}

/// A prepared file that is being filled with zeros.
struct Filling {
    file: Arc<dyn DiskFile>,
    seq: u64,
    at: usize,
}

impl Preparer {
    pub fn new(shared: Arc<Shared>, asked: Receiver<u64>) -> Preparer {
        Preparer {
            shared,
            asked,
            next: None,
            filling: None,
        }
    }

    fn prepare(&mut self, seq: u64) -> io::Result<()> {
        let shared = &self.shared;
        let spare = shared.pool.lock().spares.pop();
        let new = spare.is_none();
        let tmp = spare.unwrap_or_else(|| shared.dir.join(format!("spare-{seq}.tmp")));
        let file = if new {
            let file = shared.disk.create(&tmp)?;
            allocate(&*file, shared.file_bytes)?;
            file
        } else {
            shared.disk.open(&tmp)?
        };
        let mut pool = shared.pool.lock();
        if pool.rolled >= seq {
            // Too late for this one; the next one is asked for in its turn.
            pool.spares.push(tmp);
            return Ok(());
        }
        let capacity = shared.file_bytes;
        let named = shared.name(&mut pool.marked, &tmp, file.clone(), seq, capacity)?;
        pool.prepared = Some(named);
        drop(pool);
        if new {
            self.filling = Some(Filling {
                file,
                seq,
                at: BLOCK,
            });
        }
        Ok(())
    }

    /// Fills a prepared file with more zeros unless it was put to use, or that is of no use; says whether to go on.
    fn fill(&self, filling: &mut Filling) -> io::Result<bool> {
        let blocks = self.shared.file_bytes as usize / BLOCK * BLOCK;
        // Held, so that the file is not put to use meanwhile.
        let pool = self.shared.pool.lock();
        if pool.rolled >= filling.seq {
            return Ok(false);
        }
        if self.shared.syncs_much() {
            return Ok(true);
        }
        if filling.at < blocks {
            let zeros = BlockBuffer::new(FILL_STEP.min(blocks - filling.at));
            filling.file.pwrite(&zeros, filling.at as u64)?;
            filling.at += zeros.len();
            return Ok(true);
        }
        drop(pool);
        filling.file.sync()?;
        Ok(false)
    }
}

impl Worker for Preparer {
    fn turn(&mut self, _waited: bool) -> Turn {
        let done = if let Some(mut filling) = self.filling.take() {
            self.fill(&mut filling).map(|goes_on| {
                self.filling = goes_on.then_some(filling);
            })
        } else {
            match self.next.take().map_or_else(|| self.asked.try_recv(), Ok) {
                Ok(seq) => self.prepare(seq),
                Err(TryRecvError::Empty) => return Turn::Wait(None),
                Err(TryRecvError::Disconnected) => return Turn::Ended,
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "preparing a file of the write-ahead log failed");
        }
        match self.filling {
            Some(_) => Turn::Wait(Some(FILL_PAUSE)),
            None => Turn::Worked,
        }
    }

    fn wait(&mut self, limit: Option<Duration>) -> bool {
        match (&self.filling, limit) {
            (Some(filling), Some(pause)) => {
                let mut pool = self.shared.pool.lock();
                if pool.rolled < filling.seq {
                    self.shared.in_use.wait_for(&mut pool, pause);
                }
            }
            _ => self.next = self.asked.recv().ok(),
        }
        true
    }

    fn wake_by(&mut self, wake: Wake) {
        *self.shared.wake.lock() = Some(wake);
    }
}
