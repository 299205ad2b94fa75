//! Tables at work: their rows follow the partitions' logs, and readers wait until they have.

pub mod admit;
mod create;
pub mod design;
pub mod fold;
pub mod hub;
mod registry;
pub mod service;
pub mod source;

use std::sync::Arc;

use weir_tables::{Candidates, Table, Tables};

/// A table with the stores that hold its rows, as one request sees it.
pub struct OpenTable {
    pub table: Arc<Table>,
    /// The partitioners that its keys may have been placed by.
    pub candidates: Candidates,
    /// By bucket, which is the partition.
    pub stores: Arc<[Arc<Tables>]>,
}

impl OpenTable {
    pub fn name(&self) -> &str {
        &self.table.def().topic
    }

    /// Every bucket, ascending.
    pub fn buckets(&self) -> Vec<u32> {
        (0..self.table.def().partition_count).collect()
    }

    pub fn store(&self, bucket: u32) -> &Tables {
        &self.stores[bucket as usize]
    }
}
