//! One thread per shard that folds the committed batches of its table partitions into rows.
//!
//! The thread starts with the shard's first table and sleeps while nothing is committed. A reader takes the
//! high watermark at its arrival and waits until the fold has reached it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use weir_tables::{FoldError, StoreError, Table, TableId, Tables};

mod sightings;
#[cfg(test)]
mod tests;

use sightings::Sightings;

/// Bytes of committed batches that one fold takes, so that every bucket has its turn.
const READ_BYTES: usize = 1 << 20;
/// How long a fold that failed is left alone.
const RETRY: Duration = Duration::from_millis(100);

/// A partition that committed batches come from.
pub trait FoldSource: Send + Sync + 'static {
    /// The first offset that is there.
    fn log_start(&self) -> i64;

    /// End of what is committed and stable, exclusive.
    fn high_watermark(&self) -> i64;

    /// Whether the partition's records were replaced, since this was last asked, by those of a replica that had
    /// compacted them further: rows may be there whose tombstones are not.
    fn take_replaced(&self) -> bool {
        false
    }

    /// The rows are again what the records come to, on disk, too.
    fn folded_again(&self) {}

    /// Whole batches from the one that contains `from` on, or else from the first one; at least one where there is one,
    /// and none from the high watermark on. Blocks.
    fn read(&self, from: i64, max_bytes: usize) -> io::Result<Vec<Bytes>>;
}

/// Folds the tables of one shard.
pub struct Folder {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    tables: Arc<Tables>,
    buckets: Mutex<BTreeMap<(TableId, u32), Arc<Bucket>>>,
    /// Buckets whose rows are to go. Held while they do.
    dropped: Mutex<BTreeSet<(TableId, u32)>>,
    /// Told when there may be something to fold.
    work: Arc<Notify>,
    stop: AtomicBool,
}

struct Bucket {
    table: Arc<Table>,
    bucket: u32,
    /// Which stay of the partition in this shard its rows are of.
    stay: u64,
    source: Mutex<Arc<dyn FoldSource>>,
    /// The next offset to fold. Only grows, unless all is folded again.
    applied: AtomicI64,
    /// How many times its rows have gone; counted before they do.
    gone: Arc<AtomicU64>,
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

/// The rows of one bucket, for one reader.
#[derive(Clone)]
pub struct Rows {
    tables: Arc<Tables>,
    bucket: Arc<Bucket>,
    gone: Gone,
}

/// Whether rows have gone since a reader came: then what it has read may lack some.
#[derive(Clone, Debug, Default)]
pub struct Gone {
    times: Arc<AtomicU64>,
    before: u64,
}

impl Gone {
    pub fn has(&self) -> bool {
        self.times.load(Ordering::SeqCst) != self.before
    }
}

impl Rows {
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    pub fn gone(&self) -> &Gone {
        &self.gone
    }

    /// Records that are committed and not in the rows.
    pub fn behind(&self) -> i64 {
        self.bucket.behind()
    }

