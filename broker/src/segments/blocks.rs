//! Where `weir-log` reads records: the write-ahead log and the segment files.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use weir_log::{BlockReader, Pos, ReadError, Segment, SegmentIndex};
use weir_raft::WalPos;

use super::SegmentFiles;

/// Memory for the indexes of segments that were read lately.
const INDEX_BYTES: usize = 8 << 20;

pub struct Blocks {
    raft: weir_raft::Node,
    files: Arc<SegmentFiles>,
    indexes: Mutex<Indexes>,
}

/// Indexes by the file and the place of their segments. What was not asked for while the other half
/// filled up is forgotten.
#[derive(Default)]
struct Indexes {
    recent: HashMap<(u64, u64), Arc<SegmentIndex>>,
    recent_bytes: usize,
    older: HashMap<(u64, u64), Arc<SegmentIndex>>,
}

impl Blocks {
    pub fn new(raft: weir_raft::Node, files: Arc<SegmentFiles>) -> Blocks {
        Blocks {
            raft,
            files,
            indexes: Mutex::default(),
        }
    }
}

impl BlockReader for Blocks {
    fn read(&self, pos: Pos, len: usize) -> io::Result<Bytes> {
        let pos = WalPos {
            file: pos.file,
            offset: pos.offset,
        };
        self.raft.read(pos, len)
    }

    fn read_segment(&self, file: u64, at: u64, len: usize) -> io::Result<Bytes> {
        self.files.read(file, at, len)
    }

    fn index(&self, segment: &Segment) -> Result<Arc<SegmentIndex>, ReadError> {
        let key = (segment.file, segment.at);
        if let Some(known) = self.indexes.lock().get(key) {
            return Ok(known);
        }
        self.files.check(segment.file).map_err(|source| {
            let (file, at, len) = (segment.file, 0, 0);
            ReadError::SegmentIo {
                file,
                at,
                len,
                source,
            }
        })?;
        let index = Arc::new(SegmentIndex::read(self, segment)?);
        self.indexes.lock().insert(key, index.clone());
        Ok(index)
    }
}

impl Indexes {
    fn get(&mut self, key: (u64, u64)) -> Option<Arc<SegmentIndex>> {
        if let Some(found) = self.recent.get(&key) {
            return Some(found.clone());
        }
        let found = self.older.remove(&key)?;
        self.insert(key, found.clone());
        Some(found)
    }

    fn insert(&mut self, key: (u64, u64), index: Arc<SegmentIndex>) {
        let bytes = index.heap_bytes() + size_of::<SegmentIndex>();
        if self.recent_bytes + bytes > INDEX_BYTES / 2 {
            self.older = std::mem::take(&mut self.recent);
            self.recent_bytes = 0;
        }
        if self.recent.insert(key, index).is_none() {
            self.recent_bytes += bytes;
        }
    }
}
