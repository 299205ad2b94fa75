//! How a node without a log comes into a cluster: it finds one among its seeds, or the seeds found one together.
//!
//! A cluster is founded once every seed has answered, none is in a cluster, and each has promised, durably, to
//! found this one (`promise`). The seed with the least broker.id asks for the promises and founds; the others wait
//! to be told. A directory promises once. So two clusters of one list have no directory in common: a seed that was
//! wiped cannot found a second one while a single other seed has kept its directory, since that one is either a
//! member, and then the wiped one joins, or bound by its promise. What fails without this: three seeds, of which two
//! found because the third is down; one is wiped, and founds again with the third, while the second is down.
//!
//! The price is that all seeds must be up once. After that any of them may be down, and a node with a log never comes
//! here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use weir_raft::{Caller, NodeId, ShardId};

use super::message::{Answer, Question};
use super::peers::Peers;
use super::promise::{self, Belonging, BelongingError, State};
use crate::meta::NodeInfo;
use crate::meta::decide::cluster::{NewCluster, cluster_id};
use crate::meta::placement::{self, Place};
use crate::random::Random;
use crate::shard::hosting::METADATA;
use crate::startup::Startup;

/// How often the seeds are asked.
const AGAIN: Duration = Duration::from_millis(50);

/// A cluster to be: its id, and the incarnations that are its first voters, by broker id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    pub cluster_id: String,
    pub nodes: BTreeMap<i32, u64>,
    /// Of the nodes that have one. Which cluster it is does not hang on it: where the first shards lie does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub racks: BTreeMap<i32, String>,
}

impl Founding {
    /// The cluster of a node that runs alone.
    pub fn alone(cluster_id: String, broker_id: i32, node: &NodeInfo) -> Founding {
        let rack = node.rack.clone().map(|rack| (broker_id, rack));
        Founding {
            cluster_id,
            nodes: [(broker_id, node.raft_id)].into(),
            racks: rack.into_iter().collect(),
        }
    }

    /// Whether both are one cluster.
    fn is(&self, other: &Founding) -> bool {
        self.cluster_id == other.cluster_id && self.nodes == other.nodes
    }

    /// What the cluster is to be as long as it has no metadata: its first shards have `factor` replicas, or as many as
    /// there are nodes. Founders all say the same.
    pub fn new_cluster(self, factor: usize, shards_per_node: u64) -> NewCluster {
        let place = |(broker_id, raft_id): (&i32, &u64)| Place {
            broker_id: *broker_id,
            raft_id: *raft_id,
            rack: self.racks.get(broker_id).cloned(),
        };
        let nodes: Vec<Place> = self.nodes.iter().map(place).collect();
        let factor = nodes.len().min(factor).max(1);
        NewCluster {
            id: self.cluster_id,
            shards: placement::missing_shards(&nodes, &BTreeMap::new(), factor, shards_per_node, 1),
            shards_per_node,
        }
    }
}

/// How a node introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    pub broker_id: i32,
    pub incarnation: u64,
    /// Whether it has a log of a cluster's metadata.
    pub member: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
}

/// This node on its way into a cluster, and what it tells others of that.
pub struct Formation {
    pub dir: PathBuf,
    pub broker_id: i32,
    pub rack: Option<String>,
    pub raft: weir_raft::Node,
    pub peers: Peers,
    pub seeds: Vec<String>,
    belonging: Mutex<Option<Belonging>>,
}

impl Formation {
    /// Reads what the directory says of its cluster. Blocks.
    pub fn open(
        dir: PathBuf,
        (broker_id, rack): (i32, Option<String>),
        raft: weir_raft::Node,
        peers: Peers,
        seeds: Vec<String>,
    ) -> Result<Formation, BelongingError> {
        let belonging = promise::read(&dir)?;
        let formation = Formation {
            dir,
            broker_id,
            rack,
            raft,
            peers,
            seeds,
            belonging: Mutex::new(belonging.clone()),
        };
        match belonging {
            Some(Belonging {
                state: State::Member,
                founding,
            }) if !formation.is_member() => Err(BelongingError::LogGone {
                path: formation.dir.join("raft"),
                cluster: founding.cluster_id,
            }),
            _ => Ok(formation),
        }
    }

    /// Whether this node has a log of a cluster's metadata, or has voted in one.
    pub fn is_member(&self) -> bool {
        self.raft.stored_shards().contains(&ShardId(METADATA))
    }

    pub fn introduction(&self) -> Introduction {
        Introduction {
            broker_id: self.broker_id,
            incarnation: self.raft.id().0,
            member: self.is_member(),
            rack: self.rack.clone(),
        }
    }

    /// What this directory has promised to found, and is not known to be a member of yet.
    pub async fn promised(&self) -> Option<Founding> {
        let belonging = self.belonging.lock().await;
        let promised = belonging
            .as_ref()
            .filter(|one| one.state == State::Promised);
        promised.map(|one| one.founding.clone())
    }

