//! Leaders go back to the nodes that are the first to lead: after a node was away it leads nothing, and the others
//! carry its part.
//!
//! As in Kafka, `auto.leader.rebalance.enable` allows it. One shard at a time is handed over, and only to a node that
//! has been in sync for a while, since a hand-over makes producers try again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_raft::NodeId;

use super::transfer::{self, Reason};
use crate::broker::Broker;
use crate::shard::host::ShardHost;

/// How often leaders are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Looks at which a node must have been in sync, one after the other.
const STEADY: u32 = 3;

/// Runs until the node stops, on a node that may have peers.
pub async fn run(broker: Arc<Broker>) {
    let mut steady: BTreeMap<u64, u32> = BTreeMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = broker.stopping.cancelled() => return,
        }
        let mut due = None;
        for shard in broker.shards.all().iter() {
            let first = first_to_lead(&broker, shard);
            let looks = steady.entry(shard.id.0).or_default();
            *looks = match first {
                Some(_) => *looks + 1,
                None => 0,
            };
            if let Some(first) = first
                && *looks >= STEADY
            {
                due = due.or_else(|| Some((shard.clone(), first)));
            }
        }
        let Some((shard, first)) = due.filter(|_| allowed(&broker)) else {
            continue;
        };
        steady.remove(&shard.id.0);
        let handed_over = transfer::hand_over(&broker, &shard, first, Reason::Preferred).await;
        if let Err(error) = handed_over {
            tracing::info!(shard = shard.id.0, to = %first, %error, "the shard stays here");
        }
    }
}

/// Whether leaders go back to the first of their replicas by themselves.
pub fn allowed(broker: &Broker) -> bool {
    let state = broker.meta.read();
    broker
        .admin
        .layers(&state)
        .broker_flag("auto.leader.rebalance.enable")
}

/// The node that is to lead a data shard which this one leads now, if it is another one, connected and in sync.
fn first_to_lead(broker: &Broker, shard: &ShardHost) -> Option<NodeId> {
    if !shard.leadership().open {
        return None;
    }
    let first = {
        let state = broker.meta.read();
        let replicas = &state.shards().get(&shard.id.0)?.replicas;
        NodeId(state.nodes().get(replicas.first()?)?.raft_id)
    };
    let fit = || transfer::is_fit(broker, shard, first).is_ok();
    (first != shard.node_id() && fit()).then_some(first)
}
