//! One thread per shard that folds the committed batches of its table partitions into rows.
//!
//! The thread starts with the shard's first table and sleeps while nothing is committed. A reader takes the
//! high watermark at its arrival and waits until the fold has reached it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use uuid::Uuid;
use weir_tables::{FoldError, StoreError, Table, TableId, Tables};

mod sightings;
#[cfg(test)]
mod tests;

use sightings::Sightings;

/// Bytes of committed batches that one fold takes, so that every bucket has its turn.
const READ_BYTES: usize = 1 << 20;
/// How long a fold that failed is left alone.
const RETRY: Duration = Duration::from_millis(100);

/// Where committed batches come from.
pub trait FoldSource: Send + Sync + 'static {
    /// The first offset that is there; `None` while this node has no such partition.
    fn log_start(&self, topic_id: Uuid, partition: u32) -> Option<i64>;

    /// End of what is committed and stable, exclusive; `None` while this node has no such partition.
    fn high_watermark(&self, topic_id: Uuid, partition: u32) -> Option<i64>;

    /// Whether the partition's records were replaced, since this was last asked, by those of a replica that had
    /// compacted them further: rows may be there whose tombstones are not.
    fn take_replaced(&self, _topic_id: Uuid, _partition: u32) -> bool {
        false
    }

    /// The rows are again what the records come to, on disk, too.
    fn folded_again(&self, _topic_id: Uuid, _partition: u32) {}

    /// Whole batches from the one that contains `from` on; at least one where there is one, and none from
    /// the high watermark on. Blocks.
    fn read(
        &self,
        topic_id: Uuid,
        partition: u32,
        from: i64,
        max_bytes: usize,
    ) -> io::Result<Vec<Bytes>>;
}

/// A reader waits for a bucket that is not folded here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WaitError {
    #[error("partition {bucket} of table {table} is not folded on this node")]
    NotHere { table: TableId, bucket: u32 },
}

/// Folds the tables of one shard.
pub struct Folder {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    tables: Arc<Tables>,
    source: Arc<dyn FoldSource>,
    buckets: Mutex<BTreeMap<(TableId, u32), Arc<Bucket>>>,
    /// Tables whose rows are to go.
    dropped: Mutex<Vec<TableId>>,
    /// Told when there may be something to fold.
    work: Arc<Notify>,
    stop: AtomicBool,
}

struct Bucket {
    table: Arc<Table>,
    bucket: u32,
    /// The next offset to fold. Only grows, unless all is folded again.
    applied: AtomicI64,
    /// Who waits for which applied offset.
    waiters: Mutex<Vec<(i64, oneshot::Sender<()>)>>,
    sightings: Mutex<Sightings>,
    /// Why the last fold failed.
    fault: Mutex<Option<String>>,
    /// Its rows are to go,
    stale: AtomicBool,
    /// and it is folded from the start again.
    again: AtomicBool,
}

/// How far a bucket's rows are behind its log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lag {
    pub table: Arc<str>,
    pub partition: u32,
    pub records: i64,
    /// How long the first of them has been there.
    pub time: Duration,
    /// Why the last fold failed.
    pub fault: Option<String>,
}

impl Folder {
    pub fn new(tables: Arc<Tables>, source: Arc<dyn FoldSource>) -> Self {
        let shared = Shared {
            tables,
            source,
            buckets: Mutex::default(),
            dropped: Mutex::default(),
            work: Arc::default(),
            stop: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            thread: Mutex::new(None),
        }
    }

    pub fn tables(&self) -> &Arc<Tables> {
        &self.shared.tables
    }

    /// Begins, or goes on, to fold a partition. A table whose definition has changed is attached again.
    pub fn attach(&self, table: Arc<Table>, bucket: u32) -> Result<(), StoreError> {
        let id = table.def().table_id;
        let applied = self.shared.tables.bucket_state(id, bucket)?.applied;
        let attached = Bucket {
            table,
            bucket,
            applied: AtomicI64::new(applied),
            waiters: Mutex::default(),
            sightings: Mutex::default(),
            fault: Mutex::default(),
            stale: AtomicBool::new(false),
            again: AtomicBool::new(false),
        };
        self.shared
            .buckets
            .lock()
            .insert((id, bucket), Arc::new(attached));
        self.start();
        self.shared.work.notify_one();
        Ok(())
    }