    /// Promises, durably, to found this cluster and no other; an error says why not.
    pub async fn promise(&self, founding: &Founding) -> Result<(), String> {
        let mut belonging = self.belonging.lock().await;
        if self.is_member() {
            return Err(format!("node {} is in a cluster", self.broker_id));
        }
        if founding.nodes.get(&self.broker_id) != Some(&self.raft.id().0) {
            let what = "was asked to found a cluster without itself";
            return Err(format!("node {} {what}", self.broker_id));
        }
        match &*belonging {
            Some(earlier) if earlier.founding == *founding => Ok(()),
            Some(earlier) if !earlier.founding.is(founding) => Err(format!(
                "node {} has promised to found cluster {} with the nodes {:?}, and one of them has lost its directory \
                 since; empty the directories of all seeds and start them again",
                self.broker_id, earlier.founding.cluster_id, earlier.founding.nodes
            )),
            // The first time, or a node has another rack since.
            _ => {
                let promised = Belonging {
                    state: State::Promised,
                    founding: founding.clone(),
                };
                self.store(&promised).await?;
                *belonging = Some(promised);
                Ok(())
            }
        }
    }

    /// Notes that this node is a member of the cluster, once it has its log.
    pub async fn joined(&self, cluster_id: &str) -> Result<(), String> {
        let mut belonging = self.belonging.lock().await;
        if belonging
            .as_ref()
            .is_some_and(|one| one.state == State::Member)
        {
            return Ok(());
        }
        let nodes = belonging.take().map(|one| one.founding.nodes);
        let member = Belonging {
            state: State::Member,
            founding: Founding {
                cluster_id: cluster_id.to_owned(),
                nodes: nodes.unwrap_or_default(),
                // The metadata has them.
                racks: BTreeMap::new(),
            },
        };
        self.store(&member).await?;
        *belonging = Some(member);
        Ok(())
    }

    async fn store(&self, belonging: &Belonging) -> Result<(), String> {
        let (dir, belonging) = (self.dir.clone(), belonging.clone());
        let written = tokio::task::spawn_blocking(move || promise::write(&dir, &belonging)).await;
        let written = written.map_err(|error| error.to_string())?;
        written.map_err(|error| error.to_string())
    }

