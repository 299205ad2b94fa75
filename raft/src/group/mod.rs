//! One shard's replica: openraft's log store and state machine on top of the node's WAL.

mod applier;
mod index;
pub mod membership;
mod runtime;
mod snapshot;
mod sole_voter;
mod state;
mod store;
#[cfg(test)]
mod suite;
pub mod types;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::ids::{Index, NodeId, ShardId, WalPos};
use crate::payload::Payload;
use crate::wal::format::{EntryForm, Kind};
use crate::wal::{Done, Record, Wal, is_passing};
pub use applier::Applier;
pub use index::Located;
pub use runtime::gather_timers;
pub use snapshot::{SnapshotStore, decode as decode_snapshot};
pub use state::LogState;
pub use store::Store;
use types::{Data, EntryPayload, Held, Membership, Snapshot};

/// How long to wait before storing a snapshot on a full disk again.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(500);

/// Entries that nobody acknowledges for so long lack a majority.
const STANDS: Duration = Duration::from_millis(200);

/// A shard's log, shared by its log store and its state machine.
pub struct Group {
    pub shard: ShardId,
    node: NodeId,
    wal: Arc<Wal>,
    log: Mutex<LogState>,
    /// The number of applied entries, set before whoever proposed one is answered.
    applied: AtomicU64,
    /// What was applied, and since when no more was, though there are entries.
    stands: Mutex<(Option<Index>, Instant)>,
    /// The entry at which the state machine panicked.
    panicked: OnceLock<Index>,
    builds: Builds,
}

/// The snapshots that this process has built of a shard, counted from 1.
struct Builds {
    begun: AtomicU64,
    /// The last one that is durable.
    stored: watch::Sender<u64>,
}

impl Group {
    pub fn new(shard: ShardId, node: NodeId, wal: Arc<Wal>, log: LogState) -> Group {
        Group {
            shard,
            node,
            wal,
            log: Mutex::new(log),
            applied: AtomicU64::new(0),
            stands: Mutex::new((None, Instant::now())),
            panicked: OnceLock::new(),
            builds: Builds {
                begun: AtomicU64::new(0),
                stored: watch::Sender::new(0),
            },
        }
    }

    /// Whether nothing was ever written for this shard.
    pub fn is_new(&self) -> bool {
        let log = self.log.lock();
        log.vote.is_none() && log.last().is_none()
    }

    /// The entry at which the state machine panicked, if it did.
    pub fn panicked_at(&self) -> Option<Index> {
        self.panicked.get().copied()
    }

    /// Ends the process, which cannot go on without this replica. Where the WAL was stopped, or failed, that is why.
    pub fn die(&self, what: &str) {
        if self.wal.is_open() {
            self.wal.die(what);
        }
    }

    fn record(&self, kind: Kind) -> Record {
        Record {
            shard: self.shard,
            kind,
            body: Payload::empty(),
        }
    }

    /// An entry's payload; of a normal entry that is no longer in memory only its place.
    fn payload(&self, located: Located, held: Option<&EntryPayload>) -> io::Result<EntryPayload> {
        if let Some(held) = held {
            return Ok(held.clone());
        }
        Ok(match located.form {
            EntryForm::Blank => EntryPayload::Blank,
            EntryForm::Payload => EntryPayload::Normal(Data {
                bytes: Held::InWal(located.len),
                pos: located.pos,
            }),
            EntryForm::Membership => {
                let bytes = self.wal.read_body(located.pos, located.len as usize)?;
                let membership = membership::decode(&bytes).ok_or_else(|| {
                    let what = format!("no membership is stored at {}", located.pos);
                    io::Error::new(io::ErrorKind::InvalidData, what)
                })?;
                EntryPayload::Membership(membership)
            }
        })
    }

    /// Reads a payload from the WAL unless it is in memory. Blocks.
    fn load(&self, data: &Data) -> io::Result<Payload> {
        match &data.bytes {
            Held::InMemory(payload) => Ok(payload.clone()),
            Held::InWal(len) => {
                let bytes = self.wal.read_body(data.pos, *len as usize)?;
                Ok(Payload::from(bytes))
            }
        }
    }

