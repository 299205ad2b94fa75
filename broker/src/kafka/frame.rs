//! Frames: a 4-byte length, then that many bytes, cut out of what a socket delivers.
//!
//! Each frame gets a buffer of its own, of exactly its size once it is whole, because a produce request's buffer
//! lives on in the log's tail. A buffer grows as bytes arrive: a length that is declared and never sent costs one
//! step. A connection that has completed a frame of some size is believed that size at once the next time, which
//! saves a busy producer the copies of growing. A long frame is summed as it arrives ([`Sums`]).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use thiserror::Error;

use super::budget::{ByteBudget, Reservation};
use super::sums::Sums;

/// What is allocated for a frame on its declared length alone.
pub const FIRST_STEP_BYTES: usize = 64 * 1024;
/// The largest size that a connection is believed because it has sent one like it.
const TRUST_LIMIT_BYTES: usize = 4 * 1024 * 1024;
const PREFIX_LEN: usize = 4;
/// What is read at a time: no more than stays in the processor's cache until it is summed.
const READ_BYTES: usize = 256 * 1024;

/// Why a connection's bytes are not frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("frame of {declared} bytes is above the limit of {limit} (socket.request.max.bytes)")]
    TooLarge { declared: u32, limit: usize },
    #[error("frame length {0} is negative: these are not Kafka requests")]
    Negative(i32),
}

/// One request's bytes, without the length prefix, and their share of the byte budget.
#[derive(Debug)]
pub struct Frame {
    pub bytes: BytesMut,
    pub reservation: Reservation,
    pub sums: Sums,
}

/// Cuts frames out of one connection's bytes.
#[derive(Debug)]
pub struct FrameReader {
    limit_bytes: usize,
    budget: Arc<ByteBudget>,
    prefix: [u8; PREFIX_LEN],
    prefix_len: usize,
    partial: Option<Partial>,
    whole: VecDeque<Frame>,
    largest_bytes: usize,
}

// Invariant: frame.bytes.len() < size.
#[derive(Debug)]
struct Partial {
    frame: Frame,
    size: usize,
}

impl FrameReader {
    pub fn new(limit_bytes: usize, budget: Arc<ByteBudget>) -> Self {
        FrameReader {
            limit_bytes,
            budget,
            prefix: [0; PREFIX_LEN],
            prefix_len: 0,
            partial: None,
            whole: VecDeque::new(),
            largest_bytes: 0,
        }
    }

    /// The next whole frame.
    pub fn next_frame(&mut self) -> Option<Frame> {
        self.whole.pop_front()
    }

    pub fn has_whole_frame(&self) -> bool {
        !self.whole.is_empty()
    }

    /// Whether a frame, or its length, has begun and is not whole.
    pub fn is_mid_frame(&self) -> bool {
        self.partial.is_some() || self.prefix_len > 0
    }

    /// Bytes that have arrived of the frame that is not whole.
    pub fn arrived_bytes(&self) -> usize {
        self.prefix_len
            + self
                .partial
                .as_ref()
                .map_or(0, |partial| partial.frame.bytes.len())
    }

    /// The buffer to read into directly, and how many bytes at most, where a frame is large enough to be worth it.
    /// After the read, [`FrameReader::filled`] must be called.
    pub fn direct(&mut self) -> Option<(&mut BytesMut, usize)> {
        let partial = self.partial.as_mut()?;
        let missing = partial.size - partial.frame.bytes.len();
        if missing < FIRST_STEP_BYTES / 4 {
            return None;
        }
        partial.make_room();
        let spare = partial.frame.bytes.capacity() - partial.frame.bytes.len();
        let room = spare.min(missing).min(READ_BYTES);
        Some((&mut partial.frame.bytes, room))
    }

    /// Takes note of bytes that were read into [`FrameReader::direct`]'s buffer.
    pub fn filled(&mut self) {
        let Some(partial) = &mut self.partial else {
            return;
        };
        let Frame { bytes, sums, .. } = &mut partial.frame;
        sums.extend(bytes);
        if partial.is_whole() {
            self.finish();
        }
    }

