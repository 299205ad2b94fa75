//! FindCoordinator (key 10), versions 0–6: the broker that coordinates a group.
//! v1 key type, message · v3 flexible · v4 several keys · v5 transaction errors · v6 share groups
//!
//! The first question makes the offsets topic, and is answered when its partition has a leader. Transactions and share
//! groups are not there: they are refused with errors that clients do not retry.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{ApiKey, BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::cluster_view::{BrokerAddress, NOBODY, Shards, brokers};
use super::error::{ErrorCode, KafkaError, NO_ERROR};
use super::{Api, Session};
use crate::broker::Broker;
use crate::meta::decide::topics::{NewTopic, Origin, TopicError};
use crate::meta::{AdminError, names};
use crate::shard::entry::PartitionId;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// How long the offsets topic may take to get its leaders.
const PATIENCE: Duration = Duration::from_secs(5);
/// Replicas of the offsets topic, as far as there are nodes.
const REPLICAS: usize = 3;
/// What Kafka says where there is no error.
const NO_ERROR_MESSAGE: &str = "NONE";

pub struct FindCoordinator;

impl Api for FindCoordinator {
    type Request = FindCoordinatorRequest;
    type Response = FindCoordinatorResponse;
    const KEY: ApiKey = ApiKey::FindCoordinator;
    const VERSIONS: RangeInclusive<i16> = 0..=6;

    fn handle(
        broker: &Arc<Broker>,
        session: &Arc<Session>,
        version: i16,
        request: FindCoordinatorRequest,
    ) -> impl Future<Output = FindCoordinatorResponse> + Send + 'static {
        let (broker, session) = (broker.clone(), session.clone());
        async move {
            if version < 4 {
                return single(
                    version,
                    find(&broker, &session, request.key_type, &request.key).await,
                );
            }
            let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
            for key in request.coordinator_keys {
                let found = find(&broker, &session, request.key_type, &key).await;
                coordinators.push(one_of_several(key, found));
            }
            FindCoordinatorResponse::default().with_coordinators(coordinators)
        }
    }
}

async fn find(
    broker: &Broker,
    session: &Session,
    key_type: i8,
    key: &StrBytes,
) -> Result<BrokerAddress, KafkaError> {
    match key_type {
        GROUP => {}
        TRANSACTION => {
            let code = ErrorCode::TransactionalIdAuthorizationFailed;
            return Err(KafkaError::new(
                code,
                "this broker does not support transactions yet; unset transactional.id",
            ));
        }
        // Share groups, and what nobody knows.
        other => {
            let message = format!("coordinators of type {other} are not served; 0, groups, are");
            return Err(KafkaError::new(ErrorCode::InvalidRequest, message));
        }
    }
    let partition = match broker.groups.partition_of(key) {
        Some(partition) => partition,
        None => {
            create(broker).await?;
            broker.groups.partition_of(key).ok_or_else(unavailable)?
        }
    };
    let ready = broker.admin.partitions.attached(partition.topic);
    match tokio::time::timeout(PATIENCE, ready).await {
        Ok(Ok(())) => leader(broker, session, partition),
        Ok(Err(_)) | Err(_) => Err(unavailable()),
    }
}

fn unavailable() -> KafkaError {
    let message = "the group's partition of the offsets topic has no leader now; ask again";
    KafkaError::new(ErrorCode::CoordinatorNotAvailable, message)
}

/// Makes the offsets topic with Kafka's settings for it.
async fn create(broker: &Broker) -> Result<(), KafkaError> {
    let admin = &broker.admin;
    let partitions = admin
        .layers(&broker.meta.read())
        .broker_int("offsets.topic.num.partitions");
    let replicas = broker.meta.read().nodes().len().min(REPLICAS);
    let setting = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    let topic = NewTopic {
        origin: Origin::Broker,
        partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(replicas).unwrap_or(1),
        configs: vec![
            setting("cleanup.policy", "compact"),
            setting("compression.type", "producer"),
            setting("segment.bytes", "104857600"),
        ],
        ..NewTopic::with_defaults(
            names::CONSUMER_OFFSETS,
            admin.new_topic_id(),
            broker.clock.now_ms(),
        )
    };
    match admin
        .create_topics(vec![topic], false, PATIENCE)
        .await
        .remove(0)
    {
        // Somebody else was faster.
        Ok(_) | Err(AdminError::Topic(TopicError::Exists(_)) | AdminError::Attach(_)) => Ok(()),
        Err(error) => {
            tracing::warn!(%error, "the offsets topic was not made");
            Err(KafkaError::new(
                ErrorCode::CoordinatorNotAvailable,
                error.to_string(),
            ))
        }
    }
}

fn leader(
    broker: &Broker,
    session: &Session,
    partition: PartitionId,
) -> Result<BrokerAddress, KafkaError> {
    let state = broker.meta.read();
    let topic = state.topics().by_id(partition.topic);
    let place = topic
        .and_then(|topic| topic.partition(partition.index))
        .ok_or_else(unavailable)?;
    let leader = Shards::new(&broker.admin, &state).partition(place).leader;
    let found = brokers(&broker.admin, &state, session)
        .into_iter()
        .find(|broker| broker.id == leader);
    found.ok_or_else(unavailable)
}

fn address(found: &Result<BrokerAddress, KafkaError>) -> (BrokerId, StrBytes, i32) {
    match found {
        Ok(broker) => (broker.id, broker.host.clone(), broker.port),
        Err(_) => (NOBODY, StrBytes::default(), -1),
    }
}

fn single(version: i16, found: Result<BrokerAddress, KafkaError>) -> FindCoordinatorResponse {
    let (node, host, port) = address(&found);
    let message = match &found {
        Ok(_) => Some(StrBytes::from_static_str(NO_ERROR_MESSAGE)),
        Err(error) => error.message(),
    };
    FindCoordinatorResponse::default()
        .with_error_code(found.as_ref().map_or_else(KafkaError::code, |_| NO_ERROR))
        .with_error_message(message.filter(|_| version >= 1))
        .with_node_id(node)
        .with_host(host)
        .with_port(port)
}

fn one_of_several(key: StrBytes, found: Result<BrokerAddress, KafkaError>) -> Coordinator {
    let (node, host, port) = address(&found);
    // Kafka has no word for a coordinator that is on its way, and an empty one for one that is found.
    let refused = found.as_ref().err();
    let told = refused.filter(|error| error.code != ErrorCode::CoordinatorNotAvailable);
    let message = told.and_then(KafkaError::message);
    Coordinator::default()
        .with_key(key)
        .with_node_id(node)
        .with_host(host)
        .with_port(port)
        .with_error_code(found.as_ref().map_or_else(KafkaError::code, |_| NO_ERROR))
        .with_error_message(Some(message.unwrap_or_default()))
}
