//! CreateTopics: what is made, with which settings, and what is refused.

use std::ops::RangeInclusive;

use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::{BrokerId, CreateTopicsRequest};

use super::Cases;
use super::common::{BAD_NAMES, long_name};
use super::configs::{BAD_SETTINGS, GOOD_SETTINGS};
use crate::differential::build::{self, text};

const ALL: RangeInclusive<i16> = 2..=7;
/// Before and after the answer describes the settings.
const SHAPES: [i16; 2] = [4, 7];
const HAS_DEFAULTS: RangeInclusive<i16> = 4..=7;

pub fn cases(c: &mut Cases) {
    good(c);
    counts(c);
    names(c);
    assignments(c);
    settings(c);
}

/// A topic of one partition and one replica.
fn topic(name: &str) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(build::topic(name))
        .with_num_partitions(1)
        .with_replication_factor(1)
}

fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(20_000)
}

/// Settings; null resets one to its default.
fn configs(settings: &[(&str, Option<&str>)]) -> Vec<CreatableTopicConfig> {
    let config = |(name, value): &(&str, Option<&str>)| {
        CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(value.map(text))
    };
    settings.iter().map(config).collect()
}

fn good(c: &mut Cases) {
    c.each("one topic", ALL, |t, v| {
        let name = t.name("t");
        t.ask(v, request(vec![topic(&name).with_num_partitions(3)]))?;
        Ok(())
    });
    c.each("only validated", ALL, |t, v| {
        let name = t.name("t");
        t.ask(v, request(vec![topic(&name)]).with_validate_only(true))?;
        t.ask(v, request(vec![topic(&name)]))?;
        t.ask(v, request(vec![topic(&name)]).with_validate_only(true))?;
        Ok(())
    });
    c.each("several topics, one exists, one is invalid", ALL, |t, v| {
        let (left, right) = (t.name("left"), t.name("right"));
        t.topic("left", 1)?;
        t.ask(v, request(vec![topic(&left), topic("a b"), topic(&right)]))?;
        Ok(())
    });
    c.each("no topics", ALL, |t, v| {
        t.ask(v, request(vec![]))?;
        Ok(())
    });
    c.each("a topic twice", ALL, |t, v| {
        let (name, other) = (t.name("t"), t.name("other"));
        t.ask(v, request(vec![topic(&name), topic(&other), topic(&name)]))?;
        Ok(())
    });
    for timeout in [0, -1] {
        c.each(
            format!("timeout {timeout}, only validated"),
            ALL,
            move |t, v| {
                let name = t.name("t");
                t.ask(
                    v,
                    request(vec![topic("a b"), topic(&name)])
                        .with_validate_only(true)
                        .with_timeout_ms(60_000),
                )?;
                t.ask(v, request(vec![topic("a b")]).with_timeout_ms(timeout))?;
                Ok(())
            },
        );
    }
}

fn counts(c: &mut Cases) {
    c.each("default partitions and replicas", HAS_DEFAULTS, |t, v| {
        let name = t.name("t");
        t.ask(
            v,
            request(vec![
                topic(&name)
                    .with_num_partitions(-1)
                    .with_replication_factor(-1),
            ]),
        )?;
        Ok(())
    });
    for count in [-1, 0, -2, 2_000_000_000] {
        c.each(format!("{count} partitions"), ALL, move |t, v| {
            if count == -1 && HAS_DEFAULTS.contains(&v) {
                return Ok(());
            }
            let name = t.name("t");
            t.ask(v, request(vec![topic(&name).with_num_partitions(count)]))?;
            Ok(())
        });
    }
    for replicas in [0, -2, i16::MAX] {
        c.each(format!("{replicas} replicas"), ALL, move |t, v| {
            let name = t.name("t");
            t.ask(
                v,
                request(vec![topic(&name).with_replication_factor(replicas)]),
            )?;
            Ok(())
        });
    }
    c.each("more replicas than nodes", ALL, |t, v| {
        let (name, nodes) = (t.name("t"), t.nodes().len());
        let replicas = i16::try_from(nodes + 1)?;
        t.ask(
            v,
            request(vec![topic(&name).with_replication_factor(replicas)]),
        )?;
        Ok(())
    });
}

