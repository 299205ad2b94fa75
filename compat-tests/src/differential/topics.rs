//! Topics that a case makes for itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest, MetadataRequest,
};
use uuid::Uuid;

use super::build::{self, CONSUMER, text};
use super::trial::Trial;
use crate::calls::reassignment;
use crate::clock;

const LEADER_LIMIT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(5);
const LATEST: i64 = -1;

#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
    /// The leader epoch of partition 0.
    pub epoch: i32,
}

impl Trial<'_> {
    /// Makes a topic of the case's own and waits until every partition is led.
    pub fn topic(&mut self, label: &str, partitions: i32) -> Result<Topic> {
        self.topic_with(label, partitions, &[])
    }

    pub fn topic_with(
        &mut self,
        label: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<Topic> {
        let name = self.name(label);
        let id = self.create_topic(&name, partitions, configs)?;
        self.await_led(&name, partitions, Some(id))
    }

    /// Makes a topic with a replica on each node, which the one that is asked is the first to lead; answers its id.
    fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<Uuid> {
        let config = |(key, value): &(&str, &str)| {
            CreatableTopicConfig::default()
                .with_name(text(key))
                .with_value(Some(text(value)))
        };
        let nodes: Vec<BrokerId> = self.nodes().into_iter().map(BrokerId).collect();
        let assignment = |partition| {
            CreatableReplicaAssignment::default()
                .with_partition_index(partition)
                .with_broker_ids(nodes.clone())
        };
        let topic = CreatableTopic::default()
            .with_name(build::topic(name))
            .with_configs(configs.iter().map(config).collect());
        let topic = match self.is_one_of_several() {
            true => topic
                .with_num_partitions(-1)
                .with_replication_factor(-1)
                .with_assignments((0..partitions).map(assignment).collect()),
            false => topic
                .with_num_partitions(partitions)
                .with_replication_factor(1),
        };
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(60_000);
        let made = self.quietly(7, &request)?;
        let result = made.topics.first().context("no answer about the topic")?;
        if result.error_code != 0 {
            bail!(
                "setting up topic {name}: error {} {:?}",
                result.error_code,
                result.error_message
            );
        }
        Ok(result.topic_id)
    }

    /// Waits until every partition of a topic is led, and learns its id and epochs. Of several nodes the one that is
    /// asked leads them then: others give them up.
    pub fn led_topic(&mut self, name: &str, partitions: i32) -> Result<Topic> {
        self.await_led(name, partitions, None)
    }

    /// The same, past a topic of that name that went before the one of this id.
    fn await_led(&mut self, name: &str, partitions: i32, id: Option<Uuid>) -> Result<Topic> {
        let known = clock::wait_for(LEADER_LIMIT, STEP, || {
            self.with_leaders(name, partitions, id).transpose()
        });
        let topic = known.with_context(|| format!("topic {name} has no leaders"))??;
        let led = clock::wait_for(LEADER_LIMIT, STEP, || {
            self.serves(name, partitions).transpose()
        });
        led.with_context(|| format!("topic {name} is not served by its leaders"))??;
        let epochs = topic
            .partitions
            .iter()
            .map(|partition| partition.leader_epoch);
        self.learn(topic.topic_id, name, epochs);
        let first = topic
            .partitions
            .iter()
            .find(|partition| partition.partition_index == 0);
        let epoch = first.context("no partition 0")?.leader_epoch;
        Ok(Topic {
            name: name.to_string(),
            id: topic.topic_id,
            epoch,
        })
    }

    /// The topic once the metadata names a leader of each partition: of several nodes the one that is asked.
    fn with_leaders(
        &mut self,
        name: &str,
        partitions: i32,
        id: Option<Uuid>,
    ) -> Result<Option<MetadataResponseTopic>> {
        let asked = MetadataRequestTopic::default().with_name(Some(build::topic(name)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![asked]))
            .with_allow_auto_topic_creation(false);
        let Some(topic) = self.quietly(12, &request)?.topics.into_iter().next() else {
            return Ok(None);
        };
        if self.is_one_of_several() && self.move_here(name, &topic.partitions)? {
            return Ok(None);
        }
        let is_led = |partition: &&MetadataResponsePartition| match self.is_one_of_several() {
            true => {
                partition.leader_id.0 == self.broker_id()
                    && partition.isr_nodes.len() == self.nodes().len()
            }
            false => partition.leader_id.0 >= 0,
        };
        let led = topic.partitions.iter().filter(is_led).count();
        let is_new = id.is_none_or(|id| id == topic.topic_id);
        Ok(
            (topic.error_code == 0 && is_new && led == usize::try_from(partitions)?)
                .then_some(topic),
        )
    }

    /// Moves partitions that do not lie on all nodes, the one that is asked first; whether there still are such.
    fn move_here(&mut self, name: &str, partitions: &[MetadataResponsePartition]) -> Result<bool> {
        let nodes = self.nodes();
        let lies = |partition: &MetadataResponsePartition| {
            let replicas = partition.replica_nodes.iter().map(|node| node.0);
            replicas.eq(nodes.iter().copied())
        };
        let elsewhere = partitions.iter().filter(|partition| !lies(partition));
        let moves: BTreeMap<i32, Option<Vec<i32>>> = elsewhere
            .map(|partition| (partition.partition_index, Some(nodes.clone())))
            .collect();
        if !moves.is_empty() {
            self.quietly(1, &reassignment(name, &moves))?;
        }
        Ok(!moves.is_empty())
    }

    /// Deletes a topic and waits until nobody serves it; it must succeed.
    pub fn delete(&mut self, topic: &Topic) -> Result<()> {
        let names = vec![build::topic(&topic.name)];
        let request = DeleteTopicsRequest::default()
            .with_topic_names(names)
            .with_timeout_ms(60_000);
        match self.quietly(5, &request)?.responses[0].error_code {
            0 => {}
            error => bail!("setting up: deleting {}: error {error}", topic.name),
        }
        let gone = clock::wait_for(LEADER_LIMIT, STEP, || match self.serves(&topic.name, 1) {
            Ok(served) => served.is_none().then_some(Ok(())),
            Err(error) => Some(Err(error)),
        });
        gone.with_context(|| format!("topic {} does not go", topic.name))?
    }

    /// Waits until every change that was answered is visible: a new topic comes after them all.
    pub fn settle(&mut self) -> Result<()> {
        let label = format!("settled-{}", self.steps_so_far());
        self.topic(&label, 1).map(drop)
    }

    /// Whether the leaders know that they lead: Kafka publishes a leader shortly before it serves.
    fn serves(&mut self, name: &str, partitions: i32) -> Result<Option<()>> {
        let partition = |index| {
            ListOffsetsPartition::default()
                .with_partition_index(index)
                .with_timestamp(LATEST)
        };
        let asked = ListOffsetsTopic::default()
            .with_name(build::topic(name))
            .with_partitions((0..partitions).map(partition).collect());
        let request = ListOffsetsRequest::default()
            .with_replica_id(CONSUMER)
            .with_topics(vec![asked]);
        let answer = self.quietly(5, &request)?;
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        Ok(partitions
            .all(|partition| partition.error_code == 0)
            .then_some(()))
    }
}
