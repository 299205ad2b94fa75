//! Settings of topics and brokers: set, removed, appended to, subtracted from; and which go together.

use super::super::broker_config::BROKER_SETTINGS;
use super::super::command::{ConfigChanges, MetaCommand};
use super::super::config::{self, ConfigError, Kind, Setting};
use super::super::effective::{Layers, unaliased};
use super::super::settings::TopicSettings;
use super::super::state::Configs;
use super::super::topic_config::{ALIASES, FROZEN_BY_TABLE, TOPIC_SETTINGS};
use super::super::topics::Topic;
use super::TableDraft;
use std::collections::BTreeSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Set,
    Delete,
    /// To a list: what it does not have yet.
    Append,
    /// From a list: each once.
    Subtract,
}

/// Kafka's settings of a broker that throttle reassignments. Moves have a pace of their own here, so they cannot be set;
/// Kafka's tool removes them once a reassignment has ended, whether it has set them or not.
const THROTTLES: [&str; 3] = [
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
];

/// One change of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alter {
    pub name: String,
    pub op: Op,
    /// Not read by `Delete`.
    pub value: String,
}

/// The settings of a new topic as they are stored, or why they are refused.
pub fn new_topic(
    layers: Layers<'_>,
    given: &[(String, Option<String>)],
) -> Result<Configs, ConfigError> {
    let mut configs = Configs::new();
    for (name, value) in given {
        let value = value
            .clone()
            .ok_or_else(|| ConfigError::Null(name.clone()))?;
        configs.insert(name.clone(), value);
    }
    complete_table(&mut configs);
    check_topic(layers, &configs)?;
    Ok(configs)
}

/// What an existing topic's settings become, or why not. `replace`: settings that are not named go (AlterConfigs).
pub fn altered_topic(
    layers: Layers<'_>,
    topic: &Topic,
    alters: &[Alter],
    replace: bool,
) -> Result<Configs, ConfigError> {
    let configs = altered(layers, &topic.configs, alters, replace)?;
    if topic.table.is_some() {
        check_frozen(layers, topic, &configs)?;
    }
    Ok(configs)
}

/// What these settings of a topic become, or why not.
pub fn altered(
    layers: Layers<'_>,
    current: &Configs,
    alters: &[Alter],
    replace: bool,
) -> Result<Configs, ConfigError> {
    let mut configs = if replace {
        Configs::new()
    } else {
        current.clone()
    };
    for alter in alters {
        apply(&mut configs, TOPIC_SETTINGS, alter)?;
    }
    complete_table(&mut configs);
    check_topic(layers, &configs)?;
    Ok(configs)
}

/// Decides a change of a topic's settings. A topic that becomes a table brings its `draft`.
pub fn alter_topic(
    layers: Layers<'_>,
    topic: &Topic,
    alters: &[Alter],
    replace: bool,
    draft: Option<&TableDraft>,
) -> Result<Vec<MetaCommand>, ConfigError> {
    let configs = altered_topic(layers, topic, alters, replace)?;
    let changes = difference(&topic.configs, &configs);
    let mut commands = Vec::new();
    if !changes.is_empty() {
        commands.push(MetaCommand::AlterTopic {
            id: topic.id,
            changes,
        });
    }
    if topic.table.is_none() && wants_table(layers, &configs) {
        let draft = draft
            .ok_or_else(|| ConfigError::Table("the table's definition is missing".to_owned()))?;
        if !lies_together(layers, topic) {
            let reason = format!(
                "the partitions of `{}` lie on different sets of nodes: move them to one first, or make a table and copy the records",
                topic.name
            );
            return Err(ConfigError::Table(reason));
        }
        commands.push(MetaCommand::MakeTable {
            id: topic.id,
            table: draft.definition.clone(),
            partitioners: draft.partitioners,
        });
    }
    Ok(commands)
}

/// Whether all partitions have the same replicas.
fn lies_together(layers: Layers<'_>, topic: &Topic) -> bool {
    let set = |shard| -> BTreeSet<i32> { layers.state.replicas_of(shard).into_iter().collect() };
    let shards: BTreeSet<u64> = topic.partitions.iter().map(|place| place.shard).collect();
    let sets: BTreeSet<_> = shards.into_iter().map(set).collect();
    sets.len() <= 1
}

