//! Every setting of a topic: Kafka's in the order in which Kafka 4.3 describes them, then ours.

use super::config::{Check, Kind, Setting};

const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
const VALIDATIONS: &[&str] = &["none", "id", "full"];
const STRATEGIES: &[&str] = &["topic-name", "record-name", "topic-record-name"];
const STRATEGY_CLASSES: &[&str] = &[
    "io.confluent.kafka.serializers.subject.TopicNameStrategy",
    "io.confluent.kafka.serializers.subject.RecordNameStrategy",
    "io.confluent.kafka.serializers.subject.TopicRecordNameStrategy",
];

/// How many of [`TOPIC_SETTINGS`] are Kafka's.
pub const KAFKA_SETTING_COUNT: usize = 33;

const fn setting(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    check: Check,
    synonyms: &'static [&'static str],
    documentation: &'static str,
) -> Setting {
    Setting {
        name,
        kind,
        default: Some(default),
        check,
        synonyms,
        dynamic: true,
        sensitive: false,
        documentation,
    }
}

/// One of ours that is null until it is set.
const fn unset(name: &'static str, check: Check, documentation: &'static str) -> Setting {
    Setting {
        name,
        kind: Kind::String,
        default: None,
        check,
        synonyms: &[],
        dynamic: true,
        sensitive: false,
        documentation,
    }
}

