//! A partition moves from one shard to another: the leader of the shard that it goes to brings it there.
//!
//! 1. *Arrive*: the shard begins to carry it, empty and not served.
//! 2. *Carry*: its batches are asked of the leader that serves it and put through the shard's own log, so that every
//!    replica has them as it has everything else, whichever of them fails. Of a table the rows are folded as it comes, on
//!    every replica (`tables::hub`).
//! 3. *Seal*: when little is missing, of the rows too, the metadata says that there is no way back, and the shard that
//!    serves it appends nothing more. What it knows of producers and epochs does not change any more, and the rest is
//!    carried.
//! 4. *Open*: the shard serves it, with that knowledge and leader epochs above all that were.
//! 5. The metadata names the new shard, and the old one detaches it (`shard::reconcile`).
//!
//! Each step is an entry, and looks at what is there: whoever leads next goes on where it ended. Invariant: a partition is
//! open in one shard at most, since Open follows Seal, and an opened one never goes back.
//!
//! A leader may know less of the metadata than the one before it, and take a partition that has just come to its end here
//! for one that left long ago. So it catches up before it does anything, and what it decides has its effect in its own
//! term or not at all.
//!
//! To an idempotent producer a move is a change of leaders. What was on its way to the source is refused before the
//! partition is open anywhere else, so that what follows finds out that it does: `shard::refusals`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_log::batch::verify_crc;
use weir_log::{BlockReader, PartitionLog, empty_batch};
use weir_raft::{NodeId, Outcome, ProposeError, ShardId, Threads, blocking};

use super::bring;
use super::message::{Answer, Question, RecordsAnswer, RecordsQuestion};
use crate::broker::Broker;
use crate::meta::decide::moves::{finish, seal};
use crate::meta::{Meta, MetaState, epochs};
use crate::partition::{Partition, Stage};
use crate::shard::entry::{AppendItem, ArriveItem, Body, OpenItem, PartitionId, Role};
use crate::shard::host::{Partitions, ShardHost};
use crate::shard::hosted::HostedShards;
use crate::shard::reconcile::{CatchUp, role};
use crate::tables::hub::TableHub;

/// Bytes that are asked for at a time, and carried in one entry.
const ASK_BYTES: u32 = 1 << 20;
/// A partition is sealed when an answer brings no more than this,
const NEARLY_ALL: usize = 64 << 10;
/// and the rows of its table, if it is one, lack no more records than that.
const FEW_RECORDS: i64 = 1_000;
/// Bytes per second that a node carries at most, so that its shards go on serving their clients.
const BYTES_PER_SECOND: u64 = 32 << 20;
/// Partitions that one shard brings at a time.
const AT_A_TIME: usize = 4;
/// How soon a step that failed is tried again.
const AGAIN: Duration = Duration::from_millis(300);
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Refused(#[from] ProposeError),
    #[error("the entry has no effect: {0}")]
    NoEffect(String),
    #[error("{0}")]
    Source(String),
}

/// What a node brings partitions with, and gives them away.
pub struct Moves {
    pub meta: Arc<Meta>,
    pub partitions: Arc<Partitions>,
    pub tables: Arc<TableHub>,
    pub shards: Arc<HostedShards>,
    pub blocks: Arc<dyn BlockReader + Send + Sync>,
    pub threads: Arc<dyn Threads>,
    pub catch_up: CatchUp,
    pub raft: weir_raft::Node,
    pub sources: Arc<dyn Sources>,
    pub stopping: CancellationToken,
}

/// The other nodes that partitions come from.
pub trait Sources: Send + Sync {
    /// Asks the leader of a shard, which is not this node.
    fn ask(
        &self,
        shard: u64,
        question: Question,
    ) -> BoxFuture<'static, Result<(Answer, Bytes), String>>;
}

impl Sources for Arc<Broker> {
    fn ask(
        &self,
        shard: u64,
        question: Question,
    ) -> BoxFuture<'static, Result<(Answer, Bytes), String>> {
        let broker = self.clone();
        Box::pin(async move {
            let leader = broker.admin.partitions.shard(shard).leader;
            let leader = leader.ok_or_else(|| format!("nobody leads shard {shard}"))?;
            let asked = broker.peers.ask(NodeId(leader), &question, b"").await;
            asked.map_err(|error| error.to_string())
        })
    }
}