/// Decides a change of broker settings: of one broker, or of all (`None`).
pub fn alter_broker(
    layers: Layers<'_>,
    broker_id: Option<i32>,
    alters: &[Alter],
    replace: bool,
) -> Result<Vec<MetaCommand>, ConfigError> {
    let none = Configs::new();
    let current = match broker_id {
        Some(broker) => layers.state.broker_configs(broker).unwrap_or(&none),
        None => layers.state.cluster_configs(),
    };
    let mut configs = if replace {
        Configs::new()
    } else {
        current.clone()
    };
    for alter in alters {
        if alter.op == Op::Delete && THROTTLES.contains(&alter.name.as_str()) {
            continue;
        }
        let setting = config::find(BROKER_SETTINGS, &alter.name)?;
        if !setting.dynamic {
            return Err(ConfigError::ReadOnly {
                name: alter.name.clone(),
            });
        }
        apply(&mut configs, BROKER_SETTINGS, alter)?;
    }
    for (name, value) in &configs {
        config::find(BROKER_SETTINGS, name)?.parse(value)?;
    }
    let changes = difference(current, &configs);
    Ok(if changes.is_empty() {
        Vec::new()
    } else {
        vec![MetaCommand::AlterBroker { broker_id, changes }]
    })
}

/// Whether these settings of a topic make it a primary-key table.
pub fn wants_table(layers: Layers<'_>, configs: &Configs) -> bool {
    TopicSettings::resolve(layers, configs).table.is_some()
}

fn apply(
    configs: &mut Configs,
    settings: &'static [Setting],
    alter: &Alter,
) -> Result<(), ConfigError> {
    match alter.op {
        Op::Set => {
            configs.insert(alter.name.clone(), alter.value.clone());
        }
        Op::Delete => {
            configs.remove(&alter.name);
        }
        Op::Append | Op::Subtract => {
            let setting = config::find(settings, &alter.name)?;
            if setting.kind != Kind::List {
                return Err(ConfigError::NotAList {
                    name: alter.name.clone(),
                    kind: setting.kind,
                });
            }
            let current = configs
                .get(&alter.name)
                .map(String::as_str)
                .or(setting.default)
                .unwrap_or_default();
            let mut list = config::split_list(current);
            // Kafka takes an empty value for an empty member, which no list may have.
            for value in alter.value.split(',') {
                match (alter.op, list.iter().position(|have| *have == value)) {
                    (Op::Append, None) => list.push(value),
                    (Op::Subtract, Some(at)) => {
                        list.remove(at);
                    }
                    _ => {}
                }
            }
            let list = list.join(",");
            configs.insert(alter.name.clone(), list);
        }
    }
    Ok(())
}

/// A primary-key table is compacted; it need not be said.
fn complete_table(configs: &mut Configs) {
    if configs
        .get("table.mode")
        .is_some_and(|mode| mode.trim() == "primary-key")
    {
        configs
            .entry("cleanup.policy".to_owned())
            .or_insert_with(|| "compact".to_owned());
    }
}

/// Every setting is known and valid, and they go together.
fn check_topic(layers: Layers<'_>, configs: &Configs) -> Result<(), ConfigError> {
    for (name, value) in configs {
        config::find(TOPIC_SETTINGS, name)?.parse(value)?;
    }
    check_aliases(configs)?;
    let settings = TopicSettings::resolve(layers, configs);
    if settings.min_compaction_lag_ms > settings.max_compaction_lag_ms {
        return Err(ConfigError::Conflict(format!(
            "`min.compaction.lag.ms` ({}) is above `max.compaction.lag.ms` ({})",
            settings.min_compaction_lag_ms, settings.max_compaction_lag_ms
        )));
    }
    if settings.table.is_some() && (settings.cleanup_delete || !settings.cleanup_compact) {
        return Err(ConfigError::Conflict(
            "a table keeps the last row of every key: `table.mode=primary-key` needs `cleanup.policy=compact`".to_owned(),
        ));
    }
    Ok(())
}

/// A setting and another product's name for it may not say different things.
fn check_aliases(configs: &Configs) -> Result<(), ConfigError> {
    for alias in ALIASES {
        let (Some(theirs), Some(ours)) = (configs.get(alias.name), configs.get(alias.of)) else {
            continue;
        };
        if unaliased(alias.name, theirs.trim()) != ours.trim() {
            return Err(ConfigError::Conflict(format!(
                "`{}={theirs}` and `{}={ours}` disagree; set one of them",
                alias.name, alias.of
            )));
        }
    }
    Ok(())
}

fn check_frozen(layers: Layers<'_>, topic: &Topic, configs: &Configs) -> Result<(), ConfigError> {
    for name in FROZEN_BY_TABLE {
        let setting = config::find(TOPIC_SETTINGS, name)?;
        if layers.topic(&topic.configs, setting).value != layers.topic(configs, setting).value {
            return Err(ConfigError::Frozen {
                topic: topic.name.to_string(),
                name: (*name).to_owned(),
            });
        }
    }
    Ok(())
}

fn difference(before: &Configs, after: &Configs) -> ConfigChanges {
    let set = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value));
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    set.map(|(name, value)| (name.clone(), Some(value.clone())))
        .chain(removed.map(|name| (name.clone(), None)))
        .collect()
}
