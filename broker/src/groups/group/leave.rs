//! Members go: by LeaveGroup, or because their session ended.

use std::sync::Arc;

use super::{Group, State};
use crate::groups::answer::{Leaving, SyncAnswer};
use crate::groups::error::GroupError;
use crate::groups::turn::Turn;

impl Group {
    /// Takes out whom the request names; one result for each, in its order.
    pub fn leave(
        &mut self,
        turn: &mut Turn<'_>,
        leaving: &[Leaving],
    ) -> Vec<Result<(), GroupError>> {
        let results: Vec<_> = leaving
            .iter()
            .map(|one| self.leave_one(turn, one))
            .collect();
        if results.iter().any(Result::is_ok) {
            match self.state {
                State::Empty => {}
                State::PreparingRebalance => self.complete_if_all_joined(turn),
                State::CompletingRebalance | State::Stable => self.prepare_rebalance(turn),
            }
        }
        results
    }

    fn leave_one(&mut self, turn: &mut Turn<'_>, one: &Leaving) -> Result<(), GroupError> {
        if one.member_id.is_empty() {
            let id = one
                .instance_id
                .as_ref()
                .and_then(|instance| self.statics.get(instance))
                .cloned();
            self.dismiss(turn, &id.ok_or(GroupError::UnknownMember)?);
        } else if self.pending.contains_key(&one.member_id) {
            self.remove(&one.member_id);
        } else {
            self.check_member(&one.member_id, one.instance_id.as_deref())?;
            self.dismiss(turn, &one.member_id);
        }
        Ok(())
    }

    /// Removes a member. A join that it waits for is refused, so that a member that is still there joins anew.
    fn dismiss(&mut self, turn: &mut Turn<'_>, member_id: &Arc<str>) {
        let member = &mut self.members[member_id];
        let (join, sync) = (member.awaiting_join.take(), member.awaiting_sync.take());
        if let Some(ticket) = join {
            turn.refuse_join(ticket, GroupError::UnknownMember, "");
        }
        if let Some(ticket) = sync {
            turn.synced(ticket, SyncAnswer::refused(GroupError::UnknownMember));
        }
        self.remove(member_id);
    }

    /// A member's session ended.
    pub(super) fn session_expired(&mut self, turn: &mut Turn<'_>, member_id: &Arc<str>) {
        self.dismiss(turn, member_id);
        self.after_loss(turn);
    }

    /// A member id that was given out was never used.
    pub(super) fn pending_expired(&mut self, turn: &mut Turn<'_>, member_id: &Arc<str>) {
        self.remove(member_id);
        if self.state == State::PreparingRebalance && self.all_joined() {
            self.complete_join(turn);
        }
    }

    fn after_loss(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::Empty => {}
            State::CompletingRebalance | State::Stable => self.prepare_rebalance(turn),
            State::PreparingRebalance if self.all_joined() => self.complete_join(turn),
            State::PreparingRebalance => {}
        }
    }

    /// Members of this generation that never synced lose their place.
    pub(super) fn sync_expired(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.state, State::CompletingRebalance | State::Stable)
            || self.pending_sync.is_empty()
        {
            return;
        }
        let silent: Vec<Arc<str>> = self.pending_sync.iter().cloned().collect();
        for id in silent {
            self.dismiss(turn, &id);
        }
        self.prepare_rebalance(turn);
    }
}
