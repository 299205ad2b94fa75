//! Produce: what a batch must be, and what the log holds afterwards.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{ProduceRequest, TransactionalId};

use super::Cases;
use super::common::{
    BAD_NAMES, PRODUCE_BY_ID, append, nowhere, partition_data, produce, produce_one, producer_id,
    show_log, topic_data,
};
use crate::differential::batches::{
    Batch, CODECS, CONTROL, Codec, LOG_APPEND_TIME, PAST_MS, Record, TRANSACTIONAL, batch, one,
    record, several,
};
use crate::differential::build::text;
use crate::differential::topics::Topic;
use crate::differential::trial::Trial;

const ALL: RangeInclusive<i16> = 3..=13;
/// Before and after `record_errors` came in, and by topic id: for what is about the batch more than the request.
const SHAPES: [i16; 3] = [3, 8, 13];
const HOUR_MS: i64 = 3_600_000;

pub fn cases(c: &mut Cases) {
    good(c);
    requests(c);
    broken_batches(c);
    timestamps(c);
    topic_rules(c);
    idempotence(c);
    transactions(c);
}

/// A case that sends one record set to a topic with these settings and shows the log afterwards.
fn sends(
    c: &mut Cases,
    name: impl Into<String>,
    configs: &'static [(&'static str, &'static str)],
    records: impl Fn(&Trial) -> Bytes + Send + Sync + 'static,
) {
    c.each(name, SHAPES, move |t, v| {
        let topic = t.topic_with("t", 1, configs)?;
        let records = records(t);
        t.ask(v, produce_one(v, &topic, records))?;
        show_log(t, &topic)
    });
}

fn good(c: &mut Cases) {
    for acks in [-1, 1] {
        c.each(format!("one record, acks {acks}"), ALL, move |t, v| {
            let topic = t.topic("t", 1)?;
            t.ask(v, produce_one(v, &topic, one().bytes()).with_acks(acks))?;
            show_log(t, &topic)
        });
    }
    c.each("one record, acks 0", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        let _ = t.send_on(1, v, produce_one(v, &topic, one().bytes()).with_acks(0))?;
        let answer = t.quiet_frame(1, Duration::from_millis(100))?;
        t.note("an answer came", answer.is_some().into());
        show_log(t, &topic)
    });
    for codec in CODECS {
        c.each(format!("five records, {codec:?}"), ALL, move |t, v| {
            let topic = t.topic("t", 1)?;
            t.ask(v, produce_one(v, &topic, several(5).codec(codec).bytes()))?;
            show_log(t, &topic)
        });
    }
    sends(
        c,
        "no key, no value, empty ones, doubled headers",
        &[],
        |_| {
            let doubled = Record {
                headers: vec![
                    ("h", Some("1")),
                    ("a", None),
                    ("h", Some("2")),
                    ("", Some("")),
                ],
                ..Record::default()
            };
            batch(vec![doubled, record("", "")]).bytes()
        },
    );
    c.each("a second batch goes on", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        append(t, &topic, 0, &several(3))?;
        t.ask(v, produce_one(v, &topic, several(2).bytes()))?;
        show_log(t, &topic)
    });
    c.each("two partitions and an unknown one", ALL, |t, v| {
        let topic = t.topic("t", 2)?;
        let partitions = [1, 0, 2].map(|index| partition_data(index, one().bytes()));
        t.ask(v, produce(vec![topic_data(v, &topic, partitions.to_vec())]))?;
        Ok(())
    });
    c.each("two topics", ALL, |t, v| {
        let (left, right) = (t.topic("left", 1)?, t.topic("right", 1)?);
        let data = |topic: &Topic| topic_data(v, topic, vec![partition_data(0, one().bytes())]);
        t.ask(v, produce(vec![data(&right), data(&left)]))?;
        Ok(())
    });
}

