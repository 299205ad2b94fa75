//! One broker without its edges, as `weir_broker::node` composes it: the data plane, the metadata shard, and what a
//! node does for its cluster and is asked for by it.

mod cluster;
mod surroundings;

use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use weir_broker::broker::{Broker, Parts};
use weir_broker::cluster::leaders::REASONS;
use weir_broker::cluster::log::ClusterLog;
use weir_broker::cluster::moves::{self, Moves};
use weir_broker::cluster::start::keep_place;
use weir_broker::cluster::transfer::Reason;
use weir_broker::cluster::{Leaders, Peers, balance, drain, handover, spread};
use weir_broker::data_plane::{DataPlane, Tending};
use weir_broker::groups::Groups;
use weir_broker::meta::{Admin, Meta, MetaFold};
use weir_broker::metrics::Metrics;
use weir_broker::partitions_here::PartitionsHere;
use weir_broker::random::Random;
use weir_broker::registry::{SchemaFold, SchemaRegistry};
use weir_broker::shard::host::ShardHost;
use weir_broker::shard::hosted::HostedShards;
use weir_broker::shard::hosting::Hosting;
use weir_broker::shard::machine::Folds;
use weir_broker::tables::design::Designer;
use weir_broker::tables::source::PartitionLogs;
use weir_broker::topic::TopicViews;
use weir_raft::WalConfig;
use weir_sim::{App, Life, Site, StartFailure, Trace};

pub use cluster::REPLICAS;
use cluster::{Answering, Entering, SimWire, start_metadata};
pub use surroundings::WallClock;
use surroundings::{DecisionEnv, Durable, NOWHERE, SiteRandom, open, settings, space, tables};

/// Brokers of one cluster.
#[derive(Clone)]
pub struct Brokers {
    pub clock: Arc<WallClock>,
    pub wal: WalConfig,
    pub trace: Arc<Trace>,
}

/// A broker's process.
pub struct DataNode {
    pub life: Life,
    pub plane: Arc<DataPlane>,
    /// The metadata's, and those that the metadata gives to this broker.
    pub shards: Arc<HostedShards>,
    pub meta: Arc<Meta>,
    pub topics: Arc<TopicViews>,
    pub broker: Arc<Broker>,
    stop: CancellationToken,
}

impl App for Brokers {
    type Running = DataNode;

    fn start(&self, site: Site) -> BoxFuture<'static, Result<DataNode, StartFailure>> {
        let this = self.clone();
        Box::pin(async move {
            let node = DataNode::start(&site, &this).await;
            node.map_err(|what| StartFailure {
                damage: is_damage(&what),
                what,
            })
        })
    }

    fn stop(&self, running: Arc<DataNode>) -> BoxFuture<'static, ()> {
        let trace = self.trace.clone();
        Box::pin(async move {
            if running.life.is_stopping() && !running.life.is_over() {
                handover::run(&running.broker).await;
            }
            for reason in REASONS {
                let class = match reason {
                    Reason::Stop => "hand-over of a node that stops or drains",
                    Reason::Preferred => "hand-over to the first replica",
                    Reason::Asked => "hand-over that was asked for",
                };
                let count = running.broker.leaders.handed_over_count(reason);
                if count > 0 {
                    trace.fault(class, [running.life.node().0, count]);
                }
            }
            running.stop.cancel();
            running.plane.raft.shutdown().await;
        })
    }
}

/// Whether a start failed for what is stored.
fn is_damage(what: &str) -> bool {
    what.contains("damaged") || what.contains("no snapshot")
}

impl DataNode {
    /// Recovers what the disk holds, and takes part in the shards.
    async fn start(site: &Site, brokers: &Brokers) -> Result<DataNode, String> {
        let metrics = Arc::new(Metrics::default());
        let random: Arc<dyn Random> = Arc::new(SiteRandom(site.rng.clone()));
        let told_by = (&brokers.clock, &random, &metrics);
        let plane = Arc::new(open(site, brokers.wal.clone(), told_by).await?);
        let peers = Peers::over(SimWire(site.port()));
        plane.bring_from(&peers, NOWHERE.into());
        site.attach(&plane.raft, None);
        let shards = Arc::new(HostedShards::default());
        let nothing = Folds {
            offsets: None,
            schemas: None,
            metadata: None,
        };
        let hosting = Arc::new(Hosting {
            data: plane.clone(),
            broker_id: site.seat.0,
            folds: nothing,
            shards: shards.clone(),
        });
        let fold = MetaFold::default();
        let metadata = match start_metadata(site, &hosting, &fold).await {
            Ok(metadata) => metadata,
            Err(what) => {
                plane.raft.shutdown().await;
                return Err(what);
            }
        };
        let log = ClusterLog {
            shard: metadata,
            peers: peers.clone(),
        };
        let env = DecisionEnv {
            clock: brokers.clock.clone(),
            random: random.clone(),
        };
        let meta = Arc::new(Meta::new(fold, Arc::new(log), Arc::new(env)));
        let stop = CancellationToken::new();
        let topics = TopicViews::new(meta.clone(), site.seat.0, settings());
        let topics = Arc::new(topics);
        let parts = (&peers, &topics, &random, &metrics, &stop);
        let broker = broker(site, brokers, &hosting, &meta, parts);
        let answers_with = Arc::new(OnceLock::new());
        let answering = Answering {
            broker: broker.clone(),
            moves: answers_with.clone(),
            trace: brokers.trace.clone(),
        };
        site.attach(&plane.raft, Some(Arc::new(answering)));
        keep_place((&peers, &broker.leaders), &meta, &shards, &random, &stop);
        let entering = Entering {
            site: site.clone(),
            meta: meta.clone(),
            peers,
            hosting: hosting.clone(),
            random,
        };
        if let Err(what) = entering.run().await {
            stop.cancel();
            plane.raft.shutdown().await;
            return Err(what);
        }
        tokio::spawn(watch_shards(site.clone(), plane.clone(), broker.clone()));
        let hosted = meta.clone();
        tokio::spawn(async move { hosting.run(hosted).await });
        let moves = moves(&plane, &broker, &stop);
        answers_with.get_or_init(|| moves.clone());
        serve_cluster(&broker, moves);
        plane.tend(Tending {
            shards: shards.clone(),
            topics: topics.clone(),
            tables: broker.tables.clone(),
            space: broker.space.clone(),
            held_by_all: broker.leaders.held_by_all(&plane.raft),
            stop: stop.clone(),
        });
        Ok(DataNode {
            life: site.life.clone(),
            plane,
            shards,
            meta,
            topics,
            broker,
            stop,
        })
    }
}

