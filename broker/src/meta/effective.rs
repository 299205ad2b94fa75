//! The value that a setting has, where it comes from, and what it would be without that.

use super::broker_config::{self, BROKER_SETTINGS};
use super::config::{self, Setting};
use super::state::{Configs, MetaState};
use super::topic_config::{ALIASES, TOPIC_SETTINGS};

/// Where a value comes from, with the numbers that DescribeConfigs uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    Topic = 1,
    DynamicBroker = 2,
    DynamicCluster = 3,
    Node = 4,
    Default = 5,
}

/// A place that gives a value, the one that counts or one that it hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    pub value: String,
    pub source: Source,
}

#[derive(Debug, Clone)]
pub struct Effective {
    pub setting: &'static Setting,
    pub value: Option<String>,
    pub source: Source,
    /// The strongest first.
    pub synonyms: Vec<Synonym>,
}

/// The layers of broker settings as one broker sees them.
#[derive(Clone, Copy)]
pub struct Layers<'a> {
    pub state: &'a MetaState,
    pub broker_id: i32,
    /// What the node's own configuration sets.
    pub node: &'a Configs,
}

impl<'a> Layers<'a> {
    /// Every setting of a topic with these settings of its own, in the order of the table. Aliases only where set.
    pub fn topic_all(self, topic: &'a Configs) -> impl Iterator<Item = Effective> + 'a {
        let shown =
            |s: &&Setting| topic.contains_key(s.name) || ALIASES.iter().all(|a| a.name != s.name);
        TOPIC_SETTINGS
            .iter()
            .filter(shown)
            .map(move |setting| self.topic(topic, setting))
    }

    pub fn topic(self, topic: &Configs, setting: &'static Setting) -> Effective {
        let mut synonyms = Vec::new();
        if let Some(value) = topic.get(setting.name) {
            synonyms.push(Synonym {
                name: setting.name,
                value: printed(setting, value),
                source: Source::Topic,
            });
        }
        for alias in ALIASES.iter().filter(|a| a.of == setting.name) {
            if let Some(value) = topic.get(alias.name) {
                let value = value.trim().to_owned();
                synonyms.push(Synonym {
                    name: alias.name,
                    value,
                    source: Source::Topic,
                });
            }
        }
        let value = match synonyms.first() {
            Some(own) if own.name == setting.name => Some(own.value.clone()),
            Some(alias) => Some(unaliased(alias.name, &alias.value)),
            None => None,
        };
        let mut default = None;
        if let Some(first) = setting.synonyms.first() {
            let (broker_value, broker_synonyms) = self.chained(first);
            default = broker_value;
            synonyms.extend(broker_synonyms);
        }
        let value = value
            .or(default)
            .or_else(|| setting.default.map(str::to_owned));
        let source = synonyms.first().map_or(Source::Default, |s| s.source);
        Effective {
            setting,
            value,
            source,
            synonyms,
        }
    }

    /// Every setting of the broker, in the order of the table.
    pub fn broker_all(self) -> impl Iterator<Item = Effective> + 'a {
        BROKER_SETTINGS.iter().map(move |setting| {
            let (_, synonyms) = self.chained(setting.name);
            let value = self.given(setting.name).first().map(|s| s.value.clone());
            let source = synonyms.first().map_or(Source::Default, |s| s.source);
            Effective {
                setting,
                value,
                source,
                synonyms,
            }
        })
    }