    /// Ends the folding of a table and drops its rows, soon.
    pub fn drop_table(&self, table: TableId) {
        self.shared.buckets.lock().retain(|(id, _), _| *id != table);
        self.shared.dropped.lock().push(table);
        self.shared.work.notify_one();
    }

    /// To be told when something was committed. Cheap, and may be told by the thread that applies.
    pub fn work(&self) -> &Arc<Notify> {
        &self.shared.work
    }

    /// Returns when every record below `offset` is in the rows.
    pub async fn wait_applied(
        &self,
        table: TableId,
        bucket: u32,
        offset: i64,
    ) -> Result<(), WaitError> {
        let not_here = WaitError::NotHere { table, bucket };
        loop {
            let found = self.shared.buckets.lock().get(&(table, bucket)).cloned();
            let folded = found.ok_or_else(|| not_here.clone())?;
            let Some(waiting) = folded.wait_for(offset) else {
                return Ok(());
            };
            drop(folded);
            // An error means that the bucket was attached again or went.
            if waiting.await.is_ok() {
                return Ok(());
            }
        }
    }

    /// The next offset to fold; `None` for a bucket that is not folded here.
    pub fn applied(&self, table: TableId, bucket: u32) -> Option<i64> {
        let buckets = self.shared.buckets.lock();
        Some(
            buckets
                .get(&(table, bucket))?
                .applied
                .load(Ordering::SeqCst),
        )
    }

    /// Records of a bucket that are committed and not in its rows.
    pub fn behind(&self, table: TableId, bucket: u32) -> i64 {
        let found = self.shared.buckets.lock().get(&(table, bucket)).cloned();
        found
            .and_then(|bucket| self.shared.behind(&bucket))
            .unwrap_or(0)
    }

    /// How far each bucket is behind, in order of table and partition.
    pub fn lags(&self) -> Vec<Lag> {
        let buckets: Vec<Arc<Bucket>> = self.shared.buckets.lock().values().cloned().collect();
        let lag = |bucket: Arc<Bucket>| {
            let records = self.shared.behind(&bucket).unwrap_or(0);
            let applied = bucket.applied.load(Ordering::SeqCst);
            let since = bucket.sightings.lock().since(applied);
            Lag {
                table: bucket.table.def().topic.as_str().into(),
                partition: bucket.bucket,
                records,
                time: since.map_or(Duration::ZERO, |since| since.elapsed()),
                fault: bucket.fault.lock().clone(),
            }
        };
        buckets.into_iter().map(lag).collect()
    }

    /// Ends the thread after the fold it is at, and writes the rows to disk.
    pub fn shutdown(&self) -> Result<(), StoreError> {
        self.stop();
        self.shared.tables.flush()
    }

    /// Ends the thread after the fold it is at. Blocks.
    fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let thread = self.thread.lock().take();
        self.shared.work.notify_one();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that folds tables has panicked");
        }
    }

    fn start(&self) {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let shared = self.shared.clone();
            let spawned = std::thread::Builder::new()
                .name("fold".into())
                .spawn(move || shared.run());
            *thread = Some(spawned.expect("the system has a thread for the tables"));
        }
    }
}

impl Drop for Folder {
    /// Not left to itself: RocksDB must not be closed by a thread that outlives the process's end.
    fn drop(&mut self) {
        self.stop();
    }
}

