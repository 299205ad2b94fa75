//! Elections without waiting, where a leader's connection broke: a process that was killed closes its connections at
//! once, long before its followers would miss it.
//!
//! Raft decides: nobody votes against a leader that was heard of within `election_max`. So this node asks again and
//! again, at uneven times, until somebody leads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_raft::NodeId;

use super::peers::Peers;
use crate::random::Random;
use crate::shard::host::ShardHost;
use crate::shard::hosted::HostedShards;

/// Longer than a leader is believed in without a word of it; after that Raft's own timers are enough.
const ATTEMPTS: u32 = 20;
const SHORTEST_PAUSE_MS: u64 = 30;
const JITTER_MS: u64 = 60;

/// Runs until the node stops, on a node that may have peers.
pub async fn run(
    shards: Arc<HostedShards>,
    peers: Peers,
    random: Arc<dyn Random>,
    stop: CancellationToken,
) {
    let Some(transport) = peers.transport() else {
        return;
    };
    let mut connected = transport.peers();
    let mut before = peers.connected();
    loop {
        tokio::select! {
            changed = connected.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
        connected.borrow_and_update();
        let now = peers.connected();
        let gone: BTreeSet<NodeId> = before.difference(&now).copied().collect();
        before = now;
        if !gone.is_empty() {
            tokio::spawn(stand(shards.clone(), peers.clone(), random.clone(), gone));
        }
    }
}

async fn stand(
    shards: Arc<HostedShards>,
    peers: Peers,
    random: Arc<dyn Random>,
    gone: BTreeSet<NodeId>,
) {
    let is_orphan = |shard: &&Arc<ShardHost>| {
        let leader = shard.leadership().leader;
        leader.is_some_and(|leader| gone.contains(&leader) && !peers.is_connected(leader))
    };
    for _ in 0..ATTEMPTS {
        let pause = SHORTEST_PAUSE_MS + random.next_u64() % JITTER_MS;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let all = shards.all();
        let mut orphans = all.iter().filter(is_orphan).peekable();
        if orphans.peek().is_none() {
            return;
        }
        for shard in orphans {
            if let Err(error) = shard.raft().stand().await {
                tracing::debug!(shard = shard.id.0, %error, "this node cannot stand for election");
            }
        }
    }
}
