//! One shard's log as this node holds it: the index of its entries, the payloads that are still
//! needed in memory, the vote and the watermarks.

use std::collections::VecDeque;

use super::index::{Located, LogIndex};
use super::sole_voter::SoleVoter;
use super::types::EntryPayload;
use crate::ids::{Index, Term, WalPos};
use crate::planted::{self, Bug};
use crate::wal::format::{EntryForm, Kind, RECORD_HEADER_LEN, RecordHeader};

/// A vote as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredVote {
    pub term: Term,
    pub node: u64,
    /// Whether a quorum granted it.
    pub won: bool,
}

/// Invariant: `held` are the payloads of the last `held.len()` entries of `index`.
#[derive(Default)]
pub struct LogState {
    pub index: LogIndex,
    pub vote: Option<StoredVote>,
    pub committed: Option<(Term, Index)>,
    pub purged: Option<(Term, Index)>,
    pub sole_voter: SoleVoter,
    held: VecDeque<EntryPayload>,
    applied: Option<Index>,
    /// The file of the oldest record that the vote or a watermark rests on.
    control_file: Option<u64>,
}

impl LogState {
    /// Replays a record that recovery found.
    pub fn replay(&mut self, header: &RecordHeader) -> Result<(), String> {
        match header.kind {
            Kind::Entry { form, term, index } => {
                let mut back = Vec::new();
                if self.index.last().is_some_and(|last| index <= last) {
                    if planted::has(Bug::IndexOverLog) {
                        return Ok(());
                    }
                    if planted::has(Bug::TruncationNotRecorded) {
                        let after = index + 1..=self.index.last().unwrap_or(0);
                        back.extend(after.filter_map(|index| self.index.get(index)));
                    }
                    self.truncate(index);
                }
                if let Some(expected) = self.next_index()
                    && index != expected
                {
                    let shard = header.shard;
                    return Err(format!(
                        "it holds entry {index} of shard {shard}, but entry {expected} is next"
                    ));
                }
                let pos = WalPos {
                    file: header.at.file,
                    offset: header.at.offset + RECORD_HEADER_LEN,
                };
                let len = header.body_len;
                self.enter(
                    index,
                    Located {
                        term,
                        form,
                        pos,
                        len,
                    },
                );
                for (place, located) in back.into_iter().enumerate() {
                    self.enter(index + 1 + place as u64, located);
                }
            }
            Kind::Vote { term, node, won } => {
                self.vote = Some(StoredVote { term, node, won });
                self.control_written(header.at.file);
            }
            Kind::Truncate { .. } if planted::has(Bug::IndexOverLog) => {}
            Kind::Truncate { after } => self.truncate(after.map_or(0, |(_, index)| index + 1)),
            Kind::Purge { upto } => {
                self.purge(upto);
                self.control_written(header.at.file);
            }
            Kind::Committed { upto } => self.committed = upto,
            Kind::Watermark { .. } | Kind::Start { .. } => {}
        }
        Ok(())
    }

    /// Checks what only the whole replay shows.
    pub fn validate(&self) -> Result<(), String> {
        let expected = self.purged.map_or(0, |(_, index)| index + 1);
        match self.index.first() {
            Some(first) if first != expected => Err(format!(
                "the oldest entry is {first}, but entries from {expected} on were not purged"
            )),
            _ => Ok(()),
        }
    }

    /// The index that the next entry must have. Any may follow when there is none yet, also above what
    /// is known to be purged: the files between may be retired, and the purge that allowed it be noted
    /// in a later one. `validate` looks at that once all is replayed.
    fn next_index(&self) -> Option<Index> {
        self.index.last().map(|last| last + 1)
    }

    /// The last entry, or the last one that was purged.
    pub fn last(&self) -> Option<(Term, Index)> {
        match self.index.last() {
            Some(last) => {
                let located = self
                    .index
                    .get(last)
                    .expect("the last entry is in the index");
                Some((located.term, last))
            }
            None => self.purged,
        }
    }

