//! What a coordinator tells of its groups: listings, descriptions, committed offsets.

use std::collections::HashSet;
use std::sync::Arc;

use super::Coordinator;
use crate::groups::answer::Description;
use crate::groups::error::GroupError;
use crate::groups::group::State;
use crate::groups::store::StoredGroup;

/// A group as ListGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub id: Arc<str>,
    pub protocol_type: Arc<str>,
    pub state: &'static str,
}

/// A group as metrics show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFigures {
    pub id: Arc<str>,
    pub members: usize,
    /// Topic, partition, committed offset.
    pub offsets: Vec<(Arc<str>, i32, i64)>,
}

fn committed_offsets(group: &StoredGroup) -> Vec<(Arc<str>, i32, i64)> {
    let topics = group.offsets.iter();
    let offsets = topics.flat_map(|(topic, partitions)| {
        partitions
            .iter()
            .map(|(partition, committed)| (topic.clone(), *partition, committed.offset))
    });
    offsets.collect()
}

impl Coordinator {
    pub fn list(self: &Arc<Self>) -> Result<Vec<Listed>, GroupError> {
        let mut live = self.live.lock();
        self.enter(&mut live)?;
        let mut groups: Vec<Listed> = live
            .groups
            .values()
            .map(|slot| Listed {
                id: slot.group.id().clone(),
                protocol_type: slot.group.protocol_type().into(),
                state: slot.group.state().name(),
            })
            .collect();
        let stored = self.stored.read();
        let only_stored = stored
            .iter()
            .filter(|(id, _)| !live.groups.contains_key(*id));
        groups.extend(only_stored.map(|(id, _)| Listed {
            id: id.clone(),
            protocol_type: "".into(),
            state: State::Empty.name(),
        }));
        Ok(groups)
    }

    pub fn describe(self: &Arc<Self>, group: &str) -> Result<Description, GroupError> {
        let mut live = self.live.lock();
        self.enter(&mut live)?;
        if !self.find(&mut live, group) {
            return Err(GroupError::GroupNotFound);
        }
        Ok(live.groups[group].group.describe())
    }

    /// Reads what a group has committed. Whatever was acknowledged before the call is in it (C1).
    pub async fn committed<R>(
        self: &Arc<Self>,
        group: &str,
        read: impl FnOnce(Option<&StoredGroup>) -> R,
    ) -> Result<R, GroupError> {
        self.enter(&mut self.live.lock())?;
        let raft = self.partition.shard.raft();
        raft.read_index()
            .await
            .map_err(|_| GroupError::NotCoordinator)?;
        Ok(read(self.stored.read().get(group)))
    }

    /// Every group here, for metrics; none while another node coordinates them.
    pub fn figures(self: &Arc<Self>) -> Vec<GroupFigures> {
        let mut live = self.live.lock();
        if self.enter(&mut live).is_err() {
            return Vec::new();
        }
        let ids = self.ids(&live);
        let stored = self.stored.read();
        let figures = ids.into_iter().map(|id| GroupFigures {
            members: live
                .groups
                .get(&id)
                .map_or(0, |slot| slot.group.member_count()),
            offsets: stored.get(&id).map_or_else(Vec::new, committed_offsets),
            id,
        });
        figures.collect()
    }

    /// The ids of all groups that have something stored or somebody in them.
    pub(super) fn ids(&self, live: &super::Live) -> HashSet<Arc<str>> {
        let stored = self.stored.read();
        live.groups
            .keys()
            .cloned()
            .chain(stored.iter().map(|(id, _)| id.clone()))
            .collect()
    }
}
