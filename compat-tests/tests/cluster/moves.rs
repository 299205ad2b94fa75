//! Partitions move to other nodes under an idempotent producer and a group: nothing is lost or doubled, also where nodes
//! are killed on the way, and the client notices new leaders only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use compat_tests::calls::reassignment;
use compat_tests::clock;
use compat_tests::cluster::{Cluster, ask};
use kafka_protocol::messages::{
    BrokerId, ListPartitionReassignmentsRequest, UnregisterBrokerRequest,
};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;

use crate::failover::{Acks, PARTITIONS, TOPIC, check, client, write};
use crate::kafka::{brokers, create, partitions};
use crate::leadership::tool;

pub const OFFSETS: &str = "__consumer_offsets";
/// How long moves may take: on a machine that is busy with other things leaders are lost all the time, and moves begin anew.
pub const MOVED: Duration = Duration::from_secs(120);

/// The codes of a reassignment of partitions of one topic; `None` cancels.
pub fn reassign(node: SocketAddr, topic: &str, to: &BTreeMap<i32, Option<Vec<i32>>>) -> Vec<i16> {
    let answer = ask(node, 1, &reassignment(topic, to)).expect("an answer");
    assert_eq!(answer.error_code, 0, "{answer:?}");
    let answered = answer.responses[0].partitions.iter();
    answered.map(|partition| partition.error_code).collect()
}

/// The partitions that are on their way.
pub fn underway(node: SocketAddr) -> Option<usize> {
    let request = ListPartitionReassignmentsRequest::default().with_topics(None);
    let answer = ask(node, 0, &request).ok()?;
    let topics = answer.topics.iter();
    Some(topics.map(|topic| topic.partitions.len()).sum())
}

/// The replicas of all partitions, in order, as one node tells.
pub fn replicas(node: SocketAddr, topic: &str) -> Option<Vec<Vec<i32>>> {
    let found = partitions(node, topic)?;
    let replicas = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
    Some(
        found
            .iter()
            .map(|one| replicas(&one.replica_nodes))
            .collect(),
    )
}

pub fn all_to(count: i32, replicas: impl Fn(i32) -> Vec<i32>) -> BTreeMap<i32, Option<Vec<i32>>> {
    (0..count)
        .map(|index| (index, Some(replicas(index))))
        .collect()
}

pub fn await_moved(cluster: &Cluster, asked: usize, topic: &str, wanted: &[Vec<i32>]) {
    let node = cluster.nodes[asked].kafka;
    let ended = || (underway(node)? == 0).then_some(());
    let ended = clock::wait_for(MOVED, Duration::from_millis(50), ended);
    assert!(ended.is_some(), "moves do not end\n{}", cluster.outputs());
    cluster.eventually("the replicas are told", || {
        (replicas(node, topic)? == wanted).then_some(())
    });
}

fn epochs(cluster: &Cluster) -> Vec<i32> {
    let found = cluster.eventually("leaders", || partitions(cluster.nodes[0].kafka, TOPIC));
    found.iter().map(|one| one.leader_epoch).collect()
}

/// What partition `index` is moved to, round by round: other nodes, more and fewer of them.
fn target(round: usize, index: i32) -> Vec<i32> {
    let sets: [&[i32]; 5] = [&[2, 3], &[3, 1, 2], &[1], &[2, 1, 3], &[3, 2]];
    sets[(round + index as usize) % sets.len()].to_vec()
}

/// Moves all partitions round by round while a producer writes; in each round `disturb` may do its worst.
fn move_around(rounds: usize, mut disturb: impl FnMut(&mut Cluster, usize)) {
    let mut cluster = Cluster::start_still(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, PARTITIONS, 3), 0);
    let config = client(&cluster);
    let (acks, done) = (Acks::default(), Arc::new(AtomicBool::new(false)));
    let writer = std::thread::spawn({
        let (config, acks, done) = (config.clone(), acks.clone(), done.clone());
        move || write(config, acks, &done)
    });
    clock::pause(Duration::from_millis(500));
    for round in 0..rounds {
        let before = epochs(&cluster);
        let lay = cluster.eventually("the replicas", || replicas(cluster.nodes[0].kafka, TOPIC));
        let wanted = all_to(PARTITIONS, |index| target(round, index));
        let codes = reassign(cluster.nodes[round % 3].kafka, TOPIC, &wanted);
        assert_eq!(codes, vec![0; PARTITIONS as usize]);
        disturb(&mut cluster, round);
        let wanted: Vec<Vec<i32>> = wanted.into_values().flatten().collect();
        await_moved(&cluster, (round + 1) % 3, TOPIC, &wanted);
        let after = epochs(&cluster);
        for (index, moved) in wanted
            .iter()
            .zip(&lay)
            .map(|(to, from)| to != from)
            .enumerate()
        {
            let (before, after) = (before[index], after[index]);
            assert!(
                if moved {
                    before < after
                } else {
                    before <= after
                },
                "{before} {after}"
            );
        }
        clock::pause(Duration::from_millis(300));
    }
    done.store(true, Ordering::Release);
    let sent = writer.join().expect("the writer ends");
    check(&config, &acks, sent);
}

