//! An entry's bytes, kept in the pieces in which they arrived.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// One entry's bytes in pieces, so that a request's bytes are not copied on their way to the disk.
/// Cloning shares the pieces.
#[derive(Clone, Debug)]
pub struct Payload {
    chunks: Arc<[Bytes]>,
    len: usize,
}

impl Payload {
    /// The concatenation of `chunks`; empty pieces are dropped.
    pub fn new(mut chunks: Vec<Bytes>) -> Payload {
        chunks.retain(|chunk| !chunk.is_empty());
        let len = chunks.iter().map(Bytes::len).sum();
        Payload {
            chunks: chunks.into(),
            len,
        }
    }

    /// In bytes, over all pieces.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
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
        for chunk in self.chunks.iter() {
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
        Payload::new(vec![bytes])
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

    proptest! {
        #[test]
        fn slice_equals_slice_of_the_concatenation(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..5), 0..6),
            a in any::<prop::sample::Index>(),
            b in any::<prop::sample::Index>(),
        ) {
            let whole: Vec<u8> = pieces.concat();
            let payload = Payload::new(pieces.into_iter().map(Bytes::from).collect());
            let (a, b) = (a.index(whole.len() + 1), b.index(whole.len() + 1));
            let range = a.min(b)..a.max(b);
            prop_assert_eq!(&payload.slice(range.clone())[..], &whole[range]);
        }
    }
}
