//! InitProducerId: ids for idempotent producers, and what a transactional id gets.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{InitProducerIdRequest, ProducerId, TransactionalId};

use super::Cases;
use super::common::{append, producer_id};
use crate::differential::batches::one;
use crate::differential::build::text;

const ALL: RangeInclusive<i16> = 0..=5;
const HAS_CURRENT: RangeInclusive<i16> = 3..=5;

pub fn cases(c: &mut Cases) {
    c.each("two ids", ALL, |t, v| {
        t.ask(v, request())?;
        t.ask(v, request())?;
        Ok(())
    });
    for timeout in [0, -1, i32::MAX] {
        c.each(format!("timeout {timeout}"), ALL, move |t, v| {
            t.ask(v, request().with_transaction_timeout_ms(timeout))?;
            Ok(())
        });
    }
    c.each("a new epoch of an id", HAS_CURRENT, |t, v| {
        let (id, epoch) = producer_id(t)?;
        let topic = t.topic("t", 1)?;
        append(t, &topic, 0, &one().producer(id, epoch, 0))?;
        t.ask(
            v,
            request()
                .with_producer_id(ProducerId(id))
                .with_producer_epoch(epoch),
        )?;
        Ok(())
    });
    for (label, id, epoch) in [
        ("an id without an epoch", 7, -1),
        ("an epoch without an id", -1, 7),
        ("an id that nobody gave", 7_000_000, 0),
        ("an id with the largest epoch", 7_000_000, i16::MAX),
        ("id -2", -2, 0),
        ("epoch -2", 7, -2),
    ] {
        c.each(label, HAS_CURRENT, move |t, v| {
            t.ask(
                v,
                request()
                    .with_producer_id(ProducerId(id))
                    .with_producer_epoch(epoch),
            )?;
            Ok(())
        });
    }
    for (label, transactional_id) in [("empty", ""), ("a", "x")] {
        c.each(format!("{label} transactional id"), ALL, move |t, v| {
            let id = if transactional_id.is_empty() {
                String::new()
            } else {
                t.name(transactional_id)
            };
            let request = request().with_transactional_id(Some(TransactionalId(text(&id))));
            t.ask(v, request.with_transaction_timeout_ms(60_000))?;
            Ok(())
        });
    }
}

fn request() -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000)
}
