//! One classic consumer group at its coordinator: a plain state machine.
//!
//! Events are method calls with the time in their [`Turn`]; what has to be done about them (answers, writes) is left in
//! the turn. Nothing here waits, reads a clock or draws a random number.
//!
//! ```text
//!            join                          all joined, or timeout
//!   Empty ──────────► PreparingRebalance ─────────────────────────► CompletingRebalance
//!     ▲                 │    ▲       ▲                                 │        │
//!     └─────────────────┘    │       └─────────────────────────────────┘        │ the leader's assignment
//!       nobody is left       │         join, leave, expiry                      ▼ is stored
//!                            └──────────────────────────────────────────────  Stable
//! ```
//!
//! Behaviour, to the order of checks, is that of Kafka's classic protocol: KIP-62 (rebalance timeout), KIP-134 (initial
//! delay), KIP-345 (static members), KIP-389 (size), KIP-394 (member ids), KIP-559 (protocol checks), KIP-814.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use super::answer::{Claim, DescribedMember, Description, JoinAnswer, JoinedMember, SyncAnswer};
use super::error::GroupError;
use super::member::{Member, Protocol};
use super::subscription;
use super::turn::{Ticket, Turn};
use rebalance::JoinTimer;

mod commit;
mod join;
mod leave;
mod rebalance;
mod rejoin;
mod stored;
mod sync;
mod timers;

#[cfg(test)]
mod tests;

/// The protocol type of Kafka's consumers, whose metadata names the topics that they read.
pub const CONSUMER: &str = "consumer";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

// Invariants: `statics` and `pending_sync` name members only; nobody is both a member and pending; Empty has no members.
#[derive(Debug)]
pub struct Group {
    id: Arc<str>,
    state: State,
    previous: State,
    /// Wall-clock time since when the group is in its state; unknown for groups stored by old brokers.
    state_since_ms: Option<i64>,
    /// `None` as long as nobody has joined: a group that only stores offsets.
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    generation: i32,
    leader: Option<Arc<str>>,
    /// In the order in which they joined.
    members: IndexMap<Arc<str>, Member>,
    /// Instance id -> member id.
    statics: HashMap<Arc<str>, Arc<str>>,
    /// Member ids that were given out and have not joined, with the time until which they may.
    pending: IndexMap<Arc<str>, u64>,
    /// Members of this generation that have not synced.
    pending_sync: HashSet<Arc<str>>,
    join_timer: Option<JoinTimer>,
    sync_deadline: Option<u64>,
    /// Somebody joined since the initial delay was last extended.
    new_member_added: bool,
    /// What the members of this generation read; `None` when they do not say.
    subscribed: Option<BTreeSet<String>>,
    /// No deadline of the group is before this.
    wake_at: Option<u64>,
}

