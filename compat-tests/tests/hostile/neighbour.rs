//! Another client: produces a record, waits for its ack, reads it back, and begins again, all along.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use compat_tests::clock;
use compat_tests::differential::batches::{batch, record};
use compat_tests::differential::topics::Topic;
use compat_tests::differential::wire::Connection;

use crate::wire;

/// Between two rounds: often enough to meet every moment of an attack, seldom enough to leave the machine to it.
const PAUSE: Duration = Duration::from_millis(3);

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    rounds: AtomicU64,
    slowest_ms: AtomicI64,
    failure: Mutex<Option<String>>,
}

pub struct Neighbour {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Neighbour {
    pub fn start(kafka: SocketAddr, topic: Topic) -> Result<Neighbour> {
        let shared = Arc::new(Shared::default());
        let mut connection = Connection::open(kafka)?;
        let told = shared.clone();
        let thread = thread::spawn(move || {
            while !told.stop.load(Ordering::Acquire) {
                let number = told.rounds.load(Ordering::Acquire);
                match round(&mut connection, &topic, number) {
                    Ok(took_ms) => {
                        told.slowest_ms.fetch_max(took_ms, Ordering::AcqRel);
                        told.rounds.fetch_add(1, Ordering::AcqRel);
                    }
                    Err(error) => {
                        let mut failure = told.failure.lock().expect("not poisoned");
                        *failure = Some(format!("round {number}: {error:#}"));
                        return;
                    }
                }
                clock::pause(PAUSE);
            }
        });
        Ok(Neighbour {
            shared,
            thread: Some(thread),
        })
    }

    /// Rounds so far.
    pub fn rounds(&self) -> u64 {
        self.shared.rounds.load(Ordering::Acquire)
    }

    /// The slowest ack or read since the last call.
    pub fn take_slowest_ms(&self) -> i64 {
        self.shared.slowest_ms.swap(0, Ordering::AcqRel)
    }

    /// What went wrong, which ended it.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.lock().expect("not poisoned").clone()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Produces one record and reads it back; the milliseconds of the slower of the two.
fn round(connection: &mut Connection, topic: &Topic, number: u64) -> Result<i64> {
    let value = format!("round {number}");
    let sent = batch(vec![record("neighbour", &value)]).bytes();
    let began = clock::now_ms();
    let answer = wire::produce(connection, topic, sent.clone())?;
    let acked = clock::now_ms();
    ensure!(
        answer.error_code == 0,
        "error {} {:?}",
        answer.error_code,
        answer.error_message
    );
    ensure!(
        answer.base_offset == i64::try_from(number)?,
        "its offset is {}",
        answer.base_offset
    );
    let read = wire::fetch(connection, topic, answer.base_offset)?;
    // Offset and leader epoch are the broker's; from the magic byte on, the bytes are the sender's.
    let stored = read.get(16..).context("nothing is read")?;
    if stored != &sent[16..] {
        bail!("another batch is read than was written");
    }
    let ended = clock::now_ms();
    Ok((acked - began).max(ended - acked))
}
