//! A broker's metadata side alone: one broker, 1, whose shards lead and whose partitions attach at once.

use super::*;
use crate::meta::handle::testing::{LocalLog, TestEnv};
use crate::meta::partitioners::PartitionerSet;
use crate::meta::state::{Endpoint, NodeInfo, ShardInfo};
use crate::meta::view::{LogDir, ShardView};
use crate::meta::{MetaFold, decide};
use futures::future::BoxFuture;

pub struct Shards {
    pub leader: Option<u64>,
}

impl PartitionView for Shards {
    fn shard(&self, _shard: u64) -> ShardView {
        ShardView {
            leader: self.leader,
            term: 3,
            in_sync: vec![1],
        }
    }

    fn is_up(&self, _node: u64) -> bool {
        true
    }

    fn attached(&self, _topic_id: Uuid) -> BoxFuture<'static, Result<(), AttachError>> {
        match self.leader {
            Some(_) => Box::pin(std::future::ready(Ok(()))),
            None => Box::pin(std::future::pending()),
        }
    }

    fn attached_here(&self, topic_id: Uuid) -> BoxFuture<'static, Result<(), AttachError>> {
        self.attached(topic_id)
    }

    fn detached(&self, _topic_id: Uuid, _partitions: i32) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn log_dir(&self) -> LogDir {
        LogDir {
            path: "/data".to_owned(),
            total_bytes: 100,
            usable_bytes: 60,
        }
    }

    fn log_size_bytes(&self, _topic_id: Uuid, partition: i32) -> Option<i64> {
        Some(i64::from(partition) * 10)
    }
}

/// Knows tables of string keys only.
pub struct Tables;

impl TableDesigner for Tables {
    fn design(
        &self,
        topic: &str,
        _existing: Option<Uuid>,
        _partitions: i32,
        settings: &TopicSettings,
    ) -> BoxFuture<'static, Result<TableDraft, String>> {
        let key = settings
            .table
            .as_ref()
            .and_then(|table| table.key_format.clone());
        let designed = match key.as_deref() {
            None | Some("string") => Ok(TableDraft {
                definition: serde_json::json!({ "of": topic }),
                partitioners: PartitionerSet::all(),
            }),
            Some(other) => Err(format!("field `id`: {other} keys have no mapping")),
        };
        Box::pin(std::future::ready(designed))
    }
}

pub async fn admin() -> Arc<Admin> {
    admin_with(Shards { leader: Some(1) }, Configs::new()).await
}

pub async fn admin_with(shards: Shards, node_configs: Configs) -> Arc<Admin> {
    let fold = MetaFold::default();
    let log = Arc::new(LocalLog(fold.clone()));
    let meta = Arc::new(Meta::new(fold, log, Arc::new(TestEnv::default())));
    let endpoint = Endpoint {
        host: "broker.example".to_owned(),
        port: 9092,
    };
    let listeners = [("PLAINTEXT".to_owned(), endpoint)].into();
    let node = NodeInfo {
        raft_id: 1,
        listeners,
        rack: Some("r1".to_owned()),
        cluster: None,
    };
    let shards_of_cluster = [1, 2].map(|shard| (shard, shard_info(1))).into();
    let new = decide::cluster::NewCluster {
        id: "AAAAAAAAAAAAAAAAAAAABQ".to_owned(),
        shards: shards_of_cluster,
        shards_per_node: 2,
    };
    meta.change(|state| decide::cluster::start(state, &new, 1, &node))
        .await
        .unwrap();
    Arc::new(Admin::new(
        meta,
        Arc::new(shards),
        Arc::new(Tables),
        1,
        node_configs,
    ))
}

fn shard_info(broker: i32) -> ShardInfo {
    ShardInfo {
        replicas: vec![broker],
        founders: vec![1],
    }
}

pub async fn create(
    admin: &Admin,
    name: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<Created, AdminError> {
    let mut topic = NewTopic::with_defaults(name, admin.new_topic_id(), 0);
    topic.partitions = partitions;
    topic.configs = settings
        .iter()
        .map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned())))
        .collect();
    admin
        .create_topics(vec![topic], false, Duration::from_secs(1))
        .await
        .remove(0)
}
