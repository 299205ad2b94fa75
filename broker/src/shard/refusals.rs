//! Batches of one connection that were refused and are to come again.
//!
//! An idempotent producer has up to five batches of a partition on their way, and sends again what was refused because
//! the partition is led elsewhere, moves, or cannot be written now. What follows such a batch was sent before its producer
//! could know of that, and must not be looked at before it comes again, though the partition may be open by then:
//!
//! ```text
//! producer              broker, which leads both shards of a move
//! sends 1, 2, 3
//!                       sealed in the one shard: 1 is refused
//!                       open in the other: 2 does not follow what is there
//! is told of a gap
//! ```
//! For a gap librdkafka gives up its epoch, and what may be stored already, in whatever partition, it sends again under
//! new numbers: it is stored twice. And of a producer that the partition does not know, 2 would be taken for the first,
//! and 1 be the gap. So 2 and 3 are refused as 1 was, until 1 comes again; then all three follow.
//!
//! They are not refused for good. A producer gives up a batch some time (Java's, after `delivery.timeout.ms`), and learns
//! of the gap when it sends 2 a second time.
//!
//! The first of a producer may also be refused by one node while the next is on its way to another, which leads by now:
//!
//! ```text
//! producer              old leader              new leader
//! sends 1
//! hears of the new leader, sends 2
//!                       1 is refused            2 would be taken for the first
//! ```
//! Kafka takes it, and is then sent 1 until the producer gives it up. Here a partition that may have been led by another
//! node waits for the first in the same way, but for a moment only: a producer that the partition has forgotten goes on
//! from where it is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::time::Instant;
use weir_log::{BatchHeader, ProducerState};

use super::entry::PartitionId;

/// Runs of refused batches that are remembered for a connection; past it all of them are forgotten.
const RUNS: usize = 512;
/// Batches of one run; more than a producer has on their way.
const RUN_LEN: usize = 8;
/// How long the first batch of a producer is waited for: a node that does not lead refuses it at once.
const FIRST_COMES: Duration = Duration::from_secs(2);

/// A batch of an idempotent producer, by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    partition: PartitionId,
    producer_id: i64,
    epoch: i16,
    /// Of its first record.
    sequence: i32,
}

impl Numbered {
    /// `None` for a batch that nobody has numbered.
    pub fn of(partition: PartitionId, header: &BatchHeader) -> Option<Numbered> {
        header.has_producer_id().then_some(Numbered {
            partition,
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            sequence: header.base_sequence,
        })
    }
}

/// What was refused on one connection, by partition and producer.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Whether there are any: mostly there are none.
    any: AtomicBool,
    runs: Mutex<HashMap<(PartitionId, i64), Run>>,
}

/// Refused batches of a producer's epoch.
#[derive(Debug)]
struct Run {
    epoch: i16,
    /// The one that comes next, by the number of its first record.
    first: i32,
    /// Those behind it.
    behind: SmallVec<[i32; 4]>,
    /// Until when it is waited for, though what is behind it comes again.
    awaited: Option<Instant>,
}

impl Refusals {
    /// Notes that a batch was refused, or is not known to be stored, and that its producer will send it again.
    pub fn note(&self, batch: Numbered) {
        self.note_until(batch, None);
    }

    fn note_until(&self, batch: Numbered, awaited: Option<Instant>) {
        let mut runs = self.runs.lock();
        let key = (batch.partition, batch.producer_id);
        if runs.len() >= RUNS && !runs.contains_key(&key) {
            runs.clear();
        }
        let run = runs.entry(key).or_insert_with(|| Run::of(&batch));
        if run.epoch < batch.epoch {
            *run = Run::of(&batch);
        }
        if run.epoch == batch.epoch {
            run.note(batch.sequence);
        }
        run.awaited = awaited.or(run.awaited);
        self.any.store(true, Ordering::Release);
    }

