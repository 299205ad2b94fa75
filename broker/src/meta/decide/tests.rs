use super::cluster;
use super::configs::{self, Alter, Op};
use super::tables::{self, NarrowError, TableDraft};
use super::topics::{self, Created, NewTopic, TopicError};
use crate::meta::command::MetaCommand;
use crate::meta::config::ConfigError;
use crate::meta::effective::Layers;
use crate::meta::format::{MetaEntry, decode_snapshot, encode_entry, encode_snapshot};
use crate::meta::state::{Configs, MetaState, NodeInfo, ShardInfo};
use crate::meta::{Partitioner, PartitionerSet};
use proptest::prelude::*;
use uuid::Uuid;

/// A cluster of one broker, 0, with the data shards 1 and 2.
struct Cluster {
    state: MetaState,
    node: Configs,
    ids: u128,
}

impl Cluster {
    fn new() -> Cluster {
        let mut cluster = Cluster {
            state: MetaState::default(),
            node: Configs::new(),
            ids: 0,
        };
        let shards = [1, 2]
            .map(|shard| {
                let (replicas, founders) = (vec![0], vec![9]);
                (shard, ShardInfo { replicas, founders })
            })
            .into_iter()
            .collect();
        let node = NodeInfo {
            raft_id: 9,
            listeners: Default::default(),
            rack: None,
            cluster: None,
        };
        let new = cluster::NewCluster {
            id: cluster::cluster_id(Uuid::from_u128(7)),
            shards,
            shards_per_node: 2,
        };
        let (commands, id) = cluster::start(&cluster.state, &new, 0, &node).unwrap();
        assert_eq!(id.len(), 22);
        cluster.commit(commands);
        cluster
    }

    fn layers(&self) -> Layers<'_> {
        Layers {
            state: &self.state,
            broker_id: 0,
            node: &self.node,
        }
    }

    fn commit(&mut self, commands: Vec<MetaCommand>) {
        let entry = MetaEntry {
            revision: self.state.revision(),
            commands,
        };
        self.state.apply_entry(&encode_entry(&entry)).unwrap();
    }

    fn new_topic(&mut self, name: &str) -> NewTopic {
        self.ids += 1;
        NewTopic::with_defaults(name, Uuid::from_u128(self.ids), 0)
    }

    fn create_as(&mut self, new: &NewTopic) -> Result<Created, TopicError> {
        let (commands, created) = topics::create(self.layers(), new, &|_| true)?;
        self.commit(commands);
        Ok(created)
    }

    fn create(
        &mut self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<Created, TopicError> {
        let mut new = self.new_topic(name);
        new.partitions = partitions;
        new.configs = settings
            .iter()
            .map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned())))
            .collect();
        if settings.iter().any(|(name, _)| *name == "table.mode") {
            let definition = serde_json::json!({"key": "string"});
            new.table = Some(TableDraft {
                definition,
                partitioners: PartitionerSet::all(),
            });
        }
        self.create_as(&new)
    }

    fn alter(&mut self, topic: &str, alters: &[Alter], replace: bool) -> Result<(), ConfigError> {
        let topic = self.state.topics().get(topic).unwrap().clone();
        let commands = configs::alter_topic(self.layers(), &topic, alters, replace, None)?;
        if !commands.is_empty() {
            self.commit(commands);
        }
        Ok(())
    }

    fn set(&self, topic: &str, name: &str) -> Option<String> {
        self.state
            .topics()
            .get(topic)
            .unwrap()
            .configs
            .get(name)
            .cloned()
    }
}

fn alter(op: Op, name: &str, value: &str) -> Alter {
    Alter {
        name: name.to_owned(),
        op,
        value: value.to_owned(),
    }
}

#[test]
fn a_second_start_changes_nothing() {
    let cluster = Cluster::new();
    let node = cluster.state.nodes()[&0].clone();
    let new = cluster::NewCluster {
        id: "another".to_owned(),
        shards: Default::default(),
        shards_per_node: 1,
    };
    let (commands, id) = cluster::start(&cluster.state, &new, 0, &node).unwrap();
    assert_eq!(commands, []);
    assert_eq!(Some(&*id), cluster.state.cluster_id());
    assert_eq!(cluster.state.broker_of(9), Some(0));
}

