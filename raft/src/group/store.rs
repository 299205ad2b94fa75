//! openraft's log store.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};

use super::index::Located;
use super::state::StoredVote;
use super::types::{
    Entry, EntryPayload, Held, LeaderId, LogId, TypeConfig, Vote, log_id, term_and_index,
};
use super::{Group, body, membership};
use crate::payload::Payload;
use crate::planted::{self, Bug};
use crate::wal::format::{EntryForm, Kind};
use crate::wal::{Done, Record};

/// Payload bytes in one message to a follower; one entry may be longer.
const MESSAGE_BYTES: usize = 4 << 20;
/// The same, to a follower that is sent what it lacks at the node's pace: what it syncs at once, others may wait for.
const PACED_MESSAGE_BYTES: usize = 512 << 10;

/// A follower that lacks more than this is sent it at the node's pace.
const BEHIND_BYTES: u64 = 32 << 20;

/// Payload bytes that are read ahead of a replay at the start.
const READ_AHEAD_BYTES: usize = 4 << 20;

#[derive(Clone)]
pub struct Store(pub Arc<Group>);

impl Store {
    fn entries(&self, range: impl RangeBounds<u64>) -> io::Result<Vec<Entry>> {
        let log = self.0.log.lock();
        let Some((first, last)) = log.index.first().zip(log.index.last()) else {
            return Ok(Vec::new());
        };
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let mut found = Vec::new();
        for index in from.max(first)..end.min(last + 1) {
            let located = log.index.get(index).expect("the index has no gap");
            found.push((index, located, log.held(index).cloned()));
        }
        drop(log);
        let entries = found.into_iter().map(|(index, located, held)| {
            Ok(Entry {
                log_id: log_id(located.term, index),
                payload: self.0.payload(located, held.as_ref())?,
            })
        });
        entries.collect()
    }

    /// Where a message that begins at `start` ends, and its bytes: as many entries as go into so many, at least one.
    fn message(&self, start: u64, end: u64, limit: usize) -> (u64, usize) {
        let log = self.0.log.lock();
        let mut bytes = 0;
        let mut stop = start;
        while stop < end && (stop == start || bytes < limit) {
            let Some(located) = log.index.get(stop) else {
                break;
            };
            bytes += located.len as usize;
            stop += 1;
        }
        (stop, bytes)
    }

    /// Whether a follower that lacks everything from `start` on is to be sent it at the node's pace: who is served
    /// meanwhile is not to wait for it, but for its ack, where no majority is without it.
    fn is_paced(&self, start: u64) -> bool {
        let pos = self.0.end_of(start);
        pos.is_some_and(|pos| self.0.wal.bytes_after(pos) > BEHIND_BYTES)
            && !self.0.lacks_majority()
    }

    /// Reads payloads that are not in memory, until `budget` bytes are read.
    async fn load(&self, mut entries: Vec<Entry>, budget: usize) -> io::Result<Vec<Entry>> {
        if !entries.iter().any(is_in_wal) {
            return Ok(entries);
        }
        let group = self.0.clone();
        let wal = &self.0.wal;
        wal.unblock(move || {
            let missing = entries.iter_mut().filter(|entry| is_in_wal(entry));
            let missing = missing.filter_map(|entry| match &mut entry.payload {
                EntryPayload::Normal(data) => Some(data),
                EntryPayload::Blank | EntryPayload::Membership(_) => None,
            });
            group.load_all(missing, budget)?;
            Ok(entries)
        })
        .await
    }

    /// Submits records and returns when they are durable.
    async fn write(
        &self,
        record: Record,
        change: impl FnOnce(&mut super::LogState, u64),
    ) -> io::Result<()> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        {
            let mut log = self.0.log.lock();
            let positions = self.0.wal.submit([record], done)?;
            change(&mut log, positions[0].file);
        }
        receiver.await.map_err(io::Error::other)??;
        Ok(())
    }

    /// Submits a record whose order matters and nothing else.
    fn submit(
        &self,
        record: Record,
        change: impl FnOnce(&mut super::LogState, u64),
    ) -> io::Result<()> {
        let mut log = self.0.log.lock();
        let positions = self.0.wal.submit([record], Box::new(|_| {}))?;
        change(&mut log, positions[0].file);
        Ok(())
    }
}

fn is_in_wal(entry: &Entry) -> bool {
    match &entry.payload {
        EntryPayload::Normal(data) => matches!(data.bytes, Held::InWal(_)),
        EntryPayload::Blank | EntryPayload::Membership(_) => false,
    }
}

