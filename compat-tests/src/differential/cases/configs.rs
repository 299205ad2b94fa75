//! DescribeConfigs, AlterConfigs and IncrementalAlterConfigs of topics and brokers.

use std::ops::RangeInclusive;

use anyhow::{Result, bail};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    alter_configs_request as full, incremental_alter_configs_request as incremental,
};

use super::Cases;
use super::common::nowhere;
use crate::differential::build::text;
use crate::differential::trial::Trial;

const DESCRIBES: RangeInclusive<i16> = 1..=4;
const HAS_DOCUMENTATION: RangeInclusive<i16> = 3..=4;
const ALTERS: RangeInclusive<i16> = 0..=2;
const INCREMENTAL: RangeInclusive<i16> = 0..=1;

pub const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Settings that every topic may have.
pub const GOOD_SETTINGS: [(&str, &str); 36] = [
    ("cleanup.policy", "compact"),
    ("cleanup.policy", "compact,delete"),
    ("cleanup.policy", "delete, compact"),
    ("cleanup.policy", ""),
    ("compression.type", "zstd"),
    ("compression.type", "uncompressed"),
    ("compression.gzip.level", "9"),
    ("compression.lz4.level", "17"),
    ("compression.zstd.level", "-5"),
    ("delete.retention.ms", "0"),
    ("file.delete.delay.ms", "1"),
    ("flush.messages", "1"),
    ("flush.ms", "0"),
    ("follower.replication.throttled.replicas", "*"),
    ("follower.replication.throttled.replicas", "0:1,1:1"),
    ("leader.replication.throttled.replicas", "none"),
    ("index.interval.bytes", "0"),
    ("local.retention.bytes", "-2"),
    ("local.retention.ms", "-1"),
    ("max.compaction.lag.ms", "1"),
    ("max.message.bytes", "0"),
    ("message.timestamp.after.max.ms", "0"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.type", "LogAppendTime"),
    ("min.cleanable.dirty.ratio", "1"),
    ("min.compaction.lag.ms", "0"),
    ("min.insync.replicas", "5"),
    ("preallocate", "TRUE"),
    ("retention.bytes", "-1"),
    ("retention.ms", "-1"),
    ("retention.ms", " 5 "),
    ("segment.bytes", "1048576"),
    ("segment.index.bytes", "4"),
    ("segment.jitter.ms", "0"),
    ("segment.ms", "1"),
    ("unclean.leader.election.enable", "true"),
];

/// Settings that no topic may have.
pub const BAD_SETTINGS: [(&str, &str); 34] = [
    ("nonsense", "1"),
    ("", "1"),
    ("message.format.version", "3.0"),
    ("log.retention.ms", "1"),
    ("Retention.ms", "1"),
    ("cleanup.policy", "nonsense"),
    ("cleanup.policy", "delete,delete"),
    ("cleanup.policy", "delete,nonsense"),
    ("compression.type", "none"),
    ("compression.type", "GZIP"),
    ("compression.gzip.level", "10"),
    ("compression.lz4.level", "0"),
    ("compression.zstd.level", "23"),
    ("delete.retention.ms", "-1"),
    ("flush.messages", "0"),
    ("follower.replication.throttled.replicas", "nonsense"),
    ("local.retention.ms", "-3"),
    ("max.compaction.lag.ms", "0"),
    ("max.message.bytes", "-1"),
    ("max.message.bytes", "2147483648"),
    ("message.timestamp.type", "createtime"),
    ("min.cleanable.dirty.ratio", "1.5"),
    ("min.cleanable.dirty.ratio", "x"),
    ("min.insync.replicas", "0"),
    ("preallocate", "yes"),
    ("remote.storage.enable", "true"),
    ("retention.ms", "-2"),
    ("retention.ms", ""),
    ("retention.ms", "1.5"),
    ("retention.ms", "x"),
    ("segment.bytes", "1000"),
    ("segment.index.bytes", "3"),
    ("segment.ms", "0"),
    ("min.compaction.lag.ms", "-1"),
];

pub fn describe_cases(c: &mut Cases) {
    for synonyms in [false, true] {
        c.each(
            format!("all of a topic, synonyms {synonyms}"),
            DESCRIBES,
            move |t, v| {
                let topic = t.topic("t", 1)?;
                describe(t, v, &[(TOPIC, &topic.name, None)], synonyms)
            },
        );
        c.each(
            format!("all of a changed topic, synonyms {synonyms}"),
            DESCRIBES,
            move |t, v| {
                let changes = [
                    ("retention.ms", "1000"),
                    ("cleanup.policy", "compact"),
                    ("min.insync.replicas", "1"),
                    ("flush.ms", "7"),
                ];
                let topic = t.topic_with("t", 1, &changes)?;
                describe(t, v, &[(TOPIC, &topic.name, None)], synonyms)
            },
        );
    }
    c.each("some of a topic", DESCRIBES, |t, v| {
        let topic = t.topic("t", 1)?;
        let keys: &[&str] = &["retention.ms", "nonsense", "cleanup.policy", "retention.ms"];
        describe(t, v, &[(TOPIC, &topic.name, Some(keys))], true)
    });
    c.each("none of a topic", DESCRIBES, |t, v| {
        let topic = t.topic("t", 1)?;
        describe(t, v, &[(TOPIC, &topic.name, Some(&[]))], true)
    });
    c.each("documentation", HAS_DOCUMENTATION, |t, v| {
        let topic = t.topic("t", 1)?;
        let request = describing(&[(TOPIC, &topic.name, Some(&["retention.ms"]))]);
        let answer = t.quietly(v, &request.with_include_documentation(true))?;
        let documented = answer.results[0]
            .configs
            .iter()
            .all(|config| config.documentation.is_some());
        t.note("every setting has a documentation", documented.into());
        Ok(())
    });
    c.each("unknown topic", DESCRIBES, |t, v| {
        let topic = nowhere(t);
        describe(t, v, &[(TOPIC, &topic.name, None)], false)
    });
    for (label, name) in super::common::BAD_NAMES {
        c.each(
            format!("invalid topic name, {label}"),
            DESCRIBES,
            move |t, v| describe(t, v, &[(TOPIC, name, None)], false),
        );
    }
    c.each("known and unknown topics", DESCRIBES, |t, v| {
        let (topic, nowhere) = (t.topic("t", 1)?, nowhere(t));
        let keys: Option<&[&str]> = Some(&["retention.ms"]);
        describe(
            t,
            v,
            &[
                (TOPIC, &nowhere.name, keys),
                (TOPIC, &topic.name, keys),
                (TOPIC, "a b", keys),
            ],
            false,
        )
    });
    c.each("a topic twice", DESCRIBES, |t, v| {
        let topic = t.topic("t", 1)?;
        let keys: Option<&[&str]> = Some(&["retention.ms"]);
        describe(
            t,
            v,
            &[
                (TOPIC, &topic.name, keys),
                (TOPIC, &topic.name, Some(&["segment.ms"])),
            ],
            false,
        )
    });
    c.each("no resources", DESCRIBES, |t, v| describe(t, v, &[], false));
    c.each("all of the broker", DESCRIBES, |t, v| {
        let own = t.broker_id().to_string();
        describe(t, v, &[(BROKER, &own, None)], true)
    });
    c.each(
        "settings of the broker that tools ask for",
        DESCRIBES,
        |t, v| {
            let own = t.broker_id().to_string();
            let keys: &[&str] = &[
                "auto.create.topics.enable",
                "num.partitions",
                "message.max.bytes",
                "log.retention.ms",
            ];
            describe(t, v, &[(BROKER, &own, Some(keys))], true)
        },
    );
    for (label, name) in [
        ("of all brokers", ""),
        ("of an unknown broker", "99"),
        ("of a broker of no number", "x"),
    ] {
        c.each(format!("all {label}"), DESCRIBES, move |t, v| {
            describe(t, v, &[(BROKER, name, None)], false)
        });
    }
    for kind in [0, 1, 3, 16, 32, 64, 99, -1] {
        c.each(
            format!("resource of type {kind}"),
            DESCRIBES,
            move |t, v| {
                let name = t.name("x");
                describe(t, v, &[(kind, &name, None)], false)
            },
        );
    }
    c.each("loggers of an unknown broker", DESCRIBES, |t, v| {
        describe(t, v, &[(LOGGER, "99", None)], false)
    });
}

/// A resource's type and name, and the settings asked for.
type Described<'a> = (i8, &'a str, Option<&'a [&'a str]>);