fn names(c: &mut Cases) {
    for (label, name) in BAD_NAMES {
        c.each(format!("invalid name, {label}"), ALL, move |t, v| {
            t.ask(v, request(vec![topic(name)]))?;
            Ok(())
        });
    }
    c.each("invalid name, 250 characters", ALL, |t, v| {
        t.ask(v, request(vec![topic(&long_name())]))?;
        Ok(())
    });
    c.each("existing name", ALL, |t, v| {
        let name = t.topic("t", 1)?.name;
        t.ask(v, request(vec![topic(&name)]))?;
        Ok(())
    });
    c.each("existing name with errors in the rest", ALL, |t, v| {
        let name = t.topic("t", 1)?.name;
        let wrong = topic(&name)
            .with_num_partitions(0)
            .with_configs(configs(&[("nonsense", Some("1"))]));
        t.ask(v, request(vec![wrong]))?;
        Ok(())
    });
    c.each("a name that collides with an existing one", ALL, |t, v| {
        t.topic("a.b", 1)?;
        let name = t.name("a_b");
        t.ask(v, request(vec![topic(&name)]))?;
        Ok(())
    });
    c.each("two names that collide", ALL, |t, v| {
        let (dot, line) = (t.name("a.b"), t.name("a_b"));
        t.ask(v, request(vec![topic(&dot), topic(&line)]))?;
        Ok(())
    });
    c.each("internal topic", ALL, |t, v| {
        t.ask(v, request(vec![topic("__consumer_offsets")]))?;
        Ok(())
    });
    c.each("the metadata topic", ALL, |t, v| {
        t.ask(v, request(vec![topic("__cluster_metadata")]))?;
        Ok(())
    });
}

fn assignments(c: &mut Cases) {
    let own: &[i32] = &[i32::MIN];
    for (label, assigned) in [
        ("one partition", vec![(0, own)]),
        ("two partitions", vec![(0, own), (1, own)]),
        ("a gap", vec![(0, own), (2, own)]),
        ("not from 0", vec![(1, own)]),
        ("a partition twice", vec![(0, own), (0, own)]),
        ("an unknown broker", vec![(0, &[99][..])]),
        ("a broker twice", vec![(0, &[i32::MIN, i32::MIN][..])]),
        ("no broker", vec![(0, &[][..])]),
        (
            "replicas of different number",
            vec![(0, own), (1, &[i32::MIN, 99][..])],
        ),
        ("negative broker", vec![(0, &[-1][..])]),
    ] {
        c.each(format!("assignment of {label}"), ALL, move |t, v| {
            let broker = |id: &i32| BrokerId(if *id == i32::MIN { t.broker_id() } else { *id });
            let assignment = |(partition, brokers): &(i32, &[i32])| {
                CreatableReplicaAssignment::default()
                    .with_partition_index(*partition)
                    .with_broker_ids(brokers.iter().map(broker).collect())
            };
            let name = t.name("t");
            let assigned = topic(&name)
                .with_num_partitions(-1)
                .with_replication_factor(-1)
                .with_assignments(assigned.iter().map(assignment).collect());
            t.ask(v, request(vec![assigned]))?;
            Ok(())
        });
    }
    c.each("assignment and a count", ALL, |t, v| {
        let name = t.name("t");
        let assignment =
            CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(t.broker_id())]);
        t.ask(
            v,
            request(vec![topic(&name).with_assignments(vec![assignment])]),
        )?;
        Ok(())
    });
}

fn settings(c: &mut Cases) {
    for (name, value) in GOOD_SETTINGS {
        c.each(format!("{name}={value}"), SHAPES, move |t, v| {
            let made = t.name("t");
            t.ask(
                v,
                request(vec![
                    topic(&made).with_configs(configs(&[(name, Some(value))])),
                ]),
            )?;
            Ok(())
        });
    }
    for (name, value) in BAD_SETTINGS {
        c.each(format!("bad {name}={value}"), SHAPES, move |t, v| {
            let made = t.name("t");
            t.ask(
                v,
                request(vec![
                    topic(&made).with_configs(configs(&[(name, Some(value))])),
                ]),
            )?;
            Ok(())
        });
    }
    c.each("a null setting", ALL, |t, v| {
        let name = t.name("t");
        t.ask(
            v,
            request(vec![
                topic(&name).with_configs(configs(&[("retention.ms", None)])),
            ]),
        )?;
        Ok(())
    });
    c.each("a setting twice", ALL, |t, v| {
        let name = t.name("t");
        let twice = configs(&[
            ("retention.ms", Some("1000")),
            ("retention.ms", Some("2000")),
        ]);
        t.ask(v, request(vec![topic(&name).with_configs(twice)]))?;
        Ok(())
    });
    c.each("a good and a bad setting", ALL, |t, v| {
        let name = t.name("t");
        let mixed = configs(&[("retention.ms", Some("1000")), ("nonsense", Some("1"))]);
        t.ask(v, request(vec![topic(&name).with_configs(mixed)]))?;
        Ok(())
    });
}
