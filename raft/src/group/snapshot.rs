//! A shard's snapshot file, `<shard>-<index>.snap`. All integers are little-endian.
//!
//! offset  size  field       encoding
//! 0       8     magic       "WEIRSNP" and 0x0a
//! 8       2     version     u16 = 1 (0 reserved)
//! 10      1     applied     u8: 1 = nothing, 2 = entries up to the id below
//! 11      1     changed     u8: 1 = initial membership, 2 = membership of the entry below
//! 12      4     members     u32, length of the membership
//! 16      8     shard       u64
//! 24      16    applied id  u64 term, u64 index
//! 40      16    changed id  u64 term, u64 index
//! 56      8     state       u64, length of the state
//! 64      n     membership  see `membership`
//! …       m     state       the state machine's own bytes
//! …       4     crc         CRC32C of everything before
//!
//! A file gets its name when it is complete and synced; the older ones are deleted after that. A newer one may be
//! there already: one that a leader sent while an older one was being built.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::membership;
use super::types::{LogId, Snapshot, SnapshotMeta, StoredMembership, log_id, term_and_index};
use crate::disk::Disk;
use crate::ids::ShardId;
use crate::planted::{self, Bug};

const MAGIC: [u8; 8] = *b"WEIRSNP\n";
const VERSION: u16 = 1;
const HEADER_LEN: usize = 64;
const CRC_LEN: usize = 4;

/// A shard's snapshot files.
#[derive(Clone)]
pub struct SnapshotStore {
    dir: PathBuf,
    shard: ShardId,
    disk: Arc<dyn Disk>,
}

impl SnapshotStore {
    pub fn new(dir: PathBuf, shard: ShardId, disk: Arc<dyn Disk>) -> SnapshotStore {
        SnapshotStore { dir, shard, disk }
    }

    /// Makes a snapshot the current one unless there is a newer one, durably, and deletes what is older. Blocks.
    pub fn save(&self, snapshot: &Snapshot) -> io::Result<()> {
        self.disk.create_dir(&self.dir)?;
        let path = self.path(snapshot);
        let tmp = path.with_extension("tmp");
        if let Err(error) = self.write(snapshot, &tmp) {
            // What it takes of a full disk is for others; it may not even be there.
            let _ = self.disk.remove(&tmp);
            return Err(error);
        }
        self.disk.rename(&tmp, &path)?;
        self.disk.sync_dir(&self.dir)?;
        for other in self.files()? {
            if other < path {
                self.disk.remove(&other)?;
            }
        }
        Ok(())
    }

    fn write(&self, snapshot: &Snapshot, tmp: &Path) -> io::Result<()> {
        let (head, crc) = encode(self.shard, snapshot);
        let file = self.disk.create(tmp)?;
        let mut at = 0;
        for part in [&head[..], &snapshot.snapshot, &crc] {
            file.pwrite(part, at)?;
            at += part.len() as u64;
        }
        if !planted::has(Bug::SnapshotBeforeSync) {
            file.sync()?;
        }
        Ok(())
    }

    /// The current snapshot. Blocks.
    pub fn load(&self) -> io::Result<Option<Snapshot>> {
        self.disk.create_dir(&self.dir)?;
        let mut files = self.files()?.into_iter();
        let Some(path) = files.rfind(|path| is_snapshot(path)) else {
            return Ok(None);
        };
        let file = self.disk.open(&path)?;
        let mut bytes = vec![0; file.size()? as usize];
        file.pread(&mut bytes, 0)?;
        // Another snapshot's bytes, an older one's say, are whole, too.
        let snapshot = decode(self.shard, bytes.into());
        let snapshot = snapshot.filter(|snapshot| path == self.path(snapshot));
        let snapshot = snapshot.ok_or_else(|| {
            let what = format!(
                "snapshot {} is damaged; restore the directory from a copy of this node, or let \
                 the node join again with an empty directory and a new node id",
                path.display()
            );
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        Ok(Some(snapshot))
    }

    fn path(&self, snapshot: &Snapshot) -> PathBuf {
        let index = snapshot.meta.last_log_id.as_ref().map_or(0, |id| id.index);
        self.dir.join(format!("{}-{index:020}.snap", self.shard))
    }

    /// What the files of this shard are called.
    pub fn name(&self) -> String {
        let path = self.dir.join(format!("{}-*.snap", self.shard));
        path.display().to_string()
    }

    /// This shard's snapshot files, unfinished ones too, the newest last.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let prefix = format!("{}-", self.shard);
        let mine = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(&prefix))
        };
        let listed = self.disk.list(&self.dir)?.into_iter();
        let mut files: Vec<PathBuf> = listed.filter(mine).collect();
        files.sort();
        Ok(files)
    }
}

fn is_snapshot(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "snap")
}

/// The bytes before the state and those after it.
fn encode(shard: ShardId, snapshot: &Snapshot) -> (Vec<u8>, [u8; CRC_LEN]) {
    let SnapshotMeta {
        last_log_id,
        last_membership,
    } = &snapshot.meta;
    let members = membership::encode(last_membership.membership());
    let mut head = Vec::with_capacity(HEADER_LEN + members.len());
    head.extend(MAGIC);
    head.extend(VERSION.to_le_bytes());
    head.push(1 + u8::from(last_log_id.is_some()));
    head.push(1 + u8::from(last_membership.log_id().is_some()));
    head.extend((members.len() as u32).to_le_bytes());
    head.extend(shard.0.to_le_bytes());
    for id in [last_log_id, last_membership.log_id()] {
        let (term, index) = id.as_ref().map_or((0, 0), term_and_index);
        head.extend(term.to_le_bytes());
        head.extend(index.to_le_bytes());
    }
    head.extend((snapshot.snapshot.len() as u64).to_le_bytes());
    assert_eq!(
        head.len(),
        HEADER_LEN,
        "the header is as long as the table says"
    );
    head.extend(members);
    let crc = weir_crc::append(weir_crc::crc32c(&head), &snapshot.snapshot);
    (head, crc.to_le_bytes())
}

