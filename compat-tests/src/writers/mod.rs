//! Writers of all kinds that go on while the broker is killed, and the checks of what they were acknowledged: nothing
//! of it is lost, nothing is doubled, offsets are dense, and a table's rows are the fold of its log.
//!
//! An idempotent producer of numbered records, two kinds of writers of a table's rows, a member of a group that commits,
//! and a client that registers schemas. All of them take a broker that is away for what it is.

mod groups;
mod log;
mod records;
mod rows;
mod schemas;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic};
use rdkafka::client::DefaultClientContext;
use tokio::task::JoinHandle;

use crate::weir::Weir;

const PARTITIONS: i32 = 3;
/// Every kind of writer must have been acknowledged something within this time of a restart.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the writers share: where the broker is, and whether they go on.
pub struct Run {
    kafka: String,
    registry: String,
    http: String,
    /// Values are as long at least.
    value_bytes: usize,
    done: AtomicBool,
}

impl Run {
    /// Writers of this broker, whose values have `value_bytes` bytes or, where their number is longer, more.
    pub fn of(weir: &Weir, value_bytes: usize) -> Arc<Run> {
        Arc::new(Run {
            kafka: weir.kafka.to_string(),
            registry: format!("http://{}", weir.registry),
            http: format!("http://{}", weir.http),
            value_bytes,
            done: AtomicBool::new(false),
        })
    }

    fn goes_on(&self) -> bool {
        !self.done.load(Ordering::Acquire)
    }

    /// A number as a value.
    fn text(&self, number: u64) -> String {
        format!("{number:0width$}", width = self.value_bytes)
    }

    /// A producer whose sends either succeed or fail the test.
    fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("message.timeout.ms", "120000");
        config
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka)
            .set("reconnect.backoff.max.ms", "200");
        config
    }

    async fn create_topic(&self, topic: NewTopic<'_>) {
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("an admin client");
        let created = admin
            .create_topics([&topic], &AdminOptions::new())
            .await
            .expect("an answer");
        created[0].as_ref().expect("the topic is created");
    }
}

/// Acknowledgements of one kind of writer, counted.
struct Progress {
    of: &'static str,
    count: AtomicU64,
}

impl Progress {
    fn new(of: &'static str) -> Arc<Progress> {
        let count = AtomicU64::new(0);
        Arc::new(Progress { of, count })
    }

    fn add(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    fn now(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// A cycle without an acknowledgement would prove nothing.
    async fn passes(&self, before: u64) {
        let step = Duration::from_millis(20);
        for _ in 0..PATIENCE.as_millis() / step.as_millis() {
            if self.now() > before {
                return;
            }
            tokio::time::sleep(step).await;
        }
        panic!("{}: nothing acknowledged in {PATIENCE:?}", self.of);
    }
}

/// How much each kind of writer was acknowledged, in the order of [`KINDS`].
pub type Counts = [u64; KINDS.len()];

/// The kinds of writers.
pub const KINDS: [&str; 5] = [
    "records",
    "rows by produce",
    "rows by HTTP",
    "offsets",
    "schemas",
];

/// Writers that are at it.
pub struct Writers {
    run: Arc<Run>,
    progress: [Arc<Progress>; KINDS.len()],
    records: JoinHandle<records::Acked>,
    by_produce: JoinHandle<Vec<rows::Acked>>,
    by_http: JoinHandle<rows::http::Done>,
    commits: JoinHandle<groups::Commits>,
    schemas: JoinHandle<schemas::Registered>,
}

impl Writers {
    /// Creates what they write to, and starts them.
    pub async fn start(run: &Arc<Run>) -> Writers {
        records::prepare(run).await;
        rows::prepare(run).await;
        let progress = KINDS.map(Progress::new);
        let [sent, produced, put, committed, registered] = progress.clone();
        let reading = run.clone();
        Writers {
            run: run.clone(),
            progress,
            records: tokio::spawn(records::write(run.clone(), sent)),
            by_produce: tokio::spawn(rows::produce::write(run.clone(), produced)),
            by_http: tokio::spawn(rows::http::write(run.clone(), put)),
            commits: tokio::task::spawn_blocking(move || groups::commit(&reading, &committed)),
            schemas: tokio::spawn(schemas::register(run.clone(), registered)),
        }
    }

    pub fn acknowledged(&self) -> Counts {
        self.progress.each_ref().map(|progress| progress.now())
    }

    /// Waits until every kind was acknowledged more than `before`.
    pub async fn pass(&self, before: Counts) {
        for (progress, before) in self.progress.iter().zip(before) {
            progress.passes(before).await;
        }
    }

    /// Ends them; the broker has to be there for what they still wait for.
    pub async fn finish(self) -> Written {
        self.run.done.store(true, Ordering::Release);
        for progress in &self.progress {
            println!("{}: {} acknowledged", progress.of, progress.now());
        }
        Written {
            acknowledged: self.acknowledged(),
            run: self.run,
            records: self.records.await.expect("the producer ends"),
            rows: rows::Written {
                by_produce: self.by_produce.await.expect("the row producer ends"),
                by_http: self.by_http.await.expect("the HTTP writer ends"),
            },
            commits: self.commits.await.expect("the group's member ends"),
            schemas: self.schemas.await.expect("the registering client ends"),
        }
    }
}

/// What the writers did and were acknowledged.
pub struct Written {
    pub acknowledged: Counts,
    run: Arc<Run>,
    records: records::Acked,
    rows: rows::Written,
    commits: groups::Commits,
    schemas: schemas::Registered,
}

impl Written {
    /// Compares all of it with what the broker has. Fails the test that calls it.
    pub async fn check(&self) {
        self.check_records().await;
        self.check_commits().await;
        self.check_rows().await;
        self.check_schemas().await;
    }

    pub async fn check_records(&self) {
        let stored = log::read(&self.run, records::TOPIC).await;
        log::check_dense(&stored, records::TOPIC);
        records::check(&self.records, &stored);
    }

    /// Committed offsets, and what the group read.
    pub async fn check_commits(&self) {
        let stored = log::read(&self.run, records::TOPIC).await;
        groups::check(&self.run, &self.commits, &stored).await;
    }

    pub async fn check_rows(&self) {
        rows::check(&self.run, &self.rows).await;
    }

    pub async fn check_schemas(&self) {
        schemas::check(&self.run, &self.schemas).await;
    }
}
