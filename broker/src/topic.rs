//! A topic as the data path sees it: its settings resolved once, its partitions one look-up away.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use uuid::Uuid;
use weir_log::{Codec, ProduceRules, TimestampType};
use weir_schema::enforce::{self, Enforcer};
use weir_tables::{KeyFormat, TableDesign, ValueFormat};

use crate::broker::Broker;
use crate::kafka::produce::request::TopicRef;
use crate::meta::effective::Layers;
use crate::meta::settings::{Compression, TopicSettings};
use crate::meta::state::Configs;
use crate::meta::{Meta, MetaState, Topic};
use crate::partition::Partition;
use crate::shard::entry::PartitionId;

/// A compressed batch may grow to this many bytes.
pub const MAX_DECOMPRESSED_BYTES: usize = 64 << 20;

pub struct TopicView {
    pub topic: Arc<Topic>,
    pub settings: TopicSettings,
    pub internal: bool,
    /// The rules of a batch; time and version are the request's.
    pub rules: ProduceRules,
    pub min_insync_replicas: u32,
    /// The topic's schemas, where it has records checked.
    pub enforcer: Option<Enforcer>,
    /// The metadata's revision for which this view was last found right.
    revision: AtomicU64,
    /// The dynamic broker settings that it was resolved over: the cluster's, and this broker's.
    dynamic: Dynamic,
}

type Dynamic = (Configs, Option<Configs>);

fn dynamic(state: &MetaState, broker_id: i32) -> Dynamic {
    (
        state.cluster_configs().clone(),
        state.broker_configs(broker_id).cloned(),
    )
}

impl TopicView {
    fn new(state: &MetaState, topic: Arc<Topic>, broker_id: i32, node: &Configs) -> TopicView {
        let settings = TopicSettings::resolve(
            Layers {
                state,
                broker_id,
                node,
            },
            &topic.configs,
        );
        TopicView {
            rules: rules(&topic, &settings),
            internal: topic.is_internal(),
            min_insync_replicas: settings.min_insync_replicas,
            enforcer: enforcer(&topic),
            settings,
            topic,
            revision: AtomicU64::new(state.revision()),
            dynamic: dynamic(state, broker_id),
        }
    }

    pub fn partition(&self, broker: &Broker, index: i32) -> Option<Arc<Partition>> {
        broker.partitions.get(PartitionId {
            topic: self.topic.id,
            index,
        })
    }

    /// In-sync replicas that an acks=all append needs: never more than the partition has (KIP-966).
    pub fn min_in_sync(&self, broker: &Broker, partition: &Partition) -> u32 {
        let shard = partition.shard.id.0;
        let replicas = broker.admin.partitions.replicas(&broker.meta.read(), shard);
        self.min_insync_replicas
            .min(u32::try_from(replicas.len()).unwrap_or(u32::MAX))
    }

    /// Records that the table's rows may be behind before its producers are held back.
    pub fn max_table_lag(&self) -> i64 {
        let table = self.settings.table.as_ref();
        table.map_or(i64::MAX, |table| {
            i64::try_from(table.max_lag_records).unwrap_or(i64::MAX)
        })
    }

    /// Whether the view still says what the metadata says.
    fn holds(&self, state: &MetaState, topic: &Arc<Topic>, broker_id: i32) -> bool {
        if self.revision.load(Ordering::Relaxed) == state.revision() {
            return true;
        }
        let (cluster, broker) = &self.dynamic;
        let same = Arc::ptr_eq(&self.topic, topic)
            && cluster == state.cluster_configs()
            && broker.as_ref() == state.broker_configs(broker_id);
        if same {
            self.revision.store(state.revision(), Ordering::Relaxed);
        }
        same
    }
}

fn enforcer(topic: &Topic) -> Option<Enforcer> {
    let settings = enforce::Settings::read(|name| topic.configs.get(name).map(String::as_str));
    match settings {
        Ok(settings) => {
            let enforcer = match &topic.table {
                Some(definition) => table_enforcer(topic, settings, definition),
                None => Enforcer::new(&*topic.name, settings),
            };
            Some(enforcer).filter(|enforcer| !enforcer.is_idle())
        }
        Err(error) => {
            // Settings are checked when they are set.
            tracing::error!(topic = &*topic.name, %error, "schema settings are not legal");
            None
        }
    }
}

/// A table has a key in every record, and its schemas are checked in full.
fn table_enforcer(
    topic: &Topic,
    mut settings: enforce::Settings,
    definition: &serde_json::Value,
) -> Enforcer {
    match serde_json::from_value::<TableDesign>(definition.clone()) {
        Ok(design) => {
            if design.key.format == KeyFormat::Schema {
                settings.key.mode = enforce::Mode::Full;
            }
            if design.value.format == ValueFormat::Schema {
                settings.value.mode = enforce::Mode::Full;
            }
        }
        Err(error) => {
            tracing::error!(topic = &*topic.name, %error, "the table's definition cannot be read");
        }
    }
    Enforcer::new(&*topic.name, settings).refusing_null_keys()
}

