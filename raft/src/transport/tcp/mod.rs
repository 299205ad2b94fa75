//! Nodes on a real network. A node keeps one connection to each peer, on which it asks; all shards share
//! it, many questions are on their way at once, and answers come back in any order.
//!
//! Invariants
//! - Whoever asks gets an answer or an error; a question whose connection breaks is an error at once,
//!   and whether it arrived is not known.
//! - What one side queues or holds for the other is bounded.
//! - A connection is to one incarnation: an answer never comes from a later one.

pub(crate) mod frame;
mod guard;
pub(crate) mod hello;
mod link;
mod outbox;
mod refusals;
mod serve;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Reply, Request, Transport, Unreachable, message};
use crate::env::Random;
use crate::ids::{NodeId, Seat, ShardId};
use crate::node::Node;
use frame::Kind;
pub use guard::{Guard, Open, Wire};
use hello::{Hello, VERSIONS};
use link::{Connection, Link};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    pub seat: Seat,
    pub node: NodeId,
}

/// What the layer above answers other nodes. Its questions and answers are opaque here.
pub trait Service: Send + Sync + 'static {
    /// `Err` is told to whoever asked.
    fn answer(&self, caller: Caller, question: Bytes) -> BoxFuture<'static, Result<Bytes, String>>;
}

/// This node's end of all its connections to others. Clones share them.
#[derive(Clone)]
pub struct TcpTransport {
    shared: Arc<Shared>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

struct Shared {
    hello: Hello,
    guard: Arc<dyn Guard>,
    random: Arc<dyn Random>,
    /// By address.
    links: Mutex<BTreeMap<String, Arc<Link>>>,
    /// The peers that are connected now.
    peers: watch::Sender<BTreeMap<NodeId, Seat>>,
}

impl Shared {
    /// Tells who is connected, after a link came or went.
    fn links_changed(&self) {
        let links: Vec<Arc<Link>> = self.links.lock().values().cloned().collect();
        let connections = links.iter().filter_map(|link| link.connection().ok());
        let now: BTreeMap<NodeId, Seat> = connections.map(|one| (one.node, one.seat)).collect();
        self.peers.send_if_modified(|peers| {
            let modified = *peers != now;
            *peers = now;
            modified
        });
    }
}

impl TcpTransport {
    pub fn new(
        seat: Seat,
        node: NodeId,
        guard: Arc<dyn Guard>,
        random: Arc<dyn Random>,
    ) -> TcpTransport {
        let shared = Shared {
            hello: Hello {
                versions: VERSIONS,
                seat,
                node,
            },
            guard,
            random,
            links: Mutex::default(),
            peers: watch::Sender::default(),
        };
        TcpTransport {
            shared: Arc::new(shared),
            tasks: Arc::default(),
        }
    }

    /// Begins to keep a connection to whoever answers at `HOST:PORT`; does nothing where there is one. An
    /// address at which this node itself answers is given up.
    pub fn connect(&self, address: String) {
        let link = Arc::new(Link::new(address.clone()));
        let mut links = self.shared.links.lock();
        if links.contains_key(&address) {
            return;
        }
        links.insert(address, link.clone());
        let shared = self.shared.clone();
        let mut tasks = self.tasks.lock();
        tasks.spawn(async move { link.run(&shared).await });
    }

    /// Whether this node itself answers at an address that was given to [`TcpTransport::connect`].
    pub fn is_own(&self, address: &str) -> bool {
        let link = self.shared.links.lock().get(address).cloned();
        link.is_some_and(|link| link.is_own())
    }

    /// Who answers at an address, or why nobody does.
    pub fn peer_at(&self, address: &str) -> Result<Caller, String> {
        let link = self.shared.links.lock().get(address).cloned();
        let link = link.ok_or_else(|| format!("{address}: nobody was asked to connect"))?;
        let connection = link.connection()?;
        Ok(Caller {
            seat: connection.seat,
            node: connection.node,
        })
    }

    /// Begins to answer others, for the replicas of `node` and for the layer above.
    pub fn serve(&self, listener: TcpListener, node: Node, service: Arc<dyn Service>) {
        let answerer = serve::Answerer { node, service };
        let serving = serve::serve(listener, self.shared.clone(), answerer);
        self.tasks.lock().spawn(serving);
    }

    /// The peers that are connected, as they come and go.
    pub fn peers(&self) -> watch::Receiver<BTreeMap<NodeId, Seat>> {
        self.shared.peers.subscribe()
    }

    /// Asks the layer above on another node. The caller bounds the time.
    pub async fn ask(&self, to: NodeId, question: Bytes) -> Result<Bytes, Unreachable> {
        let connection = self.connection(to)?;
        let answer = connection.ask(Kind::Service, vec![question]).await;
        answer.map_err(|reason| Unreachable { node: to, reason })
    }

    /// Closes all connections and takes no more.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
    }

    fn connection(&self, to: NodeId) -> Result<Arc<Connection>, Unreachable> {
        let links = self.shared.links.lock();
        let mut connections = links.values().filter_map(|link| link.connection().ok());
        let found = connections.find(|connection| connection.node == to);
        found.ok_or_else(|| Unreachable {
            node: to,
            reason: "it is not connected".to_owned(),
        })
    }
}

impl Transport for TcpTransport {
    fn call(
        &self,
        to: NodeId,
        shard: ShardId,
        request: Request,
    ) -> BoxFuture<'_, Result<Reply, Unreachable>> {
        Box::pin(async move {
            let connection = self.connection(to)?;
            let question = message::encode_request(shard, &request);
            let answer = connection.ask(Kind::Replica, question).await;
            let unreachable = |reason| Unreachable { node: to, reason };
            let answer = answer.map_err(unreachable)?;
            message::decode_reply(answer).map_err(|error| unreachable(error.to_string()))
        })
    }
}
