//! The only writer of [`MetaState`].

use super::command::{ConfigChanges, MetaCommand};
use super::format::{self, MetaEntry};
use super::state::{Configs, MetaState, ShardInfo};
use super::topics::Move;
use std::collections::BTreeSet;

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
                let taken = |id: &&u64| **id <= self.retired_shard || self.shards.contains_key(*id);
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
            MetaCommand::StartMove { .. }
            | MetaCommand::CancelMove { .. }
            | MetaCommand::SealMove { .. }
            | MetaCommand::FinishMove { .. } => self.apply_move(command)?,
            MetaCommand::DrainNode {
                broker_id,
                draining,
            } => {
                if !self.nodes.contains_key(broker_id) {
                    return Err(format!("there is no broker {broker_id}"));
                }
                match draining {
                    true => self.draining.insert(*broker_id),
                    false => self.draining.remove(broker_id),
                };
            }
            MetaCommand::RemoveNode { broker_id } => self.remove_node(*broker_id)?,
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

impl MetaState {
    fn apply_move(&mut self, command: &MetaCommand) -> Result<(), String> {
        let (MetaCommand::StartMove { id, partition, .. }
        | MetaCommand::CancelMove { id, partition }
        | MetaCommand::SealMove { id, partition, .. }
        | MetaCommand::FinishMove { id, partition, .. }) = command
        else {
            return Err("this is no move".to_owned());
        };
        if let MetaCommand::StartMove { to, .. } = command
            && !self.shards.contains_key(to)
        {
            return Err(format!("there is no shard {to}"));
        }
        let topic = self.topics.get_mut(*id)?;
        let name = topic.name.clone();
        let index = usize::try_from(*partition).unwrap_or(usize::MAX);
        let Some(place) = topic.partitions.get_mut(index) else {
            return Err(format!("there is no partition {name}-{partition}"));
        };
        let now = topic.moves.get(partition).copied();
        match command {
            MetaCommand::StartMove { .. } | MetaCommand::CancelMove { .. }
                if now.is_some_and(|now| now.sealing) =>
            {
                return Err(format!("{name}-{partition} is about to arrive"));
            }
            MetaCommand::StartMove { to, .. } if *to == place.shard => {
                return Err(format!("{name}-{partition} is in shard {to}"));
            }
            MetaCommand::StartMove { to, .. } => {
                topic.moves.insert(*partition, Move::to(*to));
            }
            MetaCommand::CancelMove { .. } => {
                topic.moves.remove(partition);
            }
            MetaCommand::SealMove { to, .. } if now == Some(Move::to(*to)) => {
                let sealing = true;
                topic.moves.insert(*partition, Move { to: *to, sealing });
            }
            MetaCommand::FinishMove { to, epoch_base, .. }
                if now.is_some_and(|now| now.to == *to && now.sealing) =>
            {
                topic.moves.remove(partition);
                place.shard = *to;
                place.epoch_base = *epoch_base;
            }
            _ => return Err(format!("{name}-{partition} does not move like that")),
        }
        Ok(())
    }

    /// Its shards go on without it and carry nothing any more; one that only it replicated goes.
    fn remove_node(&mut self, broker_id: i32) -> Result<(), String> {
        let carries = |info: &ShardInfo| info.replicas.contains(&broker_id);
        let closed: BTreeSet<u64> = self
            .shards
            .iter()
            .filter(|(_, info)| carries(info))
            .map(|(id, _)| *id)
            .collect();
        if let Some(topic) = self.topics.iter().find(|topic| topic.uses_any(&closed)) {
            return Err(format!(
                "broker {broker_id} replicates topic `{}`",
                topic.name
            ));
        }
        let Some(node) = self.nodes.remove(&broker_id) else {
            return Err(format!("there is no broker {broker_id}"));
        };
        for id in closed {
            let info = self.shards.get_mut(&id).expect("just found");
            info.replicas.retain(|replica| *replica != broker_id);
            if info.replicas.is_empty() {
                self.shards.remove(&id);
                self.closed.remove(&id);
                self.retired_shard = self.retired_shard.max(id);
            } else {
                self.closed.insert(id);
            }
        }
        self.former.insert(node.raft_id);
        self.draining.remove(&broker_id);
        self.broker_configs.remove(&broker_id);
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
