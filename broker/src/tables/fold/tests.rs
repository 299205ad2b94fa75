use tempfile::TempDir;
use uuid::Uuid;
use weir_log::{BatchBuilder, Codec, assign};
use weir_tables::{
    Budget, KeyDef, KeyFormat, NoSchemas, PartitionerSetting, TableDef, TableDesign, ValueDef,
    ValueFormat,
};

use super::*;

/// A log in memory, of one-record batches.
#[derive(Default)]
struct Log {
    batches: Mutex<Vec<Bytes>>,
    broken: AtomicBool,
}

impl Log {
    fn append(&self, key: &str, value: Option<&str>) -> i64 {
        let mut log = self.batches.lock();
        let mut builder = BatchBuilder::new(Codec::None);
        builder.append(1, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
        let mut batch = builder.build().unwrap();
        assign(&mut batch, log.len() as i64, 0);
        log.push(batch.freeze());
        log.len() as i64
    }
}

impl FoldSource for Log {
    fn log_start(&self) -> i64 {
        0
    }

    fn high_watermark(&self) -> i64 {
        self.batches.lock().len() as i64
    }

    fn read(&self, from: i64, _: usize) -> io::Result<Vec<Bytes>> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        let batches = self.batches.lock().clone();
        Ok(batches.into_iter().skip(from as usize).take(2).collect())
    }
}

struct Fixture {
    _dir: TempDir,
    /// By bucket.
    logs: Vec<Arc<Log>>,
    folder: Folder,
    table: Arc<Table>,
}

const ID: TableId = TableId(4);

impl Fixture {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let tables = Arc::new(Tables::open(dir.path(), Budget::new(1 << 20, 1 << 20)).unwrap());
        let logs = (0..3).map(|_| Arc::default()).collect();
        let folder = Folder::new(tables);
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

    fn log(&self, bucket: u32) -> &Arc<Log> {
        &self.logs[bucket as usize]
    }

    fn attach(&self, bucket: u32) {
        self.attach_in(bucket, 0, self.log(bucket));
    }

    fn attach_in(&self, bucket: u32, stay: u64, log: &Arc<Log>) {
        let (table, log) = (self.table.clone(), log.clone());
        self.folder.attach(table, bucket, stay, log).unwrap();
    }

    fn rows(&self, bucket: u32, stay: u64) -> Rows {
        self.folder.rows(ID, bucket, stay).expect("it is folded")
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
        self.wait_in(bucket, 0, offset).await;
    }

    async fn wait_in(&self, bucket: u32, stay: u64, offset: i64) {
        let rows = self.rows(bucket, stay);
        tokio::time::timeout(Duration::from_secs(10), rows.wait_applied(offset))
            .await
            .expect("folded in time");
        assert!(!rows.gone().has());
    }
}

#[tokio::test]
async fn a_reader_sees_what_was_committed_before_it_came() {
    let fixture = Fixture::new();
    fixture.attach(0);
    for i in 0..100 {
        let committed = fixture.log(0).append("N1", Some(&i.to_string()));
        fixture.folder.work().notify_one();
        fixture.wait(0, committed).await;
        assert_eq!(fixture.value(0, "N1"), Some(i.to_string()));
    }
}

#[tokio::test]
async fn a_log_that_was_there_before_is_folded_in_helpings() {
    let fixture = Fixture::new();
    for i in 0..9 {
        fixture.log(2).append(&format!("N{i}"), Some("x"));
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
        fixture.log(0).append("N1", Some("x"));
    }
    fixture.attach(0);
    fixture.wait(0, 3).await;
    // The log comes back shorter, as before it is replayed after a restart.
    fixture.log(0).batches.lock().truncate(1);
    fixture.folder.work().notify_one();
    fixture.log(0).append("N1", Some("x"));
    fixture.log(0).append("N1", Some("x"));
    let committed = fixture.log(0).append("N1", Some("y"));
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
    fixture.log(1).broken.store(true, Ordering::SeqCst);
    fixture.log(1).append("N1", Some("x"));
    fixture.attach(1);
    while fixture.folder.lags()[0].fault.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let lag = fixture.folder.lags().remove(0);
    assert_eq!(
        (lag.records, lag.fault.unwrap().contains("the disk is gone")),
        (1, true)
    );
    fixture.log(1).broken.store(false, Ordering::SeqCst);
    fixture.wait(1, 1).await;
    assert_eq!(fixture.folder.lags()[0].fault, None);
}

#[tokio::test]
async fn a_dropped_bucket_goes_and_its_readers_are_told() {
    let fixture = Fixture::new();
    fixture.attach(0);
    let committed = fixture.log(0).append("N1", Some("x"));
    fixture.folder.work().notify_one();
    fixture.wait(0, committed).await;
    let folder = &fixture.folder;
    let (had, waits) = (fixture.rows(0, 0), fixture.rows(0, 0));
    tokio::join!(waits.wait_applied(committed + 1), async {
        folder.drop_bucket(ID, 0);
    });
    assert!(had.gone().has() && waits.gone().has());
    assert!(folder.rows(ID, 0, 0).is_none());
    while fixture.value(0, "N1").is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(folder.tables().bucket_state(ID, 0).unwrap().applied, 0);
}

/// It left this shard and came again, and nobody saw it gone: what its log has lost meanwhile, the rows have no more.
#[tokio::test]
async fn a_partition_that_comes_again_is_folded_from_its_start() {
    let fixture = Fixture::new();
    fixture.attach(0);
    fixture.log(0).append("N1", Some("x"));
    let committed = fixture.log(0).append("N2", Some("x"));
    fixture.folder.work().notify_one();
    fixture.wait(0, committed).await;
    let before = fixture.rows(0, 0);
    let again = Arc::new(Log::default());
    let committed = again.append("N3", Some("y"));
    fixture.attach_in(0, 7, &again);
    assert!(before.gone().has() && fixture.folder.rows(ID, 0, 0).is_none());
    fixture.wait_in(0, 7, committed).await;
    assert_eq!(
        (fixture.value(0, "N1"), fixture.value(0, "N3")),
        (None, Some("y".into()))
    );
    let state = fixture.folder.tables().bucket_state(ID, 0).unwrap();
    assert_eq!((state.stay, state.row_count), (7, 1));

    // It is opened: another replica of the same stay, which goes on.
    let open = Arc::new(Log::default());
    open.append("N3", Some("y"));
    let committed = open.append("N4", Some("z"));
    let before = fixture.rows(0, 7);
    fixture.attach_in(0, 7, &open);
    fixture.wait_in(0, 7, committed).await;
    assert!(!before.gone().has());
    assert_eq!(fixture.value(0, "N4"), Some("z".into()));
}

#[tokio::test]
async fn rows_that_were_to_go_are_not_taken_for_those_of_who_comes_at_once() {
    let fixture = Fixture::new();
    fixture.attach(0);
    let committed = fixture.log(0).append("N1", Some("x"));
    fixture.folder.work().notify_one();
    fixture.wait(0, committed).await;
    for _ in 0..100 {
        fixture.folder.drop_bucket(ID, 0);
        fixture.attach(0);
        fixture.wait(0, committed).await;
        assert_eq!(fixture.value(0, "N1"), Some("x".into()));
    }
}

#[tokio::test]
async fn a_clean_stop_leaves_nothing_to_fold_again() {
    let fixture = Fixture::new();
    fixture.attach(0);
    let committed = fixture.log(0).append("N1", Some("x"));
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
