//! The shards and partitions of this node, as the admin APIs look at them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::meta::view::{AttachError, LogDir};
use crate::meta::{Meta, PartitionView, ShardView};
use crate::shard::entry::PartitionId;
use crate::shard::host::{Partitions, ShardHost};

pub struct PartitionsHere {
    shards: Vec<Arc<ShardHost>>,
    partitions: Arc<Partitions>,
    meta: Arc<Meta>,
    data_dir: PathBuf,
}

impl PartitionsHere {
    pub fn new(
        data_dir: &Path,
        shards: &[Arc<ShardHost>],
        partitions: &Arc<Partitions>,
        meta: &Arc<Meta>,
    ) -> PartitionsHere {
        PartitionsHere {
            shards: shards.to_vec(),
            partitions: partitions.clone(),
            meta: meta.clone(),
            data_dir: std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned()),
        }
    }
}

impl PartitionView for PartitionsHere {
    fn shard(&self, shard: u64) -> ShardView {
        let Some(host) = self.shards.iter().find(|host| host.id.0 == shard) else {
            return ShardView::default();
        };
        let leadership = host.leadership();
        ShardView {
            leader: leadership.leader.map(|node| node.0),
            term: leadership.term,
            // A leader is in sync with itself; replication adds the others.
            in_sync: leadership.leader.into_iter().map(|node| node.0).collect(),
        }
    }

    fn attached(&self, topic_id: Uuid) -> BoxFuture<'static, Result<(), AttachError>> {
        let (partitions, meta, hosts) = (
            self.partitions.clone(),
            self.meta.clone(),
            self.shards.clone(),
        );
        Box::pin(async move {
            let mut attached = partitions.watch();
            let mut changed = meta.changed();
            loop {
                attached.borrow_and_update();
                changed.borrow_and_update();
                if all_attached(&meta, &partitions, &hosts, topic_id)? {
                    return Ok(());
                }
                let ended = tokio::select! {
                    ticked = attached.changed() => ticked.is_err(),
                    ticked = changed.changed() => ticked.is_err(),
                };
                if ended {
                    return Err(AttachError::TimedOut);
                }
            }
        })
    }

    fn detached(&self, topic_id: Uuid, partitions: i32) -> BoxFuture<'static, ()> {
        let attached = self.partitions.clone();
        Box::pin(async move {
            let mut changed = attached.watch();
            loop {
                changed.borrow_and_update();
                let gone = (0..partitions).all(|index| {
                    let id = PartitionId {
                        topic: topic_id,
                        index,
                    };
                    attached.get(id).is_none()
                });
                if gone || changed.changed().await.is_err() {
                    return;
                }
            }
        })
    }

    fn log_dir(&self) -> LogDir {
        let (total_bytes, usable_bytes) = volume(&self.data_dir).unwrap_or((-1, -1));
        LogDir {
            path: self.data_dir.to_string_lossy().into_owned(),
            total_bytes,
            usable_bytes,
        }
    }

    fn log_size_bytes(&self, topic_id: Uuid, partition: i32) -> Option<i64> {
        let id = PartitionId {
            topic: topic_id,
            index: partition,
        };
        let bytes = self.partitions.get(id)?.log.read().retained_bytes();
        Some(i64::try_from(bytes).unwrap_or(i64::MAX))
    }
}

/// Whether every partition of the topic whose shard is here is attached to it.
fn all_attached(
    meta: &Meta,
    partitions: &Partitions,
    hosts: &[Arc<ShardHost>],
    topic_id: Uuid,
) -> Result<bool, AttachError> {
    let topic = meta.read().topics().by_id(topic_id).cloned();
    let topic = topic.ok_or(AttachError::Deleted)?;
    Ok((0..).zip(&topic.partitions).all(|(index, place)| {
        let id = PartitionId {
            topic: topic_id,
            index,
        };
        let here = hosts.iter().any(|host| host.id.0 == place.shard);
        !here || partitions.get(id).is_some()
    }))
}

/// Size and free bytes of the volume that a directory is on.
fn volume(dir: &Path) -> Option<(i64, i64)> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.f_frsize)).ok();
    Some((bytes(stat.f_blocks)?, bytes(stat.f_bavail)?))
}
