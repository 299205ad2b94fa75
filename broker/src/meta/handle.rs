//! The metadata as the rest of the broker holds it: read it, change it, wait for changes.

use super::command::MetaCommand;
use super::format::{self, MetaEntry};
use super::state::MetaState;
use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::{RwLock, RwLockReadGuard};
use std::sync::Arc;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

/// How often a decision is made anew because the metadata changed between decision and commit.
const MAX_CONFLICTS: usize = 16;

/// The replicated log under the metadata.
pub trait MetaLog: Send + Sync + 'static {
    /// Commits one entry; answers when it is applied on this node.
    fn commit(&self, entry: Bytes) -> BoxFuture<'static, Result<(), MetaCommitError>>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetaCommitError {
    /// Applied with no effect.
    #[error("rejected: {0}")]
    Rejected(Arc<str>),
    /// Not appended.
    #[error("this node does not lead the metadata")]
    NotLeader,
    /// Appended; whether it takes effect is not known.
    #[error("the outcome is not known")]
    Unknown,
    #[error("the metadata log failed: {0}")]
    Fatal(String),
}

/// Why [`Meta::change`] did not change anything, or cannot say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError<E> {
    /// The request was refused; the metadata is as before.
    #[error(transparent)]
    Refused(E),
    #[error(transparent)]
    Commit(#[from] MetaCommitError),
}

/// Time and randomness, for decisions only.
pub trait MetaEnv: Send + Sync + 'static {
    fn now_ms(&self) -> i64;
    fn random_uuid(&self) -> Uuid;
}

/// The folding end, which the shard's state machine owns: entries go in, readers and watchers see the state.
#[derive(Clone)]
pub struct MetaFold {
    state: Arc<RwLock<MetaState>>,
    ticks: watch::Sender<u64>,
}

impl Default for MetaFold {
    fn default() -> Self {
        MetaFold {
            state: Arc::default(),
            ticks: watch::Sender::new(0),
        }
    }
}

impl MetaFold {
    /// Applies one committed entry; `Err` is its outcome, the same on every replica.
    pub fn apply(&self, entry: &[u8]) -> Result<(), String> {
        let revision = {
            let mut state = self.state.write();
            state.apply_entry(entry)?;
            state.revision()
        };
        self.ticks.send_replace(revision);
        Ok(())
    }

    pub fn snapshot(&self) -> Vec<u8> {
        format::encode_snapshot(&self.state.read())
    }

    pub fn restore(&self, snapshot: &[u8]) -> Result<(), String> {
        let restored = format::decode_snapshot(snapshot)?;
        let revision = restored.revision();
        *self.state.write() = restored;
        self.ticks.send_replace(revision);
        Ok(())
    }
}

/// Reads and changes the metadata. One per node, behind an `Arc`.
pub struct Meta {
    fold: MetaFold,
    log: Arc<dyn MetaLog>,
    env: Arc<dyn MetaEnv>,
    /// Held from decision to commit, so that this node's own changes do not conflict with each other.
    deciding: Mutex<()>,
}

impl Meta {
    pub fn new(fold: MetaFold, log: Arc<dyn MetaLog>, env: Arc<dyn MetaEnv>) -> Meta {
        Meta {
            fold,
            log,
            env,
            deciding: Mutex::new(()),
        }
    }

    /// The state as applied on this node. Hold the guard for a short synchronous section only.
    pub fn read(&self) -> RwLockReadGuard<'_, MetaState> {
        self.fold.state.read()
    }

    /// Ticks after every change; the value is the state's revision.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.fold.ticks.subscribe()
    }

    /// Returns once the state is of this revision or a later one.
    pub async fn reaches(&self, revision: u64) {
        let reached = self
            .changed()
            .wait_for(|now| *now >= revision)
            .await
            .is_ok();
        debug_assert!(reached, "the fold is held by this");
    }

    pub fn env(&self) -> &dyn MetaEnv {
        &*self.env
    }

    /// Decides on the current state and commits what was decided. The answer is given once it is applied here.
    ///
    /// `decide` runs again when another node's change came between; it must not have effects of its own.
    pub async fn change<A, E>(
        &self,
        mut decide: impl FnMut(&MetaState) -> Result<(Vec<MetaCommand>, A), E>,
    ) -> Result<A, ChangeError<E>> {
        let _deciding = self.deciding.lock().await;
        for _ in 0..MAX_CONFLICTS {
            let (entry, answer) = {
                let state = self.read();
                let (commands, answer) = decide(&state).map_err(ChangeError::Refused)?;
                if commands.is_empty() {
                    return Ok(answer);
                }
                (
                    MetaEntry {
                        revision: state.revision(),
                        commands,
                    },
                    answer,
                )
            };
            match self.log.commit(format::encode_entry(&entry)).await {
                Ok(()) => return Ok(answer),
                Err(MetaCommitError::Rejected(reason)) => {
                    tracing::debug!(%reason, "metadata change is decided anew");
                }
                Err(error) => return Err(ChangeError::Commit(error)),
            }
        }
        Err(ChangeError::Commit(MetaCommitError::Rejected(
            "the metadata changes too fast".into(),
        )))
    }
}

