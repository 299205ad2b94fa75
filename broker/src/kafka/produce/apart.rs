//! Batches that are too much work for the data thread: checked beside it, in their connection's order.
//!
//! A few kilobytes can decompress to megabytes, and whoever shares the thread would wait for each of them. So the
//! thread stops at a size that ordinary batches stay below; larger ones are checked one at a time on a thread that may
//! block, which also bounds the memory. What the same connection produces meanwhile waits its turn before it enters
//! its shard's queue.
//!
//! Batches whose schemas may have been registered on another node a moment ago are checked here too, once this one knows
//! what that one knew.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::admit::{Declined, Facts, admit};
use super::request::{PartitionData, TopicRef};
use super::response::Refused;
use crate::broker::Broker;
use crate::kafka::ErrorCode;
use crate::kafka::sums::Sums;
use crate::shard::proposer::Part;
use crate::topic::{MAX_DECOMPRESSED_BYTES, TopicView};

/// What the data thread decompresses of a batch: clients send up to a megabyte unless they are told otherwise.
pub const HERE_BYTES: usize = 2 << 20;

static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// A partition of a request whose batch was too much, and the slot of its answer.
pub struct Large {
    pub slot: usize,
    pub view: Arc<TopicView>,
    pub topic: TopicRef,
    pub data: PartitionData,
}

/// Checks large batches, up to what any batch may be.
pub async fn check(
    broker: Arc<Broker>,
    facts: Facts,
    large: Vec<Large>,
) -> Vec<(usize, Result<Part, Refused>)> {
    if large.is_empty() {
        return Vec::new();
    }
    let slots: Vec<usize> = large.iter().map(|large| large.slot).collect();
    if !facts.latest
        && let Err(error) = broker.registry.caught_up(&broker).await
    {
        tracing::debug!(%error, "records are checked by the schemas that are here");
    }
    let facts = Facts {
        max_decompressed_bytes: MAX_DECOMPRESSED_BYTES,
        latest: true,
        ..facts
    };
    let _one = ONE_AT_A_TIME.acquire().await;
    let checked = tokio::task::spawn_blocking(move || {
        let check = |mut large: Large| {
            let admitted = admit(
                &broker,
                &facts,
                Some(&large.view),
                &large.topic,
                &mut large.data,
                &Sums::default(),
            );
            (large.slot, admitted.map_err(Declined::refused))
        };
        large.into_iter().map(check).collect()
    });
    checked.await.unwrap_or_else(|error| {
        tracing::error!(%error, "checking a large batch failed");
        let failed = || Err(Refused::code(ErrorCode::UnknownServerError));
        slots.into_iter().map(|slot| (slot, failed())).collect()
    })
}

/// Who of one connection's produce requests enters the queues next.
#[derive(Debug, Default)]
pub struct Turns(Mutex<Option<CancellationToken>>);

/// A request's turn: comes when the one before is over, and is over when this is dropped.
#[derive(Debug)]
pub struct Turn {
    before: Option<CancellationToken>,
    _over: DropGuard,
}

impl Turns {
    /// Nothing where the request may go on at once: it has nothing large, and waits for nothing that has.
    pub fn take(&self, has_large: bool) -> Option<Turn> {
        let mut last = self.0.lock();
        let before = last.take().filter(|before| !before.is_cancelled());
        if before.is_none() && !has_large {
            return None;
        }
        let over = CancellationToken::new();
        *last = Some(over.clone());
        Some(Turn {
            before,
            _over: over.drop_guard(),
        })
    }
}

impl Turn {
    pub async fn comes(&self) {
        if let Some(before) = &self.before {
            before.cancelled().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn turns_come_in_order_and_small_requests_alone_need_none() {
        let turns = Turns::default();
        assert!(turns.take(false).is_none());
        let first = turns.take(true).unwrap();
        let second = turns.take(false).unwrap();
        let third = turns.take(true).unwrap();
        assert!(first.comes().now_or_never().is_some());
        assert!(second.comes().now_or_never().is_none());
        drop(first);
        assert!(second.comes().now_or_never().is_some());
        assert!(third.comes().now_or_never().is_none());
        drop(second);
        assert!(third.comes().now_or_never().is_some());
        drop(third);
        assert!(turns.take(false).is_none());
    }
}
