//! The topic `_schemas`: one partition, carried by the metadata shard.

use std::sync::Arc;

use weir_log::{BatchBuilder, BatchHeader, Codec, ValidBatch};
use weir_schema::registry::{Record, RegistryError};

use crate::broker::Broker;
use crate::meta::{MetaCommand, PartitionPlace, Topic, names};
use crate::partition::Partition;
use crate::shard::entry::PartitionId;
use crate::shard::host;
use crate::shard::hosting::METADATA;
use crate::shard::proposer::AppendError;

pub struct SchemaLog {
    partition: Arc<Partition>,
}

impl SchemaLog {
    /// The topic's partition; the topic is made with the first schema.
    pub async fn open(broker: &Arc<Broker>) -> Result<SchemaLog, RegistryError> {
        let id = create(broker).await.map_err(RegistryError::Store)?;
        broker
            .admin
            .partitions
            .attached(id)
            .await
            .map_err(|error| RegistryError::Store(error.to_string()))?;
        let partition = broker.partitions.get(PartitionId {
            topic: id,
            index: 0,
        });
        let partition =
            partition.ok_or_else(|| RegistryError::Store("_schemas was deleted".into()))?;
        Ok(SchemaLog { partition })
    }

    /// Appends records in one batch, all of them or none, in the term in which they were decided.
    pub async fn append(
        &self,
        broker: &Broker,
        records: &[Record],
        term: u64,
    ) -> Result<(), RegistryError> {
        let batch = batch(records, broker.clock.now_ms()).map_err(RegistryError::Store)?;
        let appended = host::append(self.partition.clone(), batch, term).await;
        appended.map(|_| ()).map_err(|error| refusal(&error))
    }
}

/// What the registry's clients can do about it: retry where nothing was appended.
fn refusal(error: &AppendError) -> RegistryError {
    let reason = error.to_string();
    match error {
        AppendError::NotLeader => RegistryError::UnknownLeader(reason),
        AppendError::Unknown => RegistryError::Timeout(reason),
        AppendError::Detached | AppendError::Producer(_) => RegistryError::Store(reason),
    }
}

fn batch(records: &[Record], now_ms: i64) -> Result<ValidBatch, String> {
    let mut builder = BatchBuilder::new(Codec::None);
    for record in records {
        let value = record.value.as_ref().map(|value| value.as_bytes());
        builder.append(now_ms, Some(record.key.as_bytes()), value, &[]);
    }
    let bytes = builder.build().map_err(|error| error.to_string())?;
    let header = BatchHeader::parse(&bytes).map_err(|error| error.to_string())?;
    Ok(ValidBatch { header, bytes })
}

/// The topic's id, creating it when it is not there.
async fn create(broker: &Broker) -> Result<uuid::Uuid, String> {
    if let Some(topic) = broker.meta.read().topics().get(names::SCHEMAS) {
        return Ok(topic.id);
    }
    let new_id = broker.admin.new_topic_id();
    let now_ms = broker.clock.now_ms();
    let decide = |state: &crate::meta::MetaState| {
        if let Some(topic) = state.topics().get(names::SCHEMAS) {
            return Ok::<_, std::convert::Infallible>((Vec::new(), topic.id));
        }
        let place = PartitionPlace {
            // Every node is a member of it, so every node can enforce.
            shard: METADATA,
            epoch_base: state.epoch_base_for(names::SCHEMAS),
        };
        let topic = Topic {
            name: names::SCHEMAS.into(),
            id: new_id,
            partitions: vec![place],
            configs: [("cleanup.policy".to_owned(), "compact".to_owned())].into(),
            created_at_ms: now_ms,
            table: None,
            partitioners: None,
            moves: Default::default(),
        };
        Ok((vec![MetaCommand::CreateTopic(topic)], new_id))
    };
    broker
        .meta
        .change(decide)
        .await
        .map_err(|error| error.to_string())
}
