//! A network of nodes in one process, whose links can be cut one way.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::{Reply, Request, Transport, Unreachable};
use crate::ids::{NodeId, ShardId};
use crate::node::Node;

/// The wires between nodes. Clones share them.
#[derive(Clone, Default)]
pub struct MemNetwork {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    nodes: HashMap<NodeId, Node>,
    /// From, to.
    cut: BTreeSet<(NodeId, NodeId)>,
}

struct Port {
    network: MemNetwork,
    node: NodeId,
}

impl MemNetwork {
    pub fn new() -> MemNetwork {
        MemNetwork::default()
    }

    /// The transport of one node.
    pub fn port(&self, node: NodeId) -> Arc<dyn Transport> {
        Arc::new(Port {
            network: self.clone(),
            node,
        })
    }

    /// Makes a node reachable, in place of an earlier one with its id.
    pub fn attach(&self, node: &Node) {
        self.state.lock().nodes.insert(node.id(), node.clone());
    }

    pub fn detach(&self, node: NodeId) {
        self.state.lock().nodes.remove(&node);
    }

    /// Drops whatever `from` sends to `to`.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.state.lock().cut.insert((from, to));
    }

    /// Cuts a node off from all others, both ways.
    pub fn isolate(&self, node: NodeId) {
        let mut state = self.state.lock();
        let others: Vec<NodeId> = state.nodes.keys().copied().collect();
        for other in others {
            state.cut.insert((node, other));
            state.cut.insert((other, node));
        }
    }

    pub fn heal(&self) {
        self.state.lock().cut.clear();
    }

    fn reach(&self, from: NodeId, to: NodeId) -> Result<Node, Unreachable> {
        let state = self.state.lock();
        let unreachable = |reason: &str| Unreachable {
            node: to,
            reason: reason.to_owned(),
        };
        if state.cut.contains(&(from, to)) {
            return Err(unreachable("the link is cut"));
        }
        let node = state.nodes.get(&to).cloned();
        node.ok_or_else(|| unreachable("there is no such node"))
    }
}

impl Transport for Port {
    fn call(
        &self,
        to: NodeId,
        shard: ShardId,
        request: Request,
    ) -> BoxFuture<'_, Result<Reply, Unreachable>> {
        Box::pin(async move {
            let node = self.network.reach(self.node, to)?;
            let reply = node.serve(shard, request).await;
            // The answer travels over the opposite link.
            self.network.reach(to, self.node)?;
            reply.map_err(|error| Unreachable {
                node: to,
                reason: error.to_string(),
            })
        })
    }
}
