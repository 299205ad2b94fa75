//! Which records of a batch survive compaction, and what is left of the batch.
//!
//! A record goes when a later one has its key, when it has no key, and, a tombstone, when its time is over.
//! What stays keeps its bytes, its offset and its order; a batch of which nothing goes is not touched. A
//! batch keeps its first and last offset, its producer and its sequence numbers whatever goes of it.
//! Source: Kafka's log compaction; KIP-534 for the time of tombstones.

use crate::batch::{BatchError, BatchHeader, NO_TIMESTAMP, TimestampType};
use crate::builder::assemble;
use crate::compression::Codec;
use crate::records::{BatchRecords, Record};
use bytes::BytesMut;
use std::error::Error;
use std::ops::Range;

/// What is known of a record among those with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No later one is known.
    Latest,
    Superseded,
    /// The key has no value now: of its records nothing counts but tombstones.
    Gone,
}

pub type LatestError = Box<dyn Error + Send + Sync>;

/// Knows the latest records of keys.
pub trait Latest {
    /// Adds the standing of each record of a batch, in order.
    fn judge(
        &mut self,
        records: &BatchRecords<'_>,
        standings: &mut Vec<Standing>,
    ) -> Result<(), LatestError>;
}

/// Knows of no key: only the time of tombstones counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct NothingLater;

impl Latest for NothingLater {
    fn judge(
        &mut self,
        records: &BatchRecords<'_>,
        standings: &mut Vec<Standing>,
    ) -> Result<(), LatestError> {
        standings.extend(records.iter().map(|_| Standing::Latest));
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("the latest records of its keys are not known: {0}")]
    Latest(#[source] LatestError),
}

/// How a batch is filtered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Whether tombstones have been kept for long enough.
    pub drop_tombstones: bool,
    /// Whether a header stays where no record does.
    pub keep_empty: bool,
    pub max_decompressed_bytes: usize,
}

/// What is left of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    All,
    Part(BatchHeader, BytesMut),
    Nothing,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filtered {
    pub left: Left,
    pub has_tombstones: bool,
    /// Records that went.
    pub removed: u64,
}

/// Takes out of one whole batch what does not survive.
pub(crate) fn filter(
    header: &BatchHeader,
    batch: &[u8],
    latest: &mut dyn Latest,
    rules: &Rules,
) -> Result<Filtered, FilterError> {
    let untouched = |left| Filtered {
        left,
        has_tombstones: false,
        removed: 0,
    };
    // Markers of transactions are no records of a key.
    if header.is_control() {
        return Ok(untouched(Left::All));
    }
    if header.records_count == 0 {
        let left = if rules.keep_empty {
            Left::All
        } else {
            Left::Nothing
        };
        return Ok(untouched(left));
    }
    let records = BatchRecords::open(batch, rules.max_decompressed_bytes)?;
    let mut standings = Vec::new();
    latest
        .judge(&records, &mut standings)
        .map_err(FilterError::Latest)?;
    let survivors = Survivors::of(&records, &standings, rules)?;
    let removed = u64::from(header.records_count.unsigned_abs()) - survivors.count;
    let left = match survivors.count {
        _ if removed == 0 => Left::All,
        0 if !rules.keep_empty => Left::Nothing,
        _ => {
            let (header, batch) = survivors.build(&records)?;
            Left::Part(header, batch)
        }
    };
    Ok(Filtered {
        left,
        has_tombstones: survivors.tombstones > 0,
        removed,
    })
}

/// The records of a batch that stay.
struct Survivors {
    /// Where they are in the payload.
    ranges: Vec<Range<usize>>,
    count: u64,
    tombstones: u64,
    max_timestamp: i64,
}

impl Survivors {
    fn of(
        records: &BatchRecords<'_>,
        standings: &[Standing],
        rules: &Rules,
    ) -> Result<Survivors, BatchError> {
        let mut survivors = Survivors {
            ranges: Vec::new(),
            count: 0,
            tombstones: 0,
            max_timestamp: NO_TIMESTAMP,
        };
        // A tombstone of a transaction may have been aborted, and then nothing went for it.
        let drop_tombstones = rules.drop_tombstones && !records.header().is_transactional();
        let end = records.payload().len();
        let mut iter = records.iter();
        for standing in standings {
            let start = end - iter.rest().len();
            let Some(record) = iter.next().transpose()? else {
                break;
            };
            if !survives(&record, *standing, drop_tombstones) {
                continue;
            }
            survivors.add(start..end - iter.rest().len());
            survivors.tombstones += u64::from(record.value.is_none());
            let timestamp = records.timestamp_of(&record);
            survivors.max_timestamp = survivors.max_timestamp.max(timestamp);
        }
        // Reports what follows the last record, or that there are fewer than the header says.
        match iter.next().transpose()? {
            None => Ok(survivors),
            Some(_) => Err(BatchError::BadCount(records.header().records_count)),
        }
    }

    fn add(&mut self, range: Range<usize>) {
        self.count += 1;
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }

    fn build(&self, records: &BatchRecords<'_>) -> Result<(BatchHeader, BytesMut), BatchError> {
        let mut header = *records.header();
        let payload: Vec<&[u8]> = self
            .ranges
            .iter()
            .map(|range| &records.payload()[range.clone()])
            .collect();
        header.records_count = i32::try_from(self.count).expect("fewer than there were");
        let mut codec = header.codec()?;
        if self.count == 0 {
            // An empty payload has no frame. The time stays, so that it expires with what is around it.
            codec = Codec::None;
        } else if header.timestamp_type() == TimestampType::CreateTime {
            header.max_timestamp = self.max_timestamp;
        }
        Ok(assemble(header, codec, &payload.concat())?)
    }
}

fn survives(record: &Record<'_>, standing: Standing, drop_tombstones: bool) -> bool {
    let is_tombstone = record.value.is_none();
    let counts = match standing {
        Standing::Latest => true,
        Standing::Superseded => false,
        Standing::Gone => is_tombstone,
    };
    record.key.is_some() && counts && !(is_tombstone && drop_tombstones)
}

#[cfg(test)]
mod tests;
