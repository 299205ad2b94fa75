//! One event of a group: what it may know, and what comes of it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::answer::{JoinAnswer, SyncAnswer};
use super::error::GroupError;
use super::format::GroupMetadata;
use super::member::Protocol;
use super::settings::GroupSettings;

/// Names a request that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What an event leaves for its caller to do, in this order.
#[derive(Debug)]
pub enum Effect {
    Joined(Ticket, JoinAnswer),
    Synced(Ticket, SyncAnswer),
    /// Write the group's state to the log, then tell the group with [`super::group::Group::written`].
    Write(GroupMetadata, AfterWrite),
}

/// What a group does when a write of its state has an outcome.
#[derive(Debug)]
pub enum AfterWrite {
    Nothing,
    /// Answer the members of this generation with what their leader assigned.
    Assign {
        generation: i32,
        assignments: HashMap<Arc<str>, Bytes>,
    },
    /// Answer a static member that came back, or give its place back to the old member id.
    Rejoin(Box<Rejoin>),
    /// Refuse the join that created the group, if it is still waiting.
    Created(Ticket),
}

/// A static member that took the place of its older self without a rebalance.
#[derive(Debug)]
pub struct Rejoin {
    pub ticket: Ticket,
    pub instance_id: Arc<str>,
    pub old_id: Arc<str>,
    pub new_id: Arc<str>,
    pub old_protocols: Vec<Protocol>,
    pub old_rebalance_timeout_ms: i32,
    pub old_session_timeout_ms: i32,
    /// The leader before the member came back; clients before KIP-814 are told this one, so that they do not assign.
    pub old_leader: Arc<str>,
    pub may_skip_assignment: bool,
}

/// One event: settings and time go in, effects come out.
pub struct Turn<'a> {
    pub settings: &'a GroupSettings,
    /// Timer time: ms since some start, never back. Sessions go by it.
    pub now_ms: u64,
    /// Wall-clock time, for what is stored.
    pub wall_ms: i64,
    pub effects: Vec<Effect>,
}

impl<'a> Turn<'a> {
    pub fn new(settings: &'a GroupSettings, now_ms: u64, wall_ms: i64) -> Turn<'a> {
        Turn {
            settings,
            now_ms,
            wall_ms,
            effects: Vec::new(),
        }
    }

    pub(super) fn joined(&mut self, ticket: Ticket, answer: JoinAnswer) {
        self.effects.push(Effect::Joined(ticket, answer));
    }

    pub(super) fn refuse_join(&mut self, ticket: Ticket, error: GroupError, member_id: &str) {
        self.joined(ticket, JoinAnswer::refused(error, member_id));
    }

    pub(super) fn synced(&mut self, ticket: Ticket, answer: SyncAnswer) {
        self.effects.push(Effect::Synced(ticket, answer));
    }

    pub(super) fn write(&mut self, state: GroupMetadata, after: AfterWrite) {
        self.effects.push(Effect::Write(state, after));
    }

    pub(super) fn writes(&self) -> bool {
        self.effects
            .iter()
            .any(|effect| matches!(effect, Effect::Write(..)))
    }
}
