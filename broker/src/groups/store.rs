//! What the records of `__consumer_offsets` fold into, on every replica.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use weir_log::{BatchHeader, BatchRecords};

use super::format::{CommittedOffset, FormatError, GroupMetadata, Key};
use crate::shard::entry::PartitionId;
use crate::shard::machine::Fold;
use crate::topic::MAX_DECOMPRESSED_BYTES;

/// One group as its records say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredGroup {
    /// `None` for a group that only stores offsets.
    pub metadata: Option<GroupMetadata>,
    /// By topic and partition.
    pub offsets: BTreeMap<Arc<str>, BTreeMap<i32, CommittedOffset>>,
}

/// The groups of one partition. A group that has nothing stored is not there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StoredGroups {
    groups: HashMap<Arc<str>, StoredGroup>,
}

impl StoredGroup {
    pub fn offset(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.offsets.get(topic)?.get(&partition)
    }

    fn is_empty(&self) -> bool {
        self.metadata.is_none() && self.offsets.is_empty()
    }
}

impl StoredGroups {
    pub fn get(&self, group: &str) -> Option<&StoredGroup> {
        self.groups.get(group)
    }

    pub fn get_entry(&self, group: &str) -> Option<(&Arc<str>, &StoredGroup)> {
        self.groups.get_key_value(group)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &StoredGroup)> {
        self.groups.iter()
    }

    /// Applies one record; the latest of a key counts.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), FormatError> {
        match Key::decode(key)? {
            Key::Offset {
                group,
                topic,
                partition,
            } => {
                let offset = value.map(CommittedOffset::decode).transpose()?;
                self.change(group, |stored| stored.set_offset(topic, partition, offset));
            }
            Key::Group { group } => {
                let metadata = value.map(GroupMetadata::decode).transpose()?;
                self.change(group, |stored| stored.metadata = metadata);
            }
            Key::Other { version } => tracing::debug!(version, "a record of another kind of group"),
        }
        Ok(())
    }

    fn change(&mut self, group: Arc<str>, change: impl FnOnce(&mut StoredGroup)) {
        let stored = self.groups.entry(group.clone()).or_default();
        change(stored);
        if stored.is_empty() {
            self.groups.remove(&group);
        }
    }
}

impl StoredGroup {
    fn set_offset(&mut self, topic: Arc<str>, partition: i32, offset: Option<CommittedOffset>) {
        let Some(offset) = offset else {
            if let Some(partitions) = self.offsets.get_mut(&topic) {
                partitions.remove(&partition);
                if partitions.is_empty() {
                    self.offsets.remove(&topic);
                }
            }
            return;
        };
        self.offsets
            .entry(topic)
            .or_default()
            .insert(partition, offset);
    }
}

/// The folded partitions of this node.
#[derive(Default)]
pub struct GroupStore {
    partitions: RwLock<HashMap<PartitionId, Arc<RwLock<StoredGroups>>>>,
}

impl GroupStore {
    /// The groups of a partition, also before it has a record.
    pub fn partition(&self, id: PartitionId) -> Arc<RwLock<StoredGroups>> {
        if let Some(groups) = self.partitions.read().get(&id) {
            return groups.clone();
        }
        self.partitions.write().entry(id).or_default().clone()
    }
}

impl Fold for GroupStore {
    fn apply(&self, partition: PartitionId, header: &BatchHeader, batch: &Bytes, _time_ms: i64) {
        // Markers of transactions are no records of groups, and offsets in transactions are not there yet.
        if header.is_control() || header.is_transactional() {
            return;
        }
        let records = match BatchRecords::open(batch, MAX_DECOMPRESSED_BYTES) {
            Ok(records) => records,
            Err(error) => {
                return tracing::error!(?partition, %error, "a batch of group records cannot be read");
            }
        };
        let groups = self.partition(partition);
        let mut groups = groups.write();
        for record in records.iter().flatten() {
            if let Err(error) = groups.apply(record.key.unwrap_or_default(), record.value) {
                // The same on every replica; the record stays readable for consumers of the topic.
                let offset = records.offset_of(&record);
                tracing::error!(?partition, offset, %error, "a group record cannot be read");
            }
        }
    }

