//! Rows on RocksDB: a primary-key topic's committed log, folded by key.
//!
//! Everything here is synchronous and is called from threads that may wait for a disk.
//!
//! Invariants:
//! - rows, row count and applied offset of a bucket change in one write batch of one column family (P4);
//! - rows = fold of the log up to the applied offset, whatever the batches it came in (P1);
//! - no clock, no randomness and no hash order decides a stored byte (P6);
//! - what a dropped table left behind is never read and never in the way (P7).
//!
//! Left out: where committed batches come from and when a reader must wait for them (`broker`), schemas
//! and their codecs (`schema`), batch bytes (`log`).

pub mod check;
pub mod def;
pub mod design;
#[cfg(test)]
mod fixture;
pub mod json;
pub mod key;
pub mod keys;
pub mod latest;
pub mod lookup;
pub mod partitioner;
pub mod path;
pub mod row;
pub mod schemas;
pub mod store;
pub mod table;

pub use check::RecordCheck;
pub use def::{
    Framing, JsonForm, KeyDef, KeyFormat, KeySchema, TableDef, TableDesign, TableId, ValueDef,
    ValueFormat,
};
pub use json::{RowError, RowOptions, RowWriter, RowsError};
pub use key::{KeyCodec, KeyError, KeySchemaError, RecordKey};
pub use keys::bucket::BucketState;
pub use latest::RowsLatest;
pub use lookup::{FoundRow, KeysSeed, LookupKeys};
pub use partitioner::{Candidates, Partitioner, PartitionerSetting};
pub use row::Row;
pub use schemas::{LatestSchema, NoSchemas, Schemas};
pub use store::{
    Budget, FoldError, Folded, ScanEnd, ScanRange, ScanSource, StoreError, StoredRow, Tables, scan,
};
pub use table::{Columns, Table};
