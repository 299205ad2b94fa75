//! A topic's settings as the data path uses them: resolved and typed.

use super::config;
use super::effective::Layers;
use super::state::Configs;
use super::topic_config::TOPIC_SETTINGS;
use serde::{Deserialize, Serialize};

/// What of a record's key or value is checked against the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    #[default]
    None,
    /// Its schema id is registered under the expected subject.
    Id,
    /// That, and the payload fits the schema.
    Full,
}

/// Which subject a schema must be registered under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectStrategy {
    #[default]
    TopicName,
    RecordName,
    TopicRecordName,
}

/// The codec that a topic's batches are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// What the producer chose.
    Producer,
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// What `table.*` asks for; the definition that was made of it is in [`super::Topic::table`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSettings {
    pub key_format: Option<String>,
    pub value_format: Option<String>,
    pub key_json_spaced: bool,
    /// `auto`, or a partitioner's name.
    pub partitioner: String,
    pub max_lag_records: u64,
}

/// Serializable, so that a shard's `Attach` and `Alter` entries can carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSettings {
    pub cleanup_compact: bool,
    pub cleanup_delete: bool,
    pub compression: Compression,
    pub gzip_level: i32,
    pub lz4_level: i32,
    pub zstd_level: i32,
    pub max_message_bytes: u32,
    /// Records carry the time at which they were appended.
    pub log_append_time: bool,
    pub timestamp_before_max_ms: i64,
    pub timestamp_after_max_ms: i64,
    pub min_insync_replicas: u32,
    /// Records are acknowledged when they are written, before they are durable and committed.
    pub write_caching: bool,
    /// `None` keeps records for ever.
    pub retention_ms: Option<u64>,
    /// `None` is no limit.
    pub retention_bytes: Option<u64>,
    pub segment_bytes: u32,
    pub delete_retention_ms: u64,
    /// `min.cleanable.dirty.ratio` in millionths.
    pub min_dirty_millionths: u32,
    pub min_compaction_lag_ms: u64,
    pub max_compaction_lag_ms: u64,
    pub key_validation: Validation,
    pub value_validation: Validation,
    pub key_subject: SubjectStrategy,
    pub value_subject: SubjectStrategy,
    pub table: Option<TableSettings>,
}

impl TopicSettings {
    /// Resolves what is set on the topic over the broker's defaults.
    ///
    /// Stored values were checked when they were set, so each has its type.
    pub fn resolve(layers: Layers<'_>, topic: &Configs) -> TopicSettings {
        let text = |name: &str| {
            let setting = config::find(TOPIC_SETTINGS, name).expect("a setting of the table");
            layers.topic(topic, setting).value
        };
        let required = |name: &str| text(name).expect("the setting has a default");
        let long = |name: &str| {
            required(name)
                .parse::<i64>()
                .expect("the setting is an integer")
        };
        let unsigned = |name: &str| u64::try_from(long(name)).unwrap_or(0);
        let limit = |name: &str| u64::try_from(long(name)).ok();
        let policy = required("cleanup.policy");
        let policies = config::split_list(&policy);
        TopicSettings {
            cleanup_compact: policies.contains(&"compact"),
            cleanup_delete: policies.contains(&"delete"),
            compression: compression(&required("compression.type")),
            gzip_level: long("compression.gzip.level") as i32,
            lz4_level: long("compression.lz4.level") as i32,
            zstd_level: long("compression.zstd.level") as i32,
            max_message_bytes: long("max.message.bytes") as u32,
            log_append_time: required("message.timestamp.type") == "LogAppendTime",
            timestamp_before_max_ms: long("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: long("message.timestamp.after.max.ms"),
            min_insync_replicas: long("min.insync.replicas") as u32,
            write_caching: required("write.caching") == "true",
            retention_ms: limit("retention.ms"),
            retention_bytes: limit("retention.bytes"),
            segment_bytes: long("segment.bytes") as u32,
            delete_retention_ms: unsigned("delete.retention.ms"),
            min_dirty_millionths: millionths(&required("min.cleanable.dirty.ratio")),
            min_compaction_lag_ms: unsigned("min.compaction.lag.ms"),
            max_compaction_lag_ms: unsigned("max.compaction.lag.ms"),
            key_validation: validation(&required("schema.validation.key")),
            value_validation: validation(&required("schema.validation.value")),
            key_subject: strategy(&required("schema.key.subject.name.strategy")),
            value_subject: strategy(&required("schema.value.subject.name.strategy")),
            table: (required("table.mode") == "primary-key").then(|| TableSettings {
                key_format: text("table.key.format"),
                value_format: text("table.value.format"),
                key_json_spaced: required("table.key.json") == "spaced",
                partitioner: required("table.partitioner"),
                max_lag_records: unsigned("table.max.lag.records"),
            }),
        }
    }
}

fn millionths(ratio: &str) -> u32 {
    let ratio: f64 = ratio.parse().expect("the setting is a number");
    (ratio.clamp(0.0, 1.0) * 1e6) as u32
}

fn compression(value: &str) -> Compression {
    match value {
        "uncompressed" => Compression::Uncompressed,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => Compression::Producer,
    }
}

fn validation(value: &str) -> Validation {
    match value {
        "id" => Validation::Id,
        "full" => Validation::Full,
        _ => Validation::None,
    }
}

fn strategy(value: &str) -> SubjectStrategy {
    match value {
        "record-name" => SubjectStrategy::RecordName,
        "topic-record-name" => SubjectStrategy::TopicRecordName,
        _ => SubjectStrategy::TopicName,
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::MetaState;
    use super::*;

    fn resolve(pairs: &[(&str, &str)]) -> TopicSettings {
        let topic: Configs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let (state, node) = (MetaState::default(), Configs::new());
        TopicSettings::resolve(
            Layers {
                state: &state,
                broker_id: 0,
                node: &node,
            },
            &topic,
        )
    }

    #[test]
    fn defaults_are_kafkas() {
        let settings = resolve(&[]);
        assert_eq!(settings.max_message_bytes, 1_048_588);
        assert_eq!(settings.retention_ms, Some(604_800_000));
        assert_eq!(settings.retention_bytes, None);
        assert!(settings.cleanup_delete && !settings.cleanup_compact);
        assert_eq!(settings.compression, Compression::Producer);
        assert_eq!(settings.min_dirty_millionths, 500_000);
        assert_eq!(settings.table, None);
    }

    #[test]
    fn validation_follows_either_name() {
        assert_eq!(
            resolve(&[("schema.validation.value", "full")]).value_validation,
            Validation::Full
        );
        assert_eq!(
            resolve(&[("confluent.key.schema.validation", "true")]).key_validation,
            Validation::Id
        );
        let class = "io.confluent.kafka.serializers.subject.RecordNameStrategy";
        let settings = resolve(&[("confluent.value.subject.name.strategy", class)]);
        assert_eq!(settings.value_subject, SubjectStrategy::RecordName);
    }
}
