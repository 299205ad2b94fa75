//! A node as the metadata, and by it clients and other nodes, know it: its incarnation, and where it is reached.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Addresses, NodeError};
use crate::identity::Identity;
use crate::kafka::cluster_view::CLIENT_LISTENER;
use crate::meta::{Endpoint, NodeInfo};
use crate::options::{Options, host_of};

/// What the metadata is told of this node.
pub fn node_info(
    options: &Options,
    identity: &Identity,
    addresses: &Addresses,
) -> Result<NodeInfo, NodeError> {
    let cluster = match addresses.cluster.first() {
        Some(bound) => Some(cluster_address(options, bound)?),
        None => None,
    };
    let mut kafka = advertised(options, addresses)?;
    if kafka.host.is_empty()
        && let Some(Endpoint { host, .. }) = &cluster
    {
        // Only this node knows where its clients came in, so the others tell them this.
        kafka.host = host.clone();
    }
    Ok(NodeInfo {
        raft_id: identity.incarnation,
        listeners: BTreeMap::from([(CLIENT_LISTENER.to_owned(), kafka)]),
        rack: options.rack.clone(),
        cluster: cluster.map(|Endpoint { host, port }| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        }),
    })
}

fn cluster_address(options: &Options, bound: &SocketAddr) -> Result<Endpoint, NodeError> {
    if let Some(value) = &options.cluster_advertise {
        return endpoint("--cluster-advertise", value);
    }
    if bound.ip().is_unspecified() {
        return Err(NodeError::NoClusterAddress(options.cluster_listen.clone()));
    }
    Ok(Endpoint {
        host: host_of(&options.cluster_listen).to_owned(),
        port: bound.port(),
    })
}

fn advertised(options: &Options, addresses: &Addresses) -> Result<Endpoint, NodeError> {
    if let Some(value) = &options.kafka_advertise {
        return endpoint("--kafka-advertise", value);
    }
    let bound = addresses.kafka.first();
    let wildcard = bound.is_some_and(|address| address.ip().is_unspecified());
    Ok(Endpoint {
        host: match wildcard {
            true => String::new(),
            false => host_of(&options.kafka_listen).to_owned(),
        },
        port: bound.map_or(0, SocketAddr::port),
    })
}

/// `HOST:PORT`, taken apart.
fn endpoint(flag: &'static str, value: &str) -> Result<Endpoint, NodeError> {
    let wrong = || NodeError::Advertise {
        flag,
        value: value.to_owned(),
    };
    let (_, port) = value.rsplit_once(':').ok_or_else(wrong)?;
    Ok(Endpoint {
        host: host_of(value).to_owned(),
        port: port.parse().map_err(|_| wrong())?,
    })
}