fn requests(c: &mut Cases) {
    for acks in [2, -2, i16::MAX] {
        c.each(format!("bad acks {acks}"), ALL, move |t, v| {
            let topic = t.topic("t", 1)?;
            t.ask(v, produce_one(v, &topic, one().bytes()).with_acks(acks))?;
            show_log(t, &topic)
        });
    }
    for timeout in [0, -1] {
        c.each(format!("timeout {timeout}"), ALL, move |t, v| {
            let topic = t.topic("t", 1)?;
            t.ask(
                v,
                produce_one(v, &topic, one().bytes()).with_timeout_ms(timeout),
            )?;
            Ok(())
        });
    }
    c.each("no topics", ALL, |t, v| {
        t.ask(v, produce(vec![]))?;
        Ok(())
    });
    c.each("no partitions", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        t.ask(v, produce(vec![topic_data(v, &topic, vec![])]))?;
        Ok(())
    });
    c.each("a partition twice", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        let twice = vec![
            partition_data(0, one().bytes()),
            partition_data(0, several(2).bytes()),
        ];
        t.ask(v, produce(vec![topic_data(v, &topic, twice)]))?;
        show_log(t, &topic)
    });
    c.each("a topic twice", ALL, |t, v| {
        let topic = t.topic("t", 2)?;
        let data = |index| topic_data(v, &topic, vec![partition_data(index, one().bytes())]);
        t.ask(v, produce(vec![data(0), data(1)]))?;
        Ok(())
    });
    c.each("unknown topic", ALL, |t, v| {
        let topic = nowhere(t);
        t.ask(v, produce_one(v, &topic, one().bytes()))?;
        Ok(())
    });
    c.each("unknown topic, acks 0", ALL, |t, v| {
        let topic = nowhere(t);
        let _ = t.send_on(1, v, produce_one(v, &topic, one().bytes()).with_acks(0))?;
        let answer = t.quiet_frame(1, Duration::from_millis(200))?;
        t.note("an answer came", answer.is_some().into());
        Ok(())
    });
    c.each("zero id", PRODUCE_BY_ID..=13, |t, v| {
        let topic = Topic {
            id: uuid::Uuid::nil(),
            ..nowhere(t)
        };
        t.ask(v, produce_one(v, &topic, one().bytes()))?;
        Ok(())
    });
    for (label, name) in BAD_NAMES {
        c.each(
            format!("invalid topic name, {label}"),
            3..=12,
            move |t, v| {
                let topic = Topic {
                    name: name.into(),
                    ..nowhere(t)
                };
                t.ask(v, produce_one(v, &topic, one().bytes()))?;
                Ok(())
            },
        );
    }
    for partition in [-1, 7, i32::MAX] {
        c.each(
            format!("unknown partition {partition}"),
            ALL,
            move |t, v| {
                let topic = t.topic("t", 1)?;
                let data = vec![partition_data(partition, one().bytes())];
                t.ask(v, produce(vec![topic_data(v, &topic, data)]))?;
                Ok(())
            },
        );
    }
    c.each("internal topic", 3..=12, |t, v| {
        let topic = Topic {
            name: "__consumer_offsets".into(),
            ..nowhere(t)
        };
        t.ask(v, produce_one(v, &topic, one().bytes()))?;
        Ok(())
    });
    c.each("null records", SHAPES, |t, v| {
        let topic = t.topic("t", 1)?;
        let data = partition_data(0, Bytes::new()).with_records(None);
        let request = produce(vec![topic_data(v, &topic, vec![data])]);
        t.ask_briefly(v, request)
    });
}