impl Bucket {
    /// Something to await until `offset` is applied; `None` where it is.
    fn wait_for(&self, offset: i64) -> Option<oneshot::Receiver<()>> {
        if self.applied.load(Ordering::SeqCst) >= offset {
            return None;
        }
        let mut waiters = self.waiters.lock();
        // Looked at again under the lock, which the folding thread takes after it has moved the offset.
        if self.applied.load(Ordering::SeqCst) >= offset {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        waiters.push((offset, sender));
        Some(receiver)
    }

    fn advance(&self, applied: i64) {
        self.applied.store(applied, Ordering::SeqCst);
        let mut waiters = self.waiters.lock();
        for (_, waiter) in waiters.extract_if(.., |(offset, _)| *offset <= applied) {
            // A reader that has gone needs no word.
            let _ = waiter.send(());
        }
    }
}

impl Shared {
    fn run(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            self.drop_tables();
            match self.fold_each() {
                Turn::More => {}
                Turn::CaughtUp => futures::executor::block_on(self.work.notified()),
                Turn::Failed => std::thread::park_timeout(RETRY),
            }
        }
    }

    /// Folds one helping of every bucket.
    fn fold_each(&self) -> Turn {
        let buckets: Vec<Arc<Bucket>> = self.buckets.lock().values().cloned().collect();
        let mut turn = Turn::CaughtUp;
        for bucket in buckets {
            let one = self.fold(&bucket).unwrap_or_else(|fault| {
                bucket.note(fault);
                Turn::Failed
            });
            turn = turn.max(one);
        }
        turn
    }

    fn drop_tables(&self) {
        for table in std::mem::take(&mut *self.dropped.lock()) {
            if let Err(error) = self.tables.drop_table(table) {
                // The id is never used again, and what is left goes at the next start.
                tracing::warn!(table = table.0, %error, "the rows of a dropped table are still there");
            }
        }
    }

    /// Folds one helping of a bucket.
    fn fold(&self, bucket: &Bucket) -> Result<Turn, Fault> {
        let topic = bucket.table.def().topic_id;
        if self.source.take_replaced(topic, bucket.bucket) {
            bucket.stale.store(true, Ordering::SeqCst);
        }
        if bucket.stale.load(Ordering::SeqCst) {
            let table = bucket.table.def().table_id;
            self.tables.drop_bucket(table, bucket.bucket)?;
            bucket.applied.store(0, Ordering::SeqCst);
            bucket.stale.store(false, Ordering::SeqCst);
            bucket.again.store(true, Ordering::SeqCst);
        }
        let behind = self.behind(bucket).unwrap_or(0);
        let from = bucket.applied.load(Ordering::SeqCst);
        let mut sightings = bucket.sightings.lock();
        sightings.note(from + behind, from, Instant::now());
        drop(sightings);
        if behind <= 0 {
            if bucket.again.swap(false, Ordering::SeqCst) {
                self.tables.flush()?;
                self.source.folded_again(topic, bucket.bucket);
            }
            return Ok(Turn::CaughtUp);
        }
        let batches =
            self.source
                .read(bucket.table.def().topic_id, bucket.bucket, from, READ_BYTES)?;
        let folded = self
            .tables
            .fold(&bucket.table, bucket.bucket, from, &batches)?;
        *bucket.fault.lock() = None;
        if folded.applied == from {
            return Err(Fault::Nothing { from });
        }
        bucket.advance(folded.applied);
        // The next turn finds out whether that was all.
        Ok(Turn::More)
    }

    /// Records that are committed and not in the rows.
    fn behind(&self, bucket: &Bucket) -> Option<i64> {
        let high_watermark = self
            .source
            .high_watermark(bucket.table.def().topic_id, bucket.bucket)?;
        // After a restart the rows may be ahead of the log, and wait for it.
        Some((high_watermark - bucket.applied.load(Ordering::SeqCst)).max(0))
    }
}

/// What is to be done after a helping, the most urgent last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    CaughtUp,
    Failed,
    More,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("committed batches cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Fold(#[from] FoldError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("nothing was read at offset {from}, though more is committed")]
    Nothing { from: i64 },
}

impl Bucket {
    /// Keeps the fault for whoever asks, and says it once.
    fn note(&self, fault: Fault) {
        let text = fault.to_string();
        let mut last = self.fault.lock();
        if last.as_ref() != Some(&text) {
            let table = &self.table.def().topic;
            tracing::warn!(
                table,
                partition = self.bucket,
                fault = text,
                "rows wait; the fold is tried again"
            );
            *last = Some(text);
        }
    }
}
