//! Starts three nodes as the tests want them, and plays the tests.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::verdict::Verdict;
use crate::cluster::Cluster;
use crate::{clock, kafka, process};

/// The longest takes eleven minutes.
const TEST_LIMIT: Duration = Duration::from_secs(25 * 60);
/// What the tests take for granted of topics that they have created by writing to them.
const SETTINGS: &str = "[settings]\n\"num.partitions\" = 4\n\"default.replication.factor\" = 3\n";
/// The version of Kafka whose behaviour they expect.
const KAFKA_VERSION: &str = "4.0.0.0";
/// The tests' test of all admin calls goes no further than the first that fails, so its parts are played one by one.
const ADMIN: &str = "0081";
const ADMIN_PARTS: [&str; 19] = [
    "unclean_destroy",
    "CreateTopics",
    "DeleteTopics",
    "CreatePartitions",
    "CreateAcls",
    "test_AlterConfigs",
    "IncrementalAlterConfigs",
    "test_DescribeConfigs:",
    "DescribeConfigs_groups",
    "DeleteRecords",
    "ListConsumerGroups",
    "DescribeConsumerGroups",
    "DescribeTopics",
    "DescribeCluster",
    "DeleteGroups",
    "DeleteConsumerGroupOffsets",
    "AlterConsumerGroupOffsets",
    "ListConsumerGroupOffsets",
    "do_test_ListOffsets",
];
/// Kafka's command line tools that tests call, and their classes.
const TOOLS: [(&str, &str); 2] = [
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-acls.sh", "org.apache.kafka.tools.AclCommand"),
];

/// What to play.
pub struct Options {
    /// The folder of librdkafka's tests, with the runner that was built there.
    pub tests: PathBuf,
    /// Tests by their numbers; all where there are none.
    pub only: Vec<String>,
    pub at_once: usize,
}

/// A test, or a part of it.
struct Play {
    number: String,
    part: Option<&'static str>,
}

impl Play {
    fn name(&self) -> String {
        let part = self.part.map_or(String::new(), |part| format!(" {part}"));
        format!("{}{part}", self.number)
    }
}

/// Plays the tests and prints each verdict; answers how many failed.
pub fn run(options: &Options) -> Result<usize> {
    let runner = options.tests.join("test-runner");
    ensure!(
        runner.exists(),
        "librdkafka's test runner is not built: start this by scripts/librdkafka"
    );
    let stage = Stage::set_up(runner)?;
    let queue = Mutex::new(plays(&options.tests, &options.only)?);
    let failed = Mutex::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.at_once)
            .map(|_| scope.spawn(|| stage.work(&queue, &failed)))
            .collect();
        for worker in workers {
            worker.join().expect("a worker does not panic")?;
        }
        anyhow::Ok(())
    })?;
    Ok(failed.into_inner().expect("no worker panicked"))
}

/// The newest tests first, which take longest.
fn plays(tests: &Path, only: &[String]) -> Result<VecDeque<Play>> {
    let mut numbers = BTreeSet::new();
    for file in fs::read_dir(tests)? {
        let path = file?.path();
        let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let source = matches!(path.extension().and_then(OsStr::to_str), Some("c" | "cpp"));
        let number = name.get(..4).filter(|number| number.starts_with('0'));
        if let (true, Some(number)) = (source, number) {
            numbers.insert(number.to_owned());
        }
    }
    for asked in only {
        ensure!(numbers.contains(asked), "there is no test {asked}");
    }
    numbers.retain(|number| only.is_empty() || only.contains(number));
    let mut plays = VecDeque::new();
    for number in numbers.into_iter().rev() {
        let parts = match &*number {
            ADMIN => ADMIN_PARTS.map(Some).to_vec(),
            _ => vec![None],
        };
        plays.extend(parts.into_iter().map(|part| Play {
            number: number.clone(),
            part,
        }));
    }
    Ok(plays)
}

/// The nodes and what the runner is told of them.
struct Stage {
    runner: PathBuf,
    cluster: Cluster,
    dir: TempDir,
}

impl Stage {
    fn set_up(runner: PathBuf) -> Result<Stage> {
        let mut cluster = Cluster::prepare(3)?;
        cluster.set_up(SETTINGS)?;
        for (place, rack) in ["RACK1", "RACK2", "RACK3"].iter().enumerate() {
            cluster.add_options(place, &["--rack", rack]);
        }
        cluster.spawn_all()?;
        cluster.await_all()?;
        let dir = tempfile::Builder::new().prefix("librdkafka-").tempdir()?;
        // The tests write beside them, and read what lies in the source's other folders.
        fs::create_dir(dir.path().join("tests"))?;
        let source = runner.parent().and_then(Path::parent);
        let source = source.context("the runner lies in no folder")?.join("src");
        std::os::unix::fs::symlink(fs::canonicalize(source)?, dir.path().join("src"))?;
        let conf = format!(
            "metadata.broker.list={}\ntest.topic.random=true\n",
            cluster.bootstrap()
        );
        fs::write(dir.path().join("test.conf"), conf)?;
        fs::create_dir(dir.path().join("bin"))?;
        let class_path = kafka::class_path()?;
        for (name, class) in TOOLS {
            let path = dir.path().join("bin").join(name);
            let script =
                format!("#!/bin/sh\nexec java -cp '{class_path}' -Xmx128m {class} \"$@\"\n");
            fs::write(&path, script)?;
            let mode = rustix::fs::Mode::from_raw_mode(0o755);
            rustix::fs::chmod(&path, mode)?;
        }
        Ok(Stage {
            runner,
            cluster,
            dir,
        })
    }

    fn work(&self, queue: &Mutex<VecDeque<Play>>, failed: &Mutex<usize>) -> Result<()> {
        loop {
            let next = queue.lock().expect("no worker panicked").pop_front();
            let Some(play) = next else { return Ok(()) };
            let started = clock::now_ms();
            let verdict = self.play(&play)?;
            let seconds = (clock::now_ms() - started) as f64 / 1000.0;
            println!("{} {verdict} ({seconds:.0} s)", play.name());
            if verdict.is_failure() {
                *failed.lock().expect("no worker panicked") += 1;
            }
        }
    }

    fn play(&self, play: &Play) -> Result<Verdict> {
        let path = self.dir.path().join(format!("{}.log", play.name()));
        let output = File::create(&path)?;
        let mut command = Command::new(&self.runner);
        command
            .args(["-p1", "-L"])
            .current_dir(self.dir.path().join("tests"))
            .env("RDKAFKA_TEST_CONF", self.dir.path().join("test.conf"))
            .env("TEST_KAFKA_VERSION", KAFKA_VERSION)
            .env("KAFKA_PATH", self.dir.path())
            .env("BROKERS", self.cluster.bootstrap())
            .env("TESTS", &play.number);
        if let Some(part) = play.part {
            command.env("SUBTESTS", part);
        }
        let mut child = process::bound(&command)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start librdkafka's test runner")?;
        let ended = clock::wait_for(TEST_LIMIT, Duration::from_millis(50), || {
            child.try_wait().transpose()
        });
        let Some(status) = ended else {
            child.kill()?;
            child.wait()?;
            return Ok(Verdict::Failed(format!("no end within {TEST_LIMIT:?}")));
        };
        let printed = String::from_utf8_lossy(&fs::read(path)?).into_owned();
        Ok(Verdict::of(status?.success(), &printed))
    }
}