    /// Its groups go, and their place stays: a coordinator looks there for what comes, also where a snapshot has all
    /// records of a partition folded again.
    fn detach(&self, partition: PartitionId) {
        *self.partition(partition).write() = StoredGroups::default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::{group_key, offset_key};
    use super::*;

    fn offset(offset: i64) -> CommittedOffset {
        CommittedOffset {
            offset,
            leader_epoch: 1,
            metadata: "".into(),
            commit_ms: 5,
            expire_ms: None,
        }
    }

    fn group(generation: i32) -> GroupMetadata {
        GroupMetadata {
            protocol_type: "consumer".into(),
            generation,
            protocol: None,
            leader: None,
            state_since_ms: Some(1),
            members: Vec::new(),
        }
    }

    #[test]
    fn the_latest_record_of_a_key_counts() {
        let mut groups = StoredGroups::default();
        groups
            .apply(&offset_key("g", "t", 0), Some(&offset(1).encode()))
            .unwrap();
        groups
            .apply(&offset_key("g", "t", 0), Some(&offset(9).encode()))
            .unwrap();
        groups
            .apply(&offset_key("g", "t", 1), Some(&offset(2).encode()))
            .unwrap();
        groups
            .apply(&group_key("g"), Some(&group(3).encode()))
            .unwrap();
        let stored = groups.get("g").unwrap();
        assert_eq!(stored.offset("t", 0), Some(&offset(9)));
        assert_eq!(stored.offset("t", 1), Some(&offset(2)));
        assert_eq!(stored.offset("t", 2), None);
        assert_eq!(stored.metadata, Some(group(3)));
    }

    #[test]
    fn a_group_is_gone_with_its_last_record() {
        let mut groups = StoredGroups::default();
        groups
            .apply(&offset_key("g", "t", 0), Some(&offset(1).encode()))
            .unwrap();
        groups
            .apply(&group_key("g"), Some(&group(1).encode()))
            .unwrap();
        groups.apply(&group_key("g"), None).unwrap();
        assert_eq!(groups.get("g").unwrap().metadata, None);
        groups.apply(&offset_key("g", "t", 0), None).unwrap();
        groups.apply(&offset_key("g", "u", 0), None).unwrap();
        assert_eq!(groups, StoredGroups::default());
    }

    #[test]
    fn records_of_other_kinds_of_groups_change_nothing() {
        let mut groups = StoredGroups::default();
        groups
            .apply(b"\0\x03\0\x01g", Some(b"\0\0\0\0\0\x01"))
            .unwrap();
        assert!(groups.apply(b"\0", None).is_err());
        assert!(groups.apply(&group_key("g"), Some(b"\0\x09")).is_err());
        assert_eq!(groups, StoredGroups::default());
    }

    #[test]
    fn batches_fold_by_partition_until_it_leaves() {
        let store = GroupStore::default();
        let id = PartitionId {
            topic: uuid::Uuid::from_u128(1),
            index: 3,
        };
        let mut batch = weir_log::BatchBuilder::new(weir_log::Codec::None);
        batch.append(
            7,
            Some(&offset_key("g", "t", 0)),
            Some(&offset(4).encode()),
            &[],
        );
        let batch = batch.build().unwrap().freeze();
        let held = store.partition(id);
        for _ in 0..2 {
            store.apply(id, &BatchHeader::parse(&batch).unwrap(), &batch, 7);
            let groups = held.read();
            assert_eq!(groups.get("g").unwrap().offset("t", 0), Some(&offset(4)));
            drop(groups);
            store.detach(id);
            assert_eq!(*held.read(), StoredGroups::default());
        }
    }
}
