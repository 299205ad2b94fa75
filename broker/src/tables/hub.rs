//! This node's tables: which topics are tables is the metadata's, and their rows are in the shards' stores.
//!
//! `sync` brings the two together. It runs when the metadata or the partitions of this node have changed,
//! and when a request names a table that is not here yet.
//!
//! A partition that moves from shard to shard is folded by both while both carry it: by the one that it comes to from the
//! first record that arrives. The rows go with the replica, and what is left of them after a crash goes once the metadata
//! does not name the shard for it either.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_log::BlockReader;
use weir_raft::ShardId;
use weir_tables::{Budget, Schemas, StoreError, Table, TableDef, TableDesign, TableId, Tables};

use super::OpenTable;
use super::design::candidates;
use super::fold::{Folder, Lag, Rows};
use super::source::PartitionSource;
use crate::meta::{Meta, Topic};
use crate::partition::Partition;
use crate::shard::entry::PartitionId;
use crate::shard::host::Partitions;

pub struct TableHub {
    dir: PathBuf,
    budget: Budget,
    meta: Arc<Meta>,
    partitions: Arc<Partitions>,
    schemas: Arc<dyn Schemas>,
    blocks: Arc<dyn BlockReader + Send + Sync>,
    /// By shard.
    folders: Mutex<BTreeMap<u64, Arc<Folder>>>,
    /// By topic.
    tables: RwLock<BTreeMap<Uuid, Arc<TableHere>>>,
    /// What there are rows of. Held while `sync` runs.
    held: Mutex<Held>,
}

/// A bucket in a shard: shard, table, bucket.
type Place = (u64, TableId, u32);
/// Buckets that have rows here, with the replica that they are folded from; none while that is not there.
type Held = BTreeMap<Place, Option<Arc<Partition>>>;

/// What the hub is made of.
pub struct Parts {
    /// Holds a directory for each shard that has tables.
    pub dir: PathBuf,
    pub budget: Budget,
    pub meta: Arc<Meta>,
    pub partitions: Arc<Partitions>,
    pub schemas: Arc<dyn Schemas>,
    pub blocks: Arc<dyn BlockReader + Send + Sync>,
}

/// A table as this node knows it, whether it has rows of it or not.
pub struct TableHere {
    pub table: Arc<Table>,
    /// A change of the table's partitioners is on its way.
    narrowing: AtomicBool,
}

impl TableHere {
    pub fn name(&self) -> &str {
        &self.table.def().topic
    }

    /// Whether the caller shall narrow the table's partitioners; others are at it where not.
    pub fn begin_narrowing(&self) -> bool {
        !self.narrowing.swap(true, Ordering::AcqRel)
    }

    pub fn end_narrowing(&self) {
        self.narrowing.store(false, Ordering::Release);
    }

    /// As one request sees it. `None` where the metadata has no partitioners for it.
    pub fn open(&self, topic: &Topic) -> Option<OpenTable> {
        Some(OpenTable {
            table: self.table.clone(),
            candidates: candidates(topic.partitioners?)?,
        })
    }
}

/// Where the rows of a shard's tables are.
pub fn shard_dir(tables: &Path, shard: u64) -> PathBuf {
    tables.join(format!("shard-{shard}"))
}

/// Why a topic that is a table is not one here.
#[derive(Debug, thiserror::Error)]
enum NotHere {
    #[error("its definition cannot be read: {0}")]
    Definition(#[from] serde_json::Error),
    #[error(transparent)]
    KeySchema(#[from] weir_tables::KeySchemaError),
}

impl TableHub {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            dir,
            budget,
            meta,
            partitions,
            schemas,
            blocks,
        } = parts;
        Self {
            dir,
            budget,
            meta,
            partitions,
            schemas,
            blocks,
            folders: Mutex::default(),
            tables: RwLock::default(),
            held: Mutex::default(),
        }
    }

