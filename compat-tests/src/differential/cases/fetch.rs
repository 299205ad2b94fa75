//! Fetch: which batches come back, when an answer waits, and what a session leaves out.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::Result;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::FetchTopic;

use super::Cases;
use super::common::{
    FETCH_BY_ID, append, append_on, fetch, fetch_one, fetch_partition, fetch_topic, nowhere, trim,
};
use crate::clock;
use crate::differential::batches::{CODECS, batch, one, record, several};
use crate::differential::build::text;
use crate::differential::topics::Topic;
use crate::differential::trial::Trial;

mod sessions;

const ALL: RangeInclusive<i16> = 4..=17;
/// With a name and with an id, for what is about the log more than the request.
const SHAPES: [i16; 4] = [4, 11, 12, 17];
const HAS_EPOCH: RangeInclusive<i16> = 9..=17;
const HAS_LAST_EPOCH: RangeInclusive<i16> = 12..=17;

pub fn cases(c: &mut Cases) {
    offsets(c);
    sizes(c);
    waits(c);
    wrong(c);
    epochs(c);
    sessions::cases(c);
}

/// A topic of one partition with batches of 3, 2 and 1 records.
fn filled(t: &mut Trial) -> Result<Topic> {
    let topic = t.topic("t", 1)?;
    for count in [3, 2, 1] {
        append(t, &topic, 0, &several(count))?;
    }
    Ok(topic)
}

fn offsets(c: &mut Cases) {
    for offset in [0, 6, 7] {
        c.each(format!("offset {offset} of 6"), ALL, move |t, v| {
            let topic = filled(t)?;
            t.ask(v, fetch_one(v, &topic, offset))?;
            Ok(())
        });
    }
    for offset in [1, 2, 3, 4, 5, 100, -1, i64::MAX] {
        c.each(format!("offset {offset} of 6"), SHAPES, move |t, v| {
            let topic = filled(t)?;
            t.ask(v, fetch_one(v, &topic, offset))?;
            Ok(())
        });
    }
    for offset in [0, 3, 4, 5] {
        c.each(
            format!("offset {offset} of a log from 4"),
            SHAPES,
            move |t, v| {
                let topic = filled(t)?;
                trim(t, &topic, 4)?;
                t.ask(v, fetch_one(v, &topic, offset))?;
                Ok(())
            },
        );
    }
    c.each("empty log", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        t.ask(v, fetch_one(v, &topic, 0))?;
        t.ask(v, fetch_one(v, &topic, 1))?;
        Ok(())
    });
    for isolation in [0, 1, 2, -1] {
        c.each(format!("isolation {isolation}"), ALL, move |t, v| {
            let topic = filled(t)?;
            t.ask(v, fetch_one(v, &topic, 3).with_isolation_level(isolation))?;
            Ok(())
        });
    }
    for codec in CODECS {
        c.each(format!("batches of {codec:?}"), SHAPES, move |t, v| {
            let topic = t.topic("t", 1)?;
            append(t, &topic, 0, &several(4).codec(codec))?;
            append(t, &topic, 0, &several(4).codec(codec))?;
            t.ask(v, fetch_one(v, &topic, 5))?;
            Ok(())
        });
    }
    c.each("with a rack", 11..=17, |t, v| {
        let topic = filled(t)?;
        t.ask(v, fetch_one(v, &topic, 0).with_rack_id(text("r1")))?;
        Ok(())
    });
}

