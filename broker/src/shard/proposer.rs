//! The shard leader's one proposer: drains waiting produce requests into one entry for many partitions.
//!
//! Offsets are assigned here, against what is applied plus what is proposed and not yet applied
//! (`Pending`). Openraft may refuse one proposal and accept the next in the same term, so after any
//! refusal, or an outcome that differs from the prediction, the proposer stops, waits until every
//! entry in flight has an outcome, and starts again from the applied state.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::future::{self, BoxFuture};
use futures::stream::{FuturesOrdered, StreamExt};
use prometheus::Histogram;
use tokio::sync::{mpsc, oneshot};
use weir_log::{TimestampType, ValidBatch};
use weir_raft::{Leadership, Outcome, Payload, Piece, Proposal, ProposeError, TailCrc};

use super::entry::{AppendItem, Body, Entry};
use super::host::ShardHost;
use super::pending::{Pending, Staged};
use super::refusals::{Numbered, Refusals};
use crate::partition::{Partition, Stage};
use crate::planted::{self, Bug};

/// An entry is closed once it holds this many bytes of batches.
const ENTRY_BYTES: usize = 1 << 20;
/// While an entry is on its way to those who wait for it, fewer bytes than this wait too, for its outcome or for more
/// (Nagle, RFC 896): an entry costs Raft and the log the same whether it carries one record or fifty.
const SMALL_ENTRY_BYTES: usize = 64 << 10;
/// Bytes of frames whose batches may be proposed and without an outcome.
const IN_FLIGHT_BYTES: usize = 16 << 20;

/// A produce request's batches for this shard.
pub struct Submit {
    /// Without any, it is answered when all that came before has its outcome.
    pub parts: Vec<Part>,
    /// Bytes of the request frame that the batches keep in memory.
    pub frame_bytes: usize,
    /// Append in this term or not at all, for what was decided by state of that term.
    pub term: Option<u64>,
    /// Of the connection that it came on.
    pub refusals: Arc<Refusals>,
    pub reply: oneshot::Sender<Vec<PartResult>>,
}

impl Submit {
    fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.batch.bytes.len()).sum()
    }
}

pub struct Part {
    pub partition: Arc<Partition>,
    pub batch: ValidBatch,
    pub ack: Ack,
}

impl Part {
    /// Notes that it is going to be refused.
    pub fn note_in(&self, refusals: &Refusals) {
        if let Some(batch) = self.numbered() {
            refusals.note(batch);
        }
    }

    fn numbered(&self) -> Option<Numbered> {
        Numbered::of(self.partition.id, &self.batch.header)
    }
}

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// Durable on a majority, and applied.
    Committed,
    /// In the write-ahead log of this node, not synced (`write.caching`), where no other node votes. Where others do, one
    /// of them may lead next, so this is the same as `Committed`.
    Written,
}

pub type PartResult = Result<Appended, AppendError>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: i64,
    /// -1 unless the broker set the records' timestamps.
    pub log_append_time_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("this node does not lead the partition's shard; refresh metadata and retry")]
    NotLeader,
    #[error("the records were handed to the log and their outcome is not known")]
    Unknown,
    #[error("the topic was deleted while the records were on their way")]
    Detached,
    #[error(transparent)]
    Producer(#[from] weir_log::ProducerError),
}

impl AppendError {
    /// Whether an idempotent producer sends the batch again as it is.
    fn comes_again(&self) -> bool {
        match self {
            AppendError::NotLeader | AppendError::Unknown => true,
            AppendError::Detached | AppendError::Producer(_) => false,
        }
    }
}

/// Runs until the queue is closed.
pub async fn run(
    shard: Arc<ShardHost>,
    queue: mpsc::UnboundedReceiver<Submit>,
    commit_seconds: Histogram,
) {
    let leadership = shard.watch_leadership();
    let (written_sender, written) = mpsc::unbounded_channel();
    let mut proposer = Proposer {
        shard,
        waiting: VecDeque::new(),
        waiting_bytes: 0,
        pending: Pending::default(),
        requests: VecDeque::new(),
        next_request: 0,
        in_flight: FuturesOrdered::new(),
        flying: VecDeque::new(),
        in_flight_bytes: 0,
        written: written_sender,
        next_entry: 0,
        term: 0,
        draining: false,
        commit_seconds,
    };
    proposer.run(queue, written, leadership).await;
}

