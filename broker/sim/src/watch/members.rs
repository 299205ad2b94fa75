//! Whether the members of the cluster and of its shards are those that they are to be.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;
use weir_broker::meta::MetaState;
use weir_broker::shard::hosting::METADATA;
use weir_raft::{Members, NodeId};

use super::Watch;

/// How long a leader may take to show that it is one.
const LEADS: Duration = Duration::from_secs(2);

impl Watch {
    /// Whether every shard's voters are the nodes that have the seats now, and its leader knows that: then one disk may
    /// be lost.
    pub async fn is_whole(&self) -> bool {
        if self.unsettled().is_some() {
            return false;
        }
        for shard in self.open_shards() {
            let Some(leader) = self.leader(shard) else {
                return false;
            };
            let Some(host) = leader.shards.get(shard) else {
                return false;
            };
            // Who was deposed may not know better.
            let leads = timeout(LEADS, host.raft().read_index()).await;
            if leader.life.is_over() || !matches!(leads, Ok(Ok(_))) {
                return false;
            }
        }
        self.unsettled().is_none()
    }

    /// What is missing until the nodes on the seats are the members of the cluster and of every shard that may carry
    /// something, and no others.
    pub fn unsettled(&self) -> Option<String> {
        let Some(leader) = self.leader(METADATA) else {
            return Some("nobody leads the metadata".to_owned());
        };
        let state = leader.meta.read();
        for seat in self.cluster.seats() {
            let (node, known) = (self.cluster.node(seat), state.nodes().get(&seat.0));
            if known.is_none_or(|known| known.raft_id != node.0) {
                return Some(format!("node {node} on seat {seat} is no member"));
            }
        }
        if let Some(broker) = state.draining().first() {
            return Some(format!("broker {broker} drains"));
        }
        let mut shards = open_shards(&state).into_iter();
        shards.find_map(|shard| self.unsettled_shard(&state, shard))
    }

    fn unsettled_shard(&self, state: &MetaState, shard: u64) -> Option<String> {
        let leader = self.leader(shard).and_then(|node| node.shards.get(shard));
        let Some(host) = leader else {
            return Some(format!("nobody leads shard {shard}"));
        };
        let node = |broker: &i32| Some(NodeId(state.nodes().get(broker)?.raft_id));
        let replicas = state.replicas_of(shard);
        let wanted: BTreeSet<NodeId> = replicas.iter().filter_map(node).collect();
        let Members { voters, learners } = host.raft().members();
        if voters != wanted || !learners.is_empty() {
            return Some(format!(
                "the members of shard {shard} are {voters:?}, and {learners:?} learn; they are to be {wanted:?}"
            ));
        }
        let changes = host.raft().is_changing_voters();
        changes.then(|| format!("the members of shard {shard} still change"))
    }

    fn open_shards(&self) -> Vec<u64> {
        self.newest(open_shards).unwrap_or_default()
    }

    /// Takes note of voters that have changed.
    pub(super) fn look_at_voters(&self) {
        for shard in self.open_shards() {
            let host = self.leader(shard).and_then(|node| node.shards.get(shard));
            let Some(host) = host.filter(|host| !host.raft().is_changing_voters()) else {
                continue;
            };
            let voters = host.raft().members().voters;
            let count = voters.len() as u64;
            let before = self.state.lock().voters.insert(shard, voters.clone());
            if before.is_some_and(|before| before != voters) {
                let trace = self.cluster.trace();
                trace.fault("changed voters", [shard, count]);
            }
        }
    }
}

/// The metadata's shard, and those that may carry something.
fn open_shards(state: &MetaState) -> Vec<u64> {
    let data = state.shards().keys().copied();
    let data = data.filter(|shard| !state.closed().contains(shard));
    [METADATA].into_iter().chain(data).collect()
}