fn broken_batches(c: &mut Cases) {
    sends(c, "empty records", &[], |_| Bytes::new());
    sends(c, "a batch without records", &[], |_| batch(vec![]).bytes());
    sends(c, "two batches", &[], |_| {
        [one().bytes(), one().bytes()].concat().into()
    });
    sends(c, "bytes behind a batch", &[], |_| {
        [&one().bytes()[..], b"more"].concat().into()
    });
    sends(c, "a cut batch", &[], |_| one().bytes().slice(..66));
    sends(c, "a cut header", &[], |_| one().bytes().slice(..30));
    sends(c, "garbage", &[], |_| Bytes::from(vec![0x5a; 100]));
    c.each("wrong crc", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        t.ask(
            v,
            produce_one(
                v,
                &topic,
                Batch {
                    crc: Some(1),
                    ..one()
                }
                .bytes(),
            ),
        )?;
        show_log(t, &topic)
    });
    for magic in [0, 1, 3, -1] {
        sends(c, format!("magic {magic}"), &[], move |_| {
            Batch { magic, ..one() }.bytes()
        });
    }
    for length in [0, 48, 49, 1000, -1, i32::MAX] {
        sends(c, format!("batch length {length}"), &[], move |_| {
            Batch {
                length: Some(length),
                ..one()
            }
            .bytes()
        });
    }
    for count in [0, 1, 3, -1, i32::MAX] {
        for codec in [Codec::None, Codec::Gzip] {
            sends(
                c,
                format!("records count {count} of 2, {codec:?}"),
                &[],
                move |_| {
                    Batch {
                        records_count: Some(count),
                        ..several(2).codec(codec)
                    }
                    .bytes()
                },
            );
        }
    }
    for delta in [0, 2, -1] {
        sends(
            c,
            format!("last offset delta {delta} of 1"),
            &[],
            move |_| {
                Batch {
                    last_offset_delta: Some(delta),
                    ..several(2)
                }
                .bytes()
            },
        );
    }
    for codec in [Codec::None, Codec::Gzip] {
        sends(
            c,
            format!("offset deltas with a gap, {codec:?}"),
            &[],
            move |_| {
                let gap = Record {
                    offset_delta: Some(5),
                    ..record("k", "v")
                };
                batch(vec![record("k", "v"), gap]).codec(codec).bytes()
            },
        );
        sends(
            c,
            format!("offset deltas that fall, {codec:?}"),
            &[],
            move |_| {
                let (first, second) = (Some(1), Some(0));
                let falls = [first, second].map(|offset_delta| Record {
                    offset_delta,
                    ..record("k", "v")
                });
                batch(falls.to_vec()).codec(codec).bytes()
            },
        );
    }
    sends(c, "base offset 5", &[], |_| {
        Batch {
            base_offset: 5,
            ..one()
        }
        .bytes()
    });
    sends(c, "control batch", &[], |_| {
        one().attributes(CONTROL).bytes()
    });
    for codec in [5, 6, 7] {
        sends(c, format!("codec {codec}"), &[], move |_| {
            one().attributes(codec).bytes()
        });
    }
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        sends(
            c,
            format!("not compressed as its codec {codec:?} says"),
            &[],
            move |_| one().attributes(codec as i16).bytes(),
        );
    }
    sends(c, "unused attribute bits", &[], |_| {
        one().attributes(1 << 9).bytes()
    });
}

fn timestamps(c: &mut Cases) {
    const LOG_APPEND: &[(&str, &str)] = &[("message.timestamp.type", "LogAppendTime")];
    const WITHIN_AN_HOUR: &[(&str, &str)] = &[("message.timestamp.before.max.ms", "3600000")];
    for codec in [Codec::None, Codec::Gzip] {
        sends(c, format!("two hours ahead, {codec:?}"), &[], move |t| {
            several(2).at(t.now_ms() + 2 * HOUR_MS).codec(codec).bytes()
        });
        sends(
            c,
            format!("log append time, {codec:?}"),
            LOG_APPEND,
            move |_| several(2).codec(codec).bytes(),
        );
        sends(
            c,
            format!("log append time, ahead, {codec:?}"),
            LOG_APPEND,
            move |t| several(2).at(t.now_ms() + 2 * HOUR_MS).codec(codec).bytes(),
        );
        sends(
            c,
            format!("timestamp type set by the producer, {codec:?}"),
            &[],
            move |_| several(2).codec(codec).attributes(LOG_APPEND_TIME).bytes(),
        );
        sends(
            c,
            format!("too old, {codec:?}"),
            WITHIN_AN_HOUR,
            move |_| several(2).codec(codec).bytes(),
        );
        sends(
            c,
            format!("one of three too old, {codec:?}"),
            WITHIN_AN_HOUR,
            move |t| {
                let old = Record {
                    timestamp_delta: -2 * HOUR_MS,
                    ..record("k", "v")
                };
                batch(vec![record("k", "v"), old, record("k", "v")])
                    .at(t.now_ms())
                    .codec(codec)
                    .bytes()
            },
        );
        for (label, max) in [
            ("too small", PAST_MS),
            ("too large", PAST_MS + 9000),
            ("unset", -1),
        ] {
            sends(
                c,
                format!("max timestamp {label}, {codec:?}"),
                &[],
                move |_| {
                    Batch {
                        max_timestamp: Some(max),
                        ..several(3).codec(codec)
                    }
                    .bytes()
                },
            );
        }
        sends(
            c,
            format!("timestamps that fall, {codec:?}"),
            &[],
            move |_| {
                let back = |delta| Record {
                    timestamp_delta: delta,
                    ..record("k", "v")
                };
                batch(vec![back(0), back(-5000), back(2000)])
                    .codec(codec)
                    .bytes()
            },
        );
        sends(c, format!("no timestamp, {codec:?}"), &[], move |_| {
            one().at(-1).codec(codec).bytes()
        });
        sends(c, format!("timestamp -7, {codec:?}"), &[], move |_| {
            one().at(-7).codec(codec).bytes()
        });
    }
}

