//! What a read waits for, and where it can be answered.
//!
//! A replica answers once it has applied what its shard had committed when the read came, and its rows have that too. While
//! a partition moves, only the shard where it is open answers for it: after the barrier it is looked at again, since what
//! was acknowledged by the next shard came after it was sealed in this one, and that is an entry before the barrier.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_raft::{NodeId, ShardId};

use super::fold::Rows;
use super::{OpenTable, RowsHere};
use crate::broker::Broker;
use crate::http::tables::ReadError;
use crate::meta::MetaState;
use crate::partition::{Partition, Stage};
use crate::shard::entry::PartitionId;

pub struct Barrier<'a> {
    pub broker: &'a Broker,
    pub table: &'a OpenTable,
}

impl Barrier<'_> {
    /// The rows of these buckets here, once they hold what was acknowledged before the call.
    pub async fn rows(&self, buckets: &[u32]) -> Result<RowsHere, ReadError> {
        self.look_for(buckets)?;
        let mut confirmed = Vec::new();
        let mut rows = Vec::with_capacity(buckets.len());
        for bucket in buckets {
            let here = self.bucket(*bucket, &mut confirmed).await?;
            rows.push((*bucket, here.tables().clone(), here.gone().clone()));
        }
        Ok(RowsHere::new(rows))
    }

    /// Those of these buckets whose rows this node has and serves, as far as they are.
    pub async fn served(&self, buckets: &[u32]) -> Vec<(u32, Arc<Partition>, Rows)> {
        let mut served = Vec::with_capacity(buckets.len());
        for bucket in buckets {
            let Some(partition) = self.open_here(*bucket) else {
                continue;
            };
            let rows = self.rows_of(&partition).await;
            served.extend(rows.map(|rows| (*bucket, partition, rows)));
        }
        served
    }

    /// `shards` are those whose barrier the read has passed.
    async fn bucket(&self, bucket: u32, shards: &mut Vec<ShardId>) -> Result<Rows, ReadError> {
        let mut changes = None;
        loop {
            if let Some(partition) = self.open_here(bucket) {
                let shard = &partition.shard;
                if !shards.contains(&shard.id) {
                    let index = self.broker.peers.read_index(shard).await;
                    index.map_err(|_| ReadError::NoLeader { partition: bucket })?;
                    shards.push(shard.id);
                }
                if self.is_open(&partition) {
                    let rows = self.rows_of(&partition).await;
                    let rows = rows.ok_or(ReadError::Behind { partition: bucket })?;
                    rows.wait_applied(partition.high_watermark()).await;
                    return Ok(rows);
                }
                continue;
            }
            if !self.comes(&self.broker.meta.read(), bucket) {
                let leader = self.leader(bucket);
                return Err(match leader {
                    Some(node) => ReadError::Elsewhere { node },
                    None => ReadError::NoLeader { partition: bucket },
                });
            }
            // It is on its way here, or has been sealed and goes on elsewhere in a moment.
            let Some((partitions, metadata)) = &mut changes else {
                let Broker {
                    partitions, meta, ..
                } = self.broker;
                // And what has changed up to now is looked at once more.
                changes = Some((partitions.watch(), meta.changed()));
                continue;
            };
            let ended = tokio::select! {
                changed = partitions.changed() => changed.is_err(),
                changed = metadata.changed() => changed.is_err(),
            };
            if ended {
                return Err(ReadError::NoLeader { partition: bucket });
            }
        }
    }

    /// The rows of a replica, which may just have come.
    async fn rows_of(&self, partition: &Arc<Partition>) -> Option<Rows> {
        let tables = &self.broker.tables;
        if let Some(rows) = tables.rows(partition) {
            return Some(rows);
        }
        let syncing = tables.clone();
        tokio::task::spawn_blocking(move || syncing.sync())
            .await
            .ok()?;
        tables.rows(partition)
    }

    fn id(&self, bucket: u32) -> PartitionId {
        PartitionId {
            topic: self.table.table.def().topic_id,
            index: i32::try_from(bucket).unwrap_or(i32::MAX),
        }
    }

    /// The replica here that answers for a bucket.
    fn open_here(&self, bucket: u32) -> Option<Arc<Partition>> {
        let served = self.broker.partitions.get(self.id(bucket))?;
        (served.stage() == Stage::Open).then_some(served)
    }

    fn is_open(&self, partition: &Arc<Partition>) -> bool {
        partition.stage() == Stage::Open && self.broker.partitions.is_served(partition)
    }

    /// Whether this node has all these buckets, or will in a moment; else which one has.
    fn look_for(&self, buckets: &[u32]) -> Result<(), ReadError> {
        let is_here = |bucket: &u32| self.open_here(*bucket).is_some();
        if buckets.iter().all(is_here) {
            return Ok(());
        }
        let state = self.broker.meta.read();
        let will_be = |bucket: &u32| is_here(bucket) || self.comes(&state, *bucket);
        if buckets.iter().all(will_be) {
            return Ok(());
        }
        let mut common: Option<BTreeSet<i32>> = None;
        for bucket in buckets {
            let replicas: BTreeSet<i32> = self.replicas(&state, *bucket).into_iter().collect();
            common = Some(match common {
                Some(common) => common.intersection(&replicas).copied().collect(),
                None => replicas,
            });
        }
        let node = |broker: i32| Some(state.nodes().get(&broker)?.raft_id);
        let is_up = |node: &u64| self.broker.admin.partitions.is_up(*node);
        let nodes = common.into_iter().flatten().filter_map(node).filter(is_up);
        let nodes: Vec<u64> = nodes.collect();
        let first = buckets.first();
        let first = first.and_then(|bucket| self.leader_of(&state, *bucket));
        let leads = first.filter(|leader| nodes.contains(&leader.0));
        match leads.or(nodes.first().copied().map(NodeId)) {
            Some(node) => Err(ReadError::Elsewhere { node }),
            None => Err(ReadError::Spread),
        }
    }

    /// Whether a bucket lies on this node by the metadata, or is about to.
    fn comes(&self, state: &MetaState, bucket: u32) -> bool {
        self.replicas(state, bucket)
            .contains(&self.broker.broker_id)
    }

    fn replicas(&self, state: &MetaState, bucket: u32) -> Vec<i32> {
        let shard = self.shard_of(state, bucket);
        shard
            .map(|shard| state.replicas_of(shard))
            .unwrap_or_default()
    }

    fn shard_of(&self, state: &MetaState, bucket: u32) -> Option<u64> {
        let PartitionId { topic, index } = self.id(bucket);
        Some(state.topics().by_id(topic)?.partition(index)?.shard)
    }

    fn leader_of(&self, state: &MetaState, bucket: u32) -> Option<NodeId> {
        let shard = self.shard_of(state, bucket)?;
        self.broker.admin.partitions.shard(shard).leader.map(NodeId)
    }

    /// Who leads a bucket by the metadata.
    pub fn leader(&self, bucket: u32) -> Option<NodeId> {
        self.leader_of(&self.broker.meta.read(), bucket)
    }

    /// The node that answers for a bucket where not all are here: this one, or the one that leads it.
    pub fn asked_for(&self, bucket: u32) -> Option<NodeId> {
        match self.open_here(bucket).is_some() {
            true => Some(self.broker.shards.metadata().node_id()),
            false => self.leader(bucket),
        }
    }
}