fn describing(resources: &[Described]) -> DescribeConfigsRequest {
    let resource = |(kind, name, keys): &Described| {
        DescribeConfigsResource::default()
            .with_resource_type(*kind)
            .with_resource_name(text(name))
            .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()))
    };
    DescribeConfigsRequest::default().with_resources(resources.iter().map(resource).collect())
}

fn describe(t: &mut Trial, v: i16, resources: &[Described], synonyms: bool) -> Result<()> {
    t.ask(v, describing(resources).with_include_synonyms(synonyms))?;
    Ok(())
}

/// Records a topic's settings that are not defaults.
fn show(t: &mut Trial, topic: &str) -> Result<()> {
    const DYNAMIC_TOPIC_CONFIG: i8 = 1;
    t.settle()?;
    let mut answer = t.quietly(4, &describing(&[(TOPIC, topic, None)]))?;
    let Some(result) = answer.results.first_mut() else {
        bail!("no answer about {topic}")
    };
    result
        .configs
        .retain(|config| config.config_source == DYNAMIC_TOPIC_CONFIG);
    t.note("what is set now", crate::differential::tree::of(result)?);
    Ok(())
}

pub fn alter_cases(c: &mut Cases) {
    c.each("replaces all of a topic", ALTERS, |t, v| {
        let topic = t.topic_with("t", 1, &[("retention.ms", "1000"), ("flush.ms", "5")])?;
        alter(
            t,
            v,
            &[(
                TOPIC,
                &topic.name,
                &[("retention.ms", Some("2000")), ("segment.ms", Some("9"))],
            )],
            false,
        )?;
        show(t, &topic.name)
    });
    c.each("only validated", ALTERS, |t, v| {
        let topic = t.topic_with("t", 1, &[("flush.ms", "5")])?;
        alter(
            t,
            v,
            &[(TOPIC, &topic.name, &[("retention.ms", Some("2000"))])],
            true,
        )?;
        show(t, &topic.name)
    });
    c.each("nothing resets all", ALTERS, |t, v| {
        let topic = t.topic_with("t", 1, &[("flush.ms", "5")])?;
        alter(t, v, &[(TOPIC, &topic.name, &[])], false)?;
        show(t, &topic.name)
    });
    c.each("a null value", ALTERS, |t, v| {
        let topic = t.topic_with("t", 1, &[("flush.ms", "5")])?;
        alter(t, v, &[(TOPIC, &topic.name, &[("flush.ms", None)])], false)?;
        show(t, &topic.name)
    });
    for (name, value) in BAD_SETTINGS {
        c.each(format!("bad {name}={value}"), ALTERS, move |t, v| {
            let topic = t.topic_with("t", 1, &[("flush.ms", "5")])?;
            alter(
                t,
                v,
                &[(
                    TOPIC,
                    &topic.name,
                    &[(name, Some(value)), ("segment.ms", Some("9"))],
                )],
                false,
            )?;
            show(t, &topic.name)
        });
    }
    c.each("a setting twice", ALTERS, |t, v| {
        let topic = t.topic("t", 1)?;
        alter(
            t,
            v,
            &[(
                TOPIC,
                &topic.name,
                &[("flush.ms", Some("1")), ("flush.ms", Some("2"))],
            )],
            false,
        )?;
        show(t, &topic.name)
    });
    c.each("good and bad topics", ALTERS, |t, v| {
        let (left, right, nowhere) = (t.topic("left", 1)?, t.topic("right", 1)?, nowhere(t));
        let (good, bad): (&[_], &[_]) = (&[("flush.ms", Some("3"))], &[("flush.ms", Some("x"))]);
        alter(
            t,
            v,
            &[
                (TOPIC, &left.name, good),
                (TOPIC, &right.name, bad),
                (TOPIC, &nowhere.name, good),
            ],
            false,
        )?;
        show(t, &left.name)
    });
    c.each("a topic twice", ALTERS, |t, v| {
        let topic = t.topic("t", 1)?;
        let (one, two): (&[_], &[_]) = (&[("flush.ms", Some("3"))], &[("flush.ms", Some("4"))]);
        t.ask_briefly(
            v,
            altering(&[(TOPIC, &topic.name, one), (TOPIC, &topic.name, two)]),
        )
    });
    c.each("no resources", ALTERS, |t, v| alter(t, v, &[], false));
    wrong_resources(c, ALTERS, |t, v, kind, name| {
        alter(t, v, &[(kind, name, &[("flush.ms", Some("3"))])], false)
    });
    c.each("what was described can be sent back", ALTERS, |t, v| {
        let topic = t.topic_with("t", 1, &[("flush.ms", "5")])?;
        let described = t.quietly(4, &describing(&[(TOPIC, &topic.name, None)]))?;
        let all: Vec<(String, Option<String>)> = described.results[0]
            .configs
            .iter()
            .filter(|config| config.config_source == 1)
            .map(|config| {
                (
                    config.name.to_string(),
                    config.value.as_ref().map(|value| value.to_string()),
                )
            })
            .collect();
        let all: Vec<(&str, Option<&str>)> = all
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        alter(t, v, &[(TOPIC, &topic.name, &all)], false)?;
        show(t, &topic.name)
    });
}