struct Proposer {
    shard: Arc<ShardHost>,
    /// What is to be proposed next, and the bytes of its batches; it has no offsets yet.
    waiting: VecDeque<(Submit, usize)>,
    /// Of all of them.
    waiting_bytes: usize,
    pending: Pending,
    /// Requests that wait for outcomes, oldest first; `requests[0]` has the number `next_request - len`.
    requests: VecDeque<Option<Request>>,
    next_request: u64,
    in_flight: FuturesOrdered<BoxFuture<'static, Result<Outcome, ProposeError>>>,
    /// What `in_flight` is about, oldest first.
    flying: VecDeque<Flying>,
    in_flight_bytes: usize,
    /// Tells the number of an entry that is written.
    written: mpsc::UnboundedSender<u64>,
    next_entry: u64,
    /// The term in which `pending` was built.
    term: u64,
    /// A prediction failed: nothing is proposed until every entry in flight has its outcome.
    draining: bool,
    commit_seconds: Histogram,
}

struct Request {
    slots: Vec<Slot>,
    missing: usize,
    refusals: Arc<Refusals>,
    reply: oneshot::Sender<Vec<PartResult>>,
}

/// A part of a request, and its outcome once there is one.
struct Slot {
    batch: Option<Numbered>,
    result: Option<PartResult>,
}

/// One part of a request that waits for an entry: its own append, or a duplicate of a pending one.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub request: u64,
    pub part: usize,
    pub appended: Appended,
}

/// An item of an entry in flight and who waits for it.
struct Item {
    partition: Arc<Partition>,
    waiting: Waiting,
    ack: Ack,
    answered: bool,
}

struct Flying {
    entry: u64,
    bytes: usize,
    items: Vec<Item>,
    /// Who waits for no batch of its own, but for all up to here.
    also: Vec<oneshot::Sender<Vec<PartResult>>>,
}

impl Flying {
    /// Whether nobody waits for its outcome any more.
    fn is_answered(&self) -> bool {
        self.items.iter().all(|item| item.answered)
    }
}

/// What one entry collects before it is proposed.
#[derive(Default)]
struct Draft {
    items: Vec<Item>,
    also: Vec<oneshot::Sender<Vec<PartResult>>>,
    append: Vec<AppendItem>,
    batches: Vec<Piece>,
    bytes: usize,
    /// Of the frames that its batches keep in memory.
    held_bytes: usize,
}

impl Proposer {
    async fn run(
        &mut self,
        mut queue: mpsc::UnboundedReceiver<Submit>,
        mut written: mpsc::UnboundedReceiver<u64>,
        mut leadership: tokio::sync::watch::Receiver<Leadership>,
    ) {
        loop {
            while self.waiting_bytes < ENTRY_BYTES
                && let Ok(submit) = queue.try_recv()
            {
                self.wait(submit);
            }
            tokio::select! {
                biased;
                Some(outcome) = self.in_flight.next(), if !self.in_flight.is_empty() => self.complete(&outcome),
                Some(entry) = written.recv() => self.written(entry),
                () = future::ready(()), if self.is_time() => {
                    let now = *leadership.borrow_and_update();
                    let open = self.enter(now);
                    self.propose_waiting(open).await;
                }
                submit = queue.recv(), if self.waiting_bytes < ENTRY_BYTES => match submit {
                    Some(submit) => self.wait(submit),
                    None => return,
                },
            }
        }
    }

    fn wait(&mut self, submit: Submit) {
        let bytes = submit.bytes();
        self.waiting_bytes += bytes;
        self.waiting.push_back((submit, bytes));
    }

    /// Whether what waits is to be proposed now.
    fn is_time(&self) -> bool {
        let enough = self.waiting_bytes >= SMALL_ENTRY_BYTES
            || self.flying.back().is_none_or(Flying::is_answered);
        let room = !self.draining && self.in_flight_bytes < IN_FLIGHT_BYTES;
        !self.waiting.is_empty() && enough && room
    }

    /// Whether produce is open. Predictions of one term never mix with those of another: a new
    /// term opens once nothing of the old one is in flight.
    fn enter(&mut self, now: Leadership) -> bool {
        if now.term != self.term && self.in_flight.is_empty() {
            if !planted::has(Bug::PendingKept) {
                self.pending.clear();
            }
            self.term = now.term;
        }
        now.open && now.term == self.term
    }

    /// Proposes what waits, up to an entry's size.
    async fn propose_waiting(&mut self, open: bool) {
        let mut draft = Draft::default();
        while draft.bytes < ENTRY_BYTES
            && let Some((submit, bytes)) = self.waiting.pop_front()
        {
            self.waiting_bytes -= bytes;
            self.stage(submit, &mut draft, open);
        }
        if !draft.items.is_empty() {
            self.propose(draft).await;
        }
    }

