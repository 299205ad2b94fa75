//! Who leads a shard, as this node sees it.

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use crate::group::types::TypeConfig;
use crate::ids::{NodeId, Term};
use crate::node::shard::Raft;
use crate::planted::{self, Bug};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leadership {
    pub term: Term,
    pub leader: Option<NodeId>,
    /// Whether this node leads and has applied every entry that it held when it was elected.
    pub open: bool,
}

type ServerMetrics =
    openraft::alias::WatchReceiverOf<TypeConfig, openraft::metrics::RaftServerMetrics<TypeConfig>>;

/// Follows a replica until it stops.
pub async fn follow(
    raft: &Raft,
    node: NodeId,
    mut applied_term: watch::Receiver<Term>,
    leadership: watch::Sender<Leadership>,
) {
    let mut server: ServerMetrics = raft.server_metrics();
    loop {
        let now = {
            let server = server.borrow_watched();
            raft.runtime_config().tick(!is_alone(&server, node));
            // A new leader's first entry of its term comes after all that it held.
            observe(&server, node, *applied_term.borrow_and_update())
        };
        leadership.send_if_modified(|known| {
            let modified = *known != now;
            *known = now;
            modified
        });
        tokio::select! {
            changed = server.changed() => if changed.is_err() { break },
            changed = applied_term.changed() => if changed.is_err() { break },
        }
    }
    leadership.send_modify(|known| {
        known.leader = None;
        known.open = false;
    });
}

fn observe(
    server: &openraft::metrics::RaftServerMetrics<TypeConfig>,
    node: NodeId,
    applied_term: Term,
) -> Leadership {
    let term = server.vote.leader_id.term;
    let leader = server.current_leader.map(NodeId);
    let leading =
        server.state == ServerState::Leader && server.vote.committed && leader == Some(node);
    Leadership {
        term,
        leader,
        open: leading && (applied_term == term || planted::has(Bug::OpenedEarly)),
    }
}

/// Whether this node leads a shard of which nobody else is a member, so that nobody waits for its
/// heartbeats and nobody else can stand for election.
fn is_alone(server: &openraft::metrics::RaftServerMetrics<TypeConfig>, node: NodeId) -> bool {
    let mut members = server.membership_config.nodes().map(|(id, _)| *id);
    let alone = members.next() == Some(node.0) && members.next().is_none();
    alone && server.state == ServerState::Leader
}
