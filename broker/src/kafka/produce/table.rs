//! The records of a topic that is a table.
//!
//! A batch that leaves fewer of the table's partitioners possible waits until the metadata has taken the
//! others out: it is refused with a retriable error, and the producer's next attempt finds that done. That
//! happens a few times in a table's life.

use std::sync::Arc;

use uuid::Uuid;
use weir_log::{BatchError, BatchRecords};
use weir_schema::enforce::RecordRefusal;
use weir_tables::Candidates;

use super::response::Refused;
use crate::broker::Broker;
use crate::kafka::ErrorCode;
use crate::meta::decide::tables::narrow;
use crate::tables::admit::{Admission, TableRules};
use crate::tables::design::{candidates, partitioner_set};
use crate::tables::hub::TableHere;
use crate::topic::TopicView;

pub struct TableCheck<'b> {
    broker: &'b Arc<Broker>,
    topic: Uuid,
    here: Arc<TableHere>,
    candidates: Candidates,
    max_lag: i64,
}

impl<'b> TableCheck<'b> {
    /// The check of a topic that is a table.
    pub fn of(broker: &'b Arc<Broker>, view: &TopicView) -> Result<Option<Self>, Refused> {
        if view.topic.table.is_none() {
            return Ok(None);
        }
        let not_yet = || retry("the table is not open on this broker yet; retry");
        let here = broker.tables.get(view.topic.id).ok_or_else(not_yet)?;
        let candidates = view
            .topic
            .partitioners
            .and_then(candidates)
            .ok_or_else(not_yet)?;
        let (topic, max_lag) = (view.topic.id, view.max_table_lag());
        Ok(Some(Self {
            broker,
            topic,
            here,
            candidates,
            max_lag,
        }))
    }

    /// The records that the table does not take.
    pub fn check(
        &self,
        partition: i32,
        records: &BatchRecords<'_>,
    ) -> Result<Vec<RecordRefusal>, Refused> {
        let rules = TableRules {
            hub: &self.broker.tables,
            here: &self.here,
            candidates: self.candidates,
            max_lag: self.max_lag,
        };
        let malformed =
            |error: BatchError| Refused::new(ErrorCode::InvalidRecord, error.to_string());
        match rules
            .admit_records(partition.unsigned_abs(), records)
            .map_err(malformed)?
        {
            Admission::Accepted => Ok(Vec::new()),
            Admission::Refused(refusals) => Ok(refusals),
            Admission::Lag { records } => Err(retry(format!(
                "the table's rows are {records} records behind; retry later"
            ))),
            Admission::Narrow(left) => {
                self.narrow(left);
                Err(retry(
                    "the table's partitioner is being found out from this batch; retry",
                ))
            }
        }
    }

    /// Takes the partitioners that are ruled out away from the table.
    fn narrow(&self, left: Candidates) {
        if !self.here.begin_narrowing() {
            return;
        }
        let (broker, topic, here) = (self.broker.clone(), self.topic, self.here.clone());
        tokio::spawn(async move {
            let fit = partitioner_set(left);
            let narrowed = broker.meta.change(|state| narrow(state, topic, fit)).await;
            here.end_narrowing();
            match narrowed {
                Ok(left) => tracing::info!(table = here.name(), ?left, "partitioners narrowed"),
                Err(error) => {
                    tracing::warn!(table = here.name(), %error, "partitioners not narrowed")
                }
            }
        });
    }
}

/// Definitely not appended, and every client tries again.
fn retry(message: impl Into<String>) -> Refused {
    Refused::new(ErrorCode::NotEnoughReplicas, message)
}
