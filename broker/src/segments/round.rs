//! One round of rewriting segments. New ones are written and made durable, and only then a partition changes
//! over to them, whose old files `retire` deletes once a snapshot names the new ones. So a crash
//! anywhere leaves each partition with all of its old segments or all of its new ones.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_log::{
    BlockReader, Cleaning, ReadError, Rewrite, RewriteError, Rewritten, Segment, SegmentFile,
    SegmentReader,
};

use super::Sizes;
use super::files::{FileWriter, SegmentFiles};
use super::retire::owner;
use crate::metrics::Compaction;
use crate::partition::Partition;

#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    #[error("a segment file was not written: {0}")]
    Write(#[from] io::Error),
    #[error("the node stops")]
    Stopped,
}

impl From<ReadError> for RoundError {
    fn from(error: ReadError) -> RoundError {
        RoundError::Rewrite(error.into())
    }
}

impl RoundError {
    /// Whether what was to be read has gone meanwhile: it was trimmed, or its topic deleted.
    pub fn is_gone(&self) -> bool {
        matches!(self, RoundError::Rewrite(RewriteError::Read(error)) if error.is_gone())
    }
}

pub struct Round<'a> {
    pub files: &'a SegmentFiles,
    pub sizes: Sizes,
    pub blocks: &'a (dyn BlockReader + Send + Sync),
    pub metrics: &'a Compaction,
    /// Leaves time to others, after so much work.
    pub pause: &'a dyn Fn(Duration) -> Result<(), RoundError>,
    shared: Option<FileWriter>,
    /// What is in the shared file.
    waiting: Vec<Change>,
}

/// A partition that is to have new segments.
struct Change {
    partition: Arc<Partition>,
    old: Vec<Segment>,
    new: Rewritten,
}

impl<'a> Round<'a> {
    pub fn new(
        files: &'a SegmentFiles,
        sizes: Sizes,
        blocks: &'a (dyn BlockReader + Send + Sync),
        metrics: &'a Compaction,
        pause: &'a dyn Fn(Duration) -> Result<(), RoundError>,
    ) -> Round<'a> {
        Round {
            files,
            sizes,
            blocks,
            metrics,
            pause,
            shared: None,
            waiting: Vec::new(),
        }
    }

    /// Rewrites consecutive segments of a partition, oldest first; they are only copied without `cleaning`. Blocks.
    pub fn rewrite(
        &mut self,
        partition: &Arc<Partition>,
        old: &[Segment],
        mut cleaning: Option<&mut Cleaning<'_>>,
    ) -> Result<(), RoundError> {
        let bytes: u64 = old.iter().map(|segment| segment.bytes).sum();
        if bytes < self.sizes.own_file_bytes {
            let mut file = match self.shared.take() {
                Some(file) => file,
                None => self.files.create()?,
            };
            let written = self.write(partition, old, cleaning, &mut file);
            let full = file.at() >= self.sizes.shared_file_bytes;
            self.shared = Some(file);
            self.waiting.push(written?);
            return if full { self.publish() } else { Ok(()) };
        }
        // One part after the other: an old tombstone must not go before what it deletes.
        for old in parts(old, self.sizes.segment_bytes) {
            let mut file = self.files.create()?;
            let change = self.write(partition, old, cleaning.as_deref_mut(), &mut file)?;
            let unnamed = file.finish()?;
            self.change(change);
            drop(unnamed);
        }
        Ok(())
    }

    /// Has the partitions in the shared file change over. Blocks.
    pub fn publish(&mut self) -> Result<(), RoundError> {
        let Some(file) = self.shared.take() else {
            return Ok(());
        };
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let unnamed = file.finish()?;
        for change in waiting {
            self.change(change);
        }
        drop(unnamed);
        Ok(())
    }

    fn change(&self, change: Change) {
        let Change {
            partition,
            old,
            new,
        } = change;
        if partition.change(|log| log.replace(&old, &new.segments)) {
            self.metrics.rewrote(&new);
        }
    }

    fn write(
        &self,
        partition: &Arc<Partition>,
        old: &[Segment],
        mut cleaning: Option<&mut Cleaning<'_>>,
        file: &mut FileWriter,
    ) -> Result<Change, RoundError> {
        let log_start = partition.log_start_offset();
        let mut rewrite = Rewrite::new(
            owner(partition.id),
            old,
            log_start,
            self.sizes.segment_bytes,
        );
        for segment in old {
            let mut reader = SegmentReader::open(segment, self.blocks)?;
            loop {
                let started = Instant::now();
                let helping = reader.next(self.blocks)?;
                if helping.is_empty() {
                    break;
                }
                rewrite.take(segment, &helping, cleaning.as_deref_mut(), file)?;
                if file.write_when_full()? {
                    file.sync_when_much()?;
                }
                (self.pause)(started.elapsed())?;
            }
        }
        Ok(Change {
            partition: partition.clone(),
            old: old.to_vec(),
            new: rewrite.finish(file),
        })
    }
}

/// Parts of at most the size of one new segment, so that old files are freed one after the other.
fn parts(segments: &[Segment], segment_bytes: u64) -> Vec<&[Segment]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, segment) in segments.iter().enumerate() {
        if at > start && bytes + segment.bytes > segment_bytes {
            parts.push(&segments[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += segment.bytes;
    }
    parts.push(&segments[start..]);
    parts
}
