//! Topics: create, delete, grow.

use super::super::command::MetaCommand;
use super::super::config::ConfigError;
use super::super::effective::Layers;
use super::super::epochs::MAX_BASE;
use super::super::names::{self, NameError};
use super::super::placement::{self, shard_for};
use super::super::state::{Configs, MetaState, ShardInfo};
use super::super::topics::{PartitionPlace, Topic};
use super::{TableDraft, configs};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// The most partitions that one request may create.
pub const MAX_NEW_PARTITIONS: i64 = 10_000;

/// Why topics were not created, deleted or grown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error(transparent)]
    InvalidName(#[from] NameError),
    #[error(
        "topic `{name}` collides with topic `{existing}`: `.` and `_` are one in the names of metrics"
    )]
    Collides { name: String, existing: String },
    #[error("topic `{name}` is reserved for table `{table}`")]
    Reserved { name: String, table: String },
    #[error("topic `{0}` belongs to the broker")]
    Protected(String),
    #[error("topic `{0}` already exists")]
    Exists(String),
    #[error("there is no topic `{0}`")]
    Unknown(String),
    #[error("there is no topic with id {0}")]
    UnknownId(Uuid),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0} partitions: the number of partitions must be positive, or -1 for the default")]
    InvalidPartitionCount(i32),
    #[error("topic `{name}` has {current} partitions, {asked} would not be more")]
    NotMorePartitions {
        name: String,
        current: i32,
        asked: i32,
    },
    #[error(
        "table `{0}` cannot grow: its keys would move; make a table with more partitions and copy the rows"
    )]
    TableCannotGrow(String),
    #[error("replication factor {0}: it must be positive, or -1 for the default")]
    InvalidReplicationFactor(i16),
    #[error("replication factor {asked} with {brokers} registered brokers")]
    TooFewBrokers { asked: i16, brokers: usize },
    /// A manual assignment that does not fit the rest of the request.
    #[error("{0}")]
    AssignmentMisplaced(String),
    /// A manual assignment that names replicas which cannot be.
    #[error("{0}")]
    InvalidAssignment(String),
    #[error("one request may create {MAX_NEW_PARTITIONS} partitions, this one asks for {0}")]
    TooMany(i64),
    #[error("the leader epochs of `{0}` are used up; choose another name")]
    EpochsUsedUp(String),
}

/// Who asks. Only the broker itself makes its internal topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Client,
    Broker,
}

/// A topic to be made.
#[derive(Debug, Clone)]
pub struct NewTopic {
    pub name: String,
    pub origin: Origin,
    /// For the topic if it is made; drawn by the caller, so that deciding is repeatable.
    pub id: Uuid,
    pub now_ms: i64,
    /// -1 is the broker's default.
    pub partitions: i32,
    /// -1 is the broker's default.
    pub replication_factor: i16,
    /// Partition -> replicas; empty leaves it to the broker.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// `None` values are refused.
    pub configs: Vec<(String, Option<String>)>,
    /// The definition of the table that the settings ask for, if they do.
    pub table: Option<TableDraft>,
}

impl NewTopic {
    /// A topic of a client that leaves everything to the broker.
    pub fn with_defaults(name: &str, id: Uuid, now_ms: i64) -> NewTopic {
        NewTopic {
            name: name.to_owned(),
            origin: Origin::Client,
            id,
            now_ms,
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
            table: None,
        }
    }
}

/// What a created topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    pub id: Uuid,
    pub partitions: i32,
    pub replication_factor: i16,
    /// As stored.
    pub configs: Configs,
}

