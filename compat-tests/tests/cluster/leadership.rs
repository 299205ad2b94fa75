//! Leaders are moved by those who ask for it, as Kafka's own tools do, and the quorum of the metadata is shown to them.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::Duration;

use compat_tests::cluster::{Cluster, ask};
use compat_tests::differential::build;
use compat_tests::{clock, kafka::class_path};
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::PartitionData as Quorum;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{DescribeQuorumRequest, ElectLeadersRequest, ElectLeadersResponse};

use crate::kafka::{create, partitions};

const TOPIC: &str = "led";
const PARTITIONS: i32 = 6;
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
const PREFERRED_LEADER_NOT_AVAILABLE: i16 = 80;
const ELIGIBLE_LEADERS_NOT_AVAILABLE: i16 = 83;
const ELECTION_NOT_NEEDED: i16 = 84;
/// Leaders go back when they are asked to, and not by themselves.
const BY_REQUEST: &str = "[settings]\n\"auto.leader.rebalance.enable\" = false\n";

fn elect(node: SocketAddr, kind: i8, named: Option<&[i32]>) -> ElectLeadersResponse {
    let topics = named.map(|partitions| {
        let topic = TopicPartitions::default()
            .with_topic(build::topic(TOPIC))
            .with_partitions(partitions.to_vec());
        vec![topic]
    });
    let request = ElectLeadersRequest::default()
        .with_election_type(kind)
        .with_topic_partitions(topics)
        .with_timeout_ms(10_000);
    ask(node, 2, &request).expect("an answer")
}

/// The codes of [`TOPIC`]'s partitions.
fn codes(answer: &ElectLeadersResponse) -> Vec<(i32, i16)> {
    let topics = answer.replica_election_results.iter();
    let topic = topics.filter(|topic| topic.topic.as_str() == TOPIC);
    let results = topic.flat_map(|topic| &topic.partition_result);
    let mut codes: Vec<_> = results
        .map(|one| (one.partition_id, one.error_code))
        .collect();
    codes.sort();
    codes
}

fn all(code: i16) -> Vec<(i32, i16)> {
    (0..PARTITIONS).map(|index| (index, code)).collect()
}

/// Whether each partition is led by the first of its replicas, as one node knows it.
fn preferred(node: SocketAddr) -> Option<Vec<bool>> {
    let found = partitions(node, TOPIC)?;
    let preferred =
        |one: &kafka_protocol::messages::metadata_response::MetadataResponsePartition| {
            one.replica_nodes.first() == Some(&one.leader_id)
        };
    Some(found.iter().map(preferred).collect())
}

/// Three nodes, where the first one has been away: it leads nothing.
fn unbalanced() -> Cluster {
    let dir = tempfile::tempdir().expect("a directory");
    let options = dir.path().join("weir.toml");
    std::fs::write(&options, BY_REQUEST).expect("written");
    let options = options.to_str().expect("text");
    let mut cluster = Cluster::prepare_with(3, &["-c", options]).expect("three nodes");
    cluster.spawn_all().expect("spawned");
    cluster.await_all().expect("three nodes start");
    assert_eq!(create(cluster.nodes[1].kafka, TOPIC, PARTITIONS, 3), 0);
    await_preferred(&cluster);
    cluster.nodes[0].stop().expect("a clean stop");
    cluster.nodes[0].launch().expect("started again");
    drop(dir);
    let others = [cluster.nodes[1].kafka, cluster.nodes[2].kafka];
    for node in others {
        cluster.eventually("all replicas in sync, and two nodes lead", || {
            let found = partitions(node, TOPIC)?;
            let whole = found.iter().all(|one| one.isr_nodes.len() == 3);
            (whole && found.iter().all(|one| one.leader_id.0 != 1)).then_some(())
        });
    }
    cluster
}

fn await_preferred(cluster: &Cluster) {
    for node in &cluster.nodes {
        cluster.eventually("preferred leaders", || {
            preferred(node.kafka)?.iter().all(|one| *one).then_some(())
        });
    }
}

#[test]
fn preferred_leaders_are_elected_by_any_node_that_is_asked() {
    let mut cluster = unbalanced();
    // The third node leads neither what is moved nor the metadata for sure.
    let before = preferred(cluster.nodes[2].kafka).expect("leaders");
    let moved = before.iter().filter(|preferred| !**preferred).count();
    assert!(moved > 0 && moved < before.len(), "{before:?}");
    let answer = elect(cluster.nodes[2].kafka, UNCLEAN, Some(&[0]));
    assert_eq!(codes(&answer), [(0, ELECTION_NOT_NEEDED)]);
    let answer = elect(cluster.nodes[2].kafka, PREFERRED, None);
    assert_eq!(answer.error_code, 0);
    let expected = (0..).zip(&before).filter(|(_, preferred)| !**preferred);
    let expected: Vec<(i32, i16)> = expected.map(|(index, _)| (index, 0)).collect();
    assert_eq!(codes(&answer), expected, "{}", cluster.outputs());
    await_preferred(&cluster);
    let every: Vec<i32> = (0..PARTITIONS).collect();
    let again = elect(cluster.nodes[0].kafka, PREFERRED, Some(&every));
    assert_eq!(codes(&again), all(ELECTION_NOT_NEEDED));

    cluster.nodes[0].kill().expect("killed");
    cluster.eventually("others lead", || {
        let found = partitions(cluster.nodes[1].kafka, TOPIC)?;
        found.iter().all(|one| one.leader_id.0 != 1).then_some(())
    });
    let answer = elect(cluster.nodes[1].kafka, PREFERRED, Some(&every));
    let away = |code: &&(i32, i16)| code.1 == PREFERRED_LEADER_NOT_AVAILABLE;
    assert_eq!(codes(&answer).iter().filter(away).count(), moved);
}