    fn stage(&mut self, submit: Submit, draft: &mut Draft, open: bool) {
        if submit.parts.is_empty() {
            self.wait_for_all(submit.reply, draft);
            return;
        }
        let number = self.next_request;
        self.next_request += 1;
        let slot = |part: &Part| Slot {
            batch: part.numbered(),
            result: None,
        };
        let refusals = submit.refusals;
        self.requests.push_back(Some(Request {
            slots: submit.parts.iter().map(slot).collect(),
            missing: submit.parts.len(),
            refusals: refusals.clone(),
            reply: submit.reply,
        }));
        let open = open && submit.term.is_none_or(|term| term == self.term);
        let staged_before = draft.items.len();
        for (index, part) in submit.parts.into_iter().enumerate() {
            if !open || part.partition.stage() != Stage::Open || self.follows(&part, &refusals) {
                self.answer(number, index, Err(AppendError::NotLeader));
                continue;
            }
            // A duplicate's answer names the batch's timestamp whatever its type, as Kafka's does.
            let duplicate = |base_offset, log_append_time_ms| Appended {
                base_offset,
                log_append_time_ms,
            };
            let appended = |base_offset, timestamp| Appended {
                base_offset,
                log_append_time_ms: match part.batch.header.timestamp_type() {
                    TimestampType::LogAppendTime => timestamp,
                    TimestampType::CreateTime => -1,
                },
            };
            match self
                .pending
                .stage(&part.partition, &part.batch.header, self.next_entry)
            {
                Ok(Staged::Append { base_offset }) => {
                    let appended = appended(base_offset, part.batch.header.max_timestamp);
                    let waiting = Waiting {
                        request: number,
                        part: index,
                        appended,
                    };
                    draft.push(part, waiting, self.term);
                }
                Ok(Staged::Duplicate {
                    base_offset,
                    timestamp,
                }) => {
                    self.answer(number, index, Ok(duplicate(base_offset, timestamp)));
                }
                Ok(Staged::Pending {
                    entry,
                    base_offset,
                    timestamp,
                }) => {
                    let waiting = Waiting {
                        request: number,
                        part: index,
                        appended: duplicate(base_offset, timestamp),
                    };
                    self.pending.join(entry, part.partition.handle, waiting);
                }
                Err(error) => self.answer(number, index, Err(error.into())),
            }
        }
        if draft.items.len() > staged_before {
            draft.holds(submit.frame_bytes);
        }
    }

    /// Whether a part follows a batch that was refused and has not come again.
    fn follows(&self, part: &Part, refusals: &Refusals) -> bool {
        let Some(batch) = part.numbered() else {
            return false;
        };
        let (partition, producer_id) = (&*part.partition, part.batch.header.producer_id);
        let stored = || partition.log.read().producers().overlay(producer_id);
        // Another node may have refused the first of a producer. What costs least comes first: mostly it ends there.
        let lacks_first = || {
            partition.had_other_leaders(self.term)
                && self.pending.is_new(partition, producer_id)
                && !partition.is_led_here_only()
        };
        refusals.precede(&batch, stored, lacks_first)
    }

    /// Answers when all that was staged has its outcome.
    fn wait_for_all(&mut self, reply: oneshot::Sender<Vec<PartResult>>, draft: &mut Draft) {
        if !draft.items.is_empty() {
            draft.also.push(reply);
        } else if let Some(last) = self.flying.back_mut() {
            last.also.push(reply);
        } else {
            // Nobody may wait any more.
            let _ = reply.send(Vec::new());
        }
    }

    async fn propose(&mut self, draft: Draft) {
        let entry = self.next_entry;
        self.next_entry += 1;
        let Draft {
            items,
            also,
            append,
            mut batches,
            held_bytes: bytes,
            ..
        } = draft;
        let head = Entry {
            time_ms: self.shard.entry_time_ms(),
            body: Body::Append(append),
        }
        .encode_head();
        batches.insert(0, head.into());
        self.in_flight_bytes += bytes;
        let mut payload = Payload::new(batches);
        let alone = || planted::has(Bug::AckBeforeCommit) || self.shard.raft().has_one_voter();
        if items.iter().any(|item| item.ack == Ack::Written) && alone() {
            let written = self.written.clone();
            payload = payload.on_written(Arc::new(move || {
                // Nobody listens once the node stops.
                let _ = written.send(entry);
            }));
        }
        self.flying.push_back(Flying {
            entry,
            bytes,
            items,
            also,
        });
        let timer = self.commit_seconds.start_timer();
        let proposal: Result<Proposal, ProposeError> =
            self.shard.raft().propose(self.term, payload).await;
        self.in_flight.push_back(Box::pin(async move {
            let outcome = match proposal {
                Ok(proposal) => proposal.await.map(|(_, outcome)| outcome),
                Err(error) => Err(error),
            };
            timer.observe_duration();
            outcome
        }));
    }

