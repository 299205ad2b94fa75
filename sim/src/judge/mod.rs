//! Is told of what replicas do and say, and ends the run when it breaks an invariant. It believes disks, bytes
//! and messages, and nothing that a replica says of itself without them.

mod commits;
mod logs;
mod votes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use weir_raft::inspect::{Answered, Asked, Id, file_path, place};
use weir_raft::{Index, Leadership, NodeId, Shard, ShardId, Term, WalPos};

use crate::disk::SimDisk;
use crate::life::Life;
use crate::machine::State;
use crate::trace::Trace;
use commits::Commits;
use votes::Votes;

pub struct Judge {
    trace: Arc<Trace>,
    state: Mutex<Judged>,
}

/// An entry as a state machine is fed it.
#[derive(Debug, Clone, Copy)]
pub struct Fed {
    pub index: Index,
    pub term: Term,
    /// Of its payload.
    pub hash: u64,
    pub pos: WalPos,
    pub len: usize,
}

#[derive(Default)]
struct Judged {
    running: BTreeMap<NodeId, Running>,
    shards: BTreeMap<ShardId, Record>,
}

/// A process that is looked at.
struct Running {
    life: Life,
    disk: SimDisk,
    dir: PathBuf,
    /// What it stored was changed behind its back.
    damaged: bool,
    shards: BTreeMap<ShardId, Shard>,
}

/// What is known of a shard.
#[derive(Default)]
struct Record {
    commits: Commits,
    votes: Votes,
    /// Whose majority decides; unknown while they change.
    voters: Option<BTreeSet<NodeId>>,
}

impl Judge {
    pub fn new(trace: Arc<Trace>) -> Judge {
        Judge {
            trace,
            state: Mutex::default(),
        }
    }

    /// Ends the run.
    pub fn violated(&self, what: &str) -> ! {
        panic!("at {:.6} s: {what}", self.trace.now().as_secs_f64());
    }

    fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(&what());
        }
    }

    /// A process begins on a disk; its files are below `dir`.
    pub fn begun(&self, life: &Life, disk: &SimDisk, dir: PathBuf) {
        let running = Running {
            life: life.clone(),
            disk: disk.clone(),
            dir,
            damaged: false,
            shards: BTreeMap::new(),
        };
        self.state.lock().running.insert(life.node(), running);
    }

    /// What a node has stored is changed behind its back.
    pub fn damaged(&self, node: NodeId) {
        let mut state = self.state.lock();
        if let Some(running) = state.running.get_mut(&node) {
            running.damaged = true;
        }
    }

    /// A replica runs, on what its disk held.
    pub fn started(&self, life: &Life, shard: &Shard) {
        if life.is_over() {
            return;
        }
        let mut state = self.state.lock();
        let record = state.shards.entry(shard.id()).or_default();
        let log = weir_raft::inspect::log(shard);
        let remembered = record.votes.remembered(life.node(), log.vote);
        let remembered = remembered.and_then(|()| logs::ascends(&log));
        let remembered = remembered.and_then(|()| record.commits.remembered(life.node(), &log));
        if let Err(what) = remembered {
            self.violated(&format!("shard {}: {what}", shard.id()));
        }
        if let Some(running) = state.running.get_mut(&life.node()) {
            running.shards.insert(shard.id(), shard.clone());
        }
    }

    pub fn ended(&self, node: NodeId) {
        self.state.lock().running.remove(&node);
    }

    /// These nodes are a shard's voters from now on; `None` while that changes.
    pub fn set_voters(&self, shard: ShardId, voters: Option<BTreeSet<NodeId>>) {
        let mut state = self.state.lock();
        state.shards.entry(shard).or_default().voters = voters;
    }

    /// A replica asks another one.
    pub fn asks(&self, life: &Life, shard: ShardId, asked: &Asked) {
        if life.is_over() {
            return;
        }
        let mut state = self.state.lock();
        let record = state.shards.entry(shard).or_default();
        let node = life.node();
        let noted = match asked {
            Asked::Append { term, leader, .. } | Asked::Snapshot { term, leader, .. } => {
                record.votes.leads(*leader, *term)
            }
            Asked::Vote {
                term,
                candidate,
                pre: false,
                ..
            } => match record.votes.votes(node, *term, *candidate) {
                Ok(true) => state.vote_is_durable(node, shard, *term, *candidate),
                noted => noted.map(drop),
            },
            Asked::Vote { .. } | Asked::Transfer { .. } => Ok(()),
        };
        if let Err(what) = noted {
            self.violated(&format!("shard {shard}: {what}"));
        }
    }

    /// A replica has answered another one.
    pub fn answered(
        &self,
        life: &Life,
        _asker: NodeId,
        shard: ShardId,
        asked: &Asked,
        answered: &Answered,
    ) {
        let mut state = self.state.lock();
        let node = life.node();
        let record = state.shards.entry(shard).or_default();
        let noted = match (asked, answered) {
            (
                Asked::Vote {
                    term,
                    candidate,
                    pre: false,
                    ..
                },
                Answered::Vote { granted: true, .. },
            ) => match record.votes.votes(node, *term, *candidate) {
                Ok(true) => state.vote_is_durable(node, shard, *term, *candidate),
                noted => noted.map(drop),
            },
            (_, Answered::Vote { vote, .. } | Answered::HigherVote(vote)) => {
                record.votes.says(node, vote.0)
            }
            (
                Asked::Append {
                    term, last, prev, ..
                },
                Answered::Appended,
            ) => state.holds(node, shard, *term, last.or(*prev)),
            (Asked::Append { term, .. }, Answered::Partly(upto)) => {
                state.holds(node, shard, *term, *upto)
            }
            _ => Ok(()),
        };
        if let Err(what) = noted {
            self.violated(&format!("shard {shard}: {what}"));
        }
    }

    /// A replica's leadership has changed.
    pub fn led(&self, life: &Life, shard: &Shard, leadership: &Leadership) {
        if life.is_over() || leadership.leader != Some(life.node()) {
            return;
        }
        let term = leadership.term;
        self.trace
            .event("leads", [life.node().0, shard.id().0, term]);
        let mut state = self.state.lock();
        let record = state.shards.entry(shard.id()).or_default();
        let noted = record.votes.leads(life.node(), term);
        let noted = noted.and_then(|()| match leadership.open {
            true => record.commits.leader_has(term, shard.applied()),
            false => Ok(()),
        });
        if let Err(what) = noted {
            self.violated(&format!("shard {}: {what}", shard.id()));
        }
    }

    /// A state machine was fed an entry.
    pub fn applied(&self, life: &Life, shard: ShardId, before: &State, after: &State, fed: &Fed) {
        if life.is_over() {
            return;
        }
        self.trace
            .event("applied", [life.node().0, shard.0, fed.index, after.chain]);
        let mut state = self.state.lock();
        let record = state.shards.entry(shard).or_default();
        let noted = match record.commits.applied(before, after, fed) {
            Ok(true) => state.is_decided(life.node(), shard, fed),
            noted => noted.map(drop),
        };
        if let Err(what) = noted {
            let node = life.node();
            self.violated(&format!("node {node}, shard {shard}: {what}"));
        }
    }

    /// A state machine has taken a snapshot.
    pub fn restored(&self, life: &Life, shard: ShardId, before: &State, restored: &State) {
        if life.is_over() {
            return;
        }
        let fields = [life.node().0, shard.0, restored.last, restored.chain];
        self.trace.event("restored", fields);
        let mut state = self.state.lock();
        let record = state.shards.entry(shard).or_default();
        let node = life.node();
        if let Err(what) = record.commits.restored(before, restored) {
            self.violated(&format!("node {node}, shard {shard}: {what}"));
        }
    }

    /// A client was told that its entry will never be applied.
    pub fn refused(&self, shard: ShardId, hash: u64) {
        self.trace.event("refused", [shard.0, hash]);
        let mut state = self.state.lock();
        let record = state.shards.entry(shard).or_default();
        if let Err(what) = record.commits.refused(hash) {
            self.violated(&format!("shard {shard}: {what}"));
        }
    }

    /// The last entry that clients were told is applied.
    pub fn last_acked(&self, shard: ShardId) -> Option<Index> {
        let state = self.state.lock();
        state.shards.get(&shard)?.commits.last_acked()
    }

    /// A client was told that its entry is applied.
    pub fn acked(&self, shard: ShardId, index: Index, hash: u64) {
        self.trace.event("acked", [shard.0, index, hash]);
        let mut state = self.state.lock();
        let record = state.shards.entry(shard).or_default();
        if let Err(what) = record.commits.acked(index, hash) {
            self.violated(&format!("shard {shard}: {what}"));
        }
    }

    /// How many entries clients were told are applied.
    pub fn acked_count(&self) -> u64 {
        let state = self.state.lock();
        state
            .shards
            .values()
            .map(|one| one.commits.acked_count())
            .sum()
    }

    /// What every machine of a shard has come to once it has applied all.
    pub fn final_state(&self, shard: ShardId) -> State {
        let state = self.state.lock();
        let record = state.shards.get(&shard);
        record.map_or_else(State::default, |record| record.commits.state())
    }

    /// Compares all logs of all shards with each other.
    pub fn compare_logs(&self) {
        let state = self.state.lock();
        for shard in state.shards.keys() {
            let live = state.running.values().filter(|one| !one.life.is_over());
            let logs: Vec<_> = live
                .filter_map(|one| {
                    let log = weir_raft::inspect::log(one.shards.get(shard)?);
                    Some((one.life.node(), log))
                })
                .collect();
            for (place, one) in logs.iter().enumerate() {
                for other in &logs[place + 1..] {
                    let matched = logs::match_each_other(&one.1, &other.1);
                    self.check(matched.is_ok(), || {
                        let what = matched.err().unwrap_or_default();
                        let (one, other) = (one.0, other.0);
                        format!("shard {shard}, nodes {one} and {other}: {what}")
                    });
                }
            }
        }
    }
}