    /// Reads payloads from the WAL, neighbours with one read, until `budget` bytes are read. Blocks.
    fn load_all<'a>(
        &self,
        missing: impl Iterator<Item = &'a mut Data>,
        budget: usize,
    ) -> io::Result<()> {
        let mut missing: Vec<&mut Data> = missing.collect();
        let mut read = 0;
        let mut rest = &mut missing[..];
        while let Some(count) = span(rest)
            && read < budget
        {
            let (neighbours, after) = rest.split_at_mut(count);
            let places = neighbours.iter().map(|data| (data.pos, data.len()));
            let bodies = self.wal.read_bodies(&places.collect::<Vec<_>>())?;
            for (data, body) in neighbours.iter_mut().zip(bodies) {
                read += body.len();
                data.bytes = Held::InMemory(Payload::from(body));
            }
            rest = after;
        }
        Ok(())
    }

    /// The last applied entry, if nobody but this node can have acknowledged a later one. Once this
    /// node leads, everything acknowledged before the call is at or below it.
    pub fn applied_as_sole_voter(&self) -> Option<Index> {
        let sole = self.log.lock().sole_voter.holds();
        self.applied_index().filter(|_| sole)
    }

    /// The last entry that is applied.
    pub fn applied_index(&self) -> Option<Index> {
        self.applied.load(Ordering::Acquire).checked_sub(1)
    }

    /// Whether entries wait for a majority, and have for a while; asked again and again.
    fn lacks_majority(&self) -> bool {
        let applied = self.applied_index();
        let waits = self.log.lock().last().map(|(_, last)| last) > applied;
        let mut stands = self.stands.lock();
        if !waits || stands.0 != applied {
            *stands = (applied, Instant::now());
        }
        stands.1.elapsed() > STANDS
    }

    /// Notes that an entry is applied and is about to be acknowledged.
    fn applying(&self, index: Index) {
        self.applied.store(index + 1, Ordering::Release);
    }

    /// Notes a membership that was applied, or came with a snapshot that ends at `at`.
    fn membership_applied(&self, at: Index, membership: &Membership) {
        let alone = membership
            .get_joint_config()
            .iter()
            .all(|voters| voters.iter().eq([&self.node.0]));
        self.log.lock().sole_voter.applied(at, alone);
    }

    /// Notes that everything up to `index` is applied, so that its payloads may leave the memory.
    fn applied(&self, index: u64) {
        let mut log = self.log.lock();
        log.set_applied(index);
        log.release(self.wal.durable());
    }

    /// The last entry that the log has forgotten.
    pub fn purged(&self) -> Option<u64> {
        self.log.lock().purged.map(|(_, index)| index)
    }

    /// Notes that a snapshot of the state as it is now is being built, and numbers it.
    fn begin_build(&self) -> u64 {
        self.builds.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The number of the last snapshot whose building has begun.
    pub fn last_build(&self) -> u64 {
        self.builds.begun.load(Ordering::Acquire)
    }

    /// The number of the last snapshot that is durable.
    pub fn stored_builds(&self) -> watch::Receiver<u64> {
        self.builds.stored.subscribe()
    }

    /// Makes a snapshot durable. A full disk is waited for until the WAL stops; any other failure ends the process,
    /// as one of the WAL's own does: the replica cannot go on.
    async fn store(&self, snapshots: &SnapshotStore, snapshot: Snapshot) -> io::Result<()> {
        let mut waits = false;
        loop {
            let (store, storing) = (snapshots.clone(), snapshot.clone());
            let stored = self.wal.unblock(move || store.save(&storing)).await;
            let Err(error) = stored else {
                return Ok(());
            };
            let name = snapshots.name();
            if !is_passing(&error) {
                self.wal
                    .die(&format!("storing a snapshot {name} failed: {error}"));
                return Err(error);
            }
            if !std::mem::replace(&mut waits, true) {
                tracing::error!("{error}: storing a snapshot {name} is retried");
            }
            if timeout(FULL_DISK_PAUSE, self.wal.stopped()).await.is_ok() {
                return Err(error);
            }
        }
    }

    /// The oldest WAL file that this shard's entries need.
    pub fn oldest_entry_file(&self) -> Option<u64> {
        self.log.lock().oldest_entry_file()
    }

    /// The last entry that lies in WAL file `file` or before it.
    pub fn last_in_file(&self, file: u64) -> Option<u64> {
        self.log.lock().index.last_in_file(file)
    }

    /// Looks at the log as it is now.
    pub fn look<T>(&self, look: impl FnOnce(&LogState) -> T) -> T {
        look(&self.log.lock())
    }

    /// Memory that the places of its entries take.
    pub fn index_bytes(&self) -> usize {
        self.log.lock().index.heap_bytes()
    }

    /// Where an entry ends in the WAL.
    fn end_of(&self, index: u64) -> Option<WalPos> {
        let located = self.log.lock().index.get(index)?;
        Some(WalPos {
            file: located.pos.file,
            offset: located.pos.offset + located.len,
        })
    }

    /// Writes the vote and the watermarks again when they lie in a file before `file`, so that it
    /// can be retired. Returns when they are durable.
    pub async fn move_control_records(&self, file: u64) -> io::Result<()> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        {
            let mut log = self.log.lock();
            if !log.control_before(file) {
                return Ok(());
            }
            let vote = log.vote.map(|vote| Kind::Vote {
                term: vote.term,
                node: vote.node,
                won: vote.won,
            });
            let purge = log.purged.map(|upto| Kind::Purge { upto });
            let committed = Kind::Committed {
                upto: log.committed,
            };
            let kinds = vote.into_iter().chain(purge).chain([committed]);
            let done: Done = Box::new(move |result| drop(sender.send(result)));
            let records = kinds.map(|kind| self.record(kind));
            let positions = self.wal.submit(records, done)?;
            log.control_moved(positions[0].file);
        }
        receiver.await.map_err(io::Error::other)??;
        Ok(())
    }
}

