//! Tables at work: their rows follow the partitions' logs, and readers wait until they have.

pub mod admit;
mod barrier;
mod create;
pub mod design;
pub mod fold;
pub mod gather;
pub mod hub;
mod registry;
pub mod service;
pub mod source;

use std::sync::Arc;

use weir_tables::{Candidates, Table, Tables};

use fold::Gone;

/// A table, as one request sees it.
pub struct OpenTable {
    pub table: Arc<Table>,
    /// The partitioners that its keys may have been placed by.
    pub candidates: Candidates,
}

impl OpenTable {
    pub fn name(&self) -> &str {
        &self.table.def().topic
    }

    /// Every bucket, which is the partition, ascending.
    pub fn buckets(&self) -> Vec<u32> {
        (0..self.table.def().partition_count).collect()
    }
}

/// The rows of some buckets that this node has, as one request reads them.
#[derive(Clone, Default)]
pub struct RowsHere {
    /// By bucket, ascending.
    buckets: Vec<(u32, Arc<Tables>, Gone)>,
}

impl RowsHere {
    /// Of buckets in ascending order.
    pub fn new(buckets: impl IntoIterator<Item = (u32, Arc<Tables>, Gone)>) -> Self {
        let buckets: Vec<_> = buckets.into_iter().collect();
        assert!(buckets.is_sorted_by_key(|(bucket, ..)| *bucket));
        Self { buckets }
    }

    /// The buckets, ascending.
    pub fn buckets(&self) -> impl Iterator<Item = u32> {
        self.buckets.iter().map(|(bucket, ..)| *bucket)
    }

    pub fn find(&self, bucket: u32) -> Option<&Tables> {
        let at = self.buckets.binary_search_by_key(&bucket, |(id, ..)| *id);
        at.ok().map(|at| &*self.buckets[at].1)
    }

    /// The store of a bucket that was asked for.
    pub fn store(&self, bucket: u32) -> &Tables {
        self.find(bucket).expect("a bucket that was asked for")
    }

    /// Whether rows have gone since: then what was read in them up to now may lack some.
    pub fn have_gone(&self) -> bool {
        self.buckets.iter().any(|(_, _, gone)| gone.has())
    }
}