#[test]
fn an_incarnation_that_was_replaced_never_comes_back() {
    let mut cluster = Cluster::new();
    let old = cluster.state.nodes()[&0].clone();
    let new = NodeInfo {
        raft_id: 10,
        ..old.clone()
    };
    let register = |cluster: &Cluster, node, up| cluster::register(&cluster.state, 0, node, |_| up);
    assert_eq!(register(&cluster, &old, true), Ok((vec![], ())));
    let taken = cluster::RegisterError::Taken(0);
    assert_eq!(register(&cluster, &new, true), Err(taken));
    let (commands, ()) = register(&cluster, &new, false).expect("the old one is down");
    cluster.commit(commands);
    assert!(cluster.state.is_former(9));
    assert_eq!(cluster.state.broker_of(10), Some(0));
    let replaced = cluster::RegisterError::Replaced(0);
    assert_eq!(register(&cluster, &old, false), Err(replaced));
}

#[test]
fn producer_ids_are_given_out_once() {
    let mut cluster = Cluster::new();
    let (commands, first) = cluster::take_producer_ids(&cluster.state).unwrap();
    cluster.commit(commands);
    let (_, second) = cluster::take_producer_ids(&cluster.state).unwrap();
    assert_eq!((first, second), (0, cluster::PRODUCER_ID_BLOCK));
}

#[test]
fn minus_one_is_the_default() {
    let mut cluster = Cluster::new();
    cluster
        .node
        .insert("num.partitions".to_owned(), "3".to_owned());
    let created = cluster.create("t", -1, &[]).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (3, 1));
    assert_eq!(
        cluster
            .state
            .topics()
            .by_id(created.id)
            .unwrap()
            .partitions
            .len(),
        3
    );
}

/// Two more nodes join the cluster of [`Cluster::new`].
fn three_nodes() -> Cluster {
    let mut cluster = Cluster::new();
    for broker_id in [1, 2] {
        let node = NodeInfo {
            raft_id: 9 + broker_id as u64,
            listeners: Default::default(),
            rack: None,
            cluster: None,
        };
        cluster.commit(vec![MetaCommand::RegisterNode { broker_id, node }]);
    }
    cluster
}

#[test]
fn topics_lie_on_shards_of_their_replication_factor() {
    let mut cluster = three_nodes();
    let mut create = |name: &str, factor: i16, settings: &[(&str, &str)]| {
        let mut new = cluster.new_topic(name);
        (new.partitions, new.replication_factor) = (6, factor);
        let set = |(name, value): &(&str, &str)| (name.to_string(), Some(value.to_string()));
        new.configs = settings.iter().map(set).collect();
        new.table = Some(TableDraft {
            definition: serde_json::json!({"key": "string"}),
            partitioners: PartitionerSet::all(),
        });
        let created = cluster.create_as(&new).unwrap();
        assert_eq!(created.replication_factor, factor);
        let topic = cluster.state.topics().by_id(created.id).unwrap();
        let replicas = topic.partitions.iter().map(|place| {
            assert!(cluster.state.shards().contains_key(&place.shard));
            cluster.state.replicas_of(place.shard)
        });
        replicas.collect::<Vec<_>>()
    };
    let three = create("three", 3, &[]);
    assert!(three.iter().all(|replicas| replicas.len() == 3));
    let first: std::collections::BTreeSet<i32> = three.iter().map(|set| set[0]).collect();
    assert_eq!(first, [0, 1, 2].into(), "every node leads some");
    let one: std::collections::BTreeSet<_> = create("one", 1, &[]).into_iter().collect();
    assert_eq!(one, [vec![0], vec![1], vec![2]].into());
    let table = create("rows", 1, &[("table.mode", "primary-key")]);
    assert_eq!(
        table
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        1,
        "a table's partitions are on the same nodes"
    );
    let shards = cluster.state.shards().len();
    cluster.create("again", 1, &[]).unwrap();
    assert_eq!(cluster.state.shards().len(), shards, "no more are needed");
    cluster.commit(topics::grow(&cluster.state, "three", 9, None, &|_| true).unwrap());
    let grown = cluster.state.topics().get("three").unwrap();
    let factor = |place: &crate::meta::PartitionPlace| cluster.state.replicas_of(place.shard).len();
    assert!(grown.partitions.iter().all(|place| factor(place) == 3));
}

