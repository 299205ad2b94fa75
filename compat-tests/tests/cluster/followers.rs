//! What a follower answers to who fetches from it (KIP-392), request by request.

use std::net::SocketAddr;
use std::time::Duration;

use compat_tests::clock;
use compat_tests::cluster::{Cluster, ask};
use compat_tests::differential::build;
use compat_tests::http;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{DeleteRecordsRequest, FetchRequest, FetchResponse};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::json;

use crate::kafka::{create, metadata, partitions};

const TOPIC: &str = "followed";
const OUT_OF_RANGE: i16 = 1;
const NOT_LEADER: i16 = 6;
const FENCED_EPOCH: i16 = 74;
const UNKNOWN_EPOCH: i16 = 75;
const NOT_AVAILABLE: i16 = 78;
/// The last version that does not know of followers, and one that names topics.
const BEFORE: i16 = 10;
const NOW: i16 = 12;
const RACKS: [&str; 3] = ["a", "b", "c"];
const LONG_MS: i32 = 20_000;

/// A fetch of the topic's one partition.
#[derive(Clone, Copy)]
struct Ask {
    version: i16,
    offset: i64,
    epoch: i32,
    rack: &'static str,
    wait_ms: i32,
}

/// From the first record on, at once.
const ALL: Ask = Ask {
    version: NOW,
    offset: 0,
    epoch: -1,
    rack: "",
    wait_ms: 0,
};

fn request(asked: Ask) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_fetch_offset(asked.offset)
        .with_current_leader_epoch(asked.epoch)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(build::topic(TOPIC))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id(build::CONSUMER)
        .with_max_wait_ms(asked.wait_ms)
        .with_min_bytes(1)
        .with_isolation_level(1)
        .with_session_epoch(-1)
        .with_rack_id(build::text(asked.rack))
        .with_topics(vec![topic])
}

fn only(answer: FetchResponse) -> PartitionData {
    assert_eq!(answer.error_code, 0);
    answer.responses[0].partitions[0].clone()
}

fn fetch(node: SocketAddr, asked: Ask) -> PartitionData {
    only(ask(node, asked.version, &request(asked)).expect("an answer"))
}

fn has_records(partition: &PartitionData) -> bool {
    partition
        .records
        .as_ref()
        .is_some_and(|records| !records.is_empty())
}

/// Writes so many batches of one record.
fn write(cluster: &Cluster, count: i64) {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("enable.idempotence", "true")
        .create()
        .expect("a producer");
    for _ in 0..count {
        let record = BaseRecord::<str, str>::to(TOPIC).payload("x").partition(0);
        let sent = producer.send(record).map_err(|(error, _)| error);
        sent.expect("queued");
        producer.flush(Duration::from_secs(20)).expect("written");
    }
}

/// Three nodes in racks, ten records, and the places of the leader and of two followers that have them.
fn start() -> (Cluster, usize, [usize; 2]) {
    let cluster = Cluster::start_in_racks(&RACKS).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, 1, 3), 0);
    write(&cluster, 10);
    let mut leader = 0;
    for node in &cluster.nodes {
        let found = cluster.eventually("all replicas in sync, with all records", || {
            let found = partitions(node.kafka, TOPIC)?.remove(0);
            let has_all = || fetch(node.kafka, ALL).high_watermark == 10;
            (found.isr_nodes.len() == 3 && has_all()).then_some(found)
        });
        leader = Cluster::place_of(found.leader_id.0);
    }
    (cluster, leader, [(leader + 1) % 3, (leader + 2) % 3])
}

#[test]
fn a_follower_gives_what_is_committed_and_says_what_it_lacks() {
    let (cluster, leader, [follower, _]) = start();
    let (leader, follower) = (cluster.nodes[leader].kafka, cluster.nodes[follower].kafka);
    let (mine, theirs) = (fetch(follower, ALL), fetch(leader, ALL));
    assert_eq!(mine.error_code, 0);
    assert_eq!(mine.records, theirs.records, "the same bytes");
    assert_eq!((mine.high_watermark, mine.last_stable_offset), (10, 10));
    assert_eq!(mine.aborted_transactions.as_deref(), Some(&[][..]));
    let before = Ask {
        version: BEFORE,
        ..ALL
    };
    assert_eq!(fetch(follower, before).error_code, NOT_LEADER);
    assert!(has_records(&fetch(leader, before)));

    let at = |offset| Ask { offset, ..ALL };
    let end = fetch(follower, at(10));
    assert_eq!((end.error_code, has_records(&end)), (0, false));
    assert_eq!(fetch(follower, at(11)).error_code, NOT_AVAILABLE);
    assert_eq!(fetch(leader, at(11)).error_code, OUT_OF_RANGE);

    let partition = DeleteRecordsPartition::default()
        .with_partition_index(0)
        .with_offset(4);
    let topic = DeleteRecordsTopic::default()
        .with_name(build::topic(TOPIC))
        .with_partitions(vec![partition]);
    let delete = DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(LONG_MS);
    let deleted = ask(leader, 2, &delete).expect("an answer");
    assert_eq!(deleted.topics[0].partitions[0].error_code, 0);
    cluster.eventually("the follower has dropped them too", || {
        (fetch(follower, ALL).error_code == OUT_OF_RANGE).then_some(())
    });
    let rest = fetch(follower, at(4));
    assert_eq!((rest.error_code, rest.log_start_offset), (0, 4));
    assert!(has_records(&rest));
}

