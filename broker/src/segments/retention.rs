//! Moves log starts up as topics' settings ask for: `retention.ms` and `retention.bytes`.
//!
//! The shard's leader decides and proposes a trim, so that every replica has the same log start before
//! anything is deleted (invariant O6). Deleting is left to whoever retires files.

use std::sync::Arc;
use std::time::Duration;

use super::BelievedTime;
use crate::broker::Broker;
use crate::kafka::produce::request::TopicRef;
use crate::partition::Partition;
use crate::shard::entry::{Body, TrimItem};
use crate::shard::host::ShardHost;

const INTERVAL_SETTING: &str = "log.retention.check.interval.ms";
/// Items per entry, so that many partitions do not make one huge entry.
const ITEMS: usize = 10_000;

pub struct Retention {
    broker: Arc<Broker>,
    time: BelievedTime,
}

impl Retention {
    pub fn new(broker: Arc<Broker>) -> Retention {
        let time = BelievedTime::new(broker.clock.clone());
        Retention { broker, time }
    }

    /// Runs until the node stops.
    pub async fn run(self) {
        loop {
            let interval = {
                let state = self.broker.meta.read();
                self.broker
                    .admin
                    .layers(&state)
                    .broker_int(INTERVAL_SETTING)
            };
            let interval = Duration::from_millis(u64::try_from(interval).unwrap_or(0).max(1));
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = self.broker.stopping.cancelled() => return,
            }
            for shard in &self.broker.shards {
                self.trim(shard).await;
            }
        }
    }

    async fn trim(&self, shard: &Arc<ShardHost>) {
        if !shard.leadership().open {
            return;
        }
        let now_ms = self.time.now_ms();
        let items = self.broker.partitions.of_shard(shard);
        let items = items
            .iter()
            .filter_map(|partition| self.item(partition, now_ms));
        let items: Vec<TrimItem> = items.collect();
        for items in items.chunks(ITEMS) {
            if let Err(error) = shard.change(Body::Trim(items.to_vec()), None).await {
                // Not the leader any more, or not known: the next round, or the next leader, decides anew.
                tracing::debug!(shard = shard.id.0, %error, "expired records are kept for now");
                return;
            }
        }
    }

    /// The trim of a partition with expired records.
    fn item(&self, partition: &Partition, now_ms: Option<i64>) -> Option<TrimItem> {
        let view = self.broker.topic_view(&TopicRef::Id(partition.id.topic))?;
        if !view.settings.cleanup_delete {
            return None;
        }
        let keep_ms = view.settings.retention_ms.filter(|_| now_ms.is_some());
        let keep_ms = keep_ms.map(|keep| i64::try_from(keep).unwrap_or(i64::MAX));
        let log = partition.log.read();
        let start =
            log.retention_start(now_ms.unwrap_or(0), keep_ms, view.settings.retention_bytes);
        (start > log.log_start_offset()).then_some(TrimItem {
            partition: partition.id,
            start,
        })
    }
}
