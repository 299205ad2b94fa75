//! The partitioners that a table still considers possible for its clients.
//!
//! Clients place keys by different hashes. A table keeps the set of those that put every key accepted so far where it
//! is; the set only shrinks, by compare and set through the metadata log.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Partitioner {
    /// Java, franz-go, kafkajs, librdkafka's murmur2 modes.
    Murmur2,
    /// librdkafka's default (`consistent_random`), so Python's and Node's confluent clients.
    Crc32,
    /// sarama.
    Fnv1a,
    /// @platformatic/kafka: murmur2 without clearing the sign bit.
    Murmur2Unsigned,
}

impl Partitioner {
    pub const ALL: [Partitioner; 4] = [
        Partitioner::Murmur2,
        Partitioner::Crc32,
        Partitioner::Fnv1a,
        Partitioner::Murmur2Unsigned,
    ];

    /// The name that `table.partitioner` uses.
    pub fn name(self) -> &'static str {
        match self {
            Partitioner::Murmur2 => "murmur2",
            Partitioner::Crc32 => "crc32",
            Partitioner::Fnv1a => "fnv1a",
            Partitioner::Murmur2Unsigned => "murmur2-unsigned",
        }
    }

    pub fn from_name(name: &str) -> Option<Partitioner> {
        Partitioner::ALL.into_iter().find(|p| p.name() == name)
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A set of partitioners, stored as the list of their names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct PartitionerSet(u8);

impl PartitionerSet {
    pub const EMPTY: PartitionerSet = PartitionerSet(0);

    pub fn all() -> PartitionerSet {
        Partitioner::ALL.into_iter().collect()
    }

    pub fn contains(self, partitioner: Partitioner) -> bool {
        self.0 & partitioner.bit() != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub fn is_subset_of(self, other: PartitionerSet) -> bool {
        self.0 & !other.0 == 0
    }

    pub fn intersection(self, other: PartitionerSet) -> PartitionerSet {
        PartitionerSet(self.0 & other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Partitioner> {
        Partitioner::ALL
            .into_iter()
            .filter(move |p| self.contains(*p))
    }
}

impl FromIterator<Partitioner> for PartitionerSet {
    fn from_iter<I: IntoIterator<Item = Partitioner>>(partitioners: I) -> Self {
        PartitionerSet(partitioners.into_iter().fold(0, |bits, p| bits | p.bit()))
    }
}

impl From<Partitioner> for PartitionerSet {
    fn from(partitioner: Partitioner) -> Self {
        PartitionerSet(partitioner.bit())
    }
}

impl From<PartitionerSet> for Vec<String> {
    fn from(set: PartitionerSet) -> Self {
        set.iter().map(|p| p.name().to_owned()).collect()
    }
}

impl TryFrom<Vec<String>> for PartitionerSet {
    type Error = String;
    fn try_from(names: Vec<String>) -> Result<Self, String> {
        names
            .iter()
            .map(|n| Partitioner::from_name(n).ok_or_else(|| format!("unknown partitioner `{n}`")))
            .collect()
    }
}

impl fmt::Debug for PartitionerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Partitioner::name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_stored_as_names() {
        let set: PartitionerSet = [Partitioner::Crc32, Partitioner::Murmur2Unsigned]
            .into_iter()
            .collect();
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(json, r#"["crc32","murmur2-unsigned"]"#);
        assert_eq!(serde_json::from_str::<PartitionerSet>(&json).unwrap(), set);
        assert!(serde_json::from_str::<PartitionerSet>(r#"["md5"]"#).is_err());
    }

    #[test]
    fn narrowing_is_a_subset() {
        let one = PartitionerSet::from(Partitioner::Fnv1a);
        assert!(one.is_subset_of(PartitionerSet::all()));
        assert!(!PartitionerSet::all().is_subset_of(one));
        assert_eq!(PartitionerSet::all().len(), 4);
    }
}