fn sizes(c: &mut Cases) {
    for (total, each) in [
        (50 << 20, 1),
        (1, 1 << 20),
        (0, 0),
        (-1, -1),
        (300, 1 << 20),
        (50 << 20, 150),
    ] {
        c.each(
            format!("max bytes {total}, {each} of each of 3 partitions"),
            SHAPES,
            move |t, v| {
                let topic = t.topic("t", 3)?;
                for partition in [1, 2, 2] {
                    append(
                        t,
                        &topic,
                        partition,
                        &batch(vec![record("k", &"v".repeat(30))]),
                    )?;
                }
                let partitions = [0, 2, 1]
                    .map(|partition| fetch_partition(partition, 0).with_partition_max_bytes(each));
                t.ask(
                    v,
                    fetch(vec![fetch_topic(v, &topic, partitions.to_vec())]).with_max_bytes(total),
                )?;
                Ok(())
            },
        );
    }
    c.each("a batch larger than all limits", SHAPES, |t, v| {
        let topic = t.topic("t", 1)?;
        append(t, &topic, 0, &batch(vec![record("k", &"v".repeat(5000))]))?;
        append(t, &topic, 0, &one())?;
        let partition = fetch_partition(0, 0).with_partition_max_bytes(100);
        t.ask(
            v,
            fetch(vec![fetch_topic(v, &topic, vec![partition])]).with_max_bytes(100),
        )?;
        Ok(())
    });
}

fn waits(c: &mut Cases) {
    c.each("waits for what is produced", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        let waiting = fetch_one(v, &topic, 0)
            .with_max_wait_ms(20_000)
            .with_min_bytes(1);
        let pending = t.send_on(1, v, waiting)?;
        clock::pause(Duration::from_millis(30));
        append(t, &topic, 0, &one())?;
        t.take(pending)?;
        Ok(())
    });
    c.each("waits for enough bytes", SHAPES, |t, v| {
        let topic = t.topic("t", 1)?;
        let waiting = fetch_one(v, &topic, 0)
            .with_max_wait_ms(20_000)
            .with_min_bytes(100);
        let pending = t.send_on(1, v, waiting)?;
        for _ in 0..2 {
            clock::pause(Duration::from_millis(30));
            append(t, &topic, 0, &one())?;
        }
        t.take(pending)?;
        Ok(())
    });
    c.each("waits until its time is over", SHAPES, |t, v| {
        let topic = t.topic("t", 1)?;
        let started = clock::now_ms();
        t.ask(
            v,
            fetch_one(v, &topic, 0)
                .with_max_wait_ms(150)
                .with_min_bytes(1),
        )?;
        t.note("it waited", (clock::now_ms() - started >= 140).into());
        Ok(())
    });
    c.each(
        "one partition fails and the other has nothing yet",
        ALL,
        |t, v| {
            let topic = t.topic("t", 1)?;
            let started = clock::now_ms();
            let partitions = vec![fetch_partition(0, 0), fetch_partition(9, 0)];
            let waiting = fetch(vec![fetch_topic(v, &topic, partitions)])
                .with_max_wait_ms(300)
                .with_min_bytes(1);
            t.ask(v, waiting)?;
            t.note("it waited", (clock::now_ms() - started >= 290).into());
            Ok(())
        },
    );
    c.each("does not wait for no partitions", SHAPES, |t, v| {
        let started = clock::now_ms();
        t.ask(v, fetch(vec![]).with_max_wait_ms(20_000).with_min_bytes(1))?;
        t.note("at once", (clock::now_ms() - started < 10_000).into());
        Ok(())
    });
    c.each("waits while its topic is deleted", SHAPES, |t, v| {
        let topic = filled(t)?;
        let waiting = fetch_one(v, &topic, 6)
            .with_max_wait_ms(2_000)
            .with_min_bytes(1);
        let pending = t.send_on(1, v, waiting)?;
        clock::pause(Duration::from_millis(50));
        t.delete(&topic)?;
        t.take(pending)?;
        Ok(())
    });
    c.each("a request behind a waiting one waits", SHAPES, |t, v| {
        let topic = t.topic("t", 1)?;
        let first = t.send_on(
            1,
            v,
            fetch_one(v, &topic, 0)
                .with_max_wait_ms(20_000)
                .with_min_bytes(1),
        )?;
        let second = t.send_on(1, v, fetch_one(v, &topic, 0))?;
        // Time in which a broker that does not keep to turns answers the second.
        clock::pause(Duration::from_millis(150));
        append_on(t, 0, &topic, 0, &one())?;
        t.take(first)?;
        t.take(second)?;
        Ok(())
    });
}

