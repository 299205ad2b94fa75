use std::collections::HashMap;

use bytes::BytesMut;
use uuid::Uuid;
use weir_log::{
    BatchBuilder, BatchHeader, Codec, LeaderEpoch, ProducerError, ReadRequest, ValidBatch,
};
use weir_raft::{Env, NoPeers, NodeConfig, NodeId, Unobserved, WalConfig};

use super::*;
use crate::clock::SystemClock;
use crate::data_plane::{Config, DataPlane, Surroundings};
use crate::metrics::Metrics;
use crate::random::Generator;
use crate::segments::Sizes;
use crate::shard::entry::{ArriveItem, AttachItem, OpenItem, PartitionId, Role};
use crate::shard::machine::Folds;

const PRODUCER: i64 = 9;

fn id() -> PartitionId {
    PartitionId {
        topic: Uuid::from_u128(1),
        index: 0,
    }
}

/// A node that leads two shards, the first of which carries a partition.
struct Rig {
    _dir: tempfile::TempDir,
    plane: DataPlane,
    shards: HashMap<u64, Arc<ShardHost>>,
    /// Of the one connection.
    refusals: Arc<Refusals>,
}

impl Rig {
    async fn start() -> Rig {
        let dir = tempfile::tempdir().expect("a directory");
        let plane = open(dir.path()).await;
        let mut shards = HashMap::new();
        for shard in [1, 2] {
            let folds = Folds {
                offsets: None,
                schemas: None,
                metadata: None,
            };
            let host = plane.start_shard(shard, folds).await.expect("it starts");
            let mut leadership = host.watch_leadership();
            leadership.wait_for(|now| now.open).await.expect("it opens");
            shards.insert(shard, host);
        }
        let rig = Rig {
            _dir: dir,
            plane,
            shards,
            refusals: Arc::default(),
        };
        let attach = AttachItem {
            partition: id(),
            epoch_base: 0,
            role: Role::Data,
        };
        rig.change(1, Body::Attach(vec![attach]), None).await;
        rig
    }

    async fn change(&self, shard: u64, body: Body, rest: Option<bytes::Bytes>) {
        let changed = self.shards[&shard].change(body, rest).await;
        assert_eq!(changed.expect("it is committed").1, Outcome::Applied);
    }

    fn partition(&self, shard: u64) -> Arc<Partition> {
        let shard = self.shards[&shard].id;
        let found = self.plane.partitions.get_in(shard, id());
        found.expect("it is there")
    }

    /// Sends a batch of one record to the partition as a shard carries it.
    fn send(&self, shard: u64, sequence: i32) -> oneshot::Receiver<Vec<PartResult>> {
        self.send_on(&self.refusals, shard, sequence)
    }

    fn send_on(
        &self,
        connection: &Arc<Refusals>,
        shard: u64,
        sequence: i32,
    ) -> oneshot::Receiver<Vec<PartResult>> {
        let (reply, outcome) = oneshot::channel();
        let part = Part {
            partition: self.partition(shard),
            batch: batch(sequence),
            ack: Ack::Committed,
        };
        self.shards[&shard].submit(Submit {
            parts: vec![part],
            frame_bytes: 100,
            term: None,
            refusals: connection.clone(),
            reply,
        });
        outcome
    }

    /// Carries all that the first shard has to the second, and opens the partition there.
    async fn carry_and_open(&self) {
        let source = self.partition(1);
        let arrive = ArriveItem {
            partition: id(),
            start: 0,
            role: Role::Data,
        };
        self.change(2, Body::Arrive(vec![arrive]), None).await;
        let request = ReadRequest {
            from: 0,
            upper: source.high_watermark(),
            max_bytes: 1 << 20,
            at_least_one: true,
        };
        let read = source.read(&request, &*self.plane.blocks).expect("read");
        let records = read.concat();
        let epoch: LeaderEpoch = source.leader_epoch();
        let item = AppendItem {
            partition: id(),
            base_offset: 0,
            leader_epoch: epoch,
            len: records.len() as u32,
        };
        self.change(2, Body::Carry(vec![item]), Some(records.into()))
            .await;
        let mut known = Vec::new();
        weir_log::format::encode(&source.log.read().without_batches(), &mut known);
        let open = OpenItem {
            partition: id(),
            epoch_base: 1000,
        };
        self.change(2, Body::Open(open), Some(known.into())).await;
    }
}

