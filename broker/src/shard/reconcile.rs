//! A shard's leader makes the shard carry what the metadata says: it attaches what is missing and
//! detaches what is gone, on election and at each metadata change.

use std::collections::HashSet;
use std::sync::Arc;

use weir_raft::ProposeError;

use super::entry::{AttachItem, Body, PartitionId, Role};
use super::host::{Partitions, ShardHost};
use crate::meta::{Meta, names};

/// Items per entry, so that a topic of many partitions does not make one huge entry.
const ITEMS: usize = 10_000;

/// Runs as long as the shard.
pub async fn run(shard: Arc<ShardHost>, partitions: Arc<Partitions>, meta: Arc<Meta>) {
    let mut metadata = meta.changed();
    let mut leadership = shard.watch_leadership();
    loop {
        let open = leadership.borrow_and_update().open;
        metadata.borrow_and_update();
        if open && let Err(error) = reconcile(&shard, &partitions, &meta).await {
            // Not the leader any more, or not known: the next change of leadership starts again.
            tracing::debug!(shard = shard.id.0, %error, "reconciliation stopped");
        }
        let ended = tokio::select! {
            biased;
            changed = metadata.changed() => changed.is_err(),
            changed = leadership.changed() => changed.is_err(),
        };
        if ended {
            return;
        }
    }
}

async fn reconcile(
    shard: &ShardHost,
    partitions: &Partitions,
    meta: &Meta,
) -> Result<(), ProposeError> {
    let (missing, gone) = difference(shard, partitions, meta);
    for items in missing.chunks(ITEMS) {
        shard.change(Body::Attach(items.to_vec()), None).await?;
    }
    for ids in gone.chunks(ITEMS) {
        shard.change(Body::Detach(ids.to_vec()), None).await?;
    }
    Ok(())
}

fn difference(
    shard: &ShardHost,
    partitions: &Partitions,
    meta: &Meta,
) -> (Vec<AttachItem>, Vec<PartitionId>) {
    let state = meta.read();
    let mut wanted = HashSet::new();
    let mut missing = Vec::new();
    for topic in state.topics().iter() {
        for (index, place) in topic.partitions.iter().enumerate() {
            if place.shard != shard.id.0 {
                continue;
            }
            let index = i32::try_from(index).expect("partition counts fit an i32");
            let partition = PartitionId {
                topic: topic.id,
                index,
            };
            wanted.insert(partition);
            if partitions.get(partition).is_none() {
                missing.push(AttachItem {
                    partition,
                    epoch_base: place.epoch_base,
                    role: role(&topic.name),
                });
            }
        }
    }
    let attached = partitions.of_shard(shard);
    let gone = attached
        .iter()
        .map(|partition| partition.id)
        .filter(|id| !wanted.contains(id));
    let gone = gone.collect();
    (missing, gone)
}

fn role(topic: &str) -> Role {
    match topic {
        names::CONSUMER_OFFSETS => Role::Offsets,
        names::SCHEMAS => Role::Schemas,
        _ => Role::Data,
    }
}
