//! Rebalances: from one generation to the next.

use std::sync::Arc;

use bytes::Bytes;

use super::{Group, State};
use crate::groups::answer::SyncAnswer;
use crate::groups::error::GroupError;
use crate::groups::turn::{AfterWrite, Turn};

/// How long at least absent static members are waited for, whatever rebalance timeout they asked for.
const MIN_PATIENCE_MS: u64 = 100;

/// When the joining phase ends, whoever has joined by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JoinTimer {
    pub deadline: u64,
    pub phase: JoinPhase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinPhase {
    /// The first members of an empty group: the delay is extended while more of them come.
    Initial {
        delay_ms: u64,
        remaining_ms: u64,
    },
    Rebalance,
}

impl Group {
    pub(super) fn rebalance_or_complete(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::PreparingRebalance => self.complete_if_all_joined(turn),
            State::Empty | State::CompletingRebalance | State::Stable => {
                self.prepare_rebalance(turn)
            }
        }
    }

    /// Calls the members to join again. A group that was empty first waits for more of them.
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::CompletingRebalance {
            self.refuse_syncs(turn, GroupError::RebalanceInProgress);
        }
        self.pending_sync.clear();
        self.sync_deadline = None;
        let was_empty = self.state == State::Empty;
        self.enter(State::PreparingRebalance, turn.wall_ms);
        if was_empty {
            let delay_ms = turn.settings.initial_rebalance_delay_ms;
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms);
            self.start_join_timer(
                turn.now_ms,
                delay_ms,
                JoinPhase::Initial {
                    delay_ms,
                    remaining_ms,
                },
            );
        } else if self.all_joined() {
            self.complete_join(turn);
        } else {
            self.start_join_timer(
                turn.now_ms,
                self.rebalance_timeout_ms(),
                JoinPhase::Rebalance,
            );
        }
    }

    fn start_join_timer(&mut self, now_ms: u64, after_ms: u64, phase: JoinPhase) {
        let deadline = now_ms.saturating_add(after_ms);
        self.join_timer = Some(JoinTimer { deadline, phase });
        self.wake_by(deadline);
    }

    /// Ends the joining phase early when nobody is missing; never during the initial delay.
    pub(super) fn complete_if_all_joined(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance
            && self.previous != State::Empty
            && self.all_joined()
        {
            self.complete_join(turn);
        }
    }

    /// The time for joining is over.
    pub(super) fn join_expired(&mut self, turn: &mut Turn<'_>, phase: JoinPhase) {
        match phase {
            JoinPhase::Initial {
                delay_ms,
                remaining_ms,
            } if self.new_member_added && remaining_ms != 0 => {
                self.new_member_added = false;
                let next_ms = turn.settings.initial_rebalance_delay_ms.min(remaining_ms);
                let remaining_ms = remaining_ms.saturating_sub(delay_ms);
                self.start_join_timer(
                    turn.now_ms,
                    next_ms,
                    JoinPhase::Initial {
                        delay_ms: next_ms,
                        remaining_ms,
                    },
                );
            }
            JoinPhase::Initial { .. } | JoinPhase::Rebalance => self.complete_join(turn),
        }
    }

    /// Begins the next generation with those who have joined, and with static members who may still come back.
    pub(super) fn complete_join(&mut self, turn: &mut Turn<'_>) {
        self.join_timer = None;
        let missing: Vec<Arc<str>> = self
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && !member.is_static())
            .map(|member| member.id.clone())
            .collect();
        for id in missing {
            self.remove(&id);
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Only static members, none of whom has joined: their sessions decide.
            let patience_ms = self.rebalance_timeout_ms().max(MIN_PATIENCE_MS);
            return self.start_join_timer(turn.now_ms, patience_ms, JoinPhase::Rebalance);
        }
        self.generation = self.generation.wrapping_add(1);
        self.pending_sync.clear();
        self.protocol = self.select_protocol();
        self.subscribed = self.read_subscriptions();
        if self.members.is_empty() {
            self.enter(State::Empty, turn.wall_ms);
            turn.write(self.to_stored(), AfterWrite::Nothing);
        } else {
            self.enter(State::CompletingRebalance, turn.wall_ms);
            self.announce_generation(turn);
        }
    }

    fn announce_generation(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(ticket) = self.members[&id].awaiting_join {
                turn.joined(ticket, self.generation_for(&id));
            }
            let member = &mut self.members[&id];
            member.awaiting_join = None;
            member.is_new = false;
            self.restart_session(&id, turn.now_ms);
            self.pending_sync.insert(id);
        }
        let deadline = turn.now_ms.saturating_add(self.rebalance_timeout_ms());
        self.sync_deadline = Some(deadline);
        self.wake_by(deadline);
    }

    /// Makes sure that the leader is one who has joined. False when nobody has.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |group: &Group, id: &Arc<str>| {
            group
                .members
                .get(id)
                .is_some_and(|m| m.awaiting_join.is_some())
        };
        let Some(leader) = self.leader.clone() else {
            return false;
        };
        if joined(self, &leader) {
            return true;
        }
        let next = self.members.keys().find(|id| joined(self, id)).cloned();
        match next {
            Some(next) => {
                self.leader = Some(next);
                true
            }
            None => false,
        }
    }

    /// Forgets all assignments and refuses the syncs that wait for one.
    pub(super) fn refuse_syncs(&mut self, turn: &mut Turn<'_>, error: GroupError) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let member = &mut self.members[&id];
            member.assignment = Bytes::new();
            if let Some(ticket) = member.awaiting_sync.take() {
                turn.synced(ticket, SyncAnswer::refused(error));
                self.restart_session(&id, turn.now_ms);
            }
        }
    }
}
