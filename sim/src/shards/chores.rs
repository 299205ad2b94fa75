//! What operators and the layer above do: snapshots, retired files, changes of members and leaders.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use weir_raft::{NodeId, Shard, ShardId, inspect};

use super::app::Shards;
use crate::cluster::Cluster;
use crate::life::Life;
use crate::random::Rng;

/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a leader may take to show that it is one.
const LEADS: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub struct Chores {
    pub cluster: Cluster<Shards>,
    pub rng: Arc<Rng>,
    /// Whether every shard's voters are the nodes that have the seats now.
    pub whole: Arc<AtomicBool>,
}

impl Chores {
    pub async fn run(self, end: Instant) {
        while Instant::now() < end {
            sleep(
                self.rng
                    .time(Duration::from_millis(300)..Duration::from_secs(4)),
            )
            .await;
            self.replace_members().await;
            match self.rng.below(10) {
                0..4 => self.retire().await,
                4..6 => self.transfer().await,
                6 => self.shrink().await,
                7 => self.cluster.judge().compare_logs(),
                _ => {}
            }
        }
    }

    fn leaders(&self) -> Vec<(ShardId, Life, Shard)> {
        let mut leaders = Vec::new();
        for (_, life, hosted) in self.cluster.all_running() {
            for (id, (shard, _)) in &hosted.shards {
                if shard.leadership().borrow().open {
                    leaders.push((*id, life.clone(), shard.clone()));
                }
            }
        }
        leaders
    }

    /// The nodes that have the seats now.
    fn seated(&self) -> BTreeSet<NodeId> {
        let seats = self.cluster.seats().into_iter();
        seats.map(|seat| self.cluster.node(seat)).collect()
    }

    /// Has the nodes that have the seats now be the voters of every shard.
    pub async fn replace_members(&self) {
        let wanted = self.seated();
        let mut done = BTreeSet::new();
        let mut others = false;
        for (id, life, shard) in self.leaders() {
            let members = shard.members();
            let settled = inspect::voters(&shard) == Some(vec![wanted.clone()]);
            if settled && members.learners.is_empty() {
                // Who was deposed may not know better.
                let leads = timeout(LEADS, shard.read_index()).await;
                if life.is_over() || !matches!(leads, Ok(Ok(_))) {
                    others = true;
                    continue;
                }
                self.cluster.judge().set_voters(id, Some(wanted.clone()));
                done.insert(id);
                continue;
            }
            others = true;
            self.change(&life, &shard, &wanted).await;
        }
        let shards = self.cluster.app().ids().count();
        // A seat may have been given to another node meanwhile.
        let still = wanted == self.seated() && !self.cluster.any_damaged();
        if done.len() == shards && !others && still {
            self.whole.store(true, Ordering::Relaxed);
        }
    }

    async fn change(&self, life: &Life, shard: &Shard, wanted: &BTreeSet<NodeId>) {
        self.cluster.judge().set_voters(shard.id(), None);
        let trace = self.cluster.trace();
        for node in wanted.difference(&shard.members().voters) {
            trace.fault("added learner", [shard.id().0, node.0]);
            let added = timeout(PATIENCE, shard.add_learner(*node)).await;
            if life.is_over() || !matches!(added, Ok(Ok(()))) {
                return;
            }
        }
        trace.fault("changed voters", [shard.id().0, wanted.len() as u64]);
        // What it comes to is seen the next time.
        let _ = timeout(PATIENCE, shard.change_voters(wanted.clone())).await;
    }

    /// Takes a voter away; the next round adds it again.
    async fn shrink(&self) {
        let seats = self.cluster.seats();
        if seats.len() < 3
            || self.cluster.any_damaged()
            || !self.whole.swap(false, Ordering::Relaxed)
        {
            return;
        }
        let away = self.cluster.node(*self.rng.pick(&seats));
        let leaders = self.leaders();
        let Some((_, life, shard)) = (!leaders.is_empty()).then(|| self.rng.pick(&leaders)) else {
            return;
        };
        let mut fewer = shard.members().voters;
        if fewer.remove(&away) && fewer.len() >= 2 {
            self.change(life, shard, &fewer).await;
        }
    }

    async fn transfer(&self) {
        let leaders = self.leaders();
        let Some((id, _, shard)) = (!leaders.is_empty()).then(|| self.rng.pick(&leaders)) else {
            return;
        };
        let seat = *self.rng.pick(&self.cluster.seats());
        let to = self.cluster.node(seat);
        self.cluster.trace().fault("leader transfer", [id.0, to.0]);
        let _ = timeout(PATIENCE, shard.transfer_leader(to)).await;
    }

    /// Stores snapshots on one node, forgets entries and gives back files.
    async fn retire(&self) {
        let seat = *self.rng.pick(&self.cluster.seats());
        let Some((_, hosted)) = self.cluster.running(seat) else {
            return;
        };
        let node = self.cluster.node(seat).0;
        let retired = timeout(PATIENCE, async {
            for (shard, _) in hosted.shards.values() {
                // One that nobody uses now and then, so that it pins a file.
                if self.rng.chance(100) {
                    continue;
                }
                let Ok(Some(upto)) = shard.snapshot().await else {
                    return false;
                };
                let kept = self.rng.below(4);
                if shard.purge(upto.saturating_sub(kept)).await.is_err() {
                    return false;
                }
            }
            let before = hosted.node.wal_files().0;
            let after = hosted.node.retire_wal(u64::MAX).await;
            after.is_ok_and(|after| after > before)
        });
        if retired.await == Ok(true) {
            self.cluster.trace().fault("retired files", [node]);
        }
    }
}
