//! A clean stop: others lead what this node leads before it stops to answer, so that nobody waits for an election.
//!
//! Nodes that stop at the same time do not hand shards to each other: each says first that it leaves.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use weir_raft::NodeId;

use super::message::Question;
use super::transfer::{self, Reason};
use crate::broker::Broker;
use crate::shard::host::ShardHost;
use crate::shard::hosting::METADATA;

/// How long all of it may take; what is still led here then is left to an election.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the others are told that this node leaves.
const TELLING: Duration = Duration::from_millis(700);

/// Returns when this node leads nothing that another one could lead, or could not bring that about.
pub async fn run(broker: &Arc<Broker>) {
    if !broker.peers.possible() {
        return;
    }
    let handed_over = async {
        say_so(broker).await;
        let shards = broker.shards.all();
        join_all(shards.iter().map(|shard| hand_over(broker, shard))).await;
    };
    if tokio::time::timeout(PATIENCE, handed_over).await.is_err() {
        tracing::warn!("not all shards were handed over within {PATIENCE:?}");
    }
}

/// Has others lead the data shards that are led here, while this node goes on.
pub async fn give_up(broker: &Broker) {
    let shards = broker.shards.all();
    let data = shards.iter().filter(|shard| shard.id.0 != METADATA);
    join_all(data.map(|shard| hand_over(broker, shard))).await;
}

/// Tells the others that this node leaves.
async fn say_so(broker: &Broker) {
    let told = broker.peers.connected().into_iter().map(|node| async move {
        if let Err(error) = broker.peers.look(node, &Question::Leaving).await {
            tracing::debug!(%error, "a node was not told that this one leaves");
        }
    });
    // One that does not answer must not hold up the others.
    let _ = tokio::time::timeout(TELLING, join_all(told)).await;
}

async fn hand_over(broker: &Broker, shard: &ShardHost) {
    while shard.leadership().leader == Some(shard.node_id()) {
        let Some(heir) = heir(broker, shard) else {
            return;
        };
        let handed_over = transfer::hand_over(broker, shard, heir, Reason::Stop).await;
        if let Err(error) = handed_over {
            tracing::info!(shard = shard.id.0, to = %heir, %error, "the shard was not handed over");
        }
    }
}

/// The first replica that may be handed the shard.
fn heir(broker: &Broker, shard: &ShardHost) -> Option<NodeId> {
    let others = shard.raft().members().voters;
    let mut others = others.into_iter().filter(|node| *node != shard.node_id());
    others.find(|node| transfer::is_fit(broker, shard, *node).is_ok())
}
