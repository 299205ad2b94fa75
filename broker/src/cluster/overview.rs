//! The cluster as one node sees it now: who is up, who leads what, and what is not as it should be.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_raft::NodeId;

use super::message::{Answer, Question};
use crate::broker::Broker;
use crate::kafka::cluster_view::CLIENT_LISTENER;
use crate::meta::{MetaState, NodeInfo, ShardView};
use crate::shard::hosting::METADATA;

/// Only what the node that is asked knows: of other nodes as old as their last word.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    pub cluster_id: String,
    /// The broker that leads the metadata.
    pub controller: Option<i32>,
    /// The broker that says this.
    pub seen_by: i32,
    pub health: Health,
    pub nodes: Vec<Node>,
    pub shards: Vec<Shard>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    /// Everything is served, with fewer replicas than wanted.
    Degraded,
    /// Partitions have no leader, or the cluster has none.
    Unavailable,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    pub status: Status,
    pub nodes: usize,
    pub nodes_down: Vec<i32>,
    pub partitions: usize,
    /// Replicas are missing or not in sync.
    pub under_replicated_partitions: usize,
    /// Nobody leads them, or their leader has no majority.
    pub leaderless_partitions: usize,
    /// Another replica than the first leads them.
    pub not_preferred_partitions: usize,
    /// What is not as it should be, for people.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    pub id: i32,
    pub rack: Option<String>,
    /// Where clients are sent.
    pub kafka: Option<String>,
    /// Where other nodes reach it.
    pub cluster: Option<String>,
    pub up: bool,
    /// It has said that it is about to stop.
    pub leaving: bool,
    pub controller: bool,
    pub shards_led: usize,
    pub shards_held: usize,
    pub partitions_led: usize,
    pub partitions_held: usize,
    /// What the node itself says; absent for one that does not answer.
    #[serde(flatten)]
    pub figures: Option<Figures>,
}

/// What a node knows of itself alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    pub version: String,
    /// Of the data directory's file system; -1 where that does not tell.
    pub disk_total_bytes: i64,
    pub disk_free_bytes: i64,
    pub wal_bytes: u64,
    pub wal_budget_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shard {
    pub id: u64,
    pub leader: Option<i32>,
    pub term: u64,
    /// The first one is preferred as the leader.
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
    pub partitions: usize,
}

/// Looks at the cluster, and asks the nodes that are connected for their figures.
pub async fn look(broker: &Broker) -> Overview {
    let answers = broker.peers.look_round(&Question::Figures).await;
    let figures = answers.into_iter().filter_map(|answer| match answer {
        (node, Answer::Figures(figures)) => Some((node.0, figures)),
        _ => None,
    });
    let mut figures: BTreeMap<u64, Figures> = figures.collect();
    let here = broker.shards.metadata().node_id();
    figures.insert(here.0, own_figures(broker));
    let up = up(broker);
    let shards = shards_seen(broker);
    let state = broker.meta.read();
    let leaving = broker.leaders.leaving();
    let mut nodes = nodes(&state, &shards, &up);
    for node in &mut nodes {
        let raft_id = state.nodes()[&node.id].raft_id;
        node.leaving = leaving.contains(&NodeId(raft_id));
        node.figures = figures.remove(&raft_id);
    }
    Overview {
        cluster_id: state.cluster_id().unwrap_or_default().to_owned(),
        controller: leader_of_metadata(&shards),
        seen_by: broker.broker_id,
        health: health(&nodes, &shards),
        nodes,
        shards,
    }
}

/// The Raft nodes that are up, this one among them.
pub fn up(broker: &Broker) -> BTreeSet<u64> {
    let here = broker.shards.metadata().node_id();
    let connected = broker.peers.connected().into_iter();
    connected.chain([here]).map(|node| node.0).collect()
}

/// All shards as this node sees them, the metadata's first.
pub fn shards_seen(broker: &Broker) -> Vec<Shard> {
    let up = up(broker);
    let partitions = &broker.admin.partitions;
    let view = |shard| partitions.shard(shard);
    let state = broker.meta.read();
    shards(&state, &up, view, |shard| {
        partitions.replicas(&state, shard)
    })
}

/// Answers [`Question::Figures`].
pub fn own_figures(broker: &Broker) -> Figures {
    let disk = broker.admin.partitions.log_dir();
    let usage = broker.space.usage();
    Figures {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        disk_total_bytes: disk.total_bytes,
        disk_free_bytes: disk.usable_bytes,
        wal_bytes: usage.wal_bytes,
        wal_budget_bytes: usage.wal_budget_bytes,
    }
}

/// A leader counts while it is up and most of the replicas follow it.
fn shards(
    state: &MetaState,
    up: &BTreeSet<u64>,
    view: impl Fn(u64) -> ShardView,
    replicas: impl Fn(u64) -> Vec<i32>,
) -> Vec<Shard> {
    let mut partitions: BTreeMap<u64, usize> = BTreeMap::new();
    for place in state.topics().iter().flat_map(|topic| &topic.partitions) {
        *partitions.entry(place.shard).or_default() += 1;
    }
    let ids = [METADATA].into_iter().chain(state.shards().keys().copied());
    let shard = |id| {
        let view = view(id);
        let replicas = replicas(id);
        let brokers = |nodes: &[u64]| {
            let brokers = nodes.iter().filter(|node| up.contains(node));
            let mut brokers: Vec<i32> = brokers.filter_map(|node| state.broker_of(*node)).collect();
            brokers.sort_unstable();
            brokers
        };
        let in_sync = brokers(&view.in_sync);
        let most = replicas.len() / 2;
        let leader = view.leader.filter(|node| up.contains(node));
        let leader = leader.filter(|_| in_sync.len() > most);
        Shard {
            id,
            leader: leader.and_then(|node| state.broker_of(node)),
            term: view.term,
            replicas,
            in_sync,
            partitions: partitions.get(&id).copied().unwrap_or(0),
        }
    };
    ids.map(shard).collect()
}

