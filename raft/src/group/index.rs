//! Where a shard's entries lie: 8 bytes of memory per entry.

use std::collections::VecDeque;

use crate::ids::{Index, Term, WalPos};
use crate::wal::format::{EntryForm, MAX_BODY_LEN};

const LEN_BITS: u32 = 30;
const _: () = assert!(MAX_BODY_LEN == (1 << LEN_BITS) - 1);

/// What the index knows of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    pub term: Term,
    pub form: EntryForm,
    /// Of the body's first byte.
    pub pos: WalPos,
    pub len: u32,
}

/// The places of consecutive entries.
///
/// Invariant: runs are not empty and follow each other without a gap.
#[derive(Debug, Default, Clone)]
pub struct LogIndex {
    runs: VecDeque<Run>,
}

/// Consecutive entries of one term in one file.
#[derive(Debug, Clone)]
struct Run {
    first: Index,
    term: Term,
    file: u64,
    slots: VecDeque<Slot>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    offset: u32,
    /// The form in the upper two bits, the length in the others.
    form_and_len: u32,
}

impl LogIndex {
    pub fn first(&self) -> Option<Index> {
        self.runs.front().map(|run| run.first)
    }

    pub fn last(&self) -> Option<Index> {
        self.runs.back().map(|run| run.end() - 1)
    }

    pub fn get(&self, index: Index) -> Option<Located> {
        let after = self.runs.partition_point(|run| run.first <= index);
        let run = self.runs.get(after.checked_sub(1)?)?;
        let slot = run.slots.get((index - run.first) as usize)?;
        Some(run.located(*slot))
    }

    /// # Panics
    /// When `index` is not the one after the last.
    pub fn push(&mut self, index: Index, entry: Located) {
        if let Some(last) = self.last() {
            assert_eq!(index, last + 1, "entries are consecutive");
        }
        assert!(
            entry.len <= MAX_BODY_LEN,
            "the length leaves room for the form"
        );
        let slot = Slot {
            offset: entry.pos.offset,
            form_and_len: (entry.form as u32) << LEN_BITS | entry.len,
        };
        match self.runs.back_mut() {
            Some(run) if run.term == entry.term && run.file == entry.pos.file => {
                run.slots.push_back(slot);
            }
            _ => self.runs.push_back(Run {
                first: index,
                term: entry.term,
                file: entry.pos.file,
                slots: VecDeque::from([slot]),
            }),
        }
    }

    /// Forgets the entries from `from` on.
    pub fn truncate(&mut self, from: Index) {
        while let Some(run) = self.runs.back_mut() {
            if run.first < from {
                run.slots.truncate((from - run.first) as usize);
                return;
            }
            self.runs.pop_back();
        }
    }

    /// Forgets the entries up to and including `upto`.
    pub fn purge(&mut self, upto: Index) {
        while let Some(run) = self.runs.front_mut() {
            if run.end() > upto + 1 {
                let gone = (upto + 1).saturating_sub(run.first);
                run.slots.drain(..gone as usize);
                run.first += gone;
                return;
            }
            self.runs.pop_front();
        }
    }

    /// The terms and first indexes of runs of entries, ascending.
    pub fn runs(&self) -> impl Iterator<Item = (Term, Index)> {
        self.runs.iter().map(|run| (run.term, run.first))
    }

    /// The first file that holds one of the entries.
    pub fn oldest_file(&self) -> Option<u64> {
        self.runs.iter().map(|run| run.file).min()
    }

    /// Memory held beside the struct itself.
    pub fn heap_bytes(&self) -> usize {
        let slots: usize = self.runs.iter().map(|run| run.slots.capacity()).sum();
        self.runs.capacity() * size_of::<Run>() + slots * size_of::<Slot>()
    }

    /// The last entry in `file` or before it.
    pub fn last_in_file(&self, file: u64) -> Option<Index> {
        let run = self.runs.iter().rfind(|run| run.file <= file)?;
        Some(run.end() - 1)
    }
}

impl Run {
    fn end(&self) -> Index {
        self.first + self.slots.len() as u64
    }

    fn located(&self, slot: Slot) -> Located {
        let form = (slot.form_and_len >> LEN_BITS) as u8;
        Located {
            term: self.term,
            form: EntryForm::decode(form).expect("the index holds known forms"),
            pos: WalPos {
                file: self.file,
                offset: slot.offset,
            },
            len: slot.form_and_len & MAX_BODY_LEN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone)]
    enum Step {
        Push { term: u64, file: u64 },
        Truncate(u64),
        Purge(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0u64..3, 1u64..4).prop_map(|(term, file)| Step::Push { term, file }),
            1 => (0u64..20).prop_map(Step::Truncate),
            1 => (0u64..20).prop_map(Step::Purge),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(steps in proptest::collection::vec(step(), 0..80)) {
            let mut index = LogIndex::default();
            let mut model = BTreeMap::new();
            let mut next = 0;
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push { term, file } => {
                        let entry = Located {
                            term,
                            form: EntryForm::Payload,
                            pos: WalPos { file, offset: n as u32 },
                            len: n as u32,
                        };
                        index.push(next, entry);
                        model.insert(next, entry);
                        next += 1;
                    }
                    Step::Truncate(from) => {
                        index.truncate(from);
                        model.retain(|at, _| *at < from);
                        next = model.keys().last().map_or(next.min(from), |last| last + 1);
                    }
                    Step::Purge(upto) => {
                        index.purge(upto);
                        model.retain(|at, _| *at > upto);
                        next = next.max(upto + 1);
                    }
                }
                prop_assert_eq!(index.first(), model.keys().next().copied());
                prop_assert_eq!(index.last(), model.keys().last().copied());
                for at in 0..next + 2 {
                    prop_assert_eq!(index.get(at), model.get(&at).copied());
                }
                let oldest = model.values().map(|entry| entry.pos.file).min();
                prop_assert_eq!(index.oldest_file(), oldest);
            }
        }
    }
}
