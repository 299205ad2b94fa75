//! Compacts the partitions whose topics ask for it, the dirtiest first, and keeps segments few and files alive.
//!
//! Each replica compacts its own segments. Nothing that another replica can see depends on it: offsets, log
//! start and outcomes stay, and what survives has the same bytes everywhere (L12). So the time of tombstones,
//! which is this replica's, is kept beside the segment and not, as Kafka does (KIP-534), in the batch.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_log::compact::NothingLater;
use weir_log::{
    BatchHeader, BatchRecords, BlockReader, Cleaning, Dirtiness, KeyMap, Latest, LatestError,
    ReadError, Segment, SegmentReader, SegmentState, Standing,
};
use weir_raft::{Threads, blocking_long};
use weir_tables::RowsLatest;

use super::round::{Round, RoundError};
use super::{BelievedTime, SegmentFiles, Sizes, tidy};
use crate::clock::Clock;
use crate::kafka::log_limit::LogLimit;
use crate::kafka::produce::request::TopicRef;
use crate::metrics::Metrics;
use crate::partition::Partition;
use crate::random::Random;
use crate::shard::entry::PartitionId;
use crate::shard::host::Partitions;
use crate::shard::hosted::HostedShards;
use crate::space::Space;
use crate::tables::fold::{Gone, Rows};
use crate::tables::hub::{TableHere, TableHub};
use crate::topic::{MAX_DECOMPRESSED_BYTES, TopicView, TopicViews};

/// Tombstones whose times differ by less than this part of `delete.retention.ms` get the later one, so
/// that they lie in few segments.
const RETENTION_PARTS: i64 = 16;
/// How much longer than the work a pause is, where the write-ahead log needs the disk.
const LONG_PAUSE: u32 = 4;

static FAILED: LogLimit = LogLimit::new(10, Duration::from_secs(600));

pub struct Compact {
    parts: CompactParts,
    time: BelievedTime,
    /// Of files that are there.
    sizes: Mutex<BTreeMap<u64, u64>>,
}

/// What compaction works on and with.
pub struct CompactParts {
    pub threads: Arc<dyn Threads>,
    pub shards: Arc<HostedShards>,
    pub partitions: Arc<Partitions>,
    pub topics: Arc<TopicViews>,
    pub tables: Arc<TableHub>,
    pub files: Arc<SegmentFiles>,
    pub sizes: Sizes,
    pub blocks: Arc<dyn BlockReader + Send + Sync>,
    pub space: Arc<Space>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub stop: CancellationToken,
}

/// A partition that is to be compacted.
struct Due {
    partition: Arc<Partition>,
    view: Arc<TopicView>,
    table: Option<(Arc<TableHere>, Rows)>,
    segments: Vec<Segment>,
    dirtiness: Dirtiness,
    /// Whether there is enough that is dirty; else only tombstones whose time is over go.
    dirty: bool,
}

impl Compact {
    pub fn new(parts: CompactParts) -> Compact {
        Compact {
            time: BelievedTime::new(parts.clock.clone()),
            parts,
            sizes: Mutex::default(),
        }
    }

    /// Runs until the node stops.
    pub async fn run(self: Arc<Self>) {
        let mut at_once = false;
        loop {
            let backoff = self
                .parts
                .topics
                .broker_size("log.cleaner.backoff.ms")
                .max(1);
            let pause = if at_once { 0 } else { backoff };
            tokio::select! {
                biased;
                () = self.parts.stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            }
            let this = self.clone();
            at_once = false;
            match blocking_long(&*self.parts.threads, move || this.round()).await {
                Ok(Ok(more)) => at_once = more,
                Ok(Err(RoundError::Stopped)) => return,
                Ok(Err(error)) => {
                    tracing::error!(%error, "segments stay as they are; this is tried again");
                }
                Err(error) => tracing::error!(%error, "a round of compaction has panicked"),
            }
        }
    }

    /// Says whether there was more than fits into memory at a time. Blocks.
    fn round(&self) -> Result<bool, RoundError> {
        let Some(now_ms) = self.time.now_ms() else {
            return Ok(false);
        };
        let started = Instant::now();
        let metrics = &self.parts.metrics.compaction;
        let pause = |worked| self.pause(worked);
        let mut round = Round::new(
            &self.parts.files,
            self.parts.sizes,
            &*self.parts.blocks,
            metrics,
            &pause,
        );
        let due = self.due(now_ms);
        let mut more = false;
        for due in &due {
            more |= contain(due.partition.id, self.clean(due, now_ms, &mut round))?;
        }
        let busy: BTreeSet<PartitionId> = due.iter().map(|due| due.partition.id).collect();
        self.tidy(&busy, &mut round)?;
        round.publish()?;
        if !due.is_empty() {
            metrics
                .last_run_seconds
                .set(started.elapsed().as_secs_f64());
            metrics
                .last_run_time
                .set(self.parts.clock.now_ms() as f64 / 1e3);
        }
        Ok(more)
    }

