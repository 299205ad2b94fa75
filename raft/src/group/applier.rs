//! openraft's state machine: feeds the caller's.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::types::{
    Applied, Data, Entry, EntryPayload, Held, LogId, Snapshot, SnapshotMeta, StoredMembership,
    TypeConfig, term_and_index,
};
use super::{Group, SnapshotStore};
use crate::ids::Term;
use crate::state_machine::{Committed, Outcome, StateMachine};

pub struct Applier {
    group: Arc<Group>,
    // Never contended: the lock only makes the state machine shareable, which openraft asks for.
    machine: Mutex<Box<dyn StateMachine>>,
    last: Option<LogId>,
    membership: StoredMembership,
    snapshots: SnapshotStore,
    /// The term of the last applied entry.
    term: watch::Sender<Term>,
}

impl Applier {
    pub fn new(
        group: Arc<Group>,
        machine: Box<dyn StateMachine>,
        snapshots: SnapshotStore,
        term: watch::Sender<Term>,
    ) -> Applier {
        Applier {
            group,
            machine: Mutex::new(machine),
            last: None,
            membership: StoredMembership::default(),
            snapshots,
            term,
        }
    }

    /// Applies one entry. An error stops this replica for good.
    async fn apply_entry(&mut self, entry: &Entry) -> io::Result<Outcome> {
        let outcome = match &entry.payload {
            EntryPayload::Blank => Outcome::Applied,
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                self.group
                    .membership_applied(entry.log_id.index, membership);
                Outcome::Applied
            }
            EntryPayload::Normal(data) => {
                let payload = match &data.bytes {
                    Held::InMemory(payload) => payload.clone(),
                    Held::InWal(_) => self.load(data.clone()).await?,
                };
                let (term, index) = term_and_index(&entry.log_id);
                let committed = Committed {
                    index,
                    term,
                    payload,
                    pos: data.pos,
                };
                self.apply_committed(&committed)?
            }
        };
        self.last = Some(entry.log_id);
        self.group.applying(entry.log_id.index);
        Ok(outcome)
    }

    async fn load(&self, data: Data) -> io::Result<crate::payload::Payload> {
        let group = self.group.clone();
        let wal = &self.group.wal;
        wal.unblock(move || group.load(&data)).await
    }

    fn apply_committed(&mut self, committed: &Committed) -> io::Result<Outcome> {
        let machine = self.machine.get_mut();
        catch_unwind(AssertUnwindSafe(|| machine.apply(committed))).map_err(|_| {
            let index = committed.index;
            self.group.panicked.get_or_init(|| index);
            io::Error::other(format!("the state machine panicked at entry {index}"))
        })
    }

    fn applied(&mut self) {
        let Some(last) = &self.last else {
            return;
        };
        let (term, index) = term_and_index(last);
        self.machine.get_mut().applied(index);
        self.group.applied(index);
        self.term.send_if_modified(|known| {
            let modified = *known != term;
            *known = term;
            modified
        });
    }
}

impl RaftStateMachine<TypeConfig> for Applier {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let outcome = self.apply_entry(&entry).await?;
            if let Some(responder) = responder {
                responder.send(Applied(outcome));
            }
        }
        self.applied();
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            number: self.group.begin_build(),
            group: self.group.clone(),
            snapshots: self.snapshots.clone(),
            snapshot: Snapshot {
                meta: SnapshotMeta {
                    last_log_id: self.last,
                    last_membership: self.membership.clone(),
                },
                snapshot: self.machine.get_mut().snapshot().into(),
            },
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> io::Result<()> {
        let restored = self.machine.get_mut().restore(&snapshot);
        restored.map_err(|what| {
            io::Error::other(format!("the state machine refuses the snapshot: {what}"))
        })?;
        let snapshots = self.snapshots.clone();
        let stored = self.group.wal.unblock(move || snapshots.load()).await?;
        // At a restart it is the stored one that is installed.
        if stored.is_none_or(|stored| stored.meta != *meta) {
            let installed = Snapshot {
                meta: meta.clone(),
                // A leader's names what lies at the leader, and the state as it is now what lies here.
                snapshot: self.machine.get_mut().snapshot().into(),
            };
            self.group.store(&self.snapshots, installed).await?;
        }
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        if let Some(last) = &self.last {
            let membership = self.membership.membership();
            self.group.membership_applied(last.index, membership);
            self.group.applying(last.index);
        }
        self.applied();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let snapshots = self.snapshots.clone();
        self.group.wal.unblock(move || snapshots.load()).await
    }
}

/// A view of the state at one moment, to be stored.
pub struct Builder {
    number: u64,
    group: Arc<Group>,
    snapshots: SnapshotStore,
    snapshot: Snapshot,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (group, snapshot) = (&self.group, self.snapshot.clone());
        // An entry may be applied before this node has synced it, and a snapshot must not be ahead of
        // the log that it stands for.
        let last = snapshot.meta.last_log_id.map(|id| id.index);
        if let Some(end) = last.and_then(|index| group.end_of(index)) {
            group.wal.until_durable(end).await?;
        }
        group.store(&self.snapshots, snapshot.clone()).await?;
        group.builds.stored.send_replace(self.number);
        Ok(snapshot)
    }
}
