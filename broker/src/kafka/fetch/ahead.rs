//! Reads ahead for who reads from a disk: while a reader works on what it was given, what it will ask for next is read
//! and checked. So a reader that is behind waits for the network, and not for the disk as well.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use weir_log::{ReadError, ReadPlan, ReadRequest, batches};

use crate::broker::Broker;
use crate::partition::Partition;
use crate::shard::entry::PartitionId;

/// Helpings that are read, or wait for their reader, over all connections.
const MAX_HELPINGS: usize = 16;
/// Who asks for more at a time is not read ahead for, which bounds the memory.
const MAX_BYTES: usize = 2 << 20;

static ROOM: Semaphore = Semaphore::const_new(MAX_HELPINGS);

/// A read that a thread does which may block.
pub type Reading = JoinHandle<Result<Vec<Bytes>, ReadError>>;

pub fn start(
    broker: &Broker,
    partition: &Arc<Partition>,
    plan: ReadPlan,
    request: ReadRequest,
) -> Reading {
    let (blocks, partition) = (broker.blocks.clone(), partition.clone());
    tokio::task::spawn_blocking(move || partition.run_read(plan, &request, &*blocks))
}

/// What is read ahead for one connection: at most one helping of a partition.
#[derive(Debug, Default)]
pub struct ReadAhead(Mutex<Vec<Helping>>);

#[derive(Debug)]
struct Helping {
    partition: PartitionId,
    from: i64,
    max_bytes: usize,
    reading: Reading,
    _room: SemaphorePermit<'static>,
}

impl ReadAhead {
    /// What was read for such a request. What was read of another place in the partition is dropped, and so is what
    /// could not be read: the request tries for itself.
    pub async fn take(&self, partition: &Partition, request: &ReadRequest) -> Option<Vec<Bytes>> {
        let helping = self.remove(partition.id)?;
        if (helping.from, helping.max_bytes) != (request.from, request.max_bytes) {
            return None;
        }
        let records = helping.reading.await.ok()?.ok()?;
        // A batch that is larger than what may be read is given only where one must be.
        (request.at_least_one || len_bytes(&records) <= request.max_bytes).then_some(records)
    }

    fn remove(&self, partition: PartitionId) -> Option<Helping> {
        let mut helpings = self.0.lock();
        let found = helpings
            .iter()
            .position(|helping| helping.partition == partition);
        found.map(|found| helpings.swap_remove(found))
    }

    /// Begins to read what follows `records`, the answer to `request`, if its reader took all that it may and is likely
    /// to come for more.
    pub fn begin(
        &self,
        broker: &Arc<Broker>,
        partition: &Arc<Partition>,
        request: &ReadRequest,
        records: &[Bytes],
    ) {
        if request.max_bytes > MAX_BYTES || len_bytes(records) < request.max_bytes / 2 {
            return;
        }
        let Some(from) = end_of(records).filter(|from| *from < request.upper) else {
            return;
        };
        let next = ReadRequest {
            from,
            at_least_one: true,
            ..*request
        };
        let Ok(plan) = partition.plan_read(&next) else {
            return;
        };
        if plan.is_in_memory() {
            return;
        }
        let Ok(room) = ROOM.try_acquire() else {
            return;
        };
        drop(self.remove(partition.id));
        self.0.lock().push(Helping {
            partition: partition.id,
            from,
            max_bytes: next.max_bytes,
            reading: start(broker, partition, plan, next),
            _room: room,
        });
    }
}

fn len_bytes(records: &[Bytes]) -> usize {
    records.iter().map(Bytes::len).sum()
}

/// The offset behind these batches.
fn end_of(records: &[Bytes]) -> Option<i64> {
    let (header, _) = batches(records.last()?).last()?.ok()?;
    Some(header.last_offset() + 1)
}
