//! A request between its start and its answer.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Reply, ReplyFuture};
use crate::kafka::budget::Reservation;
use crate::kafka::request_metrics::RequestMetrics;

/// A request whose ordered stage has run: the future of its reply, and its share of the byte budget.
pub struct InFlight {
    pub(super) reply: ReplyFuture,
    pub(super) index: usize,
    pub(super) started: Instant,
    pub(super) request_bytes: usize,
    pub(super) metrics: Arc<RequestMetrics>,
    pub(super) _reservation: Reservation,
}

impl InFlight {
    pub fn request_bytes(&self) -> usize {
        self.request_bytes
    }
}

/// What became of one request.
#[derive(Debug)]
pub struct Answered {
    pub reply: Reply,
    pub request_bytes: usize,
}

impl Future for InFlight {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.reply.as_mut().poll(cx)));
        let reply = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(reply)) => reply,
            Err(_) => Reply::Close("its handler panicked"),
        };
        let response_bytes = match &reply {
            Reply::Segments(segments) => segments.iter().map(Bytes::len).sum(),
            Reply::None | Reply::Close(_) => 0,
        };
        let request_bytes = self.request_bytes;
        let metrics = self.metrics.at(self.index);
        metrics.observe(self.started.elapsed(), request_bytes, response_bytes);
        Poll::Ready(Answered {
            reply,
            request_bytes,
        })
    }
}
