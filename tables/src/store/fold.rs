//! Folding: committed batches become rows.

use bytes::Bytes;
use rocksdb::WriteBatch;
use weir_log::{BatchError, BatchRecords, batches};
use weir_schema::framing::{Part, SchemaRef};

use super::{StoreError, Tables, unlogged};
use crate::key::{KeyError, schema_header};
use crate::keys::{self, bucket};
use crate::row::{MAX_SCHEMA_HEADER_LEN, Row};
use crate::table::Table;

/// Most bytes that one batch's records may be, decompressed; the produce path holds them to it.
pub const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;
/// A fold takes no further batch once it has this many bytes in memory.
const FOLD_BYTES: usize = 32 << 20;

/// What one fold did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Folded {
    /// The next offset to fold.
    pub applied: i64,
    /// Records that were folded, superseded ones included.
    pub records: u64,
    /// Records that no row can come of, such as those with a null key. The produce path refuses them.
    pub skipped: u64,
    pub row_count: u64,
}

/// A fold that did not happen; nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("committed batch: {0}")]
    Batch(#[from] BatchError),
    /// The caller read from beyond the applied offset.
    #[error("records from {from} do not follow the applied offset {applied}")]
    Gap { from: i64, applied: i64 },
    /// To be tried again when the registry has caught up.
    #[error("the key at offset {offset} names schema {schema}, which is not here yet")]
    SchemaNotHere { offset: i64, schema: SchemaRef },
}

/// A record's part in a fold.
struct Change<'a> {
    /// First bytes of the primary key, so that most comparisons touch no other memory.
    head: u64,
    /// Where the row key lies in the arena.
    key: (u32, u32),
    value: Option<Row<'a>>,
    offset: i64,
}

impl Tables {
    /// Folds committed batches, whole ones, that were read from offset `from` on; of very large ones only
    /// the first, so the caller goes on at [`Folded::applied`]. Offsets below the applied one are skipped,
    /// so that a repeat changes nothing. Rows, count and applied offset are written as one. A bucket is
    /// folded by one caller at a time.
    pub fn fold(
        &self,
        table: &Table,
        bucket: u32,
        from: i64,
        batches: &[Bytes],
    ) -> Result<Folded, FoldError> {
        self.db_or_create()?;
        let id = table.def().table_id;
        let mut state = self.bucket_state(id, bucket)?;
        if from > state.applied {
            return Err(FoldError::Gap {
                from,
                applied: state.applied,
            });
        }
        let opened = open(batches, state.applied)?;
        if opened.end <= state.applied {
            return Ok(Folded {
                applied: state.applied,
                row_count: state.row_count,
                ..Folded::default()
            });
        }
        let mut folded = Folded {
            applied: opened.end,
            ..Folded::default()
        };
        let mut arena = Vec::new();
        let changes = changes(
            table,
            bucket,
            state.applied,
            &opened.batches,
            &mut arena,
            &mut folded,
        )?;
        let last = last_of_each_key(changes, &arena);
        let batch = self.write_batch(&last, &arena, &mut state.row_count)?;
        state.applied = folded.applied;
        folded.row_count = state.row_count;
        self.commit(batch, bucket::encode(id, bucket), state)?;
        Ok(folded)
    }

    /// The writes that `last` asks for; `row_count` follows them.
    fn write_batch(
        &self,
        last: &[Change<'_>],
        arena: &[u8],
        row_count: &mut u64,
    ) -> Result<WriteBatch, StoreError> {
        let existing = self.multi_get_raw(last.iter().map(|c| key_of(c, arena)), true)?;
        let mut batch = WriteBatch::default();
        let mut stored = Vec::new();
        for (change, existing) in last.iter().zip(existing) {
            match (&change.value, existing) {
                (Some(row), existing) => {
                    stored.clear();
                    row.encode(&mut stored);
                    batch.put(key_of(change, arena), &stored);
                    *row_count += u64::from(existing.is_none());
                }
                (None, Some(_)) => {
                    batch.delete(key_of(change, arena));
                    *row_count = row_count.checked_sub(1).expect("a deleted row was counted");
                }
                (None, None) => {}
            }
        }
        Ok(batch)
    }

    fn commit(
        &self,
        mut batch: WriteBatch,
        key: [u8; 13],
        state: bucket::BucketState,
    ) -> Result<(), StoreError> {
        batch.put(key, state.encode());
        let written = self.db_or_create()?.write_opt(batch, &unlogged());
        self.noticed(written.map_err(StoreError::from))
    }
}

struct Opened<'a> {
    batches: Vec<BatchRecords<'a>>,
    /// One past the last offset, control batches included.
    end: i64,
}