    /// The settings that hold for the whole cluster because someone set them.
    pub fn cluster_all(self) -> impl Iterator<Item = Effective> + 'a {
        self.state
            .cluster_configs()
            .iter()
            .filter_map(|(name, value)| {
                let setting = config::find(BROKER_SETTINGS, name).ok()?;
                let value = printed(setting, value);
                let synonym = Synonym {
                    name: setting.name,
                    value: value.clone(),
                    source: Source::DynamicCluster,
                };
                Some(Effective {
                    setting,
                    value: Some(value),
                    source: Source::DynamicCluster,
                    synonyms: vec![synonym],
                })
            })
    }

    /// The value of a broker setting, in the unit of its name also where a coarser one gives it.
    pub fn broker(self, name: &'static str) -> Option<String> {
        self.chained(name).0
    }

    /// The value of an integer setting of the broker that has a default.
    ///
    /// Panics on a name without a default or of another type: callers pass literals.
    pub fn broker_int(self, name: &'static str) -> i64 {
        let value = self.broker(name).expect("the setting has a default");
        value.parse().expect("the setting is an integer")
    }

    pub fn broker_flag(self, name: &'static str) -> bool {
        self.broker(name).as_deref() == Some("true")
    }

    /// The value by a chain of settings, and its synonyms.
    ///
    /// Synonyms start at the first that names the chain's head, as Kafka shows them: without one there are none.
    fn chained(self, name: &'static str) -> (Option<String>, Vec<Synonym>) {
        let mut all: Vec<Synonym> = Vec::new();
        let mut value = None;
        for (link, factor) in broker_config::chain(name) {
            let given = self.given(link);
            if let (None, Some(first)) = (&value, given.first()) {
                value = Some(scaled(&first.value, factor));
            }
            all.extend(given);
        }
        // Layer by layer, and within a layer in the order of the chain.
        all.sort_by_key(|s| s.source as i8);
        let head = all.iter().position(|s| s.name == name).unwrap_or(all.len());
        (value, all.split_off(head))
    }

    /// The layers that give one broker setting, the strongest first.
    fn given(self, name: &'static str) -> Vec<Synonym> {
        let setting =
            config::find(BROKER_SETTINGS, name).expect("callers name settings of the table");
        let layer = |configs: Option<&Configs>, source| {
            let value = configs?.get(name)?;
            Some(Synonym {
                name,
                value: printed(setting, value),
                source,
            })
        };
        let default = setting.default.map(|value| Synonym {
            name,
            value: value.to_owned(),
            source: Source::Default,
        });
        [
            layer(
                self.state.broker_configs(self.broker_id),
                Source::DynamicBroker,
            ),
            layer(Some(self.state.cluster_configs()), Source::DynamicCluster),
            layer(Some(self.node), Source::Node),
            default,
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A stored value was checked when it was set; a later release may know it no more and then shows it as it is.
fn printed(setting: &Setting, value: &str) -> String {
    setting.parse(value).unwrap_or_else(|_| value.to_owned())
}

fn scaled(value: &str, factor: i64) -> String {
    match value.parse::<i64>() {
        Ok(number) if factor != 1 => number.saturating_mul(factor).to_string(),
        _ => value.to_owned(),
    }
}

/// What an alias's value means for the setting that it is an alias of.
pub fn unaliased(alias: &str, value: &str) -> String {
    ALIASES
        .iter()
        .find(|a| a.name == alias)
        .and_then(|a| a.values.iter().find(|(theirs, _)| *theirs == value))
        .map_or_else(|| value.to_owned(), |(_, ours)| (*ours).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(pairs: &[(&str, &str)]) -> Configs {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn topic_setting(name: &str) -> &'static Setting {
        config::find(TOPIC_SETTINGS, name).unwrap()
    }

    fn sources(effective: &Effective) -> Vec<(&'static str, &str, Source)> {
        effective
            .synonyms
            .iter()
            .map(|s| (s.name, s.value.as_str(), s.source))
            .collect()
    }

    #[test]
    fn the_strongest_layer_counts_and_the_others_are_synonyms() {
        let state = MetaState {
            cluster_configs: configs(&[("message.max.bytes", "2000")]),
            ..MetaState::default()
        };
        let node = configs(&[("message.max.bytes", "3000")]);
        let layers = Layers {
            state: &state,
            broker_id: 0,
            node: &node,
        };
        let own = configs(&[("max.message.bytes", "1000")]);
        let effective = layers.topic(&own, topic_setting("max.message.bytes"));
        assert_eq!(effective.value.as_deref(), Some("1000"));
        assert_eq!(
            sources(&effective),
            [
                ("max.message.bytes", "1000", Source::Topic),
                ("message.max.bytes", "2000", Source::DynamicCluster),
                ("message.max.bytes", "3000", Source::Node),
                ("message.max.bytes", "1048588", Source::Default),
            ]
        );
        assert_eq!(
            layers
                .topic(&Configs::new(), topic_setting("max.message.bytes"))
                .source,
            Source::DynamicCluster
        );
    }

    #[test]
    fn retention_in_hours_gives_milliseconds_and_no_synonym() {
        let (state, node) = (
            MetaState::default(),
            configs(&[("log.retention.hours", "2")]),
        );
        let layers = Layers {
            state: &state,
            broker_id: 0,
            node: &node,
        };
        let effective = layers.topic(&Configs::new(), topic_setting("retention.ms"));
        assert_eq!(effective.value.as_deref(), Some("7200000"));
        assert_eq!(effective.source, Source::Default);
        assert_eq!(sources(&effective), []);
    }

    #[test]
    fn an_alias_gives_the_value_of_its_setting() {
        let (state, node) = (MetaState::default(), Configs::new());
        let layers = Layers {
            state: &state,
            broker_id: 0,
            node: &node,
        };
        let own = configs(&[("confluent.value.schema.validation", "true")]);
        let effective = layers.topic(&own, topic_setting("schema.validation.value"));
        assert_eq!(effective.value.as_deref(), Some("id"));
        assert_eq!(effective.source, Source::Topic);
        let names = |own: &Configs| {
            layers
                .topic_all(own)
                .map(|e| e.setting.name)
                .collect::<Vec<_>>()
        };
        assert!(names(&own).contains(&"confluent.value.schema.validation"));
        assert!(!names(&Configs::new()).contains(&"confluent.value.schema.validation"));
    }

    #[test]
    fn a_topic_describes_kafkas_settings_first() {
        let (state, node) = (MetaState::default(), Configs::new());
        let layers = Layers {
            state: &state,
            broker_id: 0,
            node: &node,
        };
        let all: Vec<Effective> = layers.topic_all(&Configs::new()).collect();
        assert_eq!(all[32].setting.name, "segment.index.bytes");
        assert_eq!(all[4].value.as_deref(), Some("1"));
        assert_eq!(
            sources(&all[4]),
            [("min.insync.replicas", "1", Source::Default)]
        );
    }
}
