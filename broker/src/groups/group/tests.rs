//! The state machine is driven without a runtime: a test plays the members, the log and the clock.

mod commits;
mod joins;
mod random;
mod rebalances;
mod statics;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Group, State};
use crate::groups::answer::{Claim, JoinAnswer, JoinRequest, Leaving, SyncAnswer, SyncRequest};
use crate::groups::error::GroupError;
use crate::groups::format::GroupMetadata;
use crate::groups::member::Protocol;
use crate::groups::settings::GroupSettings;
use crate::groups::turn::{AfterWrite, Effect, Ticket, Turn};

const SESSION: u64 = 10_000;
const REBALANCE: u64 = 30_000;
const DELAY: u64 = 3_000;

struct Rig {
    group: Group,
    settings: GroupSettings,
    now: u64,
    tickets: u64,
    joins: HashMap<Ticket, JoinAnswer>,
    syncs: HashMap<Ticket, SyncAnswer>,
    /// Writes that have no outcome yet, oldest first.
    writes: Vec<(GroupMetadata, AfterWrite)>,
}

/// What a test's member says when it joins.
#[derive(Clone)]
struct Joining {
    member_id: String,
    instance_id: Option<String>,
    protocols: Vec<(&'static str, &'static [u8])>,
    needs_known_id: bool,
    may_skip_assignment: bool,
    fresh_id: String,
}

fn known(member_id: &str) -> Joining {
    Joining {
        member_id: member_id.to_owned(),
        instance_id: None,
        protocols: vec![("range", b"meta")],
        needs_known_id: true,
        may_skip_assignment: true,
        fresh_id: "unused".to_owned(),
    }
}

/// A member that joins without an id, at a version that gives it one at once.
fn fresh(id: &str) -> Joining {
    Joining {
        member_id: String::new(),
        fresh_id: id.to_owned(),
        needs_known_id: false,
        ..known("")
    }
}

fn fresh_static(instance: &str, id: &str) -> Joining {
    Joining {
        instance_id: Some(instance.to_owned()),
        ..fresh(id)
    }
}

impl Joining {
    fn protocols(self, protocols: Vec<(&'static str, &'static [u8])>) -> Joining {
        Joining { protocols, ..self }
    }
}

impl Rig {
    fn new() -> Rig {
        Rig::with(GroupSettings {
            initial_rebalance_delay_ms: DELAY,
            ..GroupSettings::default()
        })
    }

    fn with(settings: GroupSettings) -> Rig {
        Rig {
            group: Group::new("g".into(), 1_000),
            settings,
            now: 1_000,
            tickets: 0,
            joins: HashMap::new(),
            syncs: HashMap::new(),
            writes: Vec::new(),
        }
    }

