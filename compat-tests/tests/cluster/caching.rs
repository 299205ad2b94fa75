//! `write.caching` on several nodes: an ack waits for a majority all the same, so that the next leader has the record.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use compat_tests::calls;
use compat_tests::cluster::{Cluster, ask};
use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;
use kafka_protocol::protocol::StrBytes;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rustix::process::Signal;

use crate::failover::send;
use crate::kafka::partitions;

const TOPIC: &str = "cached";

/// For each record whether it was acknowledged.
#[derive(Clone, Default)]
struct Outcomes(Arc<Mutex<Vec<bool>>>);

impl ClientContext for Outcomes {}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        self.0.lock().expect("no panic").push(delivered.is_ok());
    }
}

/// Whether a record is acknowledged in time.
fn is_acked(cluster: &Cluster, limit: Duration) -> bool {
    let outcomes = Outcomes::default();
    let producer: ThreadedProducer<Outcomes> = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("message.timeout.ms", limit.as_millis().to_string())
        .create_with_context(outcomes.clone())
        .expect("a producer");
    let record = BaseRecord::<str, str>::to(TOPIC).payload("x").partition(0);
    let sent = producer.send(record).map_err(|(error, _)| error);
    sent.expect("queued");
    producer.flush(limit * 2).expect("it has its outcome");
    let outcomes = outcomes.0.lock().expect("no panic").clone();
    assert_eq!(outcomes.len(), 1);
    outcomes[0]
}

#[test]
fn an_ack_of_a_cached_topic_waits_for_a_majority() {
    let cluster = Cluster::start(3).expect("three nodes start");
    let asked = cluster.nodes[0].kafka;
    let mut request = calls::new_topic(TOPIC, 1, 3);
    request.topics[0].configs = vec![
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str("write.caching"))
            .with_value(Some(StrBytes::from_static_str("true"))),
    ];
    let created = ask(asked, 7, &request).expect("an answer");
    assert_eq!(created.topics[0].error_code, 0);
    assert!(is_acked(&cluster, Duration::from_secs(20)));
    let leader = cluster.eventually("all replicas in sync", || {
        let found = partitions(asked, TOPIC)?.remove(0);
        (found.isr_nodes.len() == 3).then_some(found.leader_id.0)
    });
    let leader = Cluster::place_of(leader);
    let others: Vec<usize> = (0..3).filter(|place| *place != leader).collect();
    for place in &others {
        send(&cluster.nodes[*place], Signal::STOP);
    }
    assert!(!is_acked(&cluster, Duration::from_secs(3)));
    for place in &others {
        send(&cluster.nodes[*place], Signal::CONT);
    }
    assert!(is_acked(&cluster, Duration::from_secs(30)));
}
