//! A node's listeners: HTTP answers from the start on, Kafka's clients are served once the node is up.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Listeners;
use crate::broker::Broker;
use crate::cluster::message::Surface;
use crate::connections::Connections;
use crate::http::forward::Surfaces;
use crate::http::opening::Opening;
use crate::http::server;
use crate::kafka::Dispatch;
use crate::kafka::connection::Limits;
use crate::kafka::listener::Server;
use crate::startup::Startup;

/// Thirty years.
const LONGEST_IDLE: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// The HTTP ports while the node starts, and the clients of all ports.
pub struct Edges {
    broker: Arc<OnceLock<Weak<Broker>>>,
    connections: Arc<Connections>,
    registry: Arc<Opening>,
    http: Arc<Opening>,
    serving: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Edges {
    /// Begins to answer over HTTP, on `edge`, until `stop`; clients get so many descriptors at most.
    pub fn open(
        listeners: &mut Listeners,
        descriptors: usize,
        startup: &Startup,
        stop: &CancellationToken,
        edge: &Handle,
    ) -> Edges {
        let broker = Arc::new(OnceLock::new());
        let connections = connections(broker.clone(), descriptors);
        let mut serving = Vec::new();
        let mut open = |surface, listeners| {
            let opening = Opening::new(surface, startup);
            serving.push(edge.spawn(server::serve(
                listeners,
                opening.router(),
                connections.clone(),
                stop.clone(),
            )));
            opening
        };
        Edges {
            registry: open(Surface::Registry, std::mem::take(&mut listeners.registry)),
            http: open(Surface::Http, std::mem::take(&mut listeners.http)),
            broker,
            connections,
            serving,
            stop: stop.clone(),
        }
    }

    /// The node is up: serves everything, Kafka's clients on the runtime that this is called on. The tasks end at the
    /// stop.
    pub fn serve(
        mut self,
        broker: &Arc<Broker>,
        surfaces: Surfaces,
        kafka: Vec<TcpListener>,
        request_bytes: usize,
    ) -> Vec<JoinHandle<()>> {
        let set = self.broker.set(Arc::downgrade(broker));
        assert!(set.is_ok(), "a node comes up once");
        let dispatch = Dispatch::new(broker.clone());
        broker.metrics.add_requests(dispatch.metrics());
        let server = Server::new(dispatch, limits(broker), request_bytes, self.connections);
        broker.metrics.add_request_memory(server.budget());
        self.serving
            .push(tokio::spawn(server.serve(kafka, self.stop)));
        self.http.serve(surfaces.http);
        self.registry.serve(surfaces.registry);
        self.serving
    }
}

/// As many as the setting `max.connections`, once it is known, and the process's limits allow.
fn connections(broker: Arc<OnceLock<Weak<Broker>>>, descriptors: usize) -> Arc<Connections> {
    let setting = move || {
        let Some(broker) = broker.get() else {
            return usize::MAX;
        };
        let Some(broker) = broker.upgrade() else {
            return 0;
        };
        let limit = broker
            .admin
            .layers(&broker.meta.read())
            .broker_int("max.connections");
        usize::try_from(limit).unwrap_or(0)
    };
    Connections::new(descriptors, Box::new(setting))
}

/// What the node's settings say of a connection; they are read at the start only.
fn limits(broker: &Broker) -> Limits {
    let state = broker.meta.read();
    let layers = broker.admin.layers(&state);
    let most = Limits::default();
    let frame = usize::try_from(layers.broker_int("socket.request.max.bytes"));
    let idle = u64::try_from(layers.broker_int("connections.max.idle.ms"));
    Limits {
        max_frame_bytes: frame.unwrap_or(most.max_frame_bytes),
        // As in Kafka, a negative time is none; a longer one than this would overflow the clock.
        idle: idle.map_or(LONGEST_IDLE, |ms| {
            Duration::from_millis(ms).min(LONGEST_IDLE)
        }),
        ..most
    }
}