/// What each API that changes settings must refuse.
fn wrong_resources(
    c: &mut Cases,
    versions: RangeInclusive<i16>,
    change: fn(&mut Trial, i16, i8, &str) -> Result<()>,
) {
    for (label, kind, name) in [
        ("topic of an empty name", TOPIC, ""),
        ("topic of an invalid name", TOPIC, "a b"),
        ("unknown broker", BROKER, "99"),
        ("broker of no number", BROKER, "x"),
        ("resource of type 0", 0, "x"),
        ("resource of type 99", 99, "x"),
        ("resource of type 1", 1, "x"),
    ] {
        c.each(label, versions.clone(), move |t, v| {
            change(t, v, kind, name)
        });
    }
    c.each("unknown topic", versions, move |t, v| {
        let name = nowhere(t).name;
        change(t, v, TOPIC, &name)
    });
}

/// A resource's type and name, and its new settings.
type Altered<'a> = (i8, &'a str, &'a [(&'a str, Option<&'a str>)]);

fn altering(resources: &[Altered]) -> AlterConfigsRequest {
    let config = |(name, value): &(&str, Option<&str>)| {
        full::AlterableConfig::default()
            .with_name(text(name))
            .with_value(value.map(text))
    };
    let resource = |(kind, name, configs): &Altered| {
        full::AlterConfigsResource::default()
            .with_resource_type(*kind)
            .with_resource_name(text(name))
            .with_configs(configs.iter().map(config).collect())
    };
    AlterConfigsRequest::default().with_resources(resources.iter().map(resource).collect())
}

