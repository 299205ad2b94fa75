//! The coordinator of one partition's groups: it hands events to them, writes what they decide, answers who waits.
//!
//! Everything of a partition is behind one lock that is held for short synchronous sections, and every write is handed
//! to the proposer inside of one: so decisions and their records are in the same order.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use super::answer::{Claim, JoinAnswer, JoinRequest, Leaving, SyncAnswer, SyncRequest};
use super::error::GroupError;
use super::format::{CommittedOffset, GroupMetadata, group_key, offset_key};
use super::group::Group;
use super::registry::Env;
use super::store::StoredGroups;
use super::turn::{AfterWrite, Effect, Turn};
use super::writes::{self, Record, Written};
use crate::partition::Partition;
use live::Live;

mod delete;
mod live;
mod look;

pub use delete::Deletion;
pub use look::{GroupFigures, Listed};

pub struct Coordinator {
    partition: Arc<Partition>,
    stored: Arc<RwLock<StoredGroups>>,
    env: Arc<Env>,
    live: Mutex<Live>,
}

/// One offset of a commit.
#[derive(Debug, Clone)]
pub struct Commit {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: CommittedOffset,
}

/// A request that is answered later; an answer that never comes is the coordinator's end.
pub type Waiting<T> = oneshot::Receiver<T>;

impl Coordinator {
    pub fn new(
        partition: Arc<Partition>,
        stored: Arc<RwLock<StoredGroups>>,
        env: Arc<Env>,
    ) -> Coordinator {
        Coordinator {
            partition,
            stored,
            env,
            live: Mutex::default(),
        }
    }

    pub fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Whether this node coordinates the groups now; loads them when it has just begun to, drops them when it ceased to.
    fn enter(self: &Arc<Self>, live: &mut Live) -> Result<u64, GroupError> {
        let shard = &self.partition.shard;
        let leadership = self.partition.leadership();
        if !leadership.open {
            live.reset();
            let ours = leadership.leader == Some(shard.node_id());
            return Err(if ours {
                GroupError::Loading
            } else {
                GroupError::NotCoordinator
            });
        }
        if live.term != Some(leadership.term) {
            live.reset();
            live.term = Some(leadership.term);
            self.load(live);
        }
        Ok(leadership.term)
    }

    fn load(self: &Arc<Self>, live: &mut Live) {
        let stored: Vec<(Arc<str>, GroupMetadata)> = {
            let stored = self.stored.read();
            let groups = stored
                .iter()
                .filter_map(|(id, group)| Some((id.clone(), group.metadata.clone()?)));
            groups.collect()
        };
        for (id, metadata) in stored {
            let mut turn = self.env.turn();
            let group = Group::load(id.clone(), &metadata, &mut turn);
            let effects = turn.effects;
            live.groups.insert(id.clone(), group.into());
            self.settle(live, &id, effects);
        }
    }

    /// Brings the group to `live` where it exists.
    fn find(&self, live: &mut Live, id: &str) -> bool {
        if live.groups.contains_key(id) {
            return true;
        }
        let stored = self.stored.read();
        let Some((id, group)) = stored.get_entry(id) else {
            return false;
        };
        let mut turn = self.env.turn();
        let group = match &group.metadata {
            Some(metadata) => Group::load(id.clone(), metadata, &mut turn),
            None => Group::new(id.clone(), turn.wall_ms),
        };
        live.groups.insert(id.clone(), group.into());
        true
    }

