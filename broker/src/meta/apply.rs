//! The only writer of [`MetaState`].

use super::command::{ConfigChanges, MetaCommand};
use super::format::{self, MetaEntry};
use super::state::{Configs, MetaState};

impl MetaState {
    /// Applies one entry of the metadata log: all its commands, or none.
    ///
    /// `Err` is the outcome of an entry whose decision saw another revision, or that does not parse. It is the same on
    /// every replica.
    pub fn apply_entry(&mut self, bytes: &[u8]) -> Result<(), String> {
        let MetaEntry { revision, commands } = format::decode_entry(bytes)?;
        if revision != self.revision {
            return Err(format!(
                "decided at revision {revision}, the metadata is at {}",
                self.revision
            ));
        }
        // Decisions at this revision apply; a command that does not is a defect of `decide`, so the clone that keeps the
        // entry whole is paid for entries of several commands only.
        match commands.as_slice() {
            [command] => self.apply(command)?,
            _ => {
                let mut next = self.clone();
                for command in &commands {
                    next.apply(command)?;
                }
                *self = next;
            }
        }
        self.revision += 1;
        Ok(())
    }

    /// Applies one command, or leaves the state as it was.
    pub(super) fn apply(&mut self, command: &MetaCommand) -> Result<(), String> {
        match command {
            MetaCommand::InitCluster {
                cluster_id,
                shards,
                shards_per_node,
            } => {
                if let Some(id) = &self.cluster_id {
                    return Err(format!("the cluster is initialised as {id}"));
                }
                if shards.is_empty() || shards.contains_key(&0) {
                    return Err("a cluster has data shards, and 0 is not one".to_owned());
                }
                self.cluster_id = Some(cluster_id.clone());
                self.shards = shards.clone();
                self.shards_per_node = *shards_per_node;
            }
            MetaCommand::AddShards { shards } => {
                let taken = |id: &&u64| **id == 0 || self.shards.contains_key(*id);
                if let Some(id) = shards.keys().find(taken) {
                    return Err(format!("there is a shard {id}"));
                }
                self.shards.extend(shards.clone());
            }
            MetaCommand::RegisterNode { broker_id, node } => {
                if self.former.contains(&node.raft_id) {
                    return Err(format!(
                        "another directory has taken the place of this one as broker {broker_id}"
                    ));
                }
                let earlier = self.nodes.insert(*broker_id, node.clone());
                let replaced = earlier.filter(|earlier| earlier.raft_id != node.raft_id);
                self.former.extend(replaced.map(|earlier| earlier.raft_id));
            }
            MetaCommand::CreateTopic(topic) => self.topics.insert(topic.clone())?,
            MetaCommand::DeleteTopic { id, highest_epoch } => {
                let topic = self.topics.remove(*id)?;
                let highest_base = topic
                    .partitions
                    .iter()
                    .map(|p| p.epoch_base)
                    .max()
                    .unwrap_or(0);
                self.epochs
                    .retire(&topic.name, highest_base.max(*highest_epoch));
            }
            MetaCommand::AddPartitions {
                id,
                from,
                partitions,
            } => {
                let topic = self.topics.get_mut(*id)?;
                if topic.partitions.len() != *from as usize {
                    return Err(format!(
                        "topic `{}` has {} partitions",
                        topic.name,
                        topic.partitions.len()
                    ));
                }
                topic.partitions.extend_from_slice(partitions);
            }
            MetaCommand::AlterTopic { id, changes } => {
                change(&mut self.topics.get_mut(*id)?.configs, changes)
            }
            MetaCommand::MakeTable {
                id,
                table,
                partitioners,
            } => {
                let topic = self.topics.get_mut(*id)?;
                if topic.table.is_some() {
                    return Err(format!("topic `{}` is a table", topic.name));
                }
                topic.table = Some(table.clone());
                topic.partitioners = Some(*partitioners);
            }
            MetaCommand::AlterBroker {
                broker_id: None,
                changes,
            } => change(&mut self.cluster_configs, changes),
            MetaCommand::AlterBroker {
                broker_id: Some(broker),
                changes,
            } => {
                let configs = self.broker_configs.entry(*broker).or_default();
                change(configs, changes);
                if configs.is_empty() {
                    self.broker_configs.remove(broker);
                }
            }
            MetaCommand::TakeProducerIds { first, count } => {
                if *first != self.next_producer_id || *count <= 0 {
                    return Err(format!("the next producer id is {}", self.next_producer_id));
                }
                self.next_producer_id = first
                    .checked_add(*count)
                    .ok_or_else(|| "producer ids are used up".to_owned())?;
            }
            MetaCommand::NarrowPartitioners { id, from, to } => {
                let topic = self.topics.get_mut(*id)?;
                if topic.partitioners != Some(*from) {
                    return Err(format!(
                        "table `{}` has candidates {:?}",
                        topic.name, topic.partitioners
                    ));
                }
                if to.is_empty() || !to.is_subset_of(*from) {
                    return Err(format!("candidates {from:?} cannot become {to:?}"));
                }
                topic.partitioners = Some(*to);
            }
        }
        Ok(())
    }
}

fn change(configs: &mut Configs, changes: &ConfigChanges) {
    for (name, value) in changes {
        match value {
            Some(value) => configs.insert(name.clone(), value.clone()),
            None => configs.remove(name),
        };
    }
}
