//! The settings of a broker that tools read, in the order in which Kafka 4.3 describes them, and then Weir's own.
//!
//! Kafka has some 340; these are the ones that mean something here or that a tool asks for. Their values come, the
//! strongest first, from this broker's dynamic settings, the cluster's dynamic settings, the node's own configuration,
//! and the default.

use super::config::{Check, Kind, Setting};

const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

const fn setting(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    check: Check,
    dynamic: bool,
    documentation: &'static str,
) -> Setting {
    Setting {
        name,
        kind,
        default,
        check,
        synonyms: &[],
        dynamic,
        sensitive: false,
        documentation,
    }
}

#[rustfmt::skip] // one row, two lines
pub const BROKER_SETTINGS: &[Setting] = &[
    setting("log.cleaner.min.compaction.lag.ms", Kind::Long, Some("0"), Check::AtLeast(0), true,
        "Default of the topic setting min.compaction.lag.ms."),
    setting("offsets.topic.num.partitions", Kind::Int, Some("50"), Check::Any, false,
        "Partitions of the topic of committed offsets."),
    setting("log.flush.interval.messages", Kind::Long, Some("9223372036854775807"), Check::AtLeast(1), true,
        "Default of the topic setting flush.messages."),
    setting("log.flush.interval.ms", Kind::Long, None, Check::Any, true,
        "Default of the topic setting flush.ms."),
    setting("min.insync.replicas", Kind::Int, Some("1"), Check::AtLeast(1), true,
        "Default of the topic setting of that name."),
    setting("message.max.bytes", Kind::Int, Some("1048588"), Check::AtLeast(0), true,
        "Default of the topic setting max.message.bytes."),
    setting("authorizer.class.name", Kind::String, Some(""), Check::Any, false,
        "Accepted for tools; there is no authorizer yet."),
    setting("log.roll.jitter.hours", Kind::Int, Some("0"), Check::AtLeast(0), false,
        "Default of the topic setting segment.jitter.ms, in hours."),
    setting("log.cleaner.delete.retention.ms", Kind::Long, Some("86400000"), Check::AtLeast(0), true,
        "Default of the topic setting delete.retention.ms."),
    setting("socket.request.max.bytes", Kind::Int, Some("104857600"), Check::AtLeast(1), false,
        "The largest request; a larger one closes the connection."),
    setting("remote.log.storage.system.enable", Kind::Boolean, Some("false"), Check::Any, false,
        "Remote storage is not served yet."),
    setting("log.message.timestamp.type", Kind::String, Some("CreateTime"), Check::OneOf(&["CreateTime", "LogAppendTime"]), true,
        "Default of the topic setting message.timestamp.type."),
    setting("connections.max.idle.ms", Kind::Long, Some("600000"), Check::Any, false,
        "How long an idle connection is kept."),
    setting("max.connections", Kind::Int, Some("2147483647"), Check::AtLeast(0), true,
        "Clients that may be connected at once, of Kafka and HTTP together; the limit on open files counts too."),
    setting("log.retention.hours", Kind::Int, Some("168"), Check::Any, false,
        "Default of the topic setting retention.ms, in hours."),
    setting("producer.id.expiration.ms", Kind::Int, Some("86400000"), Check::AtLeast(1), true,
        "How long an idle producer is remembered for idempotence."),
    setting("log.roll.ms", Kind::Long, None, Check::AtLeast(1), true,
        "Default of the topic setting segment.ms; unset, log.roll.hours counts."),
    setting("node.id", Kind::Int, None, Check::Any, false,
        "The id of this broker."),
    setting("log.local.retention.ms", Kind::Long, Some("-2"), Check::AtLeast(-2), true,
        "Default of the topic setting local.retention.ms."),
    setting("request.timeout.ms", Kind::Int, Some("30000"), Check::Any, false,
        "How long a request between brokers waits."),
    setting("log.dir", Kind::List, Some("/tmp/kafka-logs"), Check::Any, false,
        "The directory of the data, where log.dirs is unset."),
    setting("log.segment.bytes", Kind::Int, Some("1073741824"), Check::AtLeast(1_048_576), true,
        "Default of the topic setting segment.bytes."),
    setting("group.max.session.timeout.ms", Kind::Int, Some("1800000"), Check::Any, false,
        "The longest session timeout that a group member may ask for."),
    setting("log.message.timestamp.after.max.ms", Kind::Long, Some("3600000"), Check::AtLeast(0), true,
        "Default of the topic setting message.timestamp.after.max.ms."),
    setting("log.retention.minutes", Kind::Int, None, Check::Any, false,
        "Default of the topic setting retention.ms, in minutes; unset, log.retention.hours counts."),
    setting("log.segment.delete.delay.ms", Kind::Long, Some("60000"), Check::AtLeast(0), true,
        "Default of the topic setting file.delete.delay.ms."),
    setting("log.dirs", Kind::List, None, Check::Any, false,
        "The directory of the data."),
    setting("log.message.timestamp.before.max.ms", Kind::Long, Some("9223372036854775807"), Check::AtLeast(0), true,
        "Default of the topic setting message.timestamp.before.max.ms."),
    setting("auto.leader.rebalance.enable", Kind::Boolean, Some("true"), Check::Any, false,
        "Whether leaders move back to their preferred brokers."),
    setting("log.cleaner.min.cleanable.ratio", Kind::Double, Some("0.5"), Check::Ratio, true,
        "Default of the topic setting min.cleanable.dirty.ratio."),
    setting("replica.lag.time.max.ms", Kind::Long, Some("30000"), Check::Any, false,
        "The lag up to which a replica counts as in sync."),
    setting("compression.gzip.level", Kind::Int, Some("-1"), Check::BetweenOr(1, 9, -1), true,
        "Default of the topic setting of that name."),
    setting("broker.rack", Kind::String, None, Check::Any, false,
        "The rack of this broker."),
    setting("unclean.leader.election.enable", Kind::Boolean, Some("false"), Check::Any, true,
        "Default of the topic setting of that name."),
    setting("offsets.retention.check.interval.ms", Kind::Long, Some("600000"), Check::Any, false,
        "How often expired offsets are looked for."),
    setting("auto.create.topics.enable", Kind::Boolean, Some("true"), Check::Any, false,
        "Create a topic that a client asks metadata of, where the client allows it."),
    setting("default.replication.factor", Kind::Int, Some("1"), Check::Any, false,
        "Replicas of a topic that is created without a factor."),
    setting("log.preallocate", Kind::Boolean, Some("false"), Check::Any, true,
        "Default of the topic setting preallocate."),
    setting("transactional.id.expiration.ms", Kind::Int, Some("604800000"), Check::Any, false,
        "How long an idle transactional id is remembered."),
    setting("delete.topic.enable", Kind::Boolean, Some("true"), Check::Any, false,
        "Whether topics may be deleted at all."),
    setting("log.cleaner.max.compaction.lag.ms", Kind::Long, Some("9223372036854775807"), Check::AtLeast(1), true,
        "Default of the topic setting max.compaction.lag.ms."),
    setting("log.retention.ms", Kind::Long, None, Check::Any, true,
        "Default of the topic setting retention.ms; unset, log.retention.minutes counts."),
    setting("log.retention.check.interval.ms", Kind::Long, Some("300000"), Check::AtLeast(1), false,
        "How often records that expired are looked for."),
    setting("log.cleaner.enable", Kind::Boolean, Some("true"), Check::Any, false,
        "Whether compacted topics are compacted."),
    setting("log.cleaner.backoff.ms", Kind::Long, Some("15000"), Check::AtLeast(0), true,
        "How often it is looked for what is to be compacted."),
    setting("log.cleaner.dedupe.buffer.size", Kind::Long, Some("134217728"), Check::AtLeast(1_048_576), true,
        "The most memory that the keys of one compaction take; what has more keys is compacted part by part."),
    setting("log.local.retention.bytes", Kind::Long, Some("-2"), Check::AtLeast(-2), true,
        "Default of the topic setting local.retention.bytes."),
    setting("log.retention.bytes", Kind::Long, Some("-1"), Check::Any, true,
        "Default of the topic setting retention.bytes."),
    setting("offsets.retention.minutes", Kind::Int, Some("10080"), Check::Any, false,
        "How long the offsets of an empty group are kept, in minutes."),
    setting("compression.zstd.level", Kind::Int, Some("3"), Check::Between(-131_072, 22), true,
        "Default of the topic setting of that name."),
    setting("num.partitions", Kind::Int, Some("1"), Check::AtLeast(1), false,
        "Partitions of a topic that is created without a count."),
    setting("listeners", Kind::List, None, Check::Any, false,
        "The addresses that this broker listens on."),
    setting("inter.broker.listener.name", Kind::String, None, Check::Any, false,
        "Accepted for tools; brokers talk over a protocol of their own."),
    setting("log.flush.scheduler.interval.ms", Kind::Long, Some("9223372036854775807"), Check::Any, false,
        "Default of the topic setting flush.ms where log.flush.interval.ms is unset."),
    setting("log.index.size.max.bytes", Kind::Int, Some("10485760"), Check::AtLeast(4), true,
        "Default of the topic setting segment.index.bytes."),
    setting("compression.lz4.level", Kind::Int, Some("9"), Check::Between(1, 17), true,
        "Default of the topic setting of that name."),
    setting("log.roll.hours", Kind::Int, Some("168"), Check::AtLeast(1), false,
        "Default of the topic setting segment.ms, in hours."),
    setting("log.cleanup.policy", Kind::List, Some("delete"), Check::EachOf(&["compact", "delete"]), true,
        "Default of the topic setting cleanup.policy."),
    setting("log.roll.jitter.ms", Kind::Long, None, Check::AtLeast(0), true,
        "Default of the topic setting segment.jitter.ms; unset, log.roll.jitter.hours counts."),
    setting("group.initial.rebalance.delay.ms", Kind::Int, Some("3000"), Check::Any, false,
        "How long the first rebalance of a group waits for more members."),
    setting("log.index.interval.bytes", Kind::Int, Some("4096"), Check::AtLeast(0), true,
        "Default of the topic setting index.interval.bytes."),
    setting("offset.metadata.max.bytes", Kind::Int, Some("4096"), Check::Any, false,
        "The longest metadata text of a committed offset."),
    setting("fetch.max.bytes", Kind::Int, Some("57671680"), Check::AtLeast(1024), false,
        "The most bytes that one fetch answers."),
    setting("compression.type", Kind::String, Some("producer"), Check::OneOf(COMPRESSION_TYPES), true,
        "Default of the topic setting of that name."),
    setting("max.incremental.fetch.session.cache.slots", Kind::Int, Some("1000"), Check::Any, false,
        "Incremental fetch sessions that are kept."),
    setting("group.min.session.timeout.ms", Kind::Int, Some("6000"), Check::Any, false,
        "The shortest session timeout that a group member may ask for."),
    setting("transaction.max.timeout.ms", Kind::Int, Some("900000"), Check::Any, false,
        "The longest transaction timeout that a producer may ask for."),
    setting("process.roles", Kind::List, None, Check::Any, false,
        "What this process does in the cluster."),
    setting("group.max.size", Kind::Int, Some("2147483647"), Check::Any, false,
        "The most members of a group."),
    setting("broker.id", Kind::Int, None, Check::Any, false,
        "The id of this broker."),
    setting("max.request.partition.size.limit", Kind::Int, Some("2000"), Check::Any, false,
        "The most partitions that one page of DescribeTopicPartitions has."),
    setting("advertised.listeners", Kind::List, None, Check::Any, false,
        "The addresses that this broker tells clients."),
    // Weir's own.
    setting("auto.partition.rebalance.enable", Kind::Boolean, Some("true"), Check::Any, true,
        "Whether partitions move by themselves to nodes that have fewer."),
];

