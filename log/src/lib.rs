//! A partition's records: the Kafka batch format, what a producer may write, and where one
//! partition's committed batches lie.
//!
//! Everything here is synchronous and free of I/O: disks are reached through
//! [`read::BlockReader`], time is an argument. The crate knows nothing of Raft or of Kafka's requests.
//!
//! Invariants:
//! - a record that a producer wrote is never decoded and encoded again; its bytes are walked, and those of
//!   records that survive compaction are copied;
//! - offsets and leader epoch are patched into the first 16 bytes, which the batch CRC does not cover;
//! - a [`partition::PartitionLog`] holds committed batches only, so its end is its high watermark;
//! - a read starts at a batch and ends at one, and bytes from a disk are checked before they are served;
//! - no integer from the wire is added, multiplied or used as a length unchecked.
//!
//! Left out: Raft entries and the write-ahead log (`raft`), wire requests and error codes (`broker`).

pub mod batch;
pub mod builder;
pub mod compact;
pub mod compression;
pub mod dirtiness;
pub mod epochs;
pub mod extent;
pub mod format;
mod gather;
pub mod key_map;
pub mod partition;
pub mod planted;
pub mod producer;
pub mod read;
pub mod records;
pub mod rewrite;
pub mod search;
pub mod segment;
pub mod tail;
pub mod validate;
mod varint;

pub use batch::{
    BatchError, BatchHeader, CRC_FROM, LeaderEpoch, Offset, RECORD_BATCH_HEADER_LEN, TimestampType,
    assign, batches,
};
pub use builder::{BatchBuilder, empty_batch};
pub use compact::{Latest, LatestError, Standing};
pub use compression::{Codec, CompressionError};
pub use dirtiness::Dirtiness;
pub use epochs::EpochEnd;
pub use extent::{Extent, Pos};
pub use key_map::KeyMap;
pub use partition::{Misfit, PartitionLog};
pub use producer::{ProducerCheck, ProducerError, ProducerState, Producers};
pub use read::{BlockReader, ReadError, ReadPlan, ReadRequest, read};
pub use records::{BatchRecords, Record, RecordHeader};
pub use rewrite::{Cleaning, Rewrite, RewriteError, Rewritten, SegmentFile, SegmentReader};
pub use search::{SearchStep, TimestampHit, TimestampSearch};
pub use segment::{Segment, SegmentBuilder, SegmentIndex, SegmentState, Segments};
pub use tail::Tail;
pub use validate::{InvalidBatch, ProduceRules, RecordError, ValidBatch, try_validate, validate};
