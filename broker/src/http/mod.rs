//! The HTTP edges: health, metrics, tables and admin on one port, the schema registry on another.

mod bodies;
mod health;
pub mod registry;
mod rejects;
pub mod server;
pub mod tables;

use std::sync::Arc;

use axum::Router;

use crate::broker::Broker;
use crate::tables::service::BrokerTables;

/// Everything on the HTTP port.
pub fn router(broker: &Arc<Broker>) -> Router {
    health::router(broker.clone())
        .merge(rejects::router(broker.clone()))
        .merge(tables::router(Arc::new(BrokerTables(broker.clone()))))
}
