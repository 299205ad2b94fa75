//! The readers of stored bytes by themselves, for the fuzz targets. Nothing else uses them.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;

use crate::disk::{Disk, MemDisk};
use crate::group::{LogState, decode_snapshot};
use crate::ids::{NodeId, ShardId};
use crate::observer::Unobserved;
use crate::wal;

/// What a start finds in WAL files with these numbers and bytes: how many records stand, or why it is refused.
pub fn wal(node: u64, files: &[(u64, &[u8])]) -> Result<usize, String> {
    let disk = MemDisk::new();
    let dir = Path::new("/wal");
    for (number, bytes) in files {
        let created = disk.create(&wal::file_path(dir, *number));
        let written = created.and_then(|file| file.pwrite(bytes, 0));
        written.map_err(|error| error.to_string())?;
    }
    let mut logs: HashMap<ShardId, LogState> = HashMap::new();
    let mut records = 0;
    let mut replay = |header: &wal::format::RecordHeader| {
        records += 1;
        logs.entry(header.shard).or_default().replay(header)
    };
    let recovered = wal::recover(&disk, dir, NodeId(node), &Unobserved, &mut replay);
    recovered.map_err(|error| error.to_string())?;
    logs.values().try_for_each(LogState::validate)?;
    Ok(records)
}

/// The state in a snapshot file of this shard; `None` where the bytes are none.
pub fn snapshot(shard: u64, bytes: Bytes) -> Option<Bytes> {
    decode_snapshot(ShardId(shard), bytes).map(|snapshot| snapshot.snapshot)
}