    /// Runs one event of a group, and does what comes of it. `None` when there is no such group.
    fn event<R>(
        self: &Arc<Self>,
        live: &mut Live,
        id: &Arc<str>,
        event: impl FnOnce(&mut Group, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        if !self.find(live, id) {
            return None;
        }
        let mut turn = self.env.turn();
        let slot = live.groups.get_mut(id).expect("just found");
        let result = event(&mut slot.group, &mut turn);
        slot.group.tick(&mut turn);
        let effects = turn.effects;
        self.settle(live, id, effects);
        Some(result)
    }

    fn settle(self: &Arc<Self>, live: &mut Live, id: &Arc<str>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Joined(ticket, answer) => live.waiting.joined(ticket, answer),
                Effect::Synced(ticket, answer) => live.waiting.synced(ticket, answer),
                Effect::Write(state, after) => self.write_state(live, id, &state, after),
            }
        }
        if let Some(at) = live.set_alarm(id) {
            self.env.wake_by(at);
        }
    }

    fn write_state(
        self: &Arc<Self>,
        live: &Live,
        id: &Arc<str>,
        state: &GroupMetadata,
        after: AfterWrite,
    ) {
        let written = self.submit(live, &[(group_key(id), Some(state.encode()))]);
        let (me, id, epoch) = (self.clone(), id.clone(), live.epoch);
        tokio::spawn(async move {
            let outcome = written.await;
            let mut live = me.live.lock();
            if live.epoch == epoch {
                me.event(&mut live, &id, |group, turn| {
                    group.written(turn, after, outcome)
                });
            }
        });
    }

    fn submit(&self, live: &Live, records: &[Record]) -> Written {
        let term = live.term.expect("only a leader writes");
        let wall_ms = self.partition.shard.entry_time_ms();
        writes::submit(
            &self.partition,
            term,
            wall_ms,
            records,
            self.env.max_batch_bytes,
        )
    }

    pub fn join(
        self: &Arc<Self>,
        group: &Arc<str>,
        request: JoinRequest,
    ) -> Result<Waiting<JoinAnswer>, GroupError> {
        let mut live = self.live.lock();
        self.enter(&mut live)?;
        let exists = self.find(&mut live, group);
        if !exists && !request.member_id.is_empty() {
            return Err(GroupError::UnknownMember);
        }
        if !exists {
            let created = Group::new(group.clone(), self.env.clock.now_ms());
            live.groups.insert(group.clone(), created.into());
        }
        let (ticket, answer) = live.waiting.join();
        self.event(&mut live, group, |group, turn| {
            group.join(turn, ticket, request);
            if !exists {
                group.store_created(turn, ticket);
            }
        });
        Ok(answer)
    }

    pub fn sync(
        self: &Arc<Self>,
        group: &Arc<str>,
        request: SyncRequest,
    ) -> Result<Waiting<SyncAnswer>, GroupError> {
        let mut live = self.live.lock();
        self.enter(&mut live)?;
        let (ticket, answer) = live.waiting.sync();
        let found = self.event(&mut live, group, |group, turn| {
            group.sync(turn, ticket, request)
        });
        found.map(|()| answer).ok_or(GroupError::UnknownMember)
    }

    pub fn heartbeat(
        self: &Arc<Self>,
        group: &Arc<str>,
        claim: &Claim<'_>,
    ) -> Result<(), GroupError> {
        let mut live = self.live.lock();
        self.enter(&mut live)?;
        self.event(&mut live, group, |group, turn| group.heartbeat(turn, claim))
            .ok_or(GroupError::UnknownMember)?
    }

    /// One result for each who leaves.
    pub fn leave(
        self: &Arc<Self>,
        group: &Arc<str>,
        leaving: &[Leaving],
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let mut live = self.live.lock();
        self.enter(&mut live)?;
        let left = self.event(&mut live, group, |group, turn| group.leave(turn, leaving));
        Ok(left.unwrap_or_else(|| vec![Err(GroupError::UnknownMember); leaving.len()]))
    }

    /// Commits offsets for whoever `claim` says; the outcome is that of all of them together.
    ///
    /// `GroupNotFound` for a generation of a group that is not there: clients differ in what they expect then.
    pub fn commit(
        self: &Arc<Self>,
        group: &Arc<str>,
        claim: &Claim<'_>,
        offsets: &[Commit],
    ) -> Result<Waiting<Result<(), GroupError>>, GroupError> {
        let mut live = self.live.lock();
        self.enter(&mut live)?;
        match self.event(&mut live, group, |group, turn| {
            group.accept_commit(turn, claim)
        }) {
            Some(accepted) => accepted?,
            // The first commit of a consumer that does not join makes a group that only stores offsets.
            None if claim.generation < 0 => {}
            None => return Err(GroupError::GroupNotFound),
        }
        let (reply, outcome) = oneshot::channel();
        if offsets.is_empty() {
            let _ = reply.send(Ok(()));
            return Ok(outcome);
        }
        let record = |commit: &Commit| {
            (
                offset_key(group, &commit.topic, commit.partition),
                Some(commit.offset.encode()),
            )
        };
        let records: Vec<Record> = offsets.iter().map(record).collect();
        let written = self.submit(&live, &records);
        live.pending.start(
            group,
            offsets
                .iter()
                .map(|commit| (commit.topic.clone(), commit.partition)),
        );
        let (me, id, epoch) = (self.clone(), group.clone(), live.epoch);
        tokio::spawn(async move {
            let result = written.await;
            {
                let mut live = me.live.lock();
                if live.epoch == epoch {
                    live.pending.end(&id);
                }
            }
            // Whoever asked may be gone; the commit stands.
            let _ = reply.send(result);
        });
        Ok(outcome)
    }

    /// Takes up or drops the groups with the leadership, handles what is due, and says when to come back.
    pub fn pass(self: &Arc<Self>) -> Option<u64> {
        let mut live = self.live.lock();
        if self.enter(&mut live).is_err() {
            return None;
        }
        while let Some(id) = live.due(self.env.timer_ms()) {
            self.event(&mut live, &id, |_, _| ());
        }
        live.next_alarm()
    }
}
