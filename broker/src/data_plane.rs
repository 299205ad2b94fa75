//! A node's data plane: its shards, the partitions that they carry, and the files that records lie in.
//!
//! Everything outside of it is an argument, so that the simulator runs this composition and no other.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_log::BlockReader;
use weir_raft::{Env, NodeConfig, ShardId, StartError, Threads, WalConfig, WalObserver, blocking};
use weir_tables::Tables;

use crate::clock::Clock;
use crate::cluster::Peers;
use crate::cluster::bring::Bringer;
use crate::cluster::moves::{Moves, Sources};
use crate::meta::Meta;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::segments::{
    self, Blocks, Compact, CompactParts, Retention, Retire, RetireParts, SegmentFiles,
};
use crate::shard::arrivals::Arrivals;
use crate::shard::host::{Partitions, ShardHost};
use crate::shard::hosted::HostedShards;
use crate::shard::machine::{Folds, Machine};
use crate::shard::proposer;
use crate::shard::reconcile::{self, CatchUp};
use crate::space::Space;
use crate::tables::hub::{TableHub, shard_dir};
use crate::topic::TopicViews;

/// Sealed files of the write-ahead log up to this size, or this part of its budget, are kept: the newest
/// records are the likeliest to be trimmed or read again, and a start replays them.
const WAL_KEEP_BYTES: u64 = 1 << 30;
const WAL_KEEP_PART: u64 = 4;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Wal(#[from] weir_raft::OpenError),
    #[error("opening the segment files failed: {0}")]
    Segments(io::Error),
}

/// What was found in the directory, and the shards that were started on it.
pub struct DataPlane {
    pub raft: weir_raft::Node,
    pub partitions: Arc<Partitions>,
    /// Reads records back; blocks.
    pub blocks: Arc<dyn BlockReader + Send + Sync>,
    files: Arc<SegmentFiles>,
    arrivals: Arc<Arrivals>,
    sizes: segments::Sizes,
    wal: WalConfig,
    threads: Arc<dyn Threads>,
    surroundings: Surroundings,
}

/// Where and how records are stored.
pub struct Config {
    pub raft: NodeConfig,
    /// Segment files lie in this directory.
    pub segments: PathBuf,
    pub sizes: segments::Sizes,
}

/// What the data plane is told by, and tells.
#[derive(Clone)]
pub struct Surroundings {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub metrics: Arc<Metrics>,
    /// Bytes of the in-memory tail of one shard.
    pub tail_bytes: usize,
    /// Memory for where records lie in the write-ahead log; past it they move to segment files early.
    pub index_budget_bytes: usize,
}

/// What tending records needs to know of the rest of the node.
pub struct Tending {
    /// Those that are here, and that come.
    pub shards: Arc<HostedShards>,
    pub topics: Arc<TopicViews>,
    pub tables: Arc<TableHub>,
    pub space: Arc<Space>,
    pub held_by_all: segments::HeldByAll,
    pub stop: CancellationToken,
}

impl DataPlane {
    /// Recovers what the directories hold. Shards are started one by one after that.
    pub async fn open(
        config: Config,
        env: Env,
        observer: Arc<dyn WalObserver>,
        surroundings: Surroundings,
    ) -> Result<DataPlane, OpenError> {
        let Config {
            raft,
            segments,
            sizes,
        } = config;
        let (wal, disk, threads) = (raft.wal.clone(), env.disk.clone(), env.threads.clone());
        let raft = weir_raft::Node::open(raft, env, observer).await?;
        let opened = blocking(&*threads, move || SegmentFiles::open(segments, disk)).await;
        let files = opened.and_then(|files| files);
        let files = Arc::new(files.map_err(OpenError::Segments)?);
        Ok(DataPlane {
            blocks: Arc::new(Blocks::new(raft.clone(), files.clone())),
            raft,
            partitions: Arc::new(Partitions::default()),
            files,
            arrivals: Arc::default(),
            sizes,
            wal,
            threads,
            surroundings,
        })
    }

    /// Starts this node's replica of a shard, and its proposer. Nobody else has one, unless somebody founded it.
    pub async fn start_shard(&self, id: u64, folds: Folds) -> Result<Arc<ShardHost>, StartError> {
        self.start(id, folds, true).await
    }

    /// Starts this node's replica of a shard that others found too, and its proposer.
    pub async fn join_shard(&self, id: u64, folds: Folds) -> Result<Arc<ShardHost>, StartError> {
        self.start(id, folds, false).await
    }

