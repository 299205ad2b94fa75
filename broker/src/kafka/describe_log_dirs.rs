//! DescribeLogDirs (key 35), versions 1–4: this broker's data directory, and how much of it each partition has.
//! v2 flexible · v3 error code · v4 size of the volume

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{
    ApiKey, DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::dispatch::Api;
use super::session::Session;
use crate::broker::Broker;
use crate::meta::{Admin, Topic};

pub struct DescribeLogDirs;

impl Api for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;
    type Response = DescribeLogDirsResponse;
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
    const VERSIONS: RangeInclusive<i16> = 1..=4;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: DescribeLogDirsRequest,
    ) -> impl Future<Output = DescribeLogDirsResponse> + Send + 'static {
        std::future::ready(answer(&broker.admin, &request))
    }
}

fn answer(admin: &Admin, request: &DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let dir = admin.partitions.log_dir();
    let result = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(dir.path))
        .with_topics(find(admin, request))
        .with_total_bytes(dir.total_bytes)
        .with_usable_bytes(dir.usable_bytes);
    DescribeLogDirsResponse::default().with_results(vec![result])
}

/// The partitions of the request, or all, that have a replica here. Those that have none are left out.
fn find(admin: &Admin, request: &DescribeLogDirsRequest) -> Vec<DescribeLogDirsTopic> {
    let state = admin.meta.read();
    let topics: Vec<DescribeLogDirsTopic> = match &request.topics {
        None => state
            .topics()
            .iter()
            .map(|topic| sizes(admin, topic, 0..topic.partition_count()))
            .collect(),
        Some(named) => {
            let mut wanted: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
            for topic in named {
                wanted
                    .entry(topic.topic.as_str())
                    .or_default()
                    .extend(&topic.partitions);
            }
            let known = wanted
                .into_iter()
                .filter_map(|(name, partitions)| Some((state.topics().get(name)?, partitions)));
            known
                .map(|(topic, partitions)| sizes(admin, topic, partitions))
                .collect()
        }
    };
    topics
        .into_iter()
        .filter(|topic| !topic.partitions.is_empty())
        .collect()
}

fn sizes(
    admin: &Admin,
    topic: &Topic,
    partitions: impl IntoIterator<Item = i32>,
) -> DescribeLogDirsTopic {
    let here = partitions.into_iter().filter_map(|partition| {
        topic.partition(partition)?;
        let size = admin.partitions.log_size_bytes(topic.id, partition)?;
        Some(
            DescribeLogDirsPartition::default()
                .with_partition_index(partition)
                .with_partition_size(size),
        )
    });
    DescribeLogDirsTopic::default()
        .with_name(TopicName(StrBytes::from_string(topic.name.to_string())))
        .with_partitions(here.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::testing::encodes_in_every_version;
    use crate::meta::admin::testing::{admin, create};
    use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;

    #[tokio::test]
    async fn the_directory_has_the_partitions_that_are_here() {
        let admin = admin().await;
        create(&admin, "a", 2, &[]).await.unwrap();
        create(&admin, "b", 1, &[]).await.unwrap();
        let response = answer(&admin, &DescribeLogDirsRequest::default().with_topics(None));
        let dir = &response.results[0];
        assert_eq!(
            (dir.log_dir.as_str(), dir.total_bytes, dir.usable_bytes),
            ("/data", 100, 60)
        );
        let sizes = |topic: &DescribeLogDirsTopic| {
            topic
                .partitions
                .iter()
                .map(|p| p.partition_size)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            dir.topics.iter().map(sizes).collect::<Vec<_>>(),
            [vec![0, 10], vec![0]]
        );
        encodes_in_every_version::<DescribeLogDirs>(|_| response.clone());
    }

    #[tokio::test]
    async fn unknown_topics_and_partitions_are_left_out() {
        let admin = admin().await;
        create(&admin, "a", 2, &[]).await.unwrap();
        let named = |name: &'static str, partitions: &[i32]| {
            DescribableLogDirTopic::default()
                .with_topic(TopicName(StrBytes::from_static_str(name)))
                .with_partitions(partitions.to_vec())
        };
        let topics = Some(vec![named("a", &[1, 7]), named("none", &[0])]);
        let response = answer(
            &admin,
            &DescribeLogDirsRequest::default().with_topics(topics),
        );
        let topics = &response.results[0].topics;
        assert_eq!(topics.len(), 1);
        assert_eq!(topics[0].partitions[0].partition_index, 1);
        assert_eq!(topics[0].partitions.len(), 1);
    }
}
