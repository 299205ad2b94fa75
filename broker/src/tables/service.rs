//! Tables as the HTTP edge asks for them, on this broker.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;
use uuid::Uuid;
use weir_log::{BatchBuilder, Codec, ProduceRules};
use weir_schema::framing::Part;
use weir_tables::Candidates;

use super::admit::{Admission as TableAdmission, TableRules};
use super::barrier::Barrier;
use super::create::create;
use super::design::{candidates, partitioner_set};
use super::gather::{self, Wanted};
use super::{OpenTable, RowsHere};
use crate::broker::Broker;
use crate::http::tables::{
    CreateError, FindError, NewTable, ReadError, RowRecord, TableService, WriteError, Written,
};
use crate::kafka::produce::request::TopicRef;
use crate::meta::decide::tables::{NarrowError, narrow};
use crate::meta::{ChangeError, MetaCommitError, Topic};
use crate::partition::Partition;
use crate::shard::entry::PartitionId;
use crate::shard::host::append;
use crate::shard::proposer::AppendError;
use crate::space::Admission;

/// How long a read waits for the rows, and a write for its outcome.
const PATIENCE: Duration = Duration::from_secs(5);
/// A produce version whose batches may have every codec.
const PRODUCE_VERSION: i16 = 13;

/// The broker's tables.
pub struct BrokerTables(pub Arc<Broker>);

impl BrokerTables {
    fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.0.meta.read().topics().get(name).cloned()
    }

    fn barrier<'a>(&'a self, table: &'a OpenTable) -> Barrier<'a> {
        let broker = &*self.0;
        Barrier { broker, table }
    }

    fn partition(&self, topic: Uuid, bucket: u32) -> Option<Arc<Partition>> {
        let index = i32::try_from(bucket).ok()?;
        self.0.partitions.get(PartitionId { topic, index })
    }

    async fn write_record(
        &self,
        open: &OpenTable,
        record: RowRecord,
    ) -> Result<Written, WriteError> {
        let def = open.table.def();
        let topic = TopicRef::Id(def.topic_id);
        let gone = || WriteError::Internal("the table was deleted meanwhile".into());
        let view = self.0.topic_view(&topic).ok_or_else(gone)?;
        let here = self.0.tables.get(def.topic_id).ok_or_else(gone)?;
        let left = self
            .settle_partitioner(def.topic_id, open.candidates)
            .await?;
        let bucket = left
            .for_write()
            .partition(&record.key.bytes, def.partition_count);
        let no_leader = WriteError::NoLeader { partition: bucket };
        let partition = self.partition(def.topic_id, bucket);
        let led_here = partition.filter(|partition| partition.leadership().open);
        let Some(partition) = led_here else {
            // One that has just moved on from here is led by who the metadata says.
            let here = self.0.shards.metadata().node_id();
            let leader = self.barrier(open).leader(bucket);
            return Err(match leader.filter(|leader| *leader != here) {
                Some(node) => WriteError::Elsewhere { node },
                None => no_leader,
            });
        };
        let mut builder = BatchBuilder::new(Codec::None);
        let header = Part::Key.header().as_bytes();
        let headers: Vec<_> = record
            .key
            .schema_header
            .as_deref()
            .map(|value| (header, Some(value)))
            .into_iter()
            .collect();
        let now = self.0.clock.now_ms();
        builder.append(
            now,
            Some(&record.key.bytes),
            record.value.as_deref(),
            &headers,
        );
        let batch = builder
            .build()
            .map_err(|error| WriteError::Internal(error.to_string()))?;
        let rules = ProduceRules {
            now_ms: now,
            produce_version: PRODUCE_VERSION,
            ..view.rules
        };
        let size = batch.len();
        let batch = weir_log::validate(batch, &rules).map_err(|invalid| match invalid {
            weir_log::InvalidBatch::TooLarge { .. } => WriteError::TooLarge {
                size,
                limit: rules.max_message_bytes,
            },
            other => WriteError::Internal(other.to_string()),
        })?;
        let table = TableRules {
            hub: &self.0.tables,
            here: &here,
            candidates: left,
            max_lag: view.max_table_lag(),
        };
        match table.admit(bucket, &batch) {
            Ok(TableAdmission::Accepted) | Ok(TableAdmission::Narrow(_)) => {}
            Ok(TableAdmission::Lag { records }) => return Err(WriteError::Lag { records }),
            Ok(TableAdmission::Refused(mut refusals)) => {
                let refusal = refusals.swap_remove(0).refusal;
                return Err(WriteError::Refused(Box::new(refusal)));
            }
            Err(error) => return Err(WriteError::Internal(error.to_string())),
        }
        let term = partition.shard.leadership().term;
        let appended = append(partition, batch, term)
            .await
            .map_err(|error| match error {
                AppendError::NotLeader => no_leader,
                AppendError::Unknown => WriteError::Unknown,
                AppendError::Detached => gone(),
                AppendError::Producer(error) => WriteError::Internal(error.to_string()),
            })?;
        Ok(Written {
            partition: bucket,
            offset: appended.base_offset,
        })
    }

    /// Fixes the partitioner that this server writes with, where others are still possible.
    async fn settle_partitioner(
        &self,
        topic: Uuid,
        known: Candidates,
    ) -> Result<Candidates, WriteError> {
        if known.decided() {
            return Ok(known);
        }
        let fix = |state: &crate::meta::MetaState| {
            let now = state
                .topics()
                .by_id(topic)
                .and_then(|topic| candidates(topic.partitioners?));
            let wanted = now.unwrap_or(known).for_write();
            let (commands, _) = narrow(state, topic, partitioner_set(Candidates::only(wanted)))?;
            Ok::<_, NarrowError>((commands, wanted))
        };
        match self.0.meta.change(fix).await {
            Ok(fixed) => Ok(Candidates::only(fixed)),
            Err(ChangeError::Commit(MetaCommitError::NotLeader)) => {
                Err(WriteError::NoLeader { partition: 0 })
            }
            Err(error) => Err(WriteError::Internal(error.to_string())),
        }
    }
}

