//! A clean stop: others lead what this node leads before it stops to answer, so that nobody waits for an election.
//!
//! Nodes that stop at the same time do not hand shards to each other: each says first that it leaves.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use weir_raft::NodeId;

use super::message::Question;
use crate::broker::Broker;
use crate::shard::host::ShardHost;

/// How long all of it may take; what is still led here then is left to an election.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long one heir is waited for before another one is looked for.
const ATTEMPT: Duration = Duration::from_millis(700);

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

/// Tells the others that this node leaves.
async fn say_so(broker: &Broker) {
    let told = broker.peers.connected().into_iter().map(|node| async move {
        if let Err(error) = broker.peers.look(node, &Question::Leaving).await {
            tracing::debug!(%error, "a node was not told that this one leaves");
        }
    });
    // One that does not answer must not hold up the others.
    let _ = tokio::time::timeout(ATTEMPT, join_all(told)).await;
}

async fn hand_over(broker: &Broker, shard: &ShardHost) {
    let mut leadership = shard.watch_leadership();
    loop {
        if leadership.borrow_and_update().leader != Some(shard.node_id()) {
            return;
        }
        let Some(heir) = heir(broker, shard) else {
            return;
        };
        if let Err(error) = shard.raft().transfer_leader(heir).await {
            tracing::info!(shard = shard.id.0, %error, "the shard was not handed over");
            return;
        }
        let elsewhere = |leader: NodeId| leader != shard.node_id();
        let taken = leadership.wait_for(|now| now.leader.is_some_and(elsewhere));
        match tokio::time::timeout(ATTEMPT, taken).await {
            Ok(Ok(_)) => {
                tracing::info!(shard = shard.id.0, to = %heir, "the shard was handed over");
                return;
            }
            Ok(Err(_)) => return,
            Err(_) => {}
        }
    }
}

/// A voter that is in sync, connected, and stays.
fn heir(broker: &Broker, shard: &ShardHost) -> Option<NodeId> {
    let in_sync = shard.raft().followers()?.in_sync;
    let leaving = broker.leaders.leaving();
    in_sync.into_iter().find(|node| {
        *node != shard.node_id() && broker.peers.is_connected(*node) && !leaving.contains(node)
    })
}