    /// Takes bytes as they came from the socket.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), FrameError> {
        while !bytes.is_empty() {
            if let Some(partial) = &mut self.partial {
                partial.make_room();
                let spare = partial.frame.bytes.capacity() - partial.frame.bytes.len();
                let missing = partial.size - partial.frame.bytes.len();
                let (taken, rest) = bytes.split_at(bytes.len().min(missing).min(spare));
                partial.frame.bytes.extend_from_slice(taken);
                bytes = rest;
                self.filled();
            } else {
                let (taken, rest) = bytes.split_at(bytes.len().min(PREFIX_LEN - self.prefix_len));
                self.prefix[self.prefix_len..self.prefix_len + taken.len()].copy_from_slice(taken);
                self.prefix_len += taken.len();
                bytes = rest;
                if self.prefix_len == PREFIX_LEN {
                    self.begin()?;
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), FrameError> {
        self.prefix_len = 0;
        let declared = i32::from_be_bytes(self.prefix);
        let size = usize::try_from(declared).map_err(|_| FrameError::Negative(declared))?;
        if size > self.limit_bytes {
            return Err(FrameError::TooLarge {
                declared: declared as u32,
                limit: self.limit_bytes,
            });
        }
        let believed = FIRST_STEP_BYTES.max(self.largest_bytes).min(size);
        let frame = Frame {
            bytes: BytesMut::with_capacity(believed),
            reservation: self.budget.take(believed),
            sums: Sums::of_frame(size),
        };
        self.partial = Some(Partial { frame, size });
        if size == 0 {
            self.finish();
        }
        Ok(())
    }

    fn finish(&mut self) {
        if let Some(partial) = self.partial.take() {
            let size = partial.size.min(TRUST_LIMIT_BYTES);
            self.largest_bytes = self.largest_bytes.max(size);
            self.whole.push_back(partial.frame);
        }
    }
}

impl Partial {
    fn is_whole(&self) -> bool {
        self.frame.bytes.len() == self.size
    }

    /// Doubles the buffer when it is full, up to the frame's size.
    fn make_room(&mut self) {
        let bytes = &mut self.frame.bytes;
        let held = bytes.capacity();
        if bytes.len() < held {
            return;
        }
        let step = bytes
            .len()
            .max(FIRST_STEP_BYTES)
            .min(self.size - bytes.len());
        // Not `reserve`, which would round up: what a produce request keeps is exactly its frame.
        let mut grown = BytesMut::with_capacity(held + step);
        grown.extend_from_slice(bytes);
        *bytes = grown;
        self.frame.reservation.grow(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(limit: usize) -> (FrameReader, Arc<ByteBudget>) {
        let budget = ByteBudget::new(usize::MAX);
        (FrameReader::new(limit, budget.clone()), budget)
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        [&(body.len() as i32).to_be_bytes()[..], body].concat()
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_are_cut() {
        let bodies: Vec<Vec<u8>> = [0, 1, 5, 300, FIRST_STEP_BYTES * 3 + 7, 2]
            .iter()
            .enumerate()
            .map(|(i, len)| vec![i as u8; *len])
            .collect();
        let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
        for cut in [1, 3, 4, 7, 1000, stream.len()] {
            let (mut reader, budget) = reader(1 << 20);
            for piece in stream.chunks(cut) {
                reader.push(piece).unwrap();
            }
            for body in &bodies {
                assert_eq!(reader.next_frame().unwrap().bytes, body[..], "cut {cut}");
            }
            assert!(!reader.has_whole_frame());
            assert!(!reader.is_mid_frame());
            assert_eq!(budget.used_bytes(), 0, "frames give their bytes back");
        }
    }

    #[test]
    fn a_declared_length_that_is_not_sent_costs_one_step() {
        let (mut reader, budget) = reader(100 << 20);
        reader.push(&(100i32 << 20).to_be_bytes()).unwrap();
        assert!(reader.is_mid_frame());
        assert_eq!(budget.used_bytes(), FIRST_STEP_BYTES);
        reader.push(&vec![1; FIRST_STEP_BYTES + 1]).unwrap();
        assert!(
            budget.used_bytes() <= 2 * FIRST_STEP_BYTES + 64,
            "held {}",
            budget.used_bytes()
        );
        drop(reader);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn a_size_seen_before_is_believed() {
        let (mut reader, budget) = reader(100 << 20);
        reader.push(&framed(&vec![1; 1 << 20])).unwrap();
        drop(reader.next_frame());
        reader.push(&(1i32 << 20).to_be_bytes()).unwrap();
        assert_eq!(budget.used_bytes(), 1 << 20);
        let (buffer, room) = reader.direct().unwrap();
        assert_eq!((buffer.capacity(), room), (1 << 20, READ_BYTES));
    }

    #[test]
    fn lengths_out_of_bounds_are_refused() {
        let (mut frames, _) = reader(1000);
        assert_eq!(
            frames.push(&1001i32.to_be_bytes()),
            Err(FrameError::TooLarge {
                declared: 1001,
                limit: 1000
            })
        );
        let (mut frames, _) = reader(1000);
        assert_eq!(
            frames.push(b"\xff\xff\xff\xfe"),
            Err(FrameError::Negative(-2))
        );
    }
}
