//! The partitions of this node as what tables are folded from.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;
use weir_log::{BlockReader, ReadRequest};

use super::design::Logs;
use super::fold::FoldSource;
use crate::partition::Partition;
use crate::shard::entry::PartitionId;
use crate::shard::host::Partitions;

/// One replica of a partition.
pub struct PartitionSource {
    pub partition: Arc<Partition>,
    pub blocks: Arc<dyn BlockReader + Send + Sync>,
}

impl FoldSource for PartitionSource {
    fn log_start(&self) -> i64 {
        self.partition.log_start_offset()
    }

    fn high_watermark(&self) -> i64 {
        self.partition.high_watermark()
    }

    fn take_replaced(&self) -> bool {
        self.partition.take_replaced()
    }

    fn folded_again(&self) {
        self.partition.was_folded_again();
    }

    fn read(&self, from: i64, max_bytes: usize) -> io::Result<Vec<Bytes>> {
        let request = ReadRequest {
            from: from.max(self.log_start()),
            upper: self.high_watermark(),
            max_bytes,
            at_least_one: true,
        };
        let read = self.partition.read(&request, &*self.blocks);
        read.map_err(io::Error::other)
    }
}

/// The partitions that this node serves.
pub struct PartitionLogs {
    pub partitions: Arc<Partitions>,
    pub blocks: Arc<dyn BlockReader + Send + Sync>,
}

impl Logs for PartitionLogs {
    fn log(&self, topic: Uuid, partition: u32) -> Option<Arc<dyn FoldSource>> {
        let index = i32::try_from(partition).ok()?;
        let partition = self.partitions.get(PartitionId { topic, index })?;
        let blocks = self.blocks.clone();
        Some(Arc::new(PartitionSource { partition, blocks }))
    }
}
