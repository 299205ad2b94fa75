//! Rows by key.

use rocksdb::{DBPinnableSlice, ErrorKind, ReadOptions, ReadTier};

use super::{StoreError, Tables, column_family};
use crate::def::TableId;
use crate::keys;
use crate::row::Row;

/// A row as it lies in RocksDB's memory, which it pins until it is dropped.
pub struct StoredRow<'a>(DBPinnableSlice<'a>);

impl StoredRow<'_> {
    pub fn row(&self) -> Result<Row<'_>, StoreError> {
        Ok(Row::decode(&self.0)?)
    }

    /// As it is stored, for [`Row::decode`].
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Tables {
    /// One row by its primary key.
    pub fn get(
        &self,
        table: TableId,
        bucket: u32,
        primary_key: &[u8],
    ) -> Result<Option<StoredRow<'_>>, StoreError> {
        let Some(db) = self.db() else { return Ok(None) };
        let row = db.get_pinned(keys::row::encode(table, bucket, primary_key));
        let row = self.noticed(row.map_err(StoreError::from))?;
        Ok(row.map(StoredRow))
    }

    /// Rows by their whole row keys (`keys::row`), in the order asked, `None` where there is none.
    pub fn multi_get<'k>(
        &self,
        row_keys: impl IntoIterator<Item = &'k [u8]>,
    ) -> Result<Vec<Option<StoredRow<'_>>>, StoreError> {
        self.multi_get_raw(row_keys, false)
    }

    /// The same without waiting for a disk; `None` where that would be necessary.
    pub fn multi_get_in_memory<'k>(
        &self,
        row_keys: impl IntoIterator<Item = &'k [u8]>,
    ) -> Result<Option<Vec<Option<StoredRow<'_>>>>, StoreError> {
        let row_keys = row_keys.into_iter();
        let Some(db) = self.db() else {
            return Ok(Some(row_keys.map(|_| None).collect()));
        };
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::BlockCache);
        let family = column_family(db);
        // One by one: RocksDB's batched call reads blocks although the tier forbids it.
        let found: Result<_, _> = row_keys
            .map(|key| Ok(db.get_pinned_cf_opt(&family, key, &options)?.map(StoredRow)))
            .collect();
        match found {
            Err(StoreError::RocksDb(error)) if error.kind() == ErrorKind::Incomplete => Ok(None),
            found => found.map(Some),
        }
    }

    /// `sorted` promises that the keys ascend.
    pub(super) fn multi_get_raw<'k>(
        &self,
        row_keys: impl IntoIterator<Item = &'k [u8]>,
        sorted: bool,
    ) -> Result<Vec<Option<StoredRow<'_>>>, StoreError> {
        let Some(db) = self.db() else {
            return Ok(row_keys.into_iter().map(|_| None).collect());
        };
        db.batched_multi_get_cf(&column_family(db), row_keys, sorted)
            .into_iter()
            .map(|found| {
                let found = self.noticed(found.map_err(StoreError::from))?;
                Ok(found.map(StoredRow))
            })
            .collect()
    }
}