#[test]
fn new_partitions_lie_on_nodes_that_are_up_where_there_is_a_choice() {
    let mut cluster = three_nodes();
    let down = cluster.state.nodes()[&1].raft_id;
    let is_up = |node| node != down;
    let mut new = cluster.new_topic("t");
    (new.partitions, new.replication_factor) = (6, 1);
    let (commands, created) = topics::create(cluster.layers(), &new, &is_up).unwrap();
    cluster.commit(commands);
    let nodes = |state: &MetaState| {
        let topic = state.topics().by_id(created.id).unwrap();
        let places = topic.partitions.iter();
        places
            .flat_map(|place| state.replicas_of(place.shard))
            .collect::<std::collections::BTreeSet<i32>>()
    };
    assert_eq!(nodes(&cluster.state), [0, 2].into());
    cluster.commit(topics::grow(&cluster.state, "t", 12, None, &is_up).unwrap());
    assert_eq!(nodes(&cluster.state), [0, 2].into());
    cluster.commit(topics::grow(&cluster.state, "t", 18, None, &|_| true).unwrap());
    assert_eq!(nodes(&cluster.state), [0, 1, 2].into());
    let mut new = cluster.new_topic("everywhere");
    (new.partitions, new.replication_factor) = (1, 3);
    let (_, created) = topics::create(cluster.layers(), &new, &is_up).unwrap();
    assert_eq!(created.replication_factor, 3);
}

#[test]
fn a_default_replication_factor_above_the_number_of_nodes_is_refused() {
    let mut cluster = Cluster::new();
    let setting = ("default.replication.factor".to_owned(), "2".to_owned());
    cluster.node.extend([setting]);
    let too_few = TopicError::TooFewBrokers {
        asked: 2,
        brokers: 1,
    };
    assert_eq!(cluster.create("t", 1, &[]), Err(too_few));
}

#[test]
fn assigned_replicas_that_no_shard_has_get_one() {
    let mut cluster = three_nodes();
    let mut new = cluster.new_topic("t");
    new.assignments = vec![(0, vec![2, 0]), (1, vec![0, 2])];
    let created = cluster.create_as(&new).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (2, 2));
    let topic = cluster.state.topics().by_id(created.id).unwrap();
    let replicas = |place: &crate::meta::PartitionPlace| cluster.state.replicas_of(place.shard);
    let places: Vec<_> = topic.partitions.iter().map(replicas).collect();
    assert_eq!(places, [[2, 0], [0, 2]]);
}

/// The order says who leads next.
#[test]
fn assigned_replicas_keep_their_order() {
    let mut cluster = three_nodes();
    let mut new = cluster.new_topic("t");
    new.assignments = vec![(0, vec![2, 0, 1]), (1, vec![2, 1, 0]), (2, vec![2, 0, 1])];
    let created = cluster.create_as(&new).unwrap();
    let topic = cluster.state.topics().by_id(created.id).unwrap();
    let shards: Vec<u64> = topic.partitions.iter().map(|place| place.shard).collect();
    let replicas = |shard: &u64| cluster.state.replicas_of(*shard);
    let places: Vec<_> = shards.iter().map(replicas).collect();
    assert_eq!(places, [[2, 0, 1], [2, 1, 0], [2, 0, 1]]);
    assert_eq!(shards[0], shards[2], "one shard serves both");
}

