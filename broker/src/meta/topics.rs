//! The topics of the cluster, by name and by id.

use super::names;
use super::partitioners::PartitionerSet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// Where one partition lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPlace {
    /// The data shard that carries it.
    pub shard: u64,
    /// Its leader epoch is this plus the shard's term.
    pub epoch_base: i32,
}

/// A partition is on its way to another shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The data shard that it goes to.
    pub to: u64,
    /// It comes to its end where it is, so the move cannot be given up any more.
    #[serde(default)]
    pub sealing: bool,
}

impl Move {
    /// One that begins.
    pub fn to(shard: u64) -> Move {
        Move {
            to: shard,
            sealing: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Topic {
    pub name: Arc<str>,
    /// Never used again, also not by a later topic of this name.
    pub id: Uuid,
    /// Partition `i` is at index `i`.
    pub partitions: Vec<PartitionPlace>,
    /// What was set on the topic, as it was given; everything else is a default.
    pub configs: BTreeMap<String, String>,
    pub created_at_ms: i64,
    /// The table's definition, frozen when the topic became one. The tables part owns its form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<serde_json::Value>,
    /// A table's candidates; only ever narrowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitioners: Option<PartitionerSet>,
    /// Partitions on their way to other shards.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub moves: BTreeMap<i32, Move>,
}

impl Topic {
    pub fn partition(&self, index: i32) -> Option<PartitionPlace> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.partitions.get(index).copied())
    }

    pub fn partition_count(&self) -> i32 {
        self.partitions.len() as i32
    }

    /// Whether a partition lies in one of these shards, or is on its way there.
    pub fn uses_any(&self, shards: &BTreeSet<u64>) -> bool {
        let lies = self.partitions.iter().map(|place| place.shard);
        let goes = self.moves.values().map(|going| going.to);
        lies.chain(goes).any(|shard| shards.contains(&shard))
    }

    pub fn is_internal(&self) -> bool {
        names::is_internal(&self.name)
    }
}

/// All topics. Readers clone the `Arc` and let the lock go.
// Invariant: the three maps describe the same topics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Topics {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<str>>,
    /// Collision form -> name, see [`names::collision_form`].
    by_form: HashMap<String, Arc<str>>,
}

impl Topics {
    pub fn get(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    pub fn by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_name.get(self.by_id.get(&id)?)
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    /// In the order of their names, from the first that is not below `name`.
    pub fn iter_from<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Arc<Topic>> + use<'a> {
        self.by_name
            .range::<str, _>((std::ops::Bound::Included(name), std::ops::Bound::Unbounded))
            .map(|(_, t)| t)
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The existing topic with which a new one of this name would share metric names.
    pub fn colliding(&self, name: &str) -> Option<&str> {
        names::collision_form(name)
            .and_then(|form| self.by_form.get(&form))
            .map(|name| &**name)
    }

    pub(super) fn insert(&mut self, topic: Topic) -> Result<(), String> {
        if self.by_name.contains_key(&topic.name) {
            return Err(format!("topic `{}` exists", topic.name));
        }
        if self.by_id.contains_key(&topic.id) {
            return Err(format!("topic id {} is in use", topic.id));
        }
        self.by_id.insert(topic.id, topic.name.clone());
        if let Some(form) = names::collision_form(&topic.name) {
            self.by_form.insert(form, topic.name.clone());
        }
        self.by_name.insert(topic.name.clone(), Arc::new(topic));
        Ok(())
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Result<Arc<Topic>, String> {
        let name = self
            .by_id
            .remove(&id)
            .ok_or_else(|| format!("no topic has id {id}"))?;
        if let Some(form) = names::collision_form(&name) {
            self.by_form.remove(&form);
        }
        Ok(self
            .by_name
            .remove(&name)
            .expect("the maps describe the same topics"))
    }

    pub(super) fn get_mut(&mut self, id: Uuid) -> Result<&mut Topic, String> {
        let name = self
            .by_id
            .get(&id)
            .ok_or_else(|| format!("no topic has id {id}"))?;
        let topic = self
            .by_name
            .get_mut(name)
            .expect("the maps describe the same topics");
        Ok(Arc::make_mut(topic))
    }
}