impl Shard {
    pub fn is_under_replicated(&self) -> bool {
        self.in_sync.len() < self.replicas.len()
    }

    /// A node is preferred for data only: whoever leads the metadata does.
    fn is_not_preferred(&self) -> bool {
        self.id != METADATA
            && self.leader.is_some()
            && self.leader != self.replicas.first().copied()
    }
}

fn leader_of_metadata(shards: &[Shard]) -> Option<i32> {
    shards.iter().find(|shard| shard.id == METADATA)?.leader
}

fn nodes(state: &MetaState, shards: &[Shard], up: &BTreeSet<u64>) -> Vec<Node> {
    let controller = leader_of_metadata(shards);
    let node = |(id, info): (&i32, &NodeInfo)| {
        let led = || shards.iter().filter(|shard| shard.leader == Some(*id));
        // Who has no vote on the metadata holds it too.
        let holds = |shard: &&Shard| shard.id == METADATA || shard.replicas.contains(id);
        let held = || shards.iter().filter(holds);
        let kafka = info.listeners.get(CLIENT_LISTENER);
        Node {
            id: *id,
            rack: info.rack.clone(),
            kafka: kafka.map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port)),
            cluster: info.cluster.clone(),
            up: up.contains(&info.raft_id),
            leaving: false,
            controller: controller == Some(*id),
            shards_led: led().count(),
            shards_held: held().count(),
            partitions_led: led().map(|shard| shard.partitions).sum(),
            partitions_held: held().map(|shard| shard.partitions).sum(),
            figures: None,
        }
    };
    state.nodes().iter().map(node).collect()
}

fn health(nodes: &[Node], shards: &[Shard]) -> Health {
    let count = |is: &dyn Fn(&Shard) -> bool| -> usize {
        let counted = shards.iter().filter(|shard| is(shard));
        counted.map(|shard| shard.partitions).sum()
    };
    let down = nodes.iter().filter(|node| !node.up);
    let nodes_down: Vec<i32> = down.map(|node| node.id).collect();
    let under_replicated = count(&Shard::is_under_replicated);
    let leaderless = count(&|shard| shard.leader.is_none());
    let mut problems: Vec<String> = Vec::new();
    if leader_of_metadata(shards).is_none() {
        problems.push("nobody leads the metadata: nothing can be created or changed".to_owned());
    }
    let is_available = problems.is_empty() && leaderless == 0;
    problems.extend(nodes_down.iter().map(|id| format!("node {id} is down")));
    if leaderless > 0 {
        problems.push(format!("partitions without a leader: {leaderless}"));
    }
    if under_replicated > 0 {
        problems.push(format!(
            "partitions with replicas that are not in sync: {under_replicated}"
        ));
    }
    if problems.is_empty() && shards.iter().any(Shard::is_under_replicated) {
        problems.push("replicas without partitions are not in sync".to_owned());
    }
    Health {
        status: match (is_available, problems.is_empty()) {
            (true, true) => Status::Ok,
            (true, false) => Status::Degraded,
            (false, _) => Status::Unavailable,
        },
        nodes: nodes.len(),
        nodes_down,
        partitions: count(&|_| true),
        under_replicated_partitions: under_replicated,
        leaderless_partitions: leaderless,
        not_preferred_partitions: count(&Shard::is_not_preferred),
        problems,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: u64, leader: Option<i32>, in_sync: &[i32]) -> Shard {
        Shard {
            id,
            leader,
            term: 1,
            replicas: vec![1, 2, 3],
            in_sync: in_sync.to_vec(),
            partitions: 10,
        }
    }

    fn node(id: i32, up: bool) -> Node {
        Node {
            id,
            rack: None,
            kafka: None,
            cluster: None,
            up,
            leaving: false,
            controller: false,
            shards_led: 0,
            shards_held: 0,
            partitions_led: 0,
            partitions_held: 0,
            figures: None,
        }
    }

    #[test]
    fn a_cluster_is_well_degraded_or_unavailable() {
        let nodes = [node(1, true), node(2, true), node(3, true)];
        let well = [shard(0, Some(2), &[1, 2, 3]), shard(1, Some(1), &[1, 2, 3])];
        let found = health(&nodes, &well);
        assert_eq!((found.status, found.partitions), (Status::Ok, 20));
        let moved = [shard(0, Some(2), &[1, 2, 3]), shard(1, Some(3), &[1, 2, 3])];
        let found = health(&nodes, &moved);
        assert_eq!(
            (found.status, found.not_preferred_partitions),
            (Status::Ok, 10)
        );

        let nodes = [node(1, true), node(2, true), node(3, false)];
        let short = [shard(0, Some(2), &[1, 2]), shard(1, Some(1), &[1, 2, 3])];
        let found = health(&nodes, &short);
        assert_eq!(found.status, Status::Degraded);
        assert_eq!(
            (found.nodes_down, found.under_replicated_partitions),
            (vec![3], 10)
        );

        let lost = [shard(0, Some(2), &[1, 2, 3]), shard(1, None, &[1])];
        let found = health(&nodes, &lost);
        assert_eq!(
            (found.status, found.leaderless_partitions),
            (Status::Unavailable, 10)
        );
        let headless = [shard(0, None, &[2]), shard(1, Some(1), &[1, 2, 3])];
        assert_eq!(health(&nodes, &headless).status, Status::Unavailable);
    }
}
