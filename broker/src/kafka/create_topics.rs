//! CreateTopics (key 19), versions 2–7: makes topics, and answers when their partitions have leaders.
//! v4 -1 asks for defaults · v5 flexible, answers have the settings · v6 quota errors · v7 topic id

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::{ApiKey, CreateTopicsRequest, CreateTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::dispatch::Api;
use super::error::{ErrorCode, KafkaError};
use super::patience::patience;
use super::session::Session;
use crate::broker::Broker;
use crate::meta::decide::topics::{Created, NewTopic};
use crate::meta::effective::Effective;
use crate::meta::{Admin, names};

pub struct CreateTopics;

impl Api for CreateTopics {
    type Request = CreateTopicsRequest;
    type Response = CreateTopicsResponse;
    const KEY: ApiKey = ApiKey::CreateTopics;
    const VERSIONS: RangeInclusive<i16> = 2..=7;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: CreateTopicsRequest,
    ) -> impl Future<Output = CreateTopicsResponse> + Send + 'static {
        answer(Arc::clone(&broker.admin), request)
    }
}

async fn answer(admin: Arc<Admin>, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    let mut topics = Vec::with_capacity(request.topics.len());
    for (name, topic) in named_once(&request.topics) {
        match topic {
            None => results.push(refused(name, duplicate())),
            Some(_) if name.as_str() == names::CLUSTER_METADATA => {
                results.push(refused(name, prohibited()))
            }
            Some(topic) => topics.push((name, new_topic(&admin, topic))),
        }
    }
    let (names, topics): (Vec<_>, Vec<_>) = topics.into_iter().unzip();
    let created = admin
        .create_topics(topics, request.validate_only, patience(request.timeout_ms))
        .await;
    results.extend(
        names
            .into_iter()
            .zip(created)
            .map(|(name, result)| match result {
                Ok(created) => made(&admin, name, created),
                Err(error) => refused(name, error.into()),
            }),
    );
    CreateTopicsResponse::default().with_topics(results)
}

/// Each name of the request once, with its topic where it was named once only.
fn named_once(topics: &[CreatableTopic]) -> Vec<(TopicName, Option<&CreatableTopic>)> {
    let (mut seen, mut repeated) = (BTreeSet::new(), BTreeSet::new());
    for topic in topics {
        if !seen.insert(&topic.name) {
            repeated.insert(&topic.name);
        }
    }
    let mut told = BTreeSet::new();
    let once = topics.iter().filter(|topic| told.insert(&topic.name));
    once.map(|topic| {
        (
            topic.name.clone(),
            Some(topic).filter(|topic| !repeated.contains(&topic.name)),
        )
    })
    .collect()
}

/// Strings of the request share its frame's memory, so what is stored is copied.
fn new_topic(admin: &Admin, topic: &CreatableTopic) -> NewTopic {
    let replicas =
        |brokers: &[kafka_protocol::messages::BrokerId]| brokers.iter().map(|id| id.0).collect();
    NewTopic {
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .iter()
            .map(|a| (a.partition_index, replicas(&a.broker_ids)))
            .collect(),
        configs: topic
            .configs
            .iter()
            .map(|config| {
                (
                    config.name.to_string(),
                    config.value.as_ref().map(|value| value.to_string()),
                )
            })
            .collect(),
        ..NewTopic::with_defaults(&topic.name, admin.new_topic_id(), admin.meta.env().now_ms())
    }
}

fn duplicate() -> KafkaError {
    KafkaError::new(
        ErrorCode::InvalidRequest,
        "the request names this topic more than once",
    )
}

fn prohibited() -> KafkaError {
    KafkaError::new(
        ErrorCode::InvalidRequest,
        format!("nobody may create {}", names::CLUSTER_METADATA),
    )
}

fn refused(name: TopicName, error: KafkaError) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name)
        .with_error_code(error.code())
        .with_error_message(error.message())
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_configs(Some(Vec::new()))
}

fn made(admin: &Admin, name: TopicName, created: Created) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name)
        .with_topic_id(created.id)
        .with_error_message(None)
        .with_num_partitions(created.partitions)
        .with_replication_factor(created.replication_factor)
        .with_configs(Some(configs(admin, &created)))
}

/// Every setting that has a value, by name. What was given is shown as it was given.
fn configs(admin: &Admin, created: &Created) -> Vec<CreatableTopicConfigs> {
    let state = admin.meta.read();
    let mut settings: Vec<Effective> = admin.layers(&state).topic_all(&created.configs).collect();
    settings.sort_by_key(|effective| effective.setting.name);
    let config = |effective: Effective| {
        let given = created.configs.get(effective.setting.name).cloned();
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(effective.setting.name))
            .with_value(given.or(effective.value).map(StrBytes::from_string))
            .with_read_only(false)
            .with_config_source(effective.source as i8)
            .with_is_sensitive(effective.setting.sensitive)
    };
    let valued = settings
        .into_iter()
        .filter(|effective| effective.value.is_some());
    valued.map(config).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::testing::encodes_in_every_version;
    use crate::meta::admin::testing::admin;
    use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;

    fn topic(name: &str, partitions: i32) -> CreatableTopic {
        CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_num_partitions(partitions)
            .with_replication_factor(-1)
    }

    fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
        CreateTopicsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(1000)
    }

    #[tokio::test]
    async fn every_topic_is_answered_once() {
        let admin = admin().await;
        let topics = vec![
            topic("a", 2),
            topic("b", 0),
            topic("c", 1),
            topic("c", 1),
            topic("__cluster_metadata", 1),
        ];
        let response = answer(admin, request(topics)).await;
        let mut codes: Vec<(String, i16)> = response
            .topics
            .iter()
            .map(|t| (t.name.to_string(), t.error_code))
            .collect();
        codes.sort();
        let expected = [("__cluster_metadata", 42), ("a", 0), ("b", 37), ("c", 42)];
        assert_eq!(codes, expected.map(|(name, code)| (name.to_owned(), code)));
    }

    #[tokio::test]
    async fn an_answer_has_the_settings_by_name() {
        let admin = admin().await;
        let config = CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str("retention.ms"))
            .with_value(Some(StrBytes::from_static_str("5")));
        let response = answer(
            Arc::clone(&admin),
            request(vec![topic("t", -1).with_configs(vec![config])]),
        )
        .await;
        let result = &response.topics[0];
        assert_eq!((result.num_partitions, result.replication_factor), (1, 1));
        let configs = result.configs.as_ref().unwrap();
        assert!(configs.is_sorted_by_key(|config| config.name.as_str().to_owned()));
        let retention = configs
            .iter()
            .find(|config| config.name.as_str() == "retention.ms")
            .unwrap();
        assert_eq!(
            (retention.value.as_deref(), retention.config_source),
            (Some("5"), 1)
        );
        assert!(
            configs
                .iter()
                .all(|config| (1..=5).contains(&config.config_source))
        );
        encodes_in_every_version::<CreateTopics>(|_| response.clone());
    }
}