    /// Opens what earlier runs left, and drops rows of what is not here any more. Blocks.
    pub fn recover(&self, shards: impl IntoIterator<Item = u64>) -> Result<(), StoreError> {
        let wanted = self.wanted(&self.topics());
        for shard in shards
            .into_iter()
            .filter(|shard| self.shard_dir(*shard).exists())
        {
            let folder = self.folder(shard)?;
            let is_wanted = |table, bucket| wanted.contains_key(&(shard, table, bucket));
            let residue = folder.tables().retain(is_wanted)?;
            if !residue.is_empty() {
                tracing::info!(
                    shard,
                    count = residue.len(),
                    "rows of partitions that are not here any more are gone"
                );
            }
            let left = folder.tables().stored_buckets()?.into_iter();
            let left = left.map(|(table, bucket)| ((shard, table, bucket), None));
            self.held.lock().extend(left);
        }
        self.sync();
        Ok(())
    }

    /// Keeps up with the metadata and the partitions until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (mut meta, mut partitions) = (self.meta.changed(), self.partitions.watch());
        loop {
            meta.borrow_and_update();
            partitions.borrow_and_update();
            let hub = self.clone();
            if tokio::task::spawn_blocking(move || hub.sync())
                .await
                .is_err()
            {
                tracing::error!("bringing the tables up to date has panicked");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = meta.changed() => if changed.is_err() { return },
                changed = partitions.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Begins to fold what has come, and drops the rows of what went. Blocks.
    pub fn sync(&self) {
        let mut held = self.held.lock();
        let topics = self.topics();
        self.know(&topics);
        let wanted = self.wanted(&topics);
        held.retain(|place, replica| {
            let stays = wanted.contains_key(place);
            if !stays {
                self.drop_rows(*place, replica.take());
            }
            stays
        });
        for (place, replica) in wanted {
            let Some(replica) = replica.filter(|one| self.get(one.id.topic).is_some()) else {
                continue;
            };
            let before = held.get(&place).and_then(Option::as_ref);
            if before.is_some_and(|before| Arc::ptr_eq(before, &replica)) {
                continue;
            }
            match self.fold_from(place, &replica) {
                Ok(()) => {
                    self.forget(place.0, held.insert(place, Some(replica)).flatten());
                }
                Err(error) => {
                    let PartitionId { topic, index } = replica.id;
                    tracing::error!(%topic, index, %error, "the rows of a partition are not served");
                }
            }
        }
    }

    /// Makes the tables those of the metadata.
    fn know(&self, topics: &[Arc<Topic>]) {
        let here = self.tables.read().clone();
        let mut now = BTreeMap::new();
        for topic in topics {
            let table = match here.get(&topic.id) {
                Some(known) => Ok(known.clone()),
                None => self.begin(topic).map(Arc::new),
            };
            match table {
                Ok(table) => {
                    now.insert(topic.id, table);
                }
                Err(error) => {
                    tracing::error!(table = &*topic.name, %error, "a table is not served")
                }
            }
        }
        *self.tables.write() = now;
    }

    fn begin(&self, topic: &Topic) -> Result<TableHere, NotHere> {
        let design = topic.table.clone().unwrap_or_default();
        let design: TableDesign = serde_json::from_value(design)?;
        let count = topic.partition_count().unsigned_abs();
        let def = TableDef::new(topic.id, &*topic.name, count, design);
        Ok(TableHere {
            table: Arc::new(Table::new(def, self.schemas.clone())?),
            narrowing: AtomicBool::new(false),
        })
    }

    /// Where buckets of these tables are: in shards here that carry them, and in those that the metadata names.
    fn wanted(&self, topics: &[Arc<Topic>]) -> Held {
        let mut wanted = Held::new();
        for topic in topics {
            let table = TableId::of_topic(topic.id);
            for (bucket, place) in (0..).zip(&topic.partitions) {
                wanted.insert((place.shard, table, bucket), None);
            }
            for (index, going) in &topic.moves {
                wanted.insert((going.to, table, index.unsigned_abs()), None);
            }
            for index in 0..topic.partition_count() {
                let topic = topic.id;
                for replica in self.partitions.replicas(PartitionId { topic, index }) {
                    let place = (replica.shard.id.0, table, index.unsigned_abs());
                    wanted.insert(place, Some(replica));
                }
            }
        }
        wanted
    }

    /// Begins to fold a replica of a bucket, in the place of the one before it in the same shard.
    fn fold_from(
        &self,
        (shard, _, bucket): Place,
        replica: &Arc<Partition>,
    ) -> Result<(), StoreError> {
        let Some(here) = self.get(replica.id.topic) else {
            return Ok(());
        };
        let folder = self.folder(shard)?;
        replica.watch(folder.work());
        let source = PartitionSource {
            partition: replica.clone(),
            blocks: self.blocks.clone(),
        };
        let (table, source) = (here.table.clone(), Arc::new(source));
        folder.attach(table, bucket, replica.stay, source)
    }

    fn drop_rows(&self, (shard, table, bucket): Place, replica: Option<Arc<Partition>>) {
        self.forget(shard, replica);
        match self.folder(shard) {
            Ok(folder) => folder.drop_bucket(table, bucket),
            Err(error) => {
                tracing::warn!(shard, %error, "rows of a partition that has left are still there")
            }
        }
    }

    /// Nothing is folded from a replica any more.
    fn forget(&self, shard: u64, replica: Option<Arc<Partition>>) {
        if let (Some(replica), Ok(folder)) = (replica, self.folder(shard)) {
            replica.forget(folder.work());
        }
    }

    /// The rows that are folded from a replica, which may be behind it.
    pub fn rows(&self, replica: &Partition) -> Option<Rows> {
        let folder = self.folders.lock().get(&replica.shard.id.0)?.clone();
        let table = TableId::of_topic(replica.id.topic);
        folder.rows(table, replica.id.index.unsigned_abs(), replica.stay)
    }

    /// The rows of the replica that is served here.
    pub fn served_rows(&self, table: &Table, bucket: u32) -> Option<Rows> {
        let (topic, index) = (table.def().topic_id, i32::try_from(bucket).ok()?);
        let served = self.partitions.get(PartitionId { topic, index })?;
        self.rows(&served)
    }

    /// Records that a shard has of a partition and its rows have not; 0 for what is no table.
    pub fn behind(&self, shard: ShardId, id: PartitionId) -> i64 {
        if self.get(id.topic).is_none() {
            return 0;
        }
        let Some(replica) = self.partitions.get_in(shard, id) else {
            return 0;
        };
        let rows = self.rows(&replica);
        rows.map_or_else(|| replica.high_watermark(), |rows| rows.behind())
    }

    /// The topics that are tables, by name.
    fn topics(&self) -> Vec<Arc<Topic>> {
        let state = self.meta.read();
        state
            .topics()
            .iter()
            .filter(|topic| topic.table.is_some())
            .cloned()
            .collect()
    }

    fn folder(&self, shard: u64) -> Result<Arc<Folder>, StoreError> {
        let mut folders = self.folders.lock();
        if let Some(folder) = folders.get(&shard) {
            return Ok(folder.clone());
        }
        let tables = Tables::open(self.shard_dir(shard), self.budget.clone())?;
        let folder = Arc::new(Folder::new(Arc::new(tables)));
        folders.insert(shard, folder.clone());
        Ok(folder)
    }

    fn shard_dir(&self, shard: u64) -> PathBuf {
        shard_dir(&self.dir, shard)
    }

    /// The table of a topic, where it is here.
    pub fn get(&self, topic_id: Uuid) -> Option<Arc<TableHere>> {
        self.tables.read().get(&topic_id).cloned()
    }

    /// The table of a topic, begun where nobody has asked for it before.
    pub async fn find(self: &Arc<Self>, topic_id: Uuid) -> Option<Arc<TableHere>> {
        if let Some(here) = self.get(topic_id) {
            return Some(here);
        }
        let hub = self.clone();
        tokio::task::spawn_blocking(move || hub.sync()).await.ok()?;
        self.get(topic_id)
    }

    pub fn schemas(&self) -> &Arc<dyn Schemas> {
        &self.schemas
    }

    /// How far each bucket is behind its log.
    pub fn lags(&self) -> Vec<Lag> {
        let folders: Vec<Arc<Folder>> = self.folders.lock().values().cloned().collect();
        folders.iter().flat_map(|folder| folder.lags()).collect()
    }

    /// Ends the folding and writes the rows to disk. Blocks.
    pub fn shutdown(&self) {
        for (shard, folder) in self.folders.lock().iter() {
            if let Err(error) = folder.shutdown() {
                tracing::warn!(shard, %error, "rows were not flushed; they are folded again");
            }
        }
    }
}

#[cfg(test)]
mod tests;
