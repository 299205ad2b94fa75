//! A shard's replica on this node.

mod followers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::impls::ProgressResponder;
use openraft::raft::TransferLeaderRequest;
use openraft::{ChangeMembers, Config, EmptyNode, ReadPolicy, ServerState, SnapshotPolicy};
use tokio::sync::watch;

use super::leadership::{Leadership, follow};
use super::{Founding, MAX_PAYLOAD_LEN, NodeConfig, Proposal, ProposeError, ServeError, failure};
use crate::bring::Bring;
use crate::env::Env;
use crate::group::types::{Data, Snapshot, TypeConfig};
use crate::group::{Applier, Group, SnapshotStore, Store};
use crate::ids::{Index, NodeId, ShardId, Term};
use crate::payload::Payload;
use crate::planted::{self, Bug};
use crate::state_machine::StateMachine;
use crate::threads::blocking;
use crate::transport::{Answer, Ask, Network, Reply, Request};
pub use followers::{Followers, MemberProgress, Progress};

/// How long a snapshot is waited for before it is asked for again.
const BUILD_AGAIN: Duration = Duration::from_millis(100);

type Metrics = openraft::alias::WatchReceiverOf<TypeConfig, openraft::RaftMetrics<TypeConfig>>;
pub type Raft = openraft::Raft<TypeConfig, Applier>;

/// A shard's replica. Clones share it.
#[derive(Clone)]
pub struct Shard {
    id: ShardId,
    node: NodeId,
    raft: Raft,
    group: Arc<Group>,
    leadership: watch::Receiver<Leadership>,
    takes_snapshots: bool,
}

/// The nodes that hold a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// While they change, those of before and of after.
    pub voters: BTreeSet<NodeId>,
    pub learners: BTreeSet<NodeId>,
}

/// Why a linearizable read cannot be served here and now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("this node does not lead the shard")]
    NotLeader { leader: Option<NodeId> },
    #[error("no majority of the shard's voters answers")]
    NoMajority,
    #[error("the shard's replica has stopped: {0}")]
    Fatal(String),
}

/// Why the members of a shard were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("this node does not lead the shard")]
    NotLeader { leader: Option<NodeId> },
    #[error("the change is refused: {0}")]
    Refused(String),
    #[error("the shard's replica has stopped: {0}")]
    Fatal(String),
}

impl Shard {
    pub(super) async fn start(
        config: &NodeConfig,
        env: &Env,
        group: Arc<Group>,
        machine: Box<dyn StateMachine>,
        founding: Founding,
    ) -> Result<Shard, String> {
        let (id, node) = (group.shard, config.node_id);
        let found = group.is_new() && founding == Founding::Alone;
        let (term_sender, applied_term) = watch::channel(0);
        let snapshots = SnapshotStore::new(config.dir.join("snapshots"), id, env.disk.clone());
        reaches_the_log(env, &snapshots, &group).await?;
        let applier = Applier::new(group.clone(), machine, snapshots, term_sender);
        let network = Network {
            transport: env.transport.clone(),
            shard: id,
        };
        let raft_config = raft_config(config, id)?;
        let store = Store(group.clone());
        let raft = Raft::new(node.0, raft_config, network, store, applier);
        let raft = raft.await.map_err(|error| error.to_string())?;
        if found {
            let alone = BTreeMap::from([(node.0, EmptyNode::new())]);
            let founded = raft.initialize(alone).await;
            founded.map_err(|error| error.to_string())?;
        } else if is_only_voter(&raft, node) {
            // Nobody else can win, so there is nothing to wait for.
            let elected = raft.trigger().elect(false).await;
            elected.map_err(|error| error.to_string())?;
        }
        let (sender, leadership) = watch::channel(Leadership::default());
        let (followed, its_group) = (raft.clone(), group.clone());
        tokio::spawn(async move {
            follow(&followed, node, applied_term, sender).await;
            failure::tell(&followed, &its_group).await;
        });
        Ok(Shard {
            id,
            node,
            raft,
            group,
            leadership,
            takes_snapshots: config.takes_snapshots,
        })
    }

