//! From group records to the log: one batch a write, in the order of the calls.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use weir_log::{BatchBuilder, BatchHeader, Codec, ValidBatch};

use super::error::GroupError;
use crate::partition::Partition;
use crate::shard::proposer::{Ack, AppendError, Part, Submit};

/// One record: its key, and its value or nothing to take the key back.
pub type Record = (Vec<u8>, Option<Vec<u8>>);

/// The outcome of a write; it does not depend on anybody waiting for it.
pub type Written = BoxFuture<'static, Result<(), GroupError>>;

/// Hands records to the proposer before it returns, to be appended in this term or not at all.
pub fn submit(
    partition: &Arc<Partition>,
    term: u64,
    wall_ms: i64,
    records: &[Record],
    max_bytes: usize,
) -> Written {
    let mut builder = BatchBuilder::new(Codec::None);
    for (key, value) in records {
        builder.append(wall_ms, Some(key), value.as_deref(), &[]);
    }
    if builder.uncompressed_len() > max_bytes {
        return Box::pin(std::future::ready(Err(GroupError::RecordTooLarge)));
    }
    let bytes = builder.build().expect("nothing is compressed");
    let header = BatchHeader::parse(&bytes).expect("the builder writes whole batches");
    let (reply, outcome) = oneshot::channel();
    let part = Part {
        partition: partition.clone(),
        batch: ValidBatch { header, bytes },
        ack: Ack::Committed,
    };
    let frame_bytes = part.batch.bytes.capacity();
    partition.shard.submit(Submit {
        parts: vec![part],
        frame_bytes,
        term: Some(term),
        refusals: Arc::default(),
        reply,
    });
    outcome
        .map(|results| finish(results.ok().and_then(|mut results| results.pop())))
        .boxed()
}

fn finish(result: Option<crate::shard::proposer::PartResult>) -> Result<(), GroupError> {
    match result {
        Some(Ok(_)) => Ok(()),
        Some(Err(AppendError::NotLeader | AppendError::Detached)) => {
            Err(GroupError::NotCoordinator)
        }
        // Appended, perhaps; the client commits again or asks for the coordinator again.
        Some(Err(AppendError::Unknown | AppendError::Producer(_))) | None => {
            Err(GroupError::NotAvailable)
        }
    }
}

/// Offsets that are on their way to the log, by group. Deletion and expiry have to know them: they are not stored yet,
/// and will be by the time the deletion is.
#[derive(Debug, Default)]
pub struct PendingCommits {
    groups: HashMap<Arc<str>, PendingGroup>,
}

#[derive(Debug, Default)]
struct PendingGroup {
    writes: usize,
    keys: HashSet<(Arc<str>, i32)>,
}

impl PendingCommits {
    pub fn start(&mut self, group: &Arc<str>, keys: impl Iterator<Item = (Arc<str>, i32)>) {
        let pending = self.groups.entry(group.clone()).or_default();
        pending.writes += 1;
        pending.keys.extend(keys);
    }

    pub fn end(&mut self, group: &str) {
        if let Some(pending) = self.groups.get_mut(group) {
            pending.writes -= 1;
            if pending.writes == 0 {
                self.groups.remove(group);
            }
        }
    }

    pub fn has(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    pub fn keys(&self, group: &str) -> impl Iterator<Item = &(Arc<str>, i32)> {
        self.groups
            .get(group)
            .into_iter()
            .flat_map(|pending| &pending.keys)
    }
}
