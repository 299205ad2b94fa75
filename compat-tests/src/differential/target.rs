//! A broker under comparison: where it is and what it calls itself.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kafka_protocol::messages::{
    FindCoordinatorRequest, InitProducerIdRequest, MetadataRequest, OffsetFetchRequest, ProducerId,
    TransactionalId,
};
use kafka_protocol::protocol::Request;

use super::build::{group, text};
use super::wire::{self, Connection, Reply};
use crate::clock;

/// Coordinator load in progress, coordinator not available, not coordinator.
const STARTING: [i16; 3] = [14, 15, 16];
const WARM_LIMIT: Duration = Duration::from_secs(180);

/// What the answers of one broker are full of and the other's are not.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: &'static str,
    pub address: SocketAddr,
    pub advertised: (String, i32),
    pub broker_id: i32,
    pub cluster_id: String,
    /// Begins every name that this run makes there, so that a broker can be asked again.
    pub mark: String,
}

impl Target {
    /// Waits until the broker at `address` serves metadata, groups and producer ids, and learns its names.
    pub fn meet(name: &'static str, address: SocketAddr) -> Result<Target> {
        let target = clock::wait_for(WARM_LIMIT, Duration::from_millis(100), || {
            meet_once(name, address).transpose()
        });
        target.with_context(|| format!("{name} at {address} is not warm after {WARM_LIMIT:?}"))?
    }

    /// A broker of several, which is up; only its address is known, and others coordinate groups too.
    pub fn one_of_several(name: &'static str, address: SocketAddr) -> Target {
        Target {
            name,
            address,
            advertised: (address.ip().to_string(), address.port().into()),
            broker_id: -1,
            cluster_id: String::new(),
            mark: mark(),
        }
    }
}

fn mark() -> String {
    format!("{:06x}", clock::now_ms() & 0xff_ffff)
}

/// `None` while the broker says that it is still starting.
fn meet_once(name: &'static str, address: SocketAddr) -> Result<Option<Target>> {
    let mut connection = Connection::open(address)?;
    let metadata = ask(
        &mut connection,
        12,
        &MetadataRequest::default().with_topics(Some(vec![])),
    )?;
    let Some(broker) = metadata.brokers.first() else {
        return Ok(None);
    };
    let coordinator = FindCoordinatorRequest::default().with_key(text("warm"));
    if ask(&mut connection, 3, &coordinator)?.error_code != 0 {
        return Ok(None);
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
    if !transactions_are_settled(&mut connection)? {
        return Ok(None);
    }
    Ok(Some(Target {
        name,
        address,
        advertised: (broker.host.to_string(), broker.port),
        broker_id: broker.node_id.0,
        cluster_id: metadata.cluster_id.unwrap_or_default().to_string(),
        mark: mark(),
    }))
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