fn topic_rules(c: &mut Cases) {
    const SMALL: &[(&str, &str)] = &[("max.message.bytes", "100")];
    const COMPACT: &[(&str, &str)] = &[("cleanup.policy", "compact")];
    const BOTH: &[(&str, &str)] = &[("cleanup.policy", "compact,delete")];
    let of_value = |bytes: usize| batch(vec![record("k", &"v".repeat(bytes))]);
    sends(c, "too large for its topic", SMALL, move |_| {
        of_value(200).bytes()
    });
    sends(c, "too large before compression", SMALL, move |_| {
        of_value(2000).codec(Codec::Gzip).bytes()
    });
    sends(c, "too large for the default", &[], move |_| {
        of_value(1_048_588).bytes()
    });
    sends(c, "as large as the default allows", &[], move |_| {
        of_value(1_048_588 - 61 - 12).bytes()
    });
    for codec in [Codec::None, Codec::Gzip] {
        sends(
            c,
            format!("no key in a compacted topic, {codec:?}"),
            COMPACT,
            move |_| {
                let bare = Record {
                    value: Some(Bytes::from_static(b"v")),
                    ..Record::default()
                };
                batch(vec![record("k", "v"), bare.clone(), record("k", "v"), bare])
                    .codec(codec)
                    .bytes()
            },
        );
    }
    sends(c, "no key in a compacted and deleted topic", BOTH, |_| {
        batch(vec![Record::default()]).bytes()
    });
    sends(c, "tombstone in a compacted topic", COMPACT, |_| {
        batch(vec![Record {
            value: None,
            ..record("k", "")
        }])
        .bytes()
    });
    for acks in [-1, 1] {
        c.each(
            format!("fewer replicas than min.insync.replicas, acks {acks}"),
            ALL,
            move |t, v| {
                let more = (t.nodes().len() + 1).to_string();
                let topic = t.topic_with("t", 1, &[("min.insync.replicas", &more)])?;
                t.ask(v, produce_one(v, &topic, one().bytes()).with_acks(acks))?;
                show_log(t, &topic)
            },
        );
    }
    for kept in ["uncompressed", "gzip", "snappy", "lz4", "zstd"] {
        for sent in CODECS {
            c.each(
                format!("compression.type {kept}, sent {sent:?}"),
                [13],
                move |t, v| {
                    let topic = t.topic_with("t", 1, &[("compression.type", kept)])?;
                    t.ask(v, produce_one(v, &topic, several(20).codec(sent).bytes()))?;
                    show_log(t, &topic)
                },
            );
        }
    }
}

/// Sends batches of one idempotent producer one after another; each is an epoch over the first one and a sequence.
fn sequences(c: &mut Cases, name: &str, sent: &'static [(i16, i32, usize)]) {
    c.each(name, ALL, move |t, v| {
        let topic = t.topic("t", 1)?;
        let (id, epoch) = producer_id(t)?;
        for (over, sequence, count) in sent {
            let records = several(*count)
                .producer(id, epoch + over, *sequence)
                .bytes();
            t.ask(v, produce_one(v, &topic, records))?;
        }
        show_log(t, &topic)
    });
}

