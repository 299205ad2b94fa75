//! One case played against one broker: its connections, what it asked, and the normalised answers.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use kafka_protocol::protocol::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use super::normal::Normal;
use super::target::Target;
use super::tree;
use super::wire::{self, ANSWER_LIMIT, Connection, Reply};
use crate::clock;

/// How long an answer may take that probably never comes.
const MOMENT: Duration = Duration::from_secs(3);

/// A request of a case and what the broker said to it.
#[derive(Debug, Clone)]
pub struct Step {
    pub request: String,
    pub answer: Value,
}

/// A request whose answer can be shown.
pub trait Ask: Request<Response: Debug> + Debug {}

impl<R: Request<Response: Debug> + Debug> Ask for R {}

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
    sent: Vec<Bytes>,
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
            sent: Vec::new(),
        }
    }

    /// The frames of all requests so far, what was asked to set up among them.
    pub fn sent(&self) -> &[Bytes] {
        &self.sent
    }

    pub fn steps(self) -> Vec<Step> {
        self.steps
    }

    pub(super) fn steps_so_far(&self) -> usize {
        self.steps.len()
    }

    /// A name that only this case uses.
    pub fn name(&self, label: &str) -> String {
        format!("{}-{label}", self.slug)
    }

    pub fn broker_id(&self) -> i32 {
        self.target.broker_id
    }

    /// The ids of all nodes, first of the one that is asked.
    pub fn nodes(&self) -> Vec<i32> {
        self.target.nodes()
    }

    pub fn is_one_of_several(&self) -> bool {
        self.target.is_one_of_several()
    }

    pub fn now_ms(&self) -> i64 {
        clock::now_ms()
    }

    /// Asks on the first connection and records the answer.
    pub fn ask<R: Ask>(&mut self, version: i16, request: R) -> Result<R::Response> {
        self.ask_on(0, version, request)
    }

    /// Asks on a connection, which is opened at its first use, and records the answer.
    pub fn ask_on<R: Ask>(&mut self, on: usize, version: i16, request: R) -> Result<R::Response> {
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
        let correlation = self.send(on, version, &request)?;
        Ok(Pending {
            connection: on,
            version,
            correlation,
            request,
        })
    }

    pub fn take<R: Ask>(&mut self, pending: Pending<R>) -> Result<R::Response> {
        self.take_within(pending, ANSWER_LIMIT)?
            .context("nothing was answered")
    }

    /// Asks what may never be answered, on a connection of its own, and waits only a moment.
    pub fn ask_briefly<R: Ask>(&mut self, version: i16, request: R) -> Result<()> {
        let pending = self.send_on(1, version, request)?;
        self.take_within(pending, MOMENT).map(drop)
    }

    fn take_within<R: Ask>(
        &mut self,
        pending: Pending<R>,
        limit: Duration,
    ) -> Result<Option<R::Response>> {
        let shown = format!("v{} {:?}", pending.version, pending.request);
        let (answer, body) = match self.connection(pending.connection)?.receive(limit)? {
            Reply::Frame(frame) => {
                let decoded = wire::decode::<R>(pending.version, pending.correlation, frame)
                    .with_context(|| format!("the answer to {shown}"))?;
                let mut answer = self.normal.answer(tree::of(&decoded.body)?);
                if decoded.trailing_bytes > 0 {
                    answer["trailing_bytes"] = json!(decoded.trailing_bytes);
                }
                (answer, Some(decoded.body))
            }
            Reply::Closed => (json!("closed the connection"), None),
            Reply::Silent => (json!("no answer"), None),
        };
        self.record(shown, answer);
        Ok(body)
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
        let correlation = self.send(on, version, request)?;
        match self.connection(on)?.receive(ANSWER_LIMIT)? {
            Reply::Frame(frame) => Ok(wire::decode::<R>(version, correlation, frame)?.body),
            other => bail!("setting up: API {} version {version}: {other:?}", R::KEY),
        }
    }

    fn send<R: Request>(&mut self, on: usize, version: i16, request: &R) -> Result<i32> {
        let (correlation, frame) = self.connection(on)?.send_request(version, request)?;
        self.sent.push(frame);
        Ok(correlation)
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

    /// Gives the ids inside a text their numbers now, before an answer shows them in an order of its own.
    pub fn introduce(&mut self, text: &str) {
        self.normal.introduce(text);
    }

    pub(super) fn learn(&mut self, id: Uuid, name: &str, epochs: impl IntoIterator<Item = i32>) {
        self.normal.learn_topic(&id.to_string(), name, epochs);
    }
}