/// An entry's payload as the WAL stores it.
fn stored(payload: &EntryPayload) -> (EntryForm, Payload) {
    match payload {
        EntryPayload::Blank => (EntryForm::Blank, Payload::empty()),
        EntryPayload::Membership(members) => {
            (EntryForm::Membership, body(membership::encode(members)))
        }
        EntryPayload::Normal(data) => match &data.bytes {
            Held::InMemory(payload) => (EntryForm::Payload, payload.clone()),
            Held::InWal(_) => unreachable!("an entry is loaded before it is sent to another log"),
        },
    }
}

impl RaftLogReader<TypeConfig> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let entries = self.entries(range)?;
        // What is left out here is read when it is applied.
        self.load(entries, READ_AHEAD_BYTES).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let mut limit = MESSAGE_BYTES;
        if self.is_paced(start) {
            limit = PACED_MESSAGE_BYTES;
            let (_, bytes) = self.message(start, end, limit);
            self.0.wal.turn_to_give(bytes as u64).await;
        }
        let (stop, _) = self.message(start, end, limit);
        let entries = self.entries(start..stop)?;
        self.load(entries, usize::MAX).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let vote = self.0.log.lock().vote;
        Ok(vote.map(|vote| Vote {
            leader_id: LeaderId {
                term: vote.term,
                voted_for: vote.node,
            },
            committed: vote.won,
        }))
    }
}

impl RaftLogStorage<TypeConfig> for Store {
    type LogReader = Store;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let log = self.0.log.lock();
        Ok(LogState {
            last_purged_log_id: log.purged.map(|(term, index)| log_id(term, index)),
            last_log_id: log.last().map(|(term, index)| log_id(term, index)),
        })
    }

    async fn get_log_reader(&mut self) -> Store {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = StoredVote {
            term: vote.leader_id.term,
            node: vote.leader_id.voted_for,
            won: vote.committed,
        };
        let kind = Kind::Vote {
            term: vote.term,
            node: vote.node,
            won: vote.won,
        };
        let record = self.0.record(kind);
        if planted::has(Bug::VoteNotSynced) {
            return self.submit(record, |log, file| {
                log.vote = Some(vote);
                log.control_written(file);
            });
        }
        if planted::has(Bug::VoteAfterLog) {
            self.0.log.lock().vote = Some(vote);
            let late = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                late.submit(record, |log, file| log.control_written(file))
            });
            return Ok(());
        }
        self.write(record, |log, file| {
            log.vote = Some(vote);
            log.control_written(file);
        })
        .await
    }

    /// Remembered, and written with the next group: a commit position that is lost is found again.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let upto = committed.as_ref().map(term_and_index);
        self.0.log.lock().committed = upto;
        self.0.wal.note_committed(self.0.shard, upto);
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        let committed = self.0.log.lock().committed;
        Ok(committed.map(|(term, index)| log_id(term, index)))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<(Entry, EntryForm, Payload)> = entries
            .into_iter()
            .map(|entry| {
                let (form, body) = stored(&entry.payload);
                (entry, form, body)
            })
            .collect();
        let bytes = entries.iter().map(|(_, _, body)| body.len()).sum();
        let room = self.0.wal.room(bytes).await;
        let done: Done = match planted::has(Bug::AckBeforeSync) {
            true => {
                callback.io_completed(Ok(()));
                Box::new(move |_| drop(room))
            }
            false => Box::new(move |result| {
                drop(room);
                callback.io_completed(result.map_err(io::Error::from));
            }),
        };
        let records = entries.iter().map(|(entry, form, body)| {
            let (term, index) = term_and_index(&entry.log_id);
            let form = *form;
            Record {
                shard: self.0.shard,
                kind: Kind::Entry { form, term, index },
                body: body.clone(),
            }
        });
        let mut log = self.0.log.lock();
        let positions = self.0.wal.submit(records, done)?;
        for ((mut entry, form, body), pos) in entries.into_iter().zip(positions) {
            let (term, index) = term_and_index(&entry.log_id);
            if let EntryPayload::Normal(data) = &mut entry.payload {
                data.pos = pos;
                data.forget_written();
            }
            let len = body.len() as u32;
            log.push(
                index,
                Located {
                    term,
                    form,
                    pos,
                    len,
                },
                entry.payload,
            );
        }
        log.release(self.0.wal.durable());
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let after = last.as_ref().map(term_and_index);
        if planted::has(Bug::TruncationNotRecorded) {
            let from = after.map_or(0, |(_, index)| index + 1);
            self.0.log.lock().truncate(from);
            return Ok(());
        }
        let record = self.0.record(Kind::Truncate { after });
        self.submit(record, |log, _| {
            log.truncate(after.map_or(0, |(_, index)| index + 1));
        })
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let upto = term_and_index(&upto);
        let record = self.0.record(Kind::Purge { upto });
        self.submit(record, |log, file| {
            log.purge(upto);
            log.control_written(file);
        })
    }
}