#[test]
fn refused_topics_say_why() {
    let mut cluster = Cluster::new();
    cluster.create("a.b", 1, &[]).unwrap();
    let refused = |cluster: &mut Cluster, name: &str, partitions: i32, factor: i16| {
        let mut new = cluster.new_topic(name);
        (new.partitions, new.replication_factor) = (partitions, factor);
        cluster.create_as(&new).unwrap_err()
    };
    assert_eq!(
        refused(&mut cluster, "a.b", 1, 1),
        TopicError::Exists("a.b".to_owned())
    );
    assert!(matches!(
        refused(&mut cluster, "a_b", 1, 1),
        TopicError::Collides { .. }
    ));
    assert!(matches!(
        refused(&mut cluster, "a b", 1, 1),
        TopicError::InvalidName(_)
    ));
    assert_eq!(
        refused(&mut cluster, "t", 0, 1),
        TopicError::InvalidPartitionCount(0)
    );
    assert_eq!(
        refused(&mut cluster, "t", -2, 1),
        TopicError::InvalidPartitionCount(-2)
    );
    assert_eq!(
        refused(&mut cluster, "t", 1, 0),
        TopicError::InvalidReplicationFactor(0)
    );
    assert_eq!(
        refused(&mut cluster, "t", 1, 2),
        TopicError::TooFewBrokers {
            asked: 2,
            brokers: 1
        }
    );
    assert_eq!(
        refused(&mut cluster, "t", i32::MAX, 1),
        TopicError::TooMany(i64::from(i32::MAX))
    );
    assert!(matches!(
        refused(&mut cluster, "__consumer_offsets", 1, 1),
        TopicError::Protected(_)
    ));
    assert!(matches!(
        cluster.create("t", 1, &[("retention", "1")]),
        Err(TopicError::Config(ConfigError::Unknown { .. }))
    ));
    assert!(matches!(
        cluster.create("t", 1, &[("retention.ms", "x")]),
        Err(TopicError::Config(ConfigError::Value { .. }))
    ));
    let mut new = cluster.new_topic("t");
    new.configs = vec![("retention.ms".to_owned(), None)];
    assert!(matches!(
        cluster.create_as(&new),
        Err(TopicError::Config(ConfigError::Null(_)))
    ));
    assert_eq!(cluster.state.topics().len(), 1);
}

#[test]
fn manual_assignments_are_checked() {
    let mut cluster = Cluster::new();
    let mut assign = |assignments: &[(i32, &[i32])], partitions: i32| {
        let mut new = cluster.new_topic("t");
        new.partitions = partitions;
        new.assignments = assignments.iter().map(|(p, r)| (*p, r.to_vec())).collect();
        topics::create(cluster.layers(), &new, &|_| true).map(|(_, created)| created.partitions)
    };
    assert_eq!(assign(&[(1, &[0]), (0, &[0])], -1), Ok(2));
    assert!(matches!(
        assign(&[(0, &[0])], 1),
        Err(TopicError::AssignmentMisplaced(_))
    ));
    for bad in [
        &[(0, &[5][..])][..],
        &[(0, &[])],
        &[(0, &[0, 0])],
        &[(1, &[0])],
        &[(0, &[0]), (0, &[0])],
    ] {
        assert!(
            matches!(assign(bad, -1), Err(TopicError::InvalidAssignment(_))),
            "{bad:?}"
        );
    }
}

#[test]
fn a_topic_that_was_deleted_and_made_again_is_another() {
    let mut cluster = Cluster::new();
    let first = cluster.create("t", 2, &[]).unwrap();
    cluster.commit(topics::delete(&cluster.state, first.id, 41).unwrap());
    assert_eq!(
        topics::delete(&cluster.state, first.id, 41),
        Err(TopicError::UnknownId(first.id))
    );
    let second = cluster.create("t", 2, &[]).unwrap();
    assert_ne!(first.id, second.id);
    assert!(
        cluster
            .state
            .topics()
            .get("t")
            .unwrap()
            .partitions
            .iter()
            .all(|p| p.epoch_base > 41)
    );
}

#[test]
fn growth_keeps_what_is_there() {
    let mut cluster = Cluster::new();
    cluster.create("t", 2, &[]).unwrap();
    let before = cluster.state.topics().get("t").unwrap().partitions.clone();
    cluster.commit(topics::grow(&cluster.state, "t", 5, None, &|_| true).unwrap());
    let after = &cluster.state.topics().get("t").unwrap().partitions;
    assert_eq!(after[..2], before[..]);
    assert_eq!(after.len(), 5);
    for (count, assignments) in [(5, None), (4, None)] {
        assert!(matches!(
            topics::grow(&cluster.state, "t", count, assignments, &|_| true),
            Err(TopicError::NotMorePartitions { .. })
        ));
    }
    let wrong_number = [vec![0]];
    assert!(matches!(
        topics::grow(&cluster.state, "t", 7, Some(&wrong_number), &|_| true),
        Err(TopicError::InvalidAssignment(_))
    ));
    assert_eq!(
        topics::grow(&cluster.state, "u", 5, None, &|_| true),
        Err(TopicError::Unknown("u".to_owned()))
    );
}

