//! The shards that this node hosts. Others come while it runs: a cluster makes shards as it needs them.

use std::sync::Arc;

use tokio::sync::watch;
use weir_raft::ShardId;

use super::host::ShardHost;

/// Shards in the order in which they were started; the metadata's is the first.
pub struct HostedShards {
    shards: watch::Sender<Arc<[Arc<ShardHost>]>>,
}

impl Default for HostedShards {
    fn default() -> HostedShards {
        HostedShards {
            shards: watch::Sender::new(Arc::new([])),
        }
    }
}

impl FromIterator<Arc<ShardHost>> for HostedShards {
    fn from_iter<T: IntoIterator<Item = Arc<ShardHost>>>(shards: T) -> HostedShards {
        HostedShards {
            shards: watch::Sender::new(shards.into_iter().collect()),
        }
    }
}

impl HostedShards {
    pub fn add(&self, shard: Arc<ShardHost>) {
        self.shards
            .send_modify(|shards| *shards = shards.iter().cloned().chain([shard]).collect());
    }

    pub fn all(&self) -> Arc<[Arc<ShardHost>]> {
        self.shards.borrow().clone()
    }

    pub fn get(&self, id: u64) -> Option<Arc<ShardHost>> {
        let shards = self.shards.borrow();
        shards.iter().find(|shard| shard.id.0 == id).cloned()
    }

    /// The shard that every node hosts.
    pub fn metadata(&self) -> Arc<ShardHost> {
        let shards = self.shards.borrow();
        shards.first().expect("it is started first").clone()
    }

    /// Returns once each of these is here.
    pub async fn have(&self, ids: &[ShardId]) {
        let mut shards = self.shards.subscribe();
        let is_here = |here: &[Arc<ShardHost>], id| here.iter().any(|shard| shard.id == id);
        let all = shards.wait_for(|here| ids.iter().all(|id| is_here(here, *id)));
        drop(all.await.expect("the sender is this one's"));
    }

    /// Calls `start` once for each shard that is here or comes, until the node stops.
    pub async fn for_each(&self, mut start: impl FnMut(&Arc<ShardHost>)) {
        let mut shards = self.shards.subscribe();
        let mut started = 0;
        loop {
            let now = shards.borrow_and_update().clone();
            now[started..].iter().for_each(&mut start);
            started = now.len();
            if shards.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use weir_raft::NodeId;

    use super::*;
    use crate::clock::SystemClock;

    fn shard(id: u64) -> Arc<ShardHost> {
        ShardHost::new(ShardId(id), NodeId(1), Arc::new(SystemClock), 0).0
    }

    #[test]
    fn who_waits_for_shards_goes_on_when_the_last_of_them_is_here() {
        let shards: HostedShards = [shard(0), shard(1)].into_iter().collect();
        let wanted = [ShardId(0), ShardId(3)];
        let mut waits = Box::pin(shards.have(&wanted));
        assert!(waits.as_mut().now_or_never().is_none());
        shards.add(shard(2));
        assert!(waits.as_mut().now_or_never().is_none());
        shards.add(shard(3));
        assert!(waits.as_mut().now_or_never().is_some());
        assert!(shards.have(&[]).now_or_never().is_some());
    }
}
