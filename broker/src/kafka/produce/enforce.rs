//! A topic's schemas and its table's rules, enforced on a batch before it is put into its shard's queue.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use weir_log::{BatchRecords, ValidBatch};
use weir_schema::enforce::{Enforcer, RecordRefusal};

use super::response::Refused;
use super::table::TableCheck;
use crate::broker::Broker;
use crate::kafka::ErrorCode;
use crate::kafka::log_limit::LogLimit;
use crate::rejects::{Reject, key_prefix};
use crate::topic::{MAX_DECOMPRESSED_BYTES, TopicView};

static WARNINGS: LogLimit = LogLimit::new(1, Duration::from_secs(1));

/// Why a batch is not taken.
pub enum Unfit {
    Refused(Refused),
    /// By schemas that may not be the latest: what it names may have been registered on another node.
    Behind,
}

impl From<Refused> for Unfit {
    fn from(refused: Refused) -> Unfit {
        Unfit::Refused(refused)
    }
}

/// Refuses the whole batch when one record does not fit; the reasons are kept for who looks later.
///
/// `latest`: the schemas here are known to be.
pub fn enforce(
    broker: &Arc<Broker>,
    view: &TopicView,
    client_id: &str,
    partition: i32,
    batch: &ValidBatch,
    latest: bool,
) -> Result<(), Unfit> {
    let table = TableCheck::of(broker, view)?;
    if view.enforcer.is_none() && table.is_none() {
        return Ok(());
    }
    let malformed =
        |error: weir_log::BatchError| Refused::new(ErrorCode::InvalidRecord, error.to_string());
    let records = BatchRecords::open(&batch.bytes, MAX_DECOMPRESSED_BYTES).map_err(malformed)?;
    let mut refusals = match &view.enforcer {
        Some(enforcer) => check(broker, enforcer, &records),
        None => Vec::new(),
    };
    if let Some(table) = table
        && refusals.is_empty()
    {
        refusals = table.check(partition, &records)?;
    }
    if refusals.is_empty() {
        return Ok(());
    }
    if !latest {
        return Err(Unfit::Behind);
    }
    note(broker, view, client_id, partition, &records, &refusals);
    let messages = refusals
        .iter()
        .map(|r| (index(r), r.refusal.to_string()))
        .collect::<Vec<_>>();
    let first = messages
        .first()
        .map(|(index, text)| format!("record {index}: {text}"));
    Err(Unfit::Refused(Refused {
        error: ErrorCode::InvalidRecord,
        message: first,
        records: messages,
        log_start_offset: -1,
    }))
}

fn check(broker: &Broker, enforcer: &Enforcer, records: &BatchRecords<'_>) -> Vec<RecordRefusal> {
    // The batch was walked before: what cannot be read now was refused then.
    let records = records.iter().filter_map(Result::ok);
    let parts = records.map(|record| {
        let headers = record.headers.map(|header| (header.key, header.value));
        (record.key, record.value, headers)
    });
    enforcer.check(&**broker.registry.fold(), parts)
}

fn note(
    broker: &Broker,
    view: &TopicView,
    client_id: &str,
    partition: i32,
    records: &BatchRecords<'_>,
    refusals: &[RecordRefusal],
) {
    let refused: HashSet<usize> = refusals.iter().map(|refused| refused.index).collect();
    let records = records.iter().filter_map(Result::ok).enumerate();
    let keys: HashMap<usize, &[u8]> = records
        .filter(|(at, _)| refused.contains(at))
        .filter_map(|(at, record)| Some((at, record.key?)))
        .collect();
    for refused in refusals {
        let refusal = &refused.refusal;
        let labels = [
            &*view.topic.name,
            refusal.part.as_str(),
            refusal.code.as_str(),
        ];
        broker
            .metrics
            .schema_rejected
            .with_label_values(&labels)
            .inc();
        broker.rejects.add(
            view.topic.id,
            Reject {
                time_ms: broker.clock.now_ms(),
                client_id: client_id.to_owned(),
                partition,
                index: index(refused),
                key_prefix: key_prefix(keys.get(&refused.index).copied()),
                part: refusal.part.as_str().into(),
                subject: refusal.subject.clone(),
                id: refusal.id,
                field: refusal.field.clone(),
                reason: refusal.reason.clone(),
                fix: refusal.fix.clone(),
            },
        );
    }
    if let Some(suppressed) = WARNINGS.permit(tokio::time::Instant::now())
        && let Some(first) = refusals.first()
    {
        let (topic, reason) = (&*view.topic.name, first.refusal.to_string());
        tracing::warn!(
            topic,
            partition,
            client_id,
            count = refusals.len(),
            reason,
            suppressed,
            "records refused"
        );
    }
}

fn index(refused: &RecordRefusal) -> i32 {
    i32::try_from(refused.index).unwrap_or(i32::MAX)
}
