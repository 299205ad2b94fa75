//! What one Fetch request reads of its partitions, once.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use weir_log::{ReadError, ReadRequest};

use super::response::PartitionAnswer;
use super::session::{Key, Want};
use super::{Isolation, Limits, ahead, nearest};
use crate::broker::{Broker, Standing};
use crate::kafka::{ErrorCode, Session};
use crate::partition::Partition;

/// Disk reads of one request that are under way together.
const READS_AT_A_TIME: usize = 4;

/// Who reads, and under what limits.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub broker: &'a Arc<Broker>,
    pub session: &'a Session,
    pub limits: &'a Limits,
}

/// Reads the partitions in the request's order under its byte limits (KIP-74): the first one that
/// has records gives at least one batch, however large.
pub async fn read_all(reader: Reader<'_>, wants: &[(Key, Want)]) -> Vec<(Key, PartitionAnswer)> {
    let Reader { broker, limits, .. } = reader;
    let mut left = limits.max_bytes;
    let mut first = true;
    let mut answers = Vec::with_capacity(wants.len());
    let mut rest = wants;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(independent(rest, left, first));
        let reads = now.iter().map(async |(key, want)| {
            let source = match locate(broker, key, want, limits) {
                Err(failed) => return failed,
                Ok(source) => source,
            };
            let max_bytes = want.max_bytes().min(left);
            read_one(reader, &source, key.index, want, max_bytes, first).await
        });
        let read = join_all(reads).await;
        for ((key, _), answer) in now.iter().zip(read) {
            let bytes = answer.records_bytes();
            left = left.saturating_sub(bytes);
            first &= bytes == 0;
            answers.push((key.clone(), answer));
        }
        rest = later;
    }
    answers
}

/// How many partitions may be read at a time: those whose limits do not depend on what the others give.
fn independent(wants: &[(Key, Want)], left: usize, first: bool) -> usize {
    if first {
        return 1;
    }
    let mut needed = 0_usize;
    let fits = |(_, want): &&(Key, Want)| {
        needed = needed.saturating_add(want.max_bytes());
        needed <= left
    };
    wants
        .iter()
        .take(READS_AT_A_TIME)
        .take_while(fits)
        .count()
        .max(1)
}

/// The replica that is read, and what it is worth.
struct Source {
    partition: Arc<Partition>,
    standing: Standing,
}

/// The replica here, if this reader may read it and the reader's epoch is the leader's.
fn locate(
    broker: &Broker,
    key: &Key,
    want: &Want,
    limits: &Limits,
) -> Result<Source, PartitionAnswer> {
    let epoch = want.current_leader_epoch;
    let found = match limits.reads_followers() {
        true => broker.replica(&key.topic, key.index, epoch),
        false => {
            let led = broker.led_partition(&key.topic, key.index, epoch);
            led.map(|partition| (partition, Standing::Leads))
        }
    };
    let found = found.map(|(partition, standing)| Source {
        partition,
        standing,
    });
    found.map_err(|error| {
        let mut answer = failed(key.index, error);
        match error {
            ErrorCode::NotLeaderOrFollower => {
                answer.current_leader = broker.leader_of(&key.topic, key.index);
            }
            // Refused before any log was asked: the list of aborted transactions is empty, not null.
            ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
                answer.missing = true;
                answer.lists_aborted = true;
            }
            _ => answer.lists_aborted = limits.isolation == Isolation::Committed,
        }
        answer
    })
}

