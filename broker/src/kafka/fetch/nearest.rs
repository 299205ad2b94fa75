//! Whom the leader sends a reader to that says where it is: a replica in its rack, so that its records do not cross
//! racks (KIP-392).
//!
//! As Kafka's `RackAwareReplicaSelector` does it, with what a leader here knows: a replica qualifies while it is in sync,
//! that is while it lacks few entries, and where the reader is ahead of it, it waits for the records (`answer::lacks`).
//! Where several are in the rack, partitions take turns, so that one replica does not serve them all.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use weir_raft::NodeId;

use super::answer::Reader;
use super::response::PartitionAnswer;
use super::session::Key;
use crate::broker::Broker;
use crate::cluster::message::{Answer, Question};
use crate::kafka::cluster_view::CLIENT_LISTENER;
use crate::meta::MetaState;
use crate::partition::Partition;

/// How long a replica that readers would be sent to may take to say that it is there.
const PATIENCE: Duration = Duration::from_millis(500);

/// The broker that serves this reader instead of this node, which leads the partition.
pub fn of(reader: Reader<'_>, partition: &Partition) -> Option<i32> {
    let (broker, rack) = (reader.broker, &*reader.limits.rack);
    if rack.is_empty() {
        return None;
    }
    let stays = |node: NodeId| broker.peers.is_connected(node) && !broker.leaders.is_leaving(node);
    let term = partition.leadership().term;
    let state = broker.meta.read();
    let looked = broker.leaders.look(partition.shard.id.0, |led| {
        let is_of_now = led.term == term;
        let near = is_of_now.then(|| in_rack(&state, broker.broker_id, rack, &led.in_sync, stays));
        near.unwrap_or_default()
    });
    let near = looked?;
    let turn = usize::try_from(partition.id.index).unwrap_or(0);
    near.get(turn.checked_rem(near.len())?).copied()
}

/// Whether the replicas that these answers name are there now.
///
/// A reader whose replica was killed comes back at once, often before the leader has noticed. Sent to that replica once
/// more, librdkafka (2.12) may keep to it for ever: where it goes back to the leader while it still moves to the replica, it
/// takes itself to be with the one and waits for the other.
pub async fn are_there(broker: &Broker, answers: &[(Key, PartitionAnswer)]) -> bool {
    let named = answers
        .iter()
        .filter_map(|(_, one)| one.preferred_read_replica);
    let named: BTreeSet<i32> = named.collect();
    if named.is_empty() {
        return true;
    }
    let nodes: Vec<NodeId> = {
        let state = broker.meta.read();
        let raft_id = |id| Some(NodeId(state.nodes().get(id)?.raft_id));
        named.iter().filter_map(raft_id).collect()
    };
    let here = broker.shards.metadata().node_id().0;
    let question = Question::Reaches { node: here };
    let asked = nodes.iter().map(async |node| {
        let asked = tokio::time::timeout(PATIENCE, broker.peers.look(*node, &question)).await;
        matches!(asked, Ok(Ok(Answer::Reaches(_))))
    });
    join_all(asked).await.into_iter().all(|is_there| is_there)
}

/// The brokers in a rack that hold what the leader holds, and that clients can reach; none where the leader is there
/// itself.
fn in_rack(
    state: &MetaState,
    leader: i32,
    rack: &str,
    in_sync: &BTreeSet<u64>,
    stays: impl Fn(NodeId) -> bool,
) -> Vec<i32> {
    let nodes = state.nodes();
    let is_there = |broker: &i32| {
        let node = nodes.get(broker);
        node.is_some_and(|node| node.rack.as_deref() == Some(rack))
    };
    if is_there(&leader) {
        return Vec::new();
    }
    let near = nodes.iter().filter(|(broker, node)| {
        // Of a wildcard address only its own node knows what to tell clients.
        let listener = node.listeners.get(CLIENT_LISTENER);
        is_there(broker)
            && in_sync.contains(&node.raft_id)
            && listener.is_some_and(|endpoint| !endpoint.host.is_empty())
            && stays(NodeId(node.raft_id))
    });
    near.map(|(broker, _)| *broker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::format::{MetaEntry, encode_entry};
    use crate::meta::{Endpoint, MetaCommand, NodeInfo};

    /// Brokers 1 to 5 in these racks, with Raft ids of ten times theirs.
    fn state() -> MetaState {
        let mut state = MetaState::default();
        let racks = [
            Some("west"),
            Some("east"),
            Some("east"),
            None,
            Some("north"),
        ];
        for (broker_id, rack) in (1..).zip(racks) {
            let endpoint = Endpoint {
                host: if broker_id == 5 { "" } else { "host" }.to_owned(),
                port: 9092,
            };
            let node = NodeInfo {
                raft_id: broker_id as u64 * 10,
                listeners: [(CLIENT_LISTENER.to_owned(), endpoint)].into(),
                rack: rack.map(str::to_owned),
                cluster: None,
            };
            let entry = MetaEntry {
                revision: state.revision(),
                commands: vec![MetaCommand::RegisterNode { broker_id, node }],
            };
            state.apply_entry(&encode_entry(&entry)).unwrap();
        }
        state
    }

    fn check(leader: i32, rack: &str, in_sync: &[u64], expected: &[i32]) {
        let in_sync = in_sync.iter().copied().collect();
        let found = in_rack(&state(), leader, rack, &in_sync, |node| node != NodeId(10));
        assert_eq!(found, expected);
    }

    #[test]
    fn replicas_in_the_rack_serve_while_they_are_in_sync() {
        check(4, "east", &[20, 30, 40], &[2, 3]);
        check(4, "east", &[30, 40], &[3]);
        check(4, "east", &[40], &[]);
        check(4, "south", &[20, 30, 40], &[]);
    }

    #[test]
    fn a_leader_in_the_rack_serves_itself() {
        check(2, "east", &[20, 30, 40], &[]);
    }

    #[test]
    fn who_is_away_or_cannot_be_named_serves_nobody() {
        check(4, "west", &[10, 20, 40], &[]);
        check(4, "north", &[40, 50], &[]);
    }
}
