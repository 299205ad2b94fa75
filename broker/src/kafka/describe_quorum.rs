//! DescribeQuorum (key 55), versions 0–2: how far the replicas of the metadata are.
//! v1 times of the last answer and of having had all · v2 directory ids, nodes, messages
//!
//! An offset of the metadata's log is one past an entry's index, as Kafka counts. A directory is an incarnation, so its
//! id is made of the Raft node's.

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{
    ApiKey, BrokerId, DescribeQuorumRequest, DescribeQuorumResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;
use weir_raft::Index;

use super::cluster_view::NOBODY;
use super::dispatch::Api;
use super::error::{ErrorCode, KafkaError};
use super::session::Session;
use crate::broker::Broker;
use crate::cluster::quorum::{self, Quorum, Replica};
use crate::meta::MetaState;

/// What Kafka calls the metadata's log.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// The listener of the nodes' own connections.
const CLUSTER_LISTENER: &str = "CLUSTER";

pub struct DescribeQuorum;

impl Api for DescribeQuorum {
    type Request = DescribeQuorumRequest;
    type Response = DescribeQuorumResponse;
    const KEY: ApiKey = ApiKey::DescribeQuorum;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        version: i16,
        request: DescribeQuorumRequest,
    ) -> impl Future<Output = DescribeQuorumResponse> + Send + 'static {
        let broker = broker.clone();
        async move {
            if let Err(error) = check(&request) {
                return refuse(&request, &error);
            }
            match quorum::ask(&broker).await {
                Some(quorum) => {
                    let state = broker.meta.read();
                    answer(&state, &quorum, version, broker.clock.now_ms())
                }
                None => refuse(&request, &ErrorCode::NotLeaderOrFollower.into()),
            }
        }
    }
}

/// The metadata's one partition, and nothing else, can be asked for.
fn check(request: &DescribeQuorumRequest) -> Result<(), KafkaError> {
    let only = match request.topics.as_slice() {
        [topic] if topic.topic_name.as_str() == METADATA_TOPIC => topic.partitions.as_slice(),
        _ => &[],
    };
    match only {
        [partition] if partition.partition_index == 0 => Ok(()),
        _ => Err(KafkaError::new(
            ErrorCode::UnknownTopicOrPartition,
            format!("only partition 0 of {METADATA_TOPIC} has a quorum"),
        )),
    }
}

fn answer(state: &MetaState, quorum: &Quorum, version: i16, now_ms: i64) -> DescribeQuorumResponse {
    let replicas = |votes: bool| {
        let replicas = quorum.replicas.iter();
        let replicas = replicas.filter(|replica| replica.votes == votes);
        let replicas =
            replicas.filter_map(|replica| replica_state(state, replica, version, now_ms));
        replicas.collect::<Vec<_>>()
    };
    let leader = state.broker_of(quorum.leader).map_or(NOBODY, BrokerId);
    let partition = PartitionData::default()
        .with_leader_id(leader)
        .with_leader_epoch(i32::try_from(quorum.term).unwrap_or(i32::MAX))
        .with_high_watermark(end(quorum.committed))
        .with_current_voters(replicas(true))
        .with_observers(replicas(false));
    let topic = TopicData::default()
        .with_topic_name(metadata_topic())
        .with_partitions(vec![partition]);
    let response = DescribeQuorumResponse::default().with_topics(vec![topic]);
    match version {
        2.. => response.with_nodes(nodes(state, quorum)),
        _ => response,
    }
}

fn metadata_topic() -> TopicName {
    TopicName(StrBytes::from_static_str(METADATA_TOPIC))
}

/// One past an entry; -1 where none is known.
fn end(entry: Option<Index>) -> i64 {
    entry.map_or(-1, |index| {
        i64::try_from(index + 1).expect("entries are counted in 63 bits")
    })
}