async fn read_one(
    reader: Reader<'_>,
    source: &Source,
    index: i32,
    want: &Want,
    max_bytes: usize,
    at_least_one: bool,
) -> PartitionAnswer {
    let limits = reader.limits;
    let Source {
        partition,
        standing,
    } = source;
    let (start, end) = {
        let log = partition.log.read();
        (log.log_start_offset(), log.next_offset())
    };
    let lists_aborted = limits.isolation == Isolation::Committed;
    let mut answer = PartitionAnswer {
        index,
        high_watermark: end,
        last_stable_offset: end,
        log_start_offset: start,
        lists_aborted,
        by_follower: *standing != Standing::Leads,
        ..PartitionAnswer::default()
    };
    // Before any epoch is looked at: this replica may not know the latest ones.
    if lacks(*standing, want.fetch_offset, end) {
        return PartitionAnswer {
            lists_aborted,
            ..failed(index, ErrorCode::OffsetNotAvailable)
        };
    }
    let out_of_range = || PartitionAnswer {
        lists_aborted,
        ..failed(index, ErrorCode::OffsetOutOfRange)
    };
    if limits.version >= 12 && want.last_fetched_epoch >= 0 {
        let last = want.last_fetched_epoch;
        match partition.log.read().end_offset_for_epoch(last) {
            None => return out_of_range(),
            Some(end) if end.epoch < last || end.end_offset < want.fetch_offset => {
                answer.diverging_epoch = Some((end.epoch, end.end_offset));
                return answer;
            }
            Some(_) => {}
        }
    }
    if want.fetch_offset < start || want.fetch_offset > end {
        return out_of_range();
    }
    if *standing == Standing::Leads {
        answer.preferred_read_replica = nearest::of(reader, partition);
    }
    if answer.preferred_read_replica.is_some() {
        return answer;
    }
    if want.fetch_offset == end || (max_bytes == 0 && !at_least_one) {
        return answer;
    }
    let read = ReadRequest {
        from: want.fetch_offset,
        upper: end,
        max_bytes,
        at_least_one,
    };
    match records(reader, partition, read).await {
        Ok(records) => answer.records = records,
        Err(code) => return failed(index, code),
    }
    answer
}

/// Whether a reader at this offset waits for what a follower here does not have yet: the leader may have told it of the
/// offset, and what lies below is there. A follower that gets nothing either keeps no reader that has read it all.
fn lacks(standing: Standing, fetch_offset: i64, end: i64) -> bool {
    match standing {
        Standing::Leads => false,
        Standing::Follows => fetch_offset > end,
        Standing::Behind => fetch_offset >= end,
    }
}

/// From memory at once; from a disk on a thread that may block, if that has not been done already.
async fn records(
    reader: Reader<'_>,
    partition: &Arc<Partition>,
    request: ReadRequest,
) -> Result<Vec<Bytes>, ErrorCode> {
    let Reader {
        broker, session, ..
    } = reader;
    let ahead = &session.read_ahead;
    let read = match partition.plan_read(&request) {
        Ok(plan) if plan.is_in_memory() => Ok(plan.run(&*broker.blocks)),
        Ok(plan) => {
            let read = match ahead.take(partition, &request).await {
                Some(records) => Ok(Ok(records)),
                None => ahead::start(broker, partition, plan, request).await,
            };
            if let Ok(Ok(records)) = &read {
                ahead.begin(broker, partition, &request, records);
            }
            read
        }
        Err(error) => Ok(Err(error)),
    };
    let id = partition.id;
    match read {
        Ok(Ok(records)) => Ok(records),
        // Trimmed since the offsets were looked at.
        Ok(Err(ReadError::OutOfRange { .. })) => Err(ErrorCode::OffsetOutOfRange),
        Ok(Err(error)) => {
            tracing::error!(?id, %error, "records could not be read");
            Err(ErrorCode::KafkaStorageError)
        }
        Err(error) => {
            tracing::error!(?id, %error, "the reading thread failed");
            Err(ErrorCode::UnknownServerError)
        }
    }
}

/// A partition that gives nothing but an error.
pub fn failed(index: i32, error: ErrorCode) -> PartitionAnswer {
    PartitionAnswer {
        index,
        error_code: error.code(),
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        ..PartitionAnswer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(standing: Standing, lacked: [bool; 3]) {
        let found = [4, 5, 6].map(|offset| lacks(standing, offset, 5));
        assert_eq!(found, lacked, "{standing:?}");
    }

    #[test]
    fn a_reader_waits_for_what_a_follower_lacks() {
        check(Standing::Leads, [false, false, false]);
        check(Standing::Follows, [false, false, true]);
        check(Standing::Behind, [false, true, true]);
    }
}
