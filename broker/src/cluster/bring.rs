//! A replica that lacks entries which its leader has forgotten takes the leader's snapshot, and before that the records
//! that the snapshot names: they lie in files of the leader.
//!
//! Of each partition what this node has in segments stays, and what follows is asked for by offset, checked, and written
//! to segment files here. Where the leader has compacted records that this node lacks, all of the partition is brought:
//! a key of before would come back whose tombstone the leader has dropped.
//!
//! What was brought is kept over a change of leaders and a broken connection, though not over a restart. A leader waits
//! for a while only, and sends its snapshot again; meanwhile this goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;
use weir_log::batch::verify_crc;
use weir_log::{
    BlockReader, PartitionLog, ReadRequest, Segment, SegmentBuilder, SegmentFile, SegmentState,
};
use weir_raft::{NodeId, ShardId, Threads, blocking};

use super::message::{Answer, Question, RecordsAnswer, RecordsQuestion};
use super::peers::Peers;
use crate::partition::Partition;
use crate::segments::{FileWriter, SegmentFiles, Unnamed, owner};
use crate::shard::arrivals::{Arrivals, Arrived, Brought};
use crate::shard::entry::PartitionId;
use crate::shard::host::Partitions;
use crate::shard::snapshot;

/// Bytes that are asked for at a time.
const ASK_BYTES: u32 = 2 << 20;
/// A file is finished at this size, and what is in it is not asked for again.
const FILE_BYTES: u64 = 64 << 20;
/// How long a leader is let wait; it waits for a minute.
const TURN: Duration = Duration::from_secs(40);
/// Reads that may be overtaken by compaction, for one answer.
const READ_AGAIN: u32 = 3;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Brings records here, for all shards of this node.
#[derive(Clone)]
pub struct Bringer {
    pub peers: Peers,
    pub partitions: Arc<Partitions>,
    pub files: Arc<SegmentFiles>,
    pub threads: Arc<dyn Threads>,
    pub arrivals: Arc<Arrivals>,
    /// Notes, durably, that a shard's rows may have to be folded again from the start.
    pub fold_again: Arc<dyn Fn(u64) -> std::io::Result<()> + Send + Sync>,
    under_way: Arc<Mutex<BTreeMap<ShardId, UnderWay>>>,
}

/// One at a time for each shard.
type UnderWay = Arc<tokio::sync::Mutex<Progress>>;

/// What was brought of a shard so far.
#[derive(Default)]
struct Progress {
    parts: BTreeMap<PartitionId, Part>,
    unnamed: Vec<Unnamed>,
}

/// A partition as far as it is here.
#[derive(Debug, Clone, Default)]
struct Part {
    /// Where it begins, and up to where it is in files that are finished; the latter is exclusive.
    begin: i64,
    end: i64,
    segments: Vec<Segment>,
    whole: bool,
    /// The leader, and what it had compacted when this began.
    of: Option<(NodeId, u64)>,
}

/// The file that is being written.
struct Open {
    file: FileWriter,
    /// Segments in it that are done.
    done: Vec<(PartitionId, Segment)>,
    /// Of the partition that is being brought.
    segment: Option<(PartitionId, SegmentBuilder)>,
}

impl weir_raft::Bring for Bringer {
    fn bring(
        &self,
        shard: ShardId,
        leader: NodeId,
        state: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, String>> {
        let this = self.clone();
        Box::pin(async move {
            let under_way = this.under_way.lock().entry(shard).or_default().clone();
            // Goes on when the leader does not wait any longer.
            let bringing = tokio::spawn(async move {
                let mut progress = under_way.lock().await;
                this.bring_all(shard, leader, &mut progress, &state).await
            });
            match tokio::time::timeout(TURN, bringing).await {
                Ok(Ok(brought)) => brought,
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("its records are still on their way".to_owned()),
            }
        })
    }
}

impl Bringer {
    pub fn new(
        peers: Peers,
        partitions: Arc<Partitions>,
        files: Arc<SegmentFiles>,
        threads: Arc<dyn Threads>,
        arrivals: Arc<Arrivals>,
        fold_again: Arc<dyn Fn(u64) -> std::io::Result<()> + Send + Sync>,
    ) -> Bringer {
        Bringer {
            peers,
            partitions,
            files,
            threads,
            arrivals,
            fold_again,
            under_way: Arc::default(),
        }
    }

