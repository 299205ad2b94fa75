//! kill -9 under an idempotent producer, writers of a table's rows, a committing group and registrations: nothing
//! that was acknowledged is lost, nothing is doubled, offsets are dense, and the rows are the fold of the log.
//! Invariants: C1, C4, D1, L1, L4, L5, L6, L7, P1, P3, S1, S3, S4.

mod groups;
mod log;
mod records;
mod rows;
mod schemas;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use compat_tests::weir::Weir;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic};
use rdkafka::client::DefaultClientContext;

const PARTITIONS: i32 = 3;
/// Every kind of writer must have been acknowledged something within this time of a restart.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the broker is killed: few in a normal run, `WEIR_KILL_CYCLES` for a long one.
fn cycles() -> u32 {
    std::env::var("WEIR_KILL_CYCLES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(15)
}

/// What the writers share: where the broker is, and whether they go on.
struct Run {
    kafka: String,
    registry: String,
    http: String,
    done: AtomicBool,
}

impl Run {
    fn goes_on(&self) -> bool {
        !self.done.load(Ordering::Acquire)
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let mut weir = Weir::start().expect("weir starts");
    let run = Arc::new(Run {
        kafka: weir.kafka.to_string(),
        registry: format!("http://{}", weir.registry),
        http: format!("http://{}", weir.http),
        done: AtomicBool::new(false),
    });
    records::prepare(&run).await;
    rows::prepare(&run).await;
    let progress = [
        "records",
        "rows by produce",
        "rows by HTTP",
        "offsets",
        "schemas",
    ]
    .map(Progress::new);
    let [sent, produced, put, committed, registered] = progress.clone();
    let records = tokio::spawn(records::write(run.clone(), sent));
    let by_produce = tokio::spawn(rows::produce::write(run.clone(), produced));
    let by_http = tokio::spawn(rows::http::write(run.clone(), put));
    let (reading, commits) = (run.clone(), committed);
    let commits = tokio::task::spawn_blocking(move || groups::commit(&reading, &commits));
    let schemas = tokio::spawn(schemas::register(run.clone(), registered));

    for cycle in 0..cycles() {
        let before = progress.each_ref().map(|progress| progress.now());
        tokio::time::sleep(Duration::from_millis(200 + u64::from(cycle * 37 % 300))).await;
        for (progress, before) in progress.iter().zip(before) {
            progress.passes(before).await;
        }
        weir.kill().expect("killed");
        weir.launch().expect("weir starts again");
    }
    run.done.store(true, Ordering::Release);
    let records = records.await.expect("the producer ends");
    let written = rows::Written {
        by_produce: by_produce.await.expect("the row producer ends"),
        by_http: by_http.await.expect("the HTTP writer ends"),
    };
    let commits = commits.await.expect("the group's member ends");
    let schemas = schemas.await.expect("the registering client ends");
    for progress in &progress {
        let acknowledged = progress.now();
        println!("{}: {acknowledged} acknowledged", progress.of);
        assert!(
            acknowledged > 2 * u64::from(cycles()),
            "too few to say anything"
        );
    }

    let stored = log::read(&run, records::TOPIC).await;
    records::check(&records, &stored);
    groups::check(&run, commits, &stored).await;
    rows::check(&run, &written).await;
    schemas::check(&run, &schemas).await;
}
