//! Moves records from the oldest files of the write-ahead log into segment files, and gives the former back.
//!
//! A round, in this order, so that a crash anywhere leaves every record in at least one place that the
//! shards' snapshots and logs name:
//! 1. the sealed files whose entries every shard has applied, and every member of it holds, are chosen;
//! 2. what partitions still keep of them is read, checked, written to segment files and synced;
//! 3. the partitions' logs change over as their files are done, so that readers find the segments (a reader that was
//!    about to read the old place plans again);
//! 4. the shards' snapshots, which name the segments, are stored;
//! 5. the Raft logs forget the entries, and the files go back to the pool;
//! 6. segment files that no partition named before step 4 are deleted: no snapshot names them now.
//!
//! Snapshots are also stored whenever the write-ahead log goes on in a new file, beside the rounds, since a start replays
//! what came after them: about one file, however many are kept.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_log::segment::{OWNER_LEN, Owner};
use weir_log::{BlockReader, ReadError, ReadRequest, Segment, SegmentBuilder, SegmentFile};
use weir_raft::{Index, Threads, blocking, blocking_long};

use super::Sizes;
use super::files::{FileWriter, SegmentFiles};
use crate::metrics::Metrics;
use crate::partition::Partition;
use crate::planted::{self, Bug};
use crate::shard::entry::PartitionId;
use crate::shard::host::{Partitions, ShardHost};
use crate::shard::hosted::HostedShards;

/// How often the write-ahead log is looked at.
const CHECK: Duration = Duration::from_secs(1);
/// How long a round that failed is left alone.
const RETRY: Duration = Duration::from_secs(10);
/// The write-ahead log is busy when so many bytes are added between two looks.
const BUSY_BYTES: u64 = 64 << 20;
/// How much more of it a busy spell may add before records are moved in the middle of the spell.
const SPELL_BYTES: u64 = 2 << 30;
/// Files of the write-ahead log that one round takes at most.
const MAX_FILES: u64 = 4;
/// Bytes of records in memory at a time.
const READ_BYTES: usize = 1 << 20;

/// The last entry of a shard that every member is known to hold, but those that are not waited for any longer: nobody
/// has to be sent it again.
pub type HeldByAll = Arc<dyn Fn(&ShardHost) -> Option<Index> + Send + Sync>;

pub struct RetireParts {
    pub raft: weir_raft::Node,
    pub threads: Arc<dyn Threads>,
    pub shards: Arc<HostedShards>,
    pub partitions: Arc<Partitions>,
    pub files: Arc<SegmentFiles>,
    pub sizes: Sizes,
    pub blocks: Arc<dyn BlockReader + Send + Sync>,
    pub held_by_all: HeldByAll,
    /// Sealed files that stay in the write-ahead log.
    pub keep_files: u64,
    /// While it takes less, records move only when little is written.
    pub wait_below_bytes: u64,
    /// Past so much memory for where records lie in the write-ahead log, they move although its files would be kept.
    pub index_budget_bytes: usize,
    pub metrics: Arc<Metrics>,
}

/// A limit for [`RetireParts::wait_below_bytes`]: a spell beside what is kept, within half of the budget.
pub fn wait_below_bytes(kept_bytes: u64, budget_bytes: u64) -> u64 {
    (kept_bytes + SPELL_BYTES).min(budget_bytes / 2)
}

pub struct Retire {
    parts: RetireParts,
    /// The segment files that partitions named at the start, and what they are known to hold.
    named: BTreeMap<u64, u64>,
    stop: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
pub enum RetireError {
    #[error("records of partition {}-{} cannot be read: {source}", partition.topic, partition.index)]
    Read {
        partition: PartitionId,
        source: ReadError,
    },
    #[error("a segment file was not written: {0}")]
    Write(#[from] io::Error),
    #[error("records of partition {}-{} are still in them", .0.topic, .0.index)]
    Left(PartitionId),
    #[error("shard {shard} has no snapshot: {reason}")]
    Shard { shard: u64, reason: String },
    #[error("the node stops")]
    Stopped,
}

impl Retire {
    /// Comes when every shard with a history is here, since a file that no partition names is deleted, and before
    /// everything that makes segment files: a number that partitions name is not given again, though its file may be
    /// lost.
    pub fn new(parts: RetireParts, stop: CancellationToken) -> Retire {
        let mut retire = Retire {
            parts,
            named: BTreeMap::new(),
            stop,
        };
        for partition in retire.sorted() {
            for segment in partition.log.read().segments().iter() {
                let end = retire.named.entry(segment.file).or_default();
                *end = segment.end().max(*end);
            }
        }
        if let Some((newest, _)) = retire.named.last_key_value() {
            retire.parts.files.reserve(*newest);
        }
        let budget = retire.parts.index_budget_bytes;
        retire.parts.metrics.segments.set_index_budget(budget);
        retire
    }