    fn turn<R>(&mut self, event: impl FnOnce(&mut Group, &mut Turn<'_>) -> R) -> R {
        let mut turn = Turn::new(&self.settings, self.now, self.now as i64);
        let result = event(&mut self.group, &mut turn);
        self.group.tick(&mut turn);
        for effect in turn.effects {
            match effect {
                Effect::Joined(ticket, answer) => assert!(
                    self.joins.insert(ticket, answer).is_none(),
                    "answered twice"
                ),
                Effect::Synced(ticket, answer) => assert!(
                    self.syncs.insert(ticket, answer).is_none(),
                    "answered twice"
                ),
                Effect::Write(state, after) => self.writes.push((state, after)),
            }
        }
        self.group.validate();
        result
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn join(&mut self, joining: Joining) -> Ticket {
        let ticket = self.ticket();
        let protocol = |(name, metadata): &(&'static str, &'static [u8])| Protocol {
            name: (*name).into(),
            metadata: Bytes::from_static(metadata),
        };
        let request = JoinRequest {
            member_id: joining.member_id.as_str().into(),
            instance_id: joining.instance_id.as_deref().map(Arc::from),
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            session_timeout_ms: SESSION as i32,
            rebalance_timeout_ms: REBALANCE as i32,
            protocol_type: "consumer".into(),
            protocols: joining.protocols.iter().map(protocol).collect(),
            fresh_id: joining.fresh_id.as_str().into(),
            needs_known_id: joining.needs_known_id,
            may_skip_assignment: joining.may_skip_assignment,
        };
        self.turn(|group, turn| group.join(turn, ticket, request));
        ticket
    }

    fn sync(&mut self, member_id: &str, assignments: &[(&str, &'static [u8])]) -> Ticket {
        let ticket = self.ticket();
        let request = SyncRequest {
            member_id: member_id.into(),
            instance_id: None,
            generation: self.group.generation(),
            protocol_type: Some("consumer".into()),
            protocol: self.group.protocol.clone(),
            assignments: assignments
                .iter()
                .map(|(id, bytes)| ((*id).into(), Bytes::from_static(bytes)))
                .collect(),
        };
        self.turn(|group, turn| group.sync(turn, ticket, request));
        ticket
    }

    fn heartbeat(&mut self, member_id: &str) -> Result<(), GroupError> {
        let generation = self.group.generation();
        self.turn(|group, turn| {
            group.heartbeat(
                turn,
                &Claim {
                    member_id,
                    instance_id: None,
                    generation,
                },
            )
        })
    }

    fn commit(&mut self, member_id: &str, generation: i32) -> Result<(), GroupError> {
        self.turn(|group, turn| {
            group.accept_commit(
                turn,
                &Claim {
                    member_id,
                    instance_id: None,
                    generation,
                },
            )
        })
    }

    fn leave(&mut self, member_id: &str, instance: Option<&str>) -> Result<(), GroupError> {
        let leaving = [Leaving {
            member_id: member_id.into(),
            instance_id: instance.map(Arc::from),
        }];
        self.turn(|group, turn| group.leave(turn, &leaving))
            .remove(0)
    }

    /// Lets time pass, one deadline after the other.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(at) = self.group.wake_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.turn(|_, _| ());
        }
        self.now = end;
    }

    /// The oldest write has its outcome.
    fn written(&mut self, outcome: Result<(), GroupError>) -> GroupMetadata {
        let (state, after) = self.writes.remove(0);
        self.turn(|group, turn| group.written(turn, after, outcome));
        state
    }

    fn joined(&self, ticket: Ticket) -> &JoinAnswer {
        self.joins.get(&ticket).expect("the join is answered")
    }

    fn synced(&self, ticket: Ticket) -> &SyncAnswer {
        self.syncs.get(&ticket).expect("the sync is answered")
    }

    fn waits(&self, ticket: Ticket) -> bool {
        !self.joins.contains_key(&ticket) && !self.syncs.contains_key(&ticket)
    }

    fn state(&self) -> State {
        self.group.state()
    }

    /// A stable group of these members, the first of them its leader.
    fn stable(members: &[&str]) -> Rig {
        let mut rig = Rig::new();
        let joins: Vec<Ticket> = members.iter().map(|id| rig.join(fresh(id))).collect();
        rig.pass(2 * DELAY);
        assert!(
            joins
                .iter()
                .all(|ticket| rig.joined(*ticket).error.is_none())
        );
        rig.settle(members);
        rig
    }

    /// Everybody syncs and the assignment is stored.
    fn settle(&mut self, members: &[&str]) {
        assert_eq!(self.state(), State::CompletingRebalance);
        let leader = self
            .group
            .leader
            .clone()
            .expect("a generation has a leader");
        for id in members.iter().filter(|id| **id != &*leader) {
            self.sync(id, &[]);
        }
        self.sync(&leader, &[(members[0], b"first")]);
        self.written(Ok(()));
        assert_eq!(self.state(), State::Stable);
    }
}

impl Group {
    /// The invariants of the type.
    fn validate(&self) {
        for (instance, id) in &self.statics {
            assert_eq!(self.members[id].instance_id.as_ref(), Some(instance));
        }
        assert_eq!(
            self.statics.len(),
            self.members.values().filter(|m| m.is_static()).count()
        );
        assert!(
            self.pending_sync
                .iter()
                .all(|id| self.members.contains_key(id))
        );
        assert!(self.pending.keys().all(|id| !self.members.contains_key(id)));
        assert!(self.members.iter().all(|(id, member)| *id == member.id));
        if let Some(leader) = &self.leader {
            assert!(self.members.contains_key(leader), "the leader is a member");
        }
        match self.state {
            State::Empty => assert!(self.members.is_empty()),
            State::PreparingRebalance => {
                assert!(self.join_timer.is_some(), "joining ends some time")
            }
            State::CompletingRebalance | State::Stable => {
                assert!(
                    self.leader.is_some() && self.protocol.is_some() && !self.members.is_empty()
                );
                assert!(self.join_timer.is_none());
            }
        }
    }
}
