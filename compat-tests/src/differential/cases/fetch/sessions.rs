//! Fetch sessions (KIP-227): a session answers only what changed.

use std::ops::RangeInclusive;

use anyhow::Result;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, ForgottenTopic};

use crate::differential::batches::one;
use crate::differential::build;
use crate::differential::cases::Cases;
use crate::differential::cases::common::{
    FETCH_BY_ID, append, fetch, fetch_partition, fetch_topic, nowhere, trim,
};
use crate::differential::topics::Topic;
use crate::differential::trial::Trial;

const HAS_SESSIONS: RangeInclusive<i16> = 7..=17;
const SESSIONLESS: i32 = -1;

pub fn cases(c: &mut Cases) {
    wrong(c);
    c.each(
        "session: nothing new is nothing said",
        HAS_SESSIONS,
        |t, v| {
            let topic = filled(t)?;
            let session = open(t, v, &topic, &[(0, 0), (1, 0)])?;
            update(t, v, session, 1, &topic, &[(0, 1), (1, 1)])?;
            update(t, v, session, 2, &topic, &[])?;
            update(t, v, session, 3, &topic, &[])
        },
    );
    c.each(
        "session: what was not moved on is said again",
        HAS_SESSIONS,
        |t, v| {
            let topic = filled(t)?;
            let session = open(t, v, &topic, &[(0, 0)])?;
            update(t, v, session, 1, &topic, &[])
        },
    );
    c.each(
        "session: only the partition with news",
        HAS_SESSIONS,
        |t, v| {
            let topic = filled(t)?;
            let session = open(t, v, &topic, &[(0, 1), (1, 1)])?;
            update(t, v, session, 1, &topic, &[])?;
            append(t, &topic, 1, &one())?;
            update(t, v, session, 2, &topic, &[])
        },
    );
    c.each("session: a new log start is news", HAS_SESSIONS, |t, v| {
        let topic = filled(t)?;
        let session = open(t, v, &topic, &[(0, 1)])?;
        trim(t, &topic, 1)?;
        update(t, v, session, 1, &topic, &[])
    });
    c.each("session: a partition joins", HAS_SESSIONS, |t, v| {
        let topic = filled(t)?;
        let session = open(t, v, &topic, &[(0, 1)])?;
        update(t, v, session, 1, &topic, &[(1, 0)])?;
        update(t, v, session, 2, &topic, &[])
    });
    c.each("session: a partition is forgotten", HAS_SESSIONS, |t, v| {
        let topic = filled(t)?;
        let session = open(t, v, &topic, &[(0, 0), (1, 0)])?;
        let forgotten = ForgottenTopic::default().with_partitions(vec![0]);
        let forgotten = match v {
            FETCH_BY_ID.. => forgotten.with_topic_id(topic.id),
            _ => forgotten.with_topic(build::topic(&topic.name)),
        };
        let request =
            in_session(v, session, 1, &topic, &[]).with_forgotten_topics_data(vec![forgotten]);
        t.ask(v, request)?;
        update(t, v, session, 2, &topic, &[])
    });
    c.each(
        "session: an error is said each time",
        HAS_SESSIONS,
        |t, v| {
            let topic = filled(t)?;
            let session = open(t, v, &topic, &[(0, 1), (9, 0)])?;
            update(t, v, session, 1, &topic, &[])?;
            update(t, v, session, 2, &topic, &[])
        },
    );
    c.each(
        "session: an offset out of range, then right",
        HAS_SESSIONS,
        |t, v| {
            let topic = filled(t)?;
            let session = open(t, v, &topic, &[(0, 50)])?;
            update(t, v, session, 1, &topic, &[])?;
            update(t, v, session, 2, &topic, &[(0, 1)])?;
            update(t, v, session, 3, &topic, &[])
        },
    );
    c.each("session: its topic is deleted", HAS_SESSIONS, |t, v| {
        let topic = filled(t)?;
        let session = open(t, v, &topic, &[(0, 1)])?;
        t.delete(&topic)?;
        update(t, v, session, 1, &topic, &[])
    });
    c.each(
        "session: opened with an unknown topic",
        HAS_SESSIONS,
        |t, v| {
            let topic = nowhere(t);
            let session = open(t, v, &topic, &[(0, 0)])?;
            update(t, v, session, 1, &topic, &[])
        },
    );
    c.each(
        "session: opened without partitions",
        HAS_SESSIONS,
        |t, v| {
            let topic = filled(t)?;
            let request = fetch(vec![]).with_session_epoch(0);
            let session = t.ask(v, request)?.session_id;
            update(t, v, session, 1, &topic, &[(0, 0)])
        },
    );
}

