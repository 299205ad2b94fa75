//! One broker without its edges: the data plane over the metadata shard, as `weir_broker::node` composes it, and what
//! brokers ask each other for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_broker::clock::Clock;
use weir_broker::cluster::Peers;
use weir_broker::cluster::log::{ClusterLog, answer_commit, answer_read_index};
use weir_broker::cluster::message::{self, Answer, Question};
use weir_broker::cluster::moves::{self, Moves, Sources};
use weir_broker::cluster::peers::Wire;
use weir_broker::data_plane::{Config, DataPlane, Surroundings, Tending};
use weir_broker::meta::decide::cluster::{self, NewCluster, cluster_id};
use weir_broker::meta::state::Configs;
use weir_broker::meta::{Meta, MetaEnv, MetaFold, MetaState, NodeInfo, ShardInfo};
use weir_broker::metrics::{Metrics, WalMetrics};
use weir_broker::random::Random;
use weir_broker::registry::SchemaFold;
use weir_broker::segments::{HeldByAll, Sizes};
use weir_broker::shard::host::ShardHost;
use weir_broker::shard::hosted::HostedShards;
use weir_broker::shard::machine::Folds;
use weir_broker::space::{Space, Usage};
use weir_broker::tables::hub::{self, TableHub};
use weir_broker::topic::TopicViews;
use weir_log::{BlockReader, Pos, ReadError, Segment, SegmentIndex};
use weir_raft::{Caller, Index, NodeConfig, NodeId, Service, Unreachable, WalConfig};
use weir_sim::{App, Life, Port, Rng, Site, StartFailure};
use weir_tables::Budget;

/// Shards beside that of the metadata.
pub const DATA_SHARDS: u64 = 2;
/// Small enough that files are moved early for it.
const INDEX_BYTES: usize = 16 << 10;
const TAIL_BYTES: usize = 6 << 10;
const SIZES: Sizes = Sizes {
    own_file_bytes: 6 << 10,
    shared_file_bytes: 12 << 10,
    segment_bytes: 16 << 10,
};
/// Where the rows of tables would lie.
const NOWHERE: &str = "/nowhere";
/// Settings of the broker, so that all that is done in the background is done often.
const SETTINGS: &[(&str, &str)] = &[
    ("log.retention.check.interval.ms", "700"),
    ("log.cleaner.backoff.ms", "900"),
    // Some keys at a time, so that compaction takes several passes.
    ("log.cleaner.dedupe.buffer.size", "400"),
];

/// Brokers of one cluster.
pub struct Brokers {
    pub clock: Arc<WallClock>,
    pub wal: WalConfig,
    /// By shard: what every replica holds, as a leader was last asked.
    pub held: Arc<parking_lot::Mutex<BTreeMap<u64, Index>>>,
}

/// A broker's process.
pub struct DataNode {
    pub life: Life,
    pub plane: Arc<DataPlane>,
    /// By id; 0 is the metadata's.
    pub shards: Vec<Arc<ShardHost>>,
    pub meta: Arc<Meta>,
    pub topics: Arc<TopicViews>,
    stop: CancellationToken,
}

/// The wall clock of all brokers and clients.
pub struct WallClock {
    start: Instant,
}

impl WallClock {
    pub fn start() -> Arc<WallClock> {
        Arc::new(WallClock {
            start: Instant::now(),
        })
    }
}

impl Clock for WallClock {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + self.start.elapsed().as_millis() as i64
    }
}

struct SiteRandom(Arc<Rng>);

impl Random for SiteRandom {
    fn next_u64(&self) -> u64 {
        weir_raft::Random::next(&*self.0)
    }
}

struct DecisionEnv {
    clock: Arc<WallClock>,
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

impl App for Brokers {
    type Running = DataNode;

    fn start(&self, site: Site) -> BoxFuture<'static, Result<DataNode, StartFailure>> {
        let (clock, wal, held) = (self.clock.clone(), self.wal.clone(), self.held.clone());
        let alone = site.founders.len() == 1;
        let held_by_all: HeldByAll = Arc::new(move |shard| match alone {
            true => Some(Index::MAX),
            false => held.lock().get(&shard.id.0).copied(),
        });
        Box::pin(async move {
            let node = DataNode::start(&site, clock, wal, held_by_all).await;
            node.map_err(|what| StartFailure {
                damage: what.contains("damaged") || what.contains("no snapshot"),
                what,
            })
        })
    }

