//! What the scenarios ask of rdkafka, and of the broker's HTTP ports.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::clock;

pub const PARTITIONS: i32 = 3;
pub const WAIT: Duration = Duration::from_secs(20);
pub const SETTLE: Duration = Duration::from_millis(400);

/// The crate's version, as Cargo.lock has it.
pub fn version() -> &'static str {
    let lock = include_str!("../../../../Cargo.lock");
    lock.split("name = \"rdkafka\"\nversion = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or("?")
}

/// A record to send.
#[derive(Clone, Default, Debug)]
pub struct Sent {
    pub key: Option<String>,
    pub value: Option<Vec<u8>>,
    pub partition: Option<i32>,
    pub header: bool,
}

/// A record that was read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Seen {
    pub fn of(message: &BorrowedMessage<'_>) -> Seen {
        let headers = message.headers().into_iter().flat_map(|headers| {
            headers.iter().map(|header| {
                (
                    header.key.to_string(),
                    header.value.unwrap_or_default().to_vec(),
                )
            })
        });
        Seen {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.collect(),
        }
    }
}

pub struct Client {
    bootstrap: String,
    registry: String,
    http: String,
    replicas: i32,
    admin: AdminClient<DefaultClientContext>,
}

impl Client {
    pub fn from_environment() -> Result<Client> {
        let read = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
        let bootstrap = read("WEIR_BOOTSTRAP")?;
        Ok(Client {
            admin: configured(&bootstrap).create()?,
            registry: read("WEIR_REGISTRY")?,
            http: read("WEIR_HTTP")?,
            replicas: read("WEIR_REPLICAS")?.parse()?,
            bootstrap,
        })
    }

    pub fn configured(&self) -> ClientConfig {
        configured(&self.bootstrap)
    }

    pub async fn create_topic(&self, topic: &str, config: &[(&str, &str)]) -> Result<()> {
        let mut new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(self.replicas));
        for (name, value) in config {
            new = new.set(name, value);
        }
        let answers = self
            .admin
            .create_topics([&new], &AdminOptions::new())
            .await?;
        one(answers)?.map_err(|(_, code)| KafkaError::AdminOp(code))?;
        Ok(())
    }

    pub async fn delete_topic(&self, topic: &str) -> Result<()> {
        let answers = self
            .admin
            .delete_topics(&[topic], &AdminOptions::new())
            .await?;
        one(answers)?.map_err(|(_, code)| KafkaError::AdminOp(code))?;
        Ok(())
    }

    /// Partition count by topic.
    pub fn topics(&self) -> Result<BTreeMap<String, usize>> {
        let metadata = self.admin.inner().fetch_metadata(None, WAIT)?;
        let topics = metadata.topics().iter();
        Ok(topics
            .map(|topic| (topic.name().to_string(), topic.partitions().len()))
            .collect())
    }

    pub async fn describe_configs(&self, topic: &str) -> Result<BTreeMap<String, Option<String>>> {
        let resource = ResourceSpecifier::Topic(topic);
        let answers = self
            .admin
            .describe_configs([&resource], &AdminOptions::new())
            .await?;
        let described = one(answers)?.map_err(KafkaError::AdminOp)?;
        Ok(described
            .entries
            .into_iter()
            .map(|entry| (entry.name, entry.value))
            .collect())
    }

    /// Earliest and latest offset.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        let consumer = self.reader()?;
        Ok(consumer.fetch_watermarks(topic, partition, WAIT)?)
    }

    pub fn offset_at(&self, topic: &str, partition: i32, time_ms: i64) -> Result<Offset> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(topic, partition, Offset::Offset(time_ms))?;
        let found = self.reader()?.offsets_for_times(asked, WAIT)?;
        let found = found
            .find_partition(topic, partition)
            .context("no answer for the partition")?;
        Ok(found.offset())
    }

    /// Sends all and waits for every ack.
    pub async fn produce(
        &self,
        topic: &str,
        records: &[Sent],
        settings: &[(&str, &str)],
    ) -> Result<(), KafkaError> {
        let mut config = self.configured();
        config.set("linger.ms", "20");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let producer: FutureProducer = config.create()?;
        let mut deliveries = Vec::new();
        for record in records {
            let mut future = FutureRecord::<str, [u8]>::to(topic);
            future.key = record.key.as_deref();
            future.payload = record.value.as_deref();
            future.partition = record.partition;
            if record.header {
                future = future.headers(OwnedHeaders::new().insert(Header {
                    key: "from",
                    value: Some("scenarios"),
                }));
            }
            deliveries.push(producer.send_result(future).map_err(|(error, _)| error)?);
        }
        for delivery in deliveries {
            let canceled = |_| KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue);
            delivery
                .await
                .map_err(canceled)?
                .map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    /// Everything in the topic, which is at least `count` records.
    pub fn read(&self, topic: &str, count: usize) -> Result<Vec<Seen>> {
        let consumer = self.reader()?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        let mut seen = Vec::new();
        while seen.len() < count {
            let message = consumer
                .poll(WAIT)
                .with_context(|| format!("{} records instead of {count}", seen.len()))?;
            seen.push(Seen::of(&message?));
        }
        while let Some(message) = consumer.poll(SETTLE) {
            seen.push(Seen::of(&message?));
        }
        Ok(seen)
    }

    fn reader(&self) -> Result<BaseConsumer> {
        let mut config = self.configured();
        config
            .set("group.id", "unused")
            .set("enable.auto.commit", "false");
        Ok(config.create()?)
    }

    /// Status and body of a GET on the HTTP port.
    pub async fn get(&self, path: &str) -> Result<(u16, Value)> {
        let answer = reqwest::get(format!("{}{path}", self.http)).await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    pub async fn register(&self, subject: &str, schema: &str, kind: &str) -> Result<i32> {
        let body = serde_json::json!({ "schema": schema, "schemaType": kind });
        let url = format!("{}/subjects/{subject}/versions", self.registry);
        let answer: Value = reqwest::Client::new()
            .post(url)
            .json(&body)
            .send()
            .await?
            .json()
            .await?;
        let id = answer["id"]
            .as_i64()
            .ok_or_else(|| anyhow!("registration answered {answer}"))?;
        Ok(i32::try_from(id)?)
    }
}

fn configured(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

fn one<T>(answers: Vec<T>) -> Result<T> {
    answers.into_iter().next().context("no answer")
}

/// Waits until `done` is true.
pub fn until(what: &str, mut done: impl FnMut() -> bool) -> Result<()> {
    let waited = clock::wait_for(WAIT, Duration::from_millis(20), || done().then_some(()));
    if waited.is_none() {
        bail!("waited {WAIT:?} in vain for {what}");
    }
    Ok(())
}