impl Judged {
    /// Whether a vote that was just cast would be remembered after a loss of power now (D1).
    fn vote_is_durable(
        &self,
        node: NodeId,
        shard: ShardId,
        term: Term,
        candidate: NodeId,
    ) -> Result<(), String> {
        let Some(running) = self.running.get(&node) else {
            return Ok(());
        };
        if running.life.is_over() {
            return Ok(());
        }
        if running.damaged {
            return Ok(());
        }
        let image = running.disk.at_worst();
        let found = weir_raft::inspect::recover(&image, &running.dir, node);
        let found =
            found.map_err(|error| format!("after a loss of power node {node} finds: {error}"))?;
        let vote = found.get(&shard).and_then(|log| log.vote);
        match vote {
            Some((found, _, _)) if found > term => Ok(()),
            Some((found, of, won)) if found == term && (won || of == candidate) => Ok(()),
            _ => Err(format!(
                "node {node} voted for {candidate} in term {term}, but its disk would keep {vote:?}"
            )),
        }
    }

    /// Notes that a follower says it has everything up to an entry, and whether its disk would keep that.
    fn holds(
        &mut self,
        node: NodeId,
        shard: ShardId,
        term: Term,
        upto: Option<Id>,
    ) -> Result<(), String> {
        let Some((entry_term, index)) = upto else {
            return Ok(());
        };
        if !self.is_durable(node, shard, (entry_term, index)) {
            return Err(format!(
                "node {node} told the leader of term {term} that it has entry {index}, but its disk would not keep it"
            ));
        }
        let record = self.shards.entry(shard).or_default();
        record.votes.promised(node, term);
        record.commits.holds(node, term, index);
        Ok(())
    }

    /// Whether a running node's disk would keep an entry that its log has; true where that cannot be told.
    fn is_durable(&self, node: NodeId, shard: ShardId, (term, index): Id) -> bool {
        let Some(running) = self.running.get(&node) else {
            return true;
        };
        let replica = running.shards.get(&shard);
        let Some(place) = replica.and_then(|replica| place(replica, index)) else {
            return true;
        };
        if place.term != term || running.life.is_over() || running.damaged {
            return true;
        }
        let path = file_path(&running.dir.join("wal"), place.pos.file);
        let start = place.pos.offset as usize - HEADER_LEN;
        running
            .disk
            .is_durable(&path, start, HEADER_LEN + place.len as usize)
    }

    /// Whether a majority would keep an entry that is applied for the first time, after a loss of power now.
    fn is_decided(&self, applier: NodeId, shard: ShardId, fed: &Fed) -> Result<(), String> {
        let record = &self.shards[&shard];
        let Some(voters) = &record.voters else {
            return Ok(());
        };
        let needed = voters.len() / 2 + 1;
        let mut most = 0;
        for (term, leader) in record.votes.leaders_from(fed.term) {
            let followers = record.commits.holders(term, fed.index);
            let followers = followers.filter(|node| *node != leader && voters.contains(node));
            let leading =
                voters.contains(&leader) && self.is_durable(leader, shard, (fed.term, fed.index));
            most = most.max(followers.count() + usize::from(leading));
        }
        if voters.len() == 1 {
            most = usize::from(self.is_durable(applier, shard, (fed.term, fed.index)));
        }
        match most >= needed {
            true => Ok(()),
            false => Err(format!(
                "entry {} of term {} is applied, but only {most} of {} voters would keep it",
                fed.index,
                fed.term,
                voters.len()
            )),
        }
    }
}

/// Of a record in the write-ahead log, before its payload.
const HEADER_LEN: usize = 64;