    pub fn id(&self) -> ShardId {
        self.id
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Queues an entry, to be appended in `term` or not at all. Entries are appended in the order
    /// in which these calls complete; many may be in flight. An error means: definitely not
    /// appended. A leader that was just elected is waited for until it is open.
    pub async fn propose(&self, term: Term, payload: Payload) -> Result<Proposal, ProposeError> {
        if payload.len() > MAX_PAYLOAD_LEN {
            return Err(ProposeError::TooLarge {
                len: payload.len(),
                max: MAX_PAYLOAD_LEN,
            });
        }
        self.wait_open(term).await?;
        let (responder, answer) = ProgressResponder::complete_only();
        let write = self.raft.write(Data::new(payload));
        let sent = write.with_leader(term).responder(responder).await;
        sent.map_err(|error| ProposeError::Fatal(error.to_string()))?;
        Ok(Proposal { answer })
    }

    async fn wait_open(&self, term: Term) -> Result<(), ProposeError> {
        let is_settled = |now: &Leadership| {
            now.term > term || now.term == term && (now.open || now.leader != Some(self.node))
        };
        let mut now = *self.leadership.borrow();
        if !is_settled(&now) {
            let mut leadership = self.leadership.clone();
            let settled = leadership.wait_for(is_settled).await;
            now = *settled.map_err(|_| ProposeError::Fatal("it was shut down".to_owned()))?;
        }
        if now.term == term && now.open {
            return Ok(());
        }
        Err(ProposeError::NotLeader { leader: now.leader })
    }

    /// A barrier for linearizable reads: everything acknowledged before the call is at or below the
    /// returned index, and applied.
    pub async fn read_index(&self) -> Result<Index, ReadError> {
        use openraft::errors::LinearizableReadError as Refused;
        if self.leadership.borrow().open
            && let Some(applied) = self.group.applied_as_sole_voter()
        {
            return Ok(applied);
        }
        let linearizer = self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
        let linearizer = linearizer.map_err(|error| match error {
            RaftError::APIError(Refused::ForwardToLeader(forward)) => ReadError::NotLeader {
                leader: forward.leader_id.map(NodeId),
            },
            RaftError::APIError(Refused::QuorumNotEnough(_)) => ReadError::NoMajority,
            RaftError::Fatal(fatal) => ReadError::Fatal(fatal.to_string()),
        })?;
        let ready = linearizer.await_ready(&self.raft).await;
        let ready = ready.map_err(|fatal| ReadError::Fatal(fatal.to_string()))?;
        Ok(ready.read_log_id().log_id().index)
    }

    pub fn members(&self) -> Members {
        Members {
            voters: self.raft.voter_ids().map(NodeId).collect(),
            learners: self.raft.learner_ids().map(NodeId).collect(),
        }
    }

    /// Whether this node's log is all that decides.
    pub fn has_one_voter(&self) -> bool {
        self.raft.voter_ids().count() == 1
    }

    /// Whether the voters change: majorities of the old and of the new ones decide. When the leader that began it
    /// fails, it stays so until [`Shard::change_voters`] is called again, also where `members` names those that are
    /// wanted.
    pub fn is_changing_voters(&self) -> bool {
        self.voters().1.len() > 1
    }

    /// Whether this node is the only member.
    pub fn is_alone(&self) -> bool {
        let Members { voters, learners } = self.members();
        learners.is_empty() && voters.iter().eq([&self.node])
    }

    /// Has a node receive the shard's entries without a vote; returns when it has caught up.
    pub async fn add_learner(&self, node: NodeId) -> Result<(), ChangeError> {
        let added = self.raft.add_learner(node.0, EmptyNode::new(), true).await;
        added.map(drop).map_err(change_error)
    }

    /// Makes these nodes the voters; each must be a learner or a voter already. Voters that are
    /// not named leave the shard.
    pub async fn change_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), ChangeError> {
        let ids = voters.into_iter().map(|node| node.0).collect();
        let change = ChangeMembers::ReplaceAllVoters(ids);
        let changed = self.raft.change_membership(change, false).await;
        changed.map(drop).map_err(change_error)
    }

    /// Has these learners leave the shard.
    pub async fn remove_learners(&self, nodes: BTreeSet<NodeId>) -> Result<(), ChangeError> {
        let ids = nodes.into_iter().map(|node| node.0).collect();
        let change = ChangeMembers::RemoveNodes(ids);
        let changed = self.raft.change_membership(change, true).await;
        changed.map(drop).map_err(change_error)
    }