/// Decides one topic of a CreateTopics request.
///
/// `is_up`: whether a Raft node can take part now; partitions are put on others only where there is no choice.
pub fn create(
    layers: Layers<'_>,
    new: &NewTopic,
    is_up: &dyn Fn(u64) -> bool,
) -> Result<(Vec<MetaCommand>, Created), TopicError> {
    let state = layers.state;
    check_name(state, new)?;
    let configs = configs::new_topic(layers, &new.configs)?;
    let table = configs::wants_table(layers, &configs);
    let (places, shards) = place(layers, new, table, is_up)?;
    let replication_factor = shards.replicas(places[0].shard).len() as i16;
    if table
        && [".changelog", ".debezium"]
            .iter()
            .any(|s| state.topics().get(&format!("{}{s}", new.name)).is_some())
    {
        let reason = format!(
            "`{0}.changelog` or `{0}.debezium` exists; the names belong to the table",
            new.name
        );
        return Err(ConfigError::Table(reason).into());
    }
    let draft = match (table, &new.table) {
        (true, None) => {
            return Err(ConfigError::Table("the table's definition is missing".to_owned()).into());
        }
        (true, Some(draft)) => Some(draft.clone()),
        (false, _) => None,
    };
    let created = Created {
        id: new.id,
        partitions: places.len() as i32,
        replication_factor,
        configs: configs.clone(),
    };
    let topic = Topic {
        name: Arc::from(new.name.as_str()),
        id: new.id,
        partitions: places,
        configs,
        created_at_ms: new.now_ms,
        partitioners: draft.as_ref().map(|draft| draft.partitioners),
        table: draft.map(|draft| draft.definition),
        moves: BTreeMap::new(),
    };
    let mut commands = shards.commands();
    commands.push(MetaCommand::CreateTopic(topic));
    Ok((commands, created))
}

/// The shards of a cluster, and those that a decision adds.
pub(super) struct Shards<'a> {
    state: &'a MetaState,
    made: BTreeMap<u64, ShardInfo>,
}