    async fn bring_all(
        &self,
        shard: ShardId,
        leader: NodeId,
        progress: &mut Progress,
        state: &Bytes,
    ) -> Result<Bytes, String> {
        let theirs = snapshot::decode(state)?.partitions;
        let started = Instant::now();
        tracing::info!(shard = shard.0, %leader, partitions = theirs.len(), "records are brought from the leader");
        let mut bytes = 0;
        let mut open = None;
        for item in &theirs {
            let from = (shard, leader);
            let brought = self.bring_one(from, item.id, &item.log, progress, &mut open);
            bytes += brought.await?;
        }
        self.finish(progress, &mut open).await?;
        let whole = progress.parts.values().any(|part| part.whole);
        if whole {
            (self.fold_again)(shard.0).map_err(|error| error.to_string())?;
        }
        let seconds = started.elapsed().as_secs();
        tracing::info!(shard = shard.0, bytes, seconds, "records were brought");
        let progress = std::mem::take(progress);
        let brought = |part: Part| Brought {
            segments: part.segments,
            whole: part.whole,
        };
        let parts = progress.parts.into_iter();
        let arrived = Arrived {
            partitions: parts.map(|(id, part)| (id, brought(part))).collect(),
            unnamed: progress.unnamed,
        };
        Ok(self.arrivals.add(shard, arrived, state))
    }

    /// Brings what is missing of one partition up to where the leader's log ended; answers how many bytes that was.
    async fn bring_one(
        &self,
        (shard, leader): (ShardId, NodeId),
        id: PartitionId,
        theirs: &PartitionLog,
        progress: &mut Progress,
        open: &mut Option<Open>,
    ) -> Result<u64, String> {
        let part = self.begin(shard, id, theirs, progress);
        let (mut from, mut bytes) = (part.end, 0);
        progress.parts.insert(id, part);
        while from < theirs.next_offset() {
            let (answer, records) = self
                .ask((shard, leader), id, from, theirs.next_offset())
                .await?;
            let part = progress.parts.get_mut(&id).expect("just put there");
            if !part.goes_on(leader, from, &answer) {
                *part = part.anew(leader, theirs, &answer);
                from = part.end;
                if let Some(open) = open {
                    open.forget(id);
                }
                continue;
            }
            bytes += records.len() as u64;
            from = self.write(id, from, records, progress, open).await?;
        }
        if let Some(open) = open {
            open.end_segment();
        }
        Ok(bytes)
    }

    /// What there is of a partition before anything more is brought: what was brought earlier, else what this node has.
    fn begin(
        &self,
        shard: ShardId,
        id: PartitionId,
        theirs: &PartitionLog,
        progress: &mut Progress,
    ) -> Part {
        let start = theirs.log_start_offset();
        if let Some(part) = progress.parts.get(&id)
            && part.end >= start
        {
            let mut part = part.clone();
            part.segments.retain(|segment| segment.last_offset >= start);
            return part;
        }
        let mut segments: Vec<Segment> = Vec::new();
        if let Some(partition) = self.partitions.get_in(shard, id) {
            let log = partition.log.read();
            let here = log.segments().iter();
            segments.extend(here.filter(|segment| segment.last_offset >= start));
            let files = segments.iter().map(|segment| self.files.hold(segment.file));
            progress.unnamed.extend(files);
        }
        let begin = segments.last().map_or(start, |last| last.last_offset + 1);
        Part {
            begin,
            end: begin,
            segments,
            whole: false,
            of: None,
        }
    }

    async fn ask(
        &self,
        (shard, leader): (ShardId, NodeId),
        id: PartitionId,
        from: i64,
        upto: i64,
    ) -> Result<(RecordsAnswer, Bytes), String> {
        let question = Question::Records(RecordsQuestion {
            shard: Some(shard.0),
            topic: id.topic,
            index: id.index,
            from,
            upto,
            max_bytes: ASK_BYTES,
        });
        let asked = self.peers.ask(leader, &question, b"");
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok((Answer::Records(answer), records))) => Ok((answer, records)),
            Ok(Ok((Answer::Refused(reason), _))) => Err(reason),
            Ok(Ok((other, _))) => Err(format!("node {leader} answered {other:?}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("node {leader} did not answer within {PATIENCE:?}")),
        }
    }

    /// Adds records to the open file; answers the offset that follows them.
    async fn write(
        &self,
        id: PartitionId,
        from: i64,
        records: Bytes,
        progress: &mut Progress,
        open: &mut Option<Open>,
    ) -> Result<i64, String> {
        let lenient = progress.parts[&id].segments.is_empty();
        let (taken, files) = (open.take(), self.files.clone());
        let written = blocking(&*self.threads, move || {
            let mut open = match taken {
                Some(open) => open,
                None => Open::new(&files).map_err(|error| error.to_string())?,
            };
            let next = open.push(id, from, lenient, &records)?;
            Ok::<_, String>((open, next))
        });
        let (written, next) = written.await.map_err(|error| error.to_string())??;
        let full = written.file.at() >= FILE_BYTES;
        *open = Some(written);
        if full {
            self.finish(progress, open).await?;
        }
        Ok(next)
    }

