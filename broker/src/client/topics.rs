//! Topics: which there are, where their partitions are led, and changes to them.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};

use weir_tables::Partitioner;

use super::{Client, ClientError, TIMEOUT_MS, text, topic_name};

/// A topic as the cluster describes it.
#[derive(Debug, Clone)]
pub struct TopicInfo {
    pub name: String,
    pub id: uuid::Uuid,
    pub is_internal: bool,
    /// In order of their number.
    pub partitions: Vec<PartitionInfo>,
    /// Where this client puts a key that is written without a partition.
    pub partitioner: Partitioner,
}

#[derive(Debug, Clone)]
pub struct PartitionInfo {
    pub index: i32,
    /// The broker that leads it, where one does.
    pub leader: Option<i32>,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
}

/// A topic to be.
#[derive(Debug, Clone)]
pub struct NewTopic<'a> {
    pub name: &'a str,
    /// The cluster's default where none.
    pub partitions: Option<i32>,
    /// The cluster's default where none.
    pub replication_factor: Option<i16>,
    pub settings: &'a [(String, String)],
}

impl Client {
    /// Every topic, by name.
    pub async fn topics(&mut self) -> Result<Vec<TopicInfo>, ClientError> {
        let metadata = self.metadata(None).await?;
        let mut topics: Vec<TopicInfo> = metadata.topics.iter().map(info).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    pub async fn topic(&mut self, name: &str) -> Result<TopicInfo, ClientError> {
        let metadata = self.metadata(Some(&[name])).await?;
        let Some(topic) = metadata.topics.first() else {
            return Err(ClientError::NoTopic(name.to_owned()));
        };
        if topic.error_code == ResponseError::UnknownTopicOrPartition.code() {
            return Err(ClientError::NoTopic(name.to_owned()));
        }
        ClientError::check(topic.error_code, None, || format!("topic {name}"))?;
        Ok(info(topic))
    }

    /// Returns the number of partitions that it got.
    pub async fn create_topic(&mut self, topic: &NewTopic<'_>) -> Result<i32, ClientError> {
        let setting = |(name, value): &(String, String)| {
            CreatableTopicConfig::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
        };
        let creatable = CreatableTopic::default()
            .with_name(topic_name(topic.name))
            .with_num_partitions(topic.partitions.unwrap_or(-1))
            .with_replication_factor(topic.replication_factor.unwrap_or(-1))
            .with_configs(topic.settings.iter().map(setting).collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![creatable])
            .with_timeout_ms(TIMEOUT_MS);
        let response = self.any(7, request).await?;
        for answer in &response.topics {
            let message = answer.error_message.as_deref();
            ClientError::check(answer.error_code, message, || {
                format!("cannot create topic {}", topic.name)
            })?;
        }
        Ok(response
            .topics
            .first()
            .map_or(0, |answer| answer.num_partitions))
    }

    pub async fn delete_topic(&mut self, name: &str) -> Result<(), ClientError> {
        let topic = DeleteTopicState::default().with_name(Some(topic_name(name)));
        let request = DeleteTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(TIMEOUT_MS);
        let response = self.any(6, request).await?;
        for answer in &response.responses {
            if answer.error_code == ResponseError::UnknownTopicOrPartition.code() {
                return Err(ClientError::NoTopic(name.to_owned()));
            }
            ClientError::check(answer.error_code, answer.error_message.as_deref(), || {
                format!("cannot delete topic {name}")
            })?;
        }
        Ok(())
    }

    /// Raises the number of partitions to `count`.
    pub async fn create_partitions(&mut self, name: &str, count: i32) -> Result<(), ClientError> {
        let topic = CreatePartitionsTopic::default()
            .with_name(topic_name(name))
            .with_count(count)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(TIMEOUT_MS);
        let response = self.any(3, request).await?;
        for answer in &response.results {
            ClientError::check(answer.error_code, answer.error_message.as_deref(), || {
                format!("cannot give topic {name} {count} partitions")
            })?;
        }
        Ok(())
    }
}

fn info(topic: &MetadataResponseTopic) -> TopicInfo {
    let mut partitions: Vec<PartitionInfo> = topic
        .partitions
        .iter()
        .map(|p| PartitionInfo {
            index: p.partition_index,
            leader: Some(p.leader_id.0).filter(|id| *id >= 0),
            leader_epoch: p.leader_epoch,
            replicas: p.replica_nodes.iter().map(|id| id.0).collect(),
            in_sync: p.isr_nodes.iter().map(|id| id.0).collect(),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.index);
    TopicInfo {
        name: topic
            .name
            .as_ref()
            .map(|n| n.to_string())
            .unwrap_or_default(),
        id: topic.topic_id,
        is_internal: topic.is_internal,
        partitions,
        partitioner: Partitioner::Murmur2,
    }
}
