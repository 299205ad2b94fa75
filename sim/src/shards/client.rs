//! Clients that write entries that nobody else writes, and know what they were told of each.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};
use weir_raft::{Outcome, Payload, ProposeError, Shard, ShardId};

use super::app::Shards;
use crate::cluster::Cluster;
use crate::life::Life;
use crate::machine::hash;
use crate::random::Rng;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Client {
    pub name: u64,
    pub cluster: Cluster<Shards>,
    pub rng: Rng,
    /// Between two requests.
    pub pause: std::ops::Range<Duration>,
}

impl Client {
    pub async fn run(self, end: Instant) {
        let mut written = 0;
        let shards: Vec<ShardId> = self.cluster.app().ids().collect();
        while Instant::now() < end {
            sleep(self.rng.time(self.pause.clone())).await;
            let shard = *self.rng.pick(&shards);
            match self.rng.below(20) {
                0..4 => self.read(shard).await,
                4 => {
                    let burst = self.rng.within(2..40);
                    let entries = (0..burst).map(|n| self.entry(written + n));
                    let writes = entries.map(|entry| self.write(shard, entry));
                    join_all(writes).await;
                    written += burst;
                }
                _ => {
                    self.write(shard, self.entry(written)).await;
                    written += 1;
                }
            }
        }
    }

    fn entry(&self, number: u64) -> Bytes {
        let mut bytes = Vec::new();
        bytes.extend(self.name.to_le_bytes());
        bytes.extend(number.to_le_bytes());
        let longest = *self.rng.pick(&[1, 100, 100, 3000, 20_000]);
        let len = bytes.len() + self.rng.below(longest) as usize;
        bytes.resize(len, self.name as u8);
        bytes.into()
    }

    async fn write(&self, id: ShardId, entry: Bytes) {
        write(&self.cluster, &self.rng, id, entry).await;
    }

    /// A linearizable read: what was acknowledged before it is in it.
    async fn read(&self, id: ShardId) {
        let Some((life, shard)) = leader(&self.cluster, &self.rng, id) else {
            return;
        };
        let judge = self.cluster.judge();
        let acked = judge.last_acked(id);
        let read = timeout(PATIENCE, shard.read_index()).await;
        if let Ok(Ok(index)) = read
            && !life.is_over()
        {
            if acked > Some(index) {
                judge.violated(&format!(
                    "a read of shard {id} gives {index}, but {acked:?} was acknowledged"
                ));
            }
            self.cluster.trace().event("read", [id.0, index]);
        }
    }
}

/// Whoever says that it leads; several may.
fn leader(cluster: &Cluster<Shards>, rng: &Rng, id: ShardId) -> Option<(Life, Shard)> {
    let mut leaders = Vec::new();
    for (_, life, hosted) in cluster.all_running() {
        let (shard, _) = &hosted.shards[&id];
        if shard.leadership().borrow().open {
            leaders.push((life, shard.clone()));
        }
    }
    (!leaders.is_empty()).then(|| rng.pick(&leaders).clone())
}

/// Writes an entry, and tells the judge what came of it. Returns whether it was acknowledged.
pub async fn write(cluster: &Cluster<Shards>, rng: &Rng, id: ShardId, entry: Bytes) -> bool {
    let Some((life, shard)) = leader(cluster, rng, id) else {
        return false;
    };
    let judge = cluster.judge();
    let hash = hash(&entry);
    let term = shard.leadership().borrow().term;
    let proposing = shard.propose(term, Payload::from(entry));
    let outcome = match timeout(PATIENCE, proposing).await {
        Ok(Ok(proposal)) => timeout(PATIENCE, proposal).await,
        Ok(Err(refused)) => Ok(Err(refused)),
        Err(late) => Err(late),
    };
    if life.is_over() {
        return false;
    }
    match outcome {
        Ok(Ok((index, Outcome::Applied))) => {
            judge.acked(id, index, hash);
            true
        }
        Ok(Ok((_, outcome))) => judge.violated(&format!("an entry's outcome is {outcome:?}")),
        Ok(Err(ProposeError::NotLeader { .. } | ProposeError::Fatal(_))) => {
            judge.refused(id, hash);
            false
        }
        Ok(Err(ProposeError::Unknown)) | Err(_) => false,
        Ok(Err(error @ ProposeError::TooLarge { .. })) => {
            judge.violated(&format!("a short entry is refused: {error}"))
        }
    }
}