#[test]
fn lists_are_appended_to_and_subtracted_from() {
    let mut cluster = Cluster::new();
    cluster.create("t", 1, &[]).unwrap();
    cluster
        .alter(
            "t",
            &[alter(Op::Append, "cleanup.policy", "compact")],
            false,
        )
        .unwrap();
    assert_eq!(
        cluster.set("t", "cleanup.policy").as_deref(),
        Some("delete,compact")
    );
    cluster
        .alter(
            "t",
            &[alter(Op::Subtract, "cleanup.policy", "delete")],
            false,
        )
        .unwrap();
    assert_eq!(
        cluster.set("t", "cleanup.policy").as_deref(),
        Some("compact")
    );
    let error = cluster
        .alter("t", &[alter(Op::Append, "retention.ms", "1")], false)
        .unwrap_err();
    assert!(matches!(error, ConfigError::NotAList { .. }));
}

#[test]
fn a_full_replace_drops_what_it_does_not_name() {
    let mut cluster = Cluster::new();
    cluster
        .create("t", 1, &[("retention.ms", "1"), ("segment.ms", "2")])
        .unwrap();
    cluster
        .alter("t", &[alter(Op::Set, "segment.ms", "3")], true)
        .unwrap();
    assert_eq!(cluster.set("t", "retention.ms"), None);
    assert_eq!(cluster.set("t", "segment.ms").as_deref(), Some("3"));
}

#[test]
fn settings_that_conflict_are_refused() {
    let mut cluster = Cluster::new();
    let conflicts: &[&[(&str, &str)]] = &[
        &[
            ("min.compaction.lag.ms", "10"),
            ("max.compaction.lag.ms", "5"),
        ],
        &[
            ("schema.validation.value", "full"),
            ("confluent.value.schema.validation", "true"),
        ],
        &[("table.mode", "primary-key"), ("cleanup.policy", "delete")],
    ];
    for settings in conflicts {
        let error = cluster.create("t", 1, settings).unwrap_err();
        assert!(
            matches!(error, TopicError::Config(ConfigError::Conflict(_))),
            "{settings:?}: {error}"
        );
    }
    let agreeing = [
        ("schema.validation.value", "id"),
        ("confluent.value.schema.validation", "true"),
    ];
    cluster.create("t", 1, &agreeing).unwrap();
}

#[test]
fn a_table_is_compacted_and_what_makes_its_key_is_frozen() {
    let mut cluster = Cluster::new();
    cluster
        .create("t", 3, &[("table.mode", "primary-key")])
        .unwrap();
    assert_eq!(
        cluster.set("t", "cleanup.policy").as_deref(),
        Some("compact")
    );
    for (name, value) in [
        ("table.mode", "none"),
        ("table.key.format", "int32"),
        ("table.partitioner", "crc32"),
    ] {
        let error = cluster
            .alter("t", &[alter(Op::Set, name, value)], false)
            .unwrap_err();
        assert!(
            matches!(error, ConfigError::Frozen { .. }),
            "{name}: {error}"
        );
    }
    assert!(matches!(
        cluster.alter("t", &[], true),
        Err(ConfigError::Frozen { .. })
    ));
    cluster
        .alter("t", &[alter(Op::Set, "table.partitioner", "auto")], false)
        .unwrap();
    cluster
        .alter("t", &[alter(Op::Set, "retention.ms", "5")], false)
        .unwrap();
    assert!(matches!(
        topics::grow(&cluster.state, "t", 4, None, &|_| true),
        Err(TopicError::TableCannotGrow(_))
    ));
    assert!(matches!(
        cluster.create("t.changelog", 1, &[]),
        Err(TopicError::Reserved { .. })
    ));
    assert!(matches!(
        cluster.create("u", 1, &[("table.merge-engine", "first-row")]),
        Err(TopicError::Config(_))
    ));
}

#[test]
fn a_topic_becomes_a_table_with_its_definition() {
    let mut cluster = Cluster::new();
    cluster.create("t", 1, &[]).unwrap();
    let topic = cluster.state.topics().get("t").unwrap().clone();
    let on = [alter(Op::Set, "table.mode", "primary-key")];
    assert!(matches!(
        configs::alter_topic(cluster.layers(), &topic, &on, false, None),
        Err(ConfigError::Table(_))
    ));
    let draft = TableDraft {
        definition: serde_json::json!(1),
        partitioners: Partitioner::Crc32.into(),
    };
    let commands =
        configs::alter_topic(cluster.layers(), &topic, &on, false, Some(&draft)).unwrap();
    cluster.commit(commands);
    let table = cluster.state.topics().get("t").unwrap();
    assert_eq!(table.table, Some(serde_json::json!(1)));
    assert_eq!(table.partitioners, Some(Partitioner::Crc32.into()));
}