    /// Returns once this node has a log of its cluster's metadata: told by a leader, or founded here. `node` is what
    /// a cluster is told that this node joins.
    pub async fn run(&self, node: &NodeInfo, random: &dyn Random, startup: &Startup) {
        let mut said = String::new();
        while !self.is_member() {
            if let Err(waits) = self.step(node, random).await
                && waits != said
            {
                tracing::info!("not in a cluster yet: {waits}");
                startup.waits_for(format!("a cluster: {waits}"));
                said = waits;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// An error says what is waited for.
    async fn step(&self, node: &NodeInfo, random: &dyn Random) -> Result<(), String> {
        let transport = self.peers.transport();
        let transport = transport.ok_or_else(|| "this node runs alone".to_owned())?;
        let (mut met, mut missing, mut own) = (Vec::new(), Vec::new(), false);
        for seed in &self.seeds {
            if transport.is_own(seed) {
                own = true;
                continue;
            }
            let introduced = match transport.peer_at(seed) {
                Ok(peer) => self.ask_introduction(peer).await,
                Err(reason) => Err(reason),
            };
            match introduced {
                Ok(introduction) => met.push(introduction),
                Err(reason) => missing.push(reason),
            }
        }
        if let Some(member) = met.iter().find(|one| one.member) {
            return self.join(member, node).await;
        }
        let missing = missing.join("; ");
        if !own {
            let what = "no seed that answers is in a cluster, and this node is none of the seeds";
            return Err(match missing.is_empty() {
                true => what.to_owned(),
                false => format!("{what}: {missing}"),
            });
        }
        if !missing.is_empty() {
            return Err(format!(
                "a cluster is founded when all seeds are up: {missing}"
            ));
        }
        met.push(self.introduction());
        let nodes = by_broker(&met)?;
        match *nodes.first_key_value().expect("this node is among them").0 {
            first if first == self.broker_id => self.found(nodes, racks(&met), random).await,
            first => Err(format!("node {first} founds the cluster")),
        }
    }

    async fn ask_introduction(&self, peer: Caller) -> Result<Introduction, String> {
        match self.peers.look(peer.node, &Question::Introduce).await {
            Ok(Answer::Introduction(introduction)) => Ok(introduction),
            Ok(other) => Err(format!("node {} answered {other:?}", peer.seat)),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn join(&self, member: &Introduction, node: &NodeInfo) -> Result<(), String> {
        let register = Question::Register {
            broker_id: self.broker_id,
            node: node.clone(),
        };
        let answer = self.peers.look(NodeId(member.incarnation), &register);
        match answer.await {
            Ok(Answer::Done) => Err(format!(
                "node {} has registered this node, which waits for the metadata",
                member.broker_id
            )),
            Ok(Answer::Refused(reason)) => Err(reason),
            Ok(other) => Err(format!("node {} answered {other:?}", member.broker_id)),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn found(
        &self,
        nodes: BTreeMap<i32, u64>,
        racks: BTreeMap<i32, String>,
        random: &dyn Random,
    ) -> Result<(), String> {
        let cluster_id = match self.promised().await {
            Some(promised) if promised.nodes == nodes => promised.cluster_id,
            _ => cluster_id(random.uuid()),
        };
        let founding = Founding {
            cluster_id,
            nodes,
            racks,
        };
        self.promise(&founding).await?;
        for (broker, incarnation) in &founding.nodes {
            if *incarnation == self.raft.id().0 {
                continue;
            }
            let promise = Question::Promise(founding.clone());
            match self.peers.look(NodeId(*incarnation), &promise).await {
                Ok(Answer::Done) => {}
                Ok(Answer::Refused(reason)) => return Err(reason),
                Ok(other) => return Err(format!("node {broker} answered {other:?}")),
                Err(error) => return Err(error.to_string()),
            }
        }
        let shard = self.raft.shard(ShardId(METADATA));
        let shard = shard.ok_or_else(|| "the metadata does not run yet".to_owned())?;
        let voters = founding.nodes.values().copied().map(NodeId).collect();
        let founded = shard.found(&voters).await;
        founded.map_err(|error| error.to_string())?;
        tracing::info!(cluster = founding.cluster_id, "the cluster is founded");
        Ok(())
    }
}

/// The incarnations by broker id; two with one broker id are an error.
fn by_broker(met: &[Introduction]) -> Result<BTreeMap<i32, u64>, String> {
    let mut nodes = BTreeMap::new();
    for one in met {
        match nodes.insert(one.broker_id, one.incarnation) {
            Some(other) if other != one.incarnation => {
                return Err(format!(
                    "two seeds have broker.id {}: give each its own with --broker-id",
                    one.broker_id
                ));
            }
            _ => {}
        }
    }
    Ok(nodes)
}

/// By broker id, of the nodes that have one.
fn racks(met: &[Introduction]) -> BTreeMap<i32, String> {
    let rack = |one: &Introduction| Some((one.broker_id, one.rack.clone()?));
    met.iter().filter_map(rack).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_first_shards_lie_in_different_racks() {
        let seed = |(broker_id, rack): (i32, &str)| Introduction {
            broker_id,
            incarnation: 10 + broker_id as u64,
            member: false,
            rack: Some(rack.to_owned()),
        };
        let seeds = [(1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "c"), (6, "c")];
        let met: Vec<Introduction> = seeds.into_iter().map(seed).collect();
        let founding = Founding {
            cluster_id: "c".to_owned(),
            nodes: by_broker(&met).expect("they differ"),
            racks: racks(&met),
        };
        let new = founding.new_cluster(3, 2);
        assert_eq!(new.shards.len(), 12);
        for info in new.shards.values() {
            let racks = info.replicas.iter().map(|broker| (broker - 1) / 2);
            assert_eq!(racks.collect::<BTreeSet<i32>>().len(), 3, "{info:?}");
        }
    }

    /// Nodes of before there were racks among the questions leave them out, and pass over them.
    #[test]
    fn founders_of_an_earlier_version_name_no_racks() {
        let earlier = r#"{"broker_id":1,"incarnation":11,"member":false}"#;
        let introduced: Introduction = serde_json::from_str(earlier).expect("legal");
        assert_eq!(introduced.rack, None);
        assert_eq!(serde_json::to_string(&introduced).expect("json"), earlier);
        let earlier = r#"{"cluster_id":"c","nodes":{"1":11}}"#;
        let mut founding: Founding = serde_json::from_str(earlier).expect("legal");
        assert_eq!(serde_json::to_string(&founding).expect("json"), earlier);
        let without = founding.clone();
        founding.racks.insert(1, "a".to_owned());
        assert!(founding.is(&without));
    }

    #[test]
    fn seeds_have_broker_ids_of_their_own() {
        let seed = |broker_id, incarnation| Introduction {
            broker_id,
            incarnation,
            member: false,
            rack: None,
        };
        let nodes = by_broker(&[seed(2, 20), seed(1, 10), seed(2, 20)]);
        assert_eq!(nodes, Ok([(1, 10), (2, 20)].into()));
        let error = by_broker(&[seed(2, 20), seed(2, 21)]).expect_err("refused");
        assert!(error.contains("--broker-id"), "{error}");
    }
}
