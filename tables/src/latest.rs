//! A bucket's rows as what knows the latest record of each key, for the compaction of the log they are folded from.

use weir_log::{BatchRecords, Latest, LatestError, Standing};

use crate::key::KeyError;
use crate::keys;
use crate::store::Tables;
use crate::table::Table;

/// Judges records that the rows on disk were folded from: those below the durably flushed offset.
///
/// A row may be newer than that. Then the record that wrote it is in the log above, and stays there.
pub struct RowsLatest<'a> {
    pub tables: &'a Tables,
    pub table: &'a Table,
    pub bucket: u32,
}

impl Latest for RowsLatest<'_> {
    fn judge(
        &mut self,
        records: &BatchRecords<'_>,
        standings: &mut Vec<Standing>,
    ) -> Result<(), LatestError> {
        let prefix = keys::row::prefix(self.table.def().table_id, self.bucket);
        let mut arena = Vec::new();
        // Of each record its offset, and where its row key lies; nowhere when no row can come of it.
        let mut asked = Vec::new();
        for record in records {
            let record = record?;
            let start = arena.len();
            arena.extend_from_slice(&prefix);
            let key = record.key.ok_or(KeyError::Null);
            let key = key.and_then(|key| self.table.primary_key(key, record.headers, &mut arena));
            let row_key = match key {
                Ok(()) => Some(start..arena.len()),
                Err(error @ KeyError::UnknownSchema(_)) => return Err(error.into()),
                Err(_) => None,
            };
            asked.push((records.offset_of(&record), row_key));
        }
        let row_keys = asked.iter().filter_map(|(_, key)| key.clone());
        let found = self.tables.multi_get(row_keys.map(|key| &arena[key]))?;
        let mut found = found.into_iter();
        for (offset, row_key) in &asked {
            if row_key.is_none() {
                standings.push(Standing::Latest);
                continue;
            }
            standings.push(match found.next().expect("one answer per key") {
                None => Standing::Gone,
                Some(row) if *offset < row.row()?.source_offset => Standing::Superseded,
                Some(_) => Standing::Latest,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
