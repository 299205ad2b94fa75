//! Who leads in which term, and who voted for whom.

use std::collections::BTreeMap;

use weir_raft::inspect::Voted;
use weir_raft::{NodeId, Term};

#[derive(Default)]
pub struct Votes {
    leaders: BTreeMap<Term, NodeId>,
    /// Whom a node voted for in a term.
    cast: BTreeMap<(NodeId, Term), NodeId>,
    /// The highest term in which a node has promised something to another.
    promised: BTreeMap<NodeId, Term>,
}

impl Votes {
    /// A node leads in a term.
    pub fn leads(&mut self, node: NodeId, term: Term) -> Result<(), String> {
        let leader = *self.leaders.entry(term).or_insert(node);
        match leader == node {
            true => Ok(()),
            false => Err(format!("{leader} and {node} both lead in term {term}")),
        }
    }

    /// The leaders of this and later terms.
    pub fn leaders_from(&self, term: Term) -> impl Iterator<Item = (Term, NodeId)> {
        self.leaders
            .range(term..)
            .map(|(term, leader)| (*term, *leader))
    }

    /// A node votes; returns whether that is news.
    pub fn votes(&mut self, node: NodeId, term: Term, candidate: NodeId) -> Result<bool, String> {
        let before = self.cast.insert((node, term), candidate);
        if before.is_some_and(|before| before != candidate) {
            return Err(format!(
                "node {node} votes for {before:?} and for {candidate} in term {term}"
            ));
        }
        self.says(node, term)?;
        self.promised(node, term);
        Ok(before.is_none())
    }

    /// A node has promised to follow nobody of a lower term.
    pub fn promised(&mut self, node: NodeId, term: Term) {
        let promised = self.promised.entry(node).or_default();
        *promised = term.max(*promised);
    }

    /// A node says which term it is in.
    pub fn says(&self, node: NodeId, term: Term) -> Result<(), String> {
        match self.promised.get(&node) {
            Some(promised) if *promised > term => Err(format!(
                "node {node} is in term {term}, but has promised something in term {promised}"
            )),
            _ => Ok(()),
        }
    }

    /// A node starts with this vote.
    pub fn remembered(&self, node: NodeId, vote: Option<Voted>) -> Result<(), String> {
        let term = vote.map_or(0, |(term, ..)| term);
        self.says(node, term)?;
        match (vote, self.cast.get(&(node, term))) {
            // Whoever follows a leader remembers its vote in place of the own one.
            (Some((_, found, false)), Some(cast)) if found != *cast => Err(format!(
                "node {node} remembers a vote for {found} in term {term}, but it was for {cast}"
            )),
            _ => Ok(()),
        }
    }
}