    fn stop(&self, running: Arc<DataNode>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            running.stop.cancel();
            running.plane.raft.shutdown().await;
        })
    }
}

impl DataNode {
    /// Recovers what the disk holds, and takes part in the shards.
    async fn start(
        site: &Site,
        clock: Arc<WallClock>,
        wal: WalConfig,
        held_by_all: HeldByAll,
    ) -> Result<DataNode, String> {
        let metrics = Arc::new(Metrics::default());
        let random: Arc<dyn Random> = Arc::new(SiteRandom(site.rng.clone()));
        let surroundings = Surroundings {
            clock: clock.clone(),
            random: random.clone(),
            metrics: metrics.clone(),
            tail_bytes: TAIL_BYTES,
            index_budget_bytes: INDEX_BYTES,
        };
        let plane = Arc::new(open(site, wal, surroundings).await?);
        let peers = Peers::over(SimWire(site.port()));
        plane.bring_from(&peers, NOWHERE.into());
        site.attach(&plane.raft, None);
        let schemas = Arc::new(SchemaFold::default());
        let fold = MetaFold::default();
        let shards = match start_shards(site, &plane, &fold).await {
            Ok(shards) => shards,
            Err(what) => {
                plane.raft.shutdown().await;
                return Err(what);
            }
        };
        let log = ClusterLog {
            shard: shards[0].clone(),
            peers: peers.clone(),
        };
        let env = DecisionEnv {
            clock,
            random: random.clone(),
        };
        let meta = Arc::new(Meta::new(fold, Arc::new(log), Arc::new(env)));
        let hosted: Arc<HostedShards> = Arc::new(shards.iter().cloned().collect());
        let catch_up = peers.catch_up(&hosted);
        for shard in &shards {
            plane.reconcile(shard, &meta, catch_up.clone());
        }
        tokio::spawn(register(
            site.clone(),
            meta.clone(),
            shards[0].clone(),
            random,
        ));
        let stop = CancellationToken::new();
        let topics = TopicViews::new(meta.clone(), site.seat.0, settings());
        let topics = Arc::new(topics);
        let tables = tables(&plane, &meta, schemas);
        let sources = Arc::new(Leaders {
            shards: hosted.clone(),
            peers,
        });
        let mut moves = plane.moves(&meta, &tables, &hosted, catch_up, sources, &stop);
        moves.blocks = Arc::new(Durable(plane.clone()));
        let moves = Arc::new(moves);
        let answering = Answering {
            metadata: shards[0].clone(),
            moves: moves.clone(),
        };
        site.attach(&plane.raft, Some(Arc::new(answering)));
        tokio::spawn(moves::run(moves));
        plane.tend(Tending {
            shards: hosted,
            topics: topics.clone(),
            tables,
            space: space(&plane, &metrics),
            held_by_all,
            stop: stop.clone(),
        });
        Ok(DataNode {
            life: site.life.clone(),
            plane,
            shards,
            meta,
            topics,
            stop,
        })
    }
}

/// Reads what is durable. A read of what is not written yet would wait for it, and here for ever.
struct Durable(Arc<DataPlane>);

impl BlockReader for Durable {
    fn read(&self, pos: Pos, len: usize) -> io::Result<Bytes> {
        let durable = self.0.raft.wal_usage().durable;
        let end = (pos.file, u64::from(pos.offset) + len as u64);
        match end <= (durable.file, u64::from(durable.offset)) {
            true => self.0.blocks.read(pos, len),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn read_segment(&self, file: u64, at: u64, len: usize) -> io::Result<Bytes> {
        self.0.blocks.read_segment(file, at, len)
    }

    fn index(&self, segment: &Segment) -> Result<Arc<SegmentIndex>, ReadError> {
        self.0.blocks.index(segment)
    }
}

/// A broker's way to the others.
struct SimWire(Port);

impl Wire for SimWire {
    fn ask(&self, to: NodeId, question: Bytes) -> BoxFuture<'_, Result<Bytes, Unreachable>> {
        Box::pin(self.0.ask(to, question))
    }
}

/// Whom a broker takes for the leaders of shards.
struct Leaders {
    shards: Arc<HostedShards>,
    peers: Peers,
}

impl Sources for Leaders {
    fn ask(
        &self,
        shard: u64,
        question: Question,
    ) -> BoxFuture<'static, Result<(Answer, Bytes), String>> {
        let shard = self.shards.get(shard);
        let leader = shard.and_then(|shard| shard.leadership().leader);
        let peers = self.peers.clone();
        Box::pin(async move {
            let leader = leader.ok_or("nobody leads it")?;
            let asked = peers.ask(leader, &question, b"").await;
            asked.map_err(|error| error.to_string())
        })
    }
}

