//! The rows of one shard's tables, in one RocksDB that exists from the shard's first table on.
//!
//! RocksDB's own log is off: the rows are a fold of the partitions' logs, and what a crash takes is folded
//! again. Rows, counts and applied offsets share one column family, since without a log RocksDB keeps
//! batches whole within a column family only.
//!
//! Damage is no loss either: rows that do not open, or that a read finds damaged, are thrown away at a start and
//! folded again. Both are said.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rocksdb::{
    AsColumnFamilyRef, DB, ErrorKind, FlushOptions, ReadOptions, ReadTier, WriteBatch, WriteOptions,
};

use crate::def::TableId;
use crate::keys::bucket::{self, BucketState};
use crate::keys::{self, TABLE_KINDS};

mod budget;
mod fold;
mod read;
mod scan;

pub use budget::Budget;
pub use fold::{FoldError, Folded, MAX_DECOMPRESSED_BYTES};
pub use read::StoredRow;
pub use scan::{ScanEnd, ScanRange, ScanSource, scan};

const COLUMN_FAMILY: &str = "default";
/// A file of this name says that the rows beside it are to be folded again.
const DAMAGED: &str = "damaged";

/// A failure of the store itself: the disk, or bytes that are not what was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot create the directory {path}: {source}")]
    CreateDir {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot remove the damaged rows in {path}: {source}")]
    Discard {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("rows in {path}: {source}")]
    Open {
        path: PathBuf,
        source: rocksdb::Error,
    },
    #[error(transparent)]
    RocksDb(#[from] rocksdb::Error),
    #[error(transparent)]
    BadRow(#[from] crate::row::BadRow),
    #[error("the stored state of table {table} bucket {bucket} is damaged")]
    BadBucketState { table: TableId, bucket: u32 },
}

impl StoreError {
    /// Whether the stored rows are not what was written, so that they have to be folded again.
    pub fn is_damage(&self) -> bool {
        match self {
            StoreError::Open { source, .. } | StoreError::RocksDb(source) => match source.kind() {
                // A full disk, say, or one that fails: the rows may be sound.
                ErrorKind::IOError => source.as_ref().contains("No such file"),
                ErrorKind::Corruption | ErrorKind::NotFound | ErrorKind::InvalidArgument => true,
                _ => false,
            },
            StoreError::BadRow(_) | StoreError::BadBucketState { .. } => true,
            StoreError::CreateDir { .. } | StoreError::Discard { .. } => false,
        }
    }
}

/// The rows of one shard's tables.
pub struct Tables {
    dir: PathBuf,
    budget: Budget,
    db: OnceLock<DB>,
    /// Held while the database is opened.
    opening: Mutex<()>,
    /// Damage was found, and said.
    damaged: AtomicBool,
}

impl Tables {
    /// Opens the rows in `dir` if there are any; else the first fold creates them.
    pub fn open(dir: impl Into<PathBuf>, budget: Budget) -> Result<Self, StoreError> {
        let mut tables = Self {
            dir: dir.into(),
            budget,
            db: OnceLock::new(),
            opening: Mutex::new(()),
            damaged: AtomicBool::new(false),
        };
        if let Ok(why) = std::fs::read_to_string(tables.dir.join(DAMAGED)) {
            tables.discard(&why)?;
        }
        if tables.dir.join("CURRENT").exists() {
            // A start looks at the buckets, so it would end with damage there, this one and all that follow.
            match tables.db_or_create().and_then(buckets_in) {
                Err(error) if error.is_damage() => {
                    drop(tables.db.take());
                    tables.discard(&error)?;
                }
                found => drop(found?),
            }
        } else if tables.dir.exists() {
            tables.discard(&"the file CURRENT is missing")?;
        }
        Ok(tables)
    }

    /// Throws the rows away; they are folded again from the start of their logs.
    fn discard(&self, why: &dyn std::fmt::Display) -> Result<(), StoreError> {
        let path = &self.dir;
        tracing::warn!(
            path = %path.display(),
            %why,
            "the rows of tables cannot be used; they are folded again from their logs"
        );
        std::fs::remove_dir_all(path).map_err(|source| StoreError::Discard {
            path: path.clone(),
            source,
        })
    }

    /// Passes a result on. Damage in it is said once, and has the rows folded again at the next start.
    fn noticed<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result
            && error.is_damage()
            && !self.damaged.swap(true, Ordering::AcqRel)
        {
            let path = self.dir.display();
            tracing::error!(
                %path,
                %error,
                "the rows of tables are damaged, and what needs them fails; start weir again to have them folded again \
                 from their logs"
            );
            let why = "a read found damage in them before the start";
            if let Err(error) = note_in(&self.dir, why) {
                tracing::error!(%path, %error, "this cannot be noted there: remove the directory before the start");
            }
        }
        result
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// `None` before the first fold.
    fn db(&self) -> Option<&DB> {
        self.db.get()
    }

    fn db_or_create(&self) -> Result<&DB, StoreError> {
        let _opening = self.opening.lock();
        if let Some(db) = self.db.get() {
            return Ok(db);
        }
        std::fs::create_dir_all(&self.dir).map_err(|source| StoreError::CreateDir {
            path: self.dir.clone(),
            source,
        })?;
        let db = DB::open_cf_descriptors(
            &self.budget.options(),
            &self.dir,
            [rocksdb::ColumnFamilyDescriptor::new(
                COLUMN_FAMILY,
                self.budget.options(),
            )],
        )
        .map_err(|source| StoreError::Open {
            path: self.dir.clone(),
            source,
        })?;
        Ok(self.db.get_or_init(|| db))
    }

    /// How far a bucket has been folded, and its number of rows. A bucket that was never folded is empty.
    pub fn bucket_state(&self, table: TableId, bucket: u32) -> Result<BucketState, StoreError> {
        self.bucket_state_with(table, bucket, &ReadOptions::default())
    }

    /// The applied offset that a crash leaves: everything below it is on disk. What is there of an earlier stay counts
    /// for nothing.
    pub fn durably_flushed_offset(&self, table: TableId, bucket: u32) -> Result<i64, StoreError> {
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::Persisted);
        let flushed = self.bucket_state_with(table, bucket, &options)?;
        let stay = self.bucket_state(table, bucket)?.stay;
        Ok(match flushed.stay == stay {
            true => flushed.applied,
            false => 0,
        })
    }

    fn bucket_state_with(
        &self,
        table: TableId,
        bucket: u32,
        options: &ReadOptions,
    ) -> Result<BucketState, StoreError> {
        let Some(db) = self.db() else {
            return Ok(BucketState::default());
        };
        let state = match db.get_pinned_opt(bucket::encode(table, bucket), options) {
            Ok(None) => Ok(BucketState::default()),
            Ok(Some(value)) => {
                BucketState::decode(&value).ok_or(StoreError::BadBucketState { table, bucket })
            }
            Err(error) => Err(error.into()),
        };
        self.noticed(state)
    }

    /// Writes what is in memory to disk and returns when it is there.
    pub fn flush(&self) -> Result<(), StoreError> {
        let Some(db) = self.db() else { return Ok(()) };
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.noticed(db.flush_opt(&options).map_err(StoreError::from))
    }

    /// Drops every row of a bucket that is not here any more. What a crash takes back of that is of a stay that is over.
    pub fn drop_bucket(&self, table: TableId, bucket: u32) -> Result<(), StoreError> {
        let Some(db) = self.db() else { return Ok(()) };
        db.write_opt(dropping(table, bucket), &unlogged())?;
        Ok(())
    }

    /// Begins a stay of a bucket, or begins it again: drops every row, and has it folded from the start.
    pub fn begin_bucket(&self, table: TableId, bucket: u32, stay: u64) -> Result<(), StoreError> {
        let mut batch = dropping(table, bucket);
        batch.put(
            bucket::encode(table, bucket),
            BucketState::new(stay).encode(),
        );
        let written = self.db_or_create()?.write_opt(batch, &unlogged());
        self.noticed(written.map_err(StoreError::from))
    }

    /// Has the rows in `dir` thrown away at the next start, for this reason, if there are any. Durable when it returns.
    pub fn discard_at_start(dir: &Path, why: &str) -> std::io::Result<()> {
        match dir.exists() {
            true => note_in(dir, why),
            false => Ok(()),
        }
    }

    /// Drops what is left of buckets that are not `wanted`, and returns them.
    pub fn retain(
        &self,
        wanted: impl Fn(TableId, u32) -> bool,
    ) -> Result<Vec<(TableId, u32)>, StoreError> {
        let mut residue = self.stored_buckets()?;
        residue.retain(|(table, bucket)| !wanted(*table, *bucket));
        for (table, bucket) in &residue {
            self.drop_bucket(*table, *bucket)?;
        }
        Ok(residue)
    }

    /// The buckets that have something here, in order.
    pub fn stored_buckets(&self) -> Result<Vec<(TableId, u32)>, StoreError> {
        self.noticed(self.db().map_or(Ok(Vec::new()), buckets_in))
    }
}

fn buckets_in(db: &DB) -> Result<Vec<(TableId, u32)>, StoreError> {
    let mut buckets = Vec::new();
    let mut cursor = db.raw_iterator();
    cursor.seek([bucket::KIND]);
    while let Some(found) = cursor.key().and_then(bucket::decode) {
        buckets.push(found);
        cursor.next();
    }
    cursor.status()?;
    Ok(buckets)
}

/// Takes everything of a bucket away.
fn dropping(table: TableId, bucket: u32) -> WriteBatch {
    let mut batch = WriteBatch::default();
    for kind in TABLE_KINDS {
        let (from, to) = keys::bucket_range(kind, table, bucket);
        batch.delete_range(from, to);
    }
    batch
}

/// Has the rows in `dir` thrown away at the next start.
fn note_in(dir: &Path, why: &str) -> std::io::Result<()> {
    let mut note = std::fs::File::create(dir.join(DAMAGED))?;
    note.write_all(why.as_bytes())?;
    note.sync_all()?;
    std::fs::File::open(dir)?.sync_all()
}

fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

/// The column family that holds everything.
fn column_family(db: &DB) -> impl AsColumnFamilyRef + '_ {
    db.cf_handle(COLUMN_FAMILY).expect("opened with it")
}

#[cfg(test)]
mod tests;
