//! The HTTP edges: health, metrics, tables and admin on one port, the schema registry on another.

mod bodies;
mod cluster;
mod drain;
pub mod forward;
mod health;
mod name;
pub mod opening;
pub mod registry;
mod rejects;
pub mod server;
mod spread;
pub mod tables;

use std::sync::Arc;

use axum::Router;
use axum::http::Method;

use crate::broker::Broker;
use crate::cluster::message::Surface;
use crate::registry::backend::BrokerRegistry;
use crate::tables::service::BrokerTables;

/// Everything on the HTTP port.
pub fn router(broker: &Arc<Broker>) -> Router {
    let tables = tables::router(Arc::new(BrokerTables(broker.clone())));
    let tables = forward::passing_on(tables, Surface::Http, broker, Box::new(|_| None));
    health::router(broker.clone())
        .merge(rejects::router(broker.clone()))
        .merge(cluster::router(broker.clone()))
        .merge(drain::router(broker.clone()))
        .merge(spread::router(broker.clone()))
        .merge(tables)
}

/// Everything on the registry's port.
pub fn registry_router(broker: &Arc<Broker>) -> Router {
    let cluster_id = broker
        .meta
        .read()
        .cluster_id()
        .unwrap_or_default()
        .to_owned();
    let router = registry::router(
        Arc::new(BrokerRegistry(broker.clone())),
        registry::Options::new(cluster_id),
    );
    // What may change the registry is decided by whoever leads the metadata.
    let shards = broker.shards.clone();
    let leader = move |method: &Method| {
        let metadata = shards.metadata();
        let leader = metadata.leadership().leader?;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        (!reads && leader != metadata.node_id()).then_some(leader)
    };
    forward::passing_on(router, Surface::Registry, broker, Box::new(leader))
}