impl Group {
    /// A group that nobody has joined.
    pub fn new(id: Arc<str>, wall_ms: i64) -> Group {
        Group {
            id,
            state: State::Empty,
            previous: State::Empty,
            state_since_ms: Some(wall_ms),
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: IndexMap::new(),
            statics: HashMap::new(),
            pending: IndexMap::new(),
            pending_sync: HashSet::new(),
            join_timer: None,
            sync_deadline: None,
            new_member_added: false,
            subscribed: None,
            wake_at: None,
        }
    }

    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// Empty for a group that only stores offsets.
    pub fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or("")
    }

    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Whether an id was given out to somebody who has not joined with it yet.
    pub fn is_expecting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// When [`Group::tick`] has to be called next; it may find nothing to do.
    pub fn wake_at(&self) -> Option<u64> {
        self.wake_at
    }

    pub fn describe(&self) -> Description {
        let chosen = self
            .protocol
            .as_ref()
            .filter(|_| self.state == State::Stable);
        let describe = |member: &Member| DescribedMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: chosen
                .map(|protocol| member.metadata(protocol))
                .unwrap_or_default(),
            assignment: member.assignment.clone(),
        };
        Description {
            state: self.state.name(),
            protocol_type: self.protocol_type().into(),
            protocol: chosen.cloned().unwrap_or_else(|| "".into()),
            members: self.members.values().map(describe).collect(),
        }
    }

    /// A heartbeat keeps the member's session, and tells it of a rebalance.
    pub fn heartbeat(&mut self, turn: &Turn<'_>, claim: &Claim<'_>) -> Result<(), GroupError> {
        self.check_member(claim.member_id, claim.instance_id)?;
        if claim.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.restart_session(claim.member_id, turn.now_ms);
        match self.state {
            State::Empty => Err(GroupError::UnknownMember),
            State::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    fn enter(&mut self, state: State, wall_ms: i64) {
        self.previous = self.state;
        self.state = state;
        self.state_since_ms = Some(wall_ms);
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.statics.get(instance_id) {
                None => return Err(GroupError::UnknownMember),
                Some(current) if &**current != member_id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) {
            Ok(())
        } else {
            Err(GroupError::UnknownMember)
        }
    }

    fn add(&mut self, member: Member, protocol_type: &Arc<str>) {
        assert!(
            !self.members.contains_key(&member.id),
            "a member id is given out once"
        );
        if let Some(instance_id) = &member.instance_id {
            let before = self.statics.insert(instance_id.clone(), member.id.clone());
            assert!(
                before.is_none(),
                "an instance id that is taken replaces its member"
            );
        }
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.pending.shift_remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member or a pending id out; the next member becomes leader where it was one.
    fn remove(&mut self, member_id: &str) {
        if let Some(member) = self.members.shift_remove(member_id)
            && let Some(instance_id) = &member.instance_id
        {
            self.statics.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending.shift_remove(member_id);
        self.pending_sync.remove(member_id);
    }

    /// Whether a member with these protocols fits the others.
    fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let common = |protocol: &Protocol| {
            self.members
                .values()
                .all(|member| member.supports(&protocol.name))
        };
        self.protocol_type() == protocol_type && protocols.iter().any(common)
    }

    /// The protocol that most members prefer among those that all support.
    fn select_protocol(&self) -> Option<Arc<str>> {
        let common = |protocol: &&Protocol| {
            self.members
                .values()
                .all(|member| member.supports(&protocol.name))
        };
        let mut votes: IndexMap<Arc<str>, usize> = IndexMap::new();
        let first = self.members.values().next()?;
        let candidates: Vec<Arc<str>> = first
            .protocols
            .iter()
            .filter(common)
            .map(|p| p.name.clone())
            .collect();
        for member in self.members.values() {
            let vote = member
                .protocols
                .iter()
                .find(|protocol| candidates.contains(&protocol.name));
            *votes.entry(vote?.name.clone()).or_default() += 1;
        }
        let most = votes.values().copied().max()?;
        votes
            .into_iter()
            .find(|(_, count)| *count == most)
            .map(|(name, _)| name)
    }

    fn all_joined(&self) -> bool {
        self.pending.is_empty()
            && self
                .members
                .values()
                .all(|member| member.awaiting_join.is_some())
    }

    fn rebalance_timeout_ms(&self) -> u64 {
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms)
            .max();
        longest.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0)
    }

    /// The topics that the members of this generation read, where their metadata says so.
    fn read_subscriptions(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type() != CONSUMER {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscription::topics(&member.metadata(protocol))?);
        }
        Some(topics)
    }

    /// What a member is told of the current generation; the leader also hears of the others.
    fn generation_for(&self, member_id: &Arc<str>) -> JoinAnswer {
        JoinAnswer {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_else(|| "".into()),
            skip_assignment: false,
            member_id: member_id.clone(),
            members: if self.is_leader(member_id) {
                self.joined_members()
            } else {
                Vec::new()
            },
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or("");
        let members = self.members.values().map(|member| JoinedMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol),
        });
        members.collect()
    }

    /// What a member is told of its part of the current generation.
    fn assignment_of(&self, member: &Member) -> SyncAnswer {
        SyncAnswer {
            error: None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: member.assignment.clone(),
        }
    }

    /// Every request that waits for this group.
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> + '_ {
        self.members
            .values()
            .flat_map(|member| member.awaiting_join.into_iter().chain(member.awaiting_sync))
    }
}
