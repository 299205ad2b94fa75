//! AlterPartitionReassignments, ListPartitionReassignments and UnregisterBroker, as far as a cluster shows them in
//! which nothing moves.

use anyhow::Result;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, ListPartitionReassignmentsRequest,
    UnregisterBrokerRequest,
};

use super::Cases;
use super::common::nowhere;
use crate::calls::reassignment;
use crate::differential::build;
use crate::differential::trial::Trial;

/// A broker that there is not.
const NOBODY: i32 = 4711;

pub fn cases(c: &mut Cases) {
    c.each("to where it is", 0..=1, |t, v| {
        let (topic, here) = (t.topic("t", 2)?, t.nodes());
        alter(t, v, &topic.name, &[(0, Some(&here)), (1, Some(&here))])
    });
    c.each("to another broker", 0..=1, |t, v| {
        let topic = t.topic("t", 1)?;
        alter(t, v, &topic.name, &[(0, Some(&[NOBODY]))])
    });
    c.each("to a second broker", 0..=1, |t, v| {
        let (topic, here) = (t.topic("t", 1)?, t.broker_id());
        alter(t, v, &topic.name, &[(0, Some(&[here, NOBODY]))])
    });
    c.each("to no broker, and to one twice", 0..=1, |t, v| {
        let (topic, here) = (t.topic("t", 2)?, t.broker_id());
        alter(
            t,
            v,
            &topic.name,
            &[(0, Some(&[])), (1, Some(&[here, here]))],
        )
    });
    c.each("to a negative broker", 0..=1, |t, v| {
        let topic = t.topic("t", 1)?;
        alter(t, v, &topic.name, &[(0, Some(&[-1]))])
    });
    c.each("nothing to cancel", 0..=1, |t, v| {
        let topic = t.topic("t", 1)?;
        alter(t, v, &topic.name, &[(0, None)])
    });
    c.each("unknown partition", 0..=1, |t, v| {
        let (topic, here) = (t.topic("t", 1)?, t.broker_id());
        alter(t, v, &topic.name, &[(7, Some(&[here])), (-1, None)])
    });
    c.each("unknown topic", 0..=1, |t, v| {
        let (topic, here) = (nowhere(t), t.broker_id());
        alter(t, v, &topic.name, &[(0, Some(&[here]))])
    });
    c.each("no topics", 0..=1, |t, v| {
        t.ask(v, AlterPartitionReassignmentsRequest::default())?;
        Ok(())
    });
}

fn alter(t: &mut Trial, v: i16, topic: &str, moves: &[(i32, Option<&[i32]>)]) -> Result<()> {
    let to = |(index, brokers): &(i32, Option<&[i32]>)| (*index, brokers.map(<[i32]>::to_vec));
    t.ask(v, reassignment(topic, &moves.iter().map(to).collect()))?;
    Ok(())
}

pub fn list_cases(c: &mut Cases) {
    c.each("nothing moves", 0..=0, |t, v| {
        t.topic("t", 1)?;
        t.ask(
            v,
            ListPartitionReassignmentsRequest::default().with_topics(None),
        )?;
        Ok(())
    });
    c.each("a topic that does not move", 0..=0, |t, v| {
        let topic = t.topic("t", 2)?;
        t.ask(v, listing(&topic.name, &[0, 1]))?;
        Ok(())
    });
    c.each("unknown topic and partition", 0..=0, |t, v| {
        let (topic, nowhere) = (t.topic("t", 1)?, nowhere(t));
        t.ask(v, listing(&topic.name, &[7, -1]))?;
        t.ask(v, listing(&nowhere.name, &[0]))?;
        Ok(())
    });
}

fn listing(topic: &str, partitions: &[i32]) -> ListPartitionReassignmentsRequest {
    let topic = ListPartitionReassignmentsTopics::default()
        .with_name(build::topic(topic))
        .with_partition_indexes(partitions.to_vec());
    ListPartitionReassignmentsRequest::default().with_topics(Some(vec![topic]))
}

pub fn unregister_cases(c: &mut Cases) {
    for (name, broker) in [("unknown broker", NOBODY), ("negative broker", -1)] {
        c.each(name, 0..=0, move |t, v| {
            let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(broker));
            t.ask(v, request)?;
            Ok(())
        });
    }
}