    /// Returns when every record below `offset` is in the rows, or they have gone.
    pub async fn wait_applied(&self, offset: i64) {
        while let Some(waiting) = self.bucket.wait_for(offset) {
            // Who begins to wait after they went is not told.
            if self.gone.has() || waiting.await.is_ok() {
                return;
            }
        }
    }
}

impl Folder {
    pub fn new(tables: Arc<Tables>) -> Self {
        let shared = Shared {
            tables,
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

    /// Begins, or goes on, to fold a partition, in the stay that it is here for; rows of an earlier one go.
    pub fn attach(
        &self,
        table: Arc<Table>,
        bucket: u32,
        stay: u64,
        source: Arc<dyn FoldSource>,
    ) -> Result<(), StoreError> {
        let key = (table.def().table_id, bucket);
        // While it is held nothing goes.
        let mut dropped = self.shared.dropped.lock();
        let here = self.shared.buckets.lock().get(&key).cloned();
        if let Some(here) = here.filter(|here| here.stay == stay) {
            *here.source.lock() = source;
        } else {
            let stored = self.shared.tables.bucket_state(key.0, bucket)?;
            let is_stale = dropped.remove(&key) || stored.stay != stay;
            let attached = Bucket {
                table,
                bucket,
                stay,
                source: Mutex::new(source),
                applied: AtomicI64::new(if is_stale { 0 } else { stored.applied }),
                gone: Arc::default(),
                waiters: Mutex::default(),
                sightings: Mutex::default(),
                fault: Mutex::default(),
                stale: AtomicBool::new(is_stale),
                again: AtomicBool::new(false),
            };
            let before = self.shared.buckets.lock().insert(key, Arc::new(attached));
            before.inspect(|before| before.goes());
        }
        drop(dropped);
        self.start();
        self.shared.work.notify_one();
        Ok(())
    }

    /// Ends the folding of a bucket and drops its rows, soon.
    pub fn drop_bucket(&self, table: TableId, bucket: u32) {
        let mut dropped = self.shared.dropped.lock();
        let attached = self.shared.buckets.lock().remove(&(table, bucket));
        attached.inspect(|attached| attached.goes());
        dropped.insert((table, bucket));
        drop(dropped);
        self.start();
        self.shared.work.notify_one();
    }

    /// To be told when something was committed. Cheap, and may be told by the thread that applies.
    pub fn work(&self) -> &Arc<Notify> {
        &self.shared.work
    }

    /// The rows of a bucket's stay; `None` where it is not folded here.
    pub fn rows(&self, table: TableId, bucket: u32, stay: u64) -> Option<Rows> {
        let buckets = self.shared.buckets.lock();
        let bucket = buckets.get(&(table, bucket)).cloned();
        let bucket = bucket.filter(|found| found.stay == stay)?;
        // While it cannot be taken out: a fold that is under way may yet advance it after that.
        let gone = Gone {
            times: bucket.gone.clone(),
            before: bucket.gone.load(Ordering::SeqCst),
        };
        Some(Rows {
            tables: self.shared.tables.clone(),
            bucket,
            gone,
        })
    }

    /// How far each bucket is behind, in order of table and partition.
    pub fn lags(&self) -> Vec<Lag> {
        let buckets: Vec<Arc<Bucket>> = self.shared.buckets.lock().values().cloned().collect();
        let lag = |bucket: Arc<Bucket>| {
            let records = bucket.behind();
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

    /// Its rows are about to go: who reads them is told, and nobody waits for them any more.
    fn goes(&self) {
        // In this order: who comes between them waits.
        self.applied.store(0, Ordering::SeqCst);
        self.gone.fetch_add(1, Ordering::SeqCst);
        self.waiters.lock().clear();
    }

    /// Records that are committed and not in the rows.
    fn behind(&self) -> i64 {
        let high_watermark = self.source.lock().high_watermark();
        // After a restart the rows may be ahead of the log, and wait for it.
        (high_watermark - self.applied.load(Ordering::SeqCst)).max(0)
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
            self.drop_buckets();
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

    fn drop_buckets(&self) {
        let mut dropped = self.dropped.lock();
        while let Some((table, bucket)) = dropped.pop_first() {
            if let Err(error) = self.tables.drop_bucket(table, bucket) {
                // They are of a stay that is over, and what is left goes at the next start.
                tracing::warn!(table = table.0, bucket, %error, "rows of a partition that has left are still there");
            }
        }
    }

    /// Folds one helping of a bucket.
    fn fold(&self, bucket: &Bucket) -> Result<Turn, Fault> {
        let source = bucket.source.lock().clone();
        if source.take_replaced() {
            bucket.goes();
            bucket.stale.store(true, Ordering::SeqCst);
        }
        if bucket.stale.load(Ordering::SeqCst) {
            let table = bucket.table.def().table_id;
            self.tables
                .begin_bucket(table, bucket.bucket, bucket.stay)?;
            bucket.stale.store(false, Ordering::SeqCst);
            bucket.again.store(true, Ordering::SeqCst);
        }
        let behind = bucket.behind();
        let from = bucket.applied.load(Ordering::SeqCst);
        let mut sightings = bucket.sightings.lock();
        sightings.note(from + behind, from, Instant::now());
        drop(sightings);
        if behind <= 0 {
            if bucket.again.swap(false, Ordering::SeqCst) {
                self.tables.flush()?;
                source.folded_again();
            }
            return Ok(Turn::CaughtUp);
        }
        let batches = source.read(from, READ_BYTES)?;
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