async fn open(dir: &std::path::Path) -> DataPlane {
    let mut raft = NodeConfig::new(dir.join("raft"), NodeId(1));
    raft.takes_snapshots = false;
    raft.wal = WalConfig {
        file_bytes: 1 << 20,
        budget_bytes: 64 << 20,
        ..WalConfig::default()
    };
    let config = Config {
        raft,
        segments: dir.join("segments"),
        sizes: Sizes::default(),
    };
    let surroundings = Surroundings {
        clock: Arc::new(SystemClock),
        random: Arc::new(Generator::seeded(1)),
        metrics: Arc::new(Metrics::default()),
        tail_bytes: 1 << 20,
        index_budget_bytes: 1 << 20,
    };
    let env = Env::real(Arc::new(NoPeers));
    let opened = DataPlane::open(config, env, Arc::new(Unobserved), surroundings);
    opened.await.expect("the data plane opens")
}

fn batch(sequence: i32) -> ValidBatch {
    let mut builder = BatchBuilder::new(Codec::None).producer(PRODUCER, 0, sequence);
    builder.append(1000, None, Some(b"value"), &[]);
    let bytes: BytesMut = builder.build().expect("a batch");
    let header = BatchHeader::parse(&bytes).expect("a header");
    ValidBatch { header, bytes }
}

/// The offset that a batch of one part got, or why it was refused.
async fn answer(outcome: oneshot::Receiver<Vec<PartResult>>) -> Result<i64, AppendError> {
    let mut results = outcome.await.expect("an answer");
    let result = results.pop().expect("one part, one result");
    result.map(|appended| appended.base_offset)
}

/// L4, L6: where one node leads both shards of a move, a producer with several batches on their way is told of another
/// leader and of nothing else, and each batch is stored once.
#[tokio::test]
async fn a_move_between_shards_of_one_node_is_a_change_of_leaders_to_a_producer() {
    let rig = Rig::start().await;
    assert_eq!(answer(rig.send(1, 0)).await, Ok(0));
    rig.change(1, Body::Seal(vec![id()]), None).await;
    let refused = rig.send(1, 1);
    assert_eq!(answer(refused).await, Err(AppendError::NotLeader));
    rig.carry_and_open().await;
    // These were sent before the producer heard of that.
    for behind in [2, 3] {
        assert_eq!(
            answer(rig.send(2, behind)).await,
            Err(AppendError::NotLeader)
        );
    }
    for sequence in [1, 2, 3] {
        assert_eq!(answer(rig.send(2, sequence)).await, Ok(sequence.into()));
    }
    // The answer to what was stored before the move was lost.
    assert_eq!(answer(rig.send(2, 0)).await, Ok(0));

    let other = Arc::default();
    let gap = ProducerError::OutOfOrderSequence {
        producer_id: PRODUCER,
        expected: 4,
        found: 5,
    };
    let answered = answer(rig.send_on(&other, 2, 5)).await;
    assert_eq!(answered, Err(AppendError::Producer(gap)), "it is one");
}

/// A partition takes any batch of a producer that it does not know for its first one.
#[tokio::test]
async fn the_second_batch_of_a_producer_is_not_taken_for_the_first() {
    let rig = Rig::start().await;
    rig.change(1, Body::Seal(vec![id()]), None).await;
    assert_eq!(answer(rig.send(1, 0)).await, Err(AppendError::NotLeader));
    let arrive = ArriveItem {
        partition: id(),
        start: 0,
        role: Role::Data,
    };
    rig.change(2, Body::Arrive(vec![arrive]), None).await;
    let mut known = Vec::new();
    weir_log::format::encode(&rig.partition(1).log.read(), &mut known);
    let open = OpenItem {
        partition: id(),
        epoch_base: 1000,
    };
    rig.change(2, Body::Open(open), Some(known.into())).await;
    let connections = [&rig.refusals, &Arc::default()];
    // To the second node the producer has another connection, and its second batch may be there before the first comes
    // back from the first node.
    for connection in connections {
        let second = answer(rig.send_on(connection, 2, 1)).await;
        assert_eq!(second, Err(AppendError::NotLeader));
    }
    for connection in connections {
        assert_eq!(answer(rig.send_on(connection, 2, 0)).await, Ok(0));
        assert_eq!(answer(rig.send_on(connection, 2, 1)).await, Ok(1));
    }
}

/// What comes behind a seal in the log is refused when that is applied; who waits for it to be settled finds it so.
#[tokio::test]
async fn a_shard_is_settled_when_all_that_was_sent_before_is_answered() {
    let rig = Rig::start().await;
    let mut sent: Vec<_> = (0..50).map(|sequence| rig.send(1, sequence)).collect();
    tokio::join!(
        rig.change(1, Body::Seal(vec![id()]), None),
        rig.shards[&1].settled(),
    );
    let end = rig.partition(1).high_watermark();
    for (sequence, outcome) in (0..).zip(&mut sent) {
        let mut results = outcome.try_recv().expect("it is answered");
        let stored = results.pop().expect("one part, one result");
        assert_eq!(stored.is_ok(), sequence < end, "{stored:?}");
    }
    rig.shards[&1].settled().await;
}
