//! Metadata (key 3), versions 0–13: the brokers, and who leads the partitions of which topics.
//! v1 null topics are all · v4 auto-creation is asked for · v6 ListenerNotFound · v7 leader epoch · v8 authorized
//! operations · v9 flexible · v10 topic ids in answers · v11 no cluster operations · v12 topics by id · v13 error code

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{ApiKey, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::authorized::{CLUSTER_OPERATIONS, NOT_ASKED, TOPIC_OPERATIONS};
use super::cluster_view::{self, BrokerAddress, NOBODY, PartitionFacts, Shards};
use super::dispatch::Api;
use super::error::{ErrorCode, NO_ERROR};
use super::session::Session;
use crate::broker::Broker;
use crate::meta::{Admin, Topic, names};

pub struct Metadata;

impl Api for Metadata {
    type Request = MetadataRequest;
    type Response = MetadataResponse;
    const KEY: ApiKey = ApiKey::Metadata;
    const VERSIONS: RangeInclusive<i16> = 0..=13;

    fn handle(
        broker: &Arc<Broker>,
        session: &Arc<Session>,
        version: i16,
        request: MetadataRequest,
    ) -> impl Future<Output = MetadataResponse> + Send + 'static {
        std::future::ready(answer(&broker.admin, session, version, &request))
    }
}

/// Which topics a request asks for.
enum Asked {
    All,
    These(Vec<Ask>),
}

enum Ask {
    Name(StrBytes),
    Id(Uuid),
}

fn answer(
    admin: &Arc<Admin>,
    session: &Session,
    version: i16,
    request: &MetadataRequest,
) -> MetadataResponse {
    let asked = match asked(version, request) {
        Ok(asked) => asked,
        Err(code) => return refused(request, code),
    };
    let auto_create = request.allow_auto_topic_creation && admin.auto_creates();
    let topics = find(admin, version, asked, auto_create);
    let topics = topics
        .into_iter()
        .map(
            |topic| match request.include_topic_authorized_operations && version >= 8 {
                true => topic.with_topic_authorized_operations(TOPIC_OPERATIONS),
                false => topic.with_topic_authorized_operations(NOT_ASKED),
            },
        )
        .collect();
    let cluster_operations =
        match request.include_cluster_authorized_operations && (8..=10).contains(&version) {
            true => CLUSTER_OPERATIONS,
            false => NOT_ASKED,
        };
    let state = admin.meta.read();
    MetadataResponse::default()
        .with_brokers(
            cluster_view::brokers(admin, &state, session)
                .into_iter()
                .map(broker)
                .collect(),
        )
        .with_cluster_id(
            state
                .cluster_id()
                .map(|id| StrBytes::from_string(id.to_owned())),
        )
        .with_controller_id(cluster_view::controller(admin, &state))
        .with_topics(topics)
        .with_cluster_authorized_operations(cluster_operations)
}

fn asked(version: i16, request: &MetadataRequest) -> Result<Asked, ErrorCode> {
    let topics = match &request.topics {
        None => return Ok(Asked::All),
        Some(topics) if topics.is_empty() && version == 0 => return Ok(Asked::All),
        Some(topics) => topics,
    };
    let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
    let mut asks = Vec::with_capacity(topics.len());
    for topic in topics {
        match (&topic.name, topic.topic_id) {
            (None, _) if version < 12 => return Err(ErrorCode::InvalidRequest),
            (_, id) if version < 12 && !id.is_nil() => return Err(ErrorCode::InvalidRequest),
            (_, id) if !id.is_nil() || topic.name.is_none() => {
                if ids.insert(id) {
                    asks.push(Ask::Id(id));
                }
            }
            (Some(name), _) => {
                if names.insert(name.0.clone()) {
                    asks.push(Ask::Name(name.0.clone()));
                }
            }
            (None, _) => {}
        }
    }
    Ok(Asked::These(asks))
}

