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
    links: Mutex<BTreeMap<Seat, Arc<Link>>>,
    /// The last incarnation that answered at each seat.
    met: watch::Sender<BTreeMap<Seat, NodeId>>,
}

impl Shared {
    fn met(&self, seat: Seat, node: NodeId) {
        self.met
            .send_if_modified(|met| met.insert(seat, node) != Some(node));
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
            met: watch::Sender::default(),
        };
        TcpTransport {
            shared: Arc::new(shared),
            tasks: Arc::default(),
        }
    }

    /// Begins to keep a connection to a peer at `HOST:PORT`. A seat that is known keeps its address.
    pub fn add_peer(&self, seat: Seat, address: String) {
        let link = Arc::new(Link::new(seat, address));
        let mut links = self.shared.links.lock();
        if links.contains_key(&seat) || seat == self.shared.hello.seat {
            return;
        }
        links.insert(seat, link.clone());
        let shared = self.shared.clone();
        let mut tasks = self.tasks.lock();
        tasks.spawn(async move { link.run(&shared).await });
    }

    /// Begins to answer others, for the replicas of `node` and for the layer above.
    pub fn serve(&self, listener: TcpListener, node: Node, service: Arc<dyn Service>) {
        let answerer = serve::Answerer { node, service };
        let serving = serve::serve(listener, self.shared.clone(), answerer);
        self.tasks.lock().spawn(serving);
    }

    /// The incarnations that answer or have answered, by seat.
    pub fn met(&self) -> watch::Receiver<BTreeMap<Seat, NodeId>> {
        self.shared.met.subscribe()
    }

    /// The peers that are connected now.
    pub fn connected(&self) -> Vec<NodeId> {
        let links = self.shared.links.lock();
        let connections = links.values().filter_map(|link| link.connection().ok());
        connections.map(|connection| connection.node).collect()
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
        let unreachable = |reason| Unreachable { node: to, reason };
        let seat = {
            let met = self.shared.met.borrow();
            let found = met.iter().find(|(_, node)| **node == to);
            found.map(|(seat, _)| *seat)
        };
        let Some(seat) = seat else {
            return Err(unreachable("it was not met yet".to_owned()));
        };
        let link = self.shared.links.lock().get(&seat).cloned();
        let link = link.expect("who was met has a link");
        let connection = link.connection().map_err(unreachable)?;
        match connection.node == to {
            true => Ok(connection),
            false => Err(unreachable("another incarnation has its place".to_owned())),
        }
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
