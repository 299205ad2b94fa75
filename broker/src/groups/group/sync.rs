//! SyncGroup: the leader's assignment is stored, then everybody gets theirs.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Group, State};
use crate::groups::answer::{SyncAnswer, SyncRequest};
use crate::groups::error::GroupError;
use crate::groups::turn::{AfterWrite, Ticket, Turn};

impl Group {
    /// A member asks for its assignment; the leader brings all of them.
    pub fn sync(&mut self, turn: &mut Turn<'_>, ticket: Ticket, request: SyncRequest) {
        if let Err(error) = self.check_sync(&request) {
            return turn.synced(ticket, SyncAnswer::refused(error));
        }
        match self.state {
            State::Empty => turn.synced(ticket, SyncAnswer::refused(GroupError::UnknownMember)),
            State::PreparingRebalance => {
                turn.synced(ticket, SyncAnswer::refused(GroupError::RebalanceInProgress));
            }
            State::CompletingRebalance => {
                self.sync_received(&request.member_id);
                let member = &mut self.members[&request.member_id];
                if let Some(earlier) = member.awaiting_sync.replace(ticket) {
                    // The member asks again: nobody reads the earlier answer.
                    turn.synced(
                        earlier,
                        SyncAnswer::refused(GroupError::RebalanceInProgress),
                    );
                }
                if self.is_leader(&request.member_id) {
                    self.store_assignment(turn, request.assignments);
                }
            }
            State::Stable => {
                self.sync_received(&request.member_id);
                turn.synced(
                    ticket,
                    self.assignment_of(&self.members[&request.member_id]),
                );
            }
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), GroupError> {
        let differs = |asked: &Option<Arc<str>>, ours: &Option<Arc<str>>| matches!((asked, ours), (Some(asked), Some(ours)) if asked != ours);
        if self.state == State::Empty {
            return Err(GroupError::UnknownMember);
        }
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    fn sync_received(&mut self, member_id: &str) {
        self.pending_sync.remove(member_id);
        if self.pending_sync.is_empty() {
            self.sync_deadline = None;
        }
    }

    /// Members that the leader leaves out get an empty assignment.
    fn store_assignment(&mut self, turn: &mut Turn<'_>, given: Vec<(Arc<str>, Bytes)>) {
        let assignments: HashMap<Arc<str>, Bytes> = given.into_iter().collect();
        let mut stored = self.to_stored();
        for member in &mut stored.members {
            member.assignment = assignments.get(&member.id).cloned().unwrap_or_default();
        }
        let generation = self.generation;
        turn.write(
            stored,
            AfterWrite::Assign {
                generation,
                assignments,
            },
        );
    }

    /// A write of the group's state has its outcome.
    pub fn written(
        &mut self,
        turn: &mut Turn<'_>,
        after: AfterWrite,
        outcome: Result<(), GroupError>,
    ) {
        match after {
            AfterWrite::Nothing => {}
            AfterWrite::Assign {
                generation,
                assignments,
            } => {
                self.assigned(turn, generation, assignments, outcome);
            }
            AfterWrite::Rejoin(rejoin) => self.rejoined(turn, *rejoin, outcome),
            AfterWrite::Created(ticket) => {
                if let Err(error) = outcome {
                    turn.refuse_join(ticket, error, "");
                }
            }
        }
    }

    fn assigned(
        &mut self,
        turn: &mut Turn<'_>,
        generation: i32,
        mut assignments: HashMap<Arc<str>, Bytes>,
        outcome: Result<(), GroupError>,
    ) {
        // Somebody may have joined or left meanwhile: then this generation's assignment is void.
        if self.state != State::CompletingRebalance || self.generation != generation {
            return;
        }
        if let Err(error) = outcome {
            self.refuse_syncs(turn, error);
            return self.prepare_rebalance(turn);
        }
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let member = &mut self.members[&id];
            member.assignment = assignments.remove(&id).unwrap_or_default();
            if let Some(ticket) = member.awaiting_sync.take() {
                turn.synced(ticket, self.assignment_of(&self.members[&id]));
                self.restart_session(&id, turn.now_ms);
            }
        }
        self.enter(State::Stable, turn.wall_ms);
    }
}
