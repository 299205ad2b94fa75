//! What a table asks of a batch before it is proposed.

use weir_log::{BatchError, BatchRecords, ValidBatch};
use weir_schema::enforce::{MAX_REFUSALS, ReasonCode, RecordRefusal, Refusal};
use weir_schema::framing::Part;
use weir_tables::{Candidates, RecordCheck};

use super::hub::{TableHere, TableHub};
use crate::topic::MAX_DECOMPRESSED_BYTES;

/// The rules of one table, as they are now.
pub struct TableRules<'t> {
    pub hub: &'t TableHub,
    pub here: &'t TableHere,
    pub candidates: Candidates,
    /// Records that the rows may be behind.
    pub max_lag: i64,
}

/// What becomes of a batch.
pub enum Admission {
    Accepted,
    /// Every record fits, once the candidates are narrowed to these.
    Narrow(Candidates),
    Refused(Vec<RecordRefusal>),
    /// The rows of this partition are too far behind.
    Lag {
        records: i64,
    },
}

impl TableRules<'_> {
    /// Looks at every record of a batch for partition `bucket`. The topic's schemas were looked at before.
    pub fn admit(&self, bucket: u32, batch: &ValidBatch) -> Result<Admission, BatchError> {
        let records = BatchRecords::open(&batch.bytes, MAX_DECOMPRESSED_BYTES)?;
        self.admit_records(bucket, &records)
    }

    pub fn admit_records(
        &self,
        bucket: u32,
        records: &BatchRecords<'_>,
    ) -> Result<Admission, BatchError> {
        let table = &*self.here.table;
        let rows = self.hub.served_rows(table, bucket);
        let behind = rows.map_or(0, |rows| rows.behind());
        if behind > self.max_lag {
            return Ok(Admission::Lag { records: behind });
        }
        let mut left = self.candidates;
        let mut check = RecordCheck::new(table);
        let mut refusals = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let record = record?;
            let checked = check
                .check(record.key, record.value, record.headers)
                .and_then(|()| {
                    let key = record.key.unwrap_or_default();
                    left = left
                        .narrow(key, bucket, table.def().partition_count)
                        .ok_or_else(|| misplaced(left, key, table.def().partition_count))?;
                    Ok(())
                });
            if let Err(refusal) = checked {
                refusals.push(RecordRefusal {
                    index,
                    refusal: *refusal,
                });
                if refusals.len() == MAX_REFUSALS {
                    break;
                }
            }
        }
        Ok(match refusals.is_empty() {
            false => Admission::Refused(refusals),
            true if left == self.candidates => Admission::Accepted,
            true => Admission::Narrow(left),
        })
    }
}

fn misplaced(left: Candidates, key: &[u8], partition_count: u32) -> Box<Refusal> {
    let places: Vec<String> = left
        .iter()
        .map(|p| {
            format!(
                "{} puts it into partition {}",
                p.word(),
                p.partition(key, partition_count)
            )
        })
        .collect();
    let settings: Vec<String> = left
        .iter()
        .map(|p| format!("for {}: {}", p.word(), p.client_settings()))
        .collect();
    Box::new(Refusal {
        part: Part::Key,
        subject: None,
        id: None,
        field: String::new(),
        code: ReasonCode::Misplaced,
        reason: format!(
            "this table's keys are placed by another partitioner: {}",
            places.join(", ")
        ),
        fix: format!("set the producer's partitioner {}", settings.join("; ")),
    })
}
