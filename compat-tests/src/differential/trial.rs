//! One case played against one broker: its connections, what it asked, and the normalised answers.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{CreateTopicsRequest, MetadataRequest};
use kafka_protocol::protocol::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use super::build::{self, text};
use super::normal::Normal;
use super::target::Target;
use super::tree;
use super::wire::{self, ANSWER_LIMIT, Connection, Reply};
use crate::clock;

const LEADER_LIMIT: Duration = Duration::from_secs(20);

/// A request of a case and what the broker said to it.
#[derive(Debug, Clone)]
pub struct Step {
    pub request: String,
    pub answer: Value,
}

/// A topic that a case made for itself.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
    /// The leader epoch of partition 0.
    pub epoch: i32,
}

/// A request that was sent and whose answer was not taken yet.
#[derive(Debug)]
#[must_use]
pub struct Pending<R> {
    connection: usize,
    version: i16,
    correlation: i32,
    request: R,
}

pub struct Trial<'a> {
    target: &'a Target,
    slug: String,
    normal: Normal<'a>,
    connections: Vec<Connection>,
    steps: Vec<Step>,
}

impl<'a> Trial<'a> {
    /// `slug` is the prefix of everything that the case makes; it is unique to the case.
    pub fn new(target: &'a Target, slug: String) -> Trial<'a> {
        let normal = Normal::new(target, &slug);
        Trial {
            target,
            slug,
            normal,
            connections: Vec::new(),
            steps: Vec::new(),
        }
    }

    pub fn steps(self) -> Vec<Step> {
        self.steps
    }

    /// A name that only this case uses.
    pub fn name(&self, label: &str) -> String {
        format!("{}-{label}", self.slug)
    }

    pub fn broker_id(&self) -> i32 {
        self.target.broker_id
    }

    /// Whether the broker is the one that judges; for requests that must name what only one of them knows.
    pub fn now_ms(&self) -> i64 {
        clock::now_ms()
    }

    /// Asks on the first connection and records the answer.
    pub fn ask<R: Request + std::fmt::Debug>(
        &mut self,
        version: i16,
        request: R,
    ) -> Result<R::Response>
    where
        R::Response: std::fmt::Debug,
    {
        self.ask_on(0, version, request)
    }

    /// Asks on a connection, which is opened at its first use, and records the answer.
    pub fn ask_on<R: Request + std::fmt::Debug>(
        &mut self,
        on: usize,
        version: i16,
        request: R,
    ) -> Result<R::Response>
    where
        R::Response: std::fmt::Debug,
    {
        let pending = self.send_on(on, version, request)?;
        self.take(pending)
    }

    /// Sends now; the answer is taken, and recorded, later.
    pub fn send_on<R: Request>(
        &mut self,
        on: usize,
        version: i16,
        request: R,
    ) -> Result<Pending<R>> {
        let correlation = self.connection(on)?.send(version, &request)?;
        Ok(Pending {
            connection: on,
            version,
            correlation,
            request,
        })
    }

    pub fn take<R: Request + std::fmt::Debug>(&mut self, pending: Pending<R>) -> Result<R::Response>
    where
        R::Response: std::fmt::Debug,
    {
        let shown = format!("v{} {:?}", pending.version, pending.request);
        match self.connection(pending.connection)?.receive(ANSWER_LIMIT)? {
            Reply::Frame(frame) => {
                let decoded = wire::decode::<R>(pending.version, pending.correlation, frame)
                    .with_context(|| format!("the answer to {shown}"))?;
                let mut answer = self.normal.answer(tree::of(&decoded.body)?);
                if decoded.trailing_bytes > 0 {
                    answer["trailing_bytes"] = json!(decoded.trailing_bytes);
                }
                self.record(shown, answer);
                Ok(decoded.body)
            }
            Reply::Closed => self.stop(shown, "closed the connection"),
            Reply::Silent => self.stop(shown, "no answer"),
        }
    }

    fn stop<T>(&mut self, request: String, what: &str) -> Result<T> {
        self.record(request, json!(what));
        bail!("the broker: {what}")
    }

    /// Asks without recording, for what a case needs before its question.
    pub fn quietly<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        self.quietly_on(0, version, request)
    }

