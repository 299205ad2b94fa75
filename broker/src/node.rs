//! One node from its options to its open listeners: recovery first, then elections, then clients.

mod described;
mod edges;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_raft::{Env, NoPeers, NodeConfig, NodeId, Transport, WalConfig};
use weir_tables::Budget;

use self::described::node_info;
use self::edges::Edges;
use crate::broker::{Broker, Parts};
use crate::clock::{Clock, SystemClock};
use crate::cluster::guard::ClusterTlsError;
use crate::cluster::log::ClusterLog;
use crate::cluster::promise::BelongingError;
use crate::cluster::start::{Side, connect};
use crate::cluster::{Founding, Peers, balance, drain, handover, moves, quorum, spread};
use crate::connections::Descriptors;
use crate::data_plane::{self, DataPlane, Surroundings, Tending};
use crate::groups::{GroupStore, Groups};
use crate::http;
use crate::http::forward::Surfaces;
use crate::identity::{Identity, IdentityError};
use crate::kafka::listener::{BindError, bind};
use crate::meta::broker_config::check_node;
use crate::meta::config::ConfigError;
use crate::meta::decide::cluster::{self, RegisterError, cluster_id};
use crate::meta::{Admin, Meta, MetaEnv, MetaFold, MetaState, NodeInfo};
use crate::metrics::{Metrics, WalMetrics};
use crate::options::Options;
use crate::partitions_here::PartitionsHere;
use crate::random::{Generator, Random};
use crate::registry::{SchemaFold, SchemaRegistry};
use crate::segments;
use crate::shard::host::ShardHost;
use crate::shard::hosted::HostedShards;
use crate::shard::hosting::{Founding as FoundingOf, Hosting};
use crate::shard::machine::Folds;
use crate::space::{Space, Usage};
use crate::startup::Startup;
use crate::tables::design::Designer;
use crate::tables::hub::{self, TableHub};
use crate::tables::source::PartitionLogs;
use crate::topic::TopicViews;

/// How long a start may wait for its shards to elect a leader before it says so; alone, it gives up then.
const ELECTION_PATIENCE: Duration = Duration::from_secs(30);
const REPLICATION_FACTOR: &str = "default.replication.factor";
/// Replicas of a topic that says nothing else, in a cluster of so many seeds at least.
const SAFE_REPLICAS: usize = 3;
/// Blocks of rows that are kept in memory, for all shards; taken as they are read.
const TABLE_CACHE_BYTES: usize = 256 << 20;
/// Rows that wait to be written, for all shards.
const TABLE_WRITE_BUFFER_BYTES: usize = 64 << 20;

