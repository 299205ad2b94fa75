//! Nodes on disks in memory, and a state machine that remembers what it was fed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use weir_raft::disk::{Disk, MemDisk};
use weir_raft::{
    Clock, Committed, Damage, Env, Index, MemNetwork, NoPeers, Node, NodeConfig, NodeId, OpenError,
    Outcome, Payload, Proposal, Random, RealThreads, Shard, ShardId, StateMachine, Term, Timing,
    Transport, WalConfig, WalObserver, WalPos,
};

pub const DIR: &str = "/node";
pub const SHARD: ShardId = ShardId(1);

/// What a state machine was fed: (index, payload, place).
pub type Applied = Arc<Mutex<Vec<(Index, Vec<u8>, WalPos)>>>;

/// Remembers payloads; rejects those that start with `!`; its snapshot is all payloads by line.
#[derive(Clone, Default)]
pub struct Recorder {
    pub applied: Applied,
}

impl Recorder {
    pub fn payloads(&self) -> Vec<String> {
        let applied = self.applied.lock();
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        applied.iter().map(|(_, bytes, _)| text(bytes)).collect()
    }
}

impl StateMachine for Recorder {
    fn apply(&mut self, entry: &Committed) -> Outcome {
        let bytes = entry.payload.slice(0..entry.payload.len()).to_vec();
        let rejected = bytes.starts_with(b"!");
        self.applied.lock().push((entry.index, bytes, entry.pos));
        match rejected {
            true => Outcome::Rejected("it starts with !".into()),
            false => Outcome::Applied,
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        self.payloads().join("\n").into_bytes()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let lines = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        *self.applied.lock() = lines.map(|line| (0, line.to_vec(), WalPos::ZERO)).collect();
        Ok(())
    }
}

/// Counts group commits and keeps reports.
#[derive(Default)]
pub struct Watcher {
    pub groups: AtomicU64,
    pub damage: Mutex<Vec<Damage>>,
}

impl WalObserver for Watcher {
    fn fsynced(&self, _took: Duration, _bytes: u64) {
        self.groups.fetch_add(1, Ordering::Relaxed);
    }

    fn reported(&self, damage: &Damage) {
        self.damage.lock().push(damage.clone());
    }
}

struct TestClock(tokio::time::Instant);

impl Clock for TestClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

struct Counter(AtomicU64);

impl Random for Counter {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// A node's surroundings, which outlive it.
pub struct World {
    pub disk: MemDisk,
    pub watcher: Arc<Watcher>,
    pub fatal: Arc<Mutex<Vec<String>>>,
    pub transport: Arc<dyn Transport>,
    pub config: NodeConfig,
    random: Arc<Counter>,
}

impl World {
    pub fn new() -> World {
        World::of(NodeId(1), Arc::new(NoPeers))
    }

    pub fn of(node: NodeId, transport: Arc<dyn Transport>) -> World {
        let mut config = NodeConfig::new(DIR, node);
        config.wal = WalConfig {
            file_bytes: 64 << 10,
            ..WalConfig::default()
        };
        config.timing = Timing {
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(1500),
            election_max: Duration::from_millis(2500),
        };
        World {
            disk: MemDisk::new(),
            watcher: Arc::default(),
            fatal: Arc::default(),
            transport,
            config,
            random: Arc::new(Counter(AtomicU64::new(1000 * node.0))),
        }
    }

    pub fn in_network(node: NodeId, network: &MemNetwork) -> World {
        World::of(node, network.port(node))
    }

    pub async fn open(&self) -> Result<Node, OpenError> {
        let fatal = self.fatal.clone();
        let env = Env {
            clock: Arc::new(TestClock(tokio::time::Instant::now())),
            random: self.random.clone(),
            threads: Arc::new(RealThreads),
            disk: Arc::new(self.disk.clone()),
            transport: self.transport.clone(),
            fatal: Arc::new(move |message| fatal.lock().push(message.to_owned())),
        };
        Node::open(self.config.clone(), env, self.watcher.clone()).await
    }

    /// A node with one shard that this node leads.
    pub async fn start(&self) -> (Node, Shard, Recorder) {
        let node = self.open().await.expect("the node opens");
        let recorder = Recorder::default();
        let shard = node.start_shard(SHARD, Box::new(recorder.clone())).await;
        let shard = shard.expect("the shard starts");
        open_term(&shard).await;
        (node, shard, recorder)
    }

    /// Power loss; unsynced bytes are gone.
    pub fn crash(&mut self) {
        self.disk = self.disk.crash(|| false);
    }

    pub fn wal_files(&self) -> Vec<PathBuf> {
        let dir = PathBuf::from(DIR).join("wal");
        let mut files = self.disk.list(&dir).expect("the directory is listed");
        files.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
        files.sort();
        files
    }

    pub fn wal_file(&self, seq: u64) -> PathBuf {
        PathBuf::from(DIR)
            .join("wal")
            .join(format!("{seq:020}.wal"))
    }
}

/// Waits until this node leads the shard and is open; returns the term.
pub async fn open_term(shard: &Shard) -> Term {
    let mut leadership = shard.leadership();
    let open = leadership.wait_for(|now| now.open);
    let open = tokio::time::timeout(Duration::from_secs(60), open).await;
    open.expect("the shard opens in time")
        .expect("the shard runs")
        .term
}

pub fn payload(text: &str) -> Payload {
    Payload::new(vec![Bytes::copy_from_slice(text.as_bytes())])
}

pub async fn enqueue(shard: &Shard, text: &str) -> Proposal {
    let term = open_term(shard).await;
    shard.propose(term, payload(text)).await.expect("proposed")
}

/// Proposes and waits for the outcome.
pub async fn put(shard: &Shard, text: &str) -> Index {
    let (index, outcome) = enqueue(shard, text).await.await.expect("applied");
    assert_eq!(outcome, Outcome::Applied);
    index
}

pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not in time: {what}");
}
