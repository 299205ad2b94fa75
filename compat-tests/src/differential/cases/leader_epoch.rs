//! OffsetForLeaderEpoch: where an epoch ends.

use std::ops::RangeInclusive;

use anyhow::Result;
use kafka_protocol::messages::OffsetForLeaderEpochRequest;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use super::Cases;
use super::common::{append, nowhere, trim};
use crate::differential::batches::several;
use crate::differential::build::{self, CONSUMER};
use crate::differential::topics::Topic;
use crate::differential::trial::Trial;

const ALL: RangeInclusive<i16> = 2..=4;
const UNDEFINED: i32 = -1;

pub fn cases(c: &mut Cases) {
    for (label, over) in [("the present", 0), ("a later", 1), ("a much later", 50)] {
        c.each(format!("end of {label} epoch"), ALL, move |t, v| {
            let topic = filled(t)?;
            ask(t, v, &topic, &[(0, UNDEFINED, topic.epoch + over)])
        });
        c.each(format!("asked in {label} epoch"), ALL, move |t, v| {
            let topic = filled(t)?;
            ask(t, v, &topic, &[(0, topic.epoch + over, topic.epoch)])
        });
    }
    c.each("end of no epoch", ALL, |t, v| {
        let topic = filled(t)?;
        ask(t, v, &topic, &[(0, UNDEFINED, UNDEFINED)])
    });
    c.each("empty log", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        ask(t, v, &topic, &[(0, UNDEFINED, topic.epoch)])
    });
    c.each("trimmed log", ALL, |t, v| {
        let topic = filled(t)?;
        trim(t, &topic, 3)?;
        ask(t, v, &topic, &[(0, UNDEFINED, topic.epoch)])
    });
    c.each("unknown topic", ALL, |t, v| {
        let topic = nowhere(t);
        ask(t, v, &topic, &[(0, UNDEFINED, 0)])
    });
    c.each("unknown partitions", ALL, |t, v| {
        let topic = filled(t)?;
        ask(
            t,
            v,
            &topic,
            &[
                (7, UNDEFINED, 0),
                (-1, UNDEFINED, 0),
                (0, UNDEFINED, topic.epoch),
            ],
        )
    });
    c.each("a partition twice", ALL, |t, v| {
        let topic = filled(t)?;
        ask(
            t,
            v,
            &topic,
            &[(0, UNDEFINED, topic.epoch), (0, UNDEFINED, topic.epoch + 1)],
        )
    });
    c.each("no partitions", ALL, |t, v| {
        let topic = filled(t)?;
        ask(t, v, &topic, &[])
    });
    c.each("no topics", ALL, |t, v| {
        t.ask(v, of_consumer(v, OffsetForLeaderEpochRequest::default()))?;
        Ok(())
    });
}

fn filled(t: &mut Trial) -> Result<Topic> {
    let topic = t.topic("t", 1)?;
    append(t, &topic, 0, &several(5))?;
    Ok(topic)
}

fn of_consumer(v: i16, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochRequest {
    if v >= 3 {
        request.with_replica_id(CONSUMER)
    } else {
        request
    }
}

/// Each partition with the epoch that it asks in and the one that it asks about.
fn ask(t: &mut Trial, v: i16, topic: &Topic, partitions: &[(i32, i32, i32)]) -> Result<()> {
    let partition = |(index, current, about): &(i32, i32, i32)| {
        OffsetForLeaderPartition::default()
            .with_partition(*index)
            .with_current_leader_epoch(*current)
            .with_leader_epoch(*about)
    };
    let asked = OffsetForLeaderTopic::default()
        .with_topic(build::topic(&topic.name))
        .with_partitions(partitions.iter().map(partition).collect());
    t.ask(
        v,
        of_consumer(
            v,
            OffsetForLeaderEpochRequest::default().with_topics(vec![asked]),
        ),
    )?;
    Ok(())
}
