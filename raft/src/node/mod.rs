//! A node: one WAL and the shards on it.

mod failure;
mod leadership;
mod proposal;
mod retire;
mod shard;

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use parking_lot::Mutex;

use crate::bring::Bring;
use crate::env::Env;
use crate::group::{Group, LogState};
use crate::ids::{NodeId, ShardId, WalPos};
use crate::observer::WalObserver;
use crate::planted::{self, Bug};
use crate::state_machine::StateMachine;
use crate::threads::blocking;
use crate::transport::{Reply, Request};
use crate::wal::format::MAX_BODY_LEN;
use crate::wal::{OpenError, Wal, WalConfig, WalUsage};
pub use leadership::Leadership;
pub use proposal::{Proposal, ProposeError};
pub use shard::{ChangeError, Followers, MemberProgress, Members, Progress, ReadError, Shard};

/// The longest payload of an entry, in bytes.
pub const MAX_PAYLOAD_LEN: usize = MAX_BODY_LEN as usize;

const MIN_FILE_BYTES: u32 = 4096;
const LOCK: &str = "LOCK";
/// How long shards may take to stop before the WAL is stopped under them.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Everything that the node stores lies below it.
    pub dir: PathBuf,
    pub node_id: NodeId,
    pub wal: WalConfig,
    pub timing: Timing,
    /// Whether a leader's snapshot is whole by itself, so that a follower can take it. Where state lies in
    /// files beside it, it is not, and a follower takes it only by [`Node::bring_with`].
    pub takes_snapshots: bool,
}

/// How leaders and followers of shards with several voters watch each other. A shard with one
/// voter has no timers at all.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    pub heartbeat: Duration,
    /// A follower stands for election when it has heard nothing for `election_max`, during which nobody
    /// votes against a leader, and then for a random time between these two.
    pub election_min: Duration,
    pub election_max: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
        }
    }
}

impl NodeConfig {
    pub fn new(dir: impl Into<PathBuf>, node_id: NodeId) -> NodeConfig {
        NodeConfig {
            dir: dir.into(),
            node_id,
            wal: WalConfig::default(),
            timing: Timing::default(),
            takes_snapshots: true,
        }
    }

    fn validate(&self) -> Result<(), OpenError> {
        if self.wal.file_bytes < MIN_FILE_BYTES {
            return Err(OpenError::Config(format!(
                "wal.file_bytes is {}, but must be at least {MIN_FILE_BYTES}",
                self.wal.file_bytes
            )));
        }
        Ok(())
    }
}

/// Why a shard does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    #[error("shard {0} is already started")]
    AlreadyStarted(ShardId),
    #[error("shard {shard} does not start: {reason}")]
    Failed { shard: ShardId, reason: String },
}

/// Why a replica did not answer another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    #[error("shard {0} does not run here")]
    NoSuchShard(ShardId),
    #[error("the replica of shard {0} here cannot take a snapshot")]
    NoSnapshots(ShardId),
    #[error("the snapshot of shard {shard} is not whole here yet: {reason}")]
    NotWhole { shard: ShardId, reason: String },
    #[error("the replica has stopped: {0}")]
    Stopped(String),
}

/// Whether a shard without any history may make one up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Founding {
    /// With this node as the only voter.
    Alone,
    /// No: others will tell.
    Wait,
}

/// A running node. Clones share it.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    config: NodeConfig,
    env: Env,
    wal: Arc<Wal>,
    shards: Mutex<Shards>,
    /// One retirement at a time.
    retiring: tokio::sync::Mutex<()>,
    bring: OnceLock<Arc<dyn Bring>>,
    /// Held until the shutdown: no other process may use the directory.
    lock: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

#[derive(Default)]
struct Shards {
    /// Every shard with records in the WAL, started or not.
    groups: BTreeMap<ShardId, Arc<Group>>,
    started: BTreeMap<ShardId, Option<Shard>>,
}

impl Node {
    /// Recovers what the directory holds. Shards are started one by one after that.
    pub async fn open(
        config: NodeConfig,
        env: Env,
        observer: Arc<dyn WalObserver>,
    ) -> Result<Node, OpenError> {
        let threads = env.threads.clone();
        let opened = blocking(&*threads, move || {
            Node::open_blocking(config, env, observer)
        });
        opened.await.map_err(OpenError::Thread)?
    }

    fn open_blocking(
        config: NodeConfig,
        env: Env,
        observer: Arc<dyn WalObserver>,
    ) -> Result<Node, OpenError> {
        config.validate()?;
        let lock = lock(&config, &env)?;
        let mut logs: HashMap<ShardId, LogState> = HashMap::new();
        let mut replay = |header: &crate::wal::format::RecordHeader| {
            logs.entry(header.shard).or_default().replay(header)
        };
        let dir = config.dir.join("wal");
        let wal_config = config.wal.clone();
        let wal = Wal::open(
            dir.clone(),
            config.node_id,
            wal_config,
            &env,
            observer,
            &mut replay,
        )?;
        let wal = Arc::new(wal);
        let mut groups = BTreeMap::new();
        for (shard, mut log) in logs {
            if planted::has(Bug::TruncatedToCommitted) {
                log.truncate(log.committed.map_or(0, |(_, index)| index + 1));
            }
            log.validate().map_err(|what| OpenError::Damaged {
                path: dir.clone(),
                offset: 0,
                what: format!("of shard {shard}, {what}"),
            })?;
            groups.insert(
                shard,
                Arc::new(Group::new(shard, config.node_id, wal.clone(), log)),
            );
        }
        Ok(Node {
            inner: Arc::new(Inner {
                config,
                env,
                wal,
                shards: Mutex::new(Shards {
                    groups,
                    started: BTreeMap::new(),
                }),
                retiring: tokio::sync::Mutex::new(()),
                bring: OnceLock::new(),
                lock: Mutex::new(Some(lock)),
            }),
        })
    }