/// A partition on its way here.
struct Coming {
    id: PartitionId,
    from: u64,
    role: Role,
}

/// Brings what moves to shards that are led here, as long as the node runs.
pub async fn run(moves: Arc<Moves>) {
    let pace = Arc::new(Pace::default());
    let shards = moves.shards.clone();
    let start = |shard: &Arc<ShardHost>| {
        tokio::spawn(bring_what_comes(moves.clone(), shard.clone(), pace.clone()));
    };
    shards.for_each(start).await;
}

async fn bring_what_comes(moves: Arc<Moves>, shard: Arc<ShardHost>, pace: Arc<Pace>) {
    let mut metadata = moves.meta.changed();
    let mut leadership = shard.watch_leadership();
    loop {
        let now = *leadership.borrow_and_update();
        metadata.borrow_and_update();
        let mut again = false;
        if now.open && !moves.coming(&shard).is_empty() {
            let mover = Mover {
                moves: &moves,
                shard: &shard,
                pace: &pace,
                term: now.term,
            };
            again = !mover.bring_all().await;
        }
        let ended = tokio::select! {
            changed = metadata.changed() => changed.is_err(),
            changed = leadership.changed() => changed.is_err(),
            () = tokio::time::sleep(AGAIN), if again => false,
            () = moves.stopping.cancelled() => true,
        };
        if ended {
            return;
        }
    }
}

/// What a source knows of a partition that has come to its end there.
struct Sealed {
    /// No leader epoch above it was given out.
    highest_epoch: i32,
    log: PartitionLog,
}

struct Mover<'a> {
    moves: &'a Moves,
    shard: &'a ShardHost,
    pace: &'a Pace,
    /// In which it decides.
    term: u64,
}