impl<'a> Shards<'a> {
    pub(super) fn of(state: &'a MetaState) -> Shards<'a> {
        let made = BTreeMap::new();
        Shards { state, made }
    }

    fn all(&self) -> BTreeMap<u64, ShardInfo> {
        let mut all = self.state.open_shards();
        all.extend(self.made.clone());
        all
    }

    fn next(&self) -> u64 {
        let made = self.made.last_key_value().map_or(0, |(id, _)| id + 1);
        made.max(self.state.next_shard())
    }

    fn replicas(&self, shard: u64) -> Vec<i32> {
        match self.made.get(&shard) {
            Some(info) => info.replicas.clone(),
            None => self.state.replicas_of(shard),
        }
    }

    /// Of the shards with so many replicas, where every node is the first to lead some, those with the fewest nodes that
    /// are down.
    pub(super) fn of_factor(&mut self, factor: usize, is_up: &dyn Fn(u64) -> bool) -> Vec<u64> {
        let all = self.all();
        let nodes = placement::places(self.state);
        let per_node = self.state.shards_per_node().max(1);
        let missing = placement::missing_shards(&nodes, &all, factor, per_node, self.next());
        self.made.extend(missing);
        let all = self.all().into_iter();
        let fitting = all.filter(|(_, info)| info.replicas.len() == factor);
        let down = |broker: &&i32| {
            let node = self.state.nodes().get(broker);
            node.is_none_or(|node| !is_up(node.raft_id))
        };
        let down = |info: &ShardInfo| info.replicas.iter().filter(down).count();
        let fitting: Vec<(u64, usize)> = fitting.map(|(id, info)| (id, down(&info))).collect();
        let fewest = fitting.iter().map(|(_, down)| *down).min();
        let fitting = fitting.into_iter();
        fitting
            .filter(|(_, down)| Some(*down) == fewest)
            .map(|(id, _)| id)
            .collect()
    }

    /// Of these shards, those that lie on the same nodes as the one that `topic` would begin in.
    fn together(&self, topic: &str, shards: Vec<u64>) -> Vec<u64> {
        match shards.is_empty() {
            true => shards,
            false => self.on_set(&self.set(shard_for(topic, 0, &shards)), shards),
        }
    }

    /// Of these shards, those that lie on the same nodes as some partition of `topic` does or will, where there are any;
    /// else on one set of nodes.
    pub(super) fn beside(&self, topic: &Topic, shards: Vec<u64>) -> Vec<u64> {
        let goes = topic.moves.values().map(|going| going.to);
        let lies = topic.partitions.iter().map(|place| place.shard);
        for shard in goes.chain(lies) {
            let beside = self.on_set(&self.set(shard), shards.clone());
            if !beside.is_empty() {
                return beside;
            }
        }
        self.together(&topic.name, shards)
    }

    fn set(&self, shard: u64) -> BTreeSet<i32> {
        self.replicas(shard).into_iter().collect()
    }

    fn on_set(&self, set: &BTreeSet<i32>, mut shards: Vec<u64>) -> Vec<u64> {
        shards.retain(|shard| self.set(*shard) == *set);
        shards
    }

    /// The shards with just these replicas in this order.
    pub(super) fn on(&mut self, replicas: &[i32]) -> Vec<u64> {
        let all = self.all().into_iter();
        let fitting = all.filter(|(_, info)| info.replicas == replicas);
        let fitting: Vec<u64> = fitting.map(|(id, _)| id).collect();
        match fitting.is_empty() {
            true => vec![self.make(replicas)],
            false => fitting,
        }
    }

    fn make(&mut self, replicas: &[i32]) -> u64 {
        let id = self.next();
        let node = |broker: &i32| self.state.nodes().get(broker).map(|node| node.raft_id);
        let info = ShardInfo {
            replicas: replicas.to_vec(),
            founders: replicas.iter().filter_map(node).collect(),
        };
        self.made.insert(id, info);
        id
    }

    pub(super) fn commands(self) -> Vec<MetaCommand> {
        match self.made.is_empty() {
            true => Vec::new(),
            false => vec![MetaCommand::AddShards { shards: self.made }],
        }
    }
}

fn check_name(state: &MetaState, new: &NewTopic) -> Result<(), TopicError> {
    names::validate(&new.name)?;
    if state.topics().get(&new.name).is_some() {
        return Err(TopicError::Exists(new.name.clone()));
    }
    if new.origin == Origin::Client && names::is_protected(&new.name) {
        return Err(TopicError::Protected(new.name.clone()));
    }
    if let Some(existing) = state.topics().colliding(&new.name) {
        return Err(TopicError::Collides {
            name: new.name.clone(),
            existing: existing.to_owned(),
        });
    }
    let table = names::reserved_by_table(&new.name).and_then(|table| state.topics().get(table));
    if let Some(topic) = table.filter(|topic| topic.table.is_some()) {
        return Err(TopicError::Reserved {
            name: new.name.clone(),
            table: topic.name.to_string(),
        });
    }
    Ok(())
}

fn place<'a>(
    layers: Layers<'a>,
    new: &NewTopic,
    table: bool,
    is_up: &dyn Fn(u64) -> bool,
) -> Result<(Vec<PartitionPlace>, Shards<'a>), TopicError> {
    let state = layers.state;
    let mut shards = Shards::of(state);
    let epoch_base = state.epoch_base_for(&new.name);
    if epoch_base > MAX_BASE {
        return Err(TopicError::EpochsUsedUp(new.name.clone()));
    }
    let at = |shard| PartitionPlace { shard, epoch_base };
    if !new.assignments.is_empty() {
        let assigned = assigned(&mut shards, new)?;
        return Ok((assigned.into_iter().map(at).collect(), shards));
    }
    let factor = match new.replication_factor {
        -1 => {
            let default = layers.broker_int("default.replication.factor");
            i16::try_from(default).unwrap_or(i16::MAX)
        }
        factor => factor,
    };
    if factor < 1 {
        return Err(TopicError::InvalidReplicationFactor(factor));
    }
    let count = match new.partitions {
        -1 => layers.broker_int("num.partitions"),
        count if count < 1 => return Err(TopicError::InvalidPartitionCount(count)),
        count => i64::from(count),
    };
    let brokers = placement::places(state).len();
    if factor as usize > brokers {
        return Err(TopicError::TooFewBrokers {
            asked: factor,
            brokers,
        });
    }
    if count > MAX_NEW_PARTITIONS {
        return Err(TopicError::TooMany(count));
    }
    let mut carriers = shards.of_factor(factor as usize, is_up);
    if table {
        // A node has all rows of a table, or none, until somebody moves some of them.
        carriers = shards.together(&new.name, carriers);
    }
    let places = (0..count as usize).map(|index| at(shard_for(&new.name, index, &carriers)));
    Ok((places.collect(), shards))
}

