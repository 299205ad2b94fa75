use super::*;
use crate::meta::PartitionerSet;
use crate::meta::decide::moves::{finish, seal};
use crate::meta::decide::topics::{NewTopic, create};
use crate::meta::effective::Layers;
use crate::meta::state::{Configs, NodeInfo, ShardInfo};
use crate::meta::topics::PartitionPlace;
use proptest::prelude::*;
use std::sync::Arc;
use uuid::Uuid;

const NONE: &BTreeSet<i32> = &BTreeSet::new();

/// A cluster whose nodes have the ids from 0 on.
#[derive(Default)]
struct Cluster {
    state: MetaState,
    topics: u128,
}

impl Cluster {
    fn apply(&mut self, commands: &[MetaCommand]) {
        for command in commands {
            let applied = self.state.apply(command);
            applied.expect("what is decided applies");
        }
    }

    /// In a rack of this number; 0 is none.
    fn join(&mut self, rack: usize) {
        let broker_id = i32::try_from(self.state.nodes().len()).expect("few");
        let node = NodeInfo {
            raft_id: 100 + broker_id as u64,
            listeners: Default::default(),
            rack: (rack > 0).then(|| rack.to_string()),
            cluster: None,
        };
        self.apply(&[MetaCommand::RegisterNode { broker_id, node }]);
    }

    fn join_all(&mut self, racks: &[usize]) {
        racks.iter().for_each(|rack| self.join(*rack));
    }

    /// Of so many partitions and replicas, or as many as there are nodes.
    fn create(&mut self, partitions: i32, factor: usize, is_table: bool) {
        self.topics += 1;
        let id = Uuid::from_u128(self.topics);
        let factor = factor.min(self.state.nodes().len());
        let new = NewTopic {
            partitions,
            replication_factor: i16::try_from(factor).expect("few"),
            ..NewTopic::with_defaults(&format!("t{}", self.topics), id, 0)
        };
        let layers = Layers {
            state: &self.state,
            broker_id: 0,
            node: &Configs::new(),
        };
        let (commands, _) = create(layers, &new, &|_| true).expect("created");
        self.apply(&commands);
        if is_table {
            self.apply(&[MetaCommand::MakeTable {
                id,
                table: serde_json::json!({}),
                partitioners: PartitionerSet::all(),
            }]);
        }
    }

    /// The schemas' topic, which lies with the metadata.
    fn create_schemas(&mut self) {
        let place = PartitionPlace {
            shard: 0,
            epoch_base: 0,
        };
        self.apply(&[MetaCommand::CreateTopic(Topic {
            name: Arc::from("_schemas"),
            id: Uuid::from_u128(1 << 100),
            partitions: vec![place],
            configs: BTreeMap::new(),
            created_at_ms: 0,
            table: None,
            partitioners: None,
            moves: BTreeMap::new(),
        })]);
    }

    fn plan(&self, most: usize, full: &BTreeSet<i32>) -> Plan {
        let wanted = Wanted {
            difference: 1,
            most,
            full,
        };
        plan(&self.state, &wanted)
    }

    /// All that is on its way arrives; answers how much that was.
    fn arrive(&mut self) -> usize {
        let topics = self.state.topics().iter();
        let going: Vec<(Uuid, i32, u64)> = topics
            .flat_map(|topic| topic.moves.iter().map(|one| (topic.id, *one.0, one.1.to)))
            .collect();
        for (id, partition, to) in going.iter().copied() {
            let (commands, _) = seal(&self.state, id, partition, to);
            self.apply(&commands);
            let commands = finish(&self.state, id, partition, to, 0);
            self.apply(&commands);
        }
        going.len()
    }

    /// Until nodes are close, some moves at a time; answers how many those were.
    fn settle(&mut self, most: usize, full: &BTreeSet<i32>) -> usize {
        let mut count = 0;
        let mut weighs = self.weighs();
        let bound = weighs;
        loop {
            let apart = difference(&loads(&self.state));
            let plan = self.plan(most, full);
            if plan.moves.is_empty() {
                assert!(plan.commands.is_empty());
                if self.arrive() == 0 {
                    return count;
                }
                continue;
            }
            assert!(plan.moves.len() <= most);
            for one in &plan.moves {
                self.check(one, full);
            }
            self.apply(&plan.commands);
            assert!(difference(&loads(&self.state)) <= apart, "farther apart");
            assert!(self.weighs() < weighs, "moves that do no good");
            weighs = self.weighs();
            count += plan.moves.len();
            assert!(count <= bound, "to and fro");
            // Every other time the next ones are decided while these are on their way.
            if count % 2 == 0 {
                self.arrive();
            }
        }
    }

