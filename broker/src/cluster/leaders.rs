//! Who leads which shard, and which replicas are in sync: each node tells the others of what it leads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_raft::{Index, NodeId, Seat};

use super::message::Question;
use super::peers::Peers;
use super::quorum;
use super::transfer::Reason;
use crate::segments::HeldByAll;
use crate::shard::host::ShardHost;
use crate::shard::hosted::HostedShards;
use crate::shard::hosting::METADATA;

/// How often a leader looks at its followers.
const LOOK: Duration = Duration::from_millis(250);
/// How often others are told even if nothing has changed, in looks: a connection on which nothing comes while somebody
/// waits is given up after 5 s.
const REPEAT: u32 = 8;

/// A shard as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Led {
    pub shard: u64,
    pub term: u64,
    /// The Raft node that leads.
    pub leader: u64,
    /// The voters within the stated lag, the leader among them.
    pub in_sync: BTreeSet<u64>,
    /// The last entry that every member is known to hold.
    pub held_by_all: Option<Index>,
}

/// What is known of every shard's leader; as old as the last word of it.
#[derive(Default)]
pub struct Leaders {
    known: RwLock<BTreeMap<u64, Led>>,
    /// Nodes that have said that they are about to stop, while they are connected.
    leaving: RwLock<BTreeSet<NodeId>>,
    /// When a replica of the metadata last held all that this node held, as its leader.
    caught_up: RwLock<BTreeMap<NodeId, Instant>>,
    /// How often this node became a shard's leader.
    elections: AtomicU64,
    handed_over: [AtomicU64; REASONS.len()],
}

/// Why shards are handed over, in the order in which they are counted.
pub const REASONS: [Reason; 3] = [Reason::Stop, Reason::Preferred, Reason::Asked];

impl Leaders {
    pub fn of(&self, shard: u64) -> Option<Led> {
        self.look(shard, Led::clone)
    }

    /// Looks at what a shard's leader has said; `None` where none has said anything.
    pub fn look<T>(&self, shard: u64, look: impl FnOnce(&Led) -> T) -> Option<T> {
        self.known.read().get(&shard).map(look)
    }

    /// Takes what a leader says; a later term's leader has the last word.
    pub fn hear(&self, said: Vec<Led>) {
        let mut known = self.known.write();
        for led in said {
            let later = |earlier: &Led| earlier.term > led.term;
            if !known.get(&led.shard).is_some_and(later) {
                known.insert(led.shard, led);
            }
        }
    }

    /// Nodes that are about to stop.
    pub fn leaving(&self) -> BTreeSet<NodeId> {
        self.leaving.read().clone()
    }

    /// Whether a node is about to stop.
    pub fn is_leaving(&self, node: NodeId) -> bool {
        self.leaving.read().contains(&node)
    }

    pub fn leaves(&self, node: NodeId) {
        self.leaving.write().insert(node);
    }

    /// How long ago a replica of the metadata, which this node leads, was last seen to hold all of it.
    pub fn since_caught_up(&self, node: NodeId) -> Option<Duration> {
        self.caught_up.read().get(&node).map(Instant::elapsed)
    }

