//! The shards and partitions of this node, as the admin APIs look at them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use uuid::Uuid;
use weir_raft::{NodeId, ShardId};

use crate::cluster::leaders::Led;
use crate::cluster::message::{Answer, Question};
use crate::cluster::{Leaders, Peers, members};
use crate::meta::view::{AttachError, LogDir};
use crate::meta::{Meta, MetaState, PartitionView, ShardView};
use crate::shard::entry::PartitionId;
use crate::shard::host::Partitions;
use crate::shard::hosted::HostedShards;
use crate::shard::hosting::METADATA;

/// How often a leader is asked again whether it has attached a topic's partitions.
const ASK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub struct PartitionsHere {
    pub broker_id: i32,
    pub shards: Arc<HostedShards>,
    pub partitions: Arc<Partitions>,
    pub meta: Arc<Meta>,
    pub leaders: Arc<Leaders>,
    pub peers: Peers,
    /// Absolute.
    pub data_dir: PathBuf,
}

impl PartitionView for PartitionsHere {
    fn shard(&self, shard: u64) -> ShardView {
        let known = self.leaders.of(shard);
        let Some(host) = self.shards.get(shard) else {
            // Only its leader's word is there, which ends with the connection to it.
            let known = known.filter(|led| self.peers.is_connected(NodeId(led.leader)));
            return known.map_or_else(ShardView::default, |led| ShardView {
                leader: Some(led.leader),
                term: led.term,
                in_sync: led.in_sync.into_iter().collect(),
            });
        };
        let leadership = host.leadership();
        let leader = leadership.leader.map(|node| node.0);
        let same = |led: &Led| led.term == leadership.term && Some(led.leader) == leader;
        ShardView {
            leader,
            term: leadership.term,
            // A leader is in sync with itself; of the others it says so.
            in_sync: match known.filter(same) {
                Some(led) => led.in_sync.into_iter().collect(),
                None => leader.into_iter().collect(),
            },
        }
    }

    fn replicas(&self, state: &MetaState, shard: u64) -> Vec<i32> {
        let metadata = (shard == METADATA).then(|| self.shards.get(METADATA));
        match metadata.flatten() {
            Some(metadata) => members::voting_brokers(state, &metadata.raft().members().voters),
            None => state.replicas_of(shard),
        }
    }

    fn is_up(&self, node: u64) -> bool {
        let node = NodeId(node);
        let here = self.shards.metadata().node_id();
        node == here || self.peers.is_connected(node) && !self.leaders.leaving().contains(&node)
    }

    fn attached(&self, topic_id: Uuid) -> BoxFuture<'static, Result<(), AttachError>> {
        let here = self.clone();
        Box::pin(async move {
            here.attached_here(topic_id).await?;
            for shard in here.shards_elsewhere(topic_id)? {
                here.attached_there(topic_id, shard).await;
            }
            Ok(())
        })
    }

    fn attached_here(&self, topic_id: Uuid) -> BoxFuture<'static, Result<(), AttachError>> {
        let here = self.clone();
        Box::pin(async move {
            let mut attached = here.partitions.watch();
            let mut changed = here.meta.changed();
            loop {
                attached.borrow_and_update();
                changed.borrow_and_update();
                if here.all_attached(topic_id)? {
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

impl PartitionsHere {
    /// Whether every partition of the topic that is to be on this node is attached.
    fn all_attached(&self, topic_id: Uuid) -> Result<bool, AttachError> {
        let state = self.meta.read();
        let topic = state.topics().by_id(topic_id);
        let topic = topic.ok_or(AttachError::Deleted)?;
        Ok((0..).zip(&topic.partitions).all(|(index, place)| {
            let id = PartitionId {
                topic: topic_id,
                index,
            };
            let shard = ShardId(place.shard);
            self.partitions.get_in(shard, id).is_some()
                || !state.replicas_of(place.shard).contains(&self.broker_id)
        }))
    }

    /// The shards of the topic's partitions that are not to be on this node.
    fn shards_elsewhere(&self, topic_id: Uuid) -> Result<BTreeSet<u64>, AttachError> {
        let state = self.meta.read();
        let topic = state.topics().by_id(topic_id);
        let shards = topic.ok_or(AttachError::Deleted)?.partitions.iter();
        let shards = shards.map(|place| place.shard);
        Ok(shards
            .filter(|shard| !state.replicas_of(*shard).contains(&self.broker_id))
            .collect())
    }

    /// Waits until the leader of a shard that is not here says that the topic's partitions are attached.
    async fn attached_there(&self, topic: Uuid, shard: u64) {
        loop {
            if let Some(leader) = self.shard(shard).leader {
                let attached = Question::Attached { topic };
                if let Ok(Answer::Done) = self.peers.look(NodeId(leader), &attached).await {
                    return;
                }
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

/// Size and free bytes of the volume that a directory is on.
fn volume(dir: &Path) -> Option<(i64, i64)> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.f_frsize)).ok();
    Some((bytes(stat.f_blocks)?, bytes(stat.f_bavail)?))
}
