//! What waits to be written to one connection. Short messages overtake long ones between two pieces, and
//! long ones take turns.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::frame::{self, Kind, MAX_MESSAGE_BYTES, PIECE_BYTES};

/// Bytes of all messages that wait. Past it a message is refused, and whoever sends it tries again later.
const MAX_BYTES: usize = 64 << 20;
/// Messages that wait.
const MAX_MESSAGES: usize = 8192;
/// Messages up to this size overtake longer ones.
const SHORT_BYTES: usize = 16 << 10;
/// Pieces of short messages that are written at once, at most.
const BATCH: usize = 64;

#[derive(Default)]
pub struct Outbox {
    queues: Mutex<Queues>,
    changed: Notify,
}

#[derive(Default)]
struct Queues {
    short: VecDeque<Outgoing>,
    long: VecDeque<Outgoing>,
    bytes: usize,
    closed: bool,
}

struct Outgoing {
    stream: u64,
    kind: Kind,
    total: u32,
    left: usize,
    rest: VecDeque<Bytes>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the connection is closed")]
    Closed,
    #[error("too much waits to be sent")]
    Full,
    #[error("the message is too long")]
    TooLong,
}

impl Outbox {
    /// Queues a message, behind those of its size that came before it.
    pub fn push(&self, stream: u64, kind: Kind, message: Vec<Bytes>) -> Result<(), Refused> {
        let total: usize = message.iter().map(Bytes::len).sum();
        if total > MAX_MESSAGE_BYTES {
            return Err(Refused::TooLong);
        }
        let outgoing = Outgoing {
            stream,
            kind,
            total: total as u32,
            left: total,
            rest: message.into(),
        };
        let mut queues = self.queues.lock();
        if queues.closed {
            return Err(Refused::Closed);
        }
        let waiting = queues.short.len() + queues.long.len();
        // One message is always taken, however long it is.
        if waiting >= MAX_MESSAGES || waiting > 0 && queues.bytes + total > MAX_BYTES {
            return Err(Refused::Full);
        }
        queues.bytes += total;
        match total <= SHORT_BYTES {
            true => queues.short.push_back(outgoing),
            false => queues.long.push_back(outgoing),
        }
        drop(queues);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes nothing any more and forgets what waits.
    pub fn close(&self) {
        let mut queues = self.queues.lock();
        *queues = Queues {
            closed: true,
            ..Queues::default()
        };
        drop(queues);
        self.changed.notify_one();
    }

    /// The next pieces to write, `wanted` saying which messages somebody still waits for; `None` once closed.
    async fn next(&self, wanted: &(impl Fn(u64, Kind) -> bool + Sync)) -> Option<Vec<Bytes>> {
        loop {
            {
                let mut queues = self.queues.lock();
                if queues.closed {
                    return None;
                }
                let pieces = queues.pieces(wanted);
                if !pieces.is_empty() {
                    return Some(pieces);
                }
            }
            self.changed.notified().await;
        }
    }

    /// Writes what is queued until the outbox is closed.
    pub async fn write_to<W: AsyncWrite + Unpin>(
        &self,
        stream: &mut W,
        wanted: impl Fn(u64, Kind) -> bool + Sync,
    ) -> io::Result<()> {
        while let Some(pieces) = self.next(&wanted).await {
            write_all(stream, pieces).await?;
            stream.flush().await?;
        }
        Ok(())
    }
}

impl Queues {
    fn pieces(&mut self, wanted: &impl Fn(u64, Kind) -> bool) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        let mut count = 0;
        while count < BATCH
            && let Some(mut message) = self.short.pop_front()
        {
            self.bytes -= message.total as usize;
            if wanted(message.stream, message.kind) {
                count += 1;
                message.cut(&mut pieces);
            }
        }
        while pieces.is_empty()
            && let Some(mut message) = self.long.pop_front()
        {
            let begun = message.left < message.total as usize;
            // The other side waits for the rest of what it was sent a part of.
            if !begun && !wanted(message.stream, message.kind) {
                self.bytes -= message.total as usize;
                continue;
            }
            message.cut(&mut pieces);
            match message.left {
                0 => self.bytes -= message.total as usize,
                _ => self.long.push_back(message),
            }
        }
        pieces
    }
}