impl TableService for BrokerTables {
    fn tables(&self) -> Vec<Arc<OpenTable>> {
        let topics: Vec<Arc<Topic>> = self.0.meta.read().topics().iter().cloned().collect();
        let open = |topic: Arc<Topic>| Some(Arc::new(self.0.tables.get(topic.id)?.open(&topic)?));
        topics.into_iter().filter_map(open).collect()
    }

    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<OpenTable>, FindError>> {
        Box::pin(async move {
            let topic = self.topic(name).ok_or(FindError::NoSuchTopic)?;
            if topic.table.is_none() {
                return Err(FindError::NotATable);
            }
            let here = self
                .0
                .tables
                .find(topic.id)
                .await
                .ok_or(FindError::NotHere)?;
            Ok(Arc::new(here.open(&topic).ok_or(FindError::NotHere)?))
        })
    }

    fn read_barrier<'a>(
        &'a self,
        table: &'a Arc<OpenTable>,
        buckets: &'a [u32],
    ) -> BoxFuture<'a, Result<RowsHere, ReadError>> {
        Box::pin(async move {
            let behind = ReadError::Behind {
                partition: buckets.first().copied().unwrap_or(0),
            };
            let barrier = self.barrier(table);
            tokio::time::timeout(PATIENCE, barrier.rows(buckets))
                .await
                .unwrap_or(Err(behind))
        })
    }

    fn gather<'a>(
        &'a self,
        table: &'a Arc<OpenTable>,
        partitions: &'a [u32],
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Vec<gather::Part>, ReadError>> {
        Box::pin(gather::gather(&self.0, table, partitions, wanted))
    }

    fn create<'a>(
        &'a self,
        topic: &'a str,
        wanted: NewTable,
    ) -> BoxFuture<'a, Result<bool, CreateError>> {
        Box::pin(create(&self.0, topic, wanted))
    }

    fn write<'a>(
        &'a self,
        table: &'a Arc<OpenTable>,
        record: RowRecord,
    ) -> BoxFuture<'a, Result<Written, WriteError>> {
        Box::pin(async move {
            let bytes = record.key.bytes.len() + record.value.as_ref().map_or(0, Vec::len);
            let wait = match self.0.space.admit(bytes, Instant::now()) {
                Admission::Free => Duration::ZERO,
                Admission::Slowed(wait) => wait,
                Admission::Refused(refused) => return Err(WriteError::NoSpace(refused)),
            };
            let write = self.write_record(table, record);
            let written = tokio::time::timeout(PATIENCE, write)
                .await
                .unwrap_or(Err(WriteError::Unknown));
            // Who is held back waits for the answer: there is no other way to say so over HTTP.
            tokio::time::sleep(wait).await;
            written
        })
    }

    fn looked_up(&self, took: Duration) {
        self.0.metrics.lookup.observe(took.as_secs_f64());
    }
}