/// What every edge would read and change.
fn broker(
    site: &Site,
    brokers: &Brokers,
    hosting: &Hosting,
    meta: &Arc<Meta>,
    (peers, topics, random, metrics, stop): (
        &Peers,
        &Arc<TopicViews>,
        &Arc<dyn Random>,
        &Arc<Metrics>,
        &CancellationToken,
    ),
) -> Arc<Broker> {
    let plane = &hosting.data;
    let leaders = Arc::new(Leaders::default());
    let here = PartitionsHere {
        broker_id: site.seat.0,
        shards: hosting.shards.clone(),
        partitions: plane.partitions.clone(),
        meta: meta.clone(),
        leaders: leaders.clone(),
        peers: peers.clone(),
        data_dir: NOWHERE.into(),
    };
    let schemas = Arc::new(SchemaFold::default());
    let logs = PartitionLogs {
        partitions: plane.partitions.clone(),
        blocks: plane.blocks.clone(),
    };
    let designer = Designer {
        subjects: schemas.clone(),
        schemas: schemas.clone(),
        logs: Arc::new(logs),
    };
    let (here, designer) = (Arc::new(here), Arc::new(designer));
    let admin = Admin::new(meta.clone(), here, designer, site.seat.0, settings());
    let clock: Arc<dyn weir_broker::clock::Clock> = brokers.clock.clone();
    let groups = Groups::new(&admin, Arc::default(), &clock, random, &plane.partitions);
    Arc::new(Broker::new(Parts {
        broker_id: site.seat.0,
        clock,
        random: random.clone(),
        meta: meta.clone(),
        admin: Arc::new(admin),
        groups,
        shards: hosting.shards.clone(),
        partitions: plane.partitions.clone(),
        peers: peers.clone(),
        leaders,
        blocks: plane.blocks.clone(),
        topics: topics.clone(),
        metrics: metrics.clone(),
        tables: tables(plane, meta, &schemas),
        registry: Arc::new(SchemaRegistry::new(schemas)),
        space: space(plane, metrics),
        stopping: stop.clone(),
    }))
}

/// What partitions are brought with, and what a node answers with when they are asked for.
fn moves(plane: &Arc<DataPlane>, broker: &Arc<Broker>, stop: &CancellationToken) -> Arc<Moves> {
    let (meta, tables, shards) = (&broker.meta, &broker.tables, &broker.shards);
    let (catch_up, sources) = (broker.peers.catch_up(shards), Arc::new(broker.clone()));
    let mut moves = plane.moves(meta, tables, shards, catch_up, sources, stop);
    moves.blocks = Arc::new(Durable(plane.clone()));
    Arc::new(moves)
}

/// What a node does for its cluster by itself.
fn serve_cluster(broker: &Arc<Broker>, moves: Arc<Moves>) {
    tokio::spawn(balance::run(broker.clone()));
    tokio::spawn(moves::run(moves));
    tokio::spawn(drain::run(broker.clone()));
    tokio::spawn(spread::run(broker.clone()));
}

/// Has shards that come carry what the metadata says, and the judge look at them.
async fn watch_shards(site: Site, plane: Arc<DataPlane>, broker: Arc<Broker>) {
    let catch_up = broker.peers.catch_up(&broker.shards);
    let start = |shard: &Arc<ShardHost>| {
        plane.reconcile(shard, &broker.meta, catch_up.clone());
        site.judge.started(&site.life, shard.raft());
        tokio::spawn(site.clone().tell_who_leads(shard.raft().clone()));
    };
    broker.shards.for_each(start).await;
}