    /// Adds an entry that was just submitted.
    pub fn push(&mut self, index: Index, located: Located, payload: EntryPayload) {
        self.enter(index, located);
        self.held.push_back(payload);
    }

    fn enter(&mut self, index: Index, located: Located) {
        self.index.push(index, located);
        if located.form == EntryForm::Membership {
            self.sole_voter.appended(index);
        }
    }

    /// The payload of an entry, if it is still in memory.
    pub fn held(&self, index: Index) -> Option<&EntryPayload> {
        let first = self.first_held()?;
        self.held.get(index.checked_sub(first)? as usize)
    }

    fn first_held(&self) -> Option<Index> {
        Some(self.index.last()? + 1 - self.held.len() as u64)
    }

    /// Forgets the entries from `from` on.
    pub fn truncate(&mut self, from: Index) {
        if let Some(first) = self.first_held() {
            self.held.truncate(from.saturating_sub(first) as usize);
        }
        self.index.truncate(from);
        self.sole_voter.truncated(from);
    }

    /// Forgets the entries up to and including `upto`.
    pub fn purge(&mut self, upto: (Term, Index)) {
        if let Some(first) = self.first_held() {
            let gone = (upto.1 + 1).saturating_sub(first) as usize;
            self.held.drain(..gone.min(self.held.len()));
        }
        self.index.purge(upto.1);
        self.purged = self.purged.max(Some(upto));
    }

    pub fn set_applied(&mut self, applied: Index) {
        self.applied = self.applied.max(Some(applied));
    }

    /// Drops payloads from memory that are applied and can be read from the WAL.
    pub fn release(&mut self, durable: WalPos) {
        let Some(mut index) = self.first_held() else {
            return;
        };
        while !self.held.is_empty() && self.applied.is_some_and(|applied| index <= applied) {
            let located = self
                .index
                .get(index)
                .expect("held entries are in the index");
            let end = WalPos {
                file: located.pos.file,
                offset: located.pos.offset + located.len,
            };
            if end > durable {
                return;
            }
            self.held.pop_front();
            index += 1;
        }
    }

    /// Notes that a control record was written to `file`.
    pub fn control_written(&mut self, file: u64) {
        self.control_file.get_or_insert(file);
    }

    /// Notes that all control records were written again, to `file` or later.
    pub fn control_moved(&mut self, file: u64) {
        self.control_file = Some(file);
    }

    /// The oldest file that holds an entry.
    pub fn oldest_entry_file(&self) -> Option<u64> {
        self.index.oldest_file()
    }

    /// Whether a file before `file` holds the vote or a watermark.
    pub fn control_before(&self, file: u64) -> bool {
        self.control_file.is_some_and(|control| control < file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;
    use crate::wal::format::EntryForm;

    fn replayed(kinds: &[Kind]) -> Result<LogState, String> {
        let mut log = LogState::default();
        for (number, kind) in (0..).zip(kinds) {
            log.replay(&RecordHeader {
                kind: *kind,
                shard: ShardId(1),
                at: WalPos {
                    file: 1,
                    offset: 64 + number * 64,
                },
                body_len: 0,
                body_crc: 0,
                durable: WalPos::ZERO,
            })?;
        }
        log.validate().map(|()| log)
    }

    fn entry(index: Index) -> Kind {
        Kind::Entry {
            form: EntryForm::Blank,
            term: 1,
            index,
        }
    }

    #[test]
    fn files_between_an_old_purge_and_its_successor_may_be_retired() {
        let (old, new) = (
            Kind::Purge { upto: (1, 87) },
            Kind::Purge { upto: (1, 128) },
        );
        let log = replayed(&[old, entry(129), entry(130), new]).expect("sound");
        assert_eq!((log.index.first(), log.last()), (Some(129), Some((1, 130))));
        // Without it, entries are missing.
        assert!(replayed(&[old, entry(129), entry(130)]).is_err());
        assert!(replayed(&[old, entry(88), entry(130), new]).is_err());
    }
}