#[test]
fn a_leader_that_lacks_records_is_not_elected() {
    let mut cluster = Cluster::start(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, 1, 1), 0);
    let leader = partitions(cluster.nodes[0].kafka, TOPIC).expect("a leader")[0].leader_id;
    let place = Cluster::place_of(leader.0);
    cluster.nodes[place].kill().expect("killed");
    let asked = cluster.nodes[(place + 1) % 3].kafka;
    cluster.eventually("no leader", || {
        let answer = elect(asked, UNCLEAN, Some(&[0]));
        (codes(&answer) == [(0, ELIGIBLE_LEADERS_NOT_AVAILABLE)]).then_some(())
    });
    let answer = elect(asked, PREFERRED, Some(&[0]));
    assert_eq!(codes(&answer), [(0, PREFERRED_LEADER_NOT_AVAILABLE)]);
}

fn quorum(node: SocketAddr) -> Option<Quorum> {
    let partition = PartitionData::default().with_partition_index(0);
    let topic = TopicData::default()
        .with_topic_name(build::topic("__cluster_metadata"))
        .with_partitions(vec![partition]);
    let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
    let answer = ask(node, 2, &request).ok()?;
    let partition = answer.topics[0].partitions[0].clone();
    (partition.error_code == 0).then_some(partition)
}

#[test]
fn every_node_knows_how_far_the_replicas_of_the_metadata_are() {
    let mut cluster = Cluster::start(3).expect("three nodes start");
    let voters = |quorum: &Quorum| {
        let mut ids: Vec<i32> = quorum
            .current_voters
            .iter()
            .map(|one| one.replica_id.0)
            .collect();
        ids.sort();
        ids
    };
    for node in &cluster.nodes {
        let found = cluster.eventually("a quorum", || {
            quorum(node.kafka).filter(|found| voters(found) == [1, 2, 3])
        });
        assert!(found.observers.is_empty());
        assert!(found.high_watermark > 0);
    }
    let leader = quorum(cluster.nodes[0].kafka)
        .expect("a quorum")
        .leader_id
        .0;
    let gone = leader % 3 + 1;
    cluster.nodes[Cluster::place_of(gone)]
        .kill()
        .expect("killed");
    let asked = cluster.nodes[Cluster::place_of(gone % 3 + 1)].kafka;
    assert_eq!(create(asked, TOPIC, 1, 3), 0);
    let behind = cluster.eventually("one replica is behind", || {
        let found = quorum(asked)?;
        let voter = |id: i32| {
            found
                .current_voters
                .iter()
                .find(|one| one.replica_id.0 == id)
        };
        let (gone, leads) = (voter(gone)?.clone(), voter(leader)?.clone());
        (gone.log_end_offset < leads.log_end_offset).then_some((gone, leads))
    });
    let (gone, leads) = behind;
    assert!(gone.last_caught_up_timestamp < leads.last_caught_up_timestamp);
    assert!(gone.last_fetch_timestamp > clock::now_ms() - 60_000);
}

/// What one of Kafka's own tools prints.
pub fn tool(class: &str, words: &[&str]) -> String {
    let ended: Output = Command::new("java")
        .args([
            "-Xmx128m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-cp",
        ])
        .arg(class_path().expect("Kafka's jars"))
        .arg(format!("org.apache.kafka.tools.{class}"))
        .args(words)
        .output()
        .expect("java runs");
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(
        ended.status.success(),
        "{class} {words:?}: {text}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    text
}

#[test]
fn kafkas_tools_elect_leaders_and_describe_the_quorum() {
    let cluster = unbalanced();
    let bootstrap = cluster.bootstrap();
    let server = ["--bootstrap-server", &bootstrap];
    let elected = tool(
        "LeaderElectionCommand",
        &[
            &server[..],
            &["--election-type", "preferred", "--all-topic-partitions"],
        ]
        .concat(),
    );
    assert!(
        elected.contains("Successfully completed leader election (PREFERRED) for partitions"),
        "{elected}"
    );
    await_preferred(&cluster);
    let named = [
        "--election-type",
        "preferred",
        "--topic",
        TOPIC,
        "--partition",
        "0",
    ];
    let elected = tool("LeaderElectionCommand", &[&server[..], &named].concat());
    assert!(
        elected.contains("Valid replica already elected for partitions led-0"),
        "{elected}"
    );

    let status = tool(
        "MetadataQuorumCommand",
        &[&server[..], &["describe", "--status"]].concat(),
    );
    let leader = quorum(cluster.nodes[0].kafka)
        .expect("a quorum")
        .leader_id
        .0;
    assert!(
        status.contains(&format!("LeaderId:               {leader}")),
        "{status}"
    );
    assert!(
        status.contains("\"endpoints\": [\"CLUSTER://127.0.0.1:"),
        "{status}"
    );
    let replicas = || {
        let words = [&server[..], &["describe", "--replication"]].concat();
        let shown = tool("MetadataQuorumCommand", &words);
        (shown.matches("Follower").count() == 2).then_some(shown)
    };
    let shown = clock::wait_for(Duration::from_secs(60), Duration::ZERO, replicas);
    let shown = shown.expect("a leader and two followers");
    let leads = |line: &&str| line.split('\t').any(|cell| cell.trim() == "Leader");
    assert_eq!(shown.lines().filter(leads).count(), 1, "{shown}");
}