    /// Whether a batch follows one that was refused and has not come again, here or, as `stored` shows, elsewhere; or
    /// follows the first of its producer, which `lacks_first` says that the partition may yet get.
    ///
    /// It is to be refused then, and noted.
    pub fn precede(
        &self,
        batch: &Numbered,
        stored: impl FnOnce() -> ProducerState,
        lacks_first: impl FnOnce() -> bool,
    ) -> bool {
        let begins_late = || batch.sequence != 0 && lacks_first();
        if !self.any.load(Ordering::Acquire) {
            return begins_late() && self.await_first(batch);
        }
        let mut runs = self.runs.lock();
        let key = (batch.partition, batch.producer_id);
        let Some(run) = runs.get(&key) else {
            drop(runs);
            return begins_late() && self.await_first(batch);
        };
        if run.is_after(batch) {
            return false;
        }
        let precedes = run.precedes(batch) && !run.is_stored(&stored());
        if !precedes {
            runs.remove(&key);
            self.any.store(!runs.is_empty(), Ordering::Release);
        }
        precedes
    }

    /// Notes that the first of a batch's producer was refused, wherever that was.
    fn await_first(&self, batch: &Numbered) -> bool {
        let first = Numbered {
            sequence: 0,
            ..*batch
        };
        self.note_until(first, Some(Instant::now() + FIRST_COMES));
        true
    }
}

impl Run {
    fn of(batch: &Numbered) -> Run {
        Run {
            epoch: batch.epoch,
            first: batch.sequence,
            behind: SmallVec::new(),
            awaited: None,
        }
    }

    fn note(&mut self, sequence: i32) {
        if is_before(self.first, sequence) {
            if self.behind.len() < RUN_LEN && !self.behind.contains(&sequence) {
                self.behind.push(sequence);
            }
        } else {
            // It begins again from here.
            self.first = sequence;
            self.behind.clear();
        }
    }

    /// Whether the batch is from before all of these, and comes again since its answer was lost.
    fn is_after(&self, batch: &Numbered) -> bool {
        let is_earlier = batch.epoch == self.epoch && is_before(batch.sequence, self.first);
        is_earlier || batch.epoch < self.epoch
    }

    fn precedes(&self, batch: &Numbered) -> bool {
        let follows = batch.epoch == self.epoch && batch.sequence != self.first;
        // Who sends again what is behind, and not the first, does not send the first any more.
        let comes_again = self.behind.contains(&batch.sequence) || self.behind.len() >= RUN_LEN;
        let is_awaited = self.awaited.is_some_and(|until| Instant::now() < until);
        follows && (is_awaited || !comes_again)
    }

    /// Whether the first has been stored meanwhile, or its epoch is over.
    fn is_stored(&self, stored: &ProducerState) -> bool {
        let last = stored.batches().last();
        let reached = last.is_some_and(|last| !is_before(last.last_sequence, self.first));
        stored.epoch() > self.epoch || stored.epoch() == self.epoch && reached
    }
}

