//! Rows in primary-key order, over several buckets at once.

use std::ops::ControlFlow;

use rocksdb::{DB, DBRawIteratorWithThreadMode};

use super::{StoreError, Tables};
use crate::def::TableId;
use crate::keys::bucket::{self, BucketState};
use crate::keys::row::{self, PREFIX_LEN};
use crate::row::Row;

/// A bucket and the store that has it.
#[derive(Clone, Copy)]
pub struct ScanSource<'a> {
    pub tables: &'a Tables,
    pub bucket: u32,
}

/// Which primary keys, and from where on.
#[derive(Clone, Copy, Default)]
pub struct ScanRange<'a> {
    /// What the primary keys start with.
    pub prefix: &'a [u8],
    /// The primary key to go on behind, exclusive.
    pub after: Option<&'a [u8]>,
}

/// Where a scan ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanEnd {
    /// Each bucket's state in the view that was read: a reader of the log goes on at `applied`.
    pub views: Vec<(u32, BucketState)>,
    /// The visitor stopped the scan; there may be more.
    pub stopped: bool,
}

/// One bucket's rows, standing at one of them.
struct Cursor<'a> {
    tables: &'a Tables,
    bucket: u32,
    /// What the row keys of the range start with.
    prefix: Vec<u8>,
    rows: DBRawIteratorWithThreadMode<'a, DB>,
}

impl<'a> Cursor<'a> {
    /// The bucket's state, and a cursor at its first row in `range`: one view of the store, the iterator's.
    fn open(
        db: &'a DB,
        table: TableId,
        source: ScanSource<'a>,
        range: ScanRange<'_>,
    ) -> Result<(BucketState, Self), StoreError> {
        let ScanSource { tables, bucket } = source;
        let mut rows = db.raw_iterator();
        let state_key = bucket::encode(table, bucket);
        rows.seek(state_key);
        let state = match rows.item() {
            Some((key, value)) if key == state_key => {
                BucketState::decode(value).ok_or(StoreError::BadBucketState { table, bucket })?
            }
            _ => BucketState::default(),
        };
        // The next seek would forget it.
        rows.status()?;
        let prefix = row::encode(table, bucket, range.prefix);
        match range.after.map(|after| row::encode(table, bucket, after)) {
            Some(after) if after >= prefix => {
                rows.seek(&after);
                if rows.key() == Some(&after) {
                    rows.next();
                }
            }
            _ => rows.seek(&prefix),
        }
        rows.status()?;
        Ok((
            state,
            Self {
                tables,
                bucket,
                prefix,
                rows,
            },
        ))
    }

    /// Primary key and stored row that it stands at; `None` past the range.
    fn item(&self) -> Option<(&[u8], &[u8])> {
        let (key, value) = self.rows.item()?;
        key.starts_with(&self.prefix)
            .then(|| (&key[PREFIX_LEN..], value))
    }
}

/// Visits the rows of `range` in primary-key order, each bucket on one consistent view, until the visitor
/// breaks. The visitor gets bucket, primary key and row.
pub fn scan(
    table: TableId,
    sources: &[ScanSource<'_>],
    range: ScanRange<'_>,
    mut visit: impl FnMut(u32, &[u8], Row<'_>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<ScanEnd, StoreError> {
    let mut views = Vec::with_capacity(sources.len());
    let mut cursors = Vec::with_capacity(sources.len());
    for source in sources {
        let Some(db) = source.tables.db() else {
            views.push((source.bucket, BucketState::default()));
            continue;
        };
        let opened = Cursor::open(db, table, *source, range);
        let (state, cursor) = source.tables.noticed(opened)?;
        views.push((source.bucket, state));
        cursors.push(cursor);
    }
    cursors.retain(|cursor| cursor.item().is_some());
    while let Some(next) = first(&cursors) {
        let cursor = &mut cursors[next];
        let tables = cursor.tables;
        if let Some((primary_key, stored)) = cursor.item() {
            let row = tables.noticed(Row::decode(stored).map_err(StoreError::from))?;
            if visit(cursor.bucket, primary_key, row)?.is_break() {
                return Ok(ScanEnd {
                    views,
                    stopped: true,
                });
            }
        }
        cursor.rows.next();
        tables.noticed(cursor.rows.status().map_err(StoreError::from))?;
        if cursor.item().is_none() {
            cursors.swap_remove(next);
        }
    }
    Ok(ScanEnd {
        views,
        stopped: false,
    })
}

/// The cursor at the smallest primary key.
fn first(cursors: &[Cursor<'_>]) -> Option<usize> {
    let keys = cursors
        .iter()
        .enumerate()
        .filter_map(|(i, cursor)| Some((cursor.item()?.0, i)));
    keys.min().map(|(_, i)| i)
}
