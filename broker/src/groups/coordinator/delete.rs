//! Groups and offsets go: on request, with their topic, or when their retention is over.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;

use super::Coordinator;
use super::live::Live;
use crate::groups::error::GroupError;
use crate::groups::format::{group_key, offset_key};
use crate::groups::group::State;
use crate::groups::writes::{Record, Written};

/// Tombstones of one batch.
const RECORDS: usize = 1_000;

/// What was decided about each of several deletions, and the writes that make it so.
pub struct Deletion {
    pub results: Vec<Result<(), GroupError>>,
    writes: Vec<Written>,
}

impl Deletion {
    /// Waits for the writes. They go on when nobody waits.
    pub async fn done(self) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        join_all(self.writes)
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        Ok(self.results)
    }
}

/// The keys of committed offsets, in order.
type Keys = BTreeSet<(Arc<str>, i32)>;

impl Coordinator {
    /// Deletes groups that have no members; one result each.
    pub fn delete(self: &Arc<Self>, groups: &[Arc<str>]) -> Result<Deletion, GroupError> {
        let mut live = self.live.lock();
        self.enter(&mut live)?;
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(groups.len());
        for id in groups {
            let deletable = match self.find(&mut live, id) {
                true => live.groups[id].group.check_delete(),
                false => Err(GroupError::GroupNotFound),
            };
            if deletable.is_ok() {
                self.bury(&mut live, id, &mut records);
            }
            results.push(deletable);
        }
        Ok(Deletion {
            results,
            writes: self.submit_all(&live, &records),
        })
    }

    fn bury(&self, live: &mut Live, id: &Arc<str>, records: &mut Vec<Record>) {
        let offsets = self.offset_keys(live, id);
        records.extend(
            offsets
                .iter()
                .map(|(topic, partition)| (offset_key(id, topic, *partition), None)),
        );
        records.push((group_key(id), None));
        live.groups.remove(id);
    }

    /// Every offset that the group has, or will have once what is on its way is stored.
    fn offset_keys(&self, live: &Live, id: &str) -> Keys {
        let stored = self.stored.read();
        let topics = stored.get(id).into_iter().flat_map(|group| &group.offsets);
        let stored =
            topics.flat_map(|(topic, partitions)| partitions.keys().map(|p| (topic.clone(), *p)));
        stored.chain(live.pending.keys(id).cloned()).collect()
    }

    fn submit_all(&self, live: &Live, records: &[Record]) -> Vec<Written> {
        records
            .chunks(RECORDS)
            .map(|records| self.submit(live, records))
            .collect()
    }

    /// Deletes single offsets of a group; one result each.
    pub fn delete_offsets(
        self: &Arc<Self>,
        id: &Arc<str>,
        offsets: &[(Arc<str>, i32)],
    ) -> Result<Deletion, GroupError> {
        let mut live = self.live.lock();
        self.enter(&mut live)?;
        if !self.find(&mut live, id) {
            return Err(GroupError::GroupNotFound);
        }
        let group = &live.groups[id].group;
        group.check_offset_delete()?;
        let known = self.offset_keys(&live, id);
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(offsets.len());
        for key in offsets {
            let (topic, partition) = key;
            if group.is_subscribed(topic) {
                results.push(Err(GroupError::SubscribedToTopic));
                continue;
            }
            if known.contains(key) {
                records.push((offset_key(id, topic, *partition), None));
            }
            results.push(Ok(()));
        }
        Ok(Deletion {
            results,
            writes: self.submit_all(&live, &records),
        })
    }

    /// Takes back every group's offsets of a topic that was deleted.
    pub fn forget_topic(self: &Arc<Self>, topic: &str) {
        let mut live = self.live.lock();
        if self.enter(&mut live).is_err() {
            return;
        }
        let mut records = Vec::new();
        for id in self.ids(&live) {
            let keys = self.offset_keys(&live, &id);
            let gone = keys.iter().filter(|(name, _)| &**name == topic);
            records
                .extend(gone.map(|(topic, partition)| (offset_key(&id, topic, *partition), None)));
        }
        // Nobody waits for these; what fails is left to expiry.
        drop(self.submit_all(&live, &records));
    }

    /// Proposes to forget the offsets whose retention is over, and the groups that nothing is left of (KIP-211).
    pub fn expire(self: &Arc<Self>) {
        let mut live = self.live.lock();
        if self.enter(&mut live).is_err() {
            return;
        }
        // Never before the time of an entry that is in the log, whatever this node's clock says.
        let wall_ms = self.partition.shard.entry_time_ms();
        let mut records = Vec::new();
        for id in self.ids(&live) {
            if self.find(&mut live, &id) && !live.pending.has(&id) {
                self.expire_group(&mut live, &id, wall_ms, &mut records);
            }
        }
        if !records.is_empty() {
            let partition = self.partition.id.index;
            tracing::info!(
                partition,
                tombstones = records.len(),
                "offsets or groups expire"
            );
        }
        drop(self.submit_all(&live, &records));
    }

    fn expire_group(
        &self,
        live: &mut Live,
        id: &Arc<str>,
        wall_ms: i64,
        records: &mut Vec<Record>,
    ) {
        let group = &live.groups[id].group;
        let retention = group.retention();
        let mut left = false;
        {
            let stored = self.stored.read();
            for (topic, partitions) in stored
                .get(id)
                .into_iter()
                .flat_map(|stored| &stored.offsets)
            {
                for (partition, offset) in partitions {
                    let over =
                        retention.is_over(offset, wall_ms, self.env.settings.offsets_retention_ms);
                    if over && !group.is_subscribed(topic) {
                        records.push((offset_key(id, topic, *partition), None));
                    } else {
                        left = true;
                    }
                }
            }
        }
        if !left && group.state() == State::Empty && !group.is_expecting() {
            records.push((group_key(id), None));
            live.groups.remove(id);
        }
    }
}
