//! Which data shard carries a new partition, and which shards a cluster has.
//!
//! Shards are made when a topic first needs one of its replication factor. The nodes are cut into groups of that
//! many, so that there are few different sets of replicas: what is lost when so many nodes are lost at once is
//! rarely everything. Within its group each node is the first to lead some shards. A group has several nodes of one rack
//! only where there are fewer racks than replicas; so a node in a rack with few others is in many groups.

use std::collections::BTreeMap;

use super::state::{MetaState, ShardInfo};

/// Spreads partitions round robin over the shards, from a start that the topic's name picks: the partitions of one topic
/// lie on different shards, and topics of one partition spread too.
///
/// Panics when `shards` is empty; a cluster is initialised with at least one.
pub fn shard_for(topic: &str, partition: usize, shards: &[u64]) -> u64 {
    assert!(!shards.is_empty());
    let start = (fnv1a(topic.as_bytes()) % shards.len() as u64) as usize;
    shards[(start + partition) % shards.len()]
}

/// Stable over releases and machines: the decision is written into the log, but operators reason about it.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A node as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub broker_id: i32,
    /// Its Raft incarnation.
    pub raft_id: u64,
    pub rack: Option<String>,
}

/// The nodes of a cluster that may get something.
pub fn places(state: &MetaState) -> Vec<Place> {
    let place = |(id, node): (&i32, &super::NodeInfo)| Place {
        broker_id: *id,
        raft_id: node.raft_id,
        rack: node.rack.clone(),
    };
    let nodes = state.nodes().iter();
    let stay = nodes.filter(|(id, _)| !state.draining().contains(id));
    stay.map(place).collect()
}

/// The shards with `factor` replicas that are missing so that every node is the first to lead some; their ids begin
/// with `next`.
pub fn missing_shards(
    nodes: &[Place],
    shards: &BTreeMap<u64, ShardInfo>,
    factor: usize,
    per_node: u64,
    mut next: u64,
) -> BTreeMap<u64, ShardInfo> {
    assert!((1..=nodes.len()).contains(&factor));
    let groups = groups(nodes, factor);
    let leads = |broker: i32| {
        let of_factor = |info: &&ShardInfo| info.replicas.len() == factor;
        let mut of_factor = shards.values().filter(of_factor);
        of_factor.any(|info| info.replicas.first() == Some(&broker))
    };
    let mut made = BTreeMap::new();
    for _ in 0..per_node {
        for group in &groups {
            let places = 0..group.members.len();
            for at in places.filter(|at| group.is_new[*at]) {
                let mut replicas = group.members.clone();
                replicas.rotate_left(at);
                if !leads(replicas[0].broker_id) {
                    made.insert(next, shard_info(&replicas));
                    next += 1;
                }
            }
        }
    }
    made
}

/// Nodes that replicate the same.
struct Group<'a> {
    members: Vec<&'a Place>,
    /// Of each of them, whether no earlier group has it.
    is_new: Vec<bool>,
}

/// As few groups as there can be with every node in one, if each is to have as few nodes of a rack as possible.
fn groups(nodes: &[Place], factor: usize) -> Vec<Group<'_>> {
    let mut uses = vec![0; nodes.len()];
    let mut groups = Vec::new();
    while uses.contains(&0) {
        let mut group: Vec<usize> = Vec::with_capacity(factor);
        while group.len() < factor {
            let together = |at: usize| {
                let same = |other: &&usize| shares_rack(&nodes[at], &nodes[**other]);
                group.iter().filter(same).count()
            };
            let left = (0..nodes.len()).filter(|at| !group.contains(at));
            let next = left.min_by_key(|at| (together(*at), uses[*at], *at));
            group.push(next.expect("there are as many nodes"));
        }
        groups.push(Group {
            members: group.iter().map(|at| &nodes[*at]).collect(),
            is_new: group.iter().map(|at| uses[*at] == 0).collect(),
        });
        group.into_iter().for_each(|at| uses[at] += 1);
    }
    groups
}

/// A node without a rack shares none.
pub fn shares_rack(one: &Place, other: &Place) -> bool {
    one.rack.is_some() && one.rack == other.rack
}

