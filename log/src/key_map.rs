//! The latest offset of each key in a stretch of a log, in bounded memory.
//!
//! A key is known by a hash of 128 bits under a secret seed, so that nobody can write two keys that are
//! taken for one. When the map is full, the stretch ends there, and another pass goes on behind it.

use crate::batch::{BatchError, Offset, batches};
use crate::compact::{Latest, LatestError, Standing};
use crate::records::BatchRecords;
use siphasher::sip128::{Hasher128, SipHasher24};
use std::collections::HashMap;
use std::hash::Hasher;

/// What a key takes: hash and offset, in a table that is between half and seven eighths full.
const BYTES_PER_KEY: usize = 50;

type KeyHash = [u64; 2];

/// See the module's description.
#[derive(Debug)]
pub struct KeyMap {
    seed: [u64; 2],
    latest: HashMap<KeyHash, Offset>,
    max_keys: usize,
    known_below: Offset,
}

impl KeyMap {
    /// A map that takes about `max_bytes` at most, or less where no more than `expected` records are to be
    /// noted, those from the offset `from` on.
    pub fn new(seed: [u64; 2], max_bytes: usize, from: Offset, expected: usize) -> KeyMap {
        let max_keys = (max_bytes / BYTES_PER_KEY).max(1);
        KeyMap {
            seed,
            latest: HashMap::with_capacity(max_keys.min(expected)),
            max_keys,
            known_below: from,
        }
    }

    /// Notes the keys of the next batches, up to the first that does not fit; says whether all did.
    pub fn note(&mut self, run: &[u8], max_decompressed_bytes: usize) -> Result<bool, BatchError> {
        for found in batches(run) {
            let (header, range) = found?;
            // A batch of a transaction supersedes nothing, since it may have been aborted.
            if !header.is_control() && !header.is_transactional() {
                let records = BatchRecords::open(&run[range], max_decompressed_bytes)?;
                if !self.note_batch(&records)? {
                    return Ok(false);
                }
            }
            self.known_below = header.last_offset() + 1;
        }
        Ok(true)
    }

    /// Every key of the records that were to be noted is known below this offset.
    pub fn known_below(&self) -> Offset {
        self.known_below
    }

    /// Notes all of a batch or nothing; the first one fits always.
    fn note_batch(&mut self, records: &BatchRecords<'_>) -> Result<bool, BatchError> {
        let header = records.header();
        let count = usize::try_from(header.records_count).unwrap_or(0);
        if !self.latest.is_empty() && self.latest.len() + count > self.max_keys {
            return Ok(false);
        }
        for record in records {
            let record = record?;
            if let Some(key) = record.key {
                self.latest
                    .insert(self.hash(key), records.offset_of(&record));
            }
        }
        Ok(true)
    }

    pub fn len(&self) -> usize {
        self.latest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    fn hash(&self, key: &[u8]) -> KeyHash {
        let [first, second] = self.seed;
        let mut hasher = SipHasher24::new_with_keys(first, second);
        hasher.write(key);
        let hash = hasher.finish128();
        [hash.h1, hash.h2]
    }
}

impl Latest for KeyMap {
    fn judge(
        &mut self,
        records: &BatchRecords<'_>,
        standings: &mut Vec<Standing>,
    ) -> Result<(), LatestError> {
        for record in records {
            let record = record?;
            let latest = record.key.and_then(|key| self.latest.get(&self.hash(key)));
            let offset = records.offset_of(&record);
            standings.push(match latest {
                Some(latest) if offset < *latest => Standing::Superseded,
                _ => Standing::Latest,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::BatchBuilder;
    use crate::compression::Codec;

    fn batch(keys: &[&[u8]], transactional: bool) -> bytes::BytesMut {
        let mut builder = BatchBuilder::new(Codec::None);
        if transactional {
            builder = builder.transactional();
        }
        for key in keys {
            builder.append(0, Some(key), Some(b"value"), &[]);
        }
        builder.build().unwrap()
    }

    fn standings(map: &mut KeyMap, batch: &[u8]) -> Vec<Standing> {
        let records = BatchRecords::open(batch, 1 << 20).unwrap();
        let mut standings = Vec::new();
        map.judge(&records, &mut standings).unwrap();
        standings
    }

    fn note(map: &mut KeyMap, batch: &[u8]) -> bool {
        map.note(batch, 1 << 20).unwrap()
    }

    #[test]
    fn only_the_last_of_a_key_is_its_latest() {
        let mut map = KeyMap::new([1, 2], 1 << 20, 0, 10);
        let noted = batch(&[b"a", b"b", b"a", b""], false);
        assert!(note(&mut map, &noted));
        use Standing::{Latest, Superseded};
        assert_eq!(
            standings(&mut map, &noted),
            [Superseded, Latest, Latest, Latest]
        );
        assert_eq!(map.len(), 3);
        let mut later = batch(&[b"a", b"c"], false);
        crate::assign(&mut later, 4, 0);
        assert_eq!(standings(&mut map, &later), [Latest, Latest]);
    }

    #[test]
    fn a_full_map_takes_nothing_of_a_batch() {
        let mut map = KeyMap::new([1, 2], 2 * BYTES_PER_KEY, 0, 10);
        assert!(note(&mut map, &batch(&[b"a", b"b", b"c"], false)));
        let mut more = batch(&[b"a", b"d"], false);
        crate::assign(&mut more, 3, 0);
        assert!(!note(&mut map, &more));
        assert_eq!((map.len(), map.known_below()), (3, 3));
        assert_eq!(
            standings(&mut map, &batch(&[b"a"], false)),
            [Standing::Latest]
        );
    }

    #[test]
    fn a_transaction_supersedes_nothing() {
        let mut map = KeyMap::new([1, 2], 1 << 20, 0, 10);
        let mut open = batch(&[b"a"], true);
        crate::assign(&mut open, 1, 0);
        assert!(note(&mut map, &open));
        assert!(map.is_empty());
        assert_eq!(map.known_below(), 2);
        assert_eq!(
            standings(&mut map, &batch(&[b"a"], false)),
            [Standing::Latest]
        );
    }
}
