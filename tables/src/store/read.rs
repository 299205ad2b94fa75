//! Rows by key.

use rocksdb::DBPinnableSlice;

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
        let row = db.get_pinned(keys::row::encode(table, bucket, primary_key))?;
        Ok(row.map(StoredRow))
    }

    /// Rows by their whole row keys (`keys::row`), in the order asked, `None` where there is none.
    pub fn multi_get<'k>(
        &self,
        row_keys: impl IntoIterator<Item = &'k [u8]>,
    ) -> Result<Vec<Option<StoredRow<'_>>>, StoreError> {
        self.multi_get_raw(row_keys, false)
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
            .map(|found| Ok(found?.map(StoredRow)))
            .collect()
    }
}
