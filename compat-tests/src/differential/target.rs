//! A broker under comparison: where it is and what it calls itself.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{
    FindCoordinatorRequest, InitProducerIdRequest, MetadataRequest, OffsetFetchRequest, ProducerId,
    TransactionalId,
};
use kafka_protocol::protocol::Request;

use super::build::{group, text};
use super::trial::Trial;
use super::wire::{self, Connection, Reply};
use crate::clock;

/// Coordinator load in progress, coordinator not available, not coordinator.
const STARTING: [i16; 3] = [14, 15, 16];
const WARM_LIMIT: Duration = Duration::from_secs(180);
/// Whose leaders coordinate groups, and how many partitions it has.
const OFFSETS: (&str, i32) = ("__consumer_offsets", 50);

/// What the answers of one broker are full of and the other's are not.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: &'static str,
    pub address: SocketAddr,
    pub advertised: (String, i32),
    pub broker_id: i32,
    /// The other nodes of its cluster, from the next id on. Only the one at `address` is asked, and it leads all that is
    /// asked about.
    pub others: Vec<Other>,
    pub cluster_id: String,
    /// Begins every name that this run makes there, so that a broker can be asked again.
    pub mark: String,
}

/// A node that is not asked.
#[derive(Debug, Clone)]
pub struct Other {
    pub broker_id: i32,
    pub advertised: (String, i32),
}

impl Target {
    /// Waits until the broker at `address` serves metadata, groups and producer ids, and learns its names. One of
    /// several then coordinates all groups.
    pub fn meet(name: &'static str, address: SocketAddr) -> Result<Target> {
        let target = clock::wait_for(WARM_LIMIT, Duration::from_millis(100), || {
            meet_once(name, address).transpose()
        });
        target.with_context(|| format!("{name} at {address} is not warm after {WARM_LIMIT:?}"))?
    }

    pub fn is_one_of_several(&self) -> bool {
        !self.others.is_empty()
    }

    /// Where a node of the cluster says that it is.
    pub fn advertised_by(&self, broker_id: i64) -> Option<&(String, i32)> {
        let own = (self.broker_id, &self.advertised);
        let others = self.others.iter();
        let others = others.map(|other| (other.broker_id, &other.advertised));
        let mut nodes = std::iter::once(own).chain(others);
        let node = nodes.find(|(id, _)| i64::from(*id) == broker_id);
        node.map(|(_, address)| address)
    }

    /// The ids of all nodes, first of the one that is asked: where a partition lies that it leads. The others come as
    /// Weir places them, to which an assignment comes that differs in no more than their order.
    pub fn nodes(&self) -> Vec<i32> {
        let others = self.others.iter().map(|other| other.broker_id);
        std::iter::once(self.broker_id).chain(others).collect()
    }
}

/// `None` while the broker says that it is still starting.
fn meet_once(name: &'static str, address: SocketAddr) -> Result<Option<Target>> {
    let mut connection = Connection::open(address)?;
    let metadata = ask(
        &mut connection,
        12,
        &MetadataRequest::default().with_topics(Some(vec![])),
    )?;
    if metadata.brokers.is_empty() {
        return Ok(None);
    }
    let coordinator = FindCoordinatorRequest::default().with_key(text("warm"));
    if ask(&mut connection, 3, &coordinator)?.error_code != 0 {
        return Ok(None);
    }
    let (asked, others) = told_apart(&metadata.brokers, address)?;
    let target = Target {
        name,
        address,
        advertised: asked.advertised,
        broker_id: asked.broker_id,
        others,
        cluster_id: metadata.cluster_id.unwrap_or_default().to_string(),
        mark: format!("{:06x}", clock::now_ms() & 0xff_ffff),
    };
    if target.is_one_of_several() {
        let (offsets, partitions) = OFFSETS;
        Trial::new(&target, target.mark.clone()).led_topic(offsets, partitions)?;
    }
    let offsets = OffsetFetchRequest::default()
        .with_group_id(group("warm"))
        .with_topics(None);
    if ask(&mut connection, 7, &offsets)?.error_code != 0 {
        return Ok(None);
    }
    let producer = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    if ask(&mut connection, 4, &producer)?.error_code != 0 {
        return Ok(None);
    }
    Ok(transactions_are_settled(&mut connection)?.then_some(target))
}

/// The node at an address, and the others.
fn told_apart(
    brokers: &[MetadataResponseBroker],
    address: SocketAddr,
) -> Result<(Other, Vec<Other>)> {
    let node = |broker: &MetadataResponseBroker| Other {
        broker_id: broker.node_id.0,
        advertised: (broker.host.to_string(), broker.port),
    };
    let mut nodes: Vec<Other> = brokers.iter().map(node).collect();
    nodes.sort_by_key(|node| node.broker_id);
    let here = (address.ip().to_string(), i32::from(address.port()));
    let asked = match nodes.len() {
        // It may advertise a name.
        1 => Some(0),
        _ => nodes.iter().position(|node| node.advertised == here),
    };
    let asked = asked.with_context(|| format!("none of {nodes:?} is at {address}"))?;
    nodes.rotate_left(asked);
    let others = nodes.split_off(1);
    Ok((nodes.remove(0), others))
}

/// Whether a transactional id gets an answer for good: either it is served or it is refused.
fn transactions_are_settled(connection: &mut Connection) -> Result<bool> {
    let settled = |error: i16| !STARTING.contains(&error);
    let coordinator = FindCoordinatorRequest::default()
        .with_key(text("warm"))
        .with_key_type(1);
    let producer = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text("warm"))))
        .with_transaction_timeout_ms(60_000);
    Ok(settled(ask(connection, 3, &coordinator)?.error_code)
        && settled(ask(connection, 4, &producer)?.error_code))
}

fn ask<R: Request>(connection: &mut Connection, version: i16, request: &R) -> Result<R::Response> {
    let correlation = connection.send(version, request)?;
    match connection.receive(wire::ANSWER_LIMIT)? {
        Reply::Frame(frame) => Ok(wire::decode::<R>(version, correlation, frame)?.body),
        other => bail!("no answer to API {} version {version}: {other:?}", R::KEY),
    }
}
