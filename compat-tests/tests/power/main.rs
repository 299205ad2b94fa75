//! Power is lost under writers of all kinds, at any moment, on a disk that forgets and tears what was not synced: nothing
//! that was acknowledged is lost or doubled, and the broker starts by itself. The write-ahead log is small, so that records
//! move into segments, snapshots are stored, a table is compacted and files are used again between the losses.
//! Invariants: C1, C4, D1, D3, D10, L1, L4, L5, L6, L10, P1, P3, S1, S3, S4.

mod disk;

use std::sync::Arc;
use std::time::Duration;

use compat_tests::clock;
use compat_tests::http;
use compat_tests::lossy::{Loss, Lossy, Report};
use compat_tests::luck::Luck;
use compat_tests::weir::{Weir, find_binary};
use compat_tests::writers::{Run, Writers};

/// Losses of one data directory; then all is checked, and the next ones come to a new one.
const ROUND: u64 = 15;
/// Gives files of 1 MiB, of which two are kept when they are full.
const BUDGET_MB: &str = "8";
const VALUE_BYTES: usize = 1000;
/// Power is lost at most so long after each kind of writer was acknowledged something.
const MAX_PAUSE_MS: u64 = 600;
/// Power is lost at most so long after a start that is not waited for.
const MAX_START_MS: u64 = 250;
/// So many percent of the losses come during a start.
const AT_START_PERCENT: u64 = 30;
const SETTINGS: &str = "[settings]\n\
    \"group.initial.rebalance.delay.ms\" = 0\n\
    \"log.cleaner.backoff.ms\" = 50\n\
    \"log.cleaner.dedupe.buffer.size\" = 1048576\n";

/// How often power is lost: few in a normal run, `WEIR_POWER_CYCLES` for a long one.
fn cycles() -> u64 {
    let told = std::env::var("WEIR_POWER_CYCLES").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(ROUND)
}

/// `WEIR_POWER_SEED` repeats the losses of a round, as far as time allows.
fn seed() -> u64 {
    let told = std::env::var("WEIR_POWER_SEED").ok();
    told.and_then(|text| text.parse().ok())
        .unwrap_or(clock::now_ms() as u64)
}

/// A broker on a disk that forgets.
struct Scene {
    weir: Weir,
    // Goes after the broker that uses it.
    disk: Lossy,
    lost: Report,
}

impl Scene {
    fn start(seed: u64) -> Scene {
        let disk = Lossy::mount(seed).expect("mounted");
        let binary = find_binary().expect("a binary");
        let mut weir = Weir::prepare(&binary, &[]).expect("prepared");
        let config = weir.dir().join("weir.toml");
        std::fs::write(&config, SETTINGS).expect("written");
        let config = config.to_str().expect("text");
        let small = ["--wal-budget-mb", BUDGET_MB, "--tail-mb", "1"];
        weir.set_command(&[&["serve", "-c", config], &small[..]].concat());
        weir.set_data_dir(disk.path().join("data"));
        weir.launch().expect("weir starts");
        Scene {
            weir,
            disk,
            lost: Report::default(),
        }
    }

    /// Loses power, and has the disk back.
    fn lose_power(&mut self, loss: Loss) {
        self.disk.freeze();
        self.weir.begin_kill().expect("killed");
        self.disk.cut_power();
        self.weir.kill().expect("ended");
        self.lost
            .add(self.disk.restore(loss).expect("the disk is back"));
    }

    /// Loses power during a start now and then.
    fn start_again(&mut self, luck: &mut Luck) {
        while luck.says(AT_START_PERCENT) {
            self.weir.spawn().expect("spawned");
            clock::pause(Duration::from_millis(luck.below(MAX_START_MS)));
            self.lose_power(Loss::random(luck.draw()));
        }
        self.weir.launch().expect("weir starts again");
    }

    /// The value of a metric without labels.
    fn metric(&self, name: &str) -> f64 {
        let metrics = http::get(self.weir.http, "/metrics").expect("metrics").body;
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.expect("a value").parse().expect("a number")
    }

    /// Whether what is to happen between the losses has happened.
    fn check_moved(&self) {
        let files = |folder: &str| {
            let listed = std::fs::read_dir(self.weir.data_dir().join(folder)).expect("listed");
            listed.count()
        };
        assert!(files("segments") > 0, "records were moved");
        assert!(files("raft/snapshots") > 0, "snapshots were stored");
        println!(
            "compacted: {} records",
            self.metric("weir_compaction_removed_records_total")
        );
    }

    /// A torn end of the write-ahead log is told of, and nothing else is torn.
    fn check_output(&self) {
        for line in self.weir.output().lines() {
            let damaged = line.contains("damaged") && !line.contains("CURRENT is missing");
            assert!(!damaged && !line.contains("panicked"), "{line}");
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("weir said:\n{}", self.weir.output());
        }
    }
}

async fn round(seed: u64, cycles: u64) -> Report {
    println!("{cycles} losses: WEIR_POWER_SEED={seed} WEIR_POWER_CYCLES={cycles}");
    let mut luck = Luck::new(seed);
    let mut scene = Scene::start(seed);
    let writers = Writers::start(&Run::of(&scene.weir, VALUE_BYTES)).await;
    for _ in 0..cycles {
        writers.pass(writers.acknowledged()).await;
        tokio::time::sleep(Duration::from_millis(luck.below(MAX_PAUSE_MS))).await;
        scene.lose_power(Loss::random(luck.draw()));
        scene.start_again(&mut luck);
    }
    let written = writers.finish().await;
    written.check().await;
    scene.check_moved();
    scene.check_output();
    println!("{:?}", scene.lost);
    scene.lost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_power_loss() {
    let (mut left, mut seed) = (cycles(), seed());
    let mut lost = Report::default();
    while left > 0 {
        let cycles = left.min(ROUND);
        lost.add(round(seed, cycles).await);
        left -= cycles;
        seed += 1;
    }
    println!("lost in {} cycles: {lost:?}", cycles());
    // Otherwise it was no test.
    assert!(lost.sectors_lost > cycles() && lost.names_lost > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_check_notices_a_disk_that_loses_what_was_synced() {
    let mut scene = Scene::start(1);
    let writers = Writers::start(&Run::of(&scene.weir, VALUE_BYTES)).await;
    writers.pass(writers.acknowledged()).await;
    scene.disk.lie();
    for _ in 0..3 {
        writers.pass(writers.acknowledged()).await;
    }
    let written = Arc::new(writers.finish().await);
    scene.lose_power(Loss::total());
    scene.weir.launch().expect("weir starts again");
    let [a, b, c, d] = [(); 4].map(|()| written.clone());
    let checks = [
        (
            "records",
            tokio::spawn(async move { a.check_records().await }),
        ),
        (
            "commits",
            tokio::spawn(async move { b.check_commits().await }),
        ),
        ("rows", tokio::spawn(async move { c.check_rows().await })),
        (
            "schemas",
            tokio::spawn(async move { d.check_schemas().await }),
        ),
    ];
    for (what, check) in checks {
        let checked = check.await;
        let noticed = checked.is_err_and(|error| error.is_panic());
        assert!(noticed, "the loss of {what} was not noticed");
    }
}