fn alter(t: &mut Trial, v: i16, resources: &[Altered], validate_only: bool) -> Result<()> {
    t.ask(v, altering(resources).with_validate_only(validate_only))?;
    Ok(())
}

pub fn incremental_cases(c: &mut Cases) {
    operations(c);
    for (name, value) in GOOD_SETTINGS {
        c.each(format!("{name}={value}"), INCREMENTAL, move |t, v| {
            change_one(t, v, &[(name, SET, Some(value))])
        });
    }
    for (name, value) in BAD_SETTINGS {
        c.each(format!("bad {name}={value}"), INCREMENTAL, move |t, v| {
            change_one(
                t,
                v,
                &[("segment.ms", SET, Some("9")), (name, SET, Some(value))],
            )
        });
    }
    c.each("only validated", INCREMENTAL, |t, v| {
        let topic = t.topic("t", 1)?;
        change(
            t,
            v,
            &[(TOPIC, &topic.name, &[("flush.ms", SET, Some("3"))])],
            true,
        )?;
        change(
            t,
            v,
            &[(TOPIC, &topic.name, &[("flush.ms", SET, Some("x"))])],
            true,
        )?;
        show(t, &topic.name)
    });
    c.each("good and bad topics", INCREMENTAL, |t, v| {
        let (left, right, nowhere) = (t.topic("left", 1)?, t.topic("right", 1)?, nowhere(t));
        let (good, bad): (&[_], &[_]) = (
            &[("flush.ms", SET, Some("3"))],
            &[("flush.ms", SET, Some("x"))],
        );
        change(
            t,
            v,
            &[
                (TOPIC, &left.name, good),
                (TOPIC, &right.name, bad),
                (TOPIC, &nowhere.name, good),
            ],
            false,
        )?;
        show(t, &left.name)
    });
    c.each("a topic twice", INCREMENTAL, |t, v| {
        let topic = t.topic("t", 1)?;
        let (one, two): (&[_], &[_]) = (
            &[("flush.ms", SET, Some("3"))],
            &[("flush.ms", SET, Some("4"))],
        );
        change(
            t,
            v,
            &[(TOPIC, &topic.name, one), (TOPIC, &topic.name, two)],
            false,
        )
    });
    c.each("no resources", INCREMENTAL, |t, v| change(t, v, &[], false));
    wrong_resources(c, INCREMENTAL, |t, v, kind, name| {
        change(
            t,
            v,
            &[(kind, name, &[("flush.ms", SET, Some("3"))])],
            false,
        )
    });
}

