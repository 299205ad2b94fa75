//! A client of raw requests, and the requests that several tests send.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use compat_tests::clock;
use compat_tests::differential::batches::{batch, record};
use compat_tests::differential::wire::{self, Connection, Reply};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    CreateTopicsRequest, FindCoordinatorRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};

pub const LIMIT: Duration = Duration::from_secs(30);

pub struct Client(Connection);

/// What became of the one batch of a produce request.
pub struct Produced {
    pub partition: PartitionProduceResponse,
    pub throttle: Duration,
}

impl Client {
    pub fn open(address: SocketAddr) -> Client {
        Client(Connection::open(address).expect("the broker listens"))
    }

    pub fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let correlation = self.send(version, request);
        self.receive::<R>(version, correlation)
    }

    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.0.send(version, request).expect("sent")
    }

    pub fn receive<R: Request>(&mut self, version: i16, correlation: i32) -> R::Response {
        match self.0.receive(LIMIT).expect("an answer") {
            Reply::Frame(frame) => {
                let decoded = wire::decode::<R>(version, correlation, frame);
                decoded.expect("a legal answer").body
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    /// Whether the broker closes the connection within the limit.
    pub fn is_closed(&mut self, limit: Duration) -> bool {
        matches!(self.0.receive(limit), Ok(Reply::Closed))
    }

    pub fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let configs = configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
        });
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(10_000);
        let answer = self.ask(5, &request);
        assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
    }

    /// Asks for a group's coordinator until there is one: the first use of groups makes their topic.
    pub fn find_coordinator(&mut self, group: &str) {
        let request = FindCoordinatorRequest::default().with_key(text(group));
        let step = Duration::from_millis(50);
        let found = clock::wait_for(LIMIT, step, || {
            (self.ask(1, &request).error_code == 0).then_some(())
        });
        assert!(found.is_some(), "{group} has a coordinator");
    }

    /// One record into partition 0 of a topic, acks=all.
    pub fn produce(&mut self, topic: &str, key: &str, value: &str) -> Produced {
        let request = produce_request(topic, batch(vec![record(key, value)]).bytes());
        let mut answer = self.ask(9, &request);
        Produced {
            throttle: Duration::from_millis(answer.throttle_time_ms.unsigned_abs().into()),
            partition: answer.responses[0].partition_responses.remove(0),
        }
    }
}

fn produce_request(topic: &str, records: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(topic_name(topic))
        .with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic])
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}
