//! A node with several shards on one write-ahead log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use weir_raft::{
    Damage, Node, NodeConfig, OpenError, Shard, ShardId, Timing, WalConfig, WalObserver,
};

use crate::app::{App, Site, StartFailure};
use crate::cluster::DIR;
use crate::life::Life;
use crate::machine::Recorder;
use crate::trace::Trace;

/// The nodes' own settings.
#[derive(Debug, Clone, Copy)]
pub struct ShardsSettings {
    pub shards: u64,
    pub file_bytes: u32,
    /// Of each snapshot.
    pub padding: usize,
}

pub struct Shards {
    pub settings: ShardsSettings,
    pub trace: Arc<Trace>,
}

/// A node's process.
pub struct Hosted {
    pub node: Node,
    pub shards: BTreeMap<ShardId, (Shard, Recorder)>,
}

struct Observer {
    life: Life,
    trace: Arc<Trace>,
}

impl WalObserver for Observer {
    fn fsynced(&self, _took: Duration, bytes: u64) {
        self.trace.event("synced", [self.life.node().0, bytes]);
    }

    fn reported(&self, damage: &Damage) {
        let node = self.life.node().0;
        match damage {
            Damage::TornTail { bytes, .. } => self.trace.fault("torn tail", [node, *bytes]),
            Damage::DiskFull { .. } => self.trace.fault("full disk", [node]),
        }
    }
}

impl Shards {
    pub fn ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        (1..=self.settings.shards).map(ShardId)
    }
}

impl App for Shards {
    type Running = Hosted;

    fn start(&self, site: Site) -> BoxFuture<'static, Result<Hosted, StartFailure>> {
        let settings = self.settings;
        let ids: Vec<ShardId> = self.ids().collect();
        let observer = Arc::new(Observer {
            life: site.life.clone(),
            trace: self.trace.clone(),
        });
        Box::pin(async move {
            let mut config = NodeConfig::new(DIR, site.node);
            config.wal = WalConfig {
                file_bytes: settings.file_bytes,
                ..WalConfig::default()
            };
            config.timing = Timing::default();
            let opened = Node::open(config, site.env.clone(), observer).await;
            let node = opened.map_err(|error| StartFailure {
                damage: matches!(
                    error,
                    OpenError::Damaged { .. } | OpenError::OtherNode { .. }
                ),
                what: error.to_string(),
            })?;
            site.attach(&node, None);
            let mut hosted = Hosted {
                node,
                shards: BTreeMap::new(),
            };
            for id in ids {
                match start_shard(&site, &hosted.node, id, settings.padding).await {
                    Ok(started) => hosted.shards.insert(id, started),
                    Err(what) => {
                        hosted.node.shutdown().await;
                        let damage = what.contains("damaged") || what.contains("no snapshot");
                        return Err(StartFailure { damage, what });
                    }
                };
            }
            Ok(hosted)
        })
    }

    fn stop(&self, running: Arc<Hosted>) -> BoxFuture<'static, ()> {
        Box::pin(async move { running.node.shutdown().await })
    }
}

async fn start_shard(
    site: &Site,
    node: &Node,
    id: ShardId,
    padding: usize,
) -> Result<(Shard, Recorder), String> {
    let recorder = Recorder::new(site.life.clone(), id, site.judge.clone(), padding);
    let started = node.join_shard(id, Box::new(recorder.clone())).await;
    let shard = started.map_err(|error| error.to_string())?;
    site.judge.started(&site.life, &shard);
    if !site.founders.is_empty() {
        let founders: BTreeSet<_> = site.founders.iter().copied().collect();
        let founded = shard.found(&founders).await;
        founded.map_err(|error| error.to_string())?;
    }
    tokio::spawn(site.clone().tell_who_leads(shard.clone()));
    Ok((shard, recorder))
}