#[rustfmt::skip] // one row, two lines
pub const TOPIC_SETTINGS: &[Setting] = &[
    setting("compression.type", Kind::String, "producer", Check::OneOf(COMPRESSION_TYPES), &["compression.type"],
        "The codec that batches are stored in; `producer` keeps what the producer chose."),
    setting("remote.log.delete.on.disable", Kind::Boolean, "false", Check::Any, &[],
        "Accepted for tools; there is no remote storage yet."),
    setting("leader.replication.throttled.replicas", Kind::List, "", Check::ThrottledReplicas, &[],
        "Accepted for tools; replication is not throttled by replica."),
    setting("remote.storage.enable", Kind::Boolean, "false", Check::OnlyNow("false"), &[],
        "Remote storage is not served yet, so only false is accepted."),
    setting("min.insync.replicas", Kind::Int, "1", Check::AtLeast(1), &["min.insync.replicas"],
        "Live replicas without which a produce request with acks=all is refused."),
    setting("segment.jitter.ms", Kind::Long, "0", Check::AtLeast(0), &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "Accepted for tools; segments are not rolled by time."),
    setting("remote.log.copy.disable", Kind::Boolean, "false", Check::Any, &[],
        "Accepted for tools; there is no remote storage yet."),
    setting("local.retention.ms", Kind::Long, "-2", Check::AtLeast(-2), &["log.local.retention.ms"],
        "Accepted for tools; there is no remote storage yet."),
    setting("cleanup.policy", Kind::List, "delete", Check::EachOf(&["compact", "delete"]), &["log.cleanup.policy"],
        "`delete` drops old records, `compact` keeps the last record of every key, both do both."),
    setting("flush.ms", Kind::Long, "9223372036854775807", Check::AtLeast(0), &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        "Accepted for tools; every acknowledged record is on disk."),
    setting("follower.replication.throttled.replicas", Kind::List, "", Check::ThrottledReplicas, &[],
        "Accepted for tools; replication is not throttled by replica."),
    setting("compression.lz4.level", Kind::Int, "9", Check::Between(1, 17), &["compression.lz4.level"],
        "The level used when batches are stored in lz4."),
    setting("segment.bytes", Kind::Int, "1073741824", Check::AtLeast(1_048_576), &["log.segment.bytes"],
        "The size at which a segment file ends."),
    setting("retention.ms", Kind::Long, "604800000", Check::AtLeast(-1), &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        "How long records are kept under `cleanup.policy=delete`, in milliseconds; -1 for ever."),
    setting("compression.gzip.level", Kind::Int, "-1", Check::BetweenOr(1, 9, -1), &["compression.gzip.level"],
        "The level used when batches are stored in gzip."),
    setting("flush.messages", Kind::Long, "9223372036854775807", Check::AtLeast(1), &["log.flush.interval.messages"],
        "Accepted for tools; every acknowledged record is on disk."),
    setting("compression.zstd.level", Kind::Int, "3", Check::Between(-131_072, 22), &["compression.zstd.level"],
        "The level used when batches are stored in zstd."),
    setting("max.compaction.lag.ms", Kind::Long, "9223372036854775807", Check::AtLeast(1), &["log.cleaner.max.compaction.lag.ms"],
        "The longest time that a record stays out of compaction."),
    setting("file.delete.delay.ms", Kind::Long, "60000", Check::AtLeast(0), &["log.segment.delete.delay.ms"],
        "How long a removed segment file stays on disk."),
    setting("max.message.bytes", Kind::Int, "1048588", Check::AtLeast(0), &["message.max.bytes"],
        "The largest batch, as it is stored, in bytes."),
    setting("min.compaction.lag.ms", Kind::Long, "0", Check::AtLeast(0), &["log.cleaner.min.compaction.lag.ms"],
        "The shortest time that a record stays out of compaction."),
    setting("message.timestamp.type", Kind::String, "CreateTime", Check::OneOf(&["CreateTime", "LogAppendTime"]), &["log.message.timestamp.type"],
        "Whether records carry the time that the producer gave or the time at which they were appended."),
    setting("local.retention.bytes", Kind::Long, "-2", Check::AtLeast(-2), &["log.local.retention.bytes"],
        "Accepted for tools; there is no remote storage yet."),
    setting("preallocate", Kind::Boolean, "false", Check::Any, &["log.preallocate"],
        "Accepted for tools; log files are always written in advance."),
    setting("index.interval.bytes", Kind::Int, "4096", Check::AtLeast(0), &["log.index.interval.bytes"],
        "Bytes of a segment between two entries of its offset index."),
    setting("min.cleanable.dirty.ratio", Kind::Double, "0.5", Check::Ratio, &["log.cleaner.min.cleanable.ratio"],
        "The part of a log that must be uncompacted before it is compacted."),
    setting("unclean.leader.election.enable", Kind::Boolean, "false", Check::Any, &["unclean.leader.election.enable"],
        "Accepted for tools; only a replica that has every committed record can lead."),
    setting("retention.bytes", Kind::Long, "-1", Check::Any, &["log.retention.bytes"],
        "Bytes of a partition that are kept under `cleanup.policy=delete`; -1 for no limit."),
    setting("delete.retention.ms", Kind::Long, "86400000", Check::AtLeast(0), &["log.cleaner.delete.retention.ms"],
        "How long a tombstone is kept on a compacted topic, in milliseconds."),
    setting("message.timestamp.after.max.ms", Kind::Long, "3600000", Check::AtLeast(0), &["log.message.timestamp.after.max.ms"],
        "How far ahead of the broker a record timestamp may be, in milliseconds."),
    setting("message.timestamp.before.max.ms", Kind::Long, "9223372036854775807", Check::AtLeast(0), &["log.message.timestamp.before.max.ms"],
        "How far behind the broker a record timestamp may be, in milliseconds."),
    setting("segment.ms", Kind::Long, "604800000", Check::AtLeast(1), &["log.roll.ms", "log.roll.hours"],
        "The age at which a segment file ends."),
    setting("segment.index.bytes", Kind::Int, "10485760", Check::AtLeast(4), &["log.index.size.max.bytes"],
        "The largest index of a segment, in bytes."),
    setting("write.caching", Kind::Boolean, "false", Check::Any, &[],
        "Acknowledge records once the leader has written them, before they are safe from a loss of power or of the leader."),
    setting("schema.validation.key", Kind::String, "none", Check::OneOf(VALIDATIONS), &[],
        "What is checked of a record key: `none`, its schema `id`, or the `full` payload."),
    setting("schema.validation.value", Kind::String, "none", Check::OneOf(VALIDATIONS), &[],
        "What is checked of a record value: `none`, its schema `id`, or the `full` payload."),
    setting("schema.key.subject.name.strategy", Kind::String, "topic-name", Check::OneOf(STRATEGIES), &[],
        "Under which subject the schema of a key must be registered."),
    setting("schema.value.subject.name.strategy", Kind::String, "topic-name", Check::OneOf(STRATEGIES), &[],
        "Under which subject the schema of a value must be registered."),
    setting("table.mode", Kind::String, "none", Check::OneOf(&["none", "primary-key"]), &[],
        "`primary-key` makes the topic a table of its last value per key, which can be looked up."),
    unset("table.key.format", Check::OneOf(&["string", "int32", "int64", "bytes", "schema"]),
        "How a table's key is encoded; not given, it is `schema` when its subject has one, else `string`."),
    unset("table.value.format", Check::OneOf(&["bytes", "string", "schema"]),
        "How a table's value is encoded; not given, it is `schema` when its subject has one, else `bytes`."),
    setting("table.key.json", Kind::String, "compact", Check::OneOf(&["compact", "spaced"]), &[],
        "The one form that a table's JSON keys have."),
    setting("table.partitioner", Kind::String, "auto",
        Check::OneOf(&["auto", "murmur2", "crc32", "fnv1a", "murmur2-unsigned"]), &[],
        "How a table's clients place keys; `auto` finds out from what they write."),
    setting("table.merge-engine", Kind::String, "last-row", Check::OnlyNow("last-row"), &[],
        "How a new row is merged into the one that is there. Only the last write wins yet."),
    setting("table.max.lag.records", Kind::Long, "1000000", Check::AtLeast(1), &[],
        "Records that the rows of a partition may be behind its log before its producers are slowed."),

    unset("confluent.key.schema.validation", Check::OneOf(&["true", "false"]),
        "Another name for `schema.validation.key`: true means `id`."),
    unset("confluent.value.schema.validation", Check::OneOf(&["true", "false"]),
        "Another name for `schema.validation.value`: true means `id`."),
    unset("confluent.key.subject.name.strategy", Check::OneOf(STRATEGY_CLASSES),
        "Another name for `schema.key.subject.name.strategy`, with Java class names."),
    unset("confluent.value.subject.name.strategy", Check::OneOf(STRATEGY_CLASSES),
        "Another name for `schema.value.subject.name.strategy`, with Java class names."),
];