fn operations(c: &mut Cases) {
    let cases: [(&str, &'static [Change<'static>]); 18] = [
        ("set", &[("retention.ms", SET, Some("1000"))]),
        (
            "set two",
            &[
                ("retention.ms", SET, Some("1000")),
                ("segment.ms", SET, Some("9")),
            ],
        ),
        ("set null", &[("retention.ms", SET, None)]),
        ("delete what is set", &[("flush.ms", DELETE, None)]),
        ("delete what is not set", &[("retention.ms", DELETE, None)]),
        ("delete with a value", &[("flush.ms", DELETE, Some("5"))]),
        ("delete nonsense", &[("nonsense", DELETE, None)]),
        (
            "append to a default",
            &[("cleanup.policy", APPEND, Some("compact"))],
        ),
        (
            "append what is there",
            &[("cleanup.policy", APPEND, Some("delete"))],
        ),
        (
            "append nonsense to a list",
            &[("cleanup.policy", APPEND, Some("nonsense"))],
        ),
        ("append nothing", &[("cleanup.policy", APPEND, Some(""))]),
        ("append to no list", &[("retention.ms", APPEND, Some("1"))]),
        (
            "subtract from a default",
            &[("cleanup.policy", SUBTRACT, Some("delete"))],
        ),
        (
            "subtract what is not there",
            &[("cleanup.policy", SUBTRACT, Some("compact"))],
        ),
        (
            "subtract from no list",
            &[("retention.ms", SUBTRACT, Some("1"))],
        ),
        ("append null", &[("cleanup.policy", APPEND, None)]),
        (
            "a setting twice",
            &[("flush.ms", SET, Some("1")), ("flush.ms", DELETE, None)],
        ),
        ("nothing", &[]),
    ];
    for (label, changes) in cases {
        c.each(label, INCREMENTAL, move |t, v| change_one(t, v, changes));
    }
    for operation in [4, 99, -1] {
        c.each(
            format!("operation {operation}"),
            INCREMENTAL,
            move |t, v| change_one(t, v, &[("retention.ms", operation, Some("1"))]),
        );
    }
    c.each("append, then subtract", INCREMENTAL, |t, v| {
        let topic = t.topic("t", 1)?;
        for (operation, value) in [
            (APPEND, "compact"),
            (SUBTRACT, "delete"),
            (APPEND, "delete,compact"),
        ] {
            change(
                t,
                v,
                &[(
                    TOPIC,
                    &topic.name,
                    &[("cleanup.policy", operation, Some(value))],
                )],
                false,
            )?;
            show(t, &topic.name)?;
        }
        Ok(())
    });
}

/// A setting, the operation and its value.
type Change<'a> = (&'a str, i8, Option<&'a str>);
/// A resource's type and name, and its changes.
type Changed<'a> = (i8, &'a str, &'a [Change<'a>]);

/// Changes a topic whose `flush.ms` is 5 and shows it.
fn change_one(t: &mut Trial, v: i16, changes: &[Change]) -> Result<()> {
    let topic = t.topic_with("t", 1, &[("flush.ms", "5")])?;
    change(t, v, &[(TOPIC, &topic.name, changes)], false)?;
    show(t, &topic.name)
}

fn change(t: &mut Trial, v: i16, resources: &[Changed], validate_only: bool) -> Result<()> {
    let config = |(name, operation, value): &Change| {
        incremental::AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    };
    let resource = |(kind, name, changes): &Changed| {
        incremental::AlterConfigsResource::default()
            .with_resource_type(*kind)
            .with_resource_name(text(name))
            .with_configs(changes.iter().map(config).collect())
    };
    let resources = resources.iter().map(resource).collect();
    t.ask(
        v,
        IncrementalAlterConfigsRequest::default()
            .with_resources(resources)
            .with_validate_only(validate_only),
    )?;
    Ok(())
}
