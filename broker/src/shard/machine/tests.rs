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
        let clock = Arc::new(SystemClock);
        let (shard, _queue) = ShardHost::new(ShardId(1), NodeId(1), clock, 1 << 20);
        shard.keep_what_is_applied();
        let folds = Folds {
            offsets: None,
            schemas: None,
            metadata: None,
        };
        let partitions = Arc::new(Partitions::default());
        let machine = Machine::new(
            shard.clone(),
            partitions,
            folds,
            Arc::new(NoDisk),
            Arc::default(),
        );
        let mut rig = Rig {
            machine,
            shard,
            index: 0,
        };
        let item = |index| AttachItem {
            partition: id(index),
            epoch_base: 0,
            role: Role::Data,
        };
        rig.apply(Body::Attach((0..PARTITIONS).map(item).collect()), &[]);
        rig
    }

    fn apply(&mut self, body: Body, batches: &[Piece]) {
        let head = Entry { time_ms: 1, body }.encode_head();
        let pieces = std::iter::once(Piece::from(head)).chain(batches.iter().cloned());
        self.apply_payload(Payload::new(pieces));
    }

    fn apply_payload(&mut self, payload: Payload) {
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
        assert_eq!(self.machine.apply(&committed), Outcome::Applied);
        self.machine.applied(self.index);
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
