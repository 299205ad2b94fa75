use std::io;

use uuid::Uuid;
use weir_log::tail::RUN_BYTES;
use weir_log::{BatchBuilder, Codec};
use weir_raft::{NodeId, Payload, Piece, ShardId, WalPos};

use super::*;
use crate::clock::SystemClock;

const PARTITIONS: i32 = 2;

/// Nothing here is read back.
struct NoDisk;

impl BlockReader for NoDisk {
    fn read(&self, _: Pos, _: usize) -> io::Result<Bytes> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn read_segment(&self, _: u64, _: u64, _: usize) -> io::Result<Bytes> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn id(index: i32) -> PartitionId {
    PartitionId {
        topic: Uuid::from_u128(1),
        index,
    }
}

/// A machine with two partitions.
struct Rig {
    machine: Machine,
    shard: Arc<ShardHost>,
    index: Index,
}

impl Rig {
    fn new() -> Rig {
        let mut rig = Rig::of(1, &Arc::new(Partitions::default()));
        let item = |index| AttachItem {
            partition: id(index),
            epoch_base: 0,
            role: Role::Data,
        };
        rig.apply(Body::Attach((0..PARTITIONS).map(item).collect()), &[]);
        rig
    }

    /// A shard on a node with these partitions.
    fn of(shard: u64, partitions: &Arc<Partitions>) -> Rig {
        let clock = Arc::new(SystemClock);
        let (shard, _queue) = ShardHost::new(ShardId(shard), NodeId(1), clock, 1 << 20);
        shard.keep_what_is_applied();
        let folds = Folds {
            offsets: None,
            schemas: None,
            metadata: None,
        };
        let machine = Machine::new(
            shard.clone(),
            partitions.clone(),
            folds,
            Arc::new(NoDisk),
            Arc::default(),
        );
        Rig {
            machine,
            shard,
            index: 0,
        }
    }

    fn apply(&mut self, body: Body, batches: &[Piece]) {
        let head = Entry { time_ms: 1, body }.encode_head();
        let pieces = std::iter::once(Piece::from(head)).chain(batches.iter().cloned());
        self.apply_payload(Payload::new(pieces));
    }

    fn apply_payload(&mut self, payload: Payload) {
        assert_eq!(self.outcome(payload), Outcome::Applied);
    }

    /// Whether an entry has an effect, with `rest` behind its head.
    fn takes(&mut self, body: Body, rest: &[u8]) -> bool {
        let head = Entry { time_ms: 1, body }.encode_head();
        let rest = Piece::from(Bytes::copy_from_slice(rest));
        let payload = Payload::new([Piece::from(head), rest]);
        self.outcome(payload) == Outcome::Applied
    }

    fn outcome(&mut self, payload: Payload) -> Outcome {
        self.index += 1;
        let committed = Committed {
            index: self.index,
            term: 1,
            payload,
            pos: WalPos {
                file: 1,
                offset: 100_000 * self.index as u32,
            },
        };
        let outcome = self.machine.apply(&committed);
        self.machine.applied(self.index);
        outcome
    }