    /// An entry is in this node's write-ahead log: who does not wait for more is answered.
    fn written(&mut self, entry: u64) {
        let first = self.next_entry - self.flying.len() as u64;
        let index = entry.checked_sub(first);
        let Some(flying) = index.and_then(|index| self.flying.get_mut(index as usize)) else {
            return;
        };
        let mut answers = Vec::new();
        for item in flying.items.iter_mut() {
            if item.ack == Ack::Written && !item.answered {
                item.answered = true;
                answers.push(item.waiting);
            }
        }
        for waiting in answers {
            self.answer(waiting.request, waiting.part, Ok(waiting.appended));
        }
    }

    /// An entry has its outcome: its requests are answered, and a surprise starts the drain.
    fn complete(&mut self, outcome: &Result<Outcome, ProposeError>) {
        let done = self
            .flying
            .pop_front()
            .expect("an outcome is of an entry in flight");
        self.in_flight_bytes -= done.bytes;
        let rejected: &[u32] = match outcome {
            Ok(Outcome::Partly(parts)) => parts,
            _ => &[],
        };
        let surprise = !matches!(outcome, Ok(Outcome::Applied));
        for (index, item) in done.items.iter().enumerate() {
            let result = match outcome {
                Ok(Outcome::Applied | Outcome::Partly(_))
                    if !rejected.contains(&(index as u32)) =>
                {
                    Ok(item.waiting.appended)
                }
                Ok(_) if item.partition.is_detached() => Err(AppendError::Detached),
                // It moves to another shard, or was to follow an entry that was not appended, as where the leader has changed.
                Ok(_) => Err(AppendError::NotLeader),
                Err(ProposeError::NotLeader { .. }) => Err(AppendError::NotLeader),
                Err(_) => Err(AppendError::Unknown),
            };
            for joined in self.pending.joined(done.entry, item.partition.handle) {
                self.answer(
                    joined.request,
                    joined.part,
                    result.clone().map(|_| joined.appended),
                );
            }
            if !(surprise && planted::has(Bug::PendingKept)) {
                let base_offset = item.waiting.appended.base_offset;
                self.pending.settle(item.partition.handle, base_offset);
            }
            if !item.answered {
                self.answer(item.waiting.request, item.waiting.part, result);
            }
        }
        for reply in done.also {
            let _ = reply.send(Vec::new());
        }
        self.draining |= surprise;
        if self.in_flight.is_empty() && self.draining {
            if !planted::has(Bug::PendingKept) {
                self.pending.clear();
            }
            self.draining = false;
        }
    }

    fn answer(&mut self, number: u64, part: usize, result: PartResult) {
        let first = self.next_request - self.requests.len() as u64;
        let slot = &mut self.requests[(number - first) as usize];
        let request = slot.as_mut().expect("a request is answered once");
        let of_part = &mut request.slots[part];
        if let (Some(batch), Err(error)) = (of_part.batch, &result)
            && error.comes_again()
        {
            request.refusals.note(batch);
        }
        of_part.result = Some(result);
        request.missing -= 1;
        if request.missing == 0 {
            let request = slot.take().expect("just used");
            let results = request
                .slots
                .into_iter()
                .map(|slot| slot.result.expect("none is missing"))
                .collect();
            // The connection may be gone; the append stands.
            let _ = request.reply.send(results);
        }
        while matches!(self.requests.front(), Some(None)) {
            self.requests.pop_front();
        }
    }
}

impl Draft {
    fn push(&mut self, part: Part, waiting: Waiting, term: u64) {
        let leader_epoch = part.partition.epoch_in(term);
        let base_offset = waiting.appended.base_offset;
        let mut bytes = part.batch.bytes;
        weir_log::assign(&mut bytes, base_offset, leader_epoch);
        let len = u32::try_from(bytes.len()).expect("a batch is smaller than a frame");
        self.bytes += bytes.len();
        self.append.push(AppendItem {
            partition: part.partition.id,
            base_offset,
            leader_epoch,
            len,
        });
        // Validation has compared it with the bytes.
        let tail = Some(TailCrc {
            from: weir_log::CRC_FROM,
            crc: part.batch.header.crc,
        });
        let bytes = bytes.freeze();
        self.batches.push(Piece {
            bytes,
            tail,
            held_bytes: 0,
        });
        self.items.push(Item {
            partition: part.partition,
            waiting,
            ack: match planted::has(Bug::AckBeforeCommit) {
                true => Ack::Written,
                false => part.ack,
            },
            answered: false,
        });
    }

    /// The last batch answers for what keeps those of its frame in memory.
    fn holds(&mut self, frame_bytes: usize) {
        self.held_bytes += frame_bytes;
        let last = self.batches.last_mut().expect("a batch was staged");
        last.held_bytes = frame_bytes;
    }
}

#[cfg(test)]
mod tests;