    /// Makes the open file durable, and takes note of what is in it.
    async fn finish(&self, progress: &mut Progress, open: &mut Option<Open>) -> Result<(), String> {
        let Some(mut done) = open.take() else {
            return Ok(());
        };
        let finished = blocking(&*self.threads, move || {
            done.end_segment();
            let Open { file, done, .. } = done;
            Ok::<_, std::io::Error>((file.finish()?, done))
        });
        let finished = finished.await.and_then(|finished| finished);
        let (unnamed, done) = finished.map_err(|error| error.to_string())?;
        progress.unnamed.push(unnamed);
        for (id, segment) in done {
            let part = progress.parts.get_mut(&id).expect("it was begun");
            part.end = segment.last_offset + 1;
            part.segments.push(segment);
        }
        Ok(())
    }
}

impl Part {
    /// Whether what a leader answered to a question for `from` on can follow what is here.
    fn goes_on(&mut self, leader: NodeId, from: i64, answer: &RecordsAnswer) -> bool {
        let of = (leader, answer.compacted_mark);
        let is_same = *self.of.get_or_insert(of) == of;
        let is_compacted = answer.compacted_end > self.begin;
        from >= answer.log_start && (!is_compacted || self.whole && is_same)
    }

    /// The same partition with nothing of what is here, so far.
    fn anew(&self, leader: NodeId, theirs: &PartitionLog, answer: &RecordsAnswer) -> Part {
        let is_compacted = answer.compacted_end > self.begin;
        let begin = theirs.log_start_offset().max(answer.log_start);
        Part {
            begin,
            end: begin,
            segments: Vec::new(),
            whole: self.whole || is_compacted,
            of: Some((leader, answer.compacted_mark)),
        }
    }
}

impl Open {
    fn new(files: &SegmentFiles) -> std::io::Result<Open> {
        Ok(Open {
            file: files.create()?,
            done: Vec::new(),
            segment: None,
        })
    }

    /// Adds batches of a partition, the first of which begins at `from`, or behind it where records were compacted
    /// away, or before it where that is `lenient`; answers the offset that follows them. Blocks.
    fn push(
        &mut self,
        id: PartitionId,
        from: i64,
        lenient: bool,
        records: &[u8],
    ) -> Result<i64, String> {
        let mut next = from;
        for batch in weir_log::batches(records) {
            let (header, range) = batch.map_err(|error| error.to_string())?;
            let bytes = &records[range];
            verify_crc(bytes).map_err(|error| error.to_string())?;
            let base = header.base_offset;
            let overlaps = base < next && !(lenient && next == from);
            if overlaps || header.last_offset() < next {
                return Err(format!("a batch at offset {base} where {next} follows"));
            }
            let (file, at) = (self.file.number(), self.file.at());
            let (_, segment) = self.segment.get_or_insert_with(|| {
                let segment = SegmentBuilder::new(owner(id), file, at);
                (id, segment.starting_at(next.min(base)))
            });
            segment.push(&header, bytes, self.file.buffer());
            next = header.last_offset() + 1;
            let written = self.file.write_when_full();
            written.map_err(|error| error.to_string())?;
        }
        if next == from {
            return Err(format!("nothing was read at offset {from}"));
        }
        Ok(next)
    }

    /// The next batch begins a segment.
    fn end_segment(&mut self) {
        if let Some((id, segment)) = self.segment.take() {
            let segment = segment.finish(self.file.buffer());
            self.done.extend(segment.map(|segment| (id, segment)));
        }
    }

    /// What was written of a partition is not wanted.
    fn forget(&mut self, id: PartitionId) {
        self.end_segment();
        self.done.retain(|(of, _)| *of != id);
    }
}

/// Answers [`Question::Records`]. Blocks.
pub fn records(
    partition: &Partition,
    blocks: &dyn BlockReader,
    question: &RecordsQuestion,
) -> Result<(RecordsAnswer, Bytes), String> {
    for _ in 0..READ_AGAIN {
        let (log_start, upper, before) = {
            let log = partition.log.read();
            let upper = log.high_watermark().min(question.upto);
            (log.log_start_offset(), upper, compacted(&log))
        };
        let answer = RecordsAnswer {
            log_start,
            compacted_end: before.0,
            compacted_mark: before.1,
        };
        if question.from < log_start || question.from >= upper {
            return Ok((answer, Bytes::new()));
        }
        let request = ReadRequest {
            from: question.from,
            upper,
            max_bytes: question.max_bytes as usize,
            at_least_one: true,
        };
        let read = partition.read(&request, blocks);
        let read = read.map_err(|error| error.to_string())?;
        // Else they may be partly of before and partly of afterwards.
        if compacted(&partition.log.read()) == before {
            return Ok((answer, read.concat().into()));
        }
    }
    Err("the partition is being compacted".to_owned())
}

/// What is compacted of a partition here: where that ends, and a number that changes with it.
fn compacted(log: &PartitionLog) -> (i64, u64) {
    let is_clean = |segment: &&Segment| segment.state != SegmentState::Dirty;
    let clean = log.segments().iter().take_while(is_clean);
    clean.fold((0, 0), |(_, mark), segment| {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&mark.to_le_bytes());
        bytes[8..16].copy_from_slice(&segment.file.to_le_bytes());
        bytes[16..].copy_from_slice(&segment.at.to_le_bytes());
        let mark = u64::from(weir_crc::crc32c(&bytes)) | 1 << 32;
        (segment.last_offset + 1, mark)
    })
}
