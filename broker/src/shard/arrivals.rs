//! Records that were brought here from a peer, on their way into the shard whose snapshot they make whole.
//!
//! A shard's snapshot says where records lie at the node that made it. So a peer's snapshot is handed to Raft with the
//! number of an arrival before it, and the state machine takes from there where the records lie here.
//!
//! ```text
//! offset  size  field
//! 0       1     kind      u8 = 255, which no stored snapshot begins with
//! 1       8     arrival   u64, little-endian
//! 9       n     snapshot  see `shard::snapshot`
//! ```

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use weir_log::Segment;
use weir_raft::ShardId;

use super::entry::PartitionId;
use crate::segments::Unnamed;

const KIND: u8 = 255;
const HEADER_LEN: usize = 9;
/// Arrivals of one shard that may wait: the state machine may be at an earlier one while the next one comes.
const MOST: usize = 4;

/// What was brought of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// They follow each other and end where the snapshot's log does.
    pub segments: Vec<Segment>,
    /// They take the place of all that was here, rather than follow it.
    pub whole: bool,
}

/// What was brought of a shard.
#[derive(Default)]
pub struct Arrived {
    pub partitions: BTreeMap<PartitionId, Brought>,
    /// Keeps the files until partitions name them.
    pub unnamed: Vec<Unnamed>,
}

/// Arrivals by number.
#[derive(Default)]
pub struct Arrivals {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    by_number: BTreeMap<u64, (ShardId, Arrived)>,
}

impl Arrivals {
    /// Notes an arrival; answers its shard's snapshot with the number before it.
    pub fn add(&self, shard: ShardId, arrived: Arrived, snapshot: &[u8]) -> Bytes {
        let mut waiting = self.waiting.lock();
        waiting.last += 1;
        let number = waiting.last;
        waiting.by_number.insert(number, (shard, arrived));
        // Those that Raft had no use for.
        let of_shard = waiting.by_number.iter().filter(|(_, (of, _))| *of == shard);
        let of_shard: Vec<u64> = of_shard.map(|(number, _)| *number).collect();
        for number in of_shard.iter().rev().skip(MOST) {
            waiting.by_number.remove(number);
        }
        let mut bytes = BytesMut::with_capacity(HEADER_LEN + snapshot.len());
        bytes.put_u8(KIND);
        bytes.put_u64_le(number);
        bytes.put_slice(snapshot);
        bytes.freeze()
    }

    /// Takes the arrival that is named before a snapshot, and the snapshot; a stored one has none.
    pub fn take<'a>(&self, mut bytes: &'a [u8]) -> Result<(Option<Arrived>, &'a [u8]), String> {
        if bytes.first() != Some(&KIND) {
            return Ok((None, bytes));
        }
        bytes.advance(1);
        let number = bytes.try_get_u64_le().map_err(|error| error.to_string())?;
        let arrived = self.waiting.lock().by_number.remove(&number);
        let (_, arrived) = arrived.ok_or("what was brought for the snapshot is gone")?;
        Ok((Some(arrived), bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_finds_what_was_brought_for_it() {
        let arrivals = Arrivals::default();
        let arrived = |whole| {
            let brought = Brought {
                segments: Vec::new(),
                whole,
            };
            let id = PartitionId {
                topic: uuid::Uuid::from_u128(1),
                index: 0,
            };
            Arrived {
                partitions: [(id, brought)].into(),
                unnamed: Vec::new(),
            }
        };
        let first = arrivals.add(ShardId(1), arrived(true), &[1, 2]);
        let second = arrivals.add(ShardId(1), arrived(false), &[1, 3]);
        let whole = |bytes: &[u8]| {
            let (arrived, rest) = arrivals.take(bytes).expect("there");
            let partitions = arrived.expect("brought").partitions;
            (
                partitions.into_values().next().expect("one").whole,
                rest.to_vec(),
            )
        };
        assert_eq!(whole(&second), (false, vec![1, 3]));
        assert_eq!(whole(&first), (true, vec![1, 2]));
        assert!(arrivals.take(&first).is_err(), "it was taken");
        let (none, rest) = arrivals.take(&[1, 9]).expect("a stored one");
        assert!(none.is_none() && rest == [1, 9]);
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let arrivals = Arrivals::default();
        let add = |shard| arrivals.add(ShardId(shard), Arrived::default(), &[1]);
        let other = add(2);
        let all: Vec<Bytes> = (0..=MOST).map(|_| add(1)).collect();
        assert!(arrivals.take(&all[0]).is_err());
        assert!(arrivals.take(&all[1]).is_ok());
        assert!(arrivals.take(&other).is_ok());
    }
}