    /// The partitions that are to be compacted, the dirtiest first.
    fn due(&self, now_ms: i64) -> Vec<Due> {
        let mut due = Vec::new();
        let mut max_ratio: f64 = 0.0;
        if !self.parts.topics.broker_flag("log.cleaner.enable") {
            return due;
        }
        for partition in self.partitions() {
            let segments = partition.log.read().segments().as_slice().to_vec();
            if segments.is_empty() {
                continue;
            }
            let topic = TopicRef::Id(partition.id.topic);
            let Some(view) = self.parts.topics.get(&topic) else {
                continue;
            };
            if !view.settings.cleanup_compact {
                continue;
            }
            let Some(found) = self.look(partition, view, segments, now_ms) else {
                continue;
            };
            max_ratio = max_ratio.max(found.dirtiness.ratio());
            if found.dirty || !found.expired(now_ms).is_empty() {
                due.push(found);
            }
        }
        self.parts.metrics.compaction.max_dirty_ratio.set(max_ratio);
        due.sort_by(|a, b| b.dirtiness.ratio().total_cmp(&a.dirtiness.ratio()));
        due
    }

    fn partitions(&self) -> impl Iterator<Item = Arc<Partition>> + use<> {
        let shards = self.parts.shards.all();
        let partitions: Vec<Vec<_>> = shards
            .iter()
            .map(|shard| self.parts.partitions.of_shard(shard))
            .collect();
        partitions.into_iter().flatten()
    }

    /// How dirty a partition is. `None` while its table is not here, or when it cannot be read.
    fn look(
        &self,
        partition: Arc<Partition>,
        view: Arc<TopicView>,
        segments: Vec<Segment>,
        now_ms: i64,
    ) -> Option<Due> {
        let lag = view.settings.min_compaction_lag_ms;
        let dirtiness = |below| Dirtiness::of(&segments, now_ms, lag, below);
        let mut found = dirtiness(i64::MAX);
        let mut dirty = self.is_dirty(&view, &segments, &found, now_ms)?;
        let mut table = None;
        if view.topic.table.is_some() {
            if partition.rows_differ() {
                return None;
            }
            let here = self.parts.tables.get(partition.id.topic)?;
            let rows = self.parts.tables.rows(&partition)?;
            if dirty {
                let last = segments[found.cleanable - 1];
                found = dirtiness(flushed(&here, &rows, partition.id, last)?);
                dirty = self.is_dirty(&view, &segments, &found, now_ms)?;
            }
            table = Some((here, rows));
        }
        Some(Due {
            partition,
            view,
            table,
            segments,
            dirtiness: found,
            dirty,
        })
    }

    fn is_dirty(
        &self,
        view: &TopicView,
        segments: &[Segment],
        found: &Dirtiness,
        now_ms: i64,
    ) -> Option<bool> {
        if found.dirty_bytes == 0 {
            return Some(false);
        }
        if found.ratio() * 1e6 > f64::from(view.settings.min_dirty_millionths) {
            return Some(true);
        }
        let Ok(max_lag) = i64::try_from(view.settings.max_compaction_lag_ms) else {
            return Some(false);
        };
        if max_lag == i64::MAX {
            return Some(false);
        }
        // As in Kafka, the first batch tells how old the oldest records are.
        match self.first_timestamp(&segments[found.clean]) {
            Ok(first) => Some(first.is_some_and(|first| now_ms.saturating_sub(first) > max_lag)),
            Err(error) => {
                tracing::debug!(%error, "a segment cannot be read");
                None
            }
        }
    }

    fn first_timestamp(&self, segment: &Segment) -> Result<Option<i64>, ReadError> {
        let blocks = &*self.parts.blocks;
        let helping = SegmentReader::open(segment, blocks)?.next(blocks)?;
        let first = helping
            .first()
            .and_then(|block| BatchHeader::parse(block).ok());
        let first = first.map(|header| header.max_timestamp);
        Ok(first.filter(|first| *first >= 0))
    }

