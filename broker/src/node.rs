//! One node from its options to its open listeners: recovery first, then elections, then clients.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_raft::{Env, Index, NoPeers, NodeConfig, NodeId, WalConfig};
use weir_tables::Budget;

use crate::broker::{Broker, Parts};
use crate::clock::{Clock, SystemClock};
use crate::connections::{Connections, Descriptors};
use crate::data_plane::{self, DataPlane, ShardLog, Surroundings, Tending};
use crate::groups::{GroupStore, Groups};
use crate::http;
use crate::identity::{Identity, IdentityError};
use crate::kafka::Dispatch;
use crate::kafka::connection::Limits;
use crate::kafka::listener::{BindError, Server, bind};
use crate::meta::broker_config::check_node;
use crate::meta::config::ConfigError;
use crate::meta::decide::cluster;
use crate::meta::{Admin, Endpoint, Meta, MetaEnv, MetaFold, MetaState, NodeInfo, ShardInfo};
use crate::metrics::{Metrics, WalMetrics};
use crate::options::Options;
use crate::partitions_here::PartitionsHere;
use crate::random::{Generator, Random};
use crate::registry::backend::BrokerRegistry;
use crate::registry::{SchemaFold, SchemaRegistry};
use crate::segments;
use crate::shard::host::ShardHost;
use crate::shard::machine::Folds;
use crate::space::{Space, Usage};
use crate::tables::design::Designer;
use crate::tables::hub::{self, TableHub};
use crate::tables::source::PartitionSource;
use crate::topic::TopicViews;

/// How long a start may wait for its shards to elect a leader before it says so.
const ELECTION_PATIENCE: Duration = Duration::from_secs(30);
/// The name of the one listener, as Kafka's tools show it.
const LISTENER: &str = "PLAINTEXT";
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
}

/// Bound sockets of the three surfaces.
struct Listeners {
    kafka: Vec<TcpListener>,
    registry: Vec<TcpListener>,
    http: Vec<TcpListener>,
}

impl Listeners {
    async fn bind(options: &Options) -> Result<Listeners, BindError> {
        Ok(Listeners {
            kafka: bind(&options.kafka_listen, "--kafka-listen").await?,
            registry: bind(&options.registry_listen, "--registry-listen").await?,
            http: bind(&options.http_listen, "--http-listen").await?,
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
        }
    }
}

/// A running node.
pub struct Node {
    pub broker: Arc<Broker>,
    raft: weir_raft::Node,
    pub addresses: Addresses,
    stop: CancellationToken,
    serving: Vec<tokio::task::JoinHandle<()>>,
    /// What moves, trims and compacts records.
    tending: Vec<tokio::task::JoinHandle<()>>,
    _identity: Identity,
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
        let listeners = Listeners::bind(&options).await?;
        let bound = listeners.addresses().kafka;
        options.describe_node(bound.first().map_or(0, |address| address.port()));
        let metrics = Arc::new(Metrics::default());
        let descriptors = Descriptors::of_process();
        let data = open_data(&options, &identity, (&clock, &random, &metrics)).await?;
        let space = space(&options, &data.raft, &metrics);
        let stop = CancellationToken::new();

        let fold = MetaFold::default();
        let schemas = Arc::new(SchemaFold::default());
        let group_store = Arc::new(GroupStore::default());
        let folds = Folds {
            offsets: Some(group_store.clone()),
            schemas: Some(schemas.clone()),
            metadata: None,
        };
        let metadata = data
            .start_shard(
                0,
                Folds {
                    metadata: Some(fold.clone()),
                    ..folds.clone()
                },
            )
            .await?;
        let log = ShardLog {
            shard: metadata.clone(),
        };
        let env = DecisionEnv {
            clock: clock.clone(),
            random: random.clone(),
        };
        let meta = Arc::new(Meta::new(fold, Arc::new(log), Arc::new(env)));
        opened(&metadata).await?;
        register(&meta, &options, &identity, &listeners.kafka, &*random).await?;
        identity.log_has_begun().map_err(NodeError::Begun)?;