    /// Runs until the node stops.
    pub async fn run(self: Arc<Self>) {
        let this = self.clone();
        let looking = blocking(&*self.parts.threads, move || this.report_lost());
        if let Err(error) = looking.await {
            tracing::error!(%error, "looking for lost segment files has failed");
        }
        tokio::join!(self.store_as_files_fill(), self.retire_files());
    }

    /// Stores snapshots whenever the write-ahead log goes on in a new file, also while a round takes its time.
    async fn store_as_files_fill(&self) {
        let (oldest, newest) = self.parts.raft.wal_files();
        // The newest file when snapshots were last stored.
        let mut stored_in = if oldest == newest { newest } else { 0 };
        while !self.stop.is_cancelled() {
            let (_, newest) = self.parts.raft.wal_files();
            if newest > stored_in {
                match self.store_snapshots(None, false).await {
                    Ok(()) => stored_in = newest,
                    Err(error) => {
                        tracing::warn!(%error, "a start would take longer than it has to")
                    }
                }
            }
            self.rest(CHECK).await;
        }
    }

    /// Runs one round after the other. One after a round that failed takes a single file: a full disk may have room for
    /// that.
    async fn retire_files(self: &Arc<Self>) {
        let mut before = self.parts.raft.wal_usage().live_bytes;
        let mut most_files = MAX_FILES;
        while !self.stop.is_cancelled() {
            let live = self.parts.raft.wal_usage().live_bytes;
            let busy = live.saturating_sub(before) > BUSY_BYTES;
            before = live;
            let early = self.is_index_large();
            let waits = !early && self.can_wait(live, busy);
            let round = if waits {
                Ok(false)
            } else {
                self.round(early, most_files).await
            };
            self.parts
                .metrics
                .segments
                .set_files(self.parts.files.totals());
            most_files = match round {
                Ok(_) => MAX_FILES,
                Err(_) => 1,
            };
            let pause = match round {
                Ok(true) => Duration::ZERO,
                Ok(false) => CHECK,
                Err(RetireError::Stopped) => return,
                Err(error) => {
                    tracing::error!(%error, "files of the write-ahead log are kept; this is tried again");
                    RETRY
                }
            };
            self.rest(pause).await;
        }
    }

    /// Whether files may stay until less is to be done. Most of what others lack becomes free at once, and moving it
    /// meanwhile would more than double the disk's work.
    fn can_wait(&self, live_bytes: u64, busy: bool) -> bool {
        let half = self.parts.raft.wal_usage().budget_bytes / 2;
        busy && live_bytes < self.parts.wait_below_bytes
            || self.parts.raft.gives() && live_bytes < half
    }

    /// Returns after so long, or when the node stops.
    async fn rest(&self, pause: Duration) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Says which segment files are missing, cut or exchanged: reads of what they held fail, all else is
    /// served. Before anything is deleted, so that what partitions named at the start is still to be there. Blocks.
    fn report_lost(&self) {
        for (number, end) in &self.named {
            if let Err(error) = self.parts.files.holds(*number, *end) {
                tracing::error!(
                    %error,
                    "a segment file is damaged, and reads of its records fail; restore it from a copy of the directory, \
                     then start weir again"
                );
            }
        }
    }

    /// Whether it takes more memory than it may to know where records lie in the write-ahead log.
    fn is_index_large(&self) -> bool {
        let shards = self.parts.shards.all();
        let bytes: usize = shards.iter().map(|shard| shard.index_bytes()).sum();
        bytes > self.parts.index_budget_bytes
    }