/// A log of one node that applies at once, for tests.
#[cfg(test)]
pub mod testing {
    use super::*;

    pub struct LocalLog(pub MetaFold);

    impl MetaLog for LocalLog {
        fn commit(&self, entry: Bytes) -> BoxFuture<'static, Result<(), MetaCommitError>> {
            let outcome = self
                .0
                .apply(&entry)
                .map_err(|reason| MetaCommitError::Rejected(reason.into()));
            Box::pin(std::future::ready(outcome))
        }
    }

    /// Ids count up from 1, the time stands still.
    #[derive(Default)]
    pub struct TestEnv(std::sync::atomic::AtomicU64);

    impl MetaEnv for TestEnv {
        fn now_ms(&self) -> i64 {
            1_700_000_000_000
        }
        fn random_uuid(&self) -> Uuid {
            Uuid::from_u128(
                u128::from(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) + 1,
            )
        }
    }

    /// Metadata of one broker, 0, with two data shards.
    pub async fn local_meta() -> Meta {
        let fold = MetaFold::default();
        let meta = Meta::new(
            fold.clone(),
            Arc::new(LocalLog(fold)),
            Arc::new(TestEnv::default()),
        );
        let node = crate::meta::NodeInfo {
            raft_id: 1,
            listeners: Default::default(),
            rack: None,
            cluster: None,
        };
        let shards = [1, 2]
            .map(|shard| {
                let (replicas, founders) = (vec![0], vec![1]);
                (shard, crate::meta::ShardInfo { replicas, founders })
            })
            .into_iter()
            .collect();
        let commands = vec![
            MetaCommand::InitCluster {
                cluster_id: "cluster".to_owned(),
                shards,
                shards_per_node: 2,
            },
            MetaCommand::RegisterNode { broker_id: 0, node },
        ];
        meta.change(|_| Ok::<_, String>((commands.clone(), ())))
            .await
            .unwrap();
        meta
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{TestEnv, local_meta};
    use super::*;

    #[tokio::test]
    async fn a_change_ticks_watchers_and_is_readable_when_it_answers() {
        let meta = local_meta().await;
        let mut changed = meta.changed();
        let take = |state: &MetaState| {
            let first = state.next_producer_id();
            Ok::<_, String>((
                vec![MetaCommand::TakeProducerIds { first, count: 10 }],
                first,
            ))
        };
        assert_eq!(meta.change(take).await, Ok(0));
        assert_eq!(meta.change(take).await, Ok(10));
        assert!(changed.has_changed().unwrap());
        assert_eq!(*changed.borrow_and_update(), meta.read().revision());
        assert_eq!(meta.read().next_producer_id(), 20);
    }

    #[tokio::test]
    async fn a_revision_is_waited_for() {
        let meta = local_meta().await;
        let now = meta.read().revision();
        meta.reaches(now).await;
        let mut next = std::pin::pin!(meta.reaches(now + 1));
        assert!(futures::poll!(&mut next).is_pending());
        let take = |state: &MetaState| {
            let first = state.next_producer_id();
            let commands = vec![MetaCommand::TakeProducerIds { first, count: 10 }];
            Ok::<_, String>((commands, ()))
        };
        meta.change(take).await.expect("changed");
        next.await;
    }

    /// Another node's entry slips in before each of ours, three times.
    struct Racing(MetaFold, std::sync::atomic::AtomicUsize);

    impl MetaLog for Racing {
        fn commit(&self, entry: Bytes) -> BoxFuture<'static, Result<(), MetaCommitError>> {
            if self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 3 {
                let (revision, first) = {
                    let state = self.0.state.read();
                    (state.revision(), state.next_producer_id())
                };
                let commands = vec![MetaCommand::TakeProducerIds { first, count: 100 }];
                self.0
                    .apply(&format::encode_entry(&MetaEntry { revision, commands }))
                    .unwrap();
            }
            let outcome = self
                .0
                .apply(&entry)
                .map_err(|reason| MetaCommitError::Rejected(reason.into()));
            Box::pin(std::future::ready(outcome))
        }
    }

    #[tokio::test]
    async fn a_decision_that_lost_a_race_is_made_anew() {
        let fold = MetaFold::default();
        let log = Racing(fold.clone(), 0.into());
        let meta = Meta::new(fold, Arc::new(log), Arc::new(TestEnv::default()));
        let first = meta
            .change(|state| {
                let first = state.next_producer_id();
                Ok::<_, String>((
                    vec![MetaCommand::TakeProducerIds { first, count: 1 }],
                    first,
                ))
            })
            .await;
        assert_eq!(first, Ok(300));
    }

    #[tokio::test]
    async fn a_snapshot_restores_the_same_state() {
        let meta = local_meta().await;
        let other = MetaFold::default();
        other.restore(&meta.fold.snapshot()).unwrap();
        assert_eq!(*other.state.read(), *meta.read());
        assert_eq!(other.snapshot(), meta.fold.snapshot());
    }
}