    fn tail_bytes(&self) -> usize {
        self.shard.with_tail(|tail| tail.used_bytes())
    }
}

/// One record for each partition, at `offset`, of a request that takes `frame_bytes`.
fn records(offset: i64, frame_bytes: usize) -> (Body, Vec<Piece>) {
    let mut items = Vec::new();
    let mut pieces = Vec::new();
    for index in 0..PARTITIONS {
        let mut batch = BatchBuilder::new(Codec::None);
        batch.append(1000, None, Some(b"value"), &[]);
        let mut batch = batch.build().expect("a batch");
        weir_log::assign(&mut batch, offset, 1);
        items.push(AppendItem {
            partition: id(index),
            base_offset: offset,
            leader_epoch: 1,
            len: batch.len() as u32,
        });
        pieces.push(Piece {
            held_bytes: 0,
            ..Piece::from(batch.freeze())
        });
    }
    pieces.last_mut().expect("a piece").held_bytes = frame_bytes;
    (Body::Append(items), pieces)
}

#[test]
fn the_tail_counts_whole_requests() {
    let mut rig = Rig::new();
    let (body, pieces) = records(0, 5000);
    rig.apply(body, &pieces);
    assert_eq!(rig.tail_bytes(), 5000 + 2 * RUN_BYTES);
    // As a follower gets it, in one piece, which every batch keeps in memory.
    let (body, pieces) = records(1, 5000);
    let mut whole = Entry { time_ms: 1, body }.encode_head().to_vec();
    pieces
        .iter()
        .for_each(|piece| whole.extend_from_slice(&piece.bytes));
    let len = whole.len();
    rig.apply_payload(Payload::from(Bytes::from(whole)));
    assert_eq!(rig.tail_bytes(), 5000 + len + 4 * RUN_BYTES);
}

#[test]
fn a_request_is_counted_though_its_last_batch_is_refused() {
    let mut rig = Rig::new();
    let (Body::Append(mut items), pieces) = records(0, 5000) else {
        unreachable!("records are appended");
    };
    // The one that answers for the request comes first, and its topic has been deleted.
    items.reverse();
    items[0].partition = id(9);
    let head = Entry {
        time_ms: 1,
        body: Body::Append(items),
    };
    let pieces = pieces.into_iter().rev();
    let payload = Payload::new(std::iter::once(Piece::from(head.encode_head())).chain(pieces));
    let committed = Committed {
        index: 2,
        term: 1,
        payload,
        pos: WalPos { file: 1, offset: 0 },
    };
    let outcome = rig.machine.apply(&committed);
    assert_eq!(outcome, Outcome::Partly([0].into()));
    assert_eq!(rig.tail_bytes(), 5000 + RUN_BYTES);
}

#[test]
fn extents_are_accounted_for_until_they_or_their_partition_go() {
    let mut rig = Rig::new();
    assert_eq!(rig.shard.extent_bytes(), 0);
    let (body, pieces) = records(0, 0);
    rig.apply(body, &pieces);
    let both = rig.shard.extent_bytes();
    assert!(both > 0);
    let item = TrimItem {
        partition: id(0),
        start: 1,
    };
    rig.apply(Body::Trim(vec![item]), &[]);
    assert_eq!(rig.shard.extent_bytes(), both / 2);
    let state = rig.machine.snapshot();
    rig.apply(Body::Detach(vec![id(1)]), &[]);
    assert_eq!(rig.shard.extent_bytes(), 0);
    rig.machine.restore(&state).expect("restored");
    assert_eq!(rig.shard.extent_bytes(), both / 2);
}

/// One idempotent record of partition 0, as an item and its bytes.
fn produced(offset: i64, epoch: i32) -> (Vec<AppendItem>, Bytes) {
    let sequence = i32::try_from(offset).expect("small");
    let mut batch = BatchBuilder::new(Codec::None).producer(9, 0, sequence);
    batch.append(1000, None, Some(b"value"), &[]);
    let mut batch = batch.build().expect("a batch");
    weir_log::assign(&mut batch, offset, epoch);
    let item = AppendItem {
        partition: id(0),
        base_offset: offset,
        leader_epoch: epoch,
        len: batch.len() as u32,
    };
    (vec![item], batch.freeze())
}

fn known(rig: &Rig) -> Vec<u8> {
    let partition = rig.machine.find(id(0)).expect("it is there");
    let mut known = Vec::new();
    weir_log::format::encode(&partition.log.read().without_batches(), &mut known);
    known
}

/// A leader that fails may leave any step behind, and the next one takes it again: no step has an effect out of its
/// order, or twice, also after a restart from a snapshot.
#[test]
fn a_partition_moves_step_by_step_and_each_step_once() {
    let partitions = Arc::new(Partitions::default());
    let (mut from, mut to) = (Rig::of(1, &partitions), Rig::of(2, &partitions));
    let attach = AttachItem {
        partition: id(0),
        epoch_base: 0,
        role: Role::Data,
    };
    from.apply(Body::Attach(vec![attach]), &[]);
    let append = |rig: &mut Rig, offset, epoch| {
        let (items, bytes) = produced(offset, epoch);
        rig.takes(Body::Append(items), &bytes)
    };
    let carry = |rig: &mut Rig, offset| {
        let (items, bytes) = produced(offset, 1);
        rig.takes(Body::Carry(items), &bytes)
    };
    let arrive = || {
        Body::Arrive(vec![ArriveItem {
            partition: id(0),
            start: 0,
            role: Role::Data,
        }])
    };
    let open = || {
        Body::Open(OpenItem {
            partition: id(0),
            epoch_base: 1000,
        })
    };
    assert!(append(&mut from, 0, 1) && append(&mut from, 1, 1));
    assert!(!carry(&mut to, 0), "it has not begun");
    assert!(to.takes(arrive(), &[]) && !to.takes(arrive(), &[]));
    assert!(carry(&mut to, 0) && !carry(&mut to, 0));
    let stay = |rig: &Rig| rig.machine.find(id(0)).expect("it is there").stay;
    let stays = (stay(&from), stay(&to));
    assert_eq!(
        stays,
        (0, 2),
        "it began there, and came here with the second entry"
    );
    assert!(!append(&mut to, 1, 1001), "it is not served here yet");
    assert!(!carry(&mut from, 2), "nor does it arrive there");
    let served = |shard| {
        partitions
            .get(id(0))
            .is_some_and(|one| one.shard.id.0 == shard)
    };
    assert!(served(1));
    let early = known(&from);
    assert!(append(&mut from, 2, 1));
    let seal = || Body::Seal(vec![id(0)]);
    assert!(from.takes(seal(), &[]) && from.takes(seal(), &[]));
    assert!(!append(&mut from, 3, 1));
    let state = to.machine.snapshot();
    assert!(!to.takes(open(), &known(&from)), "records are missing");
    to.machine.restore(&state).expect("restored");
    assert!(carry(&mut to, 1));
    assert!(carry(&mut to, 2));
    assert!(!to.takes(open(), &early), "it had not come to its end");
    let arrived = to.machine.find(id(0)).expect("it is there");
    assert!(to.takes(open(), &known(&from)) && !to.takes(open(), &known(&from)));
    let opened = to.machine.find(id(0)).expect("it is there");
    assert!(
        Arc::ptr_eq(&arrived, &opened) && opened.epoch_base() == 1000,
        "who moves its batches into segments meanwhile moves those that are served"
    );
    assert!(served(2) && !carry(&mut to, 3));
    assert!(!append(&mut to, 2, 1001), "a duplicate of before");
    assert!(append(&mut to, 3, 1001));
    let state = from.machine.snapshot();
    from.machine.restore(&state).expect("restored");
    assert!(served(2) && !append(&mut from, 3, 1));
    assert_eq!((stay(&from), stay(&to)), stays, "rows go on with it");
    assert!(from.takes(Body::Detach(vec![id(0)]), &[]));
    assert!(served(2) && append(&mut to, 4, 1001));
    assert!(from.takes(arrive(), &[]));
    assert_ne!(
        stay(&from),
        stays.0,
        "nothing that was here before is of it"
    );
}