impl Outgoing {
    /// Takes the next piece off, with its header.
    fn cut(&mut self, pieces: &mut Vec<Bytes>) {
        let mut piece = Vec::new();
        let mut len = 0;
        while let Some(part) = self.rest.front_mut() {
            let taken = part.split_to(part.len().min(PIECE_BYTES - len));
            if part.is_empty() {
                self.rest.pop_front();
            }
            len += taken.len();
            if !taken.is_empty() {
                piece.push(taken);
            }
            if len == PIECE_BYTES {
                break;
            }
        }
        self.left -= len;
        let last = self.left == 0;
        pieces.push(frame::header(
            self.stream,
            self.total,
            self.kind,
            last,
            &piece,
        ));
        pieces.extend(piece);
    }
}

/// Slices in one system call, at most.
const MAX_SLICES: usize = 256;

async fn write_all<W: AsyncWrite + Unpin>(stream: &mut W, pieces: Vec<Bytes>) -> io::Result<()> {
    let mut pieces = VecDeque::from(pieces);
    while !pieces.is_empty() {
        let slices: Vec<IoSlice<'_>> = pieces
            .iter()
            .take(MAX_SLICES)
            .map(|piece| IoSlice::new(piece))
            .collect();
        let mut written = stream.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while written > 0 {
            let first = pieces
                .front_mut()
                .expect("no more is written than was given");
            let done = first.len().min(written);
            first.advance(done);
            written -= done;
            if first.is_empty() {
                pieces.pop_front();
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(outbox: &Outbox, wanted: impl Fn(u64, Kind) -> bool) -> Vec<u64> {
        let mut streams = Vec::new();
        loop {
            let pieces = outbox.queues.lock().pieces(&wanted);
            if pieces.is_empty() {
                return streams;
            }
            let headers = pieces
                .iter()
                .filter(|piece| piece.len() == frame::HEADER_LEN);
            streams.extend(
                headers.map(|head| u64::from_le_bytes(head[8..16].try_into().expect("8 bytes"))),
            );
        }
    }

    fn message(len: usize) -> Vec<Bytes> {
        vec![Bytes::from(vec![7; len])]
    }

    #[test]
    fn short_messages_overtake_long_ones_and_long_ones_take_turns() {
        let outbox = Outbox::default();
        let long = 2 * PIECE_BYTES;
        for (stream, len) in [(1, long), (2, long), (3, 10)] {
            let pushed = outbox.push(stream, Kind::Answer, message(len));
            pushed.expect("there is room");
        }
        assert_eq!(streams(&outbox, |_, _| true), [3, 1, 2, 1, 2]);
    }

    #[test]
    fn what_nobody_waits_for_is_not_begun_but_what_is_begun_is_ended() {
        let outbox = Outbox::default();
        for (stream, len) in [(1, 2 * PIECE_BYTES), (2, PIECE_BYTES)] {
            let pushed = outbox.push(stream, Kind::Replica, message(len));
            pushed.expect("there is room");
        }
        let first = outbox.queues.lock().pieces(&|_, _| true);
        assert_eq!(first.len(), 2, "a header and a piece");
        assert_eq!(streams(&outbox, |_, _| false), [1]);
        assert_eq!(outbox.queues.lock().bytes, 0);
    }

    #[test]
    fn a_full_or_closed_outbox_refuses() {
        let outbox = Outbox::default();
        let first = outbox.push(1, Kind::Answer, message(MAX_BYTES + 1));
        first.expect("one is always taken");
        assert_eq!(outbox.push(2, Kind::Answer, message(1)), Err(Refused::Full));
        outbox.close();
        let closed = outbox.push(3, Kind::Answer, message(1));
        assert_eq!(closed, Err(Refused::Closed));
    }
}
