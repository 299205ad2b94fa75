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

/// What a cluster is to be that has no metadata yet; an existing one keeps its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCluster {
    pub id: String,
    pub shards: BTreeMap<u64, ShardInfo>,
    pub shards_per_node: u64,
}

/// Why a node is not taken into the cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    #[error(
        "this data directory is no member any more: another one has taken its place as broker.id {0}, or the node was \
         removed from the cluster; start with an empty --data-dir"
    )]
    Replaced(i32),
    #[error(
        "broker.id {0} belongs to a node that is running: give this one its own with --broker-id"
    )]
    Taken(i32),
}

/// Registers a node that joins, or that comes with an empty directory in the place of an earlier one.
///
/// `is_up` says of a Raft node whether it is running.
pub fn register(
    state: &MetaState,
    broker_id: i32,
    node: &NodeInfo,
    is_up: impl Fn(u64) -> bool,
) -> Result<(Vec<MetaCommand>, ()), RegisterError> {
    if state.is_former(node.raft_id) {
        return Err(RegisterError::Replaced(broker_id));
    }
    match state.nodes().get(&broker_id) {
        Some(known) if known == node => return Ok((Vec::new(), ())),
        Some(known) if known.raft_id != node.raft_id && is_up(known.raft_id) => {
            return Err(RegisterError::Taken(broker_id));
        }
        _ => {}
    }
    let node = node.clone();
    Ok((vec![MetaCommand::RegisterNode { broker_id, node }], ()))
}

/// A cluster's id as Kafka writes it.
pub fn cluster_id(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// Names the cluster on its first start and registers this node on every start.
pub fn start(
    state: &MetaState,
    new: &NewCluster,
    broker_id: i32,
    node: &NodeInfo,
) -> Result<(Vec<MetaCommand>, String), RegisterError> {
    if state.is_former(node.raft_id) {
        return Err(RegisterError::Replaced(broker_id));
    }
    let mut commands = Vec::new();
    let id = match state.cluster_id() {
        Some(id) => id.to_owned(),
        None => {
            commands.push(MetaCommand::InitCluster {
                cluster_id: new.id.clone(),
                shards: new.shards.clone(),
                shards_per_node: new.shards_per_node,
            });
            new.id.clone()
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
