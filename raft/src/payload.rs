//! An entry's bytes, kept in the pieces in which they arrived.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// A known sum is used from this length on: below, summing the bytes again is as quick.
const WORTH_COMBINING: usize = 16 << 10;

/// Bytes that lie in one place.
#[derive(Clone, Debug)]
pub struct Piece {
    pub bytes: Bytes,
    /// Saves the log from summing them again.
    pub tail: Option<TailCrc>,
    /// Memory that the piece keeps from being freed, for the state machine that budgets it; 0 where another piece
    /// answers for it.
    pub held_bytes: usize,
}

/// What somebody has computed already: the CRC-32C of a piece's bytes from `from` to its end.
#[derive(Clone, Copy, Debug)]
pub struct TailCrc {
    pub from: usize,
    pub crc: u32,
}

/// Called when an entry's bytes are in the leader's write-ahead log, before they are durable. An entry that is
/// then lost with the leader was never committed.
pub type Written = Arc<dyn Fn() + Send + Sync>;

/// One entry's bytes in pieces, so that a request's bytes are not copied on their way to the disk.
/// Cloning shares the pieces.
#[derive(Clone)]
pub struct Payload {
    pieces: Arc<[Piece]>,
    len: usize,
    written: Option<Written>,
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in {} pieces", self.len, self.pieces.len())
    }
}

impl Piece {
    /// How many of the first bytes have to be summed to know the sum of all, and the sum of the others.
    pub(crate) fn to_sum(&self) -> (usize, Option<u32>) {
        match self.tail {
            Some(tail) if self.bytes.len() >= tail.from + WORTH_COMBINING => {
                (tail.from, Some(tail.crc))
            }
            _ => (self.bytes.len(), None),
        }
    }

    /// The CRC-32C of bytes with the sum `before` and these behind them.
    pub(crate) fn append_crc(&self, before: u32) -> u32 {
        let (count, tail) = self.to_sum();
        let summed = weir_crc::append(before, &self.bytes[..count]);
        match tail {
            Some(tail) => weir_crc::combine(summed, tail, (self.bytes.len() - count) as u32),
            None => summed,
        }
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Piece {
        Piece {
            held_bytes: bytes.len(),
            bytes,
            tail: None,
        }
    }
}

impl Payload {
    /// The concatenation of `pieces`; empty ones are dropped.
    pub fn new(pieces: impl IntoIterator<Item: Into<Piece>>) -> Payload {
        let pieces = pieces.into_iter().map(Into::into);
        let pieces: Vec<Piece> = pieces.filter(|piece| !piece.bytes.is_empty()).collect();
        let len = pieces.iter().map(|piece| piece.bytes.len()).sum();
        Payload {
            pieces: pieces.into(),
            len,
            written: None,
        }
    }

    /// For who need not wait for the entry's outcome.
    pub fn on_written(mut self, written: Written) -> Payload {
        self.written = Some(written);
        self
    }

    pub(crate) fn written(&self) -> Option<&Written> {
        self.written.as_ref()
    }

    pub(crate) fn forget_written(&mut self) {
        self.written = None;
    }

    pub fn empty() -> Payload {
        Payload {
            pieces: Arc::new([]),
            len: 0,
            written: None,
        }
    }

    /// In bytes, over all pieces.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The bytes of `range`: shared when they lie in one piece, copied otherwise.
    ///
    /// # Panics
    /// When the range does not lie in the payload.
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        assert!(range.start <= range.end, "range is not inverted");
        assert!(range.end <= self.len, "range lies in the payload");
        let mut copied = BytesMut::new();
        let mut chunk_start = 0;
        for chunk in self.pieces.iter().map(|piece| &piece.bytes) {
            let from = range.start.max(chunk_start) - chunk_start;
            let to = range.end.min(chunk_start + chunk.len());
            chunk_start += chunk.len();
            if range.start >= chunk_start {
                continue;
            }
            let part = from..to + chunk.len() - chunk_start;
            if part.len() == range.len() {
                return chunk.slice(part);
            }
            copied.extend_from_slice(&chunk[part]);
            if chunk_start >= range.end {
                break;
            }
        }
        copied.freeze()
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Payload {
        Payload::new([bytes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slice_within_one_piece_shares_its_memory() {
        let piece = Bytes::from_static(b"second");
        let payload = Payload::new(vec![Bytes::from_static(b"first"), piece.clone()]);
        assert_eq!(payload.slice(5..11).as_ptr(), piece.as_ptr());
        assert_eq!(payload.slice(7..9), "co");
    }

    #[test]
    fn a_known_sum_gives_the_same_as_summing() {
        let bytes: Bytes = (0..100_000_u32)
            .map(|n| (n.wrapping_mul(n) >> 7) as u8)
            .collect();
        let tail = Some(TailCrc {
            from: 21,
            crc: weir_crc::crc32c(&bytes[21..]),
        });
        let known = Piece {
            tail,
            ..Piece::from(bytes.clone())
        };
        assert_eq!(known.to_sum().0, 21, "the known sum is used");
        assert_eq!(known.append_crc(7), weir_crc::append(7, &bytes));
        assert_eq!(Piece::from(bytes).append_crc(7), known.append_crc(7));
    }

    proptest! {
        #[test]
        fn slice_equals_slice_of_the_concatenation(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..5), 0..6),
            a in any::<prop::sample::Index>(),
            b in any::<prop::sample::Index>(),
        ) {
            let whole: Vec<u8> = pieces.concat();
            let payload = Payload::new(pieces.into_iter().map(Bytes::from));
            let (a, b) = (a.index(whole.len() + 1), b.index(whole.len() + 1));
            let range = a.min(b)..a.max(b);
            prop_assert_eq!(&payload.slice(range.clone())[..], &whole[range]);
        }
    }
}