    pub fn quietly_on<R: Request>(
        &mut self,
        on: usize,
        version: i16,
        request: &R,
    ) -> Result<R::Response> {
        let correlation = self.connection(on)?.send(version, request)?;
        match self.connection(on)?.receive(ANSWER_LIMIT)? {
            Reply::Frame(frame) => Ok(wire::decode::<R>(version, correlation, frame)?.body),
            other => bail!("setting up: API {} version {version}: {other:?}", R::KEY),
        }
    }

    /// Sends a frame as it is and records whether an answer came, and its first bytes past the correlation id.
    pub fn ask_frame(&mut self, frame: &[u8], limit: Duration) -> Result<Option<Bytes>> {
        self.connection(0)?.send_frame(frame)?;
        self.take_frame(format!("frame {}", tree::hex(frame)), limit)
    }

    /// Sends bytes as they are, without a length before them.
    pub fn ask_bytes(&mut self, bytes: &[u8], limit: Duration) -> Result<Option<Bytes>> {
        self.connection(0)?.send_bytes(bytes)?;
        self.take_frame(format!("bytes {}", tree::hex(bytes)), limit)
    }

    fn take_frame(&mut self, request: String, limit: Duration) -> Result<Option<Bytes>> {
        let (answer, frame) = match self.connection(0)?.receive(limit)? {
            Reply::Frame(frame) => ("answered", Some(frame)),
            Reply::Closed => ("closed the connection", None),
            Reply::Silent => ("no answer", None),
        };
        self.record(request, json!(answer));
        Ok(frame)
    }

    /// Takes the next frame of a connection without recording it; `None` if none came.
    pub fn quiet_frame(&mut self, on: usize, limit: Duration) -> Result<Option<Bytes>> {
        match self.connection(on)?.receive(limit)? {
            Reply::Frame(frame) => Ok(Some(frame)),
            _ => Ok(None),
        }
    }

    /// Records something that a case worked out itself.
    pub fn note(&mut self, what: &str, answer: Value) {
        let answer = self.normal.answer(answer);
        self.record(what.to_string(), answer);
    }

    pub(super) fn record(&mut self, request: String, answer: Value) {
        self.steps.push(Step { request, answer });
    }

    fn connection(&mut self, on: usize) -> Result<&mut Connection> {
        while self.connections.len() <= on {
            self.connections
                .push(Connection::open(self.target.address)?);
        }
        Ok(&mut self.connections[on])
    }

    /// Closes a connection; the next use opens another in its place.
    pub fn reconnect(&mut self, on: usize) -> Result<()> {
        let fresh = Connection::open(self.target.address)?;
        *self.connection(on)? = fresh;
        Ok(())
    }

    /// Makes a topic of the case's own and waits until every partition has a leader.
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
        let config = |(key, value): &(&str, &str)| {
            CreatableTopicConfig::default()
                .with_name(text(key))
                .with_value(Some(text(value)))
        };
        let topic = CreatableTopic::default()
            .with_name(build::topic(&name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(20_000);
        let made = self.quietly(5, &request)?;
        let result = made.topics.first().context("no answer about the topic")?;
        if result.error_code != 0 {
            bail!(
                "setting up topic {name}: error {} {:?}",
                result.error_code,
                result.error_message
            );
        }
        self.led_topic(&name, partitions)
    }

    /// Waits until every partition of a topic has a leader and learns its id and epochs.
    pub fn led_topic(&mut self, name: &str, partitions: i32) -> Result<Topic> {
        let asked = MetadataRequestTopic::default().with_name(Some(build::topic(name)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![asked]))
            .with_allow_auto_topic_creation(false);
        let led = clock::wait_for(LEADER_LIMIT, Duration::from_millis(5), || {
            self.quietly(12, &request)
                .map(|answer| led(answer.topics, partitions))
                .transpose()
        });
        let topic = led.with_context(|| format!("topic {name} has no leaders"))??;
        let epochs = topic
            .partitions
            .iter()
            .map(|partition| partition.leader_epoch);
        self.normal
            .learn_topic(&topic.topic_id.to_string(), name, epochs);
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
}

type MetadataTopic = kafka_protocol::messages::metadata_response::MetadataResponseTopic;

fn led(topics: Vec<MetadataTopic>, partitions: i32) -> Option<MetadataTopic> {
    let topic = topics.into_iter().next()?;
    let led = topic
        .partitions
        .iter()
        .filter(|partition| partition.leader_id.0 >= 0)
        .count();
    (topic.error_code == 0 && led == usize::try_from(partitions).ok()?).then_some(topic)
}
