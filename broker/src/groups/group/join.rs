//! JoinGroup: who gets in, and what that does to the group.

use std::sync::Arc;

use bytes::Bytes;

use super::{Group, State};
use crate::groups::answer::JoinRequest;
use crate::groups::error::GroupError;
use crate::groups::member::Member;
use crate::groups::turn::{Ticket, Turn};

impl Group {
    /// A member joins, or joins again. `ticket` is answered now or with the next generation.
    pub fn join(&mut self, turn: &mut Turn<'_>, ticket: Ticket, request: JoinRequest) {
        if !self.accepts(turn.settings.max_size, &request.member_id) {
            self.remove(&request.member_id);
            turn.refuse_join(ticket, GroupError::MaxSizeReached, "");
        } else if !self.supports(&request.protocol_type, &request.protocols) {
            turn.refuse_join(ticket, GroupError::InconsistentProtocol, &request.member_id);
        } else if request.member_id.is_empty() {
            self.join_new(turn, ticket, request);
        } else {
            self.join_known(turn, ticket, request);
        }
    }

    /// Members above the limit are turned away. During a rebalance those count that have joined it, so that the last to
    /// come back are the ones that lose their place.
    fn accepts(&self, max_size: usize, member_id: &str) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                let waiting = self
                    .members
                    .values()
                    .filter(|m| m.awaiting_join.is_some())
                    .count();
                member.is_some_and(|m| m.awaiting_join.is_some()) || waiting < max_size
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < max_size
            }
        }
    }

    fn join_new(&mut self, turn: &mut Turn<'_>, ticket: Ticket, request: JoinRequest) {
        let existing = request
            .instance_id
            .as_ref()
            .and_then(|id| self.statics.get(id))
            .cloned();
        if let Some(old_id) = existing {
            self.rejoin_static(turn, ticket, request, old_id);
        } else if request.instance_id.is_none() && request.needs_known_id {
            let session_ms = u64::try_from(request.session_timeout_ms).unwrap_or(0);
            let deadline = turn.now_ms.saturating_add(session_ms);
            self.pending.insert(request.fresh_id.clone(), deadline);
            self.wake_by(deadline);
            turn.refuse_join(ticket, GroupError::MemberIdRequired, &request.fresh_id);
        } else {
            let id = request.fresh_id.clone();
            self.add_and_rebalance(turn, ticket, request, id);
        }
    }

    fn join_known(&mut self, turn: &mut Turn<'_>, ticket: Ticket, request: JoinRequest) {
        if self.pending.contains_key(&request.member_id) {
            // A pending id was given to a member without an instance id.
            if request.instance_id.is_some() {
                return turn.refuse_join(ticket, GroupError::UnknownMember, &request.member_id);
            }
            let id = request.member_id.clone();
            return self.add_and_rebalance(turn, ticket, request, id);
        }
        if let Err(error) = self.check_member(&request.member_id, request.instance_id.as_deref()) {
            return turn.refuse_join(ticket, error, &request.member_id);
        }
        let same = self.members[&request.member_id].protocols == request.protocols;
        let leads = self.is_leader(&request.member_id);
        match self.state {
            State::Empty => turn.refuse_join(ticket, GroupError::UnknownMember, &request.member_id),
            // The answer to the first join may have been lost.
            State::CompletingRebalance if same => {
                turn.joined(ticket, self.generation_for(&request.member_id))
            }
            // A follower whose metadata is as before needs no rebalance; a leader asks for one by joining.
            State::Stable if same && !leads => {
                turn.joined(ticket, self.generation_for(&request.member_id))
            }
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                self.update(turn, &request, ticket);
                self.rebalance_or_complete(turn);
            }
        }
    }

    fn add_and_rebalance(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        request: JoinRequest,
        id: Arc<str>,
    ) {
        if self.state == State::PreparingRebalance && self.previous == State::Empty {
            self.new_member_added = true;
        }
        let deadline = turn
            .now_ms
            .saturating_add(turn.settings.new_member_join_timeout_ms);
        let member = Member {
            id,
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols,
            assignment: Bytes::new(),
            awaiting_join: Some(ticket),
            awaiting_sync: None,
            is_new: true,
            expires_at: Some(deadline),
        };
        self.add(member, &request.protocol_type);
        self.wake_by(deadline);
        self.rebalance_or_complete(turn);
    }

    /// Takes what a member that is known says of itself when it joins again.
    pub(super) fn update(&mut self, turn: &mut Turn<'_>, request: &JoinRequest, ticket: Ticket) {
        let member = self
            .members
            .get_mut(&request.member_id)
            .expect("the member was checked");
        member.protocols = request.protocols.clone();
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.session_timeout_ms = request.session_timeout_ms;
        if let Some(earlier) = member.awaiting_join.replace(ticket) {
            // The member asks again: nobody reads the earlier answer.
            turn.refuse_join(earlier, GroupError::RebalanceInProgress, &request.member_id);
        }
    }
}
