//! Starts the shards that this node is to host: at its start, and when the metadata names others.

use std::sync::Arc;
use std::time::Duration;

use weir_raft::{NodeId, StartError};

use super::host::ShardHost;
use super::hosted::HostedShards;
use super::machine::Folds;
use crate::data_plane::DataPlane;
use crate::meta::{Meta, MetaFold, ShardInfo};

/// How long a founder leaves the founding to each of those before it.
const FOUNDERS_TURN: Duration = Duration::from_secs(1);

/// The metadata's shard.
pub const METADATA: u64 = 0;

/// What every shard of a node is started with.
pub struct Hosting {
    pub data: Arc<DataPlane>,
    pub broker_id: i32,
    /// Of the shards of records.
    pub folds: Folds,
    /// Those that were started.
    pub shards: Arc<HostedShards>,
}

/// Who gives a shard without a history its first voters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Founding {
    /// This node, as the only one.
    Alone,
    /// Others, or this node later.
    Later,
}

impl Hosting {
    /// Starts the metadata's shard, before all others.
    pub async fn start_metadata(
        &self,
        fold: MetaFold,
        founding: Founding,
    ) -> Result<Arc<ShardHost>, StartError> {
        let folds = Folds {
            metadata: Some(fold),
            ..self.folds.clone()
        };
        self.start(METADATA, folds, founding).await
    }

    /// Starts the shards that the metadata gives to this node and that do not run yet.
    pub async fn sync(&self, meta: &Meta) -> Result<(), StartError> {
        let wanted: Vec<(u64, ShardInfo)> = {
            let state = meta.read();
            let ours = |(_, info): &(&u64, &ShardInfo)| info.replicas.contains(&self.broker_id);
            let ours = state.shards().iter().filter(ours);
            ours.map(|(id, info)| (*id, info.clone())).collect()
        };
        for (id, info) in wanted {
            if self.shards.get(id).is_some() {
                continue;
            }
            let founding = match is_alone(&info, self.broker_id, self.data.raft.id()) {
                true => Founding::Alone,
                false => Founding::Later,
            };
            let shard = self.start(id, self.folds.clone(), founding).await?;
            if founding == Founding::Later {
                tokio::spawn(found_in_turn(shard, info.founders));
            }
        }
        Ok(())
    }

    /// Keeps up with the metadata until the node stops.
    pub async fn run(&self, meta: Arc<Meta>) {
        let mut changed = meta.changed();
        loop {
            changed.borrow_and_update();
            if let Err(error) = self.sync(&meta).await {
                tracing::error!(%error, "a shard does not run here");
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    async fn start(
        &self,
        id: u64,
        folds: Folds,
        founding: Founding,
    ) -> Result<Arc<ShardHost>, StartError> {
        let shard = match founding {
            Founding::Alone => self.data.start_shard(id, folds).await?,
            Founding::Later => self.data.join_shard(id, folds).await?,
        };
        self.shards.add(shard.clone());
        Ok(shard)
    }
}

/// Whether this node is a shard's only founder. Metadata of before there were clusters names none.
fn is_alone(info: &ShardInfo, broker_id: i32, node: NodeId) -> bool {
    match info.founders.as_slice() {
        [] => info.replicas == [broker_id],
        founders => founders == [node.0],
    }
}

/// Gives a shard its first voters unless somebody else has. All name the same ones, which the metadata holds
/// since the shard was made, so it does not matter who does it, nor whether several do.
async fn found_in_turn(shard: Arc<ShardHost>, founders: Vec<u64>) {
    let place = founders.iter().position(|node| *node == shard.node_id().0);
    let Some(place) = place else {
        return;
    };
    let turn = FOUNDERS_TURN * u32::try_from(place).unwrap_or(u32::MAX);
    let mut leadership = shard.watch_leadership();
    let led = leadership.wait_for(|now| now.leader.is_some());
    if tokio::time::timeout(turn, led).await.is_ok() || shard.raft().has_history() {
        return;
    }
    let voters = founders.into_iter().map(NodeId).collect();
    if let Err(error) = shard.raft().found(&voters).await {
        tracing::error!(shard = shard.id.0, %error, "a shard was not founded");
    }
}