/// A shard with just these replicas, the first one leads.
pub fn shard_info(replicas: &[&Place]) -> ShardInfo {
    ShardInfo {
        replicas: replicas.iter().map(|node| node.broker_id).collect(),
        founders: replicas.iter().map(|node| node.raft_id).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(racks: &[Option<&str>]) -> Vec<Place> {
        let node = |(id, rack): (i32, &Option<&str>)| Place {
            broker_id: id,
            raft_id: 100 + id as u64,
            rack: rack.map(str::to_owned),
        };
        (0..).zip(racks).map(node).collect()
    }

    fn replicas(shards: &BTreeMap<u64, ShardInfo>) -> Vec<Vec<i32>> {
        shards.values().map(|info| info.replicas.clone()).collect()
    }

    #[test]
    fn every_node_is_the_first_to_lead_and_sets_of_replicas_are_few() {
        let none = BTreeMap::new();
        let three = missing_shards(&nodes(&[None; 3]), &none, 3, 1, 1);
        assert_eq!(replicas(&three), [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
        assert_eq!(three[&2].founders, [101, 102, 100]);
        let single = missing_shards(&nodes(&[None; 3]), &none, 1, 2, 1);
        assert_eq!(replicas(&single), [[0], [1], [2], [0], [1], [2]]);
        let four = missing_shards(&nodes(&[None; 4]), &none, 3, 1, 1);
        assert_eq!(replicas(&four)[3], [3, 0, 1]);
        let six = missing_shards(&nodes(&[None; 6]), &none, 3, 1, 1);
        let mut sets: Vec<Vec<i32>> = replicas(&six);
        sets.iter_mut().for_each(|set| set.sort());
        sets.dedup();
        assert_eq!(sets, [[0, 1, 2], [3, 4, 5]]);
    }

    #[test]
    fn what_is_there_stays_and_a_new_node_gets_its_own() {
        let shards = missing_shards(&nodes(&[None; 1]), &BTreeMap::new(), 1, 2, 1);
        assert_eq!(shards.keys().copied().collect::<Vec<_>>(), [1, 2]);
        let more = missing_shards(&nodes(&[None; 2]), &shards, 1, 2, 3);
        assert_eq!(replicas(&more), [[1], [1]]);
        assert_eq!(more.keys().copied().collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn replicas_are_in_different_racks() {
        let racks = [Some("a"), Some("a"), Some("b"), Some("b")];
        let shards = missing_shards(&nodes(&racks), &BTreeMap::new(), 2, 1, 1);
        for set in replicas(&shards) {
            assert_ne!(set[0] / 2, set[1] / 2, "{set:?}");
        }
    }

    #[test]
    fn racks_may_have_different_numbers_of_nodes() {
        let check = |racks: &str, factor: usize, expected: &[&[i32]]| {
            let racks: Vec<String> = racks.chars().map(String::from).collect();
            let racks: Vec<Option<&str>> = racks.iter().map(|rack| Some(&**rack)).collect();
            let shards = missing_shards(&nodes(&racks), &BTreeMap::new(), factor, 1, 1);
            assert_eq!(replicas(&shards), expected);
        };
        // One that joins six in three racks is alone in its group.
        let seven: [&[i32]; 7] = [
            &[0, 2, 4],
            &[2, 4, 0],
            &[4, 0, 2],
            &[1, 3, 5],
            &[3, 5, 1],
            &[5, 1, 3],
            &[6, 2, 4],
        ];
        check("aabbcca", 3, &seven);
        check("aab", 2, &[&[0, 2], &[2, 0], &[1, 2]]);
        // There are fewer racks than replicas.
        let two: [&[i32]; 4] = [&[0, 2, 1], &[2, 1, 0], &[1, 0, 2], &[3, 0, 1]];
        check("aabb", 3, &two);
    }

    #[test]
    fn partitions_of_a_topic_use_every_shard() {
        let used: std::collections::BTreeSet<u64> =
            (0..3).map(|p| shard_for("t", p, &[1, 2, 3])).collect();
        assert_eq!(used.len(), 3);
    }

    #[test]
    fn small_topics_spread() {
        let on_first = (0..1000)
            .filter(|n| shard_for(&format!("topic-{n}"), 0, &[1, 2]) == 1)
            .count();
        assert!(
            (400..600).contains(&on_first),
            "{on_first} of 1000 on the first of two shards"
        );
    }

    #[test]
    fn growth_goes_on_where_creation_stopped() {
        assert_eq!(shard_for("t", 5, &[1, 2, 3]), shard_for("t", 2, &[1, 2, 3]));
    }
}
