//! CreatePartitions: topics grow.

use std::ops::RangeInclusive;

use anyhow::Result;
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::{BrokerId, CreatePartitionsRequest};

use super::Cases;
use super::common::{BAD_NAMES, append, nowhere};
use crate::differential::batches::one;
use crate::differential::build;
use crate::differential::trial::Trial;

const ALL: RangeInclusive<i16> = 0..=3;
/// Stands in an assignment for the nodes on which topics lie.
const HERE: i32 = i32::MIN;

pub fn cases(c: &mut Cases) {
    c.each("from one to three", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        ask(t, v, vec![asking(&topic.name, 3)], false)?;
        let grown = t.led_topic(&topic.name, 3)?;
        append(t, &grown, 2, &one())?;
        Ok(())
    });
    c.each("only validated", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        ask(t, v, vec![asking(&topic.name, 3)], true)?;
        ask(t, v, vec![asking(&topic.name, 1)], true)?;
        t.led_topic(&topic.name, 1)?;
        Ok(())
    });
    for count in [2, 1, 0, -1, 10_001] {
        c.each(format!("from two to {count}"), ALL, move |t, v| {
            let topic = t.topic("t", 2)?;
            ask(t, v, vec![asking(&topic.name, count)], count > 10_000)
        });
    }
    c.each("known and unknown topics", ALL, |t, v| {
        let (topic, nowhere) = (t.topic("t", 1)?, nowhere(t));
        ask(
            t,
            v,
            vec![
                asking(&nowhere.name, 2),
                asking(&topic.name, 2),
                asking("a b", 2),
            ],
            false,
        )
    });
    for (label, name) in BAD_NAMES {
        c.each(format!("invalid name, {label}"), ALL, move |t, v| {
            ask(t, v, vec![asking(name, 2)], false)
        });
    }
    c.each("a topic twice", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        ask(
            t,
            v,
            vec![asking(&topic.name, 2), asking(&topic.name, 3)],
            false,
        )
    });
    c.each("no topics", ALL, |t, v| ask(t, v, vec![], false));
    for (label, assigned) in [
        ("the new partitions", vec![vec![HERE], vec![HERE]]),
        ("too few", vec![vec![HERE]]),
        ("too many", vec![vec![HERE], vec![HERE], vec![HERE]]),
        ("none", vec![]),
        ("an unknown broker", vec![vec![99], vec![HERE]]),
        ("a broker twice", vec![vec![HERE, HERE], vec![HERE, HERE]]),
        ("no broker", vec![vec![], vec![]]),
    ] {
        c.each(format!("assignment of {label}"), ALL, move |t, v| {
            let topic = t.topic("t", 1)?;
            let nodes = t.nodes();
            let brokers = |id: &i32| match *id {
                HERE => nodes.clone(),
                id => vec![id],
            };
            let assignment = |assigned: &Vec<i32>| {
                let ids = assigned.iter().flat_map(brokers);
                CreatePartitionsAssignment::default().with_broker_ids(ids.map(BrokerId).collect())
            };
            let assignments = Some(assigned.iter().map(assignment).collect());
            ask(
                t,
                v,
                vec![asking(&topic.name, 3).with_assignments(assignments)],
                false,
            )
        });
    }
}

fn asking(name: &str, count: i32) -> CreatePartitionsTopic {
    CreatePartitionsTopic::default()
        .with_name(build::topic(name))
        .with_count(count)
        .with_assignments(None)
}

fn ask(
    t: &mut Trial,
    v: i16,
    topics: Vec<CreatePartitionsTopic>,
    validate_only: bool,
) -> Result<()> {
    let request = CreatePartitionsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(20_000);
    t.ask(v, request.with_validate_only(validate_only))?;
    Ok(())
}