/// `None` when the bytes are not a whole snapshot of this shard.
pub fn decode(shard: ShardId, bytes: Bytes) -> Option<Snapshot> {
    let content_len = bytes.len().checked_sub(CRC_LEN)?;
    let crc = u32::from_le_bytes(bytes[content_len..].try_into().ok()?);
    let content = bytes.slice(..content_len);
    if crc != weir_crc::crc32c(&content) || content.len() < HEADER_LEN || content[..8] != MAGIC {
        return None;
    }
    let u64_at = |at: usize| content[at..at + 8].try_into().ok().map(u64::from_le_bytes);
    let id = |known: u8, at: usize| -> Option<Option<LogId>> {
        match known {
            1 => Some(None),
            2 => Some(Some(log_id(u64_at(at)?, u64_at(at + 8)?))),
            _ => None,
        }
    };
    if content[8..10] != VERSION.to_le_bytes() || u64_at(16)? != shard.0 {
        return None;
    }
    let last_log_id = id(content[10], 24)?;
    let changed_at = id(content[11], 40)?;
    let members_len = u32::from_le_bytes(content[12..16].try_into().ok()?) as usize;
    let state_at = HEADER_LEN.checked_add(members_len)?;
    let members = membership::decode(content.get(HEADER_LEN..state_at)?)?;
    let state = content.slice(state_at..);
    if state.len() as u64 != u64_at(56)? {
        return None;
    }
    Some(Snapshot {
        meta: SnapshotMeta {
            last_log_id,
            last_membership: StoredMembership::new(changed_at, members),
        },
        snapshot: state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;
    use openraft::EmptyNode;
    use std::collections::BTreeMap;

    fn snapshot(index: u64, state: &'static [u8]) -> Snapshot {
        let nodes = BTreeMap::from([(5u64, EmptyNode::new())]);
        let members = super::super::types::Membership::new(vec![[5].into()], nodes);
        Snapshot {
            meta: SnapshotMeta {
                last_log_id: Some(log_id(2, index)),
                last_membership: StoredMembership::new(None, members.expect("5 is a node")),
            },
            snapshot: Bytes::from_static(state),
        }
    }

    fn store(disk: &MemDisk) -> SnapshotStore {
        SnapshotStore::new("/snapshots".into(), ShardId(7), Arc::new(disk.clone()))
    }

    #[test]
    fn golden_bytes() {
        let (head, crc) = encode(ShardId(7), &snapshot(9, b"state"));
        let hex: String = head
            .iter()
            .chain(&crc)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "57454952534e500a010002010e0000000700000000000000020000000000000009000000000000000000000000000000000000000000000005000000000000000101000001000500000000000000ddaaeb16"
        );
    }

    #[test]
    fn the_last_saved_snapshot_survives_a_crash() {
        let disk = MemDisk::new();
        store(&disk).save(&snapshot(9, b"old")).expect("saved");
        store(&disk).save(&snapshot(10, b"new")).expect("saved");
        let loaded = store(&disk.crash(|| false)).load().expect("loaded");
        let loaded = loaded.expect("there is a snapshot");
        assert_eq!(loaded.meta, snapshot(10, b"new").meta);
        assert_eq!(loaded.snapshot, "new");
    }

    #[test]
    fn an_older_snapshot_that_is_stored_late_does_not_replace_a_newer_one() {
        let disk = MemDisk::new();
        store(&disk).save(&snapshot(8, b"oldest")).expect("saved");
        store(&disk).save(&snapshot(10, b"new")).expect("saved");
        store(&disk).save(&snapshot(9, b"late")).expect("saved");
        let loaded = store(&disk).load().expect("loaded").expect("there is one");
        assert_eq!(loaded.snapshot, "new");
        store(&disk).save(&snapshot(11, b"next")).expect("saved");
        assert_eq!(store(&disk).files().expect("listed").len(), 1);
    }

    #[test]
    fn what_a_failed_write_leaves_is_removed() {
        let disk = MemDisk::new();
        disk.inject(crate::disk::Fault::Full);
        store(&disk).save(&snapshot(9, b"state")).expect_err("full");
        assert!(store(&disk).files().expect("listed").is_empty());
        disk.heal();
        store(&disk).save(&snapshot(9, b"state")).expect("saved");
    }

    #[test]
    fn an_older_snapshot_under_the_name_of_a_newer_one_is_refused() {
        let disk = MemDisk::new();
        store(&disk).save(&snapshot(9, b"old")).expect("saved");
        let (old, new) = (
            store(&disk).path(&snapshot(9, b"")),
            store(&disk).path(&snapshot(10, b"")),
        );
        disk.rename(&old, &new).expect("renamed");
        let error = store(&disk).load().expect_err("refused").to_string();
        assert!(error.contains("7-00000000000000000010.snap"), "{error}");
        disk.rename(&new, &old).expect("renamed");
        assert!(store(&disk).load().expect("loaded").is_some());
    }

    #[test]
    fn a_flipped_byte_is_noticed() {
        let whole = encode(ShardId(7), &snapshot(9, b"state"));
        let bytes = [&whole.0[..], b"state", &whole.1].concat();
        assert!(decode(ShardId(7), bytes.clone().into()).is_some());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0xff;
            assert!(decode(ShardId(7), flipped.into()).is_none(), "byte {at}");
        }
    }
}
