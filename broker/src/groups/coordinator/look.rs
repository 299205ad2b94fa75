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

    /// Every member count and committed offset of the groups here, for metrics.
    pub fn member_counts(self: &Arc<Self>) -> Vec<(Arc<str>, usize)> {
        let mut live = self.live.lock();
        if self.enter(&mut live).is_err() {
            return Vec::new();
        }
        let counts = live
            .groups
            .values()
            .map(|slot| (slot.group.id().clone(), slot.group.member_count()));
        counts.collect()
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