    /// Says whether there are keys for which there was no room.
    fn clean(&self, due: &Due, now_ms: i64, round: &mut Round<'_>) -> Result<bool, RoundError> {
        let Due {
            partition,
            view,
            segments,
            dirtiness,
            ..
        } = due;
        let (mut keys, mut rows, mut nothing) = (None, None, NothingLater);
        let mut old = &segments[..dirtiness.cleanable];
        let mut clean_below = i64::MAX;
        let latest: &mut dyn Latest = match &due.table {
            _ if !due.dirty => {
                old = due.expired(now_ms);
                &mut nothing
            }
            Some((here, found)) => rows.insert(TableLatest {
                rows: RowsLatest {
                    tables: found.tables(),
                    table: &here.table,
                    bucket: partition.id.index.unsigned_abs(),
                },
                gone: found.gone(),
            }),
            None => {
                let map = self.keys(&old[dirtiness.clean..])?;
                clean_below = map.known_below();
                let end = old.partition_point(|segment| segment.base_offset < clean_below);
                old = &old[..end];
                keys.insert(map)
            }
        };
        let is_last_of_producer = |header: &BatchHeader| {
            let log = partition.log.read();
            let state = log.producers().get(header.producer_id);
            let last = state.and_then(|state| state.batches().last());
            last.is_some_and(|last| last.base_offset == header.base_offset)
        };
        let mut cleaning = Cleaning {
            latest,
            clean_below,
            now_ms,
            tombstones_until_ms: tombstones_until(now_ms, view.settings.delete_retention_ms),
            is_last_of_producer: &is_last_of_producer,
            max_decompressed_bytes: MAX_DECOMPRESSED_BYTES,
        };
        tracing::debug!(
            topic = &*view.topic.name,
            partition = partition.id.index,
            ratio = dirtiness.ratio(),
            segments = old.len(),
            "compacts"
        );
        round.rewrite(partition, old, Some(&mut cleaning))?;
        let all = segments[..dirtiness.cleanable].last();
        Ok(all.is_some_and(|last| last.last_offset >= clean_below))
    }

    /// The latest offsets of the keys of dirty segments, up to where there is room for them.
    fn keys(&self, dirty: &[Segment]) -> Result<KeyMap, RoundError> {
        let max_bytes = self
            .parts
            .topics
            .broker_size("log.cleaner.dedupe.buffer.size");
        let from = dirty.first().map_or(0, |first| first.base_offset);
        let end = dirty.last().map_or(0, |last| last.last_offset + 1);
        let random = &self.parts.random;
        let mut map = KeyMap::new(
            [random.next_u64(), random.next_u64()],
            usize::try_from(max_bytes).unwrap_or(usize::MAX),
            from,
            usize::try_from(end - from).unwrap_or(usize::MAX),
        );
        let blocks = &*self.parts.blocks;
        for segment in dirty {
            let mut reader = SegmentReader::open(segment, blocks)?;
            loop {
                let started = Instant::now();
                let helping = reader.next(blocks)?;
                if helping.is_empty() {
                    break;
                }
                for block in &helping {
                    let noted = map.note(block, MAX_DECOMPRESSED_BYTES);
                    let unreadable = |source| ReadError::Records {
                        base_offset: map.known_below(),
                        source,
                    };
                    if !noted.map_err(unreadable)? {
                        return Ok(map);
                    }
                }
                self.pause(started.elapsed())?;
            }
        }
        Ok(map)
    }

    /// Joins small segments, and empties files of which too much is dead.
    fn tidy(&self, busy: &BTreeSet<PartitionId>, round: &mut Round<'_>) -> Result<(), RoundError> {
        let dead = self.dead_files()?;
        for partition in self.partitions() {
            let runs: Vec<Vec<Segment>> = {
                let log = partition.log.read();
                let segments = log.segments().as_slice();
                if segments.is_empty() || busy.contains(&partition.id) {
                    continue;
                }
                let runs = tidy::runs(segments, |segment| dead.contains(&segment.file));
                runs.into_iter().map(|run| segments[run].to_vec()).collect()
            };
            for run in runs {
                contain(partition.id, round.rewrite(&partition, &run, None))?;
            }
        }
        Ok(())
    }

