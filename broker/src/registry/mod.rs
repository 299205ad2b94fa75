//! The schema registry in the broker: the fold of `_schemas`, which every node has, and changes to
//! it through Raft.

pub mod backend;
pub mod codecs;
mod log;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::Mutex;
use weir_log::{BatchHeader, BatchRecords};
use weir_schema::registry::{Answer, Command, Record, Registry, RegistryError, decide};

use self::log::SchemaLog;
use crate::broker::Broker;
use crate::shard::entry::PartitionId;
use crate::shard::machine::Fold;
use crate::topic::MAX_DECOMPRESSED_BYTES;

/// The registry as this node has applied it.
#[derive(Default)]
pub struct SchemaFold {
    state: RwLock<Registry>,
    codecs: codecs::CodecCache,
}

impl SchemaFold {
    pub fn read(&self) -> RwLockReadGuard<'_, Registry> {
        self.state.read()
    }

    fn fold_batch(&self, batch: &Bytes, header: &BatchHeader) -> Result<(), weir_log::BatchError> {
        let records = BatchRecords::open(batch, MAX_DECOMPRESSED_BYTES)?;
        let mut state = self.state.write();
        for record in records.iter() {
            let record = record?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            let timestamp = header.timestamp_of(record.timestamp_delta);
            let applied = state.apply(
                record.key.unwrap_or_default(),
                record.value,
                offset,
                timestamp,
            );
            if let Err(error) = applied {
                tracing::warn!(offset, %error, "a record of _schemas is skipped");
            }
        }
        Ok(())
    }
}

impl Fold for SchemaFold {
    fn apply(&self, _partition: PartitionId, header: &BatchHeader, batch: &Bytes, _time_ms: i64) {
        if let Err(error) = self.fold_batch(batch, header) {
            tracing::error!(offset = header.base_offset, %error, "a batch of _schemas is unreadable");
        }
    }

    fn detach(&self, _partition: PartitionId) {
        *self.state.write() = Registry::new();
    }
}

/// Changes the registry. One per node.
pub struct SchemaRegistry {
    fold: Arc<SchemaFold>,
    /// Held from decision to commit: compatibility is decided in the serial order (S5).
    deciding: Mutex<()>,
}

impl SchemaRegistry {
    pub fn new(fold: Arc<SchemaFold>) -> SchemaRegistry {
        SchemaRegistry {
            fold,
            deciding: Mutex::new(()),
        }
    }

    pub fn fold(&self) -> &Arc<SchemaFold> {
        &self.fold
    }

    /// Decides on the applied state, appends what was decided, answers when it is applied here.
    pub async fn commit(
        &self,
        broker: &Arc<Broker>,
        command: Command,
    ) -> Result<Answer, RegistryError> {
        let _deciding = self.deciding.lock().await;
        let decision = decide(&self.fold.read(), command)?;
        if !decision.records.is_empty() {
            self.append(broker, &decision.records).await?;
        }
        Ok(decision.answer)
    }

    async fn append(&self, broker: &Arc<Broker>, records: &[Record]) -> Result<(), RegistryError> {
        let log = SchemaLog::open(broker).await?;
        log.append(broker, records).await
    }
}
