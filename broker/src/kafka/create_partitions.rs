//! CreatePartitions (key 37), versions 0–3: gives topics more partitions.
//! v2 flexible · v3 quota errors

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{
    ApiKey, CreatePartitionsRequest, CreatePartitionsResponse, TopicName,
};

use super::dispatch::Api;
use super::error::{ErrorCode, KafkaError};
use super::patience::patience;
use super::session::Session;
use crate::broker::Broker;
use crate::meta::Admin;

pub struct CreatePartitions;

impl Api for CreatePartitions {
    type Request = CreatePartitionsRequest;
    type Response = CreatePartitionsResponse;
    const KEY: ApiKey = ApiKey::CreatePartitions;
    const VERSIONS: RangeInclusive<i16> = 0..=3;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: CreatePartitionsRequest,
    ) -> impl Future<Output = CreatePartitionsResponse> + Send + 'static {
        answer(Arc::clone(&broker.admin), request)
    }
}

async fn answer(admin: Arc<Admin>, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let mut named: BTreeMap<&TopicName, usize> = BTreeMap::new();
    for topic in &request.topics {
        *named.entry(&topic.name).or_default() += 1;
    }
    let mut results = Vec::with_capacity(named.len());
    for topic in &request.topics {
        match named.remove(&topic.name) {
            Some(1) => results.push(result(topic, grow(&admin, topic, &request).await)),
            Some(_) => {
                let text = "the request names this topic more than once";
                results.push(result(
                    topic,
                    Err(KafkaError::new(ErrorCode::InvalidRequest, text)),
                ));
            }
            None => {}
        }
    }
    CreatePartitionsResponse::default().with_results(results)
}

async fn grow(
    admin: &Admin,
    topic: &CreatePartitionsTopic,
    request: &CreatePartitionsRequest,
) -> Result<(), KafkaError> {
    let assignments: Option<Vec<Vec<i32>>> = topic.assignments.as_ref().map(|assignments| {
        assignments
            .iter()
            .map(|assignment| assignment.broker_ids.iter().map(|id| id.0).collect())
            .collect()
    });
    let patience = patience(request.timeout_ms);
    Ok(admin
        .grow_topic(
            &topic.name,
            topic.count,
            assignments.as_deref(),
            request.validate_only,
            patience,
        )
        .await?)
}

fn result(
    topic: &CreatePartitionsTopic,
    outcome: Result<(), KafkaError>,
) -> CreatePartitionsTopicResult {
    let (code, message) = match outcome {
        Ok(()) => (0, None),
        Err(error) if error.code == ErrorCode::UnknownTopicOrPartition => (error.code(), None),
        Err(error) => (error.code(), error.message()),
    };
    CreatePartitionsTopicResult::default()
        .with_name(topic.name.clone())
        .with_error_code(code)
        .with_error_message(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::testing::encodes_in_every_version;
    use crate::meta::admin::testing::{admin, create};
    use kafka_protocol::protocol::StrBytes;

    fn topic(name: &str, count: i32) -> CreatePartitionsTopic {
        let name = TopicName(StrBytes::from_string(name.to_owned()));
        CreatePartitionsTopic::default()
            .with_name(name)
            .with_count(count)
            .with_assignments(None)
    }

    #[tokio::test]
    async fn every_topic_is_answered_once() {
        let admin = admin().await;
        for name in ["a", "b", "c"] {
            create(&admin, name, 2, &[]).await.unwrap();
        }
        let topics = vec![
            topic("a", 4),
            topic("b", 2),
            topic("c", 3),
            topic("c", 4),
            topic("none", 1),
        ];
        let response = answer(
            Arc::clone(&admin),
            CreatePartitionsRequest::default().with_topics(topics),
        )
        .await;
        let codes: Vec<i16> = response
            .results
            .iter()
            .map(|result| result.error_code)
            .collect();
        assert_eq!(codes, [0, 37, 42, 3]);
        assert_eq!(
            admin
                .meta
                .read()
                .topics()
                .get("a")
                .unwrap()
                .partitions
                .len(),
            4
        );
        assert_eq!(
            admin
                .meta
                .read()
                .topics()
                .get("c")
                .unwrap()
                .partitions
                .len(),
            2
        );
        encodes_in_every_version::<CreatePartitions>(|_| response.clone());
    }

    #[tokio::test]
    async fn validating_adds_nothing() {
        let admin = admin().await;
        create(&admin, "a", 2, &[]).await.unwrap();
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic("a", 4)])
            .with_validate_only(true);
        assert_eq!(
            answer(Arc::clone(&admin), request).await.results[0].error_code,
            0
        );
        assert_eq!(
            admin
                .meta
                .read()
                .topics()
                .get("a")
                .unwrap()
                .partitions
                .len(),
            2
        );
    }
}