    /// Files of which more than half is named by nobody.
    fn dead_files(&self) -> io::Result<BTreeSet<u64>> {
        let mut live: BTreeMap<u64, u64> = BTreeMap::new();
        for partition in self.partitions() {
            for segment in partition.log.read().segments().iter() {
                *live.entry(segment.file).or_default() += segment.end() - segment.at;
            }
        }
        let mut sizes = self.sizes.lock();
        sizes.retain(|file, _| live.contains_key(file));
        let mut dead = BTreeSet::new();
        for (file, live) in live {
            let size = match sizes.get(&file) {
                Some(size) => *size,
                None => match self.parts.files.size(file) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    size => size?,
                },
            };
            sizes.insert(file, size);
            if size / 2 > live {
                dead.insert(file);
            }
        }
        Ok(dead)
    }

    /// Leaves half of the time to others, and more while the write-ahead log needs the disk.
    fn pause(&self, worked: Duration) -> Result<(), RoundError> {
        if self.parts.stop.is_cancelled() {
            return Err(RoundError::Stopped);
        }
        let usage = self.parts.space.usage();
        let needed = usage.wal_bytes > usage.wal_budget_bytes / 2;
        let pause = if needed { worked * LONG_PAUSE } else { worked };
        self.parts.threads.pause(pause);
        Ok(())
    }
}

impl Due {
    /// The clean segments from the first to the last one with tombstones whose time is over.
    fn expired(&self, now_ms: i64) -> &[Segment] {
        let clean = &self.segments[..self.dirtiness.clean];
        let over = |segment: &Segment| matches!(segment.state, SegmentState::Clean { tombstones_until_ms: Some(until) } if until <= now_ms);
        let first = clean.iter().position(over);
        let last = clean.iter().rposition(over);
        first
            .zip(last)
            .map_or(&[][..], |(first, last)| &clean[first..=last])
    }
}

/// A table's rows as what knows the latest records, as long as none of them have gone: their keys would seem deleted.
struct TableLatest<'a> {
    rows: RowsLatest<'a>,
    gone: &'a Gone,
}

impl Latest for TableLatest<'_> {
    fn judge(
        &mut self,
        records: &BatchRecords<'_>,
        standings: &mut Vec<Standing>,
    ) -> Result<(), LatestError> {
        self.rows.judge(records, standings)?;
        match self.gone.has() {
            true => Err("the table's rows have gone meanwhile".into()),
            false => Ok(()),
        }
    }
}

/// The offset below which a table's rows are on disk; they are brought there up to `last`. Blocks.
fn flushed(here: &TableHere, rows: &Rows, id: PartitionId, last: Segment) -> Option<i64> {
    let bucket = id.index.unsigned_abs();
    let (store, table) = (rows.tables(), here.table.def().table_id);
    let flushed = || store.durably_flushed_offset(table, bucket);
    let found = flushed().and_then(|offset| {
        if offset > last.last_offset {
            return Ok(offset);
        }
        store.flush()?;
        flushed()
    });
    match found {
        Ok(offset) => Some(offset),
        Err(error) => {
            tracing::warn!(table = here.name(), %error, "the table's log is not compacted");
            None
        }
    }
}

/// Until when tombstones are kept that are found now.
fn tombstones_until(now_ms: i64, retention_ms: u64) -> i64 {
    let retention_ms = i64::try_from(retention_ms).unwrap_or(i64::MAX);
    let until = now_ms.saturating_add(retention_ms);
    let part = (retention_ms / RETENTION_PARTS).max(1);
    match until % part {
        0 => until,
        over => until.saturating_add(part - over),
    }
}

/// What fails in one partition keeps no other waiting; a disk that cannot be written does.
fn contain<T: Default>(id: PartitionId, done: Result<T, RoundError>) -> Result<T, RoundError> {
    match done {
        Err(error) if error.is_gone() => Ok(T::default()),
        Err(RoundError::Rewrite(error)) => {
            if FAILED.permit(Instant::now()).is_some() {
                tracing::error!(topic = %id.topic, partition = id.index, %error, "segments are not rewritten");
            }
            Ok(T::default())
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tombstones_stay_for_their_time_and_a_sixteenth_at_most() {
        for (now_ms, retention_ms) in [(1_000_003, 86_400_000), (17, 16), (5, 3), (5, 0)] {
            let until = tombstones_until(now_ms, retention_ms);
            let kept = (until - now_ms) as u64;
            assert!(kept >= retention_ms && kept <= retention_ms + retention_ms / 16 + 1);
        }
        assert_eq!(tombstones_until(5, u64::MAX), i64::MAX);
    }
}