/// Bytes that one read may span, unless a single payload is longer.
const SPAN_BYTES: u32 = 1 << 20;

/// Bytes of other shards between two payloads that are read along: another read would take as long.
const GAP_BYTES: u32 = 32 << 10;

/// How many of these payloads, at least one, lie close enough together for one read.
fn span(payloads: &[&mut Data]) -> Option<usize> {
    let first = payloads.first()?.pos;
    let mut read_to = first.offset;
    let fits = |data: &&&mut Data| {
        let end = data.pos.offset.saturating_add(data.len() as u32);
        let near = data.pos.offset.saturating_sub(read_to) <= GAP_BYTES;
        read_to = end;
        data.pos.file == first.file && near && end.saturating_sub(first.offset) <= SPAN_BYTES
    };
    let count = payloads.iter().take_while(fits).count();
    Some(count.max(1))
}

/// A body of one piece.
fn body(bytes: Vec<u8>) -> Payload {
    Payload::from(Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use openraft::testing::log::StoreBuilder;

    use super::*;

    const KIB: u32 = 1 << 10;

    fn in_wal(offset: u32, len: u32) -> Data {
        Data {
            bytes: Held::InWal(len),
            pos: WalPos { file: 1, offset },
        }
    }

    fn spans(payloads: &mut [Data]) -> Option<usize> {
        span(&payloads.iter_mut().collect::<Vec<_>>())
    }

    #[test]
    fn what_lies_close_together_is_read_at_once() {
        assert_eq!(spans(&mut []), None);
        let near = [in_wal(0, KIB), in_wal(9 * KIB, KIB), in_wal(42 * KIB, KIB)];
        assert_eq!(spans(&mut near.clone()), Some(3));
        let mut far = near;
        far[2].pos.offset += 1;
        assert_eq!(spans(&mut far), Some(2), "a gap of more than 32 KiB");
        far[1].pos.file += 1;
        assert_eq!(spans(&mut far), Some(1), "another file");
        let mut long = [in_wal(0, KIB << 10), in_wal(KIB << 10, 1)];
        assert_eq!(spans(&mut long), Some(1), "more than a read may span");
        assert_eq!(spans(&mut [in_wal(0, 5 << 20)]), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn entries_that_nobody_acknowledges_lack_a_majority() {
        let (_guard, Store(group), _) = suite::Builder.build().await.expect("built");
        let append = |index| {
            let place = Located {
                term: 1,
                form: EntryForm::Blank,
                pos: WalPos::ZERO,
                len: 0,
            };
            group.log.lock().push(index, place, EntryPayload::Blank);
        };
        tokio::time::sleep(2 * STANDS).await;
        assert!(!group.lacks_majority(), "there is no entry");
        append(0);
        assert!(!group.lacks_majority(), "it may be on its way");
        tokio::time::sleep(2 * STANDS).await;
        assert!(group.lacks_majority());
        append(1);
        group.applying(0);
        assert!(!group.lacks_majority(), "one was acknowledged just now");
        tokio::time::sleep(2 * STANDS).await;
        assert!(group.lacks_majority(), "and the other is not");
        group.applying(1);
        assert!(!group.lacks_majority());
    }
}
