//! The clients of a run: a few hundred requests a second in all, each noted with its outcome.

pub mod consumers;
pub mod ends;
pub mod http;
pub mod offsets;
pub mod producers;
pub mod rows;

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;

use crate::history::{Recorder, Value};
use crate::node;

/// The topic of the log of records.
pub const LOG: &str = "log";
pub const LOG_PARTITIONS: i32 = 6;
/// The table, and its topic.
pub const TABLE: &str = "rows";
pub const TABLE_PARTITIONS: i32 = 3;

/// What all clients share.
pub struct Scene {
    pub recorder: Recorder,
    pub nodes: usize,
    pub seed: u64,
    next_value: AtomicU64,
    stopped: AtomicBool,
    /// What client libraries say.
    log: Mutex<File>,
}

impl Scene {
    pub fn new(recorder: Recorder, nodes: usize, seed: u64, log: File) -> Scene {
        Scene {
            log: Mutex::new(log),
            recorder,
            nodes,
            seed,
            next_value: AtomicU64::new(1),
            stopped: AtomicBool::new(false),
        }
    }

    /// A value that nobody else has. Values of one client rise in the order in which it draws them.
    pub fn value(&self) -> Value {
        self.next_value.fetch_add(1, Ordering::Relaxed)
    }

    pub fn goes_on(&self) -> bool {
        !self.stopped.load(Ordering::Acquire)
    }

    fn log(&self, line: &str) {
        let seconds = self.recorder.clock.micros() as f64 / 1e6;
        // The run does not depend on it.
        drop(writeln!(self.log.lock(), "{seconds:.3} {line}"));
    }

    /// A client of librdkafka that knows all nodes, and gives up soon on one that does not answer.
    pub fn client(&self) -> ClientConfig {
        let addresses = (0..self.nodes).map(|place| node::kafka(place).to_string());
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", addresses.collect::<Vec<_>>().join(","))
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "500")
            .set("socket.connection.setup.timeout.ms", "2000")
            .set("socket.timeout.ms", "4000")
            .set("topic.metadata.refresh.interval.ms", "2000")
            .set("topic.metadata.refresh.fast.interval.ms", "100")
            .set("retry.backoff.ms", "50");
        config
    }
}

/// Running clients.
pub struct Load {
    scene: Arc<Scene>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(scene: &Arc<Scene>) -> Load {
        let mut load = Load {
            scene: scene.clone(),
            threads: Vec::new(),
        };
        for number in 0..producers::ORDERED {
            load.spawn(move |scene| producers::run(scene, number, true));
        }
        for number in 0..producers::PLAIN {
            load.spawn(move |scene| producers::run(scene, 100 + number, false));
        }
        for number in 0..consumers::ASSIGNED {
            load.spawn(move |scene| consumers::run_assigned(scene, number));
        }
        for number in 0..consumers::SUBSCRIBED {
            load.spawn(move |scene| consumers::run_subscribed(scene, 100 + number));
        }
        for number in 0..rows::CLIENTS {
            load.spawn(move |scene| rows::run(scene, number));
        }
        for number in 0..offsets::CLIENTS {
            load.spawn(move |scene| offsets::run(scene, number));
        }
        load.spawn(ends::run);
        load
    }

    fn spawn(&mut self, client: impl FnOnce(&Arc<Scene>) + std::marker::Send + 'static) {
        let scene = self.scene.clone();
        self.threads
            .push(std::thread::spawn(move || client(&scene)));
    }

    /// Has all clients end, and waits for what is on its way. A client that panicked is an error of the harness.
    pub fn stop(self) {
        self.scene.stopped.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().expect("no client panics");
        }
    }
}

/// The pause of a client between two requests, give or take a half.
fn pace(luck: &mut compat_tests::luck::Luck, ms: u64) {
    let ms = ms / 2 + luck.below(ms + 1);
    crate::time::pause(Duration::from_millis(ms));
}