/// The shards of a manual assignment, by partition.
fn assigned(shards: &mut Shards<'_>, new: &NewTopic) -> Result<Vec<u64>, TopicError> {
    if new.replication_factor != -1 {
        let reason = "a manual assignment needs the replication factor to be -1";
        return Err(TopicError::AssignmentMisplaced(reason.to_owned()));
    }
    if new.partitions != -1 {
        let reason = "a manual assignment needs the number of partitions to be -1";
        return Err(TopicError::AssignmentMisplaced(reason.to_owned()));
    }
    let mut by_partition = std::collections::BTreeMap::new();
    let mut factor = None;
    for (partition, replicas) in &new.assignments {
        if by_partition.contains_key(partition) {
            return Err(TopicError::InvalidAssignment(format!(
                "partition {partition} is assigned more than once"
            )));
        }
        let factor = *factor.get_or_insert(replicas.len());
        check_replicas(shards.state, replicas, factor)?;
        let shard = shard_for(&new.name, by_partition.len(), &shards.on(replicas));
        by_partition.insert(*partition, shard);
    }
    if by_partition.len() as i64 > MAX_NEW_PARTITIONS {
        return Err(TopicError::TooMany(by_partition.len() as i64));
    }
    if (0..)
        .zip(by_partition.keys())
        .any(|(expected, partition)| expected != *partition)
    {
        return Err(TopicError::InvalidAssignment(
            "partitions must be numbered from 0 without a gap".to_owned(),
        ));
    }
    Ok(by_partition.into_values().collect())
}

pub(super) fn check_replicas(
    state: &MetaState,
    replicas: &[i32],
    factor: usize,
) -> Result<(), TopicError> {
    let refuse = |reason: String| Err(TopicError::InvalidAssignment(reason));
    if replicas.is_empty() {
        return refuse("a partition is assigned to no broker".to_owned());
    }
    if let Some(unknown) = replicas
        .iter()
        .find(|broker| !state.nodes().contains_key(broker))
    {
        return refuse(format!("broker {unknown} is not registered"));
    }
    if replicas.iter().collect::<BTreeSet<_>>().len() != replicas.len() {
        return refuse(format!(
            "the replicas {replicas:?} name a broker more than once"
        ));
    }
    if replicas.len() != factor {
        return refuse(format!(
            "the replicas {replicas:?} are {}, other partitions have {factor}",
            replicas.len()
        ));
    }
    Ok(())
}

/// Decides one topic of a DeleteTopics request.
///
/// `highest_epoch`: the highest leader epoch that the caller knows to have been issued for it.
pub fn delete(
    state: &MetaState,
    id: Uuid,
    highest_epoch: i32,
) -> Result<Vec<MetaCommand>, TopicError> {
    let topic = state.topics().by_id(id).ok_or(TopicError::UnknownId(id))?;
    if names::is_protected(&topic.name) {
        return Err(TopicError::Protected(topic.name.to_string()));
    }
    Ok(vec![MetaCommand::DeleteTopic { id, highest_epoch }])
}

/// Decides one topic of a CreatePartitions request: `count` is the number that the topic shall have; `is_up` as in
/// [`create`].
pub fn grow(
    state: &MetaState,
    name: &str,
    count: i32,
    assignments: Option<&[Vec<i32>]>,
    is_up: &dyn Fn(u64) -> bool,
) -> Result<Vec<MetaCommand>, TopicError> {
    let topic = state
        .topics()
        .get(name)
        .ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
    if names::is_protected(name) {
        return Err(TopicError::Protected(name.to_owned()));
    }
    let current = topic.partition_count();
    if count <= current {
        return Err(TopicError::NotMorePartitions {
            name: name.to_owned(),
            current,
            asked: count,
        });
    }
    if topic.table.is_some() {
        return Err(TopicError::TableCannotGrow(name.to_owned()));
    }
    let more = i64::from(count) - i64::from(current);
    if let Some(given) = assignments.map(<[_]>::len)
        && given as i64 != more
    {
        return Err(TopicError::InvalidAssignment(format!(
            "{given} assignments for {more} new partitions"
        )));
    }
    if more > MAX_NEW_PARTITIONS {
        return Err(TopicError::TooMany(more));
    }
    let factor = state.replicas_of(topic.partitions[0].shard).len();
    let epoch_base = topic.partitions[0].epoch_base;
    let mut shards = Shards::of(state);
    let spread = match assignments {
        Some(_) => Vec::new(),
        None => shards.of_factor(factor, is_up),
    };
    let mut partitions = Vec::new();
    for partition in current as usize..count as usize {
        let carriers = match assignments {
            Some(assignments) => {
                let replicas = &assignments[partition - current as usize];
                check_replicas(state, replicas, factor)?;
                &shards.on(replicas)
            }
            None => &spread,
        };
        let shard = shard_for(name, partition, carriers);
        partitions.push(PartitionPlace { shard, epoch_base });
    }
    let mut commands = shards.commands();
    commands.push(MetaCommand::AddPartitions {
        id: topic.id,
        from: current as u32,
        partitions,
    });
    Ok(commands)
}
