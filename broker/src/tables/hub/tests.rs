use std::io;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use weir_log::{BatchBuilder, Codec, PartitionLog, Pos, assign};
use weir_raft::NodeId;
use weir_tables::{KeyDef, KeyFormat, NoSchemas, PartitionerSetting, ValueDef, ValueFormat};

use super::*;
use crate::clock::SystemClock;
use crate::meta::handle::testing::local_meta;
use crate::meta::{MetaCommand, PartitionPlace};
use crate::partition::Stage;
use crate::shard::entry::Role;
use crate::shard::host::ShardHost;

/// The logs are empty: what rows there are, are of before.
struct NoDisk;

impl BlockReader for NoDisk {
    fn read(&self, _: Pos, _: usize) -> io::Result<Bytes> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn read_segment(&self, _: u64, _: u64, _: usize) -> io::Result<Bytes> {
        Err(io::ErrorKind::NotFound.into())
    }
}

const TOPIC: Uuid = Uuid::from_u128(5);

/// A node with two shards, and a table whose partitions lie in these.
struct Rig {
    dir: TempDir,
    meta: Arc<Meta>,
    partitions: Arc<Partitions>,
    hub: TableHub,
}

impl Rig {
    async fn new(places: &[u64]) -> Rig {
        let dir = TempDir::new().expect("a directory");
        let meta = Arc::new(local_meta().await);
        let partitions = Arc::new(Partitions::default());
        let hub = TableHub::new(Parts {
            dir: dir.path().to_path_buf(),
            budget: budget(),
            meta: meta.clone(),
            partitions: partitions.clone(),
            schemas: Arc::new(NoSchemas),
            blocks: Arc::new(NoDisk),
        });
        let rig = Rig {
            dir,
            meta,
            partitions,
            hub,
        };
        let place = |shard: &u64| PartitionPlace {
            shard: *shard,
            epoch_base: 0,
        };
        let topic = Topic {
            name: "planes".into(),
            id: TOPIC,
            partitions: places.iter().map(place).collect(),
            configs: BTreeMap::new(),
            created_at_ms: 0,
            table: Some(serde_json::to_value(design()).expect("JSON")),
            partitioners: None,
            moves: BTreeMap::new(),
        };
        rig.change(MetaCommand::CreateTopic(topic)).await;
        rig
    }

    async fn change(&self, command: MetaCommand) {
        let changed = self
            .meta
            .change(|_| Ok::<_, String>((vec![command.clone()], ())));
        changed.await.expect("changed");
    }

    fn carry(&self, shard: u64, index: i32, stage: Stage, stay: u64) -> Arc<Partition> {
        let clock = Arc::new(SystemClock);
        let (host, _) = ShardHost::new(ShardId(shard), NodeId(1), clock, 1 << 20);
        let id = PartitionId {
            topic: TOPIC,
            index,
        };
        let new = Partition::new(id, 0, Role::Data, host, PartitionLog::new());
        let new = Arc::new(new.in_stage(stage).of_stay(stay));
        self.partitions.insert(new.clone());
        new
    }

    /// Leaves one row of a bucket in a shard, as a run before this one.
    fn leave_row(&self, shard: u64, bucket: u32) {
        let tables = Tables::open(shard_dir(self.dir.path(), shard), budget()).expect("opened");
        let table = TableDef::new(TOPIC, "planes", 2, design());
        let table = Table::new(table, Arc::new(NoSchemas)).expect("a table");
        let mut batch = BatchBuilder::new(Codec::None);
        batch.append(1, Some(b"N1"), Some(b"x"), &[]);
        let mut batch = batch.build().expect("a batch");
        assign(&mut batch, 0, 0);
        let folded = tables.fold(&table, bucket, 0, &[batch.freeze()]);
        assert_eq!(folded.expect("folded").row_count, 1);
        tables.flush().expect("flushed");
    }

    fn stored_rows(&self, shard: u64, bucket: u32) -> u64 {
        let folder = self.hub.folder(shard).expect("opened");
        let state = folder
            .tables()
            .bucket_state(TableId::of_topic(TOPIC), bucket);
        state.expect("read").row_count
    }
}

fn budget() -> Budget {
    Budget::new(1 << 20, 1 << 20)
}

fn design() -> TableDesign {
    TableDesign {
        key: KeyDef::raw(KeyFormat::String),
        value: ValueDef::raw(ValueFormat::String),
        partitioner: PartitionerSetting::Auto,
    }
}

/// P7: as of a partition that left, where a crash took the dropping back.
#[tokio::test]
async fn rows_of_partitions_that_lie_in_other_shards_go_at_the_start() {
    let rig = Rig::new(&[1, 2]).await;
    rig.leave_row(1, 0);
    rig.leave_row(1, 1);
    let replica = rig.carry(1, 0, Stage::Open, 0);
    rig.hub.recover([1, 2]).expect("recovered");
    assert_eq!((rig.stored_rows(1, 0), rig.stored_rows(1, 1)), (1, 0));
    assert!(rig.hub.rows(&replica).is_some());
}

#[tokio::test]
async fn rows_of_an_earlier_stay_go_before_anybody_reads_them() {
    let rig = Rig::new(&[1]).await;
    rig.leave_row(1, 0);
    let replica = rig.carry(1, 0, Stage::Open, 8);
    rig.hub.recover([1]).expect("recovered");
    let rows = rig.hub.rows(&replica).expect("they are folded");
    while rig.stored_rows(1, 0) > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!rows.gone().has(), "they had not begun");
}

#[tokio::test]
async fn a_partition_that_moves_is_folded_in_both_shards_and_goes_with_its_replica() {
    let rig = Rig::new(&[1]).await;
    rig.leave_row(1, 0);
    let from = rig.carry(1, 0, Stage::Open, 0);
    rig.hub.recover([1]).expect("recovered");
    let (id, partition, to) = (TOPIC, 0, 2);
    rig.change(MetaCommand::StartMove { id, partition, to })
        .await;
    let arriving = rig.carry(2, 0, Stage::Arriving, 4);
    rig.hub.sync();
    let (had, new) = (rig.hub.rows(&from), rig.hub.rows(&arriving));
    let (had, new) = (had.expect("it is there"), new.expect("it comes"));

    rig.change(MetaCommand::SealMove { id, partition, to })
        .await;
    from.enter(Stage::Sealed);
    let open = rig.carry(2, 0, Stage::Open, 4);
    let epoch_base = 1000;
    let finished = MetaCommand::FinishMove {
        id,
        partition,
        to,
        epoch_base,
    };
    rig.change(finished).await;
    rig.hub.sync();
    assert!(rig.hub.rows(&open).is_some() && !new.gone().has());
    assert!(!had.gone().has(), "the shard still carries it");

    rig.partitions.remove(ShardId(1), from.id);
    rig.hub.sync();
    assert!(rig.hub.rows(&from).is_none() && had.gone().has());
    while rig.stored_rows(1, 0) > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!new.gone().has());
    assert_eq!(rig.hub.get(TOPIC).expect("known").name(), "planes");
    let highest_epoch = epoch_base;
    rig.change(MetaCommand::DeleteTopic { id, highest_epoch })
        .await;
    rig.hub.sync();
    assert!(rig.hub.get(TOPIC).is_none() && new.gone().has());
}