    async fn start(
        &self,
        id: u64,
        folds: Folds,
        alone: bool,
    ) -> Result<Arc<ShardHost>, StartError> {
        let Surroundings {
            clock,
            metrics,
            tail_bytes,
            ..
        } = &self.surroundings;
        let id = ShardId(id);
        let (host, queue) = ShardHost::new(id, self.raft.id(), clock.clone(), *tail_bytes);
        let (partitions, blocks) = (self.partitions.clone(), self.blocks.clone());
        let machine = Box::new(Machine::new(
            host.clone(),
            partitions,
            folds,
            blocks,
            self.arrivals.clone(),
        ));
        host.started(match alone {
            true => self.raft.start_shard(id, machine).await?,
            false => self.raft.join_shard(id, machine).await?,
        });
        tokio::spawn(proposer::run(host.clone(), queue, metrics.commit.clone()));
        Ok(host)
    }

    /// Has replicas here take snapshots of leaders, with the records that lie beside them; `tables` holds the rows.
    pub fn bring_from(&self, peers: &Peers, tables: PathBuf) {
        let fold_again = move |shard| {
            let why = "records were replaced by those of a replica that had compacted them further";
            Tables::discard_at_start(&shard_dir(&tables, shard), why)
        };
        self.raft.bring_with(Arc::new(Bringer::new(
            peers.clone(),
            self.partitions.clone(),
            self.files.clone(),
            self.threads.clone(),
            self.arrivals.clone(),
            Arc::new(fold_again),
        )));
    }

    /// Has a shard carry what the metadata says, as long as it runs.
    pub fn reconcile(&self, shard: &Arc<ShardHost>, meta: &Arc<Meta>, catch_up: CatchUp) {
        let (partitions, meta) = (self.partitions.clone(), meta.clone());
        tokio::spawn(reconcile::run(shard.clone(), partitions, meta, catch_up));
    }

    /// What partitions are brought with from other shards, and given away.
    pub fn moves(
        &self,
        meta: &Arc<Meta>,
        tables: &Arc<TableHub>,
        shards: &Arc<HostedShards>,
        catch_up: CatchUp,
        sources: Arc<dyn Sources>,
        stopping: &CancellationToken,
    ) -> Moves {
        Moves {
            meta: meta.clone(),
            partitions: self.partitions.clone(),
            tables: tables.clone(),
            shards: shards.clone(),
            blocks: self.blocks.clone(),
            threads: self.threads.clone(),
            catch_up,
            raft: self.raft.clone(),
            sources,
            stopping: stopping.clone(),
        }
    }

    /// Starts what moves records into segments, what trims those that expired, and what compacts.
    ///
    /// It begins when every shard that is stored here runs: the files of one that does not yet would be nobody's.
    pub fn tend(self: &Arc<Self>, tending: Tending) -> JoinHandle<()> {
        let (data, stored) = (self.clone(), self.raft.stored_shards());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = tending.stop.cancelled() => return,
                () = tending.shards.have(&stored) => {}
            }
            for task in data.begin_tending(tending) {
                if let Err(error) = task.await {
                    tracing::error!(%error, "a task that tends records did not stop");
                }
            }
        })
    }

    fn begin_tending(&self, tending: Tending) -> [JoinHandle<()>; 3] {
        let Tending {
            shards,
            topics,
            tables,
            space,
            held_by_all,
            stop,
        } = tending;
        let Surroundings {
            clock,
            random,
            metrics,
            index_budget_bytes,
            ..
        } = &self.surroundings;
        let keep_bytes = WAL_KEEP_BYTES.min(self.wal.budget_bytes / WAL_KEEP_PART);
        // First, since it takes note of the segments that partitions have at the start.
        let retire = Retire::new(
            RetireParts {
                raft: self.raft.clone(),
                threads: self.threads.clone(),
                shards: shards.clone(),
                partitions: self.partitions.clone(),
                files: self.files.clone(),
                sizes: self.sizes,
                blocks: self.blocks.clone(),
                held_by_all,
                keep_files: keep_bytes / u64::from(self.wal.file_bytes),
                wait_below_bytes: segments::wait_below_bytes(keep_bytes, self.wal.budget_bytes),
                index_budget_bytes: *index_budget_bytes,
                metrics: metrics.clone(),
            },
            stop.clone(),
        );
        let compact = Compact::new(CompactParts {
            threads: self.threads.clone(),
            shards: shards.clone(),
            partitions: self.partitions.clone(),
            topics: topics.clone(),
            tables,
            files: self.files.clone(),
            sizes: self.sizes,
            blocks: self.blocks.clone(),
            space,
            metrics: metrics.clone(),
            clock: clock.clone(),
            random: random.clone(),
            stop: stop.clone(),
        });
        let retention = Retention {
            shards,
            partitions: self.partitions.clone(),
            topics,
            files: self.files.clone(),
            clock: clock.clone(),
            stop,
        };
        [
            tokio::spawn(Arc::new(retire).run()),
            tokio::spawn(retention.run()),
            tokio::spawn(Arc::new(compact).run()),
        ]
    }
}