fn wrong(c: &mut Cases) {
    c.each("unknown topic", ALL, |t, v| {
        let topic = nowhere(t);
        t.ask(v, fetch_one(v, &topic, 0))?;
        Ok(())
    });
    c.each("deleted topic", ALL, |t, v| {
        let topic = filled(t)?;
        t.delete(&topic)?;
        t.ask(v, fetch_one(v, &topic, 0))?;
        Ok(())
    });
    c.each("zero id", FETCH_BY_ID..=17, |t, v| {
        let topic = Topic {
            id: uuid::Uuid::nil(),
            ..nowhere(t)
        };
        t.ask(v, fetch_one(v, &topic, 0))?;
        Ok(())
    });
    for (label, name) in [("empty", ""), ("with a space", "a b")] {
        c.each(
            format!("invalid topic name, {label}"),
            4..=12,
            move |t, v| {
                let topic = Topic {
                    name: name.into(),
                    ..nowhere(t)
                };
                t.ask(v, fetch_one(v, &topic, 0))?;
                Ok(())
            },
        );
    }
    for partition in [-1, 1, i32::MAX] {
        c.each(
            format!("unknown partition {partition}"),
            ALL,
            move |t, v| {
                let topic = filled(t)?;
                let partitions = vec![fetch_partition(partition, 0), fetch_partition(0, 0)];
                t.ask(v, fetch(vec![fetch_topic(v, &topic, partitions)]))?;
                Ok(())
            },
        );
    }
    c.each("known and unknown topics", ALL, |t, v| {
        let (topic, nowhere) = (filled(t)?, nowhere(t));
        let one =
            |topic: &Topic| -> FetchTopic { fetch_topic(v, topic, vec![fetch_partition(0, 0)]) };
        t.ask(v, fetch(vec![one(&nowhere), one(&topic)]))?;
        Ok(())
    });
    c.each("a partition twice", ALL, |t, v| {
        let topic = filled(t)?;
        let partitions = vec![fetch_partition(0, 0), fetch_partition(0, 5)];
        t.ask(v, fetch(vec![fetch_topic(v, &topic, partitions)]))?;
        Ok(())
    });
    c.each("no partitions", ALL, |t, v| {
        let topic = filled(t)?;
        t.ask(v, fetch(vec![fetch_topic(v, &topic, vec![])]))?;
        Ok(())
    });
}

fn epochs(c: &mut Cases) {
    for (label, over) in [("the present", 0), ("a later", 1), ("a much later", 100)] {
        c.each(format!("{label} leader epoch"), HAS_EPOCH, move |t, v| {
            let topic = filled(t)?;
            let partition = fetch_partition(0, 0).with_current_leader_epoch(topic.epoch + over);
            t.ask(v, fetch(vec![fetch_topic(v, &topic, vec![partition])]))?;
            Ok(())
        });
        c.each(
            format!("last fetched in {label} epoch"),
            HAS_LAST_EPOCH,
            move |t, v| {
                let topic = filled(t)?;
                let partition = fetch_partition(0, 3)
                    .with_current_leader_epoch(topic.epoch)
                    .with_last_fetched_epoch(topic.epoch + over);
                let request: FetchRequest = fetch(vec![fetch_topic(v, &topic, vec![partition])]);
                t.ask(v, request)?;
                Ok(())
            },
        );
    }
    c.each("last fetched past the end", HAS_LAST_EPOCH, |t, v| {
        let topic = filled(t)?;
        let partition = fetch_partition(0, 9).with_last_fetched_epoch(topic.epoch);
        t.ask(v, fetch(vec![fetch_topic(v, &topic, vec![partition])]))?;
        Ok(())
    });
}
