//! What a partition remembers of its idempotent producers, so that each sequence number is kept once.
//!
//! The state is a function of the batches that were recorded and of the times that came with them.

use crate::batch::{BatchHeader, Offset};
use crate::planted::{self, Bug};

/// Batches a producer may have in flight, so as many may come again.
pub const REMEMBERED_BATCHES: usize = 5;
const NO_EPOCH: i16 = -1;

/// One appended batch of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProducedBatch {
    pub base_offset: Offset,
    /// The batch's max_timestamp.
    pub timestamp: i64,
    pub first_sequence: i32,
    pub last_sequence: i32,
}

/// What to do with a batch that fits its producer's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProducerCheck {
    Append,
    /// It was appended before; the producer gets the same answer again.
    Duplicate {
        base_offset: Offset,
        timestamp: i64,
    },
}

/// Why a batch does not fit its producer's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    #[error("producer {producer_id} sent sequence {found} where {expected} comes next")]
    OutOfOrderSequence {
        producer_id: i64,
        expected: i32,
        found: i32,
    },
    #[error("producer {producer_id} sent epoch {found}, the partition has seen {current}")]
    InvalidEpoch {
        producer_id: i64,
        current: i16,
        found: i16,
    },
}

/// One producer's state in one partition. Copying it makes an overlay: batches that were proposed and
/// not yet applied are checked against the copy and recorded into it.
///
/// The default is that of a producer nobody knows: any epoch and sequence number fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerState {
    epoch: i16,
    // Invariant: the first `len` batches are of `epoch`, oldest first, each following the one before.
    len: u8,
    batches: [ProducedBatch; REMEMBERED_BATCHES],
    last_append_ms: i64,
}

impl Default for ProducerState {
    fn default() -> ProducerState {
        ProducerState {
            epoch: NO_EPOCH,
            len: 0,
            batches: Default::default(),
            last_append_ms: 0,
        }
    }
}

impl ProducerState {
    pub fn epoch(&self) -> i16 {
        self.epoch
    }

    /// The last batches of the current epoch, oldest first.
    pub fn batches(&self) -> &[ProducedBatch] {
        &self.batches[..usize::from(self.len)]
    }

    /// When a batch was last recorded, by the time that came with it.
    pub fn last_append_ms(&self) -> i64 {
        self.last_append_ms
    }

    /// Whether the batch comes next, came already, or must be refused. Changes nothing.
    pub fn check(&self, header: &BatchHeader) -> Result<ProducerCheck, ProducerError> {
        let producer_id = header.producer_id;
        let found = header.base_sequence;
        let Some(last) = self.batches().last() else {
            return Ok(ProducerCheck::Append);
        };
        if header.producer_epoch < self.epoch {
            return Err(ProducerError::InvalidEpoch {
                producer_id,
                current: self.epoch,
                found: header.producer_epoch,
            });
        }
        let expected = if header.producer_epoch == self.epoch {
            if let Some(batch) = self.find(header) {
                return Ok(ProducerCheck::Duplicate {
                    base_offset: batch.base_offset,
                    timestamp: batch.timestamp,
                });
            }
            next_sequence(last.last_sequence)
        } else {
            0
        };
        if found == expected {
            Ok(ProducerCheck::Append)
        } else {
            Err(ProducerError::OutOfOrderSequence {
                producer_id,
                expected,
                found,
            })
        }
    }

    /// Remembers a batch that [`ProducerState::check`] let pass.
    pub fn record(&mut self, header: &BatchHeader, base_offset: Offset) {
        if header.producer_epoch != self.epoch {
            self.epoch = header.producer_epoch;
            self.len = 0;
        }
        let mut at = usize::from(self.len);
        if at == REMEMBERED_BATCHES {
            self.batches.rotate_left(1);
            at -= 1;
        } else {
            self.len += 1;
        }
        self.batches[at] = ProducedBatch {
            base_offset,
            timestamp: header.max_timestamp,
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
        };
    }