/// Another product's name for one of our settings, and what its values mean here.
pub struct Alias {
    pub name: &'static str,
    pub of: &'static str,
    pub values: &'static [(&'static str, &'static str)],
}

const VALIDATION_VALUES: &[(&str, &str)] = &[("true", "id"), ("false", "none")];
const STRATEGY_VALUES: &[(&str, &str)] = &[
    (STRATEGY_CLASSES[0], STRATEGIES[0]),
    (STRATEGY_CLASSES[1], STRATEGIES[1]),
    (STRATEGY_CLASSES[2], STRATEGIES[2]),
];

/// Described only where they are set.
pub const ALIASES: &[Alias] = &[
    Alias {
        name: "confluent.key.schema.validation",
        of: "schema.validation.key",
        values: VALIDATION_VALUES,
    },
    Alias {
        name: "confluent.value.schema.validation",
        of: "schema.validation.value",
        values: VALIDATION_VALUES,
    },
    Alias {
        name: "confluent.key.subject.name.strategy",
        of: "schema.key.subject.name.strategy",
        values: STRATEGY_VALUES,
    },
    Alias {
        name: "confluent.value.subject.name.strategy",
        of: "schema.value.subject.name.strategy",
        values: STRATEGY_VALUES,
    },
];

/// Settings that may not change once the topic is a table.
pub const FROZEN_BY_TABLE: &[&str] = &[
    "table.mode",
    "table.key.format",
    "table.value.format",
    "table.key.json",
    "table.partitioner",
    "table.merge-engine",
    "schema.key.subject.name.strategy",
    "confluent.key.subject.name.strategy",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn kafkas_settings_come_first_and_all_defaults_are_valid() {
        assert_eq!(TOPIC_SETTINGS[0].name, "compression.type");
        assert_eq!(
            TOPIC_SETTINGS[KAFKA_SETTING_COUNT - 1].name,
            "segment.index.bytes"
        );
        assert_eq!(TOPIC_SETTINGS[KAFKA_SETTING_COUNT].name, "write.caching");
        for setting in TOPIC_SETTINGS {
            if let Some(default) = setting.default {
                assert_eq!(
                    setting.parse(default).as_deref(),
                    Ok(default),
                    "{}",
                    setting.name
                );
            }
        }
    }

    #[test]
    fn names_are_unique_and_every_alias_is_of_a_known_setting() {
        let names: BTreeSet<_> = TOPIC_SETTINGS.iter().map(|s| s.name).collect();
        assert_eq!(names.len(), TOPIC_SETTINGS.len());
        for alias in ALIASES {
            assert!(names.contains(alias.name) && names.contains(alias.of));
        }
        assert!(FROZEN_BY_TABLE.iter().all(|name| names.contains(name)));
    }
}
