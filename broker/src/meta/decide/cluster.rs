//! The cluster itself: its id, its nodes, its producer ids.

use super::super::command::MetaCommand;
use super::super::state::{MetaState, NodeInfo, ShardInfo};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::BTreeMap;
use std::convert::Infallible;
use uuid::Uuid;

/// Producer ids that a node takes at a time.
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// Names the cluster on its first start and registers this node on every start.
///
/// `shards` are the data shards of a new cluster; an existing one keeps its own.
pub fn start(
    state: &MetaState,
    cluster_id: Uuid,
    shards: &BTreeMap<u64, ShardInfo>,
    broker_id: i32,
    node: &NodeInfo,
) -> Result<(Vec<MetaCommand>, String), Infallible> {
    let mut commands = Vec::new();
    let id = match state.cluster_id() {
        Some(id) => id.to_owned(),
        None => {
            let id = URL_SAFE_NO_PAD.encode(cluster_id.as_bytes());
            commands.push(MetaCommand::InitCluster {
                cluster_id: id.clone(),
                shards: shards.clone(),
            });
            id
        }
    };
    if state.nodes().get(&broker_id) != Some(node) {
        commands.push(MetaCommand::RegisterNode {
            broker_id,
            node: node.clone(),
        });
    }
    Ok((commands, id))
}

/// Takes a block of producer ids that nobody else will be given. Answers the first of [`PRODUCER_ID_BLOCK`].
pub fn take_producer_ids(state: &MetaState) -> Result<(Vec<MetaCommand>, i64), Infallible> {
    let first = state.next_producer_id();
    Ok((
        vec![MetaCommand::TakeProducerIds {
            first,
            count: PRODUCER_ID_BLOCK,
        }],
        first,
    ))
}
