//! Moves log starts up as topics' settings ask for: `retention.ms` and `retention.bytes`.
//!
//! The shard's leader decides and proposes a trim, so that every replica has the same log start before
//! anything is deleted (invariant O6). Deleting is left to whoever retires files.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{BelievedTime, SegmentFiles};
use crate::clock::Clock;
use crate::kafka::produce::request::TopicRef;
use crate::partition::{Partition, Stage};
use crate::planted::{self, Bug};
use crate::shard::entry::{Body, TrimItem};
use crate::shard::host::{Partitions, ShardHost};
use crate::shard::hosted::HostedShards;
use crate::topic::TopicViews;

const INTERVAL_SETTING: &str = "log.retention.check.interval.ms";
/// Items per entry, so that many partitions do not make one huge entry.
const ITEMS: usize = 10_000;
/// Partitions that are looked at before others have their turn on the thread.
const LOOKED_AT: usize = 500;

pub struct Retention {
    pub shards: Arc<HostedShards>,
    pub partitions: Arc<Partitions>,
    pub topics: Arc<TopicViews>,
    pub files: Arc<SegmentFiles>,
    pub clock: Arc<dyn Clock>,
    pub stop: CancellationToken,
}

impl Retention {
    /// Runs until the node stops.
    pub async fn run(self) {
        let time = BelievedTime::new(self.clock.clone());
        loop {
            let interval = Duration::from_millis(self.topics.broker_size(INTERVAL_SETTING).max(1));
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            for shard in self.shards.all().iter() {
                self.trim(shard, time.now_ms()).await;
            }
        }
    }

    async fn trim(&self, shard: &Arc<ShardHost>, now_ms: Option<i64>) {
        if !shard.leadership().open {
            return;
        }
        let mut items: Vec<TrimItem> = Vec::new();
        for partitions in self.partitions.of_shard(shard).chunks(LOOKED_AT) {
            let expired = partitions
                .iter()
                .filter_map(|partition| self.item(partition, now_ms));
            items.extend(expired);
            // There may be very many, and this runs on the data thread.
            tokio::task::yield_now().await;
        }
        if planted::has(Bug::FilesBeforeTrim) {
            self.remove_files(&items);
        }
        for items in items.chunks(ITEMS) {
            if let Err(error) = shard.change(Body::Trim(items.to_vec()), None).await {
                // Not the leader any more, or not known: the next round, or the next leader, decides anew.
                tracing::debug!(shard = shard.id.0, %error, "expired records are kept for now");
                return;
            }
        }
    }

    /// As nobody may.
    fn remove_files(&self, items: &[TrimItem]) {
        for item in items {
            let Some(partition) = self.partitions.get(item.partition) else {
                continue;
            };
            let log = partition.log.read();
            let below = log.segments().iter();
            let below = below.filter(|segment| segment.last_offset < item.start);
            for segment in below {
                drop(self.files.remove(&[segment.file]));
            }
        }
    }

    /// The trim of a partition with expired records.
    fn item(&self, partition: &Partition, now_ms: Option<i64>) -> Option<TrimItem> {
        if partition.stage() != Stage::Open {
            return None;
        }
        let view = self.topics.get(&TopicRef::Id(partition.id.topic))?;
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