/// The least size of a file of the write-ahead log.
const MIN_WAL_FILE_BYTES: u32 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Data(#[from] data_plane::OpenError),
    #[error(transparent)]
    Shard(#[from] weir_raft::StartError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("the start was interrupted: {0}")]
    Interrupted(io::Error),
    #[error(transparent)]
    Tables(#[from] weir_tables::StoreError),
    #[error(transparent)]
    Belonging(#[from] BelongingError),
    #[error("the cluster's file was not written: {0}")]
    NotNoted(String),
    #[error(
        "--cluster-listen {0}: other nodes need an address; give it with --cluster-advertise HOST:PORT"
    )]
    NoClusterAddress(String),
    #[error(transparent)]
    ClusterTls(#[from] ClusterTlsError),
    #[error("shard {0} has no leader after {ELECTION_PATIENCE:?}")]
    NoLeader(u64),
    #[error("the metadata did not take this node's registration: {0}")]
    Registration(String),
    #[error("noting that the log has begun failed: {0}")]
    Begun(io::Error),
    #[error(transparent)]
    Setting(#[from] ConfigError),
    #[error("{flag} {value}: not HOST:PORT; for example {flag} broker.example.com:9092")]
    Advertise { flag: &'static str, value: String },
}

/// Where a node listens, port 0 replaced by what was picked.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub kafka: Vec<SocketAddr>,
    pub registry: Vec<SocketAddr>,
    pub http: Vec<SocketAddr>,
    /// None for a node that runs alone.
    pub cluster: Vec<SocketAddr>,
}

/// Bound sockets of the surfaces.
struct Listeners {
    kafka: Vec<TcpListener>,
    registry: Vec<TcpListener>,
    http: Vec<TcpListener>,
    cluster: Vec<TcpListener>,
}

impl Listeners {
    async fn bind(options: &Options) -> Result<Listeners, BindError> {
        Ok(Listeners {
            kafka: bind(&options.kafka_listen, "--kafka-listen").await?,
            registry: bind(&options.registry_listen, "--registry-listen").await?,
            http: bind(&options.http_listen, "--http-listen").await?,
            cluster: match options.seeds.is_empty() {
                true => Vec::new(),
                false => bind(&options.cluster_listen, "--cluster-listen").await?,
            },
        })
    }

    fn addresses(&self) -> Addresses {
        let of = |listeners: &[TcpListener]| {
            listeners
                .iter()
                .filter_map(|listener| listener.local_addr().ok())
                .collect()
        };
        Addresses {
            kafka: of(&self.kafka),
            registry: of(&self.registry),
            http: of(&self.http),
            cluster: of(&self.cluster),
        }
    }
}

/// A running node.
pub struct Node {
    pub broker: Arc<Broker>,
    raft: weir_raft::Node,
    peers: Peers,
    pub addresses: Addresses,
    stop: CancellationToken,
    serving: Vec<tokio::task::JoinHandle<()>>,
    /// What moves, trims and compacts records.
    tending: tokio::task::JoinHandle<()>,
    _identity: Identity,
}

/// What a node does for its cluster, by itself and when another one asks.
fn serve_cluster(
    data: &DataPlane,
    broker: &Arc<Broker>,
    side: &Side,
    surfaces: &Surfaces,
    stop: &CancellationToken,
) {
    let Some(service) = side.service() else {
        return;
    };
    let moves = Arc::new(data.moves(
        &broker.meta,
        &broker.tables,
        &broker.shards,
        side.peers.catch_up(&broker.shards),
        Arc::new(broker.clone()),
        stop,
    ));
    service.has_broker(broker.clone(), moves.clone(), surfaces.clone());
    tokio::spawn(balance::run(broker.clone()));
    tokio::spawn(moves::run(moves));
    tokio::spawn(drain::run(broker.clone()));
    tokio::spawn(spread::run(broker.clone()));
}

impl Node {
    /// Recovers the directory, elects, registers, and opens the Kafka listener.
    ///
    /// Kafka is served on the runtime that this is called on, HTTP on `edge`.
    pub async fn start(mut options: Options, edge: &Handle) -> Result<Node, NodeError> {
        check_node(&options.settings)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(Generator::from_os());
        let identity = Identity::take(&options.data_dir, options.broker_id, || random.next_u64())?;
        // Bound before recovery, so that a taken port ends the start at once.
        let mut listeners = Listeners::bind(&options).await?;
        let addresses = listeners.addresses();
        replicate_by_default(&mut options);
        options.describe_node(addresses.kafka.first().map_or(0, |address| address.port()));
        let metrics = Arc::new(Metrics::default());
        let descriptors = Descriptors::of_process();
        let stop = CancellationToken::new();
        // A start that fails closes what it has opened.
        let unfinished = stop.clone().drop_guard();
        let startup = Startup::new("its log, which is being read");
        let edges = Edges::open(&mut listeners, descriptors.clients, &startup, &stop, edge);
        let peers = connect(&options, &identity, &random, edge)?;
        let parts = (&clock, &random, &metrics, &peers);
        let data = Arc::new(open_data(&options, &identity, parts).await?);
        let space = space(&options, &data.raft, &metrics);

        let shards = Arc::new(HostedShards::default());
        if peers.possible() {
            data.bring_from(&peers, options.data_dir.join("tables"));
        }
        let cluster_listeners = std::mem::take(&mut listeners.cluster);
        let side = Side::open(&options, peers, &data.raft, &shards, cluster_listeners)?;
        let schemas = Arc::new(SchemaFold::default());
        let group_store = Arc::new(GroupStore::default());
        let folds = Folds {
            offsets: Some(group_store.clone()),
            schemas: Some(schemas.clone()),
            metadata: None,
        };
        let hosting = hosting(&data, options.broker_id, folds, &shards);
        let env = DecisionEnv {
            clock: clock.clone(),
            random: random.clone(),
        };
        let node = node_info(&options, &identity, &addresses)?;
        let meta = enter(&hosting, &side, &options, &node, env, &startup).await?;
        identity.log_has_begun().map_err(NodeError::Begun)?;
        side.run(&meta, &shards, &random, &stop);
        start_shards(&hosting, &meta, &side, &startup).await?;
        let (partitions, blocks) = (data.partitions.clone(), data.blocks.clone());
        let logs = PartitionLogs {
            partitions: partitions.clone(),
            blocks: blocks.clone(),
        };
        let designer = Designer {
            subjects: schemas.clone(),
            schemas: schemas.clone(),
            logs: Arc::new(logs),
        };
        startup.waits_for("its tables, which are being opened");
        let tables = hub::Parts {
            dir: options.data_dir.join("tables"),
            budget: table_budget(&descriptors, &shards),
            meta: meta.clone(),
            partitions: partitions.clone(),
            schemas: schemas.clone(),
            blocks: blocks.clone(),
        };
        let tables = recover_tables(tables, &shards).await?;
        let admin = Admin::new(
            meta.clone(),
            Arc::new(partitions_here(&options, &hosting, &meta, &side)),
            Arc::new(designer),
            options.broker_id,
            options.settings.clone(),
        );
        let topics = TopicViews::new(meta.clone(), options.broker_id, options.settings.clone());
        let topics = Arc::new(topics);
        let groups = Groups::new(&admin, group_store, &clock, &random, &partitions);
        groups.start(&shards);
        let broker = Arc::new(Broker::new(Parts {
            broker_id: options.broker_id,
            clock,
            random,
            meta,
            admin: Arc::new(admin),
            groups,
            shards,
            partitions,
            peers: side.peers.clone(),
            leaders: side.leaders.clone(),
            blocks,
            topics: topics.clone(),
            metrics,
            registry: Arc::new(SchemaRegistry::new(schemas)),
            tables,
            space,
            stopping: stop.clone(),
        }));
        tokio::spawn(broker.tables.clone().run(stop.clone()));
        let surfaces = Surfaces {
            registry: http::registry_router(&broker),
            http: http::router(&broker),
        };
        serve_cluster(&data, &broker, &side, &surfaces, &stop);
        let tending = data.tend(Tending {
            shards: broker.shards.clone(),
            topics,
            tables: broker.tables.clone(),
            space: broker.space.clone(),
            held_by_all: side.leaders.held_by_all(&data.raft),
            stop: stop.clone(),
        });
        let serving = edges.serve(&broker, surfaces, listeners.kafka, options.request_bytes);
        unfinished.disarm();
        Ok(Node {
            broker,
            raft: data.raft.clone(),
            peers: side.peers,
            addresses,
            stop,
            serving,
            tending,
            _identity: identity,
        })
    }

    /// Returns when this node is no member of its cluster any more.
    pub async fn removed(&self) {
        let own = self.broker.shards.metadata().node_id();
        let mut changed = self.broker.meta.changed();
        loop {
            changed.borrow_and_update();
            if self.broker.meta.read().is_former(own.0) {
                return;
            }
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Hands over what it leads, stops accepting, finishes what is in flight, and leaves the mark of a clean stop.
    pub async fn shutdown(self) {
        handover::run(&self.broker).await;
        self.stop.cancel();
        for task in self.serving.into_iter().chain([self.tending]) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task did not stop");
            }
        }
        let tables = self.broker.tables.clone();
        if tokio::task::spawn_blocking(move || tables.shutdown())
            .await
            .is_err()
        {
            tracing::error!("the tables did not stop cleanly; what is lost is folded again");
        }
        // First, so that no other node asks a replica that has stopped: what was led here is handed over.
        if let Some(transport) = self.peers.transport() {
            transport.stop().await;
        }
        self.raft.shutdown().await;
    }
}

#[cfg(test)]
mod tests;

async fn open_data(
    options: &Options,
    identity: &Identity,
    (clock, random, metrics, peers): (&Arc<dyn Clock>, &Arc<dyn Random>, &Arc<Metrics>, &Peers),
) -> Result<DataPlane, NodeError> {
    let mut config = NodeConfig::new(options.data_dir.join("raft"), NodeId(identity.incarnation));
    config.wal = WalConfig {
        file_bytes: wal_file_bytes(options),
        budget_bytes: options.wal_budget_bytes,
        ..WalConfig::default()
    };
    // Its segments are files beside it, which a follower does not have.
    config.takes_snapshots = false;
    let surroundings = Surroundings {
        clock: clock.clone(),
        random: random.clone(),
        metrics: metrics.clone(),
        tail_bytes: options.tail_bytes / expected_shards(options),
        index_budget_bytes: options.wal_index_bytes,
    };
    let config = data_plane::Config {
        raft: config,
        segments: options.data_dir.join("segments"),
        sizes: segments::Sizes::default(),
    };
    let transport: Arc<dyn Transport> = match peers.transport() {
        Some(transport) => Arc::new(transport.clone()),
        None => Arc::new(NoPeers),
    };
    let (env, observer) = (Env::real(transport), WalMetrics(metrics.clone()));
    let opened = DataPlane::open(config, env, Arc::new(observer), surroundings);
    Ok(opened.await?)
}

/// A file is a small part of the budget, so that the budget can be met.
fn wal_file_bytes(options: &Options) -> u32 {
    let part = u32::try_from(options.wal_budget_bytes / 8).unwrap_or(u32::MAX);
    options.wal_file_bytes.min(part.max(MIN_WAL_FILE_BYTES))
}

fn space(options: &Options, raft: &weir_raft::Node, metrics: &Metrics) -> Arc<Space> {
    let (raft, dir) = (raft.clone(), options.data_dir.clone());
    let measure = move || {
        let wal = raft.wal_usage();
        Usage {
            wal_bytes: wal.live_bytes,
            wal_budget_bytes: wal.budget_bytes,
            disk_free_bytes: rustix::fs::statvfs(&dir)
                .ok()
                .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        }
    };
    Space::new(
        Box::new(measure),
        options.disk_reserve_bytes,
        metrics.throttled_seconds.clone(),
    )
}

/// With seeds, topics have replicas unless they, or the node's settings, say otherwise.
fn replicate_by_default(options: &mut Options) {
    let replicas = options.seeds.len().min(SAFE_REPLICAS);
    if replicas > 1 {
        let setting = options.settings.entry(REPLICATION_FACTOR.to_owned());
        setting.or_insert_with(|| replicas.to_string());
    }
}

/// Shards that a node hosts of a cluster as it begins.
fn expected_shards(options: &Options) -> usize {
    let nodes = options.seeds.len().max(1);
    let data = usize::try_from(options.data_shards()).unwrap_or(1);
    data.saturating_mul(nodes).saturating_add(1)
}

/// Starts the metadata's shard, comes into a cluster or founds one, and registers; answers with the metadata.
async fn enter(
    hosting: &Hosting,
    side: &Side,
    options: &Options,
    node: &NodeInfo,
    env: DecisionEnv,
    startup: &Startup,
) -> Result<Arc<Meta>, NodeError> {
    startup.waits_for("the metadata, which is being read");
    let fold = MetaFold::default();
    let founding = match side.service() {
        Some(_) => FoundingOf::Later,
        None => FoundingOf::Alone,
    };
    let shard = hosting.start_metadata(fold.clone(), founding).await?;
    let random = env.random.clone();
    let log = ClusterLog {
        shard: shard.clone(),
        peers: side.peers.clone(),
    };
    let meta = Arc::new(Meta::new(fold, Arc::new(log), Arc::new(env)));
    let mut founding = None;
    if let Some(service) = side.service() {
        service.has_metadata(meta.clone());
        service.formation.run(node, &*random, startup).await;
        tokio::spawn(side.peers.clone().keep_connected(meta.clone()));
        founding = service.formation.promised().await;
    }
    tokio::select! {
        led = led(&shard, side, startup) => led?,
        () = quorum::excluded(&shard, &meta, &side.peers) => {
            let removed = RegisterError::Replaced(options.broker_id);
            return Err(NodeError::Registration(removed.to_string()));
        }
    }
    waits_for(startup, &side.peers, "the metadata to name this node");
    if side.service().is_some() && founding.is_none() {
        // Who joins a cluster does not say what it is.
        has_cluster(&meta).await;
    }
    let founding = founding
        .unwrap_or_else(|| Founding::alone(cluster_id(random.uuid()), options.broker_id, node));
    let new = founding.new_cluster(replication_factor(options), options.data_shards());
    let decide = |state: &MetaState| cluster::start(state, &new, options.broker_id, node);
    let registered = meta.change(decide).await;
    let cluster_id = registered.map_err(|error| NodeError::Registration(error.to_string()))?;
    if let Some(service) = side.service() {
        let joined = service.formation.joined(&cluster_id).await;
        joined.map_err(NodeError::NotNoted)?;
    }
    Ok(meta)
}

/// Returns once the metadata here names the cluster.
async fn has_cluster(meta: &Meta) {
    let mut changed = meta.changed();
    while meta.read().cluster_id().is_none() {
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// Starts the data shards. Alone, all of them lead before the start goes on.
async fn start_shards(
    hosting: &Arc<Hosting>,
    meta: &Arc<Meta>,
    side: &Side,
    startup: &Startup,
) -> Result<(), NodeError> {
    startup.waits_for("its shards, which are being read");
    hosting.sync(meta).await?;
    if !side.peers.possible() {
        for shard in hosting.shards.all().iter() {
            led(shard, side, startup).await?;
        }
    }
    let (data, shards) = (hosting.data.clone(), hosting.shards.clone());
    let (reconciled, catch_up) = (meta.clone(), side.peers.catch_up(&shards));
    tokio::spawn(async move {
        let start = |shard: &Arc<ShardHost>| data.reconcile(shard, &reconciled, catch_up.clone());
        shards.for_each(start).await;
    });
    let (hosting, meta) = (hosting.clone(), meta.clone());
    tokio::spawn(async move { hosting.run(meta).await });
    Ok(())
}

fn partitions_here(
    options: &Options,
    hosting: &Hosting,
    meta: &Arc<Meta>,
    side: &Side,
) -> PartitionsHere {
    let dir = &options.data_dir;
    PartitionsHere {
        broker_id: options.broker_id,
        shards: hosting.shards.clone(),
        partitions: hosting.data.partitions.clone(),
        meta: meta.clone(),
        leaders: side.leaders.clone(),
        peers: side.peers.clone(),
        data_dir: std::path::absolute(dir).unwrap_or_else(|_| dir.clone()),
    }
}

fn hosting(
    data: &Arc<DataPlane>,
    broker_id: i32,
    folds: Folds,
    shards: &Arc<HostedShards>,
) -> Arc<Hosting> {
    Arc::new(Hosting {
        data: data.clone(),
        broker_id,
        folds,
        shards: shards.clone(),
    })
}

fn table_budget(descriptors: &Descriptors, shards: &HostedShards) -> Budget {
    let data_shards = shards.all().len() - 1;
    let open_files = descriptors.own / 2 / data_shards.max(1);
    Budget::new(TABLE_CACHE_BYTES, TABLE_WRITE_BUFFER_BYTES).with_open_files(open_files)
}

/// Opens the rows that earlier runs left.
async fn recover_tables(
    tables: hub::Parts,
    shards: &HostedShards,
) -> Result<Arc<TableHub>, NodeError> {
    let ids: Vec<u64> = shards.all().iter().map(|shard| shard.id.0).collect();
    let tables = Arc::new(TableHub::new(tables));
    let recovering = tables.clone();
    let recovered = tokio::task::spawn_blocking(move || recovering.recover(ids)).await;
    recovered
        .map_err(io::Error::from)
        .map_err(NodeError::Interrupted)??;
    Ok(tables)
}

/// Has the start say what it waits for, and which other nodes it could come from.
fn waits_for(startup: &Startup, peers: &Peers, what: impl Into<String>) {
    let (peers, what) = (peers.clone(), what.into());
    startup.asks(move || match peers.possible() {
        true => format!("{what}; {}", peers.connections()),
        false => what.clone(),
    });
}

/// Waits until the shard has a leader that is open for proposals, here, or one elsewhere.
async fn led(shard: &ShardHost, side: &Side, startup: &Startup) -> Result<(), NodeError> {
    let what = format!("a leader of shard {}", shard.id);
    waits_for(startup, &side.peers, what);
    let mut leadership = shard.watch_leadership();
    loop {
        let known = leadership
            .wait_for(|now| now.open || now.leader.is_some_and(|id| id != shard.node_id()));
        match tokio::time::timeout(ELECTION_PATIENCE, known).await {
            Ok(Ok(_)) => return Ok(()),
            Err(_) if side.peers.possible() => {
                let connected = side.peers.connected();
                tracing::warn!(
                    shard = shard.id.0,
                    ?connected,
                    "no leader yet: more nodes are needed"
                );
            }
            _ => return Err(NodeError::NoLeader(shard.id.0)),
        }
    }
}

/// Replicas of a topic that does not say how many.
fn replication_factor(options: &Options) -> usize {
    let factor = options.settings.get(REPLICATION_FACTOR);
    factor.and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

/// Time and randomness for metadata decisions.
struct DecisionEnv {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl MetaEnv for DecisionEnv {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn random_uuid(&self) -> Uuid {
        self.random.uuid()
    }
}
