//! This node's tables: which topics are tables is the metadata's, and their rows are in the shards' stores.
//!
//! `sync` brings the two together. It runs when the metadata or the partitions of this node have changed,
//! and when a request names a table that is not here yet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_tables::{Budget, Schemas, StoreError, Table, TableDef, TableDesign, TableId, Tables};

use super::OpenTable;
use super::design::candidates;
use super::fold::{FoldSource, Folder, Lag};
use crate::meta::{Meta, Topic};
use crate::shard::entry::PartitionId;
use crate::shard::host::Partitions;

pub struct TableHub {
    dir: PathBuf,
    budget: Budget,
    meta: Arc<Meta>,
    partitions: Arc<Partitions>,
    schemas: Arc<dyn Schemas>,
    source: Arc<dyn FoldSource>,
    /// By shard.
    folders: Mutex<BTreeMap<u64, Arc<Folder>>>,
    /// By topic.
    tables: RwLock<BTreeMap<Uuid, Arc<TableHere>>>,
    /// Held while `sync` runs.
    syncing: Mutex<()>,
}

/// What the hub is made of.
pub struct Parts {
    /// Holds a directory for each shard that has tables.
    pub dir: PathBuf,
    pub budget: Budget,
    pub meta: Arc<Meta>,
    pub partitions: Arc<Partitions>,
    pub schemas: Arc<dyn Schemas>,
    pub source: Arc<dyn FoldSource>,
}

/// A table on this node.
pub struct TableHere {
    pub table: Arc<Table>,
    stores: Arc<[Arc<Tables>]>,
    /// By bucket.
    folders: Vec<Arc<Folder>>,
    /// A change of the table's partitioners is on its way.
    narrowing: AtomicBool,
}

impl TableHere {
    pub fn folder(&self, bucket: u32) -> &Folder {
        &self.folders[bucket as usize]
    }

    pub fn name(&self) -> &str {
        &self.table.def().topic
    }

    /// The store that holds a bucket's rows.
    pub fn store(&self, bucket: u32) -> &Arc<Tables> {
        &self.stores[bucket as usize]
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
            stores: self.stores.clone(),
        })
    }
}

/// Where the rows of a shard's tables are.
pub fn shard_dir(tables: &Path, shard: u64) -> PathBuf {
    tables.join(format!("shard-{shard}"))
}

/// Why a topic that is a table is not one here yet.
#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error("partition {0} is not attached")]
    Partition(i32),
    #[error("its definition cannot be read: {0}")]
    Definition(#[from] serde_json::Error),
    #[error(transparent)]
    KeySchema(#[from] weir_tables::KeySchemaError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TableHub {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            dir,
            budget,
            meta,
            partitions,
            schemas,
            source,
        } = parts;
        Self {
            dir,
            budget,
            meta,
            partitions,
            schemas,
            source,
            folders: Mutex::default(),
            tables: RwLock::default(),
            syncing: Mutex::default(),
        }
    }

    /// Opens what earlier runs left, and drops the rows of topics that are no more. Blocks.
    pub fn recover(&self, shards: impl IntoIterator<Item = u64>) -> Result<(), StoreError> {
        let live: BTreeSet<TableId> = self
            .topics()
            .iter()
            .map(|topic| TableId::of_topic(topic.id))
            .collect();
        for shard in shards
            .into_iter()
            .filter(|shard| self.shard_dir(*shard).exists())
        {
            let residue = self.folder(shard)?.tables().retain(&live)?;
            if !residue.is_empty() {
                tracing::info!(
                    shard,
                    count = residue.len(),
                    "rows of dropped tables are gone"
                );
            }
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

    /// Begins to fold new tables, and drops the rows of those that went. Blocks.
    pub fn sync(&self) {
        let _syncing = self.syncing.lock();
        let topics = self.topics();
        let here = self.tables.read().clone();
        for topic in topics.iter().filter(|topic| !here.contains_key(&topic.id)) {
            match self.begin(topic) {
                Ok(begun) => {
                    self.tables.write().insert(topic.id, Arc::new(begun));
                }
                Err(NotYet::Partition(_)) => {}
                Err(error) => {
                    tracing::error!(table = &*topic.name, %error, "a table is not served")
                }
            }
        }
        let live: BTreeSet<Uuid> = topics.iter().map(|topic| topic.id).collect();
        for (id, gone) in here.iter().filter(|(id, _)| !live.contains(id)) {
            self.tables.write().remove(id);
            let table = gone.table.def().table_id;
            let mut dropped: Vec<*const Folder> = Vec::new();
            for folder in &gone.folders {
                if !dropped.contains(&Arc::as_ptr(folder)) {
                    dropped.push(Arc::as_ptr(folder));
                    folder.drop_table(table);
                }
            }
        }
    }

    fn begin(&self, topic: &Topic) -> Result<TableHere, NotYet> {
        let design = topic.table.clone().unwrap_or_default();
        let design: TableDesign = serde_json::from_value(design)?;
        let count = topic.partition_count().unsigned_abs();
        let def = TableDef::new(topic.id, &*topic.name, count, design);
        let table = Arc::new(Table::new(def, self.schemas.clone())?);
        let mut attached = Vec::new();
        for (index, place) in (0..).zip(&topic.partitions) {
            let id = PartitionId {
                topic: topic.id,
                index,
            };
            let partition = self.partitions.get(id).ok_or(NotYet::Partition(index))?;
            attached.push((partition, self.folder(place.shard)?));
        }
        for (bucket, (partition, folder)) in (0..).zip(&attached) {
            partition.watch(folder.work());
            folder.attach(table.clone(), bucket)?;
        }
        let folders: Vec<Arc<Folder>> = attached.into_iter().map(|(_, folder)| folder).collect();
        let stores = folders
            .iter()
            .map(|folder| folder.tables().clone())
            .collect();
        Ok(TableHere {
            table,
            stores,
            folders,
            narrowing: AtomicBool::new(false),
        })
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
        let folder = Arc::new(Folder::new(Arc::new(tables), self.source.clone()));
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
