//! What runs on each seat of a cluster.

use std::sync::Arc;

use futures::future::BoxFuture;
use weir_raft::{Env, Node, NodeId, Seat, Service, Shard};

use crate::judge::Judge;
use crate::life::Life;
use crate::network::{Port, SimNetwork};
use crate::random::Rng;

/// Production code on top of a node's surroundings.
pub trait App: Send + Sync + 'static {
    /// A running process.
    type Running: Send + Sync + 'static;

    /// Starts on what the disk holds; an error leaves the seat without a process.
    fn start(&self, site: Site) -> BoxFuture<'static, Result<Self::Running, StartFailure>>;

    /// Stops a process cleanly; also called for one that crashed, to end what is left of it.
    fn stop(&self, running: Arc<Self::Running>) -> BoxFuture<'static, ()>;
}

/// Why a process did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartFailure {
    /// Whether it says that stored bytes are damaged or missing.
    pub damage: bool,
    pub what: String,
}

/// A place to start a process in.
#[derive(Clone)]
pub struct Site {
    pub seat: Seat,
    pub node: NodeId,
    pub life: Life,
    pub env: Env,
    pub judge: Arc<Judge>,
    pub rng: Arc<Rng>,
    /// The nodes that found the cluster, this one among them; none where it joins one later.
    pub founders: Vec<NodeId>,
    pub(crate) network: SimNetwork,
}

impl Site {
    /// Has the node answer the others from now on.
    pub fn attach(&self, node: &Node, service: Option<Arc<dyn Service>>) {
        if !self.life.is_over() {
            self.network.attach(&self.life, node, service);
        }
    }

    /// Tells the judge whenever a replica here leads.
    pub async fn tell_who_leads(self, shard: Shard) {
        let mut leadership = shard.leadership();
        loop {
            let now = *leadership.borrow_and_update();
            self.judge.led(&self.life, &shard, &now);
            if leadership.changed().await.is_err() {
                return;
            }
        }
    }

    /// For questions of the layer above.
    pub fn port(&self) -> Port {
        self.network.port(self.life.clone())
    }
}