    fn find(&self, header: &BatchHeader) -> Option<&ProducedBatch> {
        let wanted = (header.base_sequence, header.last_sequence());
        self.batches()
            .iter()
            .find(|batch| (batch.first_sequence, batch.last_sequence) == wanted)
    }

    /// Rebuilds a stored state; `None` when no run of `check` and `record` could have made it.
    pub(crate) fn restore(
        epoch: i16,
        last_append_ms: i64,
        batches: &[ProducedBatch],
    ) -> Option<ProducerState> {
        let follows = batches
            .windows(2)
            .all(|pair| pair[1].first_sequence == next_sequence(pair[0].last_sequence));
        if batches.len() > REMEMBERED_BATCHES || !follows {
            return None;
        }
        let mut state = ProducerState {
            epoch,
            len: batches.len() as u8,
            last_append_ms,
            ..ProducerState::default()
        };
        state.batches[..batches.len()].copy_from_slice(batches);
        Some(state)
    }
}

fn next_sequence(last: i32) -> i32 {
    if planted::has(Bug::SequenceWraps) {
        return last.wrapping_add(1);
    }
    if last == i32::MAX { 0 } else { last + 1 }
}

/// All producers that a partition knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Producers {
    // Invariant: sorted by producer id, without duplicates. Ids are handed out in rising order, so a
    // new producer nearly always goes to the end.
    states: Vec<(i64, ProducerState)>,
}

impl Producers {
    pub fn get(&self, producer_id: i64) -> Option<&ProducerState> {
        let at = self.position(producer_id).ok()?;
        Some(&self.states[at].1)
    }

    /// A copy to check and record pending batches with; that of an unknown producer fits anything.
    pub fn overlay(&self, producer_id: i64) -> ProducerState {
        self.get(producer_id).copied().unwrap_or_default()
    }

    /// As [`ProducerState::check`]; a batch without producer id is always appended.
    pub fn check(&self, header: &BatchHeader) -> Result<ProducerCheck, ProducerError> {
        match self.get(header.producer_id) {
            Some(state) if header.has_producer_id() => state.check(header),
            _ => Ok(ProducerCheck::Append),
        }
    }

    /// As [`ProducerState::record`]; `append_time_ms` is the time of the append, and expiry counts from it.
    pub fn record(&mut self, header: &BatchHeader, base_offset: Offset, append_time_ms: i64) {
        if !header.has_producer_id() {
            return;
        }
        let at = self.position(header.producer_id).unwrap_or_else(|at| {
            // Most partitions know one producer; four places at once would be 600 bytes.
            if self.states.is_empty() {
                self.states.reserve_exact(1);
            }
            let unknown = (header.producer_id, ProducerState::default());
            self.states.insert(at, unknown);
            at
        });
        let state = &mut self.states[at].1;
        state.record(header, base_offset);
        state.last_append_ms = state.last_append_ms.max(append_time_ms);
    }

    /// Forgets producers without an append for `expiration_ms`; returns how many.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) -> usize {
        let before = self.states.len();
        self.states
            .retain(|(_, state)| now_ms.saturating_sub(state.last_append_ms) < expiration_ms);
        if self.states.len() < before {
            self.states.shrink_to_fit();
        }
        before - self.states.len()
    }

    /// Rises by producer id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (i64, &ProducerState)> {
        self.states.iter().map(|(id, state)| (*id, state))
    }

    pub fn len(&self) -> usize {
        self.states.len()
    }

    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Memory held beside the struct itself.
    pub fn heap_bytes(&self) -> usize {
        self.states.capacity() * size_of::<(i64, ProducerState)>()
    }

    pub(crate) fn restore(states: Vec<(i64, ProducerState)>) -> Option<Producers> {
        let sorted = states.windows(2).all(|pair| pair[0].0 < pair[1].0);
        sorted.then_some(Producers { states })
    }

    fn position(&self, producer_id: i64) -> Result<usize, usize> {
        self.states
            .binary_search_by_key(&producer_id, |(id, _)| *id)
    }
}

#[cfg(test)]
mod tests;
