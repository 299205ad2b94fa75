//! From the group at its coordinator to its stored form, and back after a fail-over.

use std::sync::Arc;

use super::{Group, State};
use crate::groups::format::{GroupMetadata, StoredMember};
use crate::groups::member::{Member, Protocol};
use crate::groups::turn::{AfterWrite, Ticket, Turn};

impl Group {
    /// The group as it is stored.
    pub(super) fn to_stored(&self) -> GroupMetadata {
        let protocol = self.protocol.as_deref().unwrap_or("");
        let member = |member: &Member| StoredMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol),
            assignment: member.assignment.clone(),
        };
        GroupMetadata {
            protocol_type: self.protocol_type().into(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since_ms: self.state_since_ms,
            members: self.members.values().map(member).collect(),
        }
    }

    /// Stores a group that a join has just created, unless the join itself has written more.
    pub fn store_created(&self, turn: &mut Turn<'_>, ticket: Ticket) {
        if turn.writes() {
            return;
        }
        let empty = GroupMetadata {
            protocol_type: "".into(),
            generation: 0,
            protocol: None,
            leader: None,
            state_since_ms: self.state_since_ms,
            members: Vec::new(),
        };
        turn.write(empty, AfterWrite::Created(ticket));
    }

    /// The group goes on from its stored form at a new coordinator: every member gets a fresh session.
    pub fn load(id: Arc<str>, stored: &GroupMetadata, turn: &mut Turn<'_>) -> Group {
        let mut group = Group::new(id, turn.wall_ms);
        group.state = if stored.members.is_empty() {
            State::Empty
        } else {
            State::Stable
        };
        group.previous = group.state;
        group.state_since_ms = stored.state_since_ms;
        group.protocol_type =
            (!stored.protocol_type.is_empty()).then(|| stored.protocol_type.clone());
        group.protocol = stored.protocol.clone();
        group.generation = stored.generation;
        group.leader = stored.leader.clone();
        let protocol = group.protocol.clone().unwrap_or_else(|| "".into());
        for member in &stored.members {
            group.load_member(member, &protocol, turn.now_ms);
        }
        group.subscribed = group.read_subscriptions();
        if group.members.len() > turn.settings.max_size {
            group.prepare_rebalance(turn);
        }
        group
    }

    fn load_member(&mut self, stored: &StoredMember, protocol: &Arc<str>, now_ms: u64) {
        if let Some(instance_id) = &stored.instance_id {
            self.statics.insert(instance_id.clone(), stored.id.clone());
        }
        let member = Member {
            id: stored.id.clone(),
            instance_id: stored.instance_id.clone(),
            client_id: stored.client_id.clone(),
            client_host: stored.client_host.clone(),
            rebalance_timeout_ms: stored.rebalance_timeout_ms,
            session_timeout_ms: stored.session_timeout_ms,
            protocols: vec![Protocol {
                name: protocol.clone(),
                metadata: stored.subscription.clone(),
            }],
            assignment: stored.assignment.clone(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            expires_at: None,
        };
        self.members.insert(member.id.clone(), member);
        self.restart_session(&stored.id, now_ms);
    }
}