#[test]
fn candidates_only_narrow() {
    let mut cluster = Cluster::new();
    let id = cluster
        .create("t", 3, &[("table.mode", "primary-key")])
        .unwrap()
        .id;
    let two: PartitionerSet = [Partitioner::Murmur2, Partitioner::Crc32]
        .into_iter()
        .collect();
    let (commands, left) = tables::narrow(&cluster.state, id, two).unwrap();
    cluster.commit(commands);
    assert_eq!(left, two);
    let (commands, left) = tables::narrow(&cluster.state, id, PartitionerSet::all()).unwrap();
    assert_eq!((commands, left), (Vec::new(), two));
    assert_eq!(
        tables::narrow(&cluster.state, id, Partitioner::Fnv1a.into()),
        Err(NarrowError::Emptied { left: two })
    );
}

#[test]
fn broker_settings_change_live_and_read_only_ones_do_not() {
    let mut cluster = Cluster::new();
    let bytes = [alter(Op::Set, "message.max.bytes", "5000")];
    let commands = configs::alter_broker(cluster.layers(), None, &bytes, false).unwrap();
    cluster.commit(commands);
    assert_eq!(cluster.layers().broker_int("message.max.bytes"), 5000);
    let own = [alter(Op::Set, "message.max.bytes", "6000")];
    let commands = configs::alter_broker(cluster.layers(), Some(0), &own, false).unwrap();
    cluster.commit(commands);
    assert_eq!(cluster.layers().broker_int("message.max.bytes"), 6000);
    let commands = configs::alter_broker(cluster.layers(), Some(0), &[], true).unwrap();
    cluster.commit(commands);
    assert_eq!(cluster.layers().broker_int("message.max.bytes"), 5000);
    let read_only = [alter(Op::Set, "num.partitions", "5")];
    let error = configs::alter_broker(cluster.layers(), None, &read_only, false).unwrap_err();
    assert!(matches!(error, ConfigError::ReadOnly { .. }));
}

#[test]
fn an_entry_of_another_revision_changes_nothing() {
    let mut cluster = Cluster::new();
    let stale = MetaEntry {
        revision: cluster.state.revision() + 1,
        commands: vec![MetaCommand::TakeProducerIds { first: 0, count: 1 }],
    };
    let before = cluster.state.clone();
    assert!(cluster.state.apply_entry(&encode_entry(&stale)).is_err());
    assert_eq!(cluster.state, before);
}

#[test]
fn an_entry_with_a_command_that_does_not_apply_changes_nothing() {
    let mut cluster = Cluster::new();
    let take = MetaCommand::TakeProducerIds { first: 0, count: 1 };
    let entry = MetaEntry {
        revision: cluster.state.revision(),
        commands: vec![take.clone(), take],
    };
    let before = cluster.state.clone();
    assert!(cluster.state.apply_entry(&encode_entry(&entry)).is_err());
    assert_eq!(cluster.state, before);
}

proptest! {
    /// Whatever is decided applies, and replicas that restart from a snapshot at any point agree.
    #[test]
    fn decisions_apply_and_snapshots_agree(steps in proptest::collection::vec((0u8..5, 0u8..6, 1i32..5), 1..60)) {
        let mut cluster = Cluster::new();
        for (action, name, count) in steps {
            let name = format!("t{name}");
            let topic = cluster.state.topics().get(&name).cloned();
            match (action, topic) {
                (0, _) => drop(cluster.create(&name, count, &[])),
                (1, Some(topic)) => {
                    let commands = topics::delete(&cluster.state, topic.id, count).unwrap();
                    cluster.commit(commands);
                }
                (2, Some(_)) => {
                    if let Ok(commands) = topics::grow(&cluster.state, &name, count, None, &|_| true) {
                        cluster.commit(commands);
                    }
                }
                (3, Some(_)) => drop(cluster.alter(&name, &[alter(Op::Set, "retention.ms", &count.to_string())], false)),
                _ => cluster.state = decode_snapshot(&encode_snapshot(&cluster.state)).unwrap(),
            }
            let restored = decode_snapshot(&encode_snapshot(&cluster.state)).unwrap();
            prop_assert_eq!(&restored, &cluster.state);
        }
    }
}