#[test]
fn a_follower_fences_readers_by_their_leader_epoch() {
    let (cluster, _, [follower, third]) = start();
    let to = json!({"topic": TOPIC, "partition": 0, "to": third + 1}).to_string();
    let asked = cluster.nodes[third].http;
    let moved = http::ask(asked, "POST", "/v1/cluster/transfer", &to);
    assert_eq!(moved.expect("an answer").status, 200);
    let follower = cluster.nodes[follower].kafka;
    let now = cluster.eventually("the follower knows the new leader", || {
        let found = partitions(follower, TOPIC)?.remove(0);
        (Cluster::place_of(found.leader_id.0) == third).then_some(found.leader_epoch)
    });
    let knowing = |epoch| Ask { epoch, ..ALL };
    assert!(has_records(&fetch(follower, knowing(now))));
    assert_eq!(fetch(follower, knowing(now - 1)).error_code, FENCED_EPOCH);
    assert_eq!(fetch(follower, knowing(now + 1)).error_code, UNKNOWN_EPOCH);
}

#[test]
fn a_fetch_that_waits_at_a_follower_is_answered_when_records_come() {
    let (cluster, _, [follower, _]) = start();
    let follower = cluster.nodes[follower].kafka;
    // At its end, and where the reader is ahead of it.
    for (offset, count) in [(10, 1), (12, 2)] {
        let waiting = std::thread::spawn(move || {
            let wait_ms = LONG_MS;
            let began_at = clock::now_ms();
            let answer = fetch(
                follower,
                Ask {
                    offset,
                    wait_ms,
                    ..ALL
                },
            );
            (answer, clock::now_ms() - began_at)
        });
        clock::pause(Duration::from_millis(300));
        write(&cluster, count);
        let (answer, took) = waiting.join().expect("answered");
        assert_eq!(answer.error_code, 0);
        assert!(has_records(&answer), "at {offset}");
        assert!(took < i64::from(LONG_MS) / 2, "{took} ms");
    }
}

#[test]
fn a_leader_sends_readers_to_the_replica_in_their_rack_while_it_is_there() {
    let (mut cluster, leader, [follower, third]) = start();
    let leader_id = |place: usize| place as i32 + 1;
    let asked = cluster.nodes[leader].kafka;
    let brokers = metadata(asked, None).expect("metadata").brokers;
    let racks = brokers.iter().filter_map(|broker| broker.rack.as_deref());
    assert!(racks.eq(RACKS), "{brokers:?}");
    let from = |rack| Ask { rack, ..ALL };
    let near = fetch(asked, from(RACKS[follower]));
    assert_eq!(near.preferred_read_replica.0, leader_id(follower));
    assert_eq!((near.error_code, has_records(&near)), (0, false));
    assert_eq!(near.high_watermark, 10);
    for rack in [RACKS[leader], "elsewhere", ""] {
        let own = fetch(asked, from(rack));
        assert_eq!(own.preferred_read_replica.0, -1, "{rack}");
        assert!(has_records(&own), "{rack}");
    }
    let beyond = Ask {
        offset: 11,
        ..from(RACKS[follower])
    };
    assert_eq!(fetch(asked, beyond).error_code, OUT_OF_RANGE);

    // A session says so again.
    let opens = request(from(RACKS[follower])).with_session_epoch(0);
    let opened = ask(asked, NOW, &opens).expect("an answer");
    let again = FetchRequest::default()
        .with_session_id(opened.session_id)
        .with_session_epoch(1)
        .with_rack_id(build::text(RACKS[follower]));
    let again = only(ask(asked, NOW, &again).expect("an answer"));
    assert_eq!(again.preferred_read_replica.0, leader_id(follower));

    cluster.nodes[follower].kill().expect("killed");
    cluster.eventually("the leader serves", || {
        has_records(&fetch(asked, from(RACKS[follower]))).then_some(())
    });

    // Who is left has no leader, and gives what it has.
    cluster.nodes[leader].kill().expect("killed");
    let left = cluster.nodes[third].kafka;
    cluster.eventually("the one that is left says that there may be more", || {
        let end = Ask { offset: 10, ..ALL };
        (fetch(left, end).error_code == NOT_AVAILABLE).then_some(())
    });
    assert!(has_records(&fetch(left, ALL)));
}

#[test]
fn a_node_without_a_replica_names_the_leader() {
    let cluster = Cluster::start(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, 1, 1), 0);
    let leader = cluster.eventually("a leader", || {
        Some(partitions(cluster.nodes[0].kafka, TOPIC)?[0].leader_id.0)
    });
    let other = cluster.nodes[leader as usize % 3].kafka;
    let answer = cluster.eventually("the other knows of the topic", || {
        let answer = fetch(other, ALL);
        (answer.error_code == NOT_LEADER).then_some(answer)
    });
    assert_eq!(answer.current_leader.leader_id.0, leader);
}
