//! Any node answers: what is asked of one that does not lead is done by the one that does.

use std::collections::BTreeSet;
use std::time::Duration;

use compat_tests::clock;
use compat_tests::cluster::{Cluster, ask};
use compat_tests::differential::build;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, FindCoordinatorRequest, HeartbeatRequest, ListOffsetsRequest,
    ProduceRequest,
};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::kafka::{create, partitions};

const NOT_LEADER: i16 = 6;
const NOT_COORDINATOR: i16 = 16;
const INVALID_REPLICATION_FACTOR: i16 = 38;

#[test]
fn topics_of_every_replication_factor_are_made_written_and_read_through_each_node() {
    let cluster = Cluster::start(3).expect("three nodes start");
    let asked = cluster.nodes[2].kafka;
    assert_eq!(create(asked, "none", 1, 4), INVALID_REPLICATION_FACTOR);
    for (topic, factor) in [("one", 1), ("two", 2), ("three", 3), ("default", -1)] {
        assert_eq!(create(asked, topic, 6, factor), 0, "{}", cluster.outputs());
        let expected = if factor < 0 { 3 } else { factor as usize };
        let mut leaders = BTreeSet::new();
        for node in &cluster.nodes {
            let found = cluster.eventually("replicas in sync", || {
                let found = partitions(node.kafka, topic)?;
                let whole = |one: &&_| in_sync(one) == expected;
                (found.iter().filter(whole).count() == 6).then_some(found)
            });
            assert!(found.iter().all(|one| one.replica_nodes.len() == expected));
            leaders.extend(found.iter().map(|one| one.leader_id.0));
        }
        assert_eq!(
            leaders,
            [1, 2, 3].into(),
            "every node leads some of {topic}"
        );
    }
    for (place, node) in cluster.nodes.iter().enumerate() {
        for topic in ["one", "three"] {
            write_and_read(&node.kafka.to_string(), topic, place);
        }
    }
}

fn in_sync(
    partition: &kafka_protocol::messages::metadata_response::MetadataResponsePartition,
) -> usize {
    partition.isr_nodes.len()
}

/// A client that knows one node only writes 60 records, and reads all that were written so far.
fn write_and_read(bootstrap: &str, topic: &str, written_before: usize) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    let producer: ThreadedProducer<DefaultProducerContext> = config
        .clone()
        .set("enable.idempotence", "true")
        .create()
        .expect("a producer");
    for number in 0..60 {
        let payload = format!("{written_before}-{number}");
        let record = BaseRecord::<str, str>::to(topic)
            .payload(&payload)
            .partition(number % 6);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("queued");
    }
    producer.flush(Duration::from_secs(20)).expect("all acked");
    let consumer: BaseConsumer = config
        .set("group.id", format!("readers-{topic}-{written_before}"))
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    let mut seen = BTreeSet::new();
    while seen.len() < 60 * (written_before + 1) {
        // A rebalance ends a poll early.
        let polled = || consumer.poll(Duration::from_secs(1));
        let polled = clock::wait_for(Duration::from_secs(20), Duration::ZERO, polled);
        let message = polled.expect("in time").expect("no error");
        let payload = message.payload_view::<str>().expect("a payload");
        assert!(seen.insert(payload.expect("text").to_owned()), "read twice");
    }
}

#[test]
fn a_node_that_does_not_lead_says_who_does() {
    let cluster = Cluster::start(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, "one", 1, 1), 0);
    let partition = cluster.eventually("a leader", || partitions(cluster.nodes[0].kafka, "one"));
    let leader = partition[0].leader_id;
    for (place, node) in cluster.nodes.iter().enumerate() {
        let leads = Cluster::place_of(leader.0) == place;
        let asked = ListOffsetsPartition::default().with_timestamp(-1);
        let topic = ListOffsetsTopic::default()
            .with_name(build::topic("one"))
            .with_partitions(vec![asked]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![topic]);
        let answer = ask(node.kafka, 5, &request).expect("an answer");
        let code = answer.topics[0].partitions[0].error_code;
        assert_eq!(code, if leads { 0 } else { NOT_LEADER });

        let data = PartitionProduceData::default().with_records(Some(bytes::Bytes::new()));
        let topic = TopicProduceData::default()
            .with_name(build::topic("one"))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(5_000)
            .with_topic_data(vec![topic]);
        let answer = ask(node.kafka, 10, &request).expect("an answer");
        let produced = &answer.responses[0].partition_responses[0];
        if !leads {
            assert_eq!(produced.error_code, NOT_LEADER);
            assert_eq!(produced.current_leader.leader_id, leader);
            assert_eq!(answer.node_endpoints.len(), 3);
        }
    }
    let controllers = cluster.nodes.iter().map(|node| {
        let described = ask(node.kafka, 0, &DescribeClusterRequest::default());
        let described = described.expect("an answer");
        assert_eq!(described.brokers.len(), 3);
        described.controller_id.0
    });
    let controllers: BTreeSet<i32> = controllers.collect();
    assert_eq!(controllers.len(), 1, "{controllers:?}");
}

#[test]
fn a_group_has_one_coordinator_whoever_is_asked() {
    let cluster = Cluster::start(3).expect("three nodes start");
    for group in ["a", "b", "c", "d"] {
        let find = FindCoordinatorRequest::default().with_key(build::text(group));
        let found = cluster.nodes.iter().map(|node| {
            cluster.eventually("a coordinator", || {
                let found = ask(node.kafka, 3, &find).ok()?;
                (found.error_code == 0).then_some(found.node_id.0)
            })
        });
        let found: BTreeSet<i32> = found.collect();
        assert_eq!(found.len(), 1, "{group}: {found:?}");
        let coordinator = Cluster::place_of(*found.first().expect("one"));
        for (place, node) in cluster.nodes.iter().enumerate() {
            let heartbeat = HeartbeatRequest::default()
                .with_group_id(build::group(group))
                .with_member_id(build::text("nobody"));
            let answer = ask(node.kafka, 3, &heartbeat).expect("an answer");
            assert_eq!(
                answer.error_code == NOT_COORDINATOR,
                place != coordinator,
                "{group} at {place}: {answer:?}"
            );
        }
    }
}