#[test]
fn partitions_that_move_lose_and_double_nothing() {
    move_around(3, |_, _| {});
}

#[test]
fn a_node_that_is_killed_while_partitions_move_loses_and_doubles_nothing() {
    move_around(3, |cluster, round| {
        clock::pause(Duration::from_millis(10 * (round as u64 * 7 % 11)));
        let node = &mut cluster.nodes[round % 3];
        node.kill().expect("killed");
        clock::pause(Duration::from_millis(500));
        node.launch().expect("it comes back");
    });
}

/// Java's producer numbers its records, and has five requests on their way, unless it is told otherwise.
#[test]
fn javas_producer_notices_new_leaders_only() {
    const RECORDS: u64 = 2_000;
    let cluster = Cluster::start_still(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, PARTITIONS, 3), 0);
    let dir = tempfile::tempdir().expect("a directory");
    // The tool's own are a producer that tries once.
    let settings = dir.path().join("producer.properties");
    let text = "enable.idempotence=true\nretries=2147483647\nlinger.ms=2\nbatch.size=512\n";
    std::fs::write(&settings, text).expect("written");
    let words = [
        ("--bootstrap-server", cluster.bootstrap()),
        ("--topic", TOPIC.to_owned()),
        ("--max-messages", RECORDS.to_string()),
        ("--throughput", "250".to_owned()),
        ("--producer.config", settings.display().to_string()),
    ];
    let java = std::thread::spawn(move || {
        let words = words.iter().flat_map(|(flag, value)| [*flag, value]);
        tool("VerifiableProducer", &words.collect::<Vec<_>>())
    });
    let mut round = 0;
    while round < 2 || !java.is_finished() {
        let wanted = all_to(PARTITIONS, |index| target(round, index));
        let codes = reassign(cluster.nodes[round % 3].kafka, TOPIC, &wanted);
        assert_eq!(codes, vec![0; PARTITIONS as usize]);
        let wanted: Vec<Vec<i32>> = wanted.into_values().flatten().collect();
        await_moved(&cluster, (round + 1) % 3, TOPIC, &wanted);
        round += 1;
    }
    let acks = Acks::default();
    for line in java.join().expect("the producer ends").lines() {
        // It also says what of its options is old.
        let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        assert_ne!(event["name"], "producer_send_error", "{line}");
        if event["name"] == "producer_send_success" {
            let number = event["value"].as_str().expect("a value");
            let place = (&event["partition"], &event["offset"]);
            let place = (place.0.as_i64(), place.1.as_i64());
            let (partition, offset) = (place.0.expect("one"), place.1.expect("one"));
            let number = number.parse().expect("a number");
            acks.note(number, (partition as i32, offset));
        }
    }
    check(&client(&cluster), &acks, RECORDS);
}

/// C1: what a group has committed moves with the partition that it is committed to.
#[test]
fn a_group_goes_on_from_its_offsets_when_its_coordinator_moves() {
    let cluster = Cluster::start_still(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, PARTITIONS, 3), 0);
    let consumer: BaseConsumer = client(&cluster)
        .set("group.id", "movers")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    for round in 1..=2 {
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(TOPIC, 0, Offset::Offset(round * 10))
            .expect("a partition");
        cluster.eventually("a commit", || {
            consumer.commit(&offsets, CommitMode::Sync).ok()
        });
        let node = cluster.nodes[0].kafka;
        let count = cluster
            .eventually("the topic", || partitions(node, OFFSETS))
            .len() as i32;
        let wanted = all_to(count, |index| target(round as usize, index));
        let codes = reassign(node, OFFSETS, &wanted);
        assert!(codes.iter().all(|code| *code == 0), "{codes:?}");
        let wanted: Vec<Vec<i32>> = wanted.into_values().flatten().collect();
        await_moved(&cluster, 1, OFFSETS, &wanted);
        let mut asked = TopicPartitionList::new();
        asked.add_partition(TOPIC, 0);
        let found = cluster.eventually("the offsets", || {
            let found = consumer.committed_offsets(asked.clone(), Duration::from_secs(5));
            found.ok()
        });
        assert_eq!(found.elements()[0].offset(), Offset::Offset(round * 10));
    }
}

