//! What a broker is told by and stores in, none of which is real, and how it is set.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;
use weir_broker::clock::Clock;
use weir_broker::data_plane::{Config, DataPlane, Surroundings};
use weir_broker::meta::state::Configs;
use weir_broker::meta::{Meta, MetaEnv};
use weir_broker::metrics::{Metrics, WalMetrics};
use weir_broker::random::Random;
use weir_broker::registry::SchemaFold;
use weir_broker::segments::Sizes;
use weir_broker::space::{Space, Usage};
use weir_broker::tables::hub::{self, TableHub};
use weir_log::{BlockReader, Pos, ReadError, Segment, SegmentIndex};
use weir_raft::{NodeConfig, WalConfig};
use weir_sim::{Rng, Site};
use weir_tables::Budget;

/// Small enough that files are moved early for it.
const INDEX_BYTES: usize = 16 << 10;
const TAIL_BYTES: usize = 6 << 10;
const SIZES: Sizes = Sizes {
    own_file_bytes: 6 << 10,
    shared_file_bytes: 12 << 10,
    segment_bytes: 16 << 10,
};
/// Where the rows of tables would lie.
pub const NOWHERE: &str = "/nowhere";
/// Settings of the broker, so that all that is done in the background is done often.
const SETTINGS: &[(&str, &str)] = &[
    ("log.retention.check.interval.ms", "700"),
    ("log.cleaner.backoff.ms", "900"),
    // Some keys at a time, so that compaction takes several passes.
    ("log.cleaner.dedupe.buffer.size", "400"),
];

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

pub struct SiteRandom(pub Arc<Rng>);

impl Random for SiteRandom {
    fn next_u64(&self) -> u64 {
        weir_raft::Random::next(&*self.0)
    }
}

pub struct DecisionEnv {
    pub clock: Arc<WallClock>,
    pub random: Arc<dyn Random>,
}

impl MetaEnv for DecisionEnv {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn random_uuid(&self) -> Uuid {
        self.random.uuid()
    }
}

/// Reads what is durable. A read of what is not written yet would wait for it, and here for ever.
pub struct Durable(pub Arc<DataPlane>);

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

pub fn settings() -> Configs {
    let settings = SETTINGS.iter();
    settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub async fn open(
    site: &Site,
    wal: WalConfig,
    (clock, random, metrics): (&Arc<WallClock>, &Arc<dyn Random>, &Arc<Metrics>),
) -> Result<DataPlane, String> {
    let surroundings = Surroundings {
        clock: clock.clone(),
        random: random.clone(),
        metrics: metrics.clone(),
        tail_bytes: TAIL_BYTES,
        index_budget_bytes: INDEX_BYTES,
    };
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
    let observer = Arc::new(WalMetrics(metrics.clone()));
    let opened = DataPlane::open(config, site.env.clone(), observer, surroundings);
    opened.await.map_err(|error| error.to_string())
}

/// There are no tables, so nothing is ever opened.
pub fn tables(plane: &DataPlane, meta: &Arc<Meta>, schemas: &Arc<SchemaFold>) -> Arc<TableHub> {
    Arc::new(TableHub::new(hub::Parts {
        dir: NOWHERE.into(),
        budget: Budget::new(1 << 20, 1 << 20),
        meta: meta.clone(),
        partitions: plane.partitions.clone(),
        schemas: schemas.clone(),
        blocks: plane.blocks.clone(),
    }))
}

pub fn space(plane: &DataPlane, metrics: &Metrics) -> Arc<Space> {
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
