//! Picks whole batches for one read, within its offsets and its bytes.

use crate::batch::{BatchError, Offset, batches};
use bytes::Bytes;

/// What a read asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRequest {
    /// The read starts with the batch that contains this offset.
    pub from: Offset,
    /// Exclusive; no batch that reaches it is returned.
    pub upper: Offset,
    pub max_bytes: usize,
    /// Whether the first batch is returned even above `max_bytes`. Source: KIP-74.
    pub at_least_one: bool,
}

/// The batches of a read so far.
#[derive(Debug)]
pub(crate) struct Gather {
    next: Offset,
    upper: Offset,
    left: usize,
    at_least_one: bool,
    full: bool,
    taken: Vec<Bytes>,
}

impl Gather {
    pub(crate) fn new(request: &ReadRequest) -> Gather {
        Gather {
            next: request.from,
            upper: request.upper,
            left: request.max_bytes,
            at_least_one: request.at_least_one,
            full: false,
            taken: Vec::new(),
        }
    }

    /// Whether no later batch can be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.full || self.left == 0 && !self.taken.is_empty()
    }

    /// The offset that the next batch has to reach.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    /// Whether reading `len` more bytes is worth it: what does not fit would be read again by the next request. The
    /// read ends before bytes that are not wanted, or what comes behind them would be taken without them.
    pub(crate) fn wants(&mut self, len: usize) -> bool {
        self.full |= !self.taken.is_empty() && len > self.left;
        !self.full
    }

    /// Bytes that may still be taken.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn upper(&self) -> Offset {
        self.upper
    }

    pub(crate) fn into_batches(self) -> Vec<Bytes> {
        self.taken
    }

    /// Takes what fits of consecutive whole batches with the offsets `base` to `last`, inclusive.
    pub(crate) fn take(
        &mut self,
        run: &Bytes,
        base: Offset,
        last: Offset,
    ) -> Result<(), BatchError> {
        if self.full || last < self.next {
            return Ok(());
        }
        // Most runs are wanted as a whole, and then nobody looks at their headers.
        if base >= self.next && last < self.upper && run.len() <= self.left {
            self.left -= run.len();
            self.next = last + 1;
            self.taken.push(run.clone());
            return Ok(());
        }
        self.take_part(run)
    }

    /// Goes on behind `last`: every batch up to there was offered.
    pub(crate) fn pass(&mut self, last: Offset) {
        if !self.full {
            self.next = self.next.max(last + 1);
        }
    }

    fn take_part(&mut self, run: &Bytes) -> Result<(), BatchError> {
        let mut part = None;
        for found in batches(run) {
            let (header, range) = found?;
            if header.last_offset() < self.next {
                continue;
            }
            let first = self.taken.is_empty() && part.is_none();
            let fits = range.len() <= self.left || first && self.at_least_one;
            if header.last_offset() >= self.upper || !fits {
                self.full = true;
                break;
            }
            self.left = self.left.saturating_sub(range.len());
            self.next = header.last_offset() + 1;
            let start = part.map_or(range.start, |(start, _)| start);
            part = Some((start, range.end));
        }
        if let Some((start, end)) = part {
            self.taken.push(run.slice(start..end));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::BatchBuilder;
    use crate::compression::Codec;

    fn batch(offset: Offset) -> Bytes {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.append(0, None, Some(b"value"), &[]);
        let mut batch = builder.build().unwrap();
        crate::assign(&mut batch, offset, 0);
        batch.freeze()
    }

    #[test]
    fn nothing_is_taken_behind_what_was_not_wanted() {
        let mut gather = Gather::new(&ReadRequest {
            from: 0,
            upper: 100,
            max_bytes: 500,
            at_least_one: true,
        });
        assert!(gather.wants(5000), "the first one is read in any case");
        gather.take(&batch(0), 0, 0).unwrap();
        assert!(gather.wants(100) && !gather.is_full());
        assert!(!gather.wants(5000));
        gather.take(&batch(9), 9, 9).unwrap();
        assert!(gather.is_full());
        assert_eq!(gather.into_batches(), [batch(0)]);
    }
}