fn wrong(c: &mut Cases) {
    c.each("session: wrong epoch", HAS_SESSIONS, |t, v| {
        let topic = filled(t)?;
        let session = open(t, v, &topic, &[(0, 1)])?;
        update(t, v, session, 2, &topic, &[])?;
        update(t, v, session, 1, &topic, &[])?;
        update(t, v, session, 1, &topic, &[])
    });
    c.each("session: unknown id", HAS_SESSIONS, |t, v| {
        let topic = filled(t)?;
        for epoch in [1, 5] {
            update(t, v, 0x7fff_0000, epoch, &topic, &[(0, 0)])?;
        }
        Ok(())
    });
    c.each("session: id 0 with an epoch", HAS_SESSIONS, |t, v| {
        let topic = filled(t)?;
        update(t, v, 0, 1, &topic, &[(0, 0)])
    });
    c.each(
        "session: an id without an epoch ends it",
        HAS_SESSIONS,
        |t, v| {
            let topic = filled(t)?;
            let session = open(t, v, &topic, &[(0, 1)])?;
            update(t, v, session, SESSIONLESS, &topic, &[(0, 0)])?;
            update(t, v, session, 1, &topic, &[])
        },
    );
    c.each(
        "session: an id with epoch 0 begins another",
        HAS_SESSIONS,
        |t, v| {
            let topic = filled(t)?;
            let session = open(t, v, &topic, &[(0, 1)])?;
            update(t, v, session, 0, &topic, &[(1, 0)])?;
            update(t, v, session, 1, &topic, &[])
        },
    );
    c.each(
        "session: an unknown id with epoch 0",
        HAS_SESSIONS,
        |t, v| {
            let topic = filled(t)?;
            update(t, v, 0x7fff_0001, 0, &topic, &[(0, 0)])
        },
    );
    c.each("session: id 0 with epoch -1", HAS_SESSIONS, |t, v| {
        let topic = filled(t)?;
        update(t, v, 0, SESSIONLESS, &topic, &[(0, 0)])
    });
    c.each("session: epoch -2", HAS_SESSIONS, |t, v| {
        let topic = filled(t)?;
        update(t, v, 0, -2, &topic, &[(0, 0)])
    });
}

/// A topic of two partitions with a record each.
fn filled(t: &mut Trial) -> Result<Topic> {
    let topic = t.topic("t", 2)?;
    append(t, &topic, 0, &one())?;
    append(t, &topic, 1, &one())?;
    Ok(topic)
}

/// Each partition and the offset to fetch from.
fn in_session(
    v: i16,
    session: i32,
    epoch: i32,
    topic: &Topic,
    partitions: &[(i32, i64)],
) -> FetchRequest {
    let asked: Vec<FetchPartition> = partitions
        .iter()
        .map(|(index, offset)| fetch_partition(*index, *offset))
        .collect();
    let topics = if asked.is_empty() {
        vec![]
    } else {
        vec![fetch_topic(v, topic, asked)]
    };
    fetch(topics)
        .with_session_id(session)
        .with_session_epoch(epoch)
}

fn open(t: &mut Trial, v: i16, topic: &Topic, partitions: &[(i32, i64)]) -> Result<i32> {
    Ok(t.ask(v, in_session(v, 0, 0, topic, partitions))?.session_id)
}

fn update(
    t: &mut Trial,
    v: i16,
    session: i32,
    epoch: i32,
    topic: &Topic,
    partitions: &[(i32, i64)],
) -> Result<()> {
    t.ask(v, in_session(v, session, epoch, topic, partitions))?;
    Ok(())
}