#[test]
fn what_cannot_move_is_refused() {
    let cluster = Cluster::start_still(3).expect("three nodes start");
    let node = cluster.nodes[0].kafka;
    assert_eq!(create(node, TOPIC, 2, 3), 0);
    let to = |replicas: Option<&[i32]>| [(0, replicas.map(<[i32]>::to_vec))].into();
    assert_eq!(reassign(node, TOPIC, &to(None)), [85]);
    assert_eq!(reassign(node, TOPIC, &to(Some(&[1, 9]))), [39]);
    assert_eq!(reassign(node, TOPIC, &to(Some(&[1, 1]))), [39]);
    assert_eq!(reassign(node, "none", &to(Some(&[1]))), [3]);
    let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(2));
    let answer = ask(node, 0, &request).expect("an answer");
    assert_eq!(answer.error_code, 42, "{answer:?}");
    let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(9));
    assert_eq!(ask(node, 0, &request).expect("an answer").error_code, 102);
    assert_eq!(brokers(node).expect("an answer").1.len(), 3);
}

#[test]
fn kafkas_tool_moves_partitions_and_cancels() {
    let mut cluster = Cluster::start_still(3).expect("three nodes start");
    let node = cluster.nodes[0].kafka;
    assert_eq!(create(node, TOPIC, 2, 1), 0);
    let dir = tempfile::tempdir().expect("a directory");
    let plan = dir.path().join("plan.json");
    let plan = plan.to_str().expect("text");
    let bootstrap = cluster.bootstrap();
    let reassign_partitions = |wanted: &[&[i32]], verb: &[&str]| {
        let partitions = wanted
            .iter()
            .zip(0..)
            .map(|(ids, index)| json!({"topic": TOPIC, "partition": index, "replicas": ids}));
        let partitions: Vec<_> = partitions.collect();
        let text = json!({"version": 1, "partitions": partitions}).to_string();
        std::fs::write(plan, text).expect("written");
        let words = [
            "--bootstrap-server",
            &bootstrap,
            "--reassignment-json-file",
            plan,
        ];
        tool(
            "reassign.ReassignPartitionsCommand",
            &[&words[..], verb].concat(),
        )
    };
    let wanted: [&[i32]; 2] = [&[2, 3], &[3, 1, 2]];
    let said = reassign_partitions(&wanted, &["--execute"]);
    assert!(
        said.contains("Successfully started partition reassignments for"),
        "{said}"
    );
    await_moved(&cluster, 1, TOPIC, &wanted.map(<[i32]>::to_vec));
    let said = reassign_partitions(&wanted, &["--verify"]);
    for index in 0..2 {
        let ended = format!("Reassignment of partition {TOPIC}-{index} is completed.");
        assert!(said.contains(&ended), "{said}");
    }

    // To a node that is down nothing arrives. Throttles are kept, since they are taken back from each node by itself.
    const KEEP: &str = "--preserve-throttles";
    cluster.nodes[0].kill().expect("killed");
    let node = cluster.nodes[1].kafka;
    assert_eq!(reassign(node, TOPIC, &[(0, Some(vec![1]))].into()), [0]);
    let said = reassign_partitions(&[&[1]], &["--verify", KEEP]);
    let going = format!("Reassignment of partition {TOPIC}-0 is still in progress.");
    assert!(said.contains(&going), "{said}");
    let said = reassign_partitions(&[&[1]], &["--cancel", KEEP]);
    assert!(
        said.contains("Successfully cancelled partition reassignment"),
        "{said}"
    );
    assert_eq!(underway(node), Some(0));
    let found = replicas(node, TOPIC).expect("the topic");
    assert_eq!(found[0], [2, 3]);
}