    fn weighs(&self) -> usize {
        loads(&self.state).values().map(|load| load * load).sum()
    }

    fn check(&self, one: &Underway, full: &BTreeSet<i32>) {
        let topic = self.state.topics().get(&one.topic).expect("it is there");
        assert!(topic.table.is_none() || topic.partitions.len() == 1);
        assert_ne!(&*topic.name, "_schemas");
        assert!(
            !topic.moves.contains_key(&one.partition),
            "it moves already"
        );
        let place = topic.partition(one.partition).expect("it is there");
        assert_eq!(self.state.replicas_of(place.shard), one.from);
        let to: BTreeSet<&i32> = one.to.iter().collect();
        assert_eq!(to.len(), one.from.len(), "the factor is kept: {one:?}");
        assert!(!one.to.iter().any(|broker| full.contains(broker)));
        assert!(self.racks(&one.to) >= self.racks(&one.from), "{one:?}");
    }

    /// In how many racks these lie; those without one are each in their own.
    fn racks(&self, replicas: &[i32]) -> usize {
        let rack = |broker: &i32| {
            let rack = self.state.nodes()[broker].rack.clone();
            rack.unwrap_or_else(|| format!("of {broker}"))
        };
        replicas.iter().map(rack).collect::<BTreeSet<_>>().len()
    }

    /// By node: replicas, and partitions of which it is the first.
    fn held(&self) -> Vec<(usize, usize)> {
        let mut held = vec![(0, 0); self.state.nodes().len()];
        for topic in self.state.topics().iter() {
            for place in &topic.partitions {
                let replicas = self.state.replicas_of(place.shard);
                held[replicas[0] as usize].1 += 1;
                for broker in replicas {
                    held[broker as usize].0 += 1;
                }
            }
        }
        held
    }
}

#[test]
fn a_node_that_joins_gets_its_share_of_replicas_and_of_leaders() {
    let mut cluster = Cluster::default();
    cluster.join_all(&[0, 0, 0]);
    cluster.create(60, 3, false);
    cluster.create(60, 3, false);
    assert!(cluster.plan(9, NONE).moves.is_empty());
    cluster.join(0);
    assert_eq!(difference(&loads(&cluster.state)), 120);
    // What it gets moves once.
    assert_eq!(cluster.settle(8, NONE), 90);
    let held = cluster.held();
    assert!(held.iter().all(|(replicas, _)| *replicas == 90), "{held:?}");
    let first = |(_, first): &(usize, usize)| (28..=32).contains(first);
    assert!(held.iter().all(first), "{held:?}");
    // Of each topic too.
    for topic in cluster.state.topics().iter() {
        let has = |place: &PartitionPlace| cluster.state.replicas_of(place.shard).contains(&3);
        let count = topic.partitions.iter().filter(|place| has(place)).count();
        assert!((40..=50).contains(&count), "{count} of {}", topic.name);
    }
    assert!(cluster.state.shards().len() <= 20);
}

#[test]
fn what_cannot_move_stays() {
    let mut cluster = Cluster::default();
    cluster.join_all(&[0]);
    cluster.create_schemas();
    cluster.create(20, 1, true);
    cluster.join_all(&[0, 0]);
    assert!(cluster.plan(9, NONE).moves.is_empty());
    // The other two share what can move, since tables count.
    cluster.apply(&[MetaCommand::DrainNode {
        broker_id: 2,
        draining: true,
    }]);
    cluster.create(20, 1, false);
    assert!(cluster.plan(99, NONE).moves.is_empty(), "a node drains");
    cluster.apply(&[MetaCommand::DrainNode {
        broker_id: 2,
        draining: false,
    }]);
    cluster.settle(8, NONE);
    let held = cluster.held();
    // With the schemas, which lie on each.
    assert_eq!(
        held.iter().map(|one| one.0).collect::<Vec<_>>(),
        [21, 11, 11]
    );
}

#[test]
fn a_table_of_one_partition_moves_and_one_of_several_stays() {
    let mut cluster = Cluster::default();
    cluster.join_all(&[0]);
    cluster.create(4, 1, true);
    for _ in 0..4 {
        cluster.create(1, 1, true);
    }
    cluster.join_all(&[0]);
    cluster.settle(8, NONE);
    let held = cluster.held();
    assert_eq!(held.iter().map(|one| one.0).collect::<Vec<_>>(), [4, 4]);
    let several = cluster.state.topics().get("t1").expect("it is there");
    for place in &several.partitions {
        assert_eq!(cluster.state.replicas_of(place.shard), [0]);
    }
}

