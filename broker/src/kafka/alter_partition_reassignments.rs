//! AlterPartitionReassignments (key 45), versions 0–1: partitions move to other brokers, or stay where they are.
//! v1 says whether the number of replicas may change. Source: KIP-455, KIP-860.
//!
//! It answers when it is decided; `ListPartitionReassignments` says what is still on its way.

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ApiKey,
};

use super::dispatch::Api;
use super::error::{KafkaError, NO_ERROR};
use super::session::Session;
use crate::broker::Broker;
use crate::meta::decide::moves::{self, Reassignment};
use crate::meta::{Admin, AdminError, MetaState};

pub struct AlterPartitionReassignments;

impl Api for AlterPartitionReassignments {
    type Request = AlterPartitionReassignmentsRequest;
    type Response = AlterPartitionReassignmentsResponse;
    const KEY: ApiKey = ApiKey::AlterPartitionReassignments;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: AlterPartitionReassignmentsRequest,
    ) -> impl Future<Output = AlterPartitionReassignmentsResponse> + Send + 'static {
        answer(Arc::clone(&broker.admin), request)
    }
}

async fn answer(
    admin: Arc<Admin>,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let keep_factor = !request.allow_replication_factor_change;
    let response = AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(request.allow_replication_factor_change);
    let asked: Vec<Reassignment> = asked(&request);
    let decide = |state: &MetaState| {
        Ok::<_, std::convert::Infallible>(moves::reassign(state, &asked, keep_factor))
    };
    let results = match admin.meta.change(decide).await {
        Ok(results) => results,
        Err(crate::meta::ChangeError::Commit(error)) => {
            let error = KafkaError::from(AdminError::Commit(error));
            return response
                .with_error_code(error.code())
                .with_error_message(error.message());
        }
    };
    let mut results = results.into_iter();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(&mut results);
        let partitions = partitions.map(|(partition, result)| {
            let answer = ReassignablePartitionResponse::default()
                .with_partition_index(partition.partition_index);
            match result.map_err(KafkaError::from) {
                Ok(()) => answer.with_error_code(NO_ERROR).with_error_message(None),
                Err(error) => answer
                    .with_error_code(error.code())
                    .with_error_message(error.message()),
            }
        });
        ReassignableTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    response
        .with_error_message(None)
        .with_responses(topics.collect())
}

fn asked(request: &AlterPartitionReassignmentsRequest) -> Vec<Reassignment> {
    let topics = request.topics.iter();
    let partitions = topics.flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let replicas = partition.replicas.as_ref();
            Reassignment {
                topic: topic.name.to_string(),
                partition: partition.partition_index,
                replicas: replicas.map(|replicas| replicas.iter().map(|id| id.0).collect()),
            }
        })
    });
    partitions.collect()
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::alter_partition_reassignments_request::{
        ReassignablePartition, ReassignableTopic,
    };
    use kafka_protocol::messages::{BrokerId, TopicName};
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::kafka::testing::encodes_in_every_version;
    use crate::meta::admin::testing::{admin, create};

    #[tokio::test]
    async fn every_partition_is_answered() {
        let admin = admin().await;
        create(&admin, "a", 2, &[]).await.unwrap();
        let here = {
            let state = admin.meta.read();
            let place = state.topics().get("a").unwrap().partition(0).unwrap();
            state.replicas_of(place.shard)
        };
        let partition = |index, replicas: Option<&[i32]>| {
            let replicas = replicas.map(|ids| ids.iter().copied().map(BrokerId).collect());
            ReassignablePartition::default()
                .with_partition_index(index)
                .with_replicas(replicas)
        };
        let topic = ReassignableTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("a")))
            .with_partitions(vec![
                // It is there already, another broker is not known, nothing is to be cancelled, and no such partition.
                partition(0, Some(&here)),
                partition(0, Some(&[99])),
                partition(0, Some(&[])),
                partition(1, None),
                partition(2, Some(&[0])),
            ]);
        let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]);
        let response = answer(admin.clone(), request).await;
        let partitions = response.responses[0].partitions.iter();
        let codes: Vec<i16> = partitions.map(|one| one.error_code).collect();
        assert_eq!(codes, [0, 39, 39, 85, 3]);
        encodes_in_every_version::<AlterPartitionReassignments>(|_| response.clone());
    }
}