fn rules(topic: &Topic, settings: &TopicSettings) -> ProduceRules {
    ProduceRules {
        max_message_bytes: settings.max_message_bytes as usize,
        // A table's enforcer refuses null keys too, and says what to do.
        compacted: settings.cleanup_compact && topic.table.is_none(),
        timestamp_type: match settings.log_append_time {
            true => TimestampType::LogAppendTime,
            false => TimestampType::CreateTime,
        },
        timestamp_before_max_ms: settings.timestamp_before_max_ms,
        timestamp_after_max_ms: settings.timestamp_after_max_ms,
        compression: match settings.compression {
            Compression::Producer => None,
            Compression::Uncompressed => Some(Codec::None),
            Compression::Gzip => Some(Codec::Gzip),
            Compression::Snappy => Some(Codec::Snappy),
            Compression::Lz4 => Some(Codec::Lz4),
            Compression::Zstd => Some(Codec::Zstd),
        },
        now_ms: 0,
        produce_version: 0,
        max_decompressed_bytes: MAX_DECOMPRESSED_BYTES,
    }
}

/// The topics in use, and the broker's settings, as this node's metadata has them.
pub struct TopicViews {
    meta: Arc<Meta>,
    broker_id: i32,
    /// What this node's own configuration sets of the broker settings.
    node_configs: Configs,
    views: RwLock<HashMap<Uuid, Arc<TopicView>>>,
}

impl TopicViews {
    pub fn new(meta: Arc<Meta>, broker_id: i32, node_configs: Configs) -> TopicViews {
        TopicViews {
            meta,
            broker_id,
            node_configs,
            views: RwLock::default(),
        }
    }

    /// The topic that a request names.
    pub fn get(&self, topic: &TopicRef) -> Option<Arc<TopicView>> {
        let state = self.meta.read();
        let topic = match topic {
            TopicRef::Name(name) => state.topics().get(name),
            TopicRef::Id(id) => state.topics().by_id(*id),
        };
        topic.map(|topic| self.view(&state, topic))
    }

    /// An integer setting of the broker; one that is negative counts as 0.
    ///
    /// Panics on a name without a default or of another type: callers pass literals.
    pub fn broker_size(&self, name: &'static str) -> u64 {
        let value = self.layers(&self.meta.read()).broker_int(name);
        u64::try_from(value).unwrap_or(0)
    }

    pub fn broker_flag(&self, name: &'static str) -> bool {
        self.layers(&self.meta.read()).broker_flag(name)
    }

    fn layers<'a>(&'a self, state: &'a MetaState) -> Layers<'a> {
        Layers {
            state,
            broker_id: self.broker_id,
            node: &self.node_configs,
        }
    }

    fn view(&self, state: &MetaState, topic: &Arc<Topic>) -> Arc<TopicView> {
        let (broker_id, node) = (self.broker_id, &self.node_configs);
        if let Some(view) = self.views.read().get(&topic.id)
            && view.holds(state, topic, broker_id)
        {
            return view.clone();
        }
        let view = Arc::new(TopicView::new(state, topic.clone(), broker_id, node));
        let mut views = self.views.write();
        views.retain(|id, _| state.topics().by_id(*id).is_some());
        views.insert(topic.id, view.clone());
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::MetaCommand;
    use crate::meta::handle::testing::local_meta;

    async fn commit(meta: &Meta, command: MetaCommand) {
        let commands = vec![command];
        let changed = meta.change(|_| Ok::<_, String>((commands.clone(), ())));
        changed.await.expect("committed");
    }

    #[tokio::test]
    async fn a_view_follows_the_settings_of_the_cluster_and_of_its_broker() {
        let meta = Arc::new(local_meta().await);
        let topic = Topic {
            name: "t".into(),
            id: Uuid::from_u128(1),
            partitions: Vec::new(),
            configs: Configs::new(),
            created_at_ms: 0,
            table: None,
            partitioners: None,
            moves: Default::default(),
        };
        commit(&meta, MetaCommand::CreateTopic(topic)).await;
        let views = TopicViews::new(meta.clone(), 7, Configs::new());
        let max_bytes = || {
            let view = views.get(&TopicRef::Name("t".to_owned()));
            view.expect("it is there").settings.max_message_bytes
        };
        assert_eq!(max_bytes(), 1_048_588);
        for (broker_id, bytes, expected) in
            [(None, 500, 500), (Some(8), 600, 500), (Some(7), 700, 700)]
        {
            let changes = [("message.max.bytes".to_owned(), Some(bytes.to_string()))].into();
            commit(&meta, MetaCommand::AlterBroker { broker_id, changes }).await;
            assert_eq!(max_bytes(), expected);
        }
    }
}
