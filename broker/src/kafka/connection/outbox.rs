//! Replies that wait for the socket.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Pieces per write; the kernel takes at most 1024 (`UIO_MAXIOV`).
pub const MAX_SLICES: usize = 64;
/// Bytes per write: the system copies them while the thread waits.
const WRITE_BYTES: usize = 512 << 10;

/// A queue of pieces that is written from the front.
#[derive(Debug, Default)]
pub struct Outbox {
    pieces: VecDeque<Bytes>,
    len_bytes: usize,
}

impl Outbox {
    pub fn push(&mut self, pieces: Vec<Bytes>) {
        for piece in pieces {
            if !piece.is_empty() {
                self.len_bytes += piece.len();
                self.pieces.push_back(piece);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Fills in what is to be written next; how many slices that are.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let (mut count, mut room) = (0, WRITE_BYTES);
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let len = piece.len().min(room);
            *slice = IoSlice::new(&piece[..len]);
            count += 1;
            room -= len;
            if room == 0 {
                break;
            }
        }
        count
    }

    /// Drops what was written.
    pub fn advance(&mut self, mut written: usize) {
        self.len_bytes -= written;
        while written > 0 {
            let Some(front) = self.pieces.front_mut() else {
                break;
            };
            if written < front.len() {
                front.advance(written);
                break;
            }
            written -= front.len();
            self.pieces.pop_front();
        }
        if self.pieces.is_empty() && self.pieces.capacity() > MAX_SLICES {
            self.pieces = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_bounded_however_much_there_is() {
        let mut outbox = Outbox::default();
        let piece = Bytes::from(vec![7; WRITE_BYTES / 3 * 2]);
        outbox.push(vec![piece.clone(), piece.clone(), piece]);
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = outbox.fill(&mut slices);
        let lens = slices[..count].iter().map(|slice| slice.len());
        assert_eq!((count, lens.sum()), (2, WRITE_BYTES));
    }

    #[test]
    fn pieces_leave_in_order_however_writes_are_cut() {
        let stream: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for step in [1, 3, 100, 1000] {
            let mut outbox = Outbox::default();
            outbox.push(stream.chunks(7).map(Bytes::copy_from_slice).collect());
            outbox.push(vec![Bytes::new()]);
            let mut written = Vec::new();
            while !outbox.is_empty() {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let count = outbox.fill(&mut slices);
                let bytes = slices[..count]
                    .iter()
                    .flat_map(|slice| slice.to_vec())
                    .collect::<Vec<u8>>();
                let cut = bytes.len().min(step);
                written.extend_from_slice(&bytes[..cut]);
                outbox.advance(cut);
            }
            assert_eq!(written, stream);
            assert_eq!(outbox.len_bytes(), 0);
        }
    }
}