    /// Counts a shard that this node has handed over.
    pub fn handed_over(&self, reason: Reason) {
        self.handed_over[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Shards that this node has handed over, by reason.
    pub fn handed_over_count(&self, reason: Reason) -> u64 {
        self.handed_over[reason as usize].load(Ordering::Relaxed)
    }

    /// How often this node became a shard's leader.
    pub fn election_count(&self) -> u64 {
        self.elections.load(Ordering::Relaxed)
    }

    fn look_at_metadata(&self, shards: &HostedShards) {
        if let Some(metadata) = shards.get(METADATA) {
            let now = Instant::now();
            let whole = quorum::caught_up(&metadata);
            let mut caught_up = self.caught_up.write();
            caught_up.extend(whole.into_iter().map(|node| (node, now)));
        }
    }

    /// What no member of a shard lacks. Those that are away replay the log when they come back, so it is kept for
    /// them, but not for ever: they are not waited for while the log takes half of its budget.
    pub fn held_by_all(self: &Arc<Self>, raft: &weir_raft::Node) -> HeldByAll {
        let (leaders, raft) = (self.clone(), raft.clone());
        Arc::new(move |shard| {
            let usage = raft.wal_usage();
            let is_in_need = usage.live_bytes >= usage.budget_bytes / 2;
            if is_in_need || shard.raft().is_alone() {
                return Some(Index::MAX);
            }
            leaders.of(shard.id.0)?.held_by_all
        })
    }

    /// Until the transport stops. A node that comes back a moment later leaves no more, so each change is looked at.
    async fn forget_who_left(
        self: Arc<Self>,
        mut connected: watch::Receiver<BTreeMap<NodeId, Seat>>,
    ) {
        while connected.changed().await.is_ok() {
            let now = connected.borrow_and_update();
            self.leaving.write().retain(|node| now.contains_key(node));
        }
    }

    /// Looks at the shards that are led here and tells the peers, until the node stops.
    pub async fn run(
        self: Arc<Self>,
        shards: Arc<HostedShards>,
        peers: Peers,
        stop: CancellationToken,
    ) {
        let Some(mut connected) = peers.watch() else {
            return;
        };
        tokio::spawn(self.clone().forget_who_left(connected.clone()));
        let mut told = Vec::new();
        let mut looks = 0;
        let mut terms = BTreeMap::new();
        loop {
            let led: Vec<Led> = shards.all().iter().filter_map(look).collect();
            looks += 1;
            self.look_at_metadata(&shards);
            let is_new = |led: &&Led| terms.insert(led.shard, led.term) != Some(led.term);
            let elected = led.iter().filter(is_new).count();
            self.elections.fetch_add(elected as u64, Ordering::Relaxed);
            let others = connected.has_changed().unwrap_or(false);
            if led != told || others || looks % REPEAT == 0 {
                let now: Vec<NodeId> = connected.borrow_and_update().keys().copied().collect();
                self.hear(led.clone());
                tell(&peers, &now, &led);
                told = led;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = leadership_changes(&shards) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// `None` unless this node leads the shard.
fn look(shard: &Arc<ShardHost>) -> Option<Led> {
    let leadership = shard.leadership();
    if !leadership.open {
        return None;
    }
    let followers = shard.raft().followers()?;
    shard.set_in_sync(u32::try_from(followers.in_sync.len()).unwrap_or(u32::MAX));
    Some(Led {
        shard: shard.id.0,
        term: leadership.term,
        leader: shard.node_id().0,
        in_sync: followers.in_sync.iter().map(|node| node.0).collect(),
        held_by_all: followers.held_by_all,
    })
}

fn tell(peers: &Peers, to: &[NodeId], led: &[Led]) {
    for node in to.iter().copied() {
        let (peers, question) = (peers.clone(), Question::Led(led.to_vec()));
        tokio::spawn(async move {
            if let Err(error) = peers.look(node, &question).await {
                tracing::debug!(%error, "a node was not told what this one leads");
            }
        });
    }
}

/// Returns when the leadership of a shard changes.
async fn leadership_changes(shards: &HostedShards) {
    let mut changes: Vec<_> = shards
        .all()
        .iter()
        .map(|shard| shard.watch_leadership())
        .collect();
    changes.iter_mut().for_each(|one| one.mark_unchanged());
    let waits = changes.iter_mut().map(|one| Box::pin(one.changed()));
    let waits: Vec<_> = waits.collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    // One that has ended is a shard that has stopped, and then the node stops.
    if futures::future::select_all(waits).await.0.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(term: u64, leader: u64) -> Led {
        Led {
            shard: 3,
            term,
            leader,
            in_sync: [leader].into(),
            held_by_all: None,
        }
    }

    #[test]
    fn the_latest_term_has_the_last_word() {
        let leaders = Leaders::default();
        leaders.hear(vec![led(2, 20)]);
        leaders.hear(vec![led(1, 10)]);
        assert_eq!(leaders.of(3), Some(led(2, 20)));
        leaders.hear(vec![led(4, 10)]);
        assert_eq!(leaders.of(3), Some(led(4, 10)));
        assert_eq!(leaders.of(4), None);
    }
}
