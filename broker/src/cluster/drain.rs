//! Nodes that leave: a node that drains gives up what it leads, then its partitions move elsewhere, and when nothing is
//! left there it can be removed.
//!
//! The metadata's leader begins the moves, a few at a time; the shards bring them (`cluster::moves`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::handover;
use crate::broker::Broker;
use crate::meta::decide::moves::{self, NodeError};
use crate::meta::{ChangeError, MetaState};

/// How often it is looked at what is left to do.
const LOOK: Duration = Duration::from_secs(1);
/// Moves that are underway at a time.
const MOVES: usize = 32;

/// Begins, or ends, the draining of a node.
pub async fn drain(
    broker: &Broker,
    broker_id: i32,
    draining: bool,
) -> Result<(), ChangeError<NodeError>> {
    let decide = |state: &MetaState| moves::drain(state, broker_id, draining);
    broker.meta.change(decide).await
}

/// Makes a node that replicates nothing no member any more; one that runs has to be drained before.
pub async fn remove(broker: &Broker, broker_id: i32) -> Result<(), ChangeError<NodeError>> {
    let is_up = |node| broker.admin.partitions.is_up(node);
    let decide = |state: &MetaState| moves::remove_node(state, broker_id, is_up);
    broker.meta.change(decide).await
}

/// Runs until the node stops, on a node that may have peers.
pub async fn run(broker: Arc<Broker>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = broker.stopping.cancelled() => return,
        }
        if broker.meta.read().draining().contains(&broker.broker_id) {
            handover::give_up(&broker).await;
        }
        if !broker.shards.metadata().leadership().open {
            continue;
        }
        let is_up = |node| broker.admin.partitions.is_up(node);
        let decide =
            |state: &MetaState| Ok::<_, Infallible>((moves::drain_moves(state, MOVES, &is_up), ()));
        if let Err(error) = broker.meta.change(decide).await {
            tracing::info!(%error, "the next moves did not begin");
        }
    }
}