impl Mover<'_> {
    /// Brings all that comes here, some at a time; says whether all of it has come.
    async fn bring_all(&self) -> bool {
        if let Err(error) = (self.moves.catch_up)().await {
            tracing::debug!(shard = self.shard.id.0, %error, "what comes here is not known");
            return false;
        }
        let coming = self.moves.coming(self.shard).into_iter();
        let bring: Vec<_> = coming.map(|one| self.try_to_bring(one)).collect();
        let mut brought = futures::stream::iter(bring).buffer_unordered(AT_A_TIME);
        let mut all = true;
        while let Some(one) = brought.next().await {
            all &= one;
        }
        all
    }

    async fn try_to_bring(&self, one: Coming) -> bool {
        let brought = self.bring(&one).await;
        if let Err(error) = &brought {
            tracing::info!(shard = self.shard.id.0, topic = %one.id.topic, index = one.id.index, %error,
                "a partition has not moved yet");
        }
        brought.is_ok()
    }

    /// Brings a partition from wherever it is to be served here.
    async fn bring(&self, one: &Coming) -> Result<(), Stopped> {
        if !self.goes_on(one) {
            return Ok(());
        }
        let here = match self.here(one.id) {
            // It was here before, and has moved on from here.
            Some(here) if here.stage() == Stage::Sealed => {
                self.change(Body::Detach(vec![one.id]), None).await?;
                None
            }
            here => here,
        };
        let here = match here {
            Some(here) => here,
            None => self.arrive(one).await?,
        };
        if here.stage() == Stage::Open {
            return self.finish(one, &here).await;
        }
        let mut compacted = None;
        loop {
            let much_came = self.carry(one, &here, &mut compacted).await? > NEARLY_ALL;
            if !much_came && !self.rows_lag(one) {
                break;
            }
            if !self.goes_on(one) {
                return Ok(());
            }
            if !much_came {
                self.check_leads()?;
                tokio::time::sleep(AGAIN).await;
            }
        }
        let (id, index, to) = (one.id.topic, one.id.index, self.shard.id.0);
        let decide = |state: &MetaState| Ok::<_, Infallible>(seal(state, id, index, to));
        let sealing = self.moves.meta.change(decide).await;
        if !sealing.map_err(|error| Stopped::Source(error.to_string()))? {
            return Ok(());
        }
        let sealed = self.seal(one).await?;
        let end = sealed.log.next_offset();
        while sealed.log.log_start_offset() < end && here.high_watermark() < end {
            if self.carry(one, &here, &mut compacted).await? == 0 {
                return Err(Stopped::Source("the rest of it did not come".to_owned()));
            }
        }
        let here = self.open(one, &sealed).await?;
        self.finish(one, &here).await
    }

    /// Whether the metadata still says that it comes here.
    fn goes_on(&self, one: &Coming) -> bool {
        let state = self.moves.meta.read();
        let Some(topic) = state.topics().by_id(one.id.topic) else {
            return false;
        };
        let going = topic.moves.get(&one.id.index);
        let place = topic.partition(one.id.index);
        going.is_some_and(|going| going.to == self.shard.id.0)
            && place.is_some_and(|place| place.shard == one.from)
    }

    /// Whether the rows here would have readers wait if it was served here now.
    fn rows_lag(&self, one: &Coming) -> bool {
        self.moves.tables.behind(self.shard.id, one.id) > FEW_RECORDS
    }

    fn check_leads(&self) -> Result<(), ProposeError> {
        let now = self.shard.leadership();
        match now.open && now.term == self.term {
            true => Ok(()),
            false => Err(ProposeError::NotLeader { leader: now.leader }),
        }
    }

    fn here(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.moves.partitions.get_in(self.shard.id, id)
    }

    async fn change(&self, body: Body, rest: Option<Bytes>) -> Result<(), Stopped> {
        match self.shard.change_in(self.term, body, rest).await? {
            (_, Outcome::Applied) => Ok(()),
            (_, Outcome::Partly(_)) => Err(Stopped::NoEffect("it is not as expected".to_owned())),
            (_, Outcome::Rejected(reason)) => Err(Stopped::NoEffect(reason.to_string())),
        }
    }

    async fn arrive(&self, one: &Coming) -> Result<Arc<Partition>, Stopped> {
        let log_start = self.ask(one, -1).await?.0.log_start;
        let (_, records) = self.ask(one, log_start).await?;
        let item = ArriveItem {
            partition: one.id,
            start: start(log_start, &records),
            role: one.role,
        };
        if !self.goes_on(one) {
            return Err(Stopped::Source("it does not come any more".to_owned()));
        }
        self.change(Body::Arrive(vec![item]), None).await?;
        let here = self.here(one.id);
        here.ok_or_else(|| Stopped::NoEffect("it has left again".to_owned()))
    }

    /// Carries what follows; answers how many bytes that were. `compacted` is how the source was compacted before.
    ///
    /// What came before a compaction may have keys whose tombstones it dropped, before they came. So where the source
    /// was compacted further, ahead of what is here, all of it comes again.
    async fn carry(
        &self,
        one: &Coming,
        here: &Partition,
        compacted: &mut Option<u64>,
    ) -> Result<usize, Stopped> {
        let next = here.high_watermark();
        let (mut answer, mut records) = self.ask(one, next).await?;
        if answer.log_start > next {
            // What lay between was trimmed.
            (answer, records) = self.ask(one, answer.log_start).await?;
        }
        if records.is_empty() {
            return Ok(0);
        }
        let has_some = here.log_start_offset() < next;
        let is_new = *compacted != Some(answer.compacted_mark);
        if has_some && is_new && next < answer.compacted_end {
            self.change(Body::Detach(vec![one.id]), None).await?;
            return Err(Stopped::Source("it was compacted on the way".to_owned()));
        }
        *compacted = Some(answer.compacted_mark);
        let bytes = records.len();
        let (items, batches) = dense(one.id, next, &records).map_err(Stopped::Source)?;
        tracing::trace!(bytes, log_start = answer.log_start, "records are carried");
        self.change(Body::Carry(items), Some(batches)).await?;
        Ok(bytes)
    }

    async fn ask(&self, one: &Coming, from: i64) -> Result<(RecordsAnswer, Bytes), Stopped> {
        self.pace.wait().await;
        let question = RecordsQuestion {
            shard: Some(one.from),
            topic: one.id.topic,
            index: one.id.index,
            from,
            upto: i64::MAX,
            max_bytes: ASK_BYTES,
        };
        match self.ask_source(one, Question::Records(question)).await? {
            (Answer::Records(answer), records) => {
                self.pace.spend(records.len() as u64);
                Ok((answer, records))
            }
            (other, _) => Err(Stopped::Source(format!("the source answered {other:?}"))),
        }
    }

    async fn seal(&self, one: &Coming) -> Result<Sealed, Stopped> {
        let question = Question::Seal {
            shard: one.from,
            topic: one.id.topic,
            index: one.id.index,
            to: self.shard.id.0,
        };
        match self.ask_source(one, question).await? {
            (Answer::Sealed { highest_epoch }, state) => {
                let log = weir_log::format::decode(&mut &state[..]);
                Ok(Sealed {
                    highest_epoch,
                    log: log.map_err(|error| Stopped::Source(error.to_string()))?,
                })
            }
            (other, _) => Err(Stopped::Source(format!("the source answered {other:?}"))),
        }
    }

    /// Asks the leader of the shard that a partition comes from, which may be this node.
    async fn ask_source(
        &self,
        one: &Coming,
        question: Question,
    ) -> Result<(Answer, Bytes), Stopped> {
        let asked = async {
            let here = self.moves.shards.get(one.from);
            match here.is_some_and(|shard| shard.leadership().leader == Some(shard.node_id())) {
                true => self.moves.answer(&question).await,
                false => self.moves.sources.ask(one.from, question).await,
            }
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answered) => answered.map_err(Stopped::Source),
            Err(_) => Err(Stopped::Source(format!("no answer within {PATIENCE:?}"))),
        }
    }

    async fn open(&self, one: &Coming, sealed: &Sealed) -> Result<Arc<Partition>, Stopped> {
        // The source may have had more elections since; it gives these epochs to nobody who writes.
        let epoch_base = sealed.highest_epoch.saturating_add(epochs::SLACK);
        let mut state = Vec::new();
        weir_log::format::encode(&sealed.log, &mut state);
        let item = OpenItem {
            partition: one.id,
            epoch_base,
        };
        self.change(Body::Open(item), Some(state.into())).await?;
        let here = self.here(one.id);
        here.ok_or_else(|| Stopped::NoEffect("it has left again".to_owned()))
    }

    async fn finish(&self, one: &Coming, here: &Partition) -> Result<(), Stopped> {
        let (id, index, to) = (one.id.topic, one.id.index, self.shard.id.0);
        let decide = |state: &MetaState| {
            let commands = finish(state, id, index, to, here.epoch_base());
            Ok::<_, Infallible>((commands, ()))
        };
        let finished = self.moves.meta.change(decide).await;
        finished.map_err(|error| Stopped::Source(error.to_string()))?;
        tracing::info!(topic = %id, index, from = one.from, to, "a partition has moved");
        Ok(())
    }
}