    /// Asks the leader, if it is this node, to hand over to another voter. Returns before that has happened.
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), ChangeError> {
        // A leader that hands over takes no more proposals, and waits for somebody to be elected.
        if to == self.node {
            return Ok(());
        }
        if !self.members().voters.contains(&to) {
            return Err(ChangeError::Refused(format!("node {to} has no vote")));
        }
        let asked = self.raft.trigger().transfer_leader(to.0).await;
        asked.map_err(|fatal| ChangeError::Fatal(fatal.to_string()))
    }

    /// Stores a snapshot of the state as it is now or later; returns the last index in it. It is stored anew
    /// also when nothing was applied since the last one: the state machine may hold the same state elsewhere.
    pub async fn snapshot(&self) -> Result<Option<Index>, String> {
        let mut metrics = self.raft.metrics();
        let target = metrics.borrow_watched().last_applied.map(|id| id.index);
        let Some(target) = target else {
            return Ok(None);
        };
        let before = self.group.last_build();
        let mut stored = self.group.stored_builds();
        loop {
            if *stored.borrow_and_update() > before {
                break;
            }
            // Does nothing while an earlier one is being built.
            let triggered = self.raft.trigger().snapshot().await;
            triggered.map_err(|fatal| fatal.to_string())?;
            let build = tokio::time::timeout(BUILD_AGAIN, stored.changed());
            if build.await.is_err() {
                let running = metrics.borrow_watched().running_state.clone();
                running.map_err(|fatal| fatal.to_string())?;
            }
        }
        self.wait_metrics(&mut metrics, |now| {
            now.snapshot.map(|id| id.index) >= Some(target)
        })
        .await?;
        Ok(metrics.borrow_watched().snapshot.map(|id| id.index))
    }

    /// Forgets entries up to and including `upto`, as far as a snapshot holds them; returns when they are
    /// forgotten.
    pub async fn purge(&self, upto: Index) -> Result<(), String> {
        let mut metrics = self.raft.metrics();
        let held = metrics.borrow_watched().snapshot.map(|id| id.index);
        let Some(upto) = held.map(|held| held.min(upto)) else {
            return Ok(());
        };
        let purged = self.raft.trigger().purge_log(upto).await;
        purged.map_err(|fatal| fatal.to_string())?;
        self.wait_metrics(&mut metrics, |now| {
            now.purged.map(|id| id.index) >= Some(upto)
        })
        .await
    }

    async fn wait_metrics(
        &self,
        metrics: &mut Metrics,
        reached: impl Fn(&openraft::RaftMetrics<TypeConfig>) -> bool,
    ) -> Result<(), String> {
        loop {
            let (done, running) = {
                let now = metrics.borrow_watched();
                (reached(&now), now.running_state.clone())
            };
            running.map_err(|fatal| fatal.to_string())?;
            if done {
                return Ok(());
            }
            let changed = metrics.changed().await;
            changed.map_err(|_| "the replica was shut down".to_owned())?;
        }
    }

    /// Waits until the entry with this index is applied here.
    pub async fn wait_applied(&self, index: Index) -> Result<(), String> {
        if self.applied() >= Some(index) {
            return Ok(());
        }
        let mut metrics = self.raft.metrics();
        let applied = |now: &openraft::RaftMetrics<TypeConfig>| {
            now.last_applied.map(|id| id.index) >= Some(index)
        };
        self.wait_metrics(&mut metrics, applied).await
    }

    /// Stands for election, as one does whose leader is known to be gone. Does nothing while the leader
    /// was heard of a moment ago, or when the others have.
    pub async fn stand(&self) -> Result<(), ChangeError> {
        let asked = self.raft.trigger().elect(true).await;
        asked.map_err(|fatal| ChangeError::Fatal(fatal.to_string()))
    }

    /// Stands for election as one whom the leader has asked to take over: nobody waits until the leader was silent for
    /// long. For a caller who knows that the leader is gone; that costs an election too many where it is not.
    pub async fn succeed(&self) -> Result<(), ChangeError> {
        let leader = self.raft.metrics().borrow_watched().vote;
        // Whether this node holds enough, the voters judge.
        let asked = TransferLeaderRequest::new(leader, self.node.0, None);
        let asked = self.raft.handle_transfer_leader(asked).await;
        match asked.map_err(|fatal| ChangeError::Fatal(fatal.to_string()))? {
            Ok(()) => Ok(()),
            Err(refused) => Err(ChangeError::Refused(refused.to_string())),
        }
    }

    /// The last entry of this node's log, and its term.
    pub fn last_entry(&self) -> Option<(Term, Index)> {
        self.group.look(|log| log.last())
    }

    /// The last entry that is applied here.
    pub fn applied(&self) -> Option<Index> {
        self.group.applied_index()
    }

    /// Memory that is held to know where its entries lie; freed as they are purged.
    pub fn index_bytes(&self) -> usize {
        self.group.index_bytes()
    }

    /// The first WAL file that holds an entry that was not purged.
    pub fn oldest_file(&self) -> Option<u64> {
        self.group.oldest_entry_file()
    }

    /// The last entry that lies in WAL file `file` or an older one.
    pub fn last_in_file(&self, file: u64) -> Option<Index> {
        self.group.last_in_file(file)
    }

    /// The sets of voters by the last membership in the log, and that entry's index.
    pub(crate) fn voters(&self) -> (Option<Index>, Vec<BTreeSet<NodeId>>) {
        let metrics = self.raft.server_metrics();
        let server = metrics.borrow_watched();
        let stored = &server.membership_config;
        let sets = stored.membership().get_joint_config().iter();
        let nodes = |voters: &BTreeSet<u64>| voters.iter().copied().map(NodeId).collect();
        (
            stored.log_id().as_ref().map(|id| id.index),
            sets.map(nodes).collect(),
        )
    }

    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    pub(super) async fn serve(
        &self,
        request: Request,
        bring: Option<&Arc<dyn Bring>>,
    ) -> Result<Reply, ServeError> {
        let raft = &self.raft;
        let answer = match request.0 {
            Ask::Append(mut append) if planted::has(Bug::AppliedBeforeCommit) => {
                let last = append.entries.last().map(|entry| entry.log_id);
                append.leader_commit = last.or(append.leader_commit);
                raft.append_entries(append).await.map(Answer::Append)
            }
            Ask::Append(append) => raft.append_entries(append).await.map(Answer::Append),
            Ask::Vote(vote) => raft.vote(vote).await.map(Answer::Vote),
            Ask::PreVote(vote) => raft.pre_vote(vote).await.map(Answer::Vote),
            Ask::Snapshot { .. } if bring.is_none() && !self.takes_snapshots => {
                return Err(ServeError::NoSnapshots(self.id));
            }
            Ask::Snapshot { vote, meta, state } => {
                let state = match bring {
                    Some(bring) => {
                        let leader = NodeId(vote.leader_id.voted_for);
                        let whole = bring.bring(self.id, leader, state).await;
                        let shard = self.id;
                        whole.map_err(|reason| ServeError::NotWhole { shard, reason })?
                    }
                    None => state,
                };
                let snapshot = Snapshot {
                    meta: *meta,
                    snapshot: state,
                };
                let installed = raft.install_full_snapshot(vote, snapshot).await;
                installed.map(Answer::Snapshot).map_err(RaftError::Fatal)
            }
            Ask::TransferLeader(transfer) => {
                let handled = raft.handle_transfer_leader(transfer).await;
                handled
                    .map(Answer::TransferLeader)
                    .map_err(RaftError::Fatal)
            }
        };
        let answer = answer.map_err(|error| ServeError::Stopped(error.to_string()))?;
        Ok(Reply(answer))
    }

    pub(super) async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(shard = %self.id, %error, "a shard did not stop cleanly");
        }
    }
}

