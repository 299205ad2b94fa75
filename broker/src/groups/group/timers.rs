//! The group's deadlines: sessions, the joining phase, the syncing phase, ids that were given out.

use std::sync::Arc;

use super::Group;
use crate::groups::turn::Turn;

impl Group {
    /// Handles every deadline that has passed, and finds the next one.
    pub fn tick(&mut self, turn: &mut Turn<'_>) {
        while self.wake_at.is_some_and(|at| at <= turn.now_ms) {
            self.handle_due(turn);
            self.wake_at = self.next_deadline();
        }
    }

    fn handle_due(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now_ms;
        let expired: Vec<Arc<str>> = self.due_sessions(now);
        for id in expired {
            // An earlier one of them may have changed the group.
            if let Some(member) = self
                .members
                .get_mut(&id)
                .filter(|m| m.expires_at.is_some_and(|at| at <= now))
            {
                member.expires_at = None;
                if !member.is_excused() {
                    self.session_expired(turn, &id);
                }
            }
        }
        let unused: Vec<Arc<str>> = self
            .pending
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in unused {
            self.pending_expired(turn, &id);
        }
        if let Some(timer) = self.join_timer.filter(|timer| timer.deadline <= now) {
            self.join_timer = None;
            self.join_expired(turn, timer.phase);
        }
        if self.sync_deadline.is_some_and(|at| at <= now) {
            self.sync_deadline = None;
            self.sync_expired(turn);
        }
    }

    fn due_sessions(&self, now: u64) -> Vec<Arc<str>> {
        let due = self
            .members
            .values()
            .filter(|member| member.expires_at.is_some_and(|at| at <= now));
        due.map(|member| member.id.clone()).collect()
    }

    fn next_deadline(&self) -> Option<u64> {
        let sessions = self.members.values().filter_map(|member| member.expires_at);
        let pending = self.pending.values().copied();
        let phases = self
            .join_timer
            .map(|timer| timer.deadline)
            .into_iter()
            .chain(self.sync_deadline);
        sessions.chain(pending).chain(phases).min()
    }

    pub(super) fn wake_by(&mut self, deadline: u64) {
        self.wake_at = Some(self.wake_at.map_or(deadline, |at| at.min(deadline)));
    }

    pub(super) fn restart_session(&mut self, member_id: &str, now_ms: u64) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        let deadline = now_ms.saturating_add(member.session_ms());
        member.expires_at = Some(deadline);
        self.wake_by(deadline);
    }
}