    pub fn id(&self) -> NodeId {
        self.inner.config.node_id
    }

    /// The shards that have records here, started or not.
    pub fn stored_shards(&self) -> Vec<ShardId> {
        let shards = self.inner.shards.lock();
        let stored = shards.groups.iter().filter(|(_, group)| !group.is_new());
        stored.map(|(shard, _)| *shard).collect()
    }

    /// Starts a shard; a new one is founded with this node as its only voter. Returns once the
    /// recovered entries up to the stored commit position are applied.
    pub async fn start_shard(
        &self,
        id: ShardId,
        machine: Box<dyn StateMachine>,
    ) -> Result<Shard, StartError> {
        self.start(id, machine, Founding::Alone).await
    }

    /// Starts a shard that others found, or have founded, and will tell about.
    pub async fn join_shard(
        &self,
        id: ShardId,
        machine: Box<dyn StateMachine>,
    ) -> Result<Shard, StartError> {
        self.start(id, machine, Founding::Wait).await
    }

    async fn start(
        &self,
        id: ShardId,
        machine: Box<dyn StateMachine>,
        founding: Founding,
    ) -> Result<Shard, StartError> {
        let group = {
            let mut shards = self.inner.shards.lock();
            if shards.started.contains_key(&id) {
                return Err(StartError::AlreadyStarted(id));
            }
            shards.started.insert(id, None);
            let wal = self.inner.wal.clone();
            let node = self.id();
            let new = || Arc::new(Group::new(id, node, wal, LogState::default()));
            shards.groups.entry(id).or_insert_with(new).clone()
        };
        let started = Shard::start(
            &self.inner.config,
            &self.inner.env,
            group,
            machine,
            founding,
        );
        let started = started.await;
        let mut shards = self.inner.shards.lock();
        match started {
            Ok(shard) => {
                shards.started.insert(id, Some(shard.clone()));
                Ok(shard)
            }
            Err(reason) => {
                shards.started.remove(&id);
                Err(StartError::Failed { shard: id, reason })
            }
        }
    }

    /// Snapshots of leaders are made whole by this before replicas here take them. Given once.
    pub fn bring_with(&self, bring: Arc<dyn Bring>) {
        assert!(self.inner.bring.set(bring).is_ok(), "it is given once");
    }

    /// A started shard.
    pub fn shard(&self, id: ShardId) -> Option<Shard> {
        self.inner.shards.lock().started.get(&id).cloned().flatten()
    }

    /// Answers a request that another node's transport brought here.
    pub async fn serve(&self, shard: ShardId, request: Request) -> Result<Reply, ServeError> {
        let shard = self.shard(shard).ok_or(ServeError::NoSuchShard(shard))?;
        shard.serve(request, self.inner.bring.get()).await
    }

    /// Reads bytes of payloads. Blocks.
    pub fn read(&self, pos: WalPos, len: usize) -> io::Result<Bytes> {
        self.inner.wal.read(pos, len)
    }

    /// How long it is until the turn of so many bytes that can wait.
    pub fn turn(&self, bytes: u64) -> Duration {
        self.inner.wal.turn(bytes)
    }

    /// Returns when it is the turn of so many bytes that another node lacks; what is behind in the log takes turns too.
    pub async fn turn_to_give(&self, bytes: u64) {
        self.inner.wal.turn_to_give(bytes).await;
    }

    /// Whether other nodes are being given what they lack.
    pub fn gives(&self) -> bool {
        self.inner.wal.gives()
    }

    pub fn wal_usage(&self) -> WalUsage {
        self.inner.wal.usage()
    }

    /// Stops the shards, then the WAL, which leaves the mark of a clean stop.
    pub async fn shutdown(&self) {
        let started = std::mem::take(&mut self.inner.shards.lock().started);
        let shards: Vec<Shard> = started.into_values().flatten().collect();
        let mut stopping = Box::pin(join_all(shards.iter().map(Shard::shutdown)));
        // A replica that waits for a full disk stops only once the WAL gives up.
        let stopped = tokio::time::timeout(STOP_PATIENCE, stopping.as_mut()).await;
        self.inner.wal.stop();
        self.inner.wal.stopped().await;
        if stopped.is_err() {
            stopping.await;
        }
        self.inner.lock.lock().take();
    }
}

fn lock(config: &NodeConfig, env: &Env) -> Result<Box<dyn Any + Send + Sync>, OpenError> {
    let dir = &config.dir;
    env.disk.create_dir(dir).map_err(|source| OpenError::Io {
        action: "creating",
        path: dir.clone(),
        source,
    })?;
    let path = dir.join(LOCK);
    match env.disk.lock(&path) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(OpenError::Locked { path: dir.clone() })
        }
        result => result.map_err(|source| OpenError::Io {
            action: "locking",
            path,
            source,
        }),
    }
}