        let ids: Vec<u64> = meta.read().shards().keys().copied().collect();
        let mut shards = vec![metadata];
        for id in ids {
            shards.push(data.start_shard(id, folds.clone()).await?);
        }
        for shard in &shards {
            opened(shard).await?;
            data.reconcile(shard, &meta);
        }
        let (partitions, blocks) = (data.partitions.clone(), data.blocks.clone());
        let source = Arc::new(PartitionSource {
            partitions: partitions.clone(),
            blocks: blocks.clone(),
        });
        let designer = Designer {
            subjects: schemas.clone(),
            schemas: schemas.clone(),
            source: source.clone(),
        };
        let tables = Arc::new(TableHub::new(hub::Parts {
            dir: options.data_dir.join("tables"),
            budget: Budget::new(TABLE_CACHE_BYTES, TABLE_WRITE_BUFFER_BYTES)
                .with_open_files(descriptors.own / 2 / (shards.len() - 1).max(1)),
            meta: meta.clone(),
            partitions: partitions.clone(),
            schemas: schemas.clone(),
            source,
        }));
        recover_tables(&tables, &shards).await?;
        let here = PartitionsHere::new(&options.data_dir, &shards, &partitions, &meta);
        let admin = Admin::new(
            meta.clone(),
            Arc::new(here),
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
            blocks,
            topics: topics.clone(),
            metrics,
            registry: Arc::new(SchemaRegistry::new(schemas)),
            tables,
            space,
            stopping: stop.clone(),
        }));
        let addresses = listeners.addresses();
        tokio::spawn(broker.tables.clone().run(stop.clone()));
        let tending = data.tend(Tending {
            shards: broker.shards.clone(),
            topics,
            tables: broker.tables.clone(),
            space: broker.space.clone(),
            held_by_all: Arc::new(|_| Some(Index::MAX)),
            stop: stop.clone(),
        });
        let serving = serve(
            &broker,
            listeners,
            &options,
            descriptors.clients,
            &stop,
            edge,
        );
        Ok(Node {
            broker,
            raft: data.raft,
            addresses,
            stop,
            serving,
            tending,
            _identity: identity,
        })
    }

    /// Stops accepting, finishes what is in flight, and leaves the mark of a clean stop.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for task in self.serving.into_iter().chain(self.tending) {
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
        self.raft.shutdown().await;
    }
}

#[cfg(test)]
mod tests;

async fn open_data(
    options: &Options,
    identity: &Identity,
    (clock, random, metrics): (&Arc<dyn Clock>, &Arc<dyn Random>, &Arc<Metrics>),
) -> Result<DataPlane, NodeError> {
    let mut config = NodeConfig::new(options.data_dir.join("raft"), NodeId(identity.incarnation));
    config.wal = WalConfig {
        file_bytes: wal_file_bytes(options),
        budget_bytes: options.wal_budget_bytes,
        ..WalConfig::default()
    };
    let surroundings = Surroundings {
        clock: clock.clone(),
        random: random.clone(),
        metrics: metrics.clone(),
        tail_bytes: options.tail_bytes / usize::try_from(options.data_shards + 1).unwrap_or(1),
        index_budget_bytes: options.wal_index_bytes,
    };
    let config = data_plane::Config {
        raft: config,
        segments: options.data_dir.join("segments"),
        sizes: segments::Sizes::default(),
    };
    let (env, observer) = (Env::real(Arc::new(NoPeers)), WalMetrics(metrics.clone()));
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

/// As many as the setting `max.connections` and the process's limits allow.
fn connections(broker: &Arc<Broker>, clients: usize) -> Arc<Connections> {
    let broker = Arc::downgrade(broker);
    let setting = move || {
        let Some(broker) = broker.upgrade() else {
            return 0;
        };
        let limit = broker
            .admin
            .layers(&broker.meta.read())
            .broker_int("max.connections");
        usize::try_from(limit).unwrap_or(0)
    };
    Connections::new(clients, Box::new(setting))
}

/// Thirty years.
const LONGEST_IDLE: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// What the node's settings say of a connection; they are read at the start only.
fn limits(broker: &Broker) -> Limits {
    let state = broker.meta.read();
    let layers = broker.admin.layers(&state);
    let most = Limits::default();
    let frame = usize::try_from(layers.broker_int("socket.request.max.bytes"));
    let idle = u64::try_from(layers.broker_int("connections.max.idle.ms"));
    Limits {
        max_frame_bytes: frame.unwrap_or(most.max_frame_bytes),
        // As in Kafka, a negative time is none; a longer one than this would overflow the clock.
        idle: idle.map_or(LONGEST_IDLE, |ms| {
            Duration::from_millis(ms).min(LONGEST_IDLE)
        }),
        ..most
    }
}

/// Opens the rows that earlier runs left.
async fn recover_tables(
    tables: &Arc<TableHub>,
    shards: &[Arc<ShardHost>],
) -> Result<(), NodeError> {
    let ids: Vec<u64> = shards.iter().map(|shard| shard.id.0).collect();
    let tables = tables.clone();
    let recovered = tokio::task::spawn_blocking(move || tables.recover(ids)).await;
    recovered
        .map_err(io::Error::from)
        .map_err(NodeError::Interrupted)??;
    Ok(())
}

/// Waits until the shard is open for proposals, here or elsewhere.
async fn opened(shard: &ShardHost) -> Result<(), NodeError> {
    let mut leadership = shard.watch_leadership();
    let known =
        leadership.wait_for(|now| now.open || now.leader.is_some_and(|id| id != shard.node_id()));
    match tokio::time::timeout(ELECTION_PATIENCE, known).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(NodeError::NoLeader(shard.id.0)),
    }
}