/// Where a log begins whose first batches these are: that of log start may begin before it, and may be compacted away.
fn start(log_start: i64, records: &[u8]) -> i64 {
    match weir_log::batches(records).next() {
        Some(Ok((first, _))) => first.base_offset.min(log_start),
        _ => log_start,
    }
}

/// What is to be carried so that `next` follows without a gap: offsets that were compacted away become batches without
/// records, and each item is of one leader epoch.
fn dense(id: PartitionId, next: i64, records: &[u8]) -> Result<(Vec<AppendItem>, Bytes), String> {
    let mut items: Vec<AppendItem> = Vec::new();
    let mut bytes = BytesMut::with_capacity(records.len());
    let mut next = next;
    for batch in weir_log::batches(records) {
        let (header, range) = batch.map_err(|error| error.to_string())?;
        let (base, epoch) = (header.base_offset, header.partition_leader_epoch);
        verify_crc(&records[range.clone()]).map_err(|error| error.to_string())?;
        if base < next {
            return Err(format!("a batch at offset {base} where {next} follows"));
        }
        let mut push = |base: i64, batch: &[u8]| {
            let len = u32::try_from(batch.len()).expect("an answer is small");
            bytes.extend_from_slice(batch);
            match items.last_mut().filter(|last| last.leader_epoch == epoch) {
                Some(last) => last.len += len,
                None => items.push(AppendItem {
                    partition: id,
                    base_offset: base,
                    leader_epoch: epoch,
                    len,
                }),
            }
        };
        if base > next {
            let gap = empty_batch(next, base - 1, epoch);
            push(next, &gap.ok_or("a gap of more than 2^31 offsets")?);
        }
        push(base, &records[range]);
        next = header.last_offset() + 1;
    }
    Ok((items, bytes.freeze()))
}