fn find(
    admin: &Arc<Admin>,
    version: i16,
    asked: Asked,
    auto_create: bool,
) -> Vec<MetadataResponseTopic> {
    let state = admin.meta.read();
    let mut shards = Shards::new(admin, &state);
    match asked {
        Asked::All => state
            .topics()
            .iter()
            .map(|topic| found(&mut shards, version, topic))
            .collect(),
        Asked::These(asks) => asks
            .into_iter()
            .map(|ask| match ask {
                Ask::Id(id) => match state.topics().by_id(id) {
                    Some(topic) => found(&mut shards, version, topic),
                    None => missing(ErrorCode::UnknownTopicId)
                        .with_name(None)
                        .with_topic_id(id),
                },
                Ask::Name(name) => match state.topics().get(&name) {
                    Some(topic) => found(&mut shards, version, topic),
                    None => unknown_name(admin, name, auto_create),
                },
            })
            .collect(),
    }
}

fn found(shards: &mut Shards<'_>, version: i16, topic: &Topic) -> MetadataResponseTopic {
    let facts = topic
        .partitions
        .iter()
        .map(|place| shards.partition(*place));
    MetadataResponseTopic::default()
        .with_error_code(NO_ERROR)
        .with_name(Some(TopicName(StrBytes::from_string(
            topic.name.to_string(),
        ))))
        .with_topic_id(topic.id)
        .with_is_internal(topic.is_internal())
        .with_partitions(
            (0..)
                .zip(facts)
                .map(|(index, facts)| partition(version, index, facts))
                .collect(),
        )
}

/// A legal name may be created on the way; the client asks again.
fn unknown_name(admin: &Arc<Admin>, name: StrBytes, auto_create: bool) -> MetadataResponseTopic {
    let code = match names::validate(&name) {
        Err(_) => ErrorCode::InvalidTopicException,
        Ok(()) => {
            if auto_create {
                admin.auto_create(&name);
            }
            ErrorCode::UnknownTopicOrPartition
        }
    };
    let internal = names::is_internal(&name);
    missing(code)
        .with_name(Some(TopicName(name)))
        .with_is_internal(internal)
}

fn missing(code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_error_code(code.code())
}

/// The answer to a request that is wrong as a whole tells nothing of the cluster.
fn refused(request: &MetadataRequest, code: ErrorCode) -> MetadataResponse {
    let topics = request.topics.iter().flatten().map(|topic| {
        let name = topic.name.clone().unwrap_or_default();
        missing(code)
            .with_name(Some(name))
            .with_topic_id(topic.topic_id)
    });
    MetadataResponse::default()
        .with_controller_id(NOBODY)
        .with_topics(topics.collect())
        .with_cluster_authorized_operations(NOT_ASKED)
}

fn broker(broker: BrokerAddress) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(broker.id)
        .with_host(broker.host)
        .with_port(broker.port)
        .with_rack(broker.rack)
}