/// Whether a sequence number comes before another: they begin again with 0 after `i32::MAX`.
fn is_before(one: i32, other: i32) -> bool {
    let ahead = other.wrapping_sub(one) & i32::MAX;
    (1..1 << 30).contains(&ahead)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use weir_log::BatchBuilder;
    use weir_log::Codec;

    use super::*;

    fn header(epoch: i16, sequence: i32) -> BatchHeader {
        let mut batch = BatchBuilder::new(Codec::None).producer(7, epoch, sequence);
        batch.append(0, None, Some(b"value"), &[]);
        let bytes = batch.build().expect("a batch");
        BatchHeader::parse(&bytes).expect("a header")
    }

    fn batch(epoch: i16, sequence: i32) -> Numbered {
        let partition = PartitionId {
            topic: Uuid::from_u128(1),
            index: 0,
        };
        Numbered::of(partition, &header(epoch, sequence)).expect("it has a producer")
    }

    fn nothing() -> ProducerState {
        ProducerState::default()
    }

    /// The batches, of epoch 0, that are refused when they come in this order, after those of `refused`.
    fn refused_of(refused: &[i32], come: &[i32]) -> Vec<i32> {
        let refusals = Refusals::default();
        refused.iter().for_each(|one| refusals.note(batch(0, *one)));
        refused_where(&refusals, false, come)
    }

    /// As they come to a partition that, until one of them is taken, lacks the first of the producer or does not.
    fn refused_where(refusals: &Refusals, lacks_first: bool, come: &[i32]) -> Vec<i32> {
        let taken = std::cell::Cell::new(false);
        let comes = |sequence: &i32| {
            let batch = batch(0, *sequence);
            let lacks_first = || lacks_first && !taken.get();
            let refused = refusals.precede(&batch, nothing, lacks_first);
            match refused {
                true => refusals.note(batch),
                false => taken.set(true),
            }
            refused
        };
        come.iter().copied().filter(comes).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_of_a_producer_is_waited_for_a_moment() {
        let refused = |come: &[i32]| refused_where(&Refusals::default(), true, come);
        // It was refused elsewhere, and comes.
        assert_eq!(refused(&[1, 2, 1, 2, 1, 0, 1, 2, 3]), [1, 2, 1, 2, 1]);
        assert!(refused(&[0, 1, 2]).is_empty());
        // Its producer is forgotten here, or gave it up: it goes on from where it is.
        let connection = Refusals::default();
        assert_eq!(
            refused_where(&connection, true, &[41, 42, 41]),
            [41, 42, 41]
        );
        tokio::time::advance(FIRST_COMES).await;
        assert!(refused_where(&connection, true, &[41, 42, 43]).is_empty());
        // Also with others refused on the connection.
        let refusals = Refusals::default();
        let mut other = batch(0, 7);
        other.partition.index = 1;
        refusals.note(other);
        assert_eq!(refused_where(&refusals, true, &[1, 0, 1]), [1]);
    }

    #[test]
    fn what_follows_a_refused_batch_is_refused_until_that_comes_again() {
        assert!(refused_of(&[], &[5, 6, 7]).is_empty());
        let come = [6, 7, 8, 9, 5, 6, 7, 8, 9, 10];
        assert_eq!(refused_of(&[5], &come), [6, 7, 8, 9]);
        // The second is refused where it arrives, the first when its entry is.
        assert_eq!(refused_of(&[6, 5], &[7, 8, 5, 6, 7, 8]), [7, 8]);
        // What was sent before comes again, since its answer was lost.
        assert_eq!(refused_of(&[5], &[6, 4, 7, 5, 6]), [6, 7]);
        // The first comes again, and is refused again.
        assert_eq!(refused_of(&[5, 6, 5], &[6, 7, 5, 6]), [6, 7]);
        let end = i32::MAX;
        assert_eq!(refused_of(&[end], &[0, 1, end, 0, 1]), [0, 1]);
    }

    #[test]
    fn who_gives_a_batch_up_is_told_of_the_gap() {
        assert_eq!(refused_of(&[5], &[6, 7, 6, 7]), [6, 7]);
    }

    #[test]
    fn a_new_epoch_and_a_batch_that_was_stored_elsewhere_end_it() {
        let refusals = Refusals::default();
        refusals.note(batch(0, 5));
        assert!(refusals.precede(&batch(0, 6), nothing, || false));
        assert!(!refusals.precede(&batch(1, 0), nothing, || false));
        assert!(
            !refusals.precede(&batch(0, 6), nothing, || false),
            "it is forgotten"
        );

        let mut stored = ProducerState::default();
        stored.record(&header(0, 4), 100);
        refusals.note(batch(0, 5));
        assert!(refusals.precede(&batch(0, 6), || stored, || false));
        stored.record(&header(0, 5), 101);
        assert!(!refusals.precede(&batch(0, 6), || stored, || false));
    }

    #[test]
    fn partitions_and_producers_do_not_mix_and_their_number_is_bounded() {
        let refusals = Refusals::default();
        let other = |index: usize| {
            let mut other = batch(0, 5);
            other.partition.index = index as i32 + 1;
            other
        };
        refusals.note(batch(0, 5));
        let mut behind = other(0);
        behind.sequence = 6;
        assert!(!refusals.precede(&behind, nothing, || false));
        (0..3 * RUNS).for_each(|index| refusals.note(other(index)));
        assert!(refusals.runs.lock().len() <= RUNS);
    }
}
