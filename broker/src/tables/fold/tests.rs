use std::collections::BTreeMap;

use tempfile::TempDir;
use weir_log::{BatchBuilder, Codec, assign};
use weir_tables::{
    Budget, KeyDef, KeyFormat, NoSchemas, PartitionerSetting, TableDef, TableDesign, ValueDef,
    ValueFormat,
};

use super::*;

/// Logs in memory, each of one-record batches.
#[derive(Default)]
struct Logs {
    partitions: Mutex<BTreeMap<u32, Vec<Bytes>>>,
    broken: AtomicBool,
}

impl Logs {
    fn append(&self, partition: u32, key: &str, value: Option<&str>) -> i64 {
        let mut partitions = self.partitions.lock();
        let log = partitions.entry(partition).or_default();
        let mut builder = BatchBuilder::new(Codec::None);
        builder.append(1, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
        let mut batch = builder.build().unwrap();
        assign(&mut batch, log.len() as i64, 0);
        log.push(batch.freeze());
        log.len() as i64
    }
}

impl FoldSource for Logs {
    fn log_start(&self, _: Uuid, partition: u32) -> Option<i64> {
        self.partitions.lock().get(&partition).map(|_| 0)
    }

    fn high_watermark(&self, _: Uuid, partition: u32) -> Option<i64> {
        self.partitions
            .lock()
            .get(&partition)
            .map(|log| log.len() as i64)
    }

    fn read(&self, _: Uuid, partition: u32, from: i64, _: usize) -> io::Result<Vec<Bytes>> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        let batches = self.partitions.lock()[&partition].clone();
        Ok(batches.into_iter().skip(from as usize).take(2).collect())
    }
}

struct Fixture {
    _dir: TempDir,
    logs: Arc<Logs>,
    folder: Folder,
    table: Arc<Table>,
}

const ID: TableId = TableId(4);

impl Fixture {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let tables = Arc::new(Tables::open(dir.path(), Budget::new(1 << 20, 1 << 20)).unwrap());
        let logs = Arc::new(Logs::default());
        let folder = Folder::new(tables, logs.clone());
        let design = TableDesign {
            key: KeyDef::raw(KeyFormat::String),
            value: ValueDef::raw(ValueFormat::String),
            partitioner: PartitionerSetting::Auto,
        };
        let def = TableDef::new(Uuid::from_u128(4), "planes", 3, design);
        let table = Arc::new(Table::new(def, Arc::new(NoSchemas)).unwrap());
        Self {
            _dir: dir,
            logs,
            folder,
            table,
        }
    }

    fn attach(&self, bucket: u32) {
        self.folder.attach(self.table.clone(), bucket).unwrap();
    }

    fn value(&self, bucket: u32, key: &str) -> Option<String> {
        let row = self
            .folder
            .tables()
            .get(ID, bucket, key.as_bytes())
            .unwrap()?;
        Some(String::from_utf8(row.row().unwrap().value.to_vec()).unwrap())
    }

    async fn wait(&self, bucket: u32, offset: i64) {
        let waited = self.folder.wait_applied(ID, bucket, offset);
        tokio::time::timeout(Duration::from_secs(10), waited)
            .await
            .expect("folded in time")
            .unwrap();
    }
}

#[tokio::test]
async fn a_reader_sees_what_was_committed_before_it_came() {
    let fixture = Fixture::new();
    fixture.attach(0);
    for i in 0..100 {
        let committed = fixture.logs.append(0, "N1", Some(&i.to_string()));
        fixture.folder.work().notify_one();
        fixture.wait(0, committed).await;
        assert_eq!(fixture.value(0, "N1"), Some(i.to_string()));
    }
}

#[tokio::test]
async fn a_log_that_was_there_before_is_folded_in_helpings() {
    let fixture = Fixture::new();
    for i in 0..9 {
        fixture.logs.append(2, &format!("N{i}"), Some("x"));
    }
    fixture.attach(2);
    fixture.wait(2, 9).await;
    assert_eq!(
        fixture
            .folder
            .tables()
            .bucket_state(ID, 2)
            .unwrap()
            .row_count,
        9
    );
    assert_eq!(fixture.folder.lags()[0].records, 0);
}

#[tokio::test]
async fn rows_ahead_of_the_log_wait_for_it() {
    let fixture = Fixture::new();
    for _ in 0..3 {
        fixture.logs.append(0, "N1", Some("x"));
    }
    fixture.attach(0);
    fixture.wait(0, 3).await;
    // The log comes back shorter, as before it is replayed after a restart.
    fixture
        .logs
        .partitions
        .lock()
        .get_mut(&0)
        .unwrap()
        .truncate(1);
    fixture.folder.work().notify_one();
    fixture.logs.append(0, "N1", Some("x"));
    fixture.logs.append(0, "N1", Some("x"));
    let committed = fixture.logs.append(0, "N1", Some("y"));
    fixture.folder.work().notify_one();
    fixture.wait(0, committed).await;
    assert_eq!(fixture.value(0, "N1"), Some("y".into()));
    assert_eq!(
        fixture
            .folder
            .tables()
            .bucket_state(ID, 0)
            .unwrap()
            .row_count,
        1
    );
}

#[tokio::test]
async fn a_fault_is_named_and_the_fold_tried_again() {
    let fixture = Fixture::new();
    fixture.logs.broken.store(true, Ordering::SeqCst);
    fixture.logs.append(1, "N1", Some("x"));
    fixture.attach(1);
    while fixture.folder.lags()[0].fault.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let lag = fixture.folder.lags().remove(0);
    assert_eq!(
        (lag.records, lag.fault.unwrap().contains("the disk is gone")),
        (1, true)
    );
    fixture.logs.broken.store(false, Ordering::SeqCst);
    fixture.wait(1, 1).await;
    assert_eq!(fixture.folder.lags()[0].fault, None);
}

#[tokio::test]
async fn a_dropped_table_goes_and_its_readers_are_told() {
    let fixture = Fixture::new();
    fixture.attach(0);
    let committed = fixture.logs.append(0, "N1", Some("x"));
    fixture.folder.work().notify_one();
    fixture.wait(0, committed).await;
    let folder = &fixture.folder;
    let (waited, ()) = tokio::join!(folder.wait_applied(ID, 0, committed + 1), async {
        folder.drop_table(ID);
    });
    assert_eq!(
        waited,
        Err(WaitError::NotHere {
            table: ID,
            bucket: 0
        })
    );
    while fixture.value(0, "N1").is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(folder.tables().bucket_state(ID, 0).unwrap().applied, 0);
}

#[tokio::test]
async fn a_clean_stop_leaves_nothing_to_fold_again() {
    let fixture = Fixture::new();
    fixture.attach(0);
    let committed = fixture.logs.append(0, "N1", Some("x"));
    fixture.folder.work().notify_one();
    fixture.wait(0, committed).await;
    fixture.folder.shutdown().unwrap();
    assert_eq!(
        fixture
            .folder
            .tables()
            .durably_flushed_offset(ID, 0)
            .unwrap(),
        committed
    );
}