/// A broker as the others ask it.
struct Answering {
    metadata: Arc<ShardHost>,
    moves: Arc<Moves>,
}

impl Service for Answering {
    fn answer(&self, _: Caller, question: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let (metadata, moves) = (self.metadata.clone(), self.moves.clone());
        Box::pin(async move {
            let (question, body) = message::decode(question)?;
            let (answer, body) = match question {
                Question::Commit => (answer_commit(&metadata, body).await, Bytes::new()),
                Question::ReadIndex { .. } => (answer_read_index(&metadata).await, Bytes::new()),
                question => {
                    let answered = moves.answer(&question).await;
                    answered.unwrap_or_else(|reason| (Answer::Refused(reason), Bytes::new()))
                }
            };
            Ok(message::encode(&answer, &body))
        })
    }
}

fn settings() -> Configs {
    let settings = SETTINGS.iter();
    settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

async fn open(
    site: &Site,
    wal: WalConfig,
    surroundings: Surroundings,
) -> Result<DataPlane, String> {
    let dir = Path::new(weir_sim::DIR);
    let mut raft = NodeConfig::new(dir, site.node);
    raft.wal = wal;
    // What segments hold is not in a snapshot.
    raft.takes_snapshots = false;
    let config = Config {
        raft,
        segments: dir.join("segments"),
        sizes: SIZES,
    };
    let observer = Arc::new(WalMetrics(surroundings.metrics.clone()));
    let opened = DataPlane::open(config, site.env.clone(), observer, surroundings);
    opened.await.map_err(|error| error.to_string())
}

async fn start_shards(
    site: &Site,
    plane: &DataPlane,
    fold: &MetaFold,
) -> Result<Vec<Arc<ShardHost>>, String> {
    let founders: BTreeSet<_> = site.founders.iter().copied().collect();
    let mut shards = Vec::new();
    for id in 0..=DATA_SHARDS {
        let folds = Folds {
            offsets: None,
            schemas: None,
            metadata: (id == 0).then(|| fold.clone()),
        };
        let started = plane.join_shard(id, folds).await;
        let shard = started.map_err(|error| error.to_string())?;
        let founded = shard.raft().found(&founders).await;
        founded.map_err(|error| error.to_string())?;
        shards.push(shard);
    }
    Ok(shards)
}

/// Has the metadata name the cluster and its shards, once.
async fn register(site: Site, meta: Arc<Meta>, metadata: Arc<ShardHost>, random: Arc<dyn Random>) {
    let shards: BTreeMap<u64, ShardInfo> = (1..=DATA_SHARDS)
        .map(|id| {
            let info = ShardInfo {
                replicas: vec![1],
                founders: Vec::new(),
            };
            (id, info)
        })
        .collect();
    let new = NewCluster {
        id: cluster_id(random.uuid()),
        shards,
        shards_per_node: DATA_SHARDS,
    };
    let info = NodeInfo {
        raft_id: site.node.0,
        listeners: BTreeMap::new(),
        rack: None,
        cluster: None,
    };
    let decide = |state: &MetaState| cluster::start(state, &new, site.seat.0, &info);
    while meta.read().cluster_id().is_none() && !site.life.is_over() {
        if metadata.leadership().open {
            // Whoever leads does it in the end.
            drop(meta.change(decide).await);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// There are no tables, so nothing is ever opened.
fn tables(plane: &DataPlane, meta: &Arc<Meta>, schemas: Arc<SchemaFold>) -> Arc<TableHub> {
    Arc::new(TableHub::new(hub::Parts {
        dir: NOWHERE.into(),
        budget: Budget::new(1 << 20, 1 << 20),
        meta: meta.clone(),
        partitions: plane.partitions.clone(),
        schemas,
        blocks: plane.blocks.clone(),
    }))
}

fn space(plane: &DataPlane, metrics: &Metrics) -> Arc<Space> {
    let raft = plane.raft.clone();
    let measure = move || {
        let wal = raft.wal_usage();
        Usage {
            wal_bytes: wal.live_bytes,
            wal_budget_bytes: wal.budget_bytes,
            disk_free_bytes: None,
        }
    };
    Space::new(Box::new(measure), 0, metrics.throttled_seconds.clone())
}
