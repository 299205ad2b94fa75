//! What a coordinator holds while it leads: its groups, who waits for them, and their alarms.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::groups::answer::{JoinAnswer, SyncAnswer};
use crate::groups::group::Group;
use crate::groups::turn::Ticket;
use crate::groups::writes::PendingCommits;

#[derive(Default)]
pub struct Live {
    /// The term of this leadership; `None` while another node leads.
    pub term: Option<u64>,
    /// Counts leaderships: what comes back from an earlier one is too late.
    pub epoch: u64,
    pub groups: HashMap<Arc<str>, Slot>,
    pub waiting: Tickets,
    pub pending: PendingCommits,
    /// Timer time and group; those that are not a slot's alarm any more are passed over.
    alarms: BinaryHeap<Reverse<(u64, Arc<str>)>>,
}

pub struct Slot {
    pub group: Group,
    /// The earliest alarm that is set for the group.
    alarm: Option<u64>,
}

impl From<Group> for Slot {
    fn from(group: Group) -> Slot {
        Slot { group, alarm: None }
    }
}

impl Live {
    /// Another node leads, or this one in another term: everybody who waits has to ask again.
    pub fn reset(&mut self) {
        if self.term.take().is_some() {
            let epoch = self.epoch + 1;
            *self = Live {
                epoch,
                ..Live::default()
            };
        }
    }

    /// Sets the group's alarm where none is set early enough, and says for when.
    pub fn set_alarm(&mut self, id: &Arc<str>) -> Option<u64> {
        let slot = self.groups.get_mut(id)?;
        let at = slot.group.wake_at()?;
        if slot.alarm.is_some_and(|alarm| alarm <= at) {
            return None;
        }
        slot.alarm = Some(at);
        self.alarms.push(Reverse((at, id.clone())));
        Some(at)
    }

    /// The next group whose alarm rings at `now`.
    pub fn due(&mut self, now: u64) -> Option<Arc<str>> {
        while self.next_alarm().is_some_and(|at| at <= now) {
            let Reverse((at, id)) = self.alarms.pop().expect("there is a next one");
            if let Some(slot) = self
                .groups
                .get_mut(&id)
                .filter(|slot| slot.alarm == Some(at))
            {
                slot.alarm = None;
                return Some(id);
            }
        }
        None
    }

    pub fn next_alarm(&self) -> Option<u64> {
        self.alarms.peek().map(|Reverse((at, _))| *at)
    }
}

/// Who waits for an answer. Dropping it tells everybody that the coordinator is gone.
#[derive(Default)]
pub struct Tickets {
    last: u64,
    joins: HashMap<Ticket, oneshot::Sender<JoinAnswer>>,
    syncs: HashMap<Ticket, oneshot::Sender<SyncAnswer>>,
}

impl Tickets {
    fn next(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }

    pub fn join(&mut self) -> (Ticket, oneshot::Receiver<JoinAnswer>) {
        let (sender, receiver) = oneshot::channel();
        let ticket = self.next();
        self.joins.insert(ticket, sender);
        (ticket, receiver)
    }

    pub fn sync(&mut self) -> (Ticket, oneshot::Receiver<SyncAnswer>) {
        let (sender, receiver) = oneshot::channel();
        let ticket = self.next();
        self.syncs.insert(ticket, sender);
        (ticket, receiver)
    }

    /// Answers a join that still waits; its connection may be gone.
    pub fn joined(&mut self, ticket: Ticket, answer: JoinAnswer) {
        if let Some(sender) = self.joins.remove(&ticket) {
            let _ = sender.send(answer);
        }
    }

    pub fn synced(&mut self, ticket: Ticket, answer: SyncAnswer) {
        if let Some(sender) = self.syncs.remove(&ticket) {
            let _ = sender.send(answer);
        }
    }
}