    /// Says whether there was something to do. A round is `early` when it runs for the index's memory.
    async fn round(self: &Arc<Self>, early: bool, most_files: u64) -> Result<bool, RetireError> {
        let started = Instant::now();
        let last_file = self.last_file(early, most_files);
        let (oldest, newest) = self.parts.raft.wal_files();
        if early && oldest == newest {
            // Small records fill the memory before they fill a file. Where one is full that a member still needs,
            // another would not go either.
            self.parts.raft.seal_wal()?;
        }
        if last_file.is_some() && planted::has(Bug::ManifestBeforeMove) {
            self.store_snapshots(last_file, true).await?;
        }
        let this = self.clone();
        let steps = blocking_long(&*self.parts.threads, move || {
            let moved = last_file.map(|last_file| this.move_up_to(last_file));
            Ok::<_, RetireError>((moved.transpose(), this.unnamed()?))
        });
        let (moved, unnamed) = steps.await??;
        // On a full disk nothing else may give room than what no partition names any more.
        let last_file = last_file.filter(|_| moved.is_ok());
        if last_file.is_none() && unnamed.is_empty() {
            return moved.map(|_| false);
        }
        if last_file.is_none() || !planted::has(Bug::ManifestBeforeMove) {
            self.store_snapshots(last_file, unnamed.is_empty()).await?;
        }
        if let (Some(last_file), Ok(Some(bytes))) = (last_file, &moved) {
            self.parts.raft.retire_wal(last_file).await?;
            let metrics = &self.parts.metrics.segments;
            metrics.retired(started.elapsed(), *bytes, early);
            tracing::debug!(last_file, "files of the write-ahead log were retired");
        }
        let files = self.parts.files.clone();
        let removed = blocking(&*self.parts.threads, move || files.remove(&unnamed));
        removed.await??;
        moved.map(|moved| moved.is_some())
    }

    /// The newest file that can be retired; `None` while there is none. Early on, one after the other until the
    /// memory suffices.
    fn last_file(&self, early: bool, most_files: u64) -> Option<u64> {
        let (oldest, newest) = self.parts.raft.wal_files();
        let (kept, most) = match early {
            true => (0, 1),
            false => (self.parts.keep_files, most_files),
        };
        let last = newest.checked_sub(1 + kept)?.min(oldest + most - 1);
        let shards = self.parts.shards.all();
        let is_done_with = |file: &u64| {
            shards.iter().all(|shard| {
                let raft = shard.raft();
                let index = raft.last_in_file(*file);
                index <= raft.applied() && index <= (self.parts.held_by_all)(shard)
            })
        };
        (oldest..=last).rev().find(is_done_with)
    }

    /// Moves what lies in the files up to `last_file` to segment files; answers how many bytes. What was moved before
    /// an error stays moved. Blocks.
    fn move_up_to(&self, last_file: u64) -> Result<u64, RetireError> {
        let mut bytes = 0;
        let mut shared = None;
        let mut in_shared = Vec::new();
        for partition in self.sorted() {
            let old = {
                let log = partition.log.read();
                let extents = log.extents().iter();
                let old = extents.take_while(|extent| extent.pos.file <= last_file);
                old.map(|extent| u64::from(extent.len)).sum::<u64>()
            };
            if old == 0 {
                continue;
            }
            if old >= self.parts.sizes.own_file_bytes {
                let mut own = self.parts.files.create()?;
                let segment = self.copy(&partition, last_file, &mut own)?;
                // Only this task deletes files, so it need not hold this one.
                drop(own.finish()?);
                bytes += change_over(&partition, segment);
            } else {
                let file = match &mut shared {
                    Some(file) => file,
                    none => none.insert(self.parts.files.create()?),
                };
                let segment = self.copy(&partition, last_file, file)?;
                in_shared.push((partition, segment));
            }
        }
        drop(shared.map(FileWriter::finish).transpose()?);
        for (partition, segment) in in_shared {
            bytes += change_over(&partition, segment);
        }
        self.check_moved(last_file)?;
        Ok(bytes)
    }

    /// That no partition keeps anything in these files: whatever became of it meanwhile, nothing is forgotten that is
    /// not stored elsewhere.
    fn check_moved(&self, last_file: u64) -> Result<(), RetireError> {
        let keeps = |one: &Arc<Partition>| one.log.read().end_in_wal(last_file).is_some();
        let left = self.sorted().find(keeps).map(|partition| partition.id);
        left.map_or(Ok(()), |partition| Err(RetireError::Left(partition)))
    }

