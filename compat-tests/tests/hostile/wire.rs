//! Frames as attackers send them, and the few good requests that they hide among.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes};
use compat_tests::differential::build::{self, CONSUMER};
use compat_tests::differential::topics::Topic;
use compat_tests::differential::wire::{ANSWER_LIMIT, Connection, Reply, decode};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use kafka_protocol::protocol::Request;

/// How long a broker may take to close a connection that it should close at once.
const CLOSE_LIMIT: Duration = Duration::from_secs(20);

/// Asks one request and returns its answer; anything but an answer is an error.
pub fn ask<R: Request>(
    connection: &mut Connection,
    version: i16,
    request: &R,
) -> Result<R::Response> {
    let correlation = connection.send(version, request)?;
    take::<R>(connection, version, correlation)
}

fn take<R: Request>(
    connection: &mut Connection,
    version: i16,
    correlation: i32,
) -> Result<R::Response> {
    match connection.receive(ANSWER_LIMIT)? {
        Reply::Frame(frame) => Ok(decode::<R>(version, correlation, frame)?.body),
        other => bail!("API {} version {version}: {other:?}", R::KEY),
    }
}

/// Appends a record set to partition 0, waiting for its ack.
pub fn produce(
    connection: &mut Connection,
    topic: &Topic,
    records: Bytes,
) -> Result<PartitionProduceResponse> {
    let correlation = connection.send(9, &produce_request(topic, records))?;
    take_produced(connection, correlation)
}

pub fn produce_request(topic: &Topic, records: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default()
        .with_index(0)
        .with_records(Some(records));
    let data = TopicProduceData::default()
        .with_name(build::topic(&topic.name))
        .with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![data])
}

/// The answer to a [`produce_request`] that was sent.
pub fn take_produced(
    connection: &mut Connection,
    correlation: i32,
) -> Result<PartitionProduceResponse> {
    let answer = take::<ProduceRequest>(connection, 9, correlation)?;
    let topic = answer.responses.into_iter().next();
    let partition = topic.and_then(|topic| topic.partition_responses.into_iter().next());
    partition.context("the partition is not answered")
}

/// The bytes that partition 0 has from an offset on.
pub fn fetch(connection: &mut Connection, topic: &Topic, offset: i64) -> Result<Bytes> {
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let asked = FetchTopic::default()
        .with_topic(build::topic(&topic.name))
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id(CONSUMER)
        .with_max_wait_ms(5_000)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![asked]);
    let answer = ask(connection, 11, &request)?;
    let topic = answer.responses.into_iter().next();
    let partition = topic.and_then(|topic| topic.partitions.into_iter().next());
    let partition = partition.context("the partition is not answered")?;
    ensure!(
        partition.error_code == 0,
        "reading: error {}",
        partition.error_code
    );
    partition.records.context("no records")
}

/// A request's header, v1: API, version, correlation 7, client id null.
pub fn header(key: i16, version: i16) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(7);
    frame.put_i16(-1);
    frame
}

/// A frame behind its length.
pub fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("a frame is small");
    [&length.to_be_bytes()[..], frame].concat()
}

/// What came of bytes that were sent on a connection of their own.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Closed,
    Answered(Vec<u8>),
}

/// Sends bytes and waits until the broker answers or hangs up, whichever it does first.
pub fn send(address: SocketAddr, bytes: &[u8]) -> Result<Outcome> {
    let mut stream = connect(address)?;
    match stream.write_all(bytes) {
        Err(error) if is_hang_up(error.kind()) => return Ok(Outcome::Closed),
        written => written?,
    }
    first_answer(&mut stream)
}

/// The first frame or bytes that come; a silence longer than [`CLOSE_LIMIT`] is an error.
pub fn first_answer(stream: &mut TcpStream) -> Result<Outcome> {
    stream.set_read_timeout(Some(CLOSE_LIMIT))?;
    let mut answer = vec![0; 64 * 1024];
    match stream.read(&mut answer) {
        Ok(0) => Ok(Outcome::Closed),
        Ok(read) => {
            answer.truncate(read);
            Ok(Outcome::Answered(answer))
        }
        Err(error) if is_hang_up(error.kind()) => Ok(Outcome::Closed),
        Err(error) => Err(error).context("neither an answer nor a closed connection"),
    }
}

pub fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub fn is_hang_up(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
    )
}
