//! Making a table of a topic, a new one or one with records in its log.

use std::sync::Arc;

use futures::future::BoxFuture;
use uuid::Uuid;
use weir_log::{BatchRecords, batches};
use weir_tables::design::{RegisteredSchema, TableWish, design};
use weir_tables::store::MAX_DECOMPRESSED_BYTES;
use weir_tables::{Candidates, JsonForm, RecordCheck, Schemas, Table, TableDef};

use super::fold::FoldSource;
use crate::meta::settings::{TableSettings, TopicSettings};
use crate::meta::{Partitioner, PartitionerSet, TableDesigner, TableDraft};

const READ_BYTES: usize = 1 << 20;

/// The registry as designing a table asks it.
pub trait Subjects: Send + Sync + 'static {
    /// The latest version of a subject, with the text of what it refers to.
    fn registered(&self, subject: &str) -> Option<RegisteredSchema>;
}

/// The logs of topics that become tables.
pub trait Logs: Send + Sync + 'static {
    /// The log of a partition; `None` where this node has none of it.
    fn log(&self, topic: Uuid, partition: u32) -> Option<Arc<dyn FoldSource>>;
}

/// Designs tables by the registry's subjects and the partitions' logs.
pub struct Designer {
    pub subjects: Arc<dyn Subjects>,
    pub schemas: Arc<dyn Schemas>,
    pub logs: Arc<dyn Logs>,
}

impl TableDesigner for Designer {
    fn design(
        &self,
        topic: &str,
        existing: Option<Uuid>,
        partitions: i32,
        settings: &TopicSettings,
    ) -> BoxFuture<'static, Result<TableDraft, String>> {
        let designed = settings
            .table
            .as_ref()
            .ok_or("`table.mode` is not `primary-key`".to_owned());
        let designed = designed.and_then(wish).and_then(|wish| {
            design(topic, wish, |subject| self.subjects.registered(subject))
                .map_err(|error| error.to_string())
        });
        let (topic, schemas, logs) = (topic.to_owned(), self.schemas.clone(), self.logs.clone());
        Box::pin(async move {
            let designed = designed?;
            let definition = serde_json::to_value(&designed).map_err(|error| error.to_string())?;
            let mut candidates = Candidates::new(designed.partitioner);
            if let Some(id) = existing {
                let def = TableDef::new(id, topic, partitions.unsigned_abs(), designed);
                let table = Table::new(def, schemas).map_err(|error| error.to_string())?;
                let adopted =
                    tokio::task::spawn_blocking(move || adopt(&table, &*logs, candidates)).await;
                candidates = adopted.map_err(|error| error.to_string())??;
            }
            Ok(TableDraft {
                definition,
                partitioners: partitioner_set(candidates),
            })
        })
    }
}

fn wish(settings: &TableSettings) -> Result<TableWish, String> {
    let key_format = settings.key_format.as_deref().map(str::parse).transpose();
    let value_format = settings.value_format.as_deref().map(str::parse).transpose();
    Ok(TableWish {
        key_format: key_format.map_err(|error: weir_tables::def::UnknownWord| error.to_string())?,
        value_format: value_format
            .map_err(|error: weir_tables::def::UnknownWord| error.to_string())?,
        json: if settings.key_json_spaced {
            JsonForm::Spaced
        } else {
            JsonForm::Compact
        },
        partitioner: settings
            .partitioner
            .parse()
            .map_err(|error: weir_tables::def::UnknownWord| error.to_string())?,
    })
}

/// The metadata's form of a candidate set.
pub fn partitioner_set(candidates: Candidates) -> PartitionerSet {
    candidates
        .iter()
        .filter_map(|partitioner| Partitioner::from_name(partitioner.word()))
        .collect()
}

/// The candidate set of a table's metadata; `None` where the metadata has none left.
pub fn candidates(set: PartitionerSet) -> Option<Candidates> {
    let all = weir_tables::Partitioner::ALL.into_iter();
    Candidates::of(all.filter(|partitioner| {
        Partitioner::from_name(partitioner.word()).is_some_and(|named| set.contains(named))
    }))
}

/// Reads a topic's whole log: whether it is there from the first record on, whether every record fits, and
/// which partitioners explain where they are.
fn adopt(table: &Table, logs: &dyn Logs, mut candidates: Candidates) -> Result<Candidates, String> {
    let def = table.def();
    for partition in 0..def.partition_count {
        let Some(log) = logs.log(def.topic_id, partition) else {
            continue;
        };
        let start = log.log_start();
        if start != 0 {
            return Err(format!(
                "partition {partition} starts at offset {start}, and a table is the fold of its whole log"
            ));
        }
        let end = log.high_watermark();
        let mut from = 0;
        while from < end {
            let read = log.read(from, READ_BYTES);
            let read =
                read.map_err(|error| format!("partition {partition} at offset {from}: {error}"))?;
            let next = adopt_batches(table, partition, &read, &mut candidates)?;
            if next <= from {
                return Err(format!(
                    "partition {partition} cannot be read at offset {from}"
                ));
            }
            from = next;
        }
    }
    Ok(candidates)
}

/// Checks whole batches and returns the offset after them.
fn adopt_batches(
    table: &Table,
    partition: u32,
    read: &[bytes::Bytes],
    candidates: &mut Candidates,
) -> Result<i64, String> {
    let mut next = 0;
    let mut check = RecordCheck::new(table);
    for bytes in read {
        for batch in batches(bytes) {
            let (header, range) =
                batch.map_err(|error| format!("partition {partition}: {error}"))?;
            next = header.last_offset() + 1;
            if header.is_control() {
                continue;
            }
            let at = |offset: i64| format!("partition {partition}, offset {offset}");
            let malformed = |error| format!("{}: {error}", at(header.base_offset));
            let records =
                BatchRecords::open(&bytes[range], MAX_DECOMPRESSED_BYTES).map_err(malformed)?;
            for record in &records {
                let record = record.map_err(malformed)?;
                let offset = records.offset_of(&record);
                check
                    .check_whole(record.key, record.value, record.headers)
                    .map_err(|refusal| format!("{}: {refusal}", at(offset)))?;
                let key = record.key.unwrap_or_default();
                *candidates = candidates
                    .narrow(key, partition, table.def().partition_count)
                    .ok_or_else(|| {
                        format!(
                            "{}: no partitioner of {candidates:?} places this key here",
                            at(offset)
                        )
                    })?;
            }
        }
    }
    Ok(next)
}
