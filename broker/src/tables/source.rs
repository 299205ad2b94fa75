//! The partitions of this node as what tables are folded from.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;
use weir_log::{BlockReader, ReadRequest};

use super::fold::FoldSource;
use crate::partition::Partition;
use crate::shard::entry::PartitionId;
use crate::shard::host::Partitions;

pub struct PartitionSource {
    pub partitions: Arc<Partitions>,
    pub blocks: Arc<dyn BlockReader + Send + Sync>,
}

impl PartitionSource {
    fn find(&self, topic: Uuid, partition: u32) -> Option<Arc<Partition>> {
        let index = i32::try_from(partition).ok()?;
        self.partitions.get(PartitionId { topic, index })
    }
}

impl FoldSource for PartitionSource {
    fn log_start(&self, topic_id: Uuid, partition: u32) -> Option<i64> {
        Some(self.find(topic_id, partition)?.log_start_offset())
    }

    fn high_watermark(&self, topic_id: Uuid, partition: u32) -> Option<i64> {
        Some(self.find(topic_id, partition)?.high_watermark())
    }

    fn take_replaced(&self, topic_id: Uuid, partition: u32) -> bool {
        let found = self.find(topic_id, partition);
        found.is_some_and(|partition| partition.take_replaced())
    }

    fn folded_again(&self, topic_id: Uuid, partition: u32) {
        if let Some(partition) = self.find(topic_id, partition) {
            partition.was_folded_again();
        }
    }

    fn read(
        &self,
        topic_id: Uuid,
        partition: u32,
        from: i64,
        max_bytes: usize,
    ) -> io::Result<Vec<Bytes>> {
        let partition = self
            .find(topic_id, partition)
            .ok_or_else(|| io::Error::other("the partition has left this node"))?;
        let request = ReadRequest {
            from,
            upper: partition.high_watermark(),
            max_bytes,
            at_least_one: true,
        };
        let read = partition.read(&request, &*self.blocks);
        read.map_err(io::Error::other)
    }
}