impl Moves {
    /// What comes to a shard that is led here.
    fn coming(&self, shard: &ShardHost) -> Vec<Coming> {
        let state = self.meta.read();
        let mut coming = Vec::new();
        for topic in state.topics().iter() {
            for (index, going) in &topic.moves {
                let place = topic.partition(*index);
                let Some(place) = place.filter(|_| going.to == shard.id.0) else {
                    continue;
                };
                coming.push(Coming {
                    id: PartitionId {
                        topic: topic.id,
                        index: *index,
                    },
                    from: place.shard,
                    role: role(&topic.name),
                });
            }
        }
        coming
    }

    /// Answers [`Question::Records`] and [`Question::Seal`] as the leader of the shard that a partition comes from.
    pub async fn answer(&self, question: &Question) -> Result<(Answer, Bytes), String> {
        match question {
            Question::Records(question) => {
                let (answer, records) = self.records(question).await?;
                Ok((Answer::Records(answer), records))
            }
            Question::Seal {
                shard,
                topic,
                index,
                to,
            } => {
                let (topic, index) = (*topic, *index);
                let (highest_epoch, state) =
                    self.end(*shard, PartitionId { topic, index }, *to).await?;
                Ok((Answer::Sealed { highest_epoch }, state))
            }
            other => Err(format!("{other:?} is not asked of a shard")),
        }
    }

    async fn records(&self, question: &RecordsQuestion) -> Result<(RecordsAnswer, Bytes), String> {
        let id = PartitionId {
            topic: question.topic,
            index: question.index,
        };
        let partition = match question.shard {
            Some(shard) => self.partitions.get_in(ShardId(shard), id),
            None => self.partitions.get(id),
        };
        let partition = partition.ok_or("the partition is not there any more")?;
        let (blocks, question) = (self.blocks.clone(), question.clone());
        let read = move || bring::records(&partition, &*blocks, &question);
        let read = blocking(&*self.threads, read).await;
        let (answer, records) = read.map_err(|error| error.to_string())??;
        self.raft.turn_to_give(records.len() as u64).await;
        Ok((answer, records))
    }

    /// Ends a partition here, once the metadata says so; answers the highest leader epoch and what is known of its log.
    async fn end(&self, shard: u64, id: PartitionId, to: u64) -> Result<(i32, Bytes), String> {
        let host = self.shards.get(shard).ok_or("the shard is not here")?;
        // A metadata change that the caller saw may not be here yet.
        let caught_up = (self.catch_up)().await;
        caught_up.map_err(|error| error.to_string())?;
        if !self.is_sealed_for(shard, id, to) {
            return Err("the partition does not move there".to_owned());
        }
        let sealed = host.change(Body::Seal(vec![id]), None).await;
        match sealed.map_err(|error| error.to_string())? {
            (_, Outcome::Applied) => {}
            (_, outcome) => return Err(format!("the partition was not sealed: {outcome:?}")),
        }
        // Nothing that was sent here is still to be refused when it is open there.
        host.settled().await;
        let partition = self.partitions.get_in(host.id, id);
        let partition = partition.ok_or("the partition has left")?;
        let mut state = Vec::new();
        weir_log::format::encode(&partition.log.read().without_batches(), &mut state);
        Ok((partition.leader_epoch(), state.into()))
    }

    /// Whether there is no way back for a partition that goes from one shard to another.
    fn is_sealed_for(&self, from: u64, id: PartitionId, to: u64) -> bool {
        let state = self.meta.read();
        let Some(topic) = state.topics().by_id(id.topic) else {
            return false;
        };
        let going = topic.moves.get(&id.index);
        let place = topic.partition(id.index);
        place.is_some_and(|place| place.shard == from)
            && going.is_some_and(|going| going.to == to && going.sealing)
    }
}

/// When the next bytes may be asked for.
#[derive(Default)]
struct Pace {
    next: parking_lot::Mutex<Option<Instant>>,
}

impl Pace {
    /// Waits until more may be asked for.
    async fn wait(&self) {
        let turn = *self.next.lock();
        if let Some(turn) = turn {
            tokio::time::sleep_until(turn).await;
        }
    }

    /// Has the next ones wait for what these bytes take.
    fn spend(&self, bytes: u64) {
        let mut next = self.next.lock();
        let now = Instant::now();
        let from = next.map_or(now, |next| next.max(now));
        *next = Some(from + Duration::from_micros(bytes * 1_000_000 / BYTES_PER_SECOND));
    }
}

#[cfg(test)]
mod tests;
