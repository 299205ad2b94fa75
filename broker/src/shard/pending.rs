//! What the leader has proposed and not yet seen applied, per partition.
//!
//! Idempotence and offsets are decided against this overlay on the applied state. A partition is
//! here only while something of it is in flight.

use std::collections::HashMap;

use weir_log::{BatchHeader, ProducerCheck, ProducerError, ProducerState};

use super::proposer::Waiting;
use crate::partition::Partition;

/// Where a batch goes, before it is proposed.
#[derive(Debug, PartialEq, Eq)]
pub enum Staged {
    Append {
        base_offset: i64,
    },
    /// Already in the log: the first append's answer is given again.
    Duplicate {
        base_offset: i64,
        timestamp: i64,
    },
    /// Already proposed: it shares that entry's outcome.
    Pending {
        entry: u64,
        base_offset: i64,
        timestamp: i64,
    },
}

#[derive(Default)]
pub struct Pending {
    partitions: HashMap<u64, Overlay>,
    joined: HashMap<(u64, u64), Vec<Waiting>>,
}

struct Overlay {
    next_offset: i64,
    /// Appends of this partition that have no outcome.
    in_flight: usize,
    producers: HashMap<i64, ProducerState>,
    /// Base offset and entry of what idempotent producers have in flight.
    batches: Vec<(i64, u64)>,
}

impl Pending {
    /// Decides where a batch goes, and counts it as proposed in `entry` when it is to be appended.
    pub fn stage(
        &mut self,
        partition: &Partition,
        header: &BatchHeader,
        entry: u64,
    ) -> Result<Staged, ProducerError> {
        let log = partition.log.read();
        let overlay = self.partitions.get(&partition.handle);
        let next_offset = overlay.map_or(log.next_offset(), |o| o.next_offset);
        let mut producer = None;
        if header.has_producer_id() {
            let id = header.producer_id;
            let pending = overlay.and_then(|o| o.producers.get(&id)).copied();
            let mut state = pending.unwrap_or_else(|| log.producers().overlay(id));
            if let ProducerCheck::Duplicate {
                base_offset,
                timestamp,
            } = state.check(header)?
            {
                return Ok(match overlay.and_then(|o| o.entry_of(base_offset)) {
                    Some(entry) => Staged::Pending {
                        entry,
                        base_offset,
                        timestamp,
                    },
                    None => Staged::Duplicate {
                        base_offset,
                        timestamp,
                    },
                });
            }
            state.record(header, next_offset);
            producer = Some((id, state));
        }
        drop(log);
        let overlay = self
            .partitions
            .entry(partition.handle)
            .or_insert_with(|| Overlay {
                next_offset,
                in_flight: 0,
                producers: HashMap::new(),
                batches: Vec::new(),
            });
        if let Some((id, state)) = producer {
            overlay.producers.insert(id, state);
            overlay.batches.push((next_offset, entry));
        }
        overlay.next_offset = next_offset + i64::from(header.last_offset_delta) + 1;
        overlay.in_flight += 1;
        Ok(Staged::Append {
            base_offset: next_offset,
        })
    }

    /// Whether nothing of a producer is in the partition, and nothing on its way there.
    pub fn is_new(&self, partition: &Partition, producer_id: i64) -> bool {
        let overlay = self.partitions.get(&partition.handle);
        let pending = overlay.is_some_and(|o| o.producers.contains_key(&producer_id));
        !pending && partition.log.read().producers().get(producer_id).is_none()
    }

    /// Lets a part of a request wait for a batch that is in flight in `entry`.
    pub fn join(&mut self, entry: u64, partition: u64, waiting: Waiting) {
        self.joined
            .entry((entry, partition))
            .or_default()
            .push(waiting);
    }

    /// Who waits for an entry's batches of a partition, apart from those who sent them.
    pub fn joined(&mut self, entry: u64, partition: u64) -> Vec<Waiting> {
        if self.joined.is_empty() {
            return Vec::new();
        }
        self.joined.remove(&(entry, partition)).unwrap_or_default()
    }

    /// One append of a partition has its outcome.
    pub fn settle(&mut self, partition: u64, base_offset: i64) {
        let Some(overlay) = self.partitions.get_mut(&partition) else {
            return;
        };
        overlay.in_flight -= 1;
        overlay.batches.retain(|(base, _)| *base != base_offset);
        if overlay.in_flight == 0 {
            self.partitions.remove(&partition);
        }
    }

    /// Forgets every prediction; only right when nothing is in flight.
    pub fn clear(&mut self) {
        self.partitions.clear();
        assert!(
            self.joined.is_empty(),
            "nothing in flight leaves nobody waiting"
        );
    }
}

impl Overlay {
    fn entry_of(&self, base_offset: i64) -> Option<u64> {
        self.batches
            .iter()
            .find(|(base, _)| *base == base_offset)
            .map(|(_, entry)| *entry)
    }
}
