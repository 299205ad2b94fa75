//! The schema registry in the broker: the fold of `_schemas`, which every node has, and changes to
//! it through Raft.

pub mod backend;
pub mod codecs;
mod log;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::Mutex;
use weir_log::{BatchHeader, BatchRecords};
use weir_raft::ReadError;
use weir_schema::registry::{Answer, Command, Record, Registry, RegistryError, decide};

use self::log::SchemaLog;
use crate::broker::Broker;
use crate::shard::entry::PartitionId;
use crate::shard::machine::Fold;
use crate::topic::MAX_DECOMPRESSED_BYTES;

/// The registry as this node has applied it.
#[derive(Default)]
pub struct SchemaFold {
    /// Shared with readers that may look for long: applying a record never waits for them, it
    /// changes a copy if there are any.
    state: RwLock<Arc<Registry>>,
    codecs: codecs::CodecCache,
}

impl SchemaFold {
    /// The state now; it does not change under its reader.
    pub fn read(&self) -> Arc<Registry> {
        self.state.read().clone()
    }

    fn fold_batch(&self, batch: &Bytes, header: &BatchHeader) -> Result<(), weir_log::BatchError> {
        let records = BatchRecords::open(batch, MAX_DECOMPRESSED_BYTES)?;
        let mut state = self.state.write();
        let state = Arc::make_mut(&mut state);
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
        *self.state.write() = Arc::default();
        self.codecs.clear();
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

    /// Returns once all that was acknowledged before the call is applied here.
    pub async fn caught_up(&self, broker: &Broker) -> Result<(), RegistryError> {
        let barrier = broker.peers.read_index(&broker.shards.metadata()).await;
        barrier.map(|_| ()).map_err(|error| match error {
            ReadError::NotLeader { .. } | ReadError::NoMajority => {
                RegistryError::UnknownLeader(error.to_string())
            }
            ReadError::Fatal(reason) => RegistryError::Store(reason),
        })
    }

    /// Decides on the latest state, appends what was decided, answers when it is applied here.
    pub async fn commit(
        &self,
        broker: &Arc<Broker>,
        command: Command,
    ) -> Result<Answer, RegistryError> {
        let _deciding = self.deciding.lock().await;
        // In this order: what another leader committed before the term is in the state, and what
        // one commits after it keeps this decision out of the log.
        let term = broker.shards.metadata().leadership().term;
        self.caught_up(broker).await?;
        let state = self.fold.read();
        // Parsing and comparing schemas takes as long as they are large.
        let decided = tokio::task::spawn_blocking(move || decide(&state, command)).await;
        let decision = decided.map_err(|error| RegistryError::Store(error.to_string()))??;
        if !decision.records.is_empty() {
            self.append(broker, &decision.records, term).await?;
        }
        Ok(decision.answer)
    }

    async fn append(
        &self,
        broker: &Arc<Broker>,
        records: &[Record],
        term: u64,
    ) -> Result<(), RegistryError> {
        let log = SchemaLog::open(broker).await?;
        log.append(broker, records, term).await
    }
}