/// `None` for a node that has not registered yet.
fn replica_state(
    state: &MetaState,
    replica: &Replica,
    version: i16,
    now_ms: i64,
) -> Option<ReplicaState> {
    let before = |ago: Option<u64>| {
        let ago = ago.and_then(|ago| i64::try_from(ago).ok());
        ago.map_or(-1, |ago| now_ms - ago)
    };
    let directory = match version {
        2.. => Uuid::from_u64_pair(0, replica.node),
        _ => Uuid::nil(),
    };
    Some(
        ReplicaState::default()
            .with_replica_id(BrokerId(state.broker_of(replica.node)?))
            .with_replica_directory_id(directory)
            .with_log_end_offset(end(replica.holds))
            .with_last_fetch_timestamp(before(replica.silent_ms))
            .with_last_caught_up_timestamp(before(replica.behind_ms)),
    )
}

fn nodes(state: &MetaState, quorum: &Quorum) -> Vec<Node> {
    let ids = quorum.replicas.iter();
    let ids = ids.filter_map(|replica| state.broker_of(replica.node));
    let node = |id: i32| {
        let address = state.nodes()[&id].cluster.as_deref();
        let address = address.and_then(|address| address.rsplit_once(':'));
        let listener = address.and_then(|(host, port)| {
            let listener = Listener::default()
                .with_name(StrBytes::from_static_str(CLUSTER_LISTENER))
                .with_host(StrBytes::from_string(host.to_owned()))
                .with_port(port.parse().ok()?);
            Some(listener)
        });
        Node::default()
            .with_node_id(BrokerId(id))
            .with_listeners(listener.into_iter().collect())
    };
    ids.map(node).collect()
}

/// Says so of every partition that was asked for.
fn refuse(request: &DescribeQuorumRequest, error: &KafkaError) -> DescribeQuorumResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(partition.partition_index)
                .with_leader_id(NOBODY)
                .with_error_code(error.code())
                .with_error_message(error.message())
        });
        TopicData::default()
            .with_topic_name(topic.topic_name.clone())
            .with_partitions(partitions.collect())
    });
    DescribeQuorumResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::testing::encodes_in_every_version;
    use crate::meta::admin::testing::admin;

    fn asking(topic: &str, partitions: &[i32]) -> DescribeQuorumRequest {
        use kafka_protocol::messages::describe_quorum_request as asked;
        let partition = |index: &i32| asked::PartitionData::default().with_partition_index(*index);
        let topic = asked::TopicData::default()
            .with_topic_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partitions(partitions.iter().map(partition).collect());
        DescribeQuorumRequest::default().with_topics(vec![topic])
    }

    #[test]
    fn only_the_metadata_has_a_quorum() {
        assert_eq!(check(&asking(METADATA_TOPIC, &[0])), Ok(()));
        for wrong in [
            asking("t", &[0]),
            asking(METADATA_TOPIC, &[1]),
            asking(METADATA_TOPIC, &[0, 0]),
            DescribeQuorumRequest::default(),
        ] {
            let error = check(&wrong).expect_err("refused");
            assert_eq!(error.code(), 3);
            encodes_in_every_version::<DescribeQuorum>(|_| refuse(&wrong, &error));
        }
    }

    #[tokio::test]
    async fn offsets_are_one_past_entries_and_times_are_before_now() {
        let admin = admin().await;
        let state = admin.meta.read();
        let node = state.nodes()[&1].raft_id;
        let quorum = Quorum {
            leader: node,
            term: 4,
            committed: Some(9),
            replicas: vec![Replica {
                node,
                votes: true,
                holds: Some(10),
                silent_ms: Some(5),
                behind_ms: None,
            }],
        };
        let answered = answer(&state, &quorum, 2, 1000);
        let partition = &answered.topics[0].partitions[0];
        assert_eq!((partition.leader_epoch, partition.high_watermark), (4, 10));
        let voter = &partition.current_voters[0];
        assert_eq!((*voter.replica_id, voter.log_end_offset), (1, 11));
        assert_eq!(
            (voter.last_fetch_timestamp, voter.last_caught_up_timestamp),
            (995, -1)
        );
        encodes_in_every_version::<DescribeQuorum>(|version| {
            answer(&state, &quorum, version, 1000)
        });
    }
}