/// Tells the metadata who and where this node is; the first node names the cluster and its shards.
async fn register(
    meta: &Meta,
    options: &Options,
    identity: &Identity,
    listeners: &[TcpListener],
    random: &dyn Random,
) -> Result<(), NodeError> {
    let endpoint = advertised(options, listeners)?;
    let node = NodeInfo {
        raft_id: identity.incarnation,
        listeners: BTreeMap::from([(LISTENER.to_owned(), endpoint)]),
        rack: options.rack.clone(),
    };
    let shards: BTreeMap<u64, ShardInfo> = (1..=options.data_shards)
        .map(|id| {
            let replicas = vec![options.broker_id];
            (id, ShardInfo { replicas })
        })
        .collect();
    let new_id = random.uuid();
    let decide =
        |state: &MetaState| cluster::start(state, new_id, &shards, options.broker_id, &node);
    match meta.change(decide).await {
        Ok(_cluster_id) => Ok(()),
        Err(error) => Err(NodeError::Registration(error.to_string())),
    }
}

fn advertised(options: &Options, listeners: &[TcpListener]) -> Result<Endpoint, NodeError> {
    if let Some(value) = &options.kafka_advertise {
        let wrong = || NodeError::Advertise {
            flag: "--kafka-advertise",
            value: value.clone(),
        };
        let (host, port) = value.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        return Ok(Endpoint {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
        });
    }
    let bound = listeners
        .iter()
        .find_map(|listener| listener.local_addr().ok());
    let port = bound.map_or(0, |address| address.port());
    let host = options
        .kafka_listen
        .rsplit_once(':')
        .map_or("", |(host, _)| host)
        .trim_matches(['[', ']']);
    let wildcard = bound.is_some_and(|address| address.ip().is_unspecified());
    Ok(Endpoint {
        host: if wildcard {
            String::new()
        } else {
            host.to_owned()
        },
        port,
    })
}

fn serve(
    broker: &Arc<Broker>,
    listeners: Listeners,
    options: &Options,
    clients: usize,
    stop: &CancellationToken,
    edge: &Handle,
) -> Vec<tokio::task::JoinHandle<()>> {
    let connections = connections(broker, clients);
    let dispatch = Dispatch::new(broker.clone());
    broker.metrics.add_requests(dispatch.metrics());
    let server = Server::new(
        dispatch,
        limits(broker),
        options.request_bytes,
        connections.clone(),
    );
    broker.metrics.add_request_memory(server.budget());
    let http = crate::http::router(broker);
    let cluster_id = broker
        .meta
        .read()
        .cluster_id()
        .unwrap_or_default()
        .to_owned();
    let registry = http::registry::router(
        Arc::new(BrokerRegistry(broker.clone())),
        http::registry::Options::new(cluster_id),
    );
    vec![
        tokio::spawn(server.serve(listeners.kafka, stop.clone())),
        edge.spawn(http::server::serve(
            listeners.http,
            http,
            connections.clone(),
            stop.clone(),
        )),
        edge.spawn(http::server::serve(
            listeners.registry,
            registry,
            connections,
            stop.clone(),
        )),
    ]
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