/// Settings of which the first one that has a value counts, and the factor that turns each into the first one's unit.
pub const CHAINS: &[&[(&str, i64)]] = &[
    &[
        ("log.retention.ms", 1),
        ("log.retention.minutes", 60_000),
        ("log.retention.hours", 3_600_000),
    ],
    &[("log.roll.ms", 1), ("log.roll.hours", 3_600_000)],
    &[
        ("log.roll.jitter.ms", 1),
        ("log.roll.jitter.hours", 3_600_000),
    ],
    &[
        ("log.flush.interval.ms", 1),
        ("log.flush.scheduler.interval.ms", 1),
    ],
];

/// The chain that starts with `name`, or `name` alone.
pub fn chain(name: &'static str) -> Vec<(&'static str, i64)> {
    CHAINS
        .iter()
        .find(|chain| chain[0].0 == name)
        .map_or_else(|| vec![(name, 1)], |chain| chain.to_vec())
}

/// Checks what a node's own configuration sets, before the broker starts on it.
pub fn check_node(configs: &super::state::Configs) -> Result<(), super::config::ConfigError> {
    for (name, value) in configs {
        super::config::find(BROKER_SETTINGS, name)?.parse(value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::config::find;
    use super::super::topic_config::TOPIC_SETTINGS;
    use super::*;

    #[test]
    fn all_defaults_are_valid() {
        for setting in BROKER_SETTINGS {
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
    fn every_topic_default_comes_from_a_known_broker_setting_with_the_same_default() {
        for topic in TOPIC_SETTINGS.iter().filter(|s| !s.synonyms.is_empty()) {
            let (value, factor) = chain(topic.synonyms[0])
                .into_iter()
                .find_map(|(name, factor)| {
                    find(BROKER_SETTINGS, name)
                        .unwrap()
                        .default
                        .map(|value| (value, factor))
                })
                .unwrap();
            let value = if factor == 1 {
                value.to_owned()
            } else {
                (value.parse::<i64>().unwrap() * factor).to_string()
            };
            assert_eq!(Some(&*value), topic.default, "{}", topic.name);
        }
    }
}