#[test]
fn nothing_goes_to_a_node_without_room() {
    let mut cluster = Cluster::default();
    cluster.join_all(&[0, 0]);
    cluster.create(20, 1, false);
    cluster.join_all(&[0, 0]);
    let full = [2].into();
    cluster.settle(8, &full);
    let held = cluster.held();
    let replicas: Vec<usize> = held.iter().map(|one| one.0).collect();
    assert_eq!((replicas[2], replicas.iter().max()), (0, Some(&7)));
}

#[test]
fn racks_are_kept_apart_and_those_with_few_nodes_keep_what_they_have() {
    let mut cluster = Cluster::default();
    cluster.join_all(&[1, 2, 3]);
    cluster.create(30, 3, false);
    cluster.join_all(&[1, 1, 1]);
    cluster.settle(8, NONE);
    let held: Vec<usize> = cluster.held().iter().map(|one| one.0).collect();
    assert_eq!(held[1..3], [30, 30]);
    let shared = [held[0], held[3], held[4], held[5]];
    assert!(
        shared.iter().all(|count| (7..=8).contains(count)),
        "{held:?}"
    );
}

#[test]
fn a_difference_is_evened_out_from_a_fifth_of_a_share_to_a_twentieth() {
    let loads = |counts: &[usize]| (0..).zip(counts.iter().copied()).collect();
    assert_eq!((far(&loads(&[3, 3, 0])), close(&loads(&[3, 3, 0]))), (2, 1));
    assert_eq!(
        (far(&loads(&[300, 100])), close(&loads(&[300, 100]))),
        (40, 10)
    );
    assert_eq!(difference(&loads(&[300, 100, 200])), 200);
    assert_eq!((far(&loads(&[])), difference(&loads(&[]))), (2, 0));
}

/// A topic: partitions, replicas, whether it is a table, and whether it is made once all nodes are there.
type Made = (i32, usize, bool, bool);

fn topic() -> impl Strategy<Value = Made> {
    (
        1..30i32,
        1..5usize,
        prop::bool::weighted(0.1),
        any::<bool>(),
    )
}

proptest! {
    /// Whatever the cluster: moves come to an end, never bring nodes farther apart, keep factors and racks, and leave
    /// alone what cannot move. [`Cluster::settle`] looks at each.
    #[test]
    fn moves_end_and_never_make_it_worse(
        racks in prop::collection::vec(0..4usize, 1..9),
        founders in 1..9usize,
        topics in prop::collection::vec(topic(), 1..8),
        sites in prop::collection::vec(prop::collection::vec(0..9i32, 1..5), 0..4),
        most in 1..9usize,
        full in prop::option::weighted(0.2, 0..9i32),
    ) {
        let mut cluster = Cluster::default();
        let founders = founders.min(racks.len());
        cluster.join_all(&racks[..founders]);
        cluster.create_schemas();
        for (partitions, factor, is_table, _) in topics.iter().filter(|topic| !topic.3) {
            cluster.create(*partitions, *factor, *is_table);
        }
        cluster.join_all(&racks[founders..]);
        // Somebody has asked for shards on these nodes.
        for nodes in sites {
            let mut seen = BTreeSet::new();
            let mut replicas: Vec<i32> = nodes.iter().map(|node| node % racks.len() as i32).collect();
            replicas.retain(|broker| seen.insert(*broker));
            let founders = replicas.iter().map(|broker| 100 + *broker as u64).collect();
            let shards = [(cluster.state.next_shard(), ShardInfo { replicas, founders })].into();
            cluster.apply(&[MetaCommand::AddShards { shards }]);
        }
        for (partitions, factor, is_table, _) in topics.iter().filter(|topic| topic.3) {
            cluster.create(*partitions, *factor, *is_table);
        }
        let full: BTreeSet<i32> = full.into_iter().collect();
        let shards = cluster.state.shards().len();
        cluster.settle(most, &full);
        prop_assert_eq!(cluster.settle(most, &full), 0, "it came to rest");
        let made = cluster.state.shards().len() - shards;
        // At most so many sets of each factor, and in each set every node once the first.
        prop_assert!(made <= 2 * racks.len() * (1 + 2 + 3 + 4), "{} shards", made);
        let is_free = full.is_empty() && racks.iter().all(|rack| *rack == 0)
            && topics.iter().all(|topic| !topic.2);
        if is_free {
            prop_assert!(difference(&loads(&cluster.state)) <= 1, "{:?}", loads(&cluster.state));
        }
    }
}