fn idempotence(c: &mut Cases) {
    sequences(c, "sequence in order", &[(0, 0, 2), (0, 2, 1), (0, 3, 1)]);
    sequences(c, "duplicate of the last batch", &[(0, 0, 2), (0, 0, 2)]);
    sequences(
        c,
        "duplicate of an earlier batch",
        &[(0, 0, 1), (0, 1, 1), (0, 2, 1), (0, 0, 1)],
    );
    sequences(
        c,
        "duplicate of a batch that is forgotten",
        &[
            (0, 0, 1),
            (0, 1, 1),
            (0, 2, 1),
            (0, 3, 1),
            (0, 4, 1),
            (0, 5, 1),
            (0, 0, 1),
        ],
    );
    sequences(
        c,
        "duplicate first sequence, another length",
        &[(0, 0, 2), (0, 0, 1)],
    );
    sequences(c, "gap in the sequence", &[(0, 0, 1), (0, 2, 1), (0, 1, 1)]);
    sequences(
        c,
        "sequence that does not start at 0",
        &[(0, 5, 1), (0, 6, 1)],
    );
    sequences(c, "new epoch from 0", &[(0, 0, 1), (1, 0, 1), (1, 1, 1)]);
    sequences(c, "new epoch not from 0", &[(0, 0, 1), (1, 1, 1)]);
    sequences(c, "old epoch", &[(1, 0, 1), (0, 0, 1), (0, 1, 1)]);
    sequences(c, "sequence wraps", &[(0, i32::MAX, 1), (0, 0, 1)]);
    sequences(
        c,
        "sequence wraps inside a batch",
        &[(0, i32::MAX - 1, 3), (0, 1, 1)],
    );
    sequences(
        c,
        "sequence after the largest that is not 0",
        &[(0, i32::MAX, 1), (0, 1, 1)],
    );
    sends(c, "producer id without a sequence", &[], |_| {
        one().producer(5000, 0, -1).bytes()
    });
    sends(c, "producer id without an epoch", &[], |_| {
        one().producer(5000, -1, 0).bytes()
    });
    sends(c, "sequence without a producer id", &[], |_| {
        one().producer(-1, -1, 0).bytes()
    });
    sends(c, "a producer id that nobody gave", &[], |_| {
        one().producer(7_000_000, 3, 4).bytes()
    });
    c.each("two producers", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        let (left, right) = (producer_id(t)?, producer_id(t)?);
        for (id, epoch) in [left, right, left] {
            t.ask(
                v,
                produce_one(v, &topic, one().producer(id, epoch, 0).bytes()),
            )?;
        }
        show_log(t, &topic)
    });
    c.each("idempotent in two partitions", ALL, |t, v| {
        let topic = t.topic("t", 2)?;
        let (id, epoch) = producer_id(t)?;
        let data = [0, 1].map(|index| partition_data(index, one().producer(id, epoch, 0).bytes()));
        t.ask(v, produce(vec![topic_data(v, &topic, data.to_vec())]))?;
        Ok(())
    });
}

fn transactions(c: &mut Cases) {
    c.each(
        "transactional batch without a transactional id",
        ALL,
        |t, v| {
            let topic = t.topic("t", 1)?;
            let (id, epoch) = producer_id(t)?;
            let records = one()
                .producer(id, epoch, 0)
                .attributes(TRANSACTIONAL)
                .bytes();
            t.ask(v, produce_one(v, &topic, records))?;
            show_log(t, &topic)
        },
    );
    c.each(
        "transactional batch of an unknown transactional id",
        ALL,
        |t, v| {
            let topic = t.topic("t", 1)?;
            let (id, epoch) = producer_id(t)?;
            let records = one()
                .producer(id, epoch, 0)
                .attributes(TRANSACTIONAL)
                .bytes();
            let request: ProduceRequest = produce_one(v, &topic, records);
            t.ask(
                v,
                request.with_transactional_id(Some(TransactionalId(text(&t.name("x"))))),
            )?;
            show_log(t, &topic)
        },
    );
    c.each("transactional id on a plain batch", ALL, |t, v| {
        let topic = t.topic("t", 1)?;
        let request: ProduceRequest = produce_one(v, &topic, one().bytes());
        t.ask(
            v,
            request.with_transactional_id(Some(TransactionalId(text(&t.name("x"))))),
        )?;
        show_log(t, &topic)
    });
}
