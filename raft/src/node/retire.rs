//! Gives WAL files back once no shard needs them.

use std::io;
use std::sync::Arc;

use super::Node;
use crate::group::Group;
use crate::planted::{self, Bug};

impl Node {
    /// The oldest file of the WAL, and the one that is being written.
    pub fn wal_files(&self) -> (u64, u64) {
        let wal = &self.inner.wal;
        (wal.oldest_file(), wal.newest_file())
    }

    /// Has the file that is being written end where it is, so that it can be retired early; says whether it does.
    /// It goes on until the next one is prepared, which is when a quarter of it is filled.
    pub fn seal_wal(&self) -> io::Result<bool> {
        Ok(self.inner.wal.seal()?)
    }

    /// Retires every file up to `last` that lies before all entries that are not purged. Votes and
    /// watermarks in such files are written again first. Returns the oldest file that is left.
    ///
    /// Which entries are purged is the caller's decision (`Shard::purge`); so is the knowledge
    /// that nobody reads their bytes any more.
    pub async fn retire_wal(&self, last: u64) -> io::Result<u64> {
        let _one_at_a_time = self.inner.retiring.lock().await;
        let wal = &self.inner.wal;
        let groups: Vec<Arc<Group>> = self.inner.shards.lock().groups.values().cloned().collect();
        let entries = groups.iter().filter_map(|group| group.oldest_entry_file());
        let kept = wal.newest_file().min(last.saturating_add(1));
        let oldest = entries.min().unwrap_or(kept).min(kept);
        if oldest <= wal.oldest_file() {
            return Ok(wal.oldest_file());
        }
        for group in &groups {
            if planted::has(Bug::ControlRecordsRetired) {
                break;
            }
            group.move_control_records(oldest).await?;
        }
        wal.retire_before(oldest).await?;
        Ok(oldest)
    }
}