/// Opens the batches that reach `applied`; control batches hold no records of the table.
fn open(bytes: &[Bytes], applied: i64) -> Result<Opened<'_>, BatchError> {
    let mut opened = Opened {
        batches: Vec::new(),
        end: 0,
    };
    let mut opened_bytes = 0;
    for bytes in bytes {
        for batch in batches(bytes) {
            if opened_bytes > FOLD_BYTES {
                return Ok(opened);
            }
            let (header, range) = batch?;
            if header.last_offset() < applied {
                continue;
            }
            opened.end = header.last_offset() + 1;
            if !header.is_control() {
                let records = BatchRecords::open(&bytes[range], MAX_DECOMPRESSED_BYTES)?;
                opened_bytes += records.payload().len();
                opened.batches.push(records);
            }
        }
    }
    Ok(opened)
}

/// Every record from `applied` on, with its row key in the arena.
fn changes<'a>(
    table: &Table,
    bucket: u32,
    applied: i64,
    batches: &'a [BatchRecords<'_>],
    arena: &mut Vec<u8>,
    folded: &mut Folded,
) -> Result<Vec<Change<'a>>, FoldError> {
    let prefix = keys::row::prefix(table.def().table_id, bucket);
    let count: usize = batches
        .iter()
        .map(|b| b.header().records_count.max(0) as usize)
        .sum();
    let mut changes = Vec::with_capacity(count.min(1 << 20));
    for batch in batches {
        for record in batch {
            let record = record?;
            let offset = batch.offset_of(&record);
            if offset < applied {
                continue;
            }
            folded.records += 1;
            let start = arena.len();
            arena.extend_from_slice(&prefix);
            let primary_key = record.key.ok_or(KeyError::Null);
            match primary_key.and_then(|key| table.primary_key(key, record.headers, arena)) {
                Ok(()) => {}
                Err(KeyError::UnknownSchema(schema)) => {
                    return Err(FoldError::SchemaNotHere { offset, schema });
                }
                Err(_) => {
                    arena.truncate(start);
                    folded.skipped += 1;
                    continue;
                }
            }
            let value = record.value.map(|value| Row {
                source_offset: offset,
                timestamp_ms: batch.timestamp_of(&record),
                schema_header: value_schema_header(record.headers),
                value,
            });
            let key = (start as u32, (arena.len() - start) as u32);
            changes.push(Change {
                head: head(&arena[start + prefix.len()..]),
                key,
                value,
                offset,
            });
        }
    }
    Ok(changes)
}

/// The header that names a value's schema, empty where there is none; one that no schema can have is none.
fn value_schema_header(headers: weir_log::records::Headers<'_>) -> &[u8] {
    let header = schema_header(headers, Part::Value).flatten();
    header
        .filter(|header| header.len() <= MAX_SCHEMA_HEADER_LEN)
        .unwrap_or_default()
}

/// The changes in key order, of each key the last one.
fn last_of_each_key<'a>(mut changes: Vec<Change<'a>>, arena: &[u8]) -> Vec<Change<'a>> {
    changes.sort_unstable_by(|a, b| {
        let heads = a.head.cmp(&b.head);
        heads
            .then_with(|| key_of(a, arena).cmp(key_of(b, arena)))
            .then(b.offset.cmp(&a.offset))
    });
    changes.dedup_by(|later, kept| {
        later.head == kept.head && key_of(later, arena) == key_of(kept, arena)
    });
    changes
}

fn key_of<'k>(change: &Change<'_>, arena: &'k [u8]) -> &'k [u8] {
    let (start, len) = change.key;
    &arena[start as usize..(start + len) as usize]
}

fn head(primary_key: &[u8]) -> u64 {
    let mut head = [0; 8];
    let len = primary_key.len().min(8);
    head[..len].copy_from_slice(&primary_key[..len]);
    u64::from_be_bytes(head)
}