fn partition(version: i16, index: i32, facts: PartitionFacts) -> MetadataResponsePartition {
    let error = match facts.error {
        // Older clients know of one reason only why there is no leader.
        Some(ErrorCode::ListenerNotFound) if version < 6 => Some(ErrorCode::LeaderNotAvailable),
        error => error,
    };
    MetadataResponsePartition::default()
        .with_error_code(error.map_or(NO_ERROR, |code| code.code()))
        .with_partition_index(index)
        .with_leader_id(facts.leader)
        .with_leader_epoch(facts.leader_epoch)
        .with_replica_nodes(facts.replicas)
        .with_isr_nodes(facts.in_sync)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::testing::{encodes_in_every_version, session};
    use crate::meta::admin::testing::{Shards, admin, admin_with, create};
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;

    fn named(name: &str) -> MetadataRequestTopic {
        MetadataRequestTopic::default()
            .with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))))
    }

    fn ask(topics: Option<Vec<MetadataRequestTopic>>) -> MetadataRequest {
        MetadataRequest::default().with_topics(topics)
    }

    #[tokio::test]
    async fn null_is_all_topics_and_empty_is_none_but_all_in_version_0() {
        let admin = admin().await;
        create(&admin, "t", 3, &[]).await.unwrap();
        let count = |version, topics| {
            answer(&admin, &session(), version, &ask(topics))
                .topics
                .len()
        };
        assert_eq!(count(0, Some(vec![])), 1);
        assert_eq!(count(1, Some(vec![])), 0);
        assert_eq!(count(1, None), 1);
        assert_eq!(count(13, None), 1);
    }

    #[tokio::test]
    async fn a_topic_has_its_leaders_replicas_and_epochs() {
        let admin = admin().await;
        let id = create(&admin, "t", 3, &[]).await.unwrap().id;
        let response = answer(&admin, &session(), 12, &ask(Some(vec![named("t")])));
        let topic = &response.topics[0];
        assert_eq!(
            (topic.error_code, topic.topic_id, topic.partitions.len()),
            (0, id, 3)
        );
        let place_base = admin.meta.read().topics().get("t").unwrap().partitions[0].epoch_base;
        for partition in &topic.partitions {
            assert_eq!(*partition.leader_id, 1);
            assert_eq!(partition.leader_epoch, place_base + 3);
            assert_eq!(
                (partition.replica_nodes.len(), partition.isr_nodes.len()),
                (1, 1)
            );
        }
        assert_eq!(response.brokers[0].host.as_str(), "broker.example");
        assert_eq!(*response.controller_id, 1);
        encodes_in_every_version::<Metadata>(|version| {
            answer(
                &admin,
                &session(),
                version,
                &ask(Some(vec![named("t"), named("a b")])),
            )
        });
    }

    #[tokio::test]
    async fn unknown_names_and_ids_are_echoed_with_their_errors() {
        let admin = admin_with(Shards { leader: Some(1) }, [auto_create_off()].into()).await;
        let unknown_id = MetadataRequestTopic::default()
            .with_name(None)
            .with_topic_id(Uuid::from_u128(99));
        let request = ask(Some(vec![
            named("none"),
            named("a b"),
            named("none"),
            unknown_id,
        ]));
        let response = answer(&admin, &session(), 12, &request);
        let codes: Vec<i16> = response.topics.iter().map(|t| t.error_code).collect();
        assert_eq!(codes, [3, 17, 100]);
        assert_eq!(response.topics[2].topic_id, Uuid::from_u128(99));
    }

    fn auto_create_off() -> (String, String) {
        ("auto.create.topics.enable".to_owned(), "false".to_owned())
    }

    #[tokio::test]
    async fn topics_are_created_only_where_client_and_broker_allow_it() {
        let admin = admin().await;
        let request = ask(Some(vec![named("t")])).with_allow_auto_topic_creation(false);
        assert_eq!(
            answer(&admin, &session(), 9, &request).topics[0].error_code,
            3
        );
        tokio::task::yield_now().await;
        assert!(admin.meta.read().topics().is_empty());
        let mut changed = admin.meta.changed();
        let request = request.with_allow_auto_topic_creation(true);
        assert_eq!(
            answer(&admin, &session(), 9, &request).topics[0].error_code,
            3
        );
        changed.changed().await.unwrap();
        assert_eq!(
            answer(&admin, &session(), 9, &request).topics[0].error_code,
            0
        );
    }

    #[tokio::test]
    async fn topic_ids_before_version_12_are_an_invalid_request() {
        let admin = admin().await;
        let by_id = named("t").with_topic_id(Uuid::from_u128(1));
        let response = answer(&admin, &session(), 10, &ask(Some(vec![by_id])));
        assert_eq!(
            response.topics[0].error_code,
            ErrorCode::InvalidRequest.code()
        );
    }

    #[tokio::test]
    async fn partitions_without_a_leader_say_so() {
        let admin = admin_with(Shards { leader: None }, Default::default()).await;
        let topic =
            crate::meta::decide::topics::NewTopic::with_defaults("t", Uuid::from_u128(1), 0);
        let wait = std::time::Duration::ZERO;
        let _ = tokio::time::timeout(wait, admin.create_topics(vec![topic], false, wait)).await;
        let response = answer(&admin, &session(), 9, &ask(None));
        let partition = &response.topics[0].partitions[0];
        assert_eq!(
            (partition.error_code, *partition.leader_id),
            (ErrorCode::LeaderNotAvailable.code(), -1)
        );
        assert_eq!(*response.controller_id, -1);
    }
}
