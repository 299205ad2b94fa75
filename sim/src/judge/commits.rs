//! The entries that were applied anywhere, in their one order.

use std::collections::{BTreeMap, BTreeSet};

use weir_raft::inspect::Log;
use weir_raft::{Index, NodeId, Term};

use super::Fed;
use crate::machine::State;

#[derive(Default)]
pub struct Commits {
    /// What the machine that applied an entry first had come to.
    applied: BTreeMap<Index, Applied>,
    acked: BTreeMap<Index, Term>,
    /// Entries that will never be applied.
    refused: BTreeSet<u64>,
    /// How far each node has said to a term's leader that it has the leader's log.
    held: BTreeMap<(Term, NodeId), Index>,
}

struct Applied {
    term: Term,
    hash: u64,
    after: State,
}

impl Commits {
    /// A machine was fed an entry; returns whether it is the first.
    pub fn applied(&mut self, before: &State, after: &State, fed: &Fed) -> Result<bool, String> {
        if before.count > 0 && fed.index <= before.last {
            return Err(format!(
                "entry {} is applied after entry {}",
                fed.index, before.last
            ));
        }
        if let Some(known) = self.applied.get(&fed.index) {
            if known.hash != fed.hash || known.term != fed.term {
                return Err(format!(
                    "entry {} was {:x} of term {}, and is {:x} of term {}",
                    fed.index, known.hash, known.term, fed.hash, fed.term
                ));
            }
            return match known.after == *after {
                true => Ok(false),
                false => Err(format!(
                    "after entry {} the state was {:?}, and is {after:?}",
                    fed.index, known.after
                )),
            };
        }
        if self.refused.contains(&fed.hash) {
            return Err(format!("entry {} was refused, and is applied", fed.index));
        }
        let last = self.state();
        if last != *before {
            return Err(format!(
                "entry {} is the first after {before:?}, but others have come to {last:?}",
                fed.index
            ));
        }
        let applied = Applied {
            term: fed.term,
            hash: fed.hash,
            after: *after,
        };
        self.applied.insert(fed.index, applied);
        Ok(true)
    }

    pub fn restored(&self, before: &State, restored: &State) -> Result<(), String> {
        if restored.count < before.count {
            return Err(format!(
                "the state goes back from {before:?} to {restored:?}"
            ));
        }
        let known = match restored.count {
            0 => Some(State::default()),
            _ => self.applied.get(&restored.last).map(|known| known.after),
        };
        match known == Some(*restored) {
            true => Ok(()),
            false => Err(format!(
                "a snapshot holds {restored:?}, but that state was {known:?}"
            )),
        }
    }

    pub fn acked(&mut self, index: Index, hash: u64) -> Result<(), String> {
        let Some(known) = self.applied.get(&index) else {
            return Err(format!(
                "entry {index} is acknowledged, but applied nowhere"
            ));
        };
        if known.hash != hash {
            return Err(format!(
                "entry {index} is acknowledged as {hash:x}, but is {:x}",
                known.hash
            ));
        }
        match self.acked.insert(index, known.term) {
            None => Ok(()),
            Some(_) => Err(format!("entry {index} is acknowledged twice")),
        }
    }

    pub fn refused(&mut self, hash: u64) -> Result<(), String> {
        self.refused.insert(hash);
        match self.applied.values().find(|known| known.hash == hash) {
            None => Ok(()),
            Some(_) => Err(format!("an entry, {hash:x}, is applied, and refused")),
        }
    }

    pub fn last_acked(&self) -> Option<Index> {
        self.acked.last_key_value().map(|(index, _)| *index)
    }

    /// A node starts with this log.
    pub fn remembered(&self, node: NodeId, log: &Log) -> Result<(), String> {
        let said = self.held.iter().rfind(|((_, of), _)| *of == node);
        let Some(((term, _), held)) = said else {
            return Ok(());
        };
        // A leader of a later term may have had it cut off.
        let same_term = log.vote.is_none_or(|(voted, ..)| voted == *term);
        match same_term && log.last.map(|(_, last)| last) < Some(*held) {
            false => Ok(()),
            true => Err(format!(
                "node {node} told the leader of term {term} that it has entry {held}, and starts with {log:?}"
            )),
        }
    }

    pub fn acked_count(&self) -> u64 {
        self.acked.len() as u64
    }

    /// Whether a leader that has applied all that it held when it was elected has what was acknowledged before.
    pub fn leader_has(&self, term: Term, applied: Option<Index>) -> Result<(), String> {
        let earlier = self.acked.iter().rfind(|(_, of)| **of < term);
        match earlier {
            Some((index, of)) if Some(*index) > applied => Err(format!(
                "the leader of term {term} has applied up to {applied:?}, but entry {index} of term {of} was \
                 acknowledged"
            )),
            _ => Ok(()),
        }
    }

    /// A node has the log of a term's leader up to an entry.
    pub fn holds(&mut self, node: NodeId, term: Term, index: Index) {
        let held = self.held.entry((term, node)).or_default();
        *held = index.max(*held);
    }

    /// Who has the log of a term's leader up to an entry.
    pub fn holders(&self, term: Term, index: Index) -> impl Iterator<Item = NodeId> {
        let of_term = self
            .held
            .range((term, NodeId(0))..=(term, NodeId(u64::MAX)));
        of_term.filter_map(move |((_, node), held)| (*held >= index).then_some(*node))
    }

    /// What a machine has come to that has applied all.
    pub fn state(&self) -> State {
        let last = self.applied.last_key_value();
        last.map_or_else(State::default, |(_, last)| last.after)
    }
}
