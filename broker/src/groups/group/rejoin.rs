//! A static member comes back without its member id: it takes the place of its older self (KIP-345).

use std::sync::Arc;

use super::{Group, State};
use crate::groups::answer::{JoinAnswer, JoinRequest, SyncAnswer};
use crate::groups::error::GroupError;
use crate::groups::turn::{AfterWrite, Rejoin, Ticket, Turn};

impl Group {
    pub(super) fn rejoin_static(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        mut request: JoinRequest,
        old_id: Arc<str>,
    ) {
        let old_leader = self.leader.clone().unwrap_or_else(|| "".into());
        let new_id = request.fresh_id.clone();
        self.replace_static(turn, &old_id, &new_id);
        self.restart_session(&new_id, turn.now_ms);
        let member = &self.members[&new_id];
        let rejoin = Rejoin {
            ticket,
            instance_id: member
                .instance_id
                .clone()
                .expect("only static members are replaced"),
            old_id,
            new_id: new_id.clone(),
            old_protocols: member.protocols.clone(),
            old_rebalance_timeout_ms: member.rebalance_timeout_ms,
            old_session_timeout_ms: member.session_timeout_ms,
            old_leader,
            may_skip_assignment: request.may_skip_assignment,
        };
        request.member_id = new_id;
        self.update(turn, &request, ticket);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol => {
                // Nothing changes for the others: the assignment stays, only the member's id is new.
                turn.write(self.to_stored(), AfterWrite::Rejoin(Box::new(rejoin)));
            }
            State::Stable => self.rebalance_or_complete(turn),
            // The leader may already assign to the old id, so the new one would get nothing.
            State::CompletingRebalance => self.prepare_rebalance(turn),
            State::PreparingRebalance => self.complete_if_all_joined(turn),
            State::Empty => unreachable!("an empty group has no static members"),
        }
    }

    /// The member keeps everything but its id; what its older self waits for is refused.
    fn replace_static(&mut self, turn: &mut Turn<'_>, old_id: &Arc<str>, new_id: &Arc<str>) {
        let index = self
            .members
            .get_index_of(old_id)
            .expect("static ids name members");
        let (_, mut member) = self.members.shift_remove_index(index).expect("just found");
        if let Some(waiting) = member.awaiting_join.take() {
            turn.refuse_join(waiting, GroupError::FencedInstance, old_id);
        }
        if let Some(waiting) = member.awaiting_sync.take() {
            turn.synced(waiting, SyncAnswer::refused(GroupError::FencedInstance));
        }
        let instance_id = member
            .instance_id
            .clone()
            .expect("only static members are replaced");
        self.statics.insert(instance_id, new_id.clone());
        self.pending_sync.remove(old_id);
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        member.id = new_id.clone();
        member.is_new = false;
        self.members.shift_insert(index, new_id.clone(), member);
    }

    /// The write that followed a static member's return has its outcome.
    pub(super) fn rejoined(
        &mut self,
        turn: &mut Turn<'_>,
        rejoin: Rejoin,
        outcome: Result<(), GroupError>,
    ) {
        let current = self.statics.get(&rejoin.instance_id) == Some(&rejoin.new_id);
        if let Err(error) = outcome {
            if current {
                self.restore_static(turn, &rejoin);
            }
            let mut answer = JoinAnswer {
                error: Some(error),
                ..self.generation_for(&"".into())
            };
            answer.leader = rejoin.old_leader;
            return turn.joined(rejoin.ticket, answer);
        }
        // A rebalance that began meanwhile answers the join itself.
        let waiting = self
            .members
            .get(&rejoin.new_id)
            .is_some_and(|m| m.awaiting_join == Some(rejoin.ticket));
        if !current || !waiting || self.state == State::PreparingRebalance {
            return;
        }
        let mut answer = self.generation_for(&rejoin.new_id);
        if rejoin.may_skip_assignment {
            answer.skip_assignment = self.is_leader(&rejoin.new_id);
        } else {
            answer.leader = rejoin.old_leader;
            answer.members.clear();
        }
        self.members[&rejoin.new_id].awaiting_join = None;
        // It may have ended while the member waited, which was no reason to lose it.
        self.restart_session(&rejoin.new_id, turn.now_ms);
        turn.joined(rejoin.ticket, answer);
    }

    fn restore_static(&mut self, turn: &mut Turn<'_>, rejoin: &Rejoin) {
        let member = &mut self.members[&rejoin.new_id];
        member.protocols = rejoin.old_protocols.clone();
        member.rebalance_timeout_ms = rejoin.old_rebalance_timeout_ms;
        member.session_timeout_ms = rejoin.old_session_timeout_ms;
        member.awaiting_join = None;
        self.replace_static(turn, &rejoin.new_id, &rejoin.old_id);
        self.restart_session(&rejoin.old_id, turn.now_ms);
    }
}
