//! Where clients put a key. Clients disagree on the hash, so a table holds the set of partitioners that
//! explain every record it has accepted, and a lookup goes to the partitions that this set names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::def::{UnknownWord, setting};

setting! {
    /// Which partitioner a table's producers use.
    PartitionerSetting, "table.partitioner" {
        /// Found out from the records that arrive.
        #[default]
        Auto = "auto",
        Murmur2 = "murmur2",
        Crc32 = "crc32",
        Fnv1a = "fnv1a",
        Murmur2Unsigned = "murmur2-unsigned",
    }
}

/// A way from a key's bytes to a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Partitioner {
    /// Java, franz-go, kafkajs, kafka-python, librdkafka's `murmur2` and `murmur2_random`.
    Murmur2,
    /// librdkafka's default, `consistent_random`.
    Crc32,
    /// Sarama's default.
    Fnv1a,
    /// @platformatic/kafka's default: Java's hash, taken as unsigned.
    Murmur2Unsigned,
}

impl Partitioner {
    /// In the order in which a server-side write picks one.
    pub const ALL: [Partitioner; 4] = [
        Self::Murmur2,
        Self::Crc32,
        Self::Fnv1a,
        Self::Murmur2Unsigned,
    ];

    /// The partition of `key` among `partition_count`, which is at least 1.
    pub fn partition(self, key: &[u8], partition_count: u32) -> u32 {
        assert!(partition_count > 0, "a topic has a partition");
        let hash = match self {
            Self::Murmur2 => murmur2(key) & 0x7fff_ffff,
            Self::Crc32 => crc32(key),
            Self::Fnv1a => fnv1a(key).cast_signed().unsigned_abs(),
            Self::Murmur2Unsigned => murmur2(key),
        };
        hash % partition_count
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Murmur2 => PartitionerSetting::Murmur2.word(),
            Self::Crc32 => PartitionerSetting::Crc32.word(),
            Self::Fnv1a => PartitionerSetting::Fnv1a.word(),
            Self::Murmur2Unsigned => PartitionerSetting::Murmur2Unsigned.word(),
        }
    }

    /// What makes the usual clients place keys this way.
    pub fn client_settings(self) -> &'static str {
        match self {
            Self::Murmur2 => {
                "Java, franz-go, kafkajs, kafka-python: the default; librdkafka, Python's confluent-kafka, kcat: \
                 `partitioner=murmur2_random`; sarama: a murmur2 partitioner; @platformatic/kafka: \
                 `partitioner: compatibilityPartitioner`"
            }
            Self::Crc32 => {
                "librdkafka, Python's confluent-kafka, kcat: the default, `partitioner=consistent_random`"
            }
            Self::Fnv1a => {
                "sarama: the default; librdkafka, Python's confluent-kafka, kcat: `partitioner=fnv1a_random`"
            }
            Self::Murmur2Unsigned => "@platformatic/kafka: the default",
        }
    }
}

/// The partitioners that explain every record of a table so far.
// Invariant: never empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Candidates(u8);

impl Candidates {
    const FULL: u8 = 0b1111;

    /// The set that a setting starts with.
    pub fn new(setting: PartitionerSetting) -> Self {
        match setting {
            PartitionerSetting::Auto => Self(Self::FULL),
            PartitionerSetting::Murmur2 => Self::only(Partitioner::Murmur2),
            PartitionerSetting::Crc32 => Self::only(Partitioner::Crc32),
            PartitionerSetting::Fnv1a => Self::only(Partitioner::Fnv1a),
            PartitionerSetting::Murmur2Unsigned => Self::only(Partitioner::Murmur2Unsigned),
        }
    }

    pub fn only(partitioner: Partitioner) -> Self {
        Self(1 << partitioner as u8)
    }

    pub fn contains(self, partitioner: Partitioner) -> bool {
        self.0 & (1 << partitioner as u8) != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Partitioner> {
        Partitioner::ALL
            .into_iter()
            .filter(move |p| self.contains(*p))
    }

    /// The set of `partitioners`; `None` where there are none.
    pub fn of(partitioners: impl IntoIterator<Item = Partitioner>) -> Option<Self> {
        let bits = partitioners
            .into_iter()
            .fold(0, |bits, p| bits | (1 << p as u8));
        (bits != 0).then_some(Self(bits))
    }

    /// Nothing is left to find out.
    pub fn decided(self) -> bool {
        self.0.is_power_of_two()
    }

    pub fn bits(self) -> u8 {
        self.0
    }

    /// The candidates that put `key` where it is, or `None` if no candidate does.
    pub fn narrow(self, key: &[u8], partition: u32, partition_count: u32) -> Option<Self> {
        if partition_count == 1 {
            return Some(self);
        }
        let kept = self
            .iter()
            .filter(|p| p.partition(key, partition_count) == partition);
        let bits = kept.fold(0, |bits, p| bits | (1 << p as u8));
        (bits != 0).then_some(Self(bits))
    }

    /// The partitioner that a write of the server itself uses and thereby fixes.
    pub fn for_write(self) -> Partitioner {
        self.iter().next().expect("a candidate set is never empty")
    }

    /// Where `key` may be: one partition for each candidate, without repeats.
    pub fn partitions(self, key: &[u8], partition_count: u32) -> SmallVec<[u32; 4]> {
        let mut partitions = SmallVec::new();
        if partition_count == 1 {
            partitions.push(0);
            return partitions;
        }
        for partitioner in self.iter() {
            let partition = partitioner.partition(key, partition_count);
            if !partitions.contains(&partition) {
                partitions.push(partition);
            }
        }
        partitions
    }
}

impl fmt::Debug for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Partitioner::word))
            .finish()
    }
}

/// A stored candidate set has no known partitioner in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("partitioner candidates {0:#06b} are not a set of known partitioners")]
pub struct BadCandidates(u8);

impl TryFrom<u8> for Candidates {
    type Error = BadCandidates;

    fn try_from(bits: u8) -> Result<Self, BadCandidates> {
        if bits == 0 || bits & !Self::FULL != 0 {
            return Err(BadCandidates(bits));
        }
        Ok(Self(bits))
    }
}

impl From<Candidates> for u8 {
    fn from(candidates: Candidates) -> u8 {
        candidates.0
    }
}

/// MurmurHash2 of Austin Appleby, 32 bits, with the seed that Kafka's clients share.
fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut hash = SEED ^ (key.len() as u32);
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// CRC-32 as in zlib: polynomial 0xEDB88320 reflected.
fn crc32(key: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc32_table();
    let mut crc = !0;
    for &byte in key {
        crc = TABLE[usize::from((crc as u8) ^ byte)] ^ (crc >> 8);
    }
    !crc
}

const fn crc32_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                0xEDB8_8320 ^ (crc >> 1)
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

/// FNV-1a, 32 bits.
fn fnv1a(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
#[path = "partitioner/tests.rs"]
mod tests;