/// Whether the stored snapshot holds all entries that the log has forgotten.
async fn reaches_the_log(
    env: &Env,
    snapshots: &SnapshotStore,
    group: &Group,
) -> Result<(), String> {
    let Some(purged) = group.purged() else {
        return Ok(());
    };
    let store = snapshots.clone();
    let loaded = blocking(&*env.threads, move || store.load()).await;
    let loaded = loaded.and_then(|loaded| loaded);
    let loaded = loaded.map_err(|error| error.to_string())?;
    let held = loaded.and_then(|snapshot| Some(snapshot.meta.last_log_id?.index));
    if held >= Some(purged) {
        return Ok(());
    }
    let name = snapshots.name();
    Err(format!(
        "the log begins behind entry {purged}, and no snapshot {name} reaches that far; restore the directory from a \
         copy of this node, or let the node join again with an empty directory and a new node id"
    ))
}

fn raft_config(config: &NodeConfig, shard: ShardId) -> Result<Arc<Config>, String> {
    let timing = &config.timing;
    let raft = Config {
        cluster_name: format!("shard-{shard}"),
        heartbeat_interval: timing.heartbeat.as_millis() as u64,
        election_timeout_min: timing.election_min.as_millis() as u64,
        election_timeout_max: timing.election_max.as_millis() as u64,
        install_snapshot_timeout: 60_000,
        // Entries are large, so a snapshot is built when files are retired and never by count.
        snapshot_policy: SnapshotPolicy::Never,
        // Nor are entries forgotten because a snapshot holds them: their payloads may still be read.
        max_in_snapshot_log_to_keep: u64::MAX,
        // A new learner counts as caught up when it lacks no more entries than this.
        replication_lag_threshold: 64,
        // A restored leader would use its old first entry again, and another term is cheap.
        enable_leader_restore: Some(false),
        enable_pre_vote: Some(true),
        allow_log_reversion: None,
        ..Config::default()
    };
    let valid = raft.validate().map_err(|error| error.to_string())?;
    Ok(Arc::new(valid))
}

fn is_only_voter(raft: &Raft, node: NodeId) -> bool {
    let metrics = raft.server_metrics();
    let server = metrics.borrow_watched();
    let mut voters = server.membership_config.voter_ids();
    let alone = voters.next() == Some(node.0) && voters.next().is_none();
    alone && server.state != ServerState::Shutdown
}

fn change_error(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> ChangeError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => ChangeError::NotLeader {
            leader: forward.leader_id.map(NodeId),
        },
        RaftError::APIError(refused) => ChangeError::Refused(refused.to_string()),
        RaftError::Fatal(fatal) => ChangeError::Fatal(fatal.to_string()),
    }
}