    /// Adds a partition's records to a file; `None` when all of them were trimmed.
    fn copy(
        &self,
        partition: &Partition,
        last_file: u64,
        file: &mut FileWriter,
    ) -> Result<Option<Segment>, RetireError> {
        let read_error = |source| RetireError::Read {
            partition: partition.id,
            source,
        };
        'trimmed: loop {
            let (mut from, upper) = {
                let log = partition.log.read();
                let first = log.extents().iter().next();
                let Some((first, end)) = first.zip(log.end_in_wal(last_file)) else {
                    return Ok(None);
                };
                (first.base_offset.max(log.log_start_offset()), end)
            };
            let mut segment = SegmentBuilder::new(owner(partition.id), file.number(), file.at());
            let mut paused_at = file.at();
            while from < upper {
                let request = ReadRequest {
                    from,
                    upper,
                    max_bytes: READ_BYTES,
                    at_least_one: true,
                };
                let started = Instant::now();
                let read = match partition.read(&request, &*self.parts.blocks) {
                    // What was copied lies below log start, and stays unnamed in the file.
                    Err(ReadError::OutOfRange { .. }) => continue 'trimmed,
                    read => read.map_err(read_error)?,
                };
                for batch in read.iter().flat_map(|run| {
                    weir_log::batches(run).map(|found| found.map(|(header, at)| (header, &run[at])))
                }) {
                    let (header, bytes) = batch.map_err(|source| {
                        read_error(ReadError::Records {
                            base_offset: from,
                            source,
                        })
                    })?;
                    segment.push(&header, bytes, file.buffer());
                    from = header.last_offset() + 1;
                }
                if file.write_when_full()? {
                    self.pause(started.elapsed(), file.at() - paused_at)?;
                    paused_at = file.at();
                }
            }
            return Ok(segment.finish(file.buffer()));
        }
    }

    /// Leaves half of the time to others, or more where little is written, unless producers would have to wait for it.
    fn pause(&self, worked: Duration, bytes: u64) -> Result<(), RetireError> {
        if self.stop.is_cancelled() {
            return Err(RetireError::Stopped);
        }
        let usage = self.parts.raft.wal_usage();
        if usage.live_bytes < usage.budget_bytes / 2 {
            let turn = self.parts.raft.turn(bytes);
            self.parts.threads.pause(worked.max(turn));
        }
        Ok(())
    }

    /// Files that no partition names. Those of the round itself are named by now. Blocks.
    fn unnamed(&self) -> Result<Vec<u64>, RetireError> {
        let mut unnamed = self.parts.files.settled()?;
        if unnamed.is_empty() {
            return Ok(unnamed);
        }
        let mut named = HashSet::new();
        for partition in self.sorted() {
            let log = partition.log.read();
            named.extend(log.segments().iter().map(|segment| segment.file));
        }
        unnamed.retain(|file| !named.contains(file));
        Ok(unnamed)
    }

    /// Stores the snapshots of the shards with entries up to `last_file`, and of all others too where files
    /// are to be deleted; then those entries are forgotten.
    async fn store_snapshots(
        &self,
        last_file: Option<u64>,
        nothing_unnamed: bool,
    ) -> Result<(), RetireError> {
        for shard in self.parts.shards.all().iter() {
            let raft = shard.raft();
            let upto = last_file.and_then(|file| raft.last_in_file(file));
            if upto.is_none() && nothing_unnamed {
                continue;
            }
            let failed = |reason| RetireError::Shard {
                shard: shard.id.0,
                reason,
            };
            raft.snapshot().await.map_err(failed)?;
            if let Some(upto) = upto {
                raft.purge(upto).await.map_err(failed)?;
            }
        }
        Ok(())
    }

    fn sorted(&self) -> impl Iterator<Item = Arc<Partition>> + use<> {
        let mut sorted = BTreeMap::new();
        for shard in self.parts.shards.all().iter() {
            let here = self.parts.partitions.of_shard(shard);
            let key = |partition: &Partition| (partition.id, partition.shard.id);
            sorted.extend(
                here.into_iter()
                    .map(|partition| (key(&partition), partition)),
            );
        }
        sorted.into_values()
    }
}

/// Has readers find a partition's records in a segment; answers how many bytes these are.
fn change_over(partition: &Partition, segment: Option<Segment>) -> u64 {
    segment.map_or(0, |segment| {
        partition.change(|log| log.move_to(segment));
        segment.bytes
    })
}

/// Names a partition as the owner of a segment.
pub fn owner(id: PartitionId) -> Owner {
    let mut owner = [0; OWNER_LEN];
    owner[..16].copy_from_slice(id.topic.as_bytes());
    owner[16..].copy_from_slice(&id.index.to_le_bytes());
    owner
}
